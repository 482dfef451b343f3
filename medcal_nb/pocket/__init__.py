"""The embedded world: PocketVQA scenes with known truth, and pocket models that look at them.

``scenes`` draws images from a seed, ``questions`` asks about them and cuts the splits.
"""

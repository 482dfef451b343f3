"""How the embedded world was made: scenes with known truth, questions, training, recording.

``scenes`` draws images from a seed, ``questions`` asks about them and cuts the splits, ``train``
and ``clip`` make the pocket models, ``record`` stores items and fresh answers. Installed with
nothing: run ``python -m data.pocket.factory`` in a checkout, or ``make pocket``.
"""

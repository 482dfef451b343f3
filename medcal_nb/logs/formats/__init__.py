"""Formats of other tools' logs: a module each, with its `Reader` objects in ``READERS``.

A new format is one module here and one test; nothing else names it.
"""

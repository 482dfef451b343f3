"""How the tables of ``data/recorded`` are made from the files that their authors published.

Installed with nothing; in a checkout::

    python -m data.recorded.prepare NAME FOLDER --to OUT

reads the public files of one source below FOLDER, laid out as in its repository, and writes
``OUT/NAME.parquet`` with its entry in ``OUT/manifest.json``. One module a source says which files
those are and what becomes of them; ``pickles`` reads foreign pickles as data, here and nowhere
else.
"""

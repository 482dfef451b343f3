"""The reader view: a model's answers, one case at a time, for a human to accept or override.

``decisions`` keeps what was decided, ``cases`` and ``evidence`` say what is known about an answer,
``page`` puts it into words, ``view`` is the widget and ``serve`` opens it in a browser::

    from medcal_nb.reader.view import Reader
    Reader("answers.sqlite")
"""

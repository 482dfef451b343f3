"""The reader page: a model's answers, one case at a time, for people to decide about.

:mod:`~medcal_nb.reader.cases` chooses the cases and says what is known about each answer,
:mod:`~medcal_nb.reader.page` writes them into one file that any browser opens without a server::

    from medcal_nb.reader import write_page

    write_page("answers.sqlite", "cases.html")
"""

from medcal_nb.reader.page import write_page

__all__ = ["write_page"]

"""Rows of a table by a query: columns compared with values, and nothing that can be called."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence

import pandas as pd

from medcal_nb.errors import MedcalError, check_known

# a profile of somebody else is data: whatever could reach an object is no part of a query
_ALLOWED = (
    *(ast.Expression, ast.Compare, ast.cmpop, ast.BoolOp, ast.boolop, ast.Not),
    *(ast.UnaryOp, ast.USub, ast.Name, ast.Constant, ast.List, ast.Tuple, ast.Load),
)

#: A column by which chapters choose answers of the study: a user's file without it has no slip.
OF_STUDY = "image_set"


def select(table: pd.DataFrame, query: str, *, own: str = "") -> pd.DataFrame:
    """Return the rows of a table that a query names; a value that no row has is an error.

    Parameters
    ----------
    table : DataFrame
    query : str
        Columns compared with values: ``"dataset == 'GQA' and not confidence < 0.5"``. Comparisons
        (``in`` too), ``and``, ``or``, ``not``, numbers, texts and lists of them; nothing else.
        Empty: all rows.
    own : {"", "all", "none"}
        What answers of one's own (a file that `load_answers` read) give for a query that does not
        fit them, as one about the data of this study: an error, all rows or none. All rows are
        taken with a warning, and a value that is nearly one of theirs is an error all the same.

    Returns
    -------
    DataFrame
        The rows where it holds. ``attrs["lacks"]`` says what none of one's own fits,
        ``attrs["called"]`` names the data sets where all are taken.

    Raises
    ------
    MedcalError
        If the query holds anything else, is true or false of no row, names a column or a value
        that the table does not hold, or no row fits: what there is stands beside it.

    Examples
    --------
    >>> table = pd.DataFrame({"domain": ["general", "medical"], "n": [1, 2]})
    >>> select(table, "domain == 'medical'")["n"].tolist()
    [2]
    >>> select(table, "domain == 'medcal'")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    medcal_nb.errors.MedcalError: no row has domain 'medcal'; did you mean 'medical'?; there ...
    >>> select(table, "domain.str.len() > 3")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    medcal_nb.errors.MedcalError: 'domain.str.len()' in a query: it holds comparisons of columns ...
    """
    if not query:
        return table
    try:
        return _rows(table, query)
    except MedcalError as error:
        reason = str(error)
        # a column that the study has is near to 'image_id', and no slip
        is_near = reason.startswith("no row has") and "did you mean" in reason
        if not own or not table.attrs.get("is_own") or (own == "all" and is_near):
            raise
    if own == "all":
        if reason.startswith(f"no column {OF_STUDY!r}"):  # the user named none
            reason = f"no column {OF_STUDY!r}, which answers of the study have"
        warnings.warn(f"{reason}: all answers are taken", UserWarning, stacklevel=2)
        rows = table.copy(deep=False)
        rows.attrs = table.attrs | {"called": " and ".join(table["dataset"].unique())}
        return rows
    rows = table.iloc[:0].copy()
    hint = reason.split("; ")[1:2] if is_near else []
    rows.attrs = table.attrs | {"lacks": "; ".join([query, *hint])}
    return rows


def called(
    rows: pd.DataFrame, query: str, name: str, *, not_own: Sequence[str] = ()
) -> str:
    """Return what findings call rows: their name; one's own never by a name that is another's.

    Parameters
    ----------
    rows : DataFrame
        As of `select`.
    query : str
        By which they were selected.
    name : str
        What they are called.
    not_own : sequence of str
        Names that rows of a user's file do not have: under one of these they are called by the
        values of the query, or by the query where it compares with no text.

    Examples
    --------
    >>> rows = pd.DataFrame({"modality": ["ct"]})
    >>> rows.attrs["is_own"] = True
    >>> query = "modality in ['ct', 'mr']"
    >>> called(rows, query, "photographs", not_own=["photographs"])
    'ct and mr'
    >>> called(rows, query, "sections", not_own=["photographs"])
    'sections'
    """
    known = rows.attrs.get("called", name)
    if known != name or name not in not_own or not rows.attrs.get("is_own"):
        return known
    tree = [*ast.walk(ast.parse(query.strip(), mode="eval"))]
    values = [one.value for one in tree if isinstance(one, ast.Constant)]
    texts = [value for value in values if isinstance(value, str)]
    is_plain = not any(isinstance(one, (ast.Not, ast.NotEq, ast.NotIn)) for one in tree)
    if is_plain and texts and len(texts) == len(values):
        return " and ".join(texts)
    return query


def our_names(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Return columns by their names here, where a user names them as the file does.

    Parameters
    ----------
    table : DataFrame
        As of `load_answers`: ``attrs["taken"]`` says which column was taken for which.
    names : sequence of str
        A column that the table has under this name is that column.

    Examples
    --------
    >>> table = pd.DataFrame({"modality": ["CT"], "Bild": ["a.png"]})
    >>> table.attrs["taken"] = {"Modalität": "modality", "Bild": "image_id"}
    >>> our_names(table, ["Modalität", "Bild"])
    ['modality', 'Bild']
    """
    taken = table.attrs.get("taken", {})
    return [name if name in table else taken.get(name, name) for name in names]


def known_or_first(table: pd.DataFrame, column: str, name: str) -> str:
    """Return a name if a row has it; of answers of one's own else the most frequent one.

    Parameters
    ----------
    table : DataFrame
        As of `load_answers`.
    column : str
        Such as ``strategy``.
    name : str

    Raises
    ------
    MedcalError
        If no row has it, and the answers are no file's.

    Examples
    --------
    >>> table = pd.DataFrame({"strategy": ["p_true", "p_true", "verbalized"]})
    >>> known_or_first(table, "strategy", "verbalized")
    'verbalized'
    """
    names = table[column].dropna()
    if table.attrs.get("is_own") and not names.eq(name).any():
        return str(names.value_counts(sort=False).idxmax())
    check_known(name, names.unique(), f"row has {column}")
    return name


def known_names(table: pd.DataFrame, column: str, names: list[str]) -> list[str]:
    """Return those of several names that rows have; of one's own else the most frequent ones.

    Parameters
    ----------
    table, column
        As of `known_or_first`.
    names : list of str
        Of answers of one's own, those that no row has are left out with a warning; where none is
        left, as many are taken, the most frequent first.

    Raises
    ------
    MedcalError
        If no row has one of them, and the answers are no file's.

    Examples
    --------
    >>> table = pd.DataFrame({"strategy": ["p_true", "p_true", "verbalized"]})
    >>> table.attrs["is_own"] = True
    >>> known_names(table, "strategy", ["self_probing", "probe_pik"])
    ['p_true', 'verbalized']
    """
    frequent = table[column].value_counts()
    if not table.attrs.get("is_own"):
        for name in names:
            check_known(name, frequent.index, f"row has {column}")
    known = [name for name in names if name in frequent.index]
    lacking = [name for name in names if name not in known]
    if known and lacking:
        warnings.warn(
            f"no row has {column} {', '.join(lacking)}: left out",
            UserWarning,
            stacklevel=2,
        )
    return known or [str(name) for name in frequent.index[: len(names)]]


#: Values that a column of groups may have.
MOST_VALUES = 20
#: Columns that say nothing of a group of answers.
_NO_GROUPS = {"model", "strategy", "item_id", "image_id", "image", "question_id"}
_NO_GROUPS |= {"confidence", "correct", "answer", "reply", "gold", "question", "raw"}
_NO_GROUPS |= {"output", "response", "prediction"}  # a reply, in a table of one's own
_NO_GROUPS |= {"options", "option_probabilities", "repeat", "correct_first_labels"}
_NO_GROUPS |= {"grade_from", "confidence_from", "run_id", "answered_by", "server"}
_NO_GROUPS |= {"server_version", "refused", "sample"}  # how it was asked
_NO_GROUPS |= {"n_answers", "seconds", "new_tokens", "prompt_tokens", "parse_ok"}
#: Columns whose groups differ as an old and a new place do: these are named first.
_PLACES = ("domain", "dataset", "site", "modality")


def group_columns(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Return columns of 2 to 20 values, as texts: subgroups of answers.

    Parameters
    ----------
    table : DataFrame

    Examples
    --------
    >>> table = pd.DataFrame({"modality": ["CT", "MRI"], "item_id": ["a", "b"], "set": 1})
    >>> list(group_columns(table))
    ['modality']
    """
    groups = {}
    for name in table.columns.difference(_NO_GROUPS, sort=False):
        values = table[name].dropna()
        if pd.api.types.is_object_dtype(values):  # lists have no hash
            values = values.astype(str)
        if 1 < values.nunique() <= MOST_VALUES:
            groups[name] = values.astype(str)
    return groups


def two_parts(table: pd.DataFrame) -> dict[str, str]:
    """Return parameters of a chapter that divide answers in two: to come from, and to go to.

    Parameters
    ----------
    table : DataFrame
        As of `load_answers`.

    Returns
    -------
    dict
        SOURCE and TARGET, queries of the most frequent value of a column and of the others, and
        what findings call these; empty where no column of texts has 2 to 20 values.

    Examples
    --------
    >>> two_parts(pd.DataFrame({"modality": ["CT", "CT", "MRI"]}))["TARGET"]
    "modality != 'CT'"
    """
    texts = table.select_dtypes(exclude=["number", "bool"])
    columns = group_columns(texts)
    named = [name for name in columns if name.isidentifier()]  # as a query has it
    column = next((name for name in (*_PLACES, *columns) if name in named), None)
    if column is None:
        return {}
    value = columns[column].value_counts().idxmax()
    return {
        "SOURCE": f"{column} == {value!r}",
        "SOURCE_NAME": value,
        "TARGET": f"{column} != {value!r}",
        "TARGET_NAME": f"other than {value}",
    }


def _rows(table: pd.DataFrame, query: str) -> pd.DataFrame:
    """Rows where a query holds; one that names what the table does not hold is an error."""
    try:
        tree = ast.parse(query.strip(), mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                (node.id,) = our_names(table, [node.id])
        _check(tree, table)
        # written anew: pandas reads line ends and quotation marks in another way than Python
        fits = table.eval(ast.unparse(tree), engine="python")
    except (SyntaxError, TypeError, ValueError, NotImplementedError) as error:
        raise MedcalError(f"{query!r} is no query of a table: {error}") from None
    except RecursionError:
        raise MedcalError("a query nested too deep to be read") from None
    if not isinstance(fits, pd.Series) or not pd.api.types.is_bool_dtype(fits):
        raise MedcalError(f"{query!r} is true or false of no row: compare a column")
    rows = table[fits.fillna(False).astype(bool)]
    if rows.empty:
        raise MedcalError(f"no row fits {query!r}")
    return rows


def _check(tree: ast.Expression, table: pd.DataFrame) -> None:
    """Refuse what is no comparison, and columns and values that the table does not hold."""
    nodes = list(ast.walk(tree))
    for node in nodes:
        if not isinstance(node, _ALLOWED):
            part = ast.unparse(node) or ast.unparse(tree)
            raise MedcalError(
                f"{part!r} in a query: it holds comparisons of columns with values, joined by "
                "and, or, not"
            )
        if isinstance(node, ast.Name):
            check_known(node.id, table.columns, "column")
    for node in nodes:
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name):
            column = node.left.id
            known = table[column].dropna().unique()
            for leaf in ast.walk(node):
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                    check_known(leaf.value, known, f"row has {column}")


def of_test(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers of the split ``test``, where there are several splits and one is called so; else all.

    What a model or a map was made on is not judged, by any command.

    Examples
    --------
    >>> of_test(pd.DataFrame({"split": ["train", "test"]}))["split"].tolist()
    ['test']
    >>> len(of_test(pd.DataFrame({"split": ["train", "val"]})))
    2
    """
    is_test = answers["split"] == "test"
    if is_test.any() and answers["split"].nunique() > 1:
        return answers[is_test]
    return answers

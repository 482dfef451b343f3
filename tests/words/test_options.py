"""Options as a value: one reading of them in whatever form they come, whatever their order."""

import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from medcal_nb.answers import load_answers
from medcal_nb.errors import MedcalError
from medcal_nb.words import Options, grade, is_correct, options_of

TEXTS = [
    "left lung",
    "right lung",
    "both lungs",
    "heart",
    "no effusion",
    "C. difficile",
]
FORMS = ["{x}", "{x}. {text}", "{x}: {text}", "({x})", "{text}"]
LETTERS = "ABCDEF"
# how options are written, each of the letters A, B, … in order
WRITTEN = {
    "list": list,
    "tuple": tuple,
    "array": lambda texts: np.array(texts, dtype=object),
    "JSON": lambda texts: json.dumps([*texts]),
    "Python": lambda texts: str([*texts]),
    "numpy": lambda texts: str(np.array(texts)),
    "table": lambda texts: dict(zip(LETTERS, texts, strict=False)),
    "JSON table": lambda texts: json.dumps(dict(zip(LETTERS, texts, strict=False))),
    "table turned": lambda texts: dict(reversed([*zip(LETTERS, texts, strict=False)])),
    "A: x": lambda texts: [f"{a}: {t}" for a, t in zip(LETTERS, texts, strict=False)],
    "(A) x": lambda texts: [f"({a}) {t}" for a, t in zip(LETTERS, texts, strict=False)],
    "A. x": lambda texts: [f"{a}. {t}" for a, t in zip(LETTERS, texts, strict=False)],
    "turned": lambda texts: [
        f"{a}) {t}" for a, t in [*zip(LETTERS, texts, strict=False)][::-1]
    ],
    "text": lambda texts: " ".join(
        f"{a}) {t}" for a, t in zip(LETTERS, texts, strict=False)
    ),
    "text of lines": lambda texts: "\n".join(
        f"{a}. {t}" for a, t in zip(LETTERS, texts, strict=False)
    ),
}


def orders(n):
    return permutations(TEXTS[-n:])


@pytest.mark.parametrize("n", range(2, 7))
def test_options_are_the_same_in_whatever_form_and_order_they_come(n):
    for texts in orders(n):
        wanted = dict(zip(LETTERS, texts, strict=False))
        for form, write in WRITTEN.items():
            options = Options.read(write(texts))
            read = dict(zip(options.names, options.texts, strict=True))
            assert read == wanted, (form, texts)


@pytest.mark.parametrize("n", range(2, 7))
def test_an_option_is_read_in_each_form_whatever_its_letter(n):
    for texts in orders(n):
        options = Options.read(texts)
        for i, text in enumerate(texts):
            for form in FORMS:
                reply = form.format(x=LETTERS[i], text=text)
                assert options.named(reply) == {i}, (texts, reply)


# forms and orders are read above: here one form of each number, of 4 and more every turn
@pytest.mark.parametrize(
    ("n", "written"),
    [(2, "table"), (3, "text"), (4, "table turned"), (5, "A: x"), (6, "list")],
)
def test_every_letter_form_and_order_has_one_verdict(n, written):
    turned = [TEXTS[-n:][i:] + TEXTS[-n:][:i] for i in range(n)]
    for texts in orders(n) if n < 4 else turned:
        options = WRITTEN[written](texts)
        for right, gold in enumerate(texts):
            for chosen, text in enumerate(texts):
                for form in [*FORMS, "{x}. Confidence: 85 %"]:
                    reply = form.format(x=LETTERS[chosen], text=text)
                    wanted = chosen == right
                    for named in (LETTERS[right], gold):
                        graded = grade(reply, named, "choice", options)
                        assert graded.correct is wanted, (reply, named, options)


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("columns", ["A B C D", "option_a option_b option_c option_d"])
def test_options_in_columns_have_the_same_verdicts(tmp_path, turn, columns):
    texts = TEXTS[turn:4] + TEXTS[:turn]
    rows = []
    for right in range(4):
        for chosen, text in enumerate(texts):
            for form in FORMS:
                row = dict(zip(columns.split(), texts, strict=True))
                row["gold"] = LETTERS[right]
                row["answer"] = form.format(x=LETTERS[chosen], text=text)
                row["wanted"] = chosen == right
                rows.append(row)
    table = pd.DataFrame(rows).assign(confidence=0.5, model="m")
    table.assign(item_id=range(len(table))).to_csv(tmp_path / "a.csv", index=False)
    answers = load_answers(tmp_path / "a.csv")
    assert answers["correct"].tolist() == table["wanted"].tolist()
    assert "options from 4 columns, A to D" in answers.attrs["assumed"]


def test_keys_are_kept_and_what_is_missing_is_no_option():
    options = Options.read({"A": None, "B": "left lung", "C": "right lung"})
    assert options.names == ("B", "C")
    assert options.text_of("b") == "left lung"
    assert options.text_of("A") is None
    assert options.named("A") == set()
    assert Options.read(["left", float("nan"), "right"]).names == ("A", "C")
    assert Options.read({1: "left", 2: "right"}).named("2") == {1}
    assert Options.read("(1) left (2) right").named("(2)") == {1}
    assert Options.read("(1) left; (3) right").names == ("A", "B")
    assert Options.read({"text": ["x", "y"], "label": ["B", "A"]}).text_of("B") == "x"
    assert Options.read([str(i) for i in range(30)]).names[-1] == "30"


ORGANISMS = ["C. difficile", "E. coli", "S. aureus", "A. fumigatus", "K. pneumoniae"]


@pytest.mark.parametrize("turn", range(5))
def test_the_letter_of_a_genus_is_no_letter_of_an_option(turn):
    texts = ORGANISMS[turn:] + ORGANISMS[:turn]
    options = Options.read(texts)
    for i, text in enumerate(texts):
        for reply in (
            "{}",
            "{} infection",
            "It is {}.",
            "{} is likely",
            "{}, as cultured",
        ):
            assert options.named(reply.format(text)) == {i}


@pytest.mark.parametrize(
    ("text", "options", "named"),
    [
        ("B. left lung", TEXTS[:2], {0, 1}),
        ("left lung (B)", TEXTS[:2], {0, 1}),
        ("A", ["B", "A"], {0, 1}),
        ("a b", ["A b", "a b"], {1}),
        ("left lung or right lung", TEXTS[:2], {0, 1}),
        ("left lung. The right lung is clear.", TEXTS[:2], {0}),
        ("not the left lung but the right lung", TEXTS[:2], {1}),
        ("the left lung is excluded, right lung", TEXTS[:2], {1}),
        ("lung", TEXTS[:2], set()),
        ("E", TEXTS[:4], set()),
        ("A is wrong", TEXTS[:2], set()),
        ("The answer is 2.", {"1": "left", "2": "right"}, {1}),
        ("", TEXTS[:2], set()),
    ],
)
def test_what_names_two_options_is_no_choice(text, options, named):
    assert Options.read(options).named(text) == named


@pytest.mark.parametrize(
    "cell", [None, "", float("nan"), "N/A", "[]", {}, [], pd.NA, "-"]
)
def test_where_nothing_stands_there_are_no_options(cell):
    assert Options.read(cell) is None


@pytest.mark.parametrize(
    "cell", ["left lung", 5, {"site": "left"}, {"a": "x", "A": "y"}]
)
def test_what_cannot_be_read_is_refused_with_its_row(cell):
    cells = pd.Series([["left", "right"], None, cell], name="choices", dtype=object)
    with pytest.raises(
        MedcalError, match=r"row 3, column 'choices': .* are no options"
    ):
        options_of(cells)
    assert len(options_of(cells[:1])[0]) == 2


@pytest.mark.parametrize("sign", ["'", '"'], ids=["Python", "JSON"])
def test_two_options_of_one_key_are_refused(sign):
    cell = "{'A': 'left lung', 'B': 'both', 'A': 'right lung'}".replace("'", sign)
    with pytest.raises(MedcalError, match="two options are called 'A'"):
        Options.read(cell)
    assert Options.read(cell.replace("A", "C", 1)).text_of("A") == "right lung"


def test_of_options_that_differ_in_case_the_one_written_so_is_named():
    gases = Options.read(["Na", "NA", "K"])
    assert [gases.index(text) for text in ("Na", "NA", "na")] == [0, 1, None]


@pytest.mark.parametrize(
    ("options", "text", "named"),
    [
        (["stone", "tumour", "both"], "A and B", "both"),
        (["PAS", "Gram"], "It speaks against Gram.", "PAS"),
        (["cyst", "abscess", "tumour"], "Not a cyst, not an abscess.", "tumour"),
        (["cyst", "abscess"], "Choice 2", "abscess"),
        ({"i": "uncus", "ii": "amygdala"}, "Option II: amygdala", "amygdala"),
        (["ACA", "MCA"], "A. cerebri media", "MCA"),
        (
            {"A": "Nocardia", "B": "Actinomyces"},
            "A. israelii (Actinomyces)",
            "Actinomyces",
        ),
        (["L: left", "R: right", "B: both"], "R", "right"),
        (["L: left", "R: right", "B: both"], "B. right", None),
        (["TB", "cancer", "abscess"], "A 33%, B 33%, C 33%", None),
        (["E. coli", "K. pneumoniae"], "Klebsiella pneumoniae", "K. pneumoniae"),
    ],
)
def test_an_option_is_named_in_other_ways(options, text, named):
    shown = Options.read(options)
    verdicts = {one for one in shown.texts if is_correct(text, one, options=shown)}
    assert verdicts == ({named} if named else set())

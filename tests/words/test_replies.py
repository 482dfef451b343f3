"""Whole replies: a table of them, with what a careful reader would take from each."""

import math
from pathlib import Path

import pandas as pd
import pytest

from medcal_nb.errors import MedcalError
from medcal_nb.words import answer_key, read_replies

# text of a reply, answer and confidence; replies of one run are read together
TABLE = pd.read_csv(
    Path(__file__).with_name("replies.csv"), dtype=str, keep_default_na=False
)
SCALES = {"log": "log", "ten": 10}
OF_TWO_SCALES = ["yes\nSure: 9", "no\nConfidence: 90%", "no\nConfidence: 1"]


def options_of(text):
    return text.split("|") if text else None


def readings():
    """The table beside what is read."""
    alone = [f"{i}" for i in range(len(TABLE))]
    runs = TABLE.groupby(TABLE["run"].where(TABLE["run"] != "", alone), sort=False)
    read = []
    for run, part in runs:
        options = part["options"].map(options_of).tolist()
        kinds = [kind or None for kind in part["kind"]]
        read.append(
            read_replies(
                part["text"], options=options, kinds=kinds, scale=SCALES.get(run)
            )
        )
    return TABLE.join(pd.concat(read).add_prefix("read_"))


def test_of_300_replies_none_is_read_wrongly_and_nine_in_ten_are_read():
    table = readings()
    assert len(table) >= 300
    stated = pd.to_numeric(table["confidence"])
    read = table["read_confidence"]
    differs = read.notna() & ~((read - stated).abs() < 1e-6)
    assert table.loc[differs, ["text", "confidence", "read_confidence"]].empty
    unread = table["text"][stated.notna() & read.isna()]
    log = "Answer: no\nlog-probability: -0.693147181"  # read where scale=log is said
    assert {*unread} == {"Yes, probability 0.8", log}

    # an open answer that the table leaves out may be any of the reply's own words
    is_known = (
        (table["answer"] != "") | (table["kind"] != "open") | (table["text"] == "")
    )
    answered = table["read_answer"].notna()
    same = table["read_answer"].map(answer_key) == table["answer"].map(answer_key)
    wrong = is_known & answered & ~same
    assert table.loc[wrong, ["text", "answer", "read_answer"]].empty
    unread = table["text"][(table["answer"] != "") & ~answered]
    assert unread.tolist() == ["The stenosis is 50%.", "95% certain: no"]
    forms = {"label", "sentence", "behind the answer", "word", "shares", "no scale"}
    assert set(table["read_form"].dropna()) == forms | {"in doubt", "unread"}
    is_of_it = table["read_form"].isin(["in doubt", "unread", "no scale"])
    assert table.loc[is_of_it, "read_confidence"].isna().all()


#: Replies in other languages: an answer, and a clause that says how sure the model is of it.
SURE = """\
No, estoy {} % seguro.|Ja, zu {}% sicher|Nein, {} % Konfidenz|Ja, mit {}%iger Sicherheit
Ja, mit {}-prozentiger Sicherheit|Nein. Meine Sicherheit liegt bei {} %|Nein (zu {} % sicher)
Nein, da bin ich mir zu etwa {} Prozent sicher.|Ja, mit einer Sicherheit von {} %
Oui, sûr à {} %|Oui. Je suis sûre à {} %.|Oui, je suis à {} % sûr|Oui, certain à {} %
Oui, avec {} % de confiance|Oui, {} % de certitude|Oui. Ma confiance est de {} %.
Sí, seguro al {} %|Sí, con un {} % de confianza|Sí. Mi confianza es del {} %
Sì, sicuro al {} %|Sì, sono sicura al {}%.|Sì, con il {} % di sicurezza|No, {}% di confidenza
Sim, tenho {}% de certeza.|Sim, estou {} % certo|Sim, com {}% de confiança
Ja, ik ben {}% zeker|Ja, voor {} % zeker|Ja, {} % zekerheid"""
#: Numbers that are of something or somebody else, bounds, and what is denied.
NOT_SURE = """\
stenosis of {} %|{} % of patients are sure|{} % Sauerstoffsättigung, sicher
Nein, nicht zu {} % sicher|No estoy {} % seguro|Pas sûr à {} %|Non sono sicuro al {} %
Ja, mehr als {} % sicher|Ja, zu 80 bis {} % sicher|Meine Sicherheit liegt über {} %
Laut Radiologe, zu {} % sicher|Der Befunder ist zu {} % sicher|Selon le lecteur, sûr à {} %
El {} % de los pacientes están seguros|Le CAD est sûr à {} % de la lésion
Die Sicherheit des Verfahrens liegt bei {} %|mi seguridad social es del {} %
Sensitivität 80 %, {} % Konfidenz|avec un intervalle de confiance à {} %
Ja, Konfidenzintervall {} %|Nein, {} % sicher ausgeschlossen|Nein, {} % sichere Zeichen
Ja, zu {} % sicher, dass es ein anderer ist|Estenosis {} % segura|Ja, mit {} %"""


def replies_in(text):
    return [one.format(90) for one in text.replace("\n", "|").split("|")]


@pytest.mark.parametrize("reply", replies_in(SURE))
def test_a_clause_of_another_language_is_a_confidence_and_no_answer(reply):
    (read,) = read_replies([reply]).itertuples()
    assert read.confidence == 0.9
    assert read.answer in ("Ja", "Nein", "Oui", "Sí", "Sì", "Sim", "No")


@pytest.mark.parametrize("reply", replies_in(NOT_SURE))
def test_what_is_no_clause_on_the_own_answer_is_no_confidence(reply):
    assert read_replies([reply])["confidence"].isna().all()


@pytest.mark.parametrize(
    ("texts", "scale", "shares"),
    [
        (["yes\nConfidence: 0.9", "no\nConfidence: 1"], None, [0.9, 1]),
        (["yes\nConfidence: 90%", "no\nConfidence: 1"], None, [0.9, 0.01]),
        (["yes\nConfidence: 90", "no\nConfidence: 10"], None, [0.9, 0.1]),
        (["yes\nConfidence: 11", "no\nConfidence: 1"], None, [0.11, 0.01]),
        (["no\nConfidence: 1"], None, [None]),
        (["no\nConfidence: 1", "no\nConfidence: 10"], None, [None, None]),
        (["yes\nConfidence: 0.9", *OF_TWO_SCALES], None, [0.9, None, 0.9, None]),
        (["yes\nConfidence: 0.9", "no\nConfidence: 2"], None, [0.9, None]),
        (["no\nConfidence: 1", "no\nConfidence: 4"], "1-5", [0, 0.75]),
        (["no\nConfidence: 1", "no\nConfidence: 0.5"], "percent", [0.01, 0.5]),
        (["no\nConfidence: 6", "no\nConfidence: 0.5"], 5, [None, 0.1]),
        (["yes, 90%", "no, 80%", "no"], None, [None, None, None]),
        (["yes, 90%", "no, 80%", "no, 70%", "no"], None, [0.9, 0.8, 0.7, None]),
        (["yes, 9%", "no, 8%", "no, 7%", *["no"] * 4], None, [None] * 7),
    ],
)
def test_the_run_decides_what_a_reply_leaves_open(texts, scale, shares):
    read = read_replies(texts, scale=scale, kinds=["closed"] * len(texts))["confidence"]
    assert read.tolist() == pytest.approx(
        [*pd.Series(shares, dtype=float)], nan_ok=True
    )
    with pytest.raises(MedcalError, match="no scale 'high'"):
        read_replies(["yes\nConfidence: 5"], scale="high")


def test_a_number_of_ten_is_a_confidence_where_the_run_or_its_scale_says_so():
    tens = ["Ja – 9/10", "No, 7 out of 10", "A cyst, 9/10", "RUST score: 9/10"]
    others = ["Yes. Confidence: 85 %", "Nein, Konfidenz 0,58", "Ja (Konfidenz: hoch)"]
    alone = read_replies(tens[:2] * 3)
    assert alone["confidence"].tolist() == [0.9, 0.7] * 3
    run = [*tens, *others, *others]
    mixed = read_replies(run)
    assert mixed["confidence"].dropna().tolist() == [0.85, 0.58] * 2
    in_doubt = ["of 10", "of 10", "in doubt", "in doubt"]
    assert mixed["form"].tolist() == [*in_doubt, *["label", "label", "unread"] * 2]
    named = read_replies(run, scale=10)
    assert named["confidence"].dropna().tolist() == [0.9, 0.7, *[0.85, 0.58] * 2]
    assert named["answer"].tolist()[:2] == ["yes", "no"]
    for scale in ("percent", "1-5"):
        other = read_replies(run, scale=scale)["confidence"]
        assert other.dropna().tolist() == [0.85, 0.58] * 2
    of_plain = read_replies(["yes\nConfidence: 7", "yes\nConfidence: 0.5"], scale=10)
    assert of_plain["confidence"].tolist() == [0.7, 0.05]


def test_a_table_of_replies_keeps_the_index_and_says_what_is_missing():
    texts = pd.Series(["yes : 0.9", None, 3.0], index=["c", "b", "a"])
    table = read_replies(texts)
    assert table.index.tolist() == ["c", "b", "a"]
    assert table["answer"].tolist() == ["yes", None, None]
    assert table["confidence"].isna().tolist() == [False, True, True]
    assert list(read_replies([])) == ["answer", "confidence", "form"]
    assert table.loc["c"].tolist() == ["yes", 0.9, "behind the answer"]


@pytest.mark.parametrize(
    ("text", "kind", "share"),
    [
        ("A cyst. 80%", "open", 0.8),
        ("A cyst (80%)", "open", 0.8),
        ("A cyst, 80%", "open", 0.8),
        ("yes. 80%", "closed", 0.8),
        ("yes, 80%", "closed", None),  # of a single reply, it may be a finding
        ("A small mass in the left lobe (40%)", "open", None),  # a part of what is seen
        ("A small mass in the lobe (40%)", "open", 0.4),
        ("A disc of 70%. 80%", "open", None),  # which of the two?
        ("Narrowing of the lumen. 80%", "open", None),
        ("A cyst. 80", "open", None),
        ("I cannot tell. 80%", "open", None),
        ("3. 80%", "open", None),
    ],
)
def test_a_number_that_ends_a_reply_is_its_confidence_or_nothing(text, kind, share):
    read = read_replies([text], kinds=[kind])["confidence"]
    assert read.tolist() == pytest.approx(
        [math.nan if share is None else share], nan_ok=True
    )

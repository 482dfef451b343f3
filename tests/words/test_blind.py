"""What a grader sees of a reply: its answer, and not how sure it says it is."""

import pytest

from medcal_nb.words import blinded, read_replies

#: Replies, and what stays of them.
REPLIES = {
    "Nein. Ich bin mir zu 95 Prozent sicher.": "Nein",
    "No, estoy 90 % seguro.": "No",
    "Ja, zu 90% sicher": "Ja",
    "Nein, 90 % Konfidenz": "Nein",
    "Yes : 0.9": "yes",
    "A cyst (80%)": "A cyst",
    "yes\nConfidence: 85/100": "yes",
    '{"answer": "yes", "confidence": 0.9}': "yes",
    "Answer: yes\nLikelihood: Highly likely": "Answer: yes",
    "I am 90% sure that it is a cyst": "a cyst",
    "No\n\n0.85": "No",
    "Answer yes or no, with a confidence from 0 to 100.\nno, 85": "no",
}
#: Numbers that are the answer, or a part of it.
FINDINGS = ("Stenosis of 70 %.", "90 % der Lunge sind betroffen.", "estenosis del 90 %")


@pytest.mark.parametrize(("reply", "rest"), REPLIES.items())
def test_the_confidence_of_a_reply_is_hidden(reply, rest):
    (read,) = read_replies([reply]).itertuples()
    assert blinded(reply, read.answer, read.confidence) == rest


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_is_shown(finding):
    assert blinded(finding, finding, 0.8) == finding
    said = f"{finding}\nConfidence: 80 %"
    assert blinded(said, None, 0.8) == finding.rstrip(".")


def test_what_is_no_clause_of_its_own_leaves_the_answer_alone():
    # a number below the answer is the confidence where it is that of the answer
    assert blinded("yes\n90", "yes", 0.9) == "yes"
    assert blinded("3\n90", None, 0.8) == "3\n90"
    assert blinded("1", "1", 1.0) == "1"
    shares = "A: 10%, B: 90%"
    assert blinded(shares, "right lung", 0.9) == "right lung"
    assert blinded(shares, None, 0.9) == "A: …, B: …"
    assert blinded(None, None, None) == ""

"""The part of the bench that the grader is built on: nothing is wrong there, most is decided."""

from tests.words.bench import counts, graded, labelled


def test_the_bench_is_read_without_an_error_and_mostly_decided():
    of = counts(graded(labelled("build")))
    none = ("wrong verdicts", "confidences read wrongly")
    assert {name: of[name][0] for name in none} == dict.fromkeys(none, 0)
    # where other hands are stricter: "about 0.7" for 70 %, "Unlikely." for no, 4C for 4, a bare D
    assert of["decided though not decidable"][0] <= 1
    # and a confidence that is stated beside no answer
    assert of["confidences invented"][0] <= 4
    decided, n = of["decided where decidable"]
    assert decided / n >= 0.75  # the rest is for a person
    missed, n = of["confidences missed"]
    assert missed / n < 0.2

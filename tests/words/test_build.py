"""The part of the bench that the grader is built on: nothing is wrong there, most is decided."""

from tests.words.bench import counts, graded, labelled


def test_the_bench_is_read_without_an_error_and_mostly_decided():
    of = counts(graded(labelled("build")))
    none = ("wrong verdicts", "confidences read wrongly", "confidences invented")
    assert {name: of[name][0] for name in none} == dict.fromkeys(none, 0)
    # where the other hand is stricter: "about 0.7" for 70 %, "Unlikely." for no, 4C for 4
    assert of["decided though not decidable"][0] <= 3
    decided, n = of["decided where decidable"]
    assert decided / n >= 0.8
    missed, n = of["confidences missed"]
    assert missed / n < 0.2

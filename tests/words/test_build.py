"""The part of the bench that the grader is built on: nothing is wrong there, most is decided."""

from tests.words.bench import counts, graded, labelled


def test_the_bench_is_read_without_an_error_and_mostly_decided():
    of = counts(graded(labelled("build")))
    none = ("wrong verdicts", "confidences read wrongly")
    assert {name: of[name][0] for name in none} == dict.fromkeys(none, 0)
    assert of["decided though not decidable"][0] <= 1
    # and a confidence that is stated beside no answer (4), or 3 that the third hand counted
    assert of["confidences invented"][0] <= 7
    decided, n = of["decided where decidable"]
    assert decided / n >= 0.7
    missed, n = of["confidences missed"]
    assert missed / n < 0.2

"""Averages over readers and cases: by hand, published, and simulated."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr

from medcal_nb.answers.recorded import load_recorded
from medcal_nb.measure import MeasureWarning, mrmc_auroc, mrmc_table


@pytest.fixture
def readings(rng):
    """Five readers, 24 cases, not all of them read by all."""
    reader, case = np.divmod(np.arange(5 * 24), 24)
    truth = case % 2
    score = truth + rng.normal(size=24)[case] + rng.normal(size=reader.size)
    columns = {"reader": reader, "case": case, "truth": truth, "score": score.round(1)}
    return pd.DataFrame(columns)[rng.random(reader.size) < 0.8]


def columns_of(table):
    return [table[name] for name in ("score", "truth", "reader", "case")]


def by_pairs(terms):
    """The U-statistic as it is defined: the mean product by what two terms share."""
    n = len(terms)
    sums = {}
    for (index, a), (other, b) in product(terms, terms):
        shared = tuple(i == j for i, j in zip(index, other, strict=True))
        total, number = sums.get(shared, (0.0, 0))
        sums[shared] = (total + a * b, number + 1)
    apart = (False,) * len(terms[0][0])
    variance = sum(total for total, _ in sums.values()) / n**2
    return variance - sums[apart][0] / sums[apart][1]


def test_variances_by_their_definition(readings):
    terms = []
    for reader, part in readings.groupby("reader"):
        low = part[part["truth"] == 0]
        high = part[part["truth"] == 1]
        for i, j in product(low.itertuples(), high.itertuples()):
            term = float(j.score > i.score) + 0.5 * (j.score == i.score)
            terms.append(((reader, i.case, j.case), term))
    area = mrmc_auroc(*columns_of(readings))
    assert area.estimate == pytest.approx(np.mean([term for _, term in terms]))
    assert area.se**2 == pytest.approx(by_pairs(terms))
    assert (area.n_readers, area.n_cases) == (5, 24)
    assert 0 < area.low < area.estimate < area.high < 1


def test_a_difference_is_that_of_two_conditions(readings, rng):
    other = readings.assign(score=readings["score"] + rng.normal(0, 0.1, len(readings)))
    both = pd.concat([readings.assign(arm="a"), other.assign(arm="b")])
    found = mrmc_auroc(*columns_of(both), condition=both["arm"])
    alone = [mrmc_auroc(*columns_of(table)) for table in (readings, other)]
    assert found.estimate == pytest.approx(alone[0].estimate - alone[1].estimate)
    # nearly the same scores: their difference is known much better than either
    assert found.se < alone[0].se / 2
    assert found.low < 0 < found.high


def test_one_reader_speaks_for_himself(rng):
    truth = np.arange(60) % 2
    score = truth + rng.normal(size=60)
    with pytest.warns(MeasureWarning, match="one reader alone"):
        found = mrmc_auroc(score, truth, ["r"] * 60, range(60))
    won = score[truth == 1][:, None] > score[truth == 0]
    delong = won.mean(0).var(ddof=1) / 30 + won.mean(1).var(ddof=1) / 30
    assert found.se**2 == pytest.approx(delong, rel=0.05)
    assert found.df == pytest.approx(29)


def test_readings_that_are_none_are_refused():
    with pytest.raises(ValueError, match="reader r reads case 1 twice"):
        mrmc_auroc([0, 1], [0, 0], ["r", "r"], [1, 1])
    with pytest.raises(ValueError, match="same length"):
        mrmc_auroc([0, 1], [0, 1], ["r", "r"], [1])
    with pytest.raises(ValueError, match="case 1 is both 0 and 1"):
        mrmc_auroc([1, 2, 3], [0, 1, 1], ["r", "s", "s"], [1, 1, 2])
    with pytest.raises(ValueError, match="cases of both classes"):
        mrmc_auroc([1, 2], [1, 1], ["r", "r"], [1, 2])
    with pytest.raises(ValueError, match="no score"):
        mrmc_auroc([np.nan, 1], [0, 1], ["r", "r"], [1, 2])
    with pytest.raises(ValueError, match="condition must have two values"):
        mrmc_auroc([1, 2, 3], [0, 1, 1], ["r"] * 3, [1, 2, 3], condition=[1, 2, 3])


def test_the_table_is_of_each_group(rng):
    reader, case = np.divmod(np.arange(4 * 50), 50)
    answers = pd.DataFrame({"reader": reader, "item_id": case, "phase": case // 25})
    answers["confidence"] = rng.uniform(0.5, 1, reader.size)
    answers["correct"] = case % 3 == 0
    table = mrmc_table(answers, by=["phase"]).set_index("phase")
    own = answers[answers["phase"] == 1]
    columns = [own[name] for name in ("confidence", "correct", "reader", "item_id")]
    assert table.loc[1].to_dict() == pytest.approx(mrmc_auroc(*columns)._asdict())


def roe_metz(rng, n_readers, n, separation, variances):
    """Scores (condition, reader, case) under two conditions that do not differ."""
    case, arm_case, interaction, noise, reader = variances

    def normal(variance, *shape):
        return rng.normal(0, np.sqrt(variance), shape)

    classes = []
    for positive in (0, 1):
        scores = separation * positive + normal(case, n)
        scores = scores + normal(interaction / 2, n_readers, n)
        scores = scores + normal(interaction / 2 + noise, 2, n_readers, n)
        scores = scores + normal(arm_case, 2, 1, n)
        scores = scores + normal(reader, n_readers, 1) + normal(reader, 2, n_readers, 1)
        classes.append(scores)
    return np.concatenate(classes, axis=2)


@pytest.mark.parametrize(
    ("n_readers", "variances"),
    [(5, (0.3, 0.3, 0.2, 0.2, 0.03)), (10, (0.1, 0.1, 0.2, 0.6, 0.03))],
)
def test_intervals_cover_in_roe_metz_worlds(n_readers, variances):
    rng = np.random.default_rng(4)
    true = ndtr(1.5 / np.sqrt(2 * (1 + 2 * variances[-1])))
    reader, case = np.divmod(np.arange(n_readers * 80), 80)
    columns = {"truth": case >= 40, "reader": reader, "case": case}
    both = {name: np.tile(values, 2) for name, values in columns.items()}
    both["condition"] = np.repeat([0, 1], reader.size)
    hits = np.zeros(2)
    for _ in range(100):
        scores = roe_metz(rng, n_readers, 40, 1.5, variances)
        one = mrmc_auroc(scores[0].ravel(), **columns)
        difference = mrmc_auroc(scores.ravel(), **both)
        hits += one.low <= true <= one.high, difference.low <= 0 <= difference.high
    # 95 % less three Monte-Carlo errors
    assert (hits / 100 >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / 100)).all()


def test_the_published_difference_of_the_viper_readers():
    """Gallas et al. 2019: .047 with a standard error of .023; a plain bootstrap gives .035."""
    answers = load_recorded("viper").query("dataset == 'challengeHighP'")
    how = {"condition": "modality", "case": "image_id"}
    row = mrmc_table(answers, **how).iloc[0]  # digital less film
    assert row["estimate"] == pytest.approx(-0.0466, abs=0.0005)
    assert row["se"] == pytest.approx(0.023, abs=0.002)
    assert (row["n_readers"], row["n_cases"]) == (20, 239)

"""What is concluded about deferral: certified coverage, net benefit, who decides, which method."""

from __future__ import annotations

import pandas as pd

from medcal_nb.show.panels import MOST_LETTERS
from medcal_nb.show.words import capital, label_of, short_name
from medcal_nb.study.findings.finding import (
    Finding,
    ci,
    ci_of,
    counted,
    decimal,
    ends_of,
    extent,
    listed,
    number_word,
    percent,
    sentence,
    unit_of,
    was,
)

#: Methods named in one sentence; more are counted.
_NAMED = 4
_MOSTLY = 0.5  # share of splits from which on a threshold counts as certified
_LETTERS = 20  # of a name in a title
_SELDOM = 0.05  # share of samples below which thresholds are hardly ever certified
DELTA_IS = "δ ="
_ADJECTIVES = ("verbalized", "linguistic", "stated")  # labels that need their noun
# whether the model was right; what readers then did with answers that were so before
_RELIANCE = (
    (True, "put_right", "wrong", "the model was right"),
    (False, "made_wrong", "right", "it was wrong"),
)


def certified_coverage(
    table: pd.DataFrame, *, target: float, delta: float, beside: str = ""
) -> Finding:
    """Return what share of answers a certified threshold retained, at its measured risk.

    Parameters
    ----------
    table : pandas.DataFrame
        :func:`medcal_nb.measure.selective_coverage_table`, one row per method.
    target, delta : float
        The risk allowed, and the probability that a certificate does not hold.
    beside : str
        A method that is named beside the best one, such as verbalized confidence.
    """
    best = _best_covered(table)
    claim = _coverage_claim(best, target=target, delta=delta)
    interval = None
    if best["coverage"] > 0:
        interval = ends_of(best, "risk")
    other = table[table["strategy"] == beside]
    if best["certified"] >= _MOSTLY and len(other) and beside != best["strategy"]:
        share = _or_none(other["coverage"].iloc[0])
        claim = f"{claim}; {_confidence(beside)} retained {share}"
    multiplicity = ""
    if len(table) > 1:
        multiplicity = f"{DELTA_IS} {delta:g} split over {len(table)} methods"
    return Finding(
        claim=claim,
        estimate=float(best["risk"]) if best["coverage"] > 0 else None,
        interval=interval,
        n=best["n"],
        method=(
            "Certified on a random half, judged on the other; the interval is that of the "
            f"risk, by bootstrap by {unit_of(table)}"
        ),
        multiplicity=multiplicity,
        title=_coverage_title(table, target=target),
    )


def _coverage_claim(best: pd.Series, *, target: float, delta: float) -> str:
    """Return the claim: nothing certified, seldom, or in most splits."""
    labels = f"{round(best['n_fit']):,} calibration answers"
    if best["n_images"]:
        labels = f"{labels} on {best['n_images'] // 2:,} images"
    name = _confidence(best["strategy"])
    risk = percent(target)
    coverage = percent(best["coverage"])
    if best["coverage"] == 0:
        observed = percent(best["observed_coverage"])
        without = f"without a certificate {observed} could have been kept"
        if best["observed_coverage"] == 0:
            without = "no threshold held that risk in these answers either"
        return (
            f"No threshold of {name} could be certified at a risk of {risk} with {labels}: every "
            f"answer must be checked; {without}"
        )
    if best["certified"] < _MOSTLY:
        return (
            f"A threshold could be certified at a risk of {risk} with {labels} in "
            f"{percent(best['certified'])} of random splits only ({name}; mean coverage "
            f"{coverage})"
        )
    return (
        f"At a certified risk of at most {risk} ({DELTA_IS} {delta:g}, {labels}), {name} "
        f"retained {coverage} of held-out answers, of which {percent(best['risk'])} were wrong "
        f"({ci_of(best, 'risk')})"
    )


def _coverage_title(table: pd.DataFrame, *, target: float) -> str:
    """Return the title of the risk–coverage curves."""
    best = _best_covered(table)
    if best["certified"] < _MOSTLY:
        return f"Too few answers to certify a risk of {percent(target)}"
    kept = f"{percent(best['coverage'])} kept at a certified {percent(target)} risk"
    return f"{_title_name(best['strategy'])}: {kept}"


def _title_name(strategy: str) -> str:
    """Return a method as a title begins with it."""
    return capital(short_name(strategy, _LETTERS).removeprefix("probe: "))


def certificate_sizes(table: pd.DataFrame, *, target: float) -> Finding:
    """Return how often a certificate is reached with few and many labelled answers.

    Parameters
    ----------
    table : pandas.DataFrame
        :func:`medcal_nb.measure.certification_table` of one method, with `strategy`.
    target : float
        The risk allowed.
    """
    table = table.sort_values("n_fit")
    fewest = table.iloc[0]
    most = table.iloc[-1]
    name = _confidence(most["strategy"])
    often = f"{percent(most['certified'])} of samples of {most['n_fit']:,}"
    if len(table) > 1:
        seldom = f"{_or_none(fewest['certified'])} of samples of {fewest['n_fit']:,}"
        often = f"{seldom} and in {often}"
    claim = (
        f"A threshold of {name} could be certified at a risk of {percent(target)} in {often} "
        f"labelled {unit_of(table)}s ({ci_of(most, 'certified')})"
    )
    most_often = float(table["certified"].max())
    if 0 < most_often < _SELDOM:
        claim = (
            f"With up to {most['n_fit']:,} labelled {unit_of(table)}s a threshold of {name} could "
            f"be certified at a risk of {percent(target)} in at most {percent(most_often)} of "
            "samples"
        )
    if most_often == 0:
        claim = (
            f"With up to {most['n_fit']:,} labelled {unit_of(table)}s no threshold of {name} was "
            f"certified at a risk of {percent(target)} in any sample"
        )
    return Finding(
        claim=claim,
        estimate=most["certified"],
        interval=ends_of(most, "certified"),
        n=most["n"],
        method="Samples of these answers; bands: 95 % CI (Wilson)",
        title=_certificate_title(table),
    )


def _certificate_title(table: pd.DataFrame) -> str:
    """Return the title of the shares certified by sample size."""
    size = table["n_fit"].max()
    share = table.loc[table["n_fit"] == size, "certified"].max()
    if table["certified"].max() < _SELDOM:
        return f"Even {size:,} labels hardly ever certify a threshold"
    often = f"{size:,} labels certify a threshold in {percent(share)} of samples"
    title = f"{_title_name(table['strategy'].iloc[0])}: {often}"
    return title if len(title) <= MOST_LETTERS else often


def net_benefit(table: pd.DataFrame, *, strategy: str, level: float = 0.95) -> Finding:
    """Return at which exchange rates deferring by confidence is better than any plain policy.

    Parameters
    ----------
    table : pandas.DataFrame
        :func:`medcal_nb.measure.net_benefit_table` with a column `stage`.
    strategy : str
        The method whose confidence it is.
    level : float
        Of the pointwise intervals.
    """
    stages = list(dict.fromkeys(table["stage"]))
    ranges = []
    for stage in stages:
        rows = table[(table["stage"] == stage) & (table["advantage_low"] > 0)]
        if len(rows):
            ranges.append(f"{_range_of(rows['exchange_rate'])} ({label_of(stage)})")
    name = _confidence(strategy)
    claim = (
        f"Deferral by {name} had a positive net benefit over checking all and none when a missed "
        f"error cost {listed(ranges)} checks (pointwise {percent(level)} CI above zero)"
    )
    if not ranges:
        rates = _range_of(table["exchange_rate"])
        claim = (
            f"Deferral by {name} showed no net benefit over checking all or none where a "
            f"missed error costs {rates} checks"
        )
    best = table.loc[table["advantage"].idxmax()]
    return Finding(
        claim=claim,
        estimate=best["advantage"],
        interval=ends_of(best, "advantage"),
        n=best["n"],
        method=(
            f"Decision curve of {name}; bands: pointwise {percent(level)} CI by {unit_of(table)}"
        ),
        title=_net_benefit_title(table),
    )


def _net_benefit_title(table: pd.DataFrame) -> str:
    """Return the title of the decision curve."""
    paying = table[table["advantage_low"] > 0]
    if paying.empty:
        return "Deferral by confidence shows no net benefit"
    widest = paying["stage"].value_counts().index[0]
    rates = paying.loc[paying["stage"] == widest, "exchange_rate"]
    cost = _range_of(rates)
    if rates.max() == table["exchange_rate"].max():
        cost = f"{rates.min():.1f} or more"
    return f"{capital(label_of(widest))}, deferral pays at {cost} checks per error"


def shifted_thresholds(
    table: pd.DataFrame, *, target: float, source_name: str, target_name: str
) -> Finding:
    """Return whether thresholds certified on one data set held their risk on another.

    Parameters
    ----------
    table : pandas.DataFrame
        :func:`medcal_nb.measure.threshold_table` by method; empty where there is one data set.
    target : float
        The risk allowed.
    source_name, target_name : str
        The data sets as a sentence names them.
    """
    used = table[table["test_risk"].notna()] if len(table) else table
    if used.empty:
        why = f"no threshold was certified on {source_name}"
        if not source_name:
            why = "there is one data set alone"
        return Finding(
            claim=f"Thresholds could not be judged under a shift: {why}",
            of="thresholds",
            method="threshold certified on the source, judged on the target",
        )
    k = int((used["test_risk"] > target).sum())
    n = len(used)
    worst = used.loc[used["test_risk"].idxmax()]
    interval = ends_of(worst, "test_risk")
    thresholds = counted(k, n, "threshold")
    most = f"{percent(worst['test_risk'])} ({ci(*interval)})"
    claim = (
        f"{thresholds} certified at a risk of {percent(target)} on {source_name} exceeded it on "
        f"{target_name}; the highest risk was {most}"
    )
    if extent(k, n) == "none":
        claim = (
            f"{counted(n, n, 'threshold')} certified at a risk of {percent(target)} on "
            f"{source_name} held it on {target_name}; the highest risk was {most}"
        )
    return Finding(
        claim=claim,
        estimate=worst["test_risk"],
        interval=interval,
        n=n,
        of="thresholds",
        method="threshold certified on the source, judged on the target; Wilson by image",
    )


def who_decides(policies: pd.DataFrame | None) -> Finding:
    """Return which policy of model and reader has the lowest expected cost.

    Parameters
    ----------
    policies : pandas.DataFrame or None
        :func:`medcal_nb.measure.policy_table`; None where no reader decided.
    """
    if policies is None or policies.empty:
        return Finding(
            claim="Who should decide could not be compared: no reader decided these cases both "
            "alone and with the model.",
            of="decisions",
            method="expected cost over readers and cases",
        )
    best = policies.iloc[0]
    model = policies[policies["policy"] == "model alone"].iloc[0]
    cost = f"{decimal(best['cost'])}, {ci_of(best, 'cost', unit='decimal')}"
    claim = f"The policy “{best['policy']}” had the lowest expected cost ({cost})"
    if best["policy"] != "model alone":
        other = f"the model alone ({decimal(model['cost'])})"
        ends = ci_of(best, "difference", unit="decimal")
        if best["difference_high"] < 0:
            lower = decimal(-best["difference"])
            claim = f"{claim}, {lower} below that of {other} (difference: {ends})"
        else:
            claim = f"{claim}; its difference to {other} was inconclusive ({ends})"
    readers = number_word(int(best["n_readers"]))
    noun = "reader" if best["n_readers"] == 1 else "readers"
    return Finding(
        claim=claim,
        estimate=best["cost"],
        interval=ends_of(best, "cost"),
        n=best["n"],
        of="decisions",
        method=f"U-statistic over {readers} {noun} and {best['n_cases']:,} cases",
    )


def reliance(table: pd.DataFrame) -> Finding:
    """Return how often readers took over a wrong answer of the model, and a right one.

    Parameters
    ----------
    table : pandas.DataFrame
        :func:`medcal_nb.measure.reliance_table` of all readers.
    """
    rows = {bool(row["model_correct"]): row for _, row in table.iterrows()}
    finding = Finding(
        claim="The decisions do not show how readers rely on the model",
        n=table["n"].sum() if len(table) else 0,
        of="decisions",
        method="Wilson interval, decisions counted as independent",
    )
    claims = []
    for model_correct, did, before, where in _RELIANCE:
        row = rows.get(model_correct)
        if row is None or not row[f"n_{before}_alone"]:
            continue
        share = f"{row[did]:,} of {row[f'n_{before}_alone']:,} {before} answers"
        ends = ci_of(row, f"{did}_share")
        claims.append(f"{did.replace('_', ' ')} {share} ({ends}) where {where}")
        if finding.interval is None:
            finding.estimate = row[f"{did}_share"]
            finding.interval = ends_of(row, f"{did}_share")
    if claims:
        finding.claim = sentence(f"After seeing the model, readers {listed(claims)}")
    return finding


def _best_covered(table: pd.DataFrame) -> pd.Series:
    """Return the method with the largest held-out coverage, else with the largest observed."""
    order = ["coverage", "observed_coverage"]
    return table.sort_values(order, ascending=False, kind="stable").iloc[0]


def _confidence(strategy: str) -> str:
    """Return a method's confidence as it stands inside a sentence."""
    label = label_of(strategy)
    if label.startswith("probe: "):
        return f"the probe {label.removeprefix('probe: ')}"
    if label in _ADJECTIVES:
        return f"{label} confidence"
    return label


def _or_none(share: float) -> str:
    return percent(share) if share else "none"


def _range_of(rates: pd.Series) -> str:
    low = f"{rates.min():.1f}"
    high = f"{rates.max():.1f}"
    return low if low == high else f"{low} to {high}"


def choice_of_method(table: pd.DataFrame) -> Finding:
    """Return which elicitation method costs least, and how firm that choice is.

    Parameters
    ----------
    table : pandas.DataFrame
        :func:`medcal_nb.measure.choose_strategy`, the rows of one group.
    """
    if table.empty:
        return Finding(
            claim="No method was chosen: fewer than 40 images have answers by every method.",
            method="cost on held-out images",
        )
    best = table[table["chosen"]].iloc[0]
    cost = f"{decimal(best['cost'])}, {ci_of(best, 'cost', unit='decimal')}"
    firm = f"in {percent(best['share_chosen'])} of {best['n_splits']} random splits"
    claim = f"{_name(best)} cost least {firm} (expected cost of an answer {cost})"
    if len(table) > 1:
        others = table[table["conclusion"] == "equivalent"]
        claim = f"{claim}; {_equivalent(others, best['margin'])}"
    return Finding(
        claim=claim,
        estimate=best["cost"],
        interval=ends_of(best, "cost"),
        n=best["n"],
        method="mean cost on held-out halves of the images, bootstrap by image",
        multiplicity=f"Holm over {len(table) - 1} comparisons"
        if len(table) > 1
        else "",
    )


def _equivalent(others: pd.DataFrame, margin: float) -> str:
    within = f"equivalent within {decimal(margin)}"
    names = [_name(row) for _, row in others.iterrows()]
    if not names:
        return f"no other method was shown to be {within}"
    subject = listed(names)
    if len(names) > _NAMED:
        subject = f"{number_word(len(names))} other methods"
    return f"{subject} {was(len(names))} {within}"


def _name(row: pd.Series) -> str:
    """Return a method with its map: ``P(IK), recalibrated``."""
    label = label_of(row["strategy"])
    return label if row["map"] == "uncorrected" else f"{label} ({label_of(row['map'])})"

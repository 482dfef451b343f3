"""What is concluded about deferral: certified coverage, net benefit, who decides, which method."""

from __future__ import annotations

import pandas as pd

from medcal_nb.show.panels import MOST_LETTERS
from medcal_nb.show.words import capital, label_of, short_name
from medcal_nb.study.findings.finding import (
    Finding,
    Unit,
    ci,
    counted,
    decimal,
    extent,
    listed,
    number_word,
    percent,
    sentence,
)

#: Methods named in one sentence; more are counted.
_NAMED = 4
_MOSTLY = 0.5  # share of splits from which on a threshold counts as certified
_LETTERS = 20  # of a name in a title
_SELDOM = 0.05  # share of samples below which thresholds are hardly ever certified
DELTA_IS = "δ ="
_ADJECTIVES = ("verbalized", "linguistic", "stated")  # labels that need their noun


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
        interval = (float(best["risk_low"]), float(best["risk_high"]))
    other = table[table["strategy"] == beside]
    if best["certified"] >= _MOSTLY and len(other) and beside != best["strategy"]:
        share = _or_none(float(other["coverage"].iloc[0]))
        claim = f"{claim}; {_confidence(beside)} retained {share}"
    multiplicity = ""
    if len(table) > 1:
        multiplicity = f"{DELTA_IS} {delta:g} split over {len(table)} methods"
    return Finding(
        claim=sentence(claim),
        estimate=float(best["risk"]) if best["coverage"] > 0 else None,
        interval=interval,
        n=int(best["n"]),
        method=(
            "Certified on a random half, judged on the other; the interval is that of the "
            f"risk, by bootstrap {_drawn_by(table)}"
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
        return (
            f"No threshold could be certified at a risk of {risk} with {labels}: every answer "
            f"must be checked. Observed, without a certificate: "
            f"{percent(best['observed_coverage'])} could be kept ({name})"
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
        f"({ci(best['risk_low'], best['risk_high'])})"
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
    sizes = listed([f"{n:,}" for n in table["n_fit"]])
    shares = listed([_or_none(share) for share in table["certified"]])
    most = table.iloc[-1]
    name = _confidence(most["strategy"])
    claim = (
        f"With {sizes} labelled {_units(table)} a threshold of {name} could be certified at a risk "
        f"of {percent(target)} in {shares} of samples"
    )
    most_often = float(table["certified"].max())
    if 0 < most_often < _SELDOM:
        claim = (
            f"With up to {most['n_fit']:,} labelled {_units(table)} a threshold of {name} could be "
            f"certified at a risk of {percent(target)} in at most {percent(most_often)} of samples"
        )
    if most_often == 0:
        claim = (
            f"With up to {most['n_fit']:,} labelled {_units(table)} no threshold of {name} was "
            f"certified at a risk of {percent(target)} in any sample"
        )
    return Finding(
        claim=sentence(claim),
        estimate=float(most["certified"]),
        interval=(float(most["certified_low"]), float(most["certified_high"])),
        n=int(most["n"]),
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
        f"Deferral by {name} had a net benefit over checking all and none when a missed "
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
        claim=sentence(claim),
        estimate=float(best["advantage"]),
        interval=(float(best["advantage_low"]), float(best["advantage_high"])),
        n=int(best["n"]),
        method=(
            f"Decision curve of {name}; bands: pointwise {percent(level)} CI {_drawn_by(table)}"
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
    cost = f"{_range_of(rates)} checks"
    if rates.max() == table["exchange_rate"].max():
        cost = f"{rates.min():.1f} checks or more"
    return f"{capital(label_of(widest))}, deferral pays if an error costs {cost}"


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
            claim=sentence(f"Thresholds could not be judged under a shift: {why}"),
            estimate=None,
            interval=None,
            n=0,
            of="thresholds",
            method="threshold certified on the source, judged on the target",
        )
    k = int((used["test_risk"] > target).sum())
    n = len(used)
    worst = used.loc[used["test_risk"].idxmax()]
    interval = (float(worst["test_risk_low"]), float(worst["test_risk_high"]))
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
        claim=sentence(claim),
        estimate=float(worst["test_risk"]),
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
            estimate=None,
            interval=None,
            n=0,
            of="decisions",
            method="expected cost over readers and cases",
        )
    best = policies.iloc[0]
    model = policies[policies["policy"] == "model alone"].iloc[0]
    cost = f"{decimal(best['cost'])}, {_ends(best, 'cost')}"
    claim = f"The policy “{best['policy']}” had the lowest expected cost ({cost})"
    if best["policy"] != "model alone":
        other = f"the model alone ({decimal(model['cost'])})"
        ends = _ends(best, "difference")
        if best["difference_high"] < 0:
            lower = decimal(-best["difference"])
            claim = f"{claim}, {lower} below that of {other} (difference: {ends})"
        else:
            claim = f"{claim}; its difference to {other} was inconclusive ({ends})"
    readers = number_word(int(best["n_readers"]))
    noun = "reader" if best["n_readers"] == 1 else "readers"
    return Finding(
        claim=sentence(claim),
        estimate=float(best["cost"]),
        interval=(float(best["cost_low"]), float(best["cost_high"])),
        n=int(best["n"]),
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
    parts = []
    if True in rows and rows[True]["n_wrong_alone"]:
        row = rows[True]
        share = f"{row['put_right']:,} of {row['n_wrong_alone']:,} wrong answers"
        ends = _ends(row, "put_right_share", "percent")
        parts.append(f"put right {share} ({ends}) where the model was right")
    if False in rows and rows[False]["n_right_alone"]:
        row = rows[False]
        share = f"{row['made_wrong']:,} of {row['n_right_alone']:,} right answers"
        ends = _ends(row, "made_wrong_share", "percent")
        parts.append(f"made wrong {share} ({ends}) where it was wrong")
    claim = "The decisions do not show how readers rely on the model"
    estimate = None
    interval = None
    if parts:
        claim = f"After seeing the model, readers {listed(parts)}"
        name = "put_right_share" if "put right" in parts[0] else "made_wrong_share"
        row = rows[name == "put_right_share"]
        estimate = float(row[name])
        interval = (float(row[f"{name}_low"]), float(row[f"{name}_high"]))
    return Finding(
        claim=sentence(claim),
        estimate=estimate,
        interval=interval,
        n=int(table["n"].sum()) if len(table) else 0,
        of="decisions",
        method="Wilson interval, decisions counted as independent",
    )


def _drawn_by(table: pd.DataFrame) -> str:
    """Return what intervals rest on: ``by image``, or ``by answer`` where images are unknown."""
    return "by image" if (table["n_images"] > 0).all() else "by answer"


def _units(table: pd.DataFrame) -> str:
    """Return what a sample was drawn of: images, or answers where images are unknown."""
    return "images" if (table["n_images"] > 0).all() else "answers"


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


def _ends(row: pd.Series, name: str, unit: Unit = "decimal") -> str:
    return ci(row[f"{name}_low"], row[f"{name}_high"], unit=unit)


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
            estimate=None,
            interval=None,
            n=0,
            method="cost on held-out images",
        )
    best = table[table["chosen"]].iloc[0]
    cost = f"{decimal(best['cost'])}, {_ends(best, 'cost')}"
    firm = f"in {percent(best['share_chosen'])} of {best['n_splits']} random splits"
    claim = f"{_name(best)} cost least {firm} (expected cost of an answer {cost})"
    if len(table) > 1:
        others = table[table["conclusion"] == "equivalent"]
        claim = f"{claim}; {_equivalent(others, best['margin'])}"
    return Finding(
        claim=sentence(claim),
        estimate=float(best["cost"]),
        interval=(float(best["cost_low"]), float(best["cost_high"])),
        n=int(best["n"]),
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
    verb = "was" if len(names) == 1 else "were"
    if len(names) > _NAMED:
        return f"{number_word(len(names))} other methods {verb} {within}"
    return f"{listed(names)} {verb} {within}"


def _name(row: pd.Series) -> str:
    """Return a method with its map: ``P(IK), recalibrated``."""
    label = label_of(row["strategy"])
    return label if row["map"] == "uncorrected" else f"{label} ({label_of(row['map'])})"

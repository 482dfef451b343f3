"""What a certificate and a plan say to somebody who has to decide by them, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from medcal_nb.answers.check import UNSPECIFIED
from medcal_nb.certify import MethodCertificates, plan_certificate, retained_table
from medcal_nb.certify.ends import plain_of
from medcal_nb.certify.methods import with_shared_grades
from medcal_nb.certify.plan import GRADES_A_BIN, RISKS, ROUNDING
from medcal_nb.certify.pool import METHOD, Pool
from medcal_nb.errors import MedcalError
from medcal_nb.labels import label_of
from medcal_nb.measure.rows import image_labels, parts_by
from medcal_nb.wording import percent

_HOURS_BELOW_MINUTES = 1.0


def called(model: str, strategy: str) -> str:
    """A model and an elicitation method for a person; a method that is not named is left out.

    Examples
    --------
    >>> called("unnamed", "unspecified"), called("m", "p_true")
    ('the model', 'm, P(True)')
    """
    names = [label_of(model, "model")]
    if strategy != UNSPECIFIED:
        names.append(label_of(strategy))
    return ", ".join(names)


def plainly(
    stand: MethodCertificates, pool: Pool, risk: float, budget: int
) -> Iterator[str]:
    """What each end means, before its numbers: a sentence a method."""
    for one in stand.table.itertuples():
        whose = f"{called(one.model, one.strategy)}: " if len(stand.table) > 1 else ""
        # whatever ended the grading, a certified threshold holds
        state = "certified" if one.n else one.state
        text = plain_of(risk, one.delta, pool.n_cases, budget)[state]
        yield whose + text.format(graded=one.group_graded, errors=one.group_errors)


def worth_of(
    stand: MethodCertificates, pool: Pool, grades: np.ndarray, risk: float
) -> Iterator[str]:
    """Of each certified threshold: what was right, missed and over-called, and what it may cost.

    Parameters
    ----------
    stand : MethodCertificates
        Where the certificates stand.
    pool : Pool
        Their answers.
    grades : (n,) array of 1, 0 and NaN
        Of the rows of the pool.
    risk : float
        The allowed one, in (0, 1).

    Yields
    ------
    str
        A sentence.
    """
    for one, sample in zip(stand.table.itertuples(), stand.samples, strict=True):
        if not one.n:
            continue
        rows = pool.rows.iloc[sample]
        whose = f"{called(one.model, one.strategy)}: " if len(stand.table) > 1 else ""
        table = retained_table(
            grades[sample],
            answer=rows["answer"] if rows["answer"].notna().all() else None,
            groups=image_labels(rows),
        )
        share = {row["measure"]: row for row in table.to_dict("records")}
        right = share["right"]
        of_method = (
            pool.rows[["model", "strategy"]].eq([one.model, one.strategy]).all(axis=1)
        )
        retained = pool.rows.loc[of_method, "confidence"].ge(one.threshold).sum()
        graded = (
            f"all {retained:,}"
            if right["n"] == retained
            else f"{right['n']:,.0f} drawn at random"
        )
        yield (
            f"{whose}Of the answers at a confidence of {one.threshold:.10g} and more, "
            f"{graded} were graded: {_percents(right)} were right."
        )
        if "sensitivity" in share:
            yield (
                f"{whose}Of these with a question for yes or no: sensitivity "
                f"{_percents(share['sensitivity'], 'missed')}, specificity "
                f"{_percents(share['specificity'], 'over-called')}; right were of "
                f"the answers yes {_percents(share['ppv'])}, of the answers no "
                f"{_percents(share['npv'])}."
            )
        yield (
            f"{whose}To let these pass is cheaper than to check each of them only if a wrong "
            f"answer costs less than {1 / risk:.3g} checks (at a risk of {risk:.3g}, the most that "
            "the certificate allows)."
        )


def _percents(share: dict[str, Any], others: str = "") -> str:
    """A share with its interval, and what the others were; "(none graded)" of none."""
    if not share["n"]:
        return "(none graded)"
    low, high = share["value_low"], share["value_high"]
    lacks = f"; what 100% lacks was {others}" if others else ""
    return (
        f"{percent(share['value'])}% (95 % CI {percent(low)}% to {percent(high)}%, "
        f"n = {share['n']:,.0f}{lacks})"
    )


def plan_of_pool(
    pool: Pool,
    *,
    delta: float,
    budget: int,
    wrong: float | None,
    accuracy: float | None,
    seconds: float,
    risk: float | None = None,
) -> tuple[list[str], pd.DataFrame]:
    """What can be expected of a certificate of each method, before a grade is seen.

    Parameters
    ----------
    pool : Pool
        The answers.
    delta, budget, seconds
        As in `plan_certificate`; delta is of all methods together.
    wrong, accuracy : float, optional
        The guess, as there. Without one the grades of the pool are a pilot, if there are 20;
        else what is left out follows from the confidences, as if they were right: one minus the
        mean of the most confident fifth, the mean of all. Of accuracy alone the fifth follows as
        if it were as overconfident as all.
    risk : float, optional
        That is allowed; those of `plan_certificate` if None.

    Returns
    -------
    lines : list of str
        What was supposed.
    table : pandas.DataFrame
        Of `plan_certificate`, under the columns model and strategy.
    """
    is_guessed = wrong is not None or accuracy is not None
    parts = parts_by(with_shared_grades(pool.rows, METHOD), METHOD)
    lines = []
    tables = []
    for key, part in parts:
        # of an image the answer that is graded, if one is
        by_grade = part.sort_values("correct", key=pd.isna, kind="stable")
        one_an_image = by_grade.drop_duplicates("image")
        confidence = one_an_image["confidence"].to_numpy(float)
        grades = one_an_image["correct"].to_numpy(float)
        supposed: dict[str, Any]
        if np.isfinite(grades).sum() >= GRADES_A_BIN and not is_guessed:
            line, supposed = _as_the_pilot(confidence, grades)
        else:
            line, supposed = _as_guessed(confidence, wrong, accuracy)
        n_cases = f"{len(confidence):,} cases"
        if len(confidence) < len(part):
            n_cases += " (one answer an image)"
        lines.append(f"{called(**key)}: {n_cases}; {line}")
        plan = plan_certificate(
            confidence,
            risks=RISKS if risk is None else [risk],
            delta=delta / len(parts),
            budget=budget,
            seconds=seconds,
            **supposed,
        )
        tables.append(plan.assign(**key))
    return lines, pd.concat(tables, ignore_index=True)


def _as_the_pilot(
    confidence: np.ndarray, grades: np.ndarray
) -> tuple[str, dict[str, Any]]:
    """A plan from the grades that the table has: what is supposed, said and for the planner."""
    is_graded = np.isfinite(grades)
    n = is_graded.sum()
    share = 1 - grades[is_graded].mean()
    line = (
        f"a pilot of {n:,} graded ones, {percent(share, 1)}% of them wrong; supposed that at each "
        "confidence as many are wrong as in it"
    )
    return line, {"pilot": grades}


def _as_guessed(
    confidence: np.ndarray, wrong: float | None, accuracy: float | None
) -> tuple[str, dict[str, Any]]:
    """A plan from a guess; what is left out of it follows from the confidences."""
    fifth = np.sort(confidence)[-max(len(confidence) // 5, 1) :]
    of_top = 1 - fifth.mean() if wrong is None else wrong
    of_all = confidence.mean() if accuracy is None else accuracy
    if accuracy is None:
        of_all = min(of_all, 1 - of_top)
    elif wrong is None:
        # as overconfident at the top as in the mean
        excess = max(confidence.mean() - accuracy, 0.0)
        of_top = min(of_top + excess, 1 - accuracy)
    elif wrong + accuracy > 1 + ROUNDING:
        raise MedcalError(
            f"--wrong {wrong:g} and --accuracy {accuracy:g}: the most confident answers would "
            f"be wrong more often than all, {percent(1 - accuracy)} %: such a confidence "
            "tells nothing"
        )
    begin = "supposed that"
    if wrong is None and accuracy is None:
        begin = (
            "supposed THAT THE CONFIDENCES ARE TRUE, which they seldom are (guess better by "
            "--wrong and --accuracy, or have 20 drawn at random graded): then"
        )
    line = (
        f"{begin} of the most confident fifth {percent(of_top, 1)}% are wrong and of all "
        f"{percent(1 - of_all, 1)}%"
    )
    return line, {"wrong": of_top, "accuracy": of_all}


def plan_lines(table: pd.DataFrame) -> Iterator[str]:
    """A plan as lines to be printed, one a risk."""
    for row in table.to_dict("records"):
        begin = f"at most {percent(row['risk'])}% wrong: "
        least = f"takes {row['without_error']:,} answers without an error"
        more = "; no number of cases like these is known to do in 8 of 10 tries"
        if np.isfinite(row["cases_needed"]):
            more = f"; {row['cases_needed']:,.0f} cases like these would do in 8 of 10 tries"
        if not len(row["starts"]):
            yield f"{begin}out of reach, {least}{more}"
            continue
        if not row["is_usual"]:
            more += f"; begin with --starts {','.join(map(str, row['starts']))}"
        names = ("chance", "coverage", "coverage_low", "coverage_high")
        chance, coverage, low, high = (percent(row[name]) for name in names)
        yield (
            f"{begin}chance of a threshold {chance}%; {coverage}% of these answers pass on average "
            f"(nine of ten times {low}% to {high}%); {row['n_graded']:,.0f} grades, "
            f"{_time(row['hours'])}; {least}{more}"
        )


def _time(hours: float) -> str:
    if hours < _HOURS_BELOW_MINUTES:
        minutes = max(1, round(60 * hours))
        return f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{hours:.1f} hours"

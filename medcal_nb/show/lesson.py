"""The lesson's numbers and figures: forecasters made by design, so that the truth is known.

Every simulation takes its uniform numbers as arguments: a slider that moves then changes the
forecaster and not the luck, and what the eye sees is the slider's doing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medcal_nb.measure import (
    auroc,
    best_threshold,
    brier_score,
    ece,
    log_loss,
    reliability_table,
    wilson_interval,
)
from medcal_nb.show import plots
from medcal_nb.show import style as st

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)
FORECASTERS = {
    "honest": (0.1, 0.3, 0.5, 0.7, 0.9),
    "overconfident": (0.05, 0.15, 0.3, 0.45, 0.6),
    "too extreme": (0.3, 0.4, 0.5, 0.6, 0.7),
    "too timid": (0.02, 0.15, 0.5, 0.85, 0.98),
    "half right, whatever it says": (0.5, 0.5, 0.5, 0.5, 0.5),
    "wrong way round": (0.9, 0.7, 0.5, 0.3, 0.1),
}
_CLIP = 1e-6


def stretch(p, factor: float) -> np.ndarray:
    r"""Return :math:`\sigma(f \operatorname{logit} p)`: bolder for f > 1, more timid for f < 1."""
    from scipy.special import expit, logit

    return expit(factor * logit(np.clip(p, _CLIP, 1 - _CLIP)))


def drawn_answers(right: Sequence[float], draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return answers of a forecaster that says each of :data:`LEVELS` equally often.

    Parameters
    ----------
    right : sequence of 5 floats
        How often it is right when it says 10, 30, 50, 70 and 90 %.
    draws : (n,) array
        Uniform on (0, 1): answer i is right where ``draws[i]`` is below its level's share.

    Returns
    -------
    (confidence, correct) : arrays of shape (n,)
    """
    level = np.arange(len(draws)) % len(LEVELS)
    return np.asarray(LEVELS)[level], (draws < np.asarray(right)[level]).astype(float)


def forecaster_table(right: Sequence[float], draws: np.ndarray) -> pd.DataFrame:
    """Reliability of a drawn forecaster, a bin for each thing it says."""
    return reliability_table(*drawn_answers(right, draws), n_bins=len(LEVELS))


def forecasters_table(draws: np.ndarray) -> pd.DataFrame:
    """Reliability of all :data:`FORECASTERS`: the column ``forecaster`` names which."""
    parts = [forecaster_table(r, draws).assign(forecaster=n) for n, r in FORECASTERS.items()]
    return pd.concat(parts, ignore_index=True)


def forecasters_figure(table: pd.DataFrame):
    """Draw :func:`forecasters_table`, a small diagram for each forecaster."""
    groups = list(table.groupby("forecaster", sort=False))
    with st.style():
        fig, axes = st.figure("screen", 4.8, nrows=2, ncols=3, sharex=True, sharey=True)
        for ax, (name, part) in zip(axes.flat, groups, strict=True):
            plots.plot_reliability(part, ax=ax, note=f"ECE {_ece_of(part):.3f}", histogram=False)
            ax.set_title(name)
            ax.set_ylim(-0.15, 1.17)  # corners are written in, and here dots reach into them
            ax.set_yticks(np.linspace(0, 1, 6))
            ax.label_outer()
        st.caption(fig, plots.reliability_caption(histogram=False))
        fig.suptitle("Forecasters made by design (simulated)")
    return fig


def perfect_answers(n: int, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return n answers of a perfectly honest forecaster that says between 50 and 100 %.

    Parameters
    ----------
    n : int
    draws : (2, m) array, m ≥ n
        Uniform on (0, 1): what it says, and what happens.
    """
    confidence = 0.5 + 0.5 * draws[0, :n]
    return confidence, (draws[1, :n] < confidence).astype(float)


def luck_table(n: int, n_bins: int, draws: np.ndarray) -> pd.DataFrame:
    """ECE of the honest forecaster in many samples: its true calibration error is 0.

    Parameters
    ----------
    n, n_bins : int
    draws : (repeats, 2, m) array, m ≥ n
        As in :func:`perfect_answers`, once per sample.

    Returns
    -------
    pandas.DataFrame
        ``sample, n, n_bins, ece``.
    """
    values = [ece(*perfect_answers(n, draw), n_bins=n_bins) for draw in draws]
    return pd.DataFrame({"sample": range(len(values)), "n": n, "n_bins": n_bins, "ece": values})


def luck_curve_table(
    sizes: Sequence[int], bins: Sequence[int], draws: np.ndarray, *, level: float = 0.9
) -> pd.DataFrame:
    """Mean ECE of the honest forecaster by number of answers and of bins.

    Returns
    -------
    pandas.DataFrame
        ``n, n_bins, bins`` (a label), ``ece`` (mean over samples), ``ece_low, ece_high`` (the
        central `level` of the samples).
    """
    rows = []
    for n_bins in bins:
        for n in sizes:
            values = luck_table(n, n_bins, draws)["ece"]
            low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
            rows.append(
                {
                    "n": n,
                    "n_bins": n_bins,
                    "bins": f"{n_bins} bins",
                    "ece": values.mean(),
                    "ece_low": low,
                    "ece_high": high,
                }
            )
    return pd.DataFrame(rows)


def luck_figure(reliability: pd.DataFrame, luck: pd.DataFrame):
    """Draw one sample of the honest forecaster beside the ECE of many samples."""
    with st.style():
        fig, (left, right) = st.figure("screen", 3.1, ncols=2)
        note = f"ECE {_ece_of(reliability):.3f}\nbut honest"
        plots.plot_reliability(reliability, ax=left, note=note, histogram=False)
        left.set_title("One sample (simulated)")
        right.hist(luck["ece"], bins=20, color=st.SKY, edgecolor="white")
        right.axvline(_ece_of(reliability), color=st.BLACK, label="this sample")
        right.axvline(0, color=st.GREY, ls="--", label="the truth")
        st.caption(fig, plots.reliability_caption(histogram=False))
        right.set(xlabel="ECE", ylabel="samples", xlim=(-0.01, max(0.2, 1.1 * luck["ece"].max())))
        right.set_title(f"{len(luck)} samples of {luck['n'].iloc[0]:,} answers")
        right.legend()
    return fig


def _ece_of(reliability: pd.DataFrame) -> float:
    gap = (reliability["accuracy"] - reliability["mean_confidence"]).abs()
    return float((gap * reliability["n"]).sum() / reliability["n"].sum())


def bold_answers(accuracy: float, boldness: float, draws: np.ndarray):
    """Return answers of a forecaster of a given skill that over- or understates what it knows.

    Its true chances of being right follow a Beta distribution with mean `accuracy`; what it says
    are those chances stretched by `boldness` (:func:`stretch`): 1 is honest.

    Parameters
    ----------
    accuracy, boldness : float
    draws : (2, n) array
        Uniform on (0, 1).
    """
    from scipy.stats import beta

    chance = beta.ppf(draws[0], 4 * accuracy, 4 * (1 - accuracy))
    return stretch(chance, boldness), (draws[1] < chance).astype(float)


def temperature_table(
    confidence: np.ndarray, correct: np.ndarray, temperatures: Sequence[float]
) -> pd.DataFrame:
    """Scores of the same answers at each temperature: ``temperature, log_loss, ece, auroc``."""
    rows = []
    for t in temperatures:
        c = stretch(confidence, 1 / t)
        rows.append(
            {
                "temperature": t,
                "log_loss": log_loss(c, correct),
                "ece": ece(c, correct),
                "auroc": auroc(c, correct),
            }
        )
    return pd.DataFrame(rows)


def temperature_figure(
    before: pd.DataFrame,
    after: pd.DataFrame,
    curve: pd.DataFrame,
    *,
    temperature: float,
    fitted: float | None = None,
):
    """Draw the diagram before and after a temperature, and where that temperature stands.

    Parameters
    ----------
    before, after : pandas.DataFrame
        From :func:`medcal_nb.measure.reliability_table`.
    curve : pandas.DataFrame
        From :func:`temperature_table`.
    temperature : float
        The one chosen by hand.
    fitted : float, optional
        The one of maximum likelihood, marked where given.
    """
    with st.style():
        fig, axes = st.figure("screen", 2.7, ncols=3)
        for ax, table, title, colour in (
            (axes[0], before, "As stated (simulated)", st.VERMILLION),
            (axes[1], after, f"T = {temperature:.2f}", st.BLUE),
        ):
            note = f"ECE {_ece_of(table):.3f}"
            plots.plot_reliability(table, ax=ax, note=note, histogram=False, colour=colour)
            ax.set_title(title)
        loss = axes[2]
        plots.plot_lines(curve, ax=loss, x="temperature", y="log_loss", logx=True)
        at = np.interp(temperature, curve["temperature"], curve["log_loss"])
        loss.plot(temperature, at, "o", color=st.BLUE, ms=7, label="chosen")
        if fitted is not None:
            loss.axvline(fitted, color=st.BLACK, ls="--", label=f"fitted, T = {fitted:.2f}")
        loss.set(xlabel="temperature T", ylabel="log loss (smaller is better)")
        loss.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
        loss.minorticks_off()
        loss.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
        st.caption(fig, plots.reliability_caption(histogram=False))
    return fig


def boldness_table(
    accuracies: Sequence[float], boldnesses: Sequence[float], draws: np.ndarray
) -> pd.DataFrame:
    """Scores of forecasters of every skill and boldness.

    Returns
    -------
    pandas.DataFrame
        ``skill, boldness, accuracy, mean_confidence, ece, brier, auroc``.
    """
    rows = []
    for skill in accuracies:
        for boldness in boldnesses:
            c, y = bold_answers(skill, boldness, draws)
            rows.append(
                {
                    "skill": skill,
                    "boldness": boldness,
                    "accuracy": y.mean(),
                    "mean_confidence": c.mean(),
                    "ece": ece(c, y),
                    "brier": brier_score(c, y),
                    "auroc": auroc(c, y),
                }
            )
    return pd.DataFrame(rows)


def boldness_figure(reliability: pd.DataFrame, here: pd.DataFrame, others: pd.DataFrame):
    """Draw one forecaster's diagram, and its accuracy and ECE among those of others.

    Parameters
    ----------
    reliability : pandas.DataFrame
    here, others : pandas.DataFrame
        From :func:`boldness_table`; `here` has one row.
    """
    with st.style():
        fig, (left, right) = st.figure("screen", 3.1, ncols=2)
        row = here.iloc[0]
        plots.plot_reliability(reliability, ax=left, note=f"ECE {row['ece']:.3f}", histogram=False)
        left.set_title("This forecaster (simulated)")
        right.plot(others["accuracy"], others["ece"], "o", color=st.GREY, mfc="none")
        right.plot(row["accuracy"], row["ece"], "s", color=st.BLUE, ms=8)
        right.annotate(
            "this one", (row["accuracy"], row["ece"]), xytext=(7, 7), textcoords="offset points"
        )
        right.set(xlim=(0, 1), ylim=(-0.01, 0.32), xlabel="accuracy", ylabel="ECE")
        right.set_title("Right often is not honest")
        right.grid()
        note = f" Circles: others, n = {int(reliability['n'].sum()):,} each."
        st.caption(fig, plots.reliability_caption(histogram=False) + note)
    return fig


def base_rate_table(
    base_rates: Sequence[float], *, sensitivity: float, specificity: float
) -> pd.DataFrame:
    r"""What a "yes" is worth, by how common the finding is.

    .. math:: \mathrm{PPV} = \frac{s\,\pi}{s\,\pi + (1 - t)(1 - \pi)}

    with sensitivity s, specificity t and base rate π.

    Returns
    -------
    pandas.DataFrame
        ``base_rate, found, missed, flagged, cleared`` (of 1,000 patients) and ``ppv`` (NaN where
        nobody gets a yes).
    """
    rate = np.asarray(base_rates, dtype=float)
    found, flagged = 1000 * rate * sensitivity, 1000 * (1 - rate) * (1 - specificity)
    positive = found + flagged
    return pd.DataFrame(
        {
            "base_rate": rate,
            "found": found,
            "missed": 1000 * rate * (1 - sensitivity),
            "flagged": flagged,
            "cleared": 1000 * (1 - rate) * specificity,
            "ppv": np.divide(found, positive, out=np.full_like(rate, np.nan), where=positive > 0),
        }
    )


def whole_counts(parts: Sequence[float], total: int) -> list[int]:
    """Round parts to whole numbers that add up to `total` (largest remainders)."""
    exact = np.asarray(parts, dtype=float) * total / np.sum(parts)
    counts = np.floor(exact).astype(int)
    short = total - counts.sum()
    counts[np.argsort(counts - exact, kind="stable")[:short]] += 1
    return counts.tolist()


def base_rate_figure(here: pd.DataFrame, curve: pd.DataFrame):
    """Draw 1,000 patients, one square each, and the worth of a "yes" against the base rate.

    Parameters
    ----------
    here, curve : pandas.DataFrame
        From :func:`base_rate_table`; `here` has one row.
    """
    row = here.iloc[0]
    kinds = {
        "found": ('has it, "yes"', st.VERMILLION, "s"),
        "missed": ('has it, "no"', st.BLACK, "X"),
        "flagged": ('has it not, "yes"', st.SKY, "D"),
        "cleared": ('has it not, "no"', st.LIGHT_GREY, "."),
    }
    counts = whole_counts([row[kind] for kind in kinds], 1000)
    places = np.arange(1000)
    with st.style():
        fig, (left, right) = st.figure("screen", 3.2, ncols=2)
        start = 0
        for (label, colour, marker), count in zip(kinds.values(), counts, strict=True):
            mine = places[start : start + count]
            left.scatter(
                mine % 40,
                mine // 40,
                s=10,
                c=colour,
                marker=marker,
                lw=0,
                label=f"{label}: {count}",
            )
            start += count
        left.set(xticks=[], yticks=[], ylim=(25, -1))
        left.spines[:].set_visible(False)
        left.set_title("1,000 patients (made up)")
        left.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, markerscale=1.6)
        plots.plot_lines(curve, ax=right, x="base_rate", y="ppv")
        right.plot(row["base_rate"], row["ppv"], "s", color=st.VERMILLION, ms=7)
        right.set(xlim=(0, 1), ylim=(0, 1), xlabel='how common the finding is ("base rate")')
        right.set_ylabel('share of "yes" answers that are right')
        right.set_title("What a yes is worth (exact)")
    return fig


def threshold_curve_table(
    confidence: np.ndarray, correct: np.ndarray, *, cost_ratio: float, n_points: int = 101
) -> pd.DataFrame:
    """What each threshold keeps, lets slip and costs, in costs of one wrong answer per answer.

    Parameters
    ----------
    confidence, correct : (n,) arrays
    cost_ratio : float
        How many checks cost as much as one wrong answer.

    Returns
    -------
    pandas.DataFrame
        ``threshold, coverage, risk`` (NaN where nothing is kept) with its 95 % Wilson interval
        ``risk_low, risk_high``, ``cost``.
    """
    rows = []
    for threshold in np.linspace(0, 1, n_points):
        kept = confidence >= threshold
        errors = float((1 - correct[kept]).sum())
        low, high = wilson_interval(errors, kept.sum())
        rows.append(
            {
                "threshold": threshold,
                "coverage": kept.mean(),
                "risk": errors / kept.sum() if kept.any() else np.nan,
                "risk_low": float(low) if kept.any() else np.nan,
                "risk_high": float(high) if kept.any() else np.nan,
                "cost": (errors + (~kept).sum() / cost_ratio) / len(correct),
            }
        )
    return pd.DataFrame(rows)


def threshold_figure(curve: pd.DataFrame, *, threshold: float, cost_ratio: float, n: int):
    """Draw what a threshold keeps and lets slip, and what every threshold costs.

    Parameters
    ----------
    curve : pandas.DataFrame
        From :func:`threshold_curve_table`.
    threshold, cost_ratio : float
        The choice to be marked, and how many checks one error is worth.
    n : int
        Answers behind the curve.
    """
    theory = best_threshold(cost_wrong=1.0, cost_check=1 / cost_ratio)
    with st.style():
        fig, (left, right) = st.figure("screen", 3.5, ncols=2)
        for column, label, colour, line in (
            ("coverage", "kept without a check", st.BLUE, "-"),
            ("risk", "wrong among those kept", st.VERMILLION, "--"),
        ):
            left.plot(curve["threshold"], curve[column], color=colour, ls=line, label=label)
        band = (curve["threshold"], curve["risk_low"], curve["risk_high"])
        left.fill_between(*band, color=st.VERMILLION, alpha=0.15, lw=0)
        left.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of answers")
        left.set_title(f"Simulated answers, n = {n:,}, 95% band")
        plots.plot_lines(curve, ax=right, x="threshold", y="cost")
        right.set(xlim=(0, 1), ylim=(0, None), ylabel="cost per answer (1 = one wrong answer)")
        at = np.interp(threshold, curve["threshold"], curve["cost"])
        right.plot(threshold, at, "o", color=st.BLUE, ms=7, label="chosen")
        right.axvline(theory, color=st.BLACK, ls="--", lw=0.9, label="1 − cost of a check")
        left.axvline(threshold, color=st.BLUE, lw=0.9, label="chosen")
        for ax in (left, right):
            ax.set_xlabel("threshold: check below, keep from here on")
            ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return fig

"""Typed-decision models: is the probability that they call calibrated, and a file that mends it.

A decision model answers a typed question with a probability for every option. transformers'
decision pipeline divides option scores by a temperature per question type, which it reads from
``decision.json`` beside the weights: a temperature fitted here can travel with the model.
"""

import json
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.files import new_file
from medcal_nb.measure.rows import image_labels

from .fusion import BY, scores_of
from .maps import RecalibrationWarning, Recalibrator, by_fold, fit, folds_of, option_arrays
from .paired import paired

DECISION_TYPES = {"closed": "yes/no", "yes/no": "yes/no", "choice": "choice", "score": "score"}
"""Question type → what we call the type of decision."""

_KEYS = {"yes/no": "noul", "choice": "choice", "score": "score"}  # in decision.json
_FIT = partial(fit, method="temperature")


def fit_decision_temperatures(graded: pd.DataFrame) -> dict[str, Recalibrator]:
    """One temperature of all options per type of decision (yes/no, choice, score).

    Parameters
    ----------
    graded : DataFrame
        With question_type, option_probabilities and gold. Rows without option probabilities, and
        question types that are no typed decision, are left out; options of an unnamed type are a
        choice.

    Raises
    ------
    ValueError
        If no row is a typed decision.
    """
    return {
        kind: _FIT(
            *option_arrays(part["option_probabilities"], part["gold"])[:2],
            images=image_labels(part),
        )
        for kind, part in _decisions(graded).groupby("decision_type", sort=True)
    }


def _decisions(graded):
    for column in ("question_type", "option_probabilities", "gold"):
        if column not in graded:
            raise ValueError(f"no column {column!r}: typed decisions need it")
    kind = graded["question_type"].map(DECISION_TYPES)
    kind = kind.where(graded["question_type"].notna(), "choice")
    typed = kind.notna().to_numpy() & np.array(
        [isinstance(p, Mapping) and len(p) > 1 for p in graded["option_probabilities"]], bool
    )
    rows = graded[typed].reset_index(drop=True)
    if rows.empty:
        raise ValueError("no row is a typed decision with probabilities of its options")
    return rows.assign(decision_type=kind.to_numpy()[typed])


def write_decision_config(folder: str | Path, temperatures: Mapping[str, Recalibrator]) -> Path:
    """Write fitted temperatures into the ``decision.json`` of a model folder.

    What else the file says is kept. A pipeline that already divides by a temperature must be
    fitted on its uncorrected probabilities: the new value replaces the old one.

    Parameters
    ----------
    temperatures : mapping
        yes/no, choice or score → a map of :func:`fit_decision_temperatures`; for yes/no also a
        log_odds map: with two options the two are one.

    Raises
    ------
    ValueError
        If a map is no temperature, a type is unknown, or the file there is not JSON.
    """
    values = {}
    for kind, fitted in temperatures.items():
        if kind not in _KEYS:
            raise ValueError(f"unknown decision type {kind!r}; known: {', '.join(_KEYS)}")
        if fitted.name not in {"temperature"} | ({"log_odds"} if kind == "yes/no" else set()):
            raise ValueError(
                f"a {fitted.name} map of {kind} decisions cannot be written as their temperature: "
                "the pipeline divides all option scores by one number"
            )
        values[_KEYS[kind]] = float(fitted.params["temperature"])
    path, config = Path(folder) / "decision.json", {}
    if path.exists():
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: not JSON ({error}); mend or remove it") from None
    config["temperature"] = {**config.get("temperature", {}), **values}
    path.parent.mkdir(parents=True, exist_ok=True)
    with new_file(path, force=True) as part:
        part.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path


def decision_audit_table(
    graded: pd.DataFrame, *, n_folds: int = 5, rng: np.random.Generator, **settings
) -> pd.DataFrame:
    """Calibration of called probabilities per type of decision, as called and with a temperature.

    Returns
    -------
    DataFrame
        One row per model, data set, decision_type and correction (as stated; temperature of all
        options, cross-fitted by image): n, n_images, accuracy, mean_confidence, brier, log_loss,
        auroc of the called option with _low and _high, its ece (15 equal-width bins);
        brier_options over all options; temperature (fitted on all rows); ranked_score, the ranked
        probability score over levels in their order, for scores (0 is perfect).
    """
    seed, frames = int(rng.integers(2**63)), []
    for (*_, kind), part in _decisions(graded).groupby([*BY, "decision_type"], sort=True):
        levels = list(part["option_probabilities"].iloc[0]) if kind == "score" else None
        p, gold, _ = option_arrays(part["option_probabilities"], part["gold"], labels=levels)
        part, p, gold = part[gold >= 0], p[gold >= 0], gold[gold >= 0]
        if not len(part):
            continue
        p, fold = p / np.nansum(p, axis=1, keepdims=True), np.full(len(p), -1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecalibrationWarning)
            temperature = _FIT(p, gold).params["temperature"]
        made = {"as stated": (p, fold)}
        if (folds := folds_of(part, n_folds, seed)) is not None:
            made["temperature"] = by_fold(_FIT, p, gold, folds), folds
        frames += [
            _called(part, q, gold, kind).assign(correction=name, fold=own, temperature=temperature)
            for name, (q, own) in made.items()
        ]

    def statistic(part, w):
        out = {name: part[name].mean() for name in ("brier_options", "ranked_score")}
        return scores_of(part, w) | out | {"temperature": part["temperature"].iloc[0]}

    return paired(
        pd.concat(frames), [*BY, "decision_type", "correction"], statistic,
        rng=rng, **settings,
    )  # fmt: skip


def _called(part, q, gold, kind):
    """The leading option of each row, and its losses over all options."""
    one = np.zeros_like(q)
    one[np.arange(len(gold)), gold] = 1
    ranked = np.full(len(q), np.nan)
    if kind == "score":
        gap = np.cumsum(np.nan_to_num(q), axis=1) - np.cumsum(one, axis=1)
        ranked = (gap**2).sum(axis=1) / max(q.shape[1] - 1, 1)
    return part.assign(
        confidence=np.clip(np.nanmax(q, axis=1), 0, 1),
        correct=(np.nanargmax(q, axis=1) == gold).astype(float),
        brier_options=np.nansum((q - one) ** 2, axis=1),
        ranked_score=ranked,
    )

"""Typed-decision models: is the probability that they call calibrated, and a file that mends it.

A decision model answers a typed question with a probability for every option. transformers'
decision pipeline divides option scores by a temperature per question type, which it reads from
``decision.json`` beside the weights: a temperature fitted here can travel with the model.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .recalibrate import (
    CLIP,
    RecalibrationWarning,
    Recalibrator,
    cross_fit,
    fit_option_temperature,
    option_arrays,
    top_option,
)
from .transfer import image_labels

DECISION_TYPES = {"closed": "noul", "noul": "noul", "choice": "choice", "score": "score"}
"""Question type → the name that ``decision.json`` has for it."""

DECISION_CONFIG = "decision.json"


def fit_decision_temperatures(
    verdicts: pd.DataFrame, *, clip: float = CLIP
) -> dict[str, Recalibrator]:
    """One option temperature per question type.

    Parameters
    ----------
    verdicts : DataFrame
        With question_type, option_probabilities, gold and item_id. Rows without option
        probabilities, and question types that are no typed decision, are left out; options of
        an unnamed type are a choice.

    Returns
    -------
    dict
        Type as ``decision.json`` names it (noul, choice, score) → map of options.

    Raises
    ------
    ValueError
        If no row is a typed decision.
    """
    rows = _decisions(verdicts)
    return {
        kind: fit_option_temperature(
            *option_arrays(part["option_probabilities"], part["gold"])[:2],
            items=part["item_id"].tolist(),
            clip=clip,
        )
        for kind, part in rows.groupby("decision_type", sort=True)
    }


def _decisions(verdicts):
    for column in ("question_type", "option_probabilities", "gold"):
        if column not in verdicts:
            raise ValueError(f"no column {column!r}: typed decisions need it")
    kind = verdicts["question_type"].map(DECISION_TYPES)
    kind = kind.where(verdicts["question_type"].notna(), "choice")
    typed = kind.notna().to_numpy() & np.array(
        [isinstance(p, Mapping) and len(p) > 1 for p in verdicts["option_probabilities"]], bool
    )
    rows = verdicts[typed].reset_index(drop=True)
    if rows.empty:
        raise ValueError("no row is a typed decision with probabilities of its options")
    return rows.assign(decision_type=kind.to_numpy()[typed])


def write_decision_config(folder: str | Path, temperatures: Mapping[str, Recalibrator]) -> Path:
    """Write fitted temperatures into the ``decision.json`` of a model folder.

    What else the file says is kept. A pipeline that already divides by a temperature must be
    fitted on its uncorrected probabilities: the new value replaces the old one.

    Parameters
    ----------
    folder : path
        The model's folder, or an empty one to pass as ``decision_config``.
    temperatures : mapping
        noul, choice or score → a map made by :func:`fit_option_temperature`, or by
        :func:`fit_temperature` for noul, where the two are one.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ValueError
        If a map is no temperature, a type is unknown, or the file there is not JSON.
    """
    values = {}
    for kind, fitted in temperatures.items():
        if kind not in set(DECISION_TYPES.values()):
            raise ValueError(f"unknown decision type {kind!r}; known: noul, choice, score")
        allowed = {"option_temperature"} | ({"temperature"} if kind == "noul" else set())
        if fitted.name not in allowed:
            raise ValueError(
                f"a {fitted.name} map of {kind} decisions cannot be written as their temperature: "
                "the pipeline divides all option scores by one number"
            )
        values[kind] = float(fitted.params["temperature"])
    path = Path(folder) / DECISION_CONFIG
    config = {}
    if path.exists():
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: not JSON ({error}); mend or remove it") from None
    config["temperature"] = {**config.get("temperature", {}), **values}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path


def decision_audit_table(
    verdicts: pd.DataFrame,
    *,
    by: Sequence[str] = ("model", "dataset"),
    n_bins: int = 15,
    n_folds: int = 5,
    level: float = 0.95,
    n_resamples: int = 1000,
    clip: float = CLIP,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Calibration of called probabilities per question type, as called and with a temperature.

    Parameters
    ----------
    verdicts : DataFrame
        As for :func:`fit_decision_temperatures`.

    Returns
    -------
    DataFrame
        One row per ``by``, decision_type and correction (none; option_temperature, cross-fitted
        by image): n, accuracy, mean_confidence, ece (equal mass), brier and log_loss of the called
        option with _low and _high; log_loss_options and brier_options over all options;
        temperature (fitted on all rows). ``ranked_score``, the ranked probability score over
        levels in their order, is given for score questions (0 is perfect).
    """
    from medcal_nb.measure import MeasureWarning, metrics_table

    rows = _decisions(verdicts)
    seed, out = int(rng.integers(2**63)), []
    for key, part in rows.groupby([*by, "decision_type"], sort=True, observed=True):
        kind = key[-1]
        levels = None
        if kind == "score":
            levels = list(part["option_probabilities"].iloc[0])
        p, gold, _ = option_arrays(part["option_probabilities"], part["gold"], labels=levels)
        known = gold >= 0
        part, p, gold = part[known], p[known], gold[known]
        images = image_labels(part)
        frames = {"none": p}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RecalibrationWarning)
            temperature = fit_option_temperature(p, gold, clip=clip).params["temperature"]
            if len(set(images)) >= n_folds:
                frames["option_temperature"] = cross_fit(
                    lambda a, b: fit_option_temperature(a, b, clip=clip), p, gold, images,
                    n_folds=n_folds, rng=np.random.default_rng([seed, 0]),
                )  # fmt: skip
        for correction, q in frames.items():
            best, confidence = top_option(q)
            called = part.assign(
                confidence=np.clip(confidence, 0, 1), correct=(best == gold).astype(float)
            )
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MeasureWarning)
                row = metrics_table(
                    called,
                    by=(),
                    metrics=("accuracy", "mean_confidence", "ece", "brier", "log_loss"),
                    binning="mass",
                    n_bins=n_bins,
                    clip=clip,
                    level=level,
                    n_resamples=n_resamples,
                    rng=np.random.default_rng([seed, 1]),
                ).iloc[0]
            hit = np.arange(len(gold))
            likely = np.maximum(q[hit, gold], clip)
            one = np.zeros_like(q)
            one[hit, gold] = 1
            row = dict(zip([*by, "decision_type"], key, strict=True)) | {
                "correction": correction,
                **row.drop("n_missing").to_dict(),
                "log_loss_options": float(-np.log(likely).mean()),
                "brier_options": float(np.nansum((q - one) ** 2, axis=1).mean()),
                "temperature": temperature,
            }
            if kind == "score":
                gap = np.cumsum(np.nan_to_num(q), axis=1) - np.cumsum(one, axis=1)
                row["ranked_score"] = float((gap**2).sum(axis=1).mean() / max(q.shape[1] - 1, 1))
            out.append(row)
    return pd.DataFrame(out)

"""What is true of a model: its calibration on as many fresh items as it takes.

Real data sets are small, so that an estimate of calibration can only be compared with another
estimate. Here items are drawn for as long as wanted, and the estimate can be compared with the
truth.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from medcal_nb.errors import MedcalError

CARD_STRATEGIES = (
    "sequence_probability",
    "verbalized",
    "verbalized_cot",
    "linguistic",
    "top_k",
    "two_stage",
    "two_stage_other",
    "describe_first",
    "p_true",
    "blank_image",
)


def fresh_verdicts(model, strategies, n, *, dataset="pocket-medical", seed=0, batch=2000):
    """Ask a model about fresh items that belong to no split.

    Parameters
    ----------
    model : str or backend
        A pocket model's name, or what ``ask.models.resolve_model`` returns.
    strategies : str or list of str
    n : int
        Number of items, drawn `batch` at a time.
    dataset : str
        "pocket-general" or "pocket-medical".
    seed : int
        Of the items: batch b is ``fresh_items(dataset, batch, seed=1000·seed + b)``.

    Yields
    ------
    DataFrame
        The verdicts of one batch.
    """
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.graded import to_graded
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.ask.run import ask
    from medcal_nb.pocket.questions import fresh_items

    backend = resolve_model(model) if isinstance(model, str) else model
    for number, start in enumerate(range(0, n, batch)):
        items = fresh_items(dataset, min(batch, n - start), seed=1000 * seed + number)
        with (
            tempfile.TemporaryDirectory() as folder,
            AnswerLog(Path(folder) / "fresh.sqlite") as log,
        ):
            summary = ask(backend, items, strategies, log=log)
            answers = log.read()
        if not len(answers):
            reasons = "; ".join(f"{name}: {why}" for name, why in summary.skipped.items())
            raise MedcalError(f"{backend.name} answers nothing under {strategies}: {reasons}")
        yield to_graded(answers)


def fresh_like(model, strategy, n, *, verdicts, target):
    """Ask a model about fresh items of the kind that it is judged on, where there are such.

    Parameters
    ----------
    model, strategy : str
    n : int
        Number of fresh items of the target's data set; those are kept that hold the other values
        of `target`.
    verdicts : DataFrame
        What the model answered in the study.
    target : dict
        Rows it is judged on, column to value.

    Returns
    -------
    DataFrame
        The verdicts on the fresh items; empty where there are none.
    str
        Why there are none, as a sentence; "" where there are some.
    """
    from medcal_nb.pocket.questions import DATASETS

    judged = verdicts[
        np.logical_and.reduce([verdicts[column] == value for column, value in target.items()])
    ]
    datasets, splits = (sorted(judged[name].dropna().unique()) for name in ("dataset", "split"))
    nothing = verdicts[:0]
    if not model.startswith("pocket-"):
        return nothing, f"{model} is no embedded model that could be asked afresh."
    if len(datasets) != 1 or datasets[0] not in DATASETS:
        return nothing, f"No fresh items can be drawn like those of {', '.join(datasets)}."
    if splits != ["test"]:
        return nothing, (
            f"Fresh items are drawn like those of a test split, and the target's are of "
            f"{' and '.join(splits) or 'no split'}."
        )
    fresh = pd.concat(fresh_verdicts(model, strategy, n, dataset=datasets[0]), ignore_index=True)
    for column, value in target.items():
        if column not in fresh:
            return nothing, f"Fresh items have no {column}."
        fresh = fresh[fresh[column] == value]
    known = fresh["confidence"].notna() & fresh["correct"].notna()
    if not known.any():
        return nothing, f"None of {n:,} fresh items of {datasets[0]} is of the target's kind."
    return fresh, ""


def true_calibration(
    model,
    strategy,
    n=20_000,
    *,
    dataset="pocket-medical",
    n_bins=15,
    standard_error=0.01,
    min_share=0.02,
    seed=0,
    batch=2000,
):
    """Measure a model's calibration curve until it is known.

    Fresh items are asked, `batch` at a time, until the accuracy of every bin that holds at least
    `min_share` of the confidences has a standard error √(p(1−p)/n) below `standard_error`, or
    `n` items have been asked.

    Parameters
    ----------
    model : str or backend
    strategy : str
        One strategy of ``medcal_nb.ask``.
    n : int
        The most items that are asked.
    dataset : str
        "pocket-general" or "pocket-medical"; the medical one has all sites in equal parts.
    n_bins : int
        Equal-width bins of confidence; 0 and 1 always fall in one.
    standard_error, min_share : float
        When to stop.
    seed : int
        Of the items.

    Returns
    -------
    DataFrame
        One row per bin that holds anything: ``bin``, ``low``, ``high``, ``n``, ``share``,
        ``mean_confidence``, ``accuracy``, ``standard_error`` (Laplace-smoothed p) and
        ``settled``. ``attrs`` hold ``n`` (items with confidence and grade), ``n_missing`` and
        ``ece``, the expected calibration error Σ share·|accuracy − mean confidence|.

    Raises
    ------
    MedcalError
        If the model does not answer under this strategy.
    """
    if n < 1 or n_bins < 1:
        raise ValueError(f"n and n_bins must be positive, got {n} and {n_bins}")
    total = np.zeros((3, n_bins))
    missing = 0
    table = pd.DataFrame()
    for verdicts in fresh_verdicts(model, strategy, n, dataset=dataset, seed=seed, batch=batch):
        known = verdicts["confidence"].notna() & verdicts["correct"].notna()
        missing += int((~known).sum())
        confidence = verdicts.loc[known, "confidence"].to_numpy(float)
        correct = verdicts.loc[known, "correct"].to_numpy(float)
        where = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
        for row, weights in enumerate((None, confidence, correct)):
            total[row] += np.bincount(where, weights, n_bins)
        table = _curve(total, n_bins, standard_error)
        if table.loc[table["share"] >= min_share, "settled"].all():
            break
    table.attrs = {
        "n": int(total[0].sum()),
        "n_missing": missing,
        "ece": float((table["share"] * (table["accuracy"] - table["mean_confidence"]).abs()).sum()),
    }
    return table


def _curve(total, n_bins, standard_error):
    counts, confidence, correct = total
    held = np.flatnonzero(counts)
    n = counts[held]
    smooth = (correct[held] + 1) / (n + 2)
    error = np.sqrt(smooth * (1 - smooth) / n)
    return pd.DataFrame(
        {
            "bin": held,
            "low": held / n_bins,
            "high": (held + 1) / n_bins,
            "n": n.astype(int),
            "share": n / max(counts.sum(), 1),
            "mean_confidence": confidence[held] / n,
            "accuracy": correct[held] / n,
            "standard_error": error,
            "settled": error < standard_error,
        }
    )


def card_tables(model, n=1000, *, seed=7):
    """Ask a pocket model what its card tells.

    Parameters
    ----------
    model : str
    n : int
        Fresh items per domain.
    seed : int
        Of the items.

    Returns
    -------
    dict of DataFrame
        ``accuracy`` (per modality and question type, plain answers), ``sites`` (per medical
        modality, sites trained on and new ones), ``strategies`` (per domain: accuracy, mean
        confidence, their gap with and without trivial questions, share of replies that could be
        read) and ``checks`` (per domain: accuracy on questions with options by plain answer, by
        the options' words, by letters and with a blank image).
    """
    from medcal_nb.ask.models import resolve_model
    from medcal_nb.pocket.scenes import TRAIN_SITES

    backend = resolve_model(model)
    is_clip = "generate" not in backend.can
    strategies = ["clip_zero_shot"] if is_clip else list(CARD_STRATEGIES)
    verdicts = pd.concat(
        [
            part
            for domain in ("general", "medical")
            for part in fresh_verdicts(
                backend, strategies, n, dataset=f"pocket-{domain}", seed=seed, batch=n
            )
        ],
        ignore_index=True,
    )
    plain = verdicts[verdicts["strategy"] == strategies[0]]
    plain = plain.assign(right=plain["correct"].fillna(False).astype(float))
    accuracy = plain.pivot_table("right", "modality", "question_type", sort=False)
    accuracy["all"] = plain.groupby("modality")["right"].mean()
    accuracy["not trivial"] = plain[~plain["trivial"]].groupby("modality")["right"].mean()
    met = [site in TRAIN_SITES[m] for m, site in zip(plain["modality"], plain["site"], strict=True)]
    sites = plain.assign(met=np.where(met, "trained on", "new"))
    sites = sites[sites["domain"] == "medical"].pivot_table("right", "modality", "met", sort=False)
    rows = []
    for (domain, strategy), group in verdicts.groupby(["domain", "strategy"], sort=False):
        read = group[group["confidence"].notna() & group["correct"].notna()]
        hard = read[~read["trivial"]]
        rows.append(
            {
                "domain": domain,
                "strategy": strategy,
                "n": len(group),
                "read": len(read) / len(group),
                "accuracy": float(read["correct"].astype(float).mean()),
                "confidence": float(read["confidence"].mean()),
                "gap": _gap(read),
                "gap, not trivial": _gap(hard),
            }
        )
    tables = {"accuracy": accuracy, "sites": sites, "strategies": pd.DataFrame(rows)}
    if not is_clip:
        tables["checks"] = _checks(backend, verdicts, n, seed)
    return tables


def _gap(verdicts):
    """Mean confidence minus accuracy: above 0 is overconfident."""
    return float((verdicts["confidence"] - verdicts["correct"].astype(float)).mean())


def _checks(backend, verdicts, n, seed):
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.run import ask
    from medcal_nb.pocket.questions import fresh_items

    rows = []
    for domain in ("general", "medical"):
        items = fresh_items(f"pocket-{domain}", n, seed=1000 * seed)
        items = items[items["question_type"] != "open"].reset_index(drop=True)
        with tempfile.TemporaryDirectory() as folder:
            with AnswerLog(Path(folder) / "letters.sqlite") as log:
                ask(backend, items, ["option_probability"], log=log, lettered=True)
                letters = log.read()
            with AnswerLog(Path(folder) / "blank.sqlite") as log:
                ask(backend, items, ["blank_image"], log=log)
                ablated = log.read()
        here = verdicts[verdicts["item_id"].isin(items["item_id"])]
        plain = here[here["strategy"] == "sequence_probability"]["correct"].fillna(False)
        rows.append(
            {
                "domain": domain,
                "n": len(items),
                "plain answer": float(plain.astype(float).mean()),
                "options' words": _share(ablated[ablated["sample"] == 0]),
                "letters": _share(letters),
                "blank image": _share(ablated[ablated["sample"] == 1]),
            }
        )
    return pd.DataFrame(rows)


def _share(answers):
    return float(answers["correct"].fillna(False).astype(float).mean())

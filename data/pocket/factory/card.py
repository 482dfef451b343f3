"""What a pocket model can do: the tables of its data card, measured on fresh items."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from .questions import fresh_items

CARD_STRATEGIES = (
    "sequence_probability",
    "verbalized",
    "verbalized_cot",
    "linguistic",
    "top_k",
    "two_stage",
    "self_probing",
    "describe_first",
    "p_true",
    "blank_image",
)
DATASETS = ("pocketvqa-general", "pocketvqa-medical")
TITLES = {
    "accuracy": "Share of right plain answers, by modality and question type:",
    "sites": "The same, all question types, on sites trained on and on the new one:",
    "strategies": "By elicitation method (gap: overconfidence, mean confidence − accuracy; read: "
    "replies with answer and confidence):",
    "checks": "Questions with options, right by:",
}


def write_card(model, n=1000, *, seed=7):
    """Return the card of a pocket model as Markdown, from `n` fresh items per domain."""
    from medcal_nb.datasets.pocket import pocket_dir

    told = json.loads((pocket_dir(model) / "recipe.json").read_text())
    lines = [f"### {model}", "", f"{told['parameters'] / 1e6:.2f} M parameters", ""]
    for key, table in card_tables(model, n, seed=seed).items():
        lines += [TITLES[key], "", *_markdown(table), ""]
    return "\n".join(lines)


def _markdown(table):
    """Write a table as Markdown; numbers between −1 and 1 with three decimals."""
    index = [name for name in table.index.names if name is not None]
    rows = table.reset_index() if index else table

    def show(value):
        if isinstance(value, float):
            return "–" if value != value else f"{value:.3f}"
        return str(value)

    lines = [
        "| " + " | ".join(map(str, rows.columns)) + " |",
        "| --- " * rows.shape[1] + "|",
    ]
    for row in rows.itertuples(index=False):
        lines.append("| " + " | ".join(show(value) for value in row) + " |")
    return lines


def _answers(backend, items, strategies, **options):
    """Ask about some items and return the answers; nothing is kept."""
    from medcal_nb.answers import AnswerLog
    from medcal_nb.ask.run import ask

    with (
        tempfile.TemporaryDirectory() as folder,
        AnswerLog(Path(folder) / "a.sqlite") as log,
    ):
        ask(backend, items, strategies, log=log, **options)
        return log.read()


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
    from medcal_nb.answers.samples import one_answer_an_item
    from medcal_nb.ask.models import resolve_model

    from .scenes import TRAIN_SITES

    backend = resolve_model(model)
    is_clip = "generate" not in backend.can
    strategies = ["clip_zero_shot"] if is_clip else list(CARD_STRATEGIES)
    asked = [fresh_items(name, n, seed=1000 * seed) for name in DATASETS]
    graded = pd.concat(
        [
            one_answer_an_item(_answers(backend, items, strategies), "the log")
            for items in asked
        ],
        ignore_index=True,
    )
    plain = graded[graded["strategy"] == strategies[0]]
    plain = plain.assign(right=plain["correct"].fillna(False).astype(float))
    accuracy = plain.pivot_table("right", "modality", "question_type", sort=False)
    accuracy["all"] = plain.groupby("modality")["right"].mean()
    accuracy["not trivial"] = (
        plain[~plain["trivial"]].groupby("modality")["right"].mean()
    )
    met = [
        site in TRAIN_SITES[m]
        for m, site in zip(plain["modality"], plain["site"], strict=True)
    ]
    sites = plain.assign(met=np.where(met, "trained on", "new"))
    sites = sites[sites["domain"] == "medical"].pivot_table(
        "right", "modality", "met", sort=False
    )
    rows = []
    for (domain, strategy), group in graded.groupby(["domain", "strategy"], sort=False):
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
        tables["checks"] = _checks(backend, graded, asked)
    return tables


def _gap(graded):
    """Mean confidence minus accuracy: above 0 is overconfident."""
    return float((graded["confidence"] - graded["correct"].astype(float)).mean())


def _checks(backend, graded, asked):
    rows = []
    for items in asked:
        domain = items["domain"].iloc[0]
        items = items[items["question_type"] != "open"].reset_index(drop=True)
        letters = _answers(backend, items, ["option_probability"], lettered=True)
        ablated = _answers(backend, items, ["blank_image"])
        here = graded[graded["item_id"].isin(items["item_id"])]
        plain = here[here["strategy"] == "sequence_probability"]["correct"].fillna(
            False
        )
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

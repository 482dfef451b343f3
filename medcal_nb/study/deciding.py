"""Typed decisions: any model as the expert that assesses others' answers, or as one that scores."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def decider(backend, *, batch_size: int = 64, progress: bool = True) -> Callable:
    """Return a callable that assesses cases by reading a model's label probabilities.

    Several candidates are put as the options of the question; a single one is judged right or
    wrong (the probability of "yes"). Where the expert may not see the image it is shown a grey one.

    Parameters
    ----------
    backend : Backend
        As :func:`medcal_nb.ask.models.resolve_model` returns it.
    batch_size : int
        Cases asked together.
    progress : bool
        Show a bar.

    Returns
    -------
    callable
        For :func:`medcal_nb.correct.expert.expert_verdicts`.

    Raises
    ------
    MedcalError
        If the model gives no label probabilities.
    """
    from medcal_nb.ask.models import LABELS
    from medcal_nb.errors import MedcalError

    if LABELS not in backend.can:
        reason = backend.cannot.get(LABELS, "it gives no probabilities of labels")
        raise MedcalError(f"{backend.name} can't be the expert: {reason}")

    def decide(cases: Sequence) -> list:
        from tqdm.auto import tqdm

        from medcal_nb.ask.models import Failure
        from medcal_nb.correct.expert import Assessment

        out = []
        starts = range(0, len(cases), batch_size)
        for start in tqdm(starts, desc=backend.name, unit="batch", disable=not progress):
            part = cases[start : start + batch_size]
            with backend.session() as session:
                results = session.run([_call(case) for case in part])
            for case, found in zip(part, results, strict=True):
                if isinstance(found, Failure):
                    out.append(Assessment(None))
                    continue
                p = dict(found.probabilities)
                if len(case.candidates) == 1:
                    p = {case.candidates[0]: p["yes"]}
                out.append(Assessment(p, found.prompt_tokens, 0, found.seconds))
        return out

    return decide


def _call(case):
    from medcal_nb.ask import prompts
    from medcal_nb.ask.models import BLANK, Labels, Picture, Prompt

    if case.image is None:
        picture = Picture("no image", _grey(), BLANK)
    else:
        picture = Picture(case.item_id, case.image)
    if len(case.candidates) == 1:
        text = prompts.user_turn(case.question, None, prompts.p_true(case.candidates[0]))
        return Labels(Prompt(picture, (text,)), ("yes", "no"))
    text = prompts.expert_turn(case.question, list(case.candidates), case.support)
    return Labels(Prompt(picture, (text,)), tuple(case.candidates))


def _grey() -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(buffer, format="PNG")
    return buffer.getvalue()


def ask_expert(
    name: str,
    verdicts: pd.DataFrame,
    items: pd.DataFrame,
    *,
    own: str = "option_probability",
    answers: pd.DataFrame | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Return an expert's assessments in all variants, and its own answers, as verdicts.

    Parameters
    ----------
    name : str
        The expert, a model that :func:`medcal_nb.ask.models.resolve_model` finds.
    verdicts : pandas.DataFrame
        What the models that are judged answered.
    items : pandas.DataFrame
        The items, with question, options, gold and image.
    own : str
        The strategy whose verdicts of the expert itself stand for what it knows.
    answers : pandas.DataFrame, optional
        Verdicts that hold the expert's own answers; none are lent where it has none.

    Returns
    -------
    pandas.DataFrame
        Verdicts of the strategies ``expert``, ``expert_blind``, ``expert_told``,
        ``expert_blind_told`` and ``expert_own`` under each judged model's name.
    """
    import pandas as pd

    from medcal_nb.ask.models import resolve_model
    from medcal_nb.correct.expert import expert_verdicts, lend_verdicts

    decide = decider(resolve_model(name), progress=progress)
    parts = [
        expert_verdicts(verdicts, items, decide, sees_image=sees, knows_confidence=told)
        for sees in (True, False)
        for told in (False, True)
    ]
    if answers is not None:
        mine = answers[(answers["model"] == name) & (answers["strategy"] == own)]
        mine = mine[mine["item_id"].isin(verdicts["item_id"])]
        if len(mine):
            parts.append(lend_verdicts(mine, list(verdicts["model"].unique()), name="expert_own"))
    return pd.concat(parts, ignore_index=True)


def decision_pipeline(name: str, **settings) -> Callable:
    """Return transformers' decision pipeline on a pocket model, a hub id or a folder.

    Parameters
    ----------
    name : str
        The model; ``pocket-…`` names one that is shipped.
    **settings
        Passed on, such as ``decision_config``, the folder of a fitted ``decision.json``.
    """
    from transformers import pipeline

    from medcal_nb.pocket import pocket_dir

    folder = pocket_dir(name) if name.startswith("pocket-") else name
    return pipeline("decision", model=str(folder), **settings)


def ask_scores(
    name: str,
    items: pd.DataFrame,
    levels: Sequence[str],
    *,
    decide: Callable | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Ask a model to score items on levels, as a typed decision of type ``score``.

    Parameters
    ----------
    name : str
        The model, for the column and for :func:`decision_pipeline`.
    items : pandas.DataFrame
        Item table; those whose gold is a level are asked, whatever their options.
    levels : sequence of str
        From the lowest to the highest.
    decide : callable, optional
        A decision pipeline that is at hand already.
    progress : bool
        Show a bar.

    Returns
    -------
    pandas.DataFrame
        One verdict per item, ``question_type`` score, with ``option_probabilities`` over the
        levels in their order, for :func:`medcal_nb.correct.decision_audit_table`.

    Raises
    ------
    MedcalError
        If no item's gold is a level.
    """
    import pandas as pd
    from tqdm.auto import tqdm

    from medcal_nb.errors import MedcalError
    from medcal_nb.items import open_image

    levels = list(levels)
    chosen = items[[isinstance(gold, str) and gold in levels for gold in items["gold"]]]
    if chosen.empty:
        raise MedcalError(f"levels: the answer of no item is one of {', '.join(levels)}")
    decide = decide or decision_pipeline(name)
    rows = []
    for item in tqdm(
        chosen.to_dict("records"), desc=name, unit="item", disable=not progress, leave=False
    ):
        question = {"type": "score", "instructions": item["question"], "criteria": levels}
        answer = decide(
            {
                "state": "image",
                "assets": {"image": open_image(item["image"])},
                "questions": {"q": question},
            }
        )["q"]
        p = dict(zip(levels, answer["probabilities"].values(), strict=True))
        best = max(p, key=p.get)
        kept = {key: value for key, value in item.items() if key not in ("image", "options")}
        rows.append(
            kept
            | {"model": name, "strategy": "decision", "question_type": "score"}
            | {"option_probabilities": p, "answer": best, "confidence": p[best]}
            | {"correct": best == item["gold"]}
        )
    return pd.DataFrame(rows)

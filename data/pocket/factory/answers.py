"""Ask pocket models about the synthetic benchmark, and store their graded answers.

``answers.toml`` says who is asked what. Answers go through a log of ``build/pocket``, so that a
recording which was stopped goes on where it was; another log is begun where weights, items, jobs or
the code that asks have changed.
"""

import hashlib
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd

from medcal_nb import ask as asking
from medcal_nb.answers import AnswerLog
from medcal_nb.answers.samples import one_answer_an_item
from medcal_nb.ask.about import about as about_answers
from medcal_nb.ask.calls import BLANK, LABELS, Decide, Generate, Labels
from medcal_nb.ask.models import resolve_model
from medcal_nb.ask.rows import likeliest, prompt, row
from medcal_nb.ask.run import ask
from medcal_nb.ask.strategies import (
    APART,
    P_TRUE,
    STRATEGIES,
    choose_strategies,
    has_options,
    option_call,
    strategy,
)
from medcal_nb.ask.strategy import Plan, Program, Strategy
from medcal_nb.datasets import Item, load_items
from medcal_nb.files import file_hash
from medcal_nb.tables.columns import as_json
from medcal_nb.words import answer_key

from .record import HOME

RECORDED = HOME.parent / "recorded"
JOBS = Path(__file__).with_name("answers.toml")
WORK = HOME.parents[1] / "build" / "pocket"
_SORTED = ["dataset", "split", "model", "strategy", "item_id"]
# not the raw replies, and not the seconds, which are others in every run
_COLUMNS = [
    *["model", "dataset", "domain", "item_id", "image_id", "modality", "question_type"],
    *["split", "strategy", "answer", "gold", "confidence", "correct"],
    *["option_probabilities", "n_answers", "prompt_tokens", "new_tokens", "expert"],
    *["visibility", "site", "template", "fact", "trivial"],
]


#: The answers that are levels, from the lowest.
LEVELS = ("one", "two", "three")


def with_levels(items: pd.DataFrame) -> pd.DataFrame:
    """Return the items whose answer is a level, as questions with levels."""
    counted = items[items["gold"].isin(LEVELS)]
    options = pd.Series([LEVELS] * len(counted), counted.index, dtype=object)
    return counted.assign(question_type="score", options=options)


@strategy(
    family="apart",
    needs=(LABELS,),
    source="after Du et al. 2025, arXiv 2606.19950",
    applies=has_options,
)
def expert(item: Item, plan: Plan) -> Program:
    """Another model judges the answers given: the allowed ones or, without these, those named."""
    candidates = sorted(item.options or ())
    if len(candidates) > 1:
        (result,) = yield [option_call(item, plan, candidates)]
        return [likeliest(result, candidates)]
    turn = prompt(item, P_TRUE.format(answer=candidates[0]), options=None)
    (judged,) = yield [Labels(turn, ("yes", "no"))]
    return [row([judged], candidates[0], judged.probabilities["yes"])]


def blanked(base: Strategy) -> Strategy:
    """Return a strategy that is shown a blank image in every call."""

    def ask(item: Item, plan: Plan) -> Program:
        program = base.ask(item, plan)
        asked = next(program)
        while True:
            results = yield [_with_blank(call) for call in asked]
            try:
                asked = program.send(results)
            except StopIteration as stop:
                return stop.value

    return replace(base, name=f"{base.name}_blank", ask=ask)


def _with_blank(call: Generate | Labels | Decide) -> Generate | Labels | Decide:
    if isinstance(call, Decide):
        return replace(call, picture=replace(call.picture, change=BLANK))
    picture = replace(call.prompt.picture, change=BLANK)
    return replace(call, prompt=replace(call.prompt, picture=picture))


for _base in [*STRATEGIES.values(), *APART.values()]:
    APART[f"{_base.name}_blank"] = blanked(_base)


def beside_the_judged(answers: pd.DataFrame) -> pd.DataFrame:
    """Return judgements as answers of the model whose answers they are about."""
    if "about_model" not in answers:
        return answers
    judged = answers["about_model"].notna()
    return answers.assign(
        expert=answers["model"].where(judged),
        model=answers["about_model"].where(judged, answers["model"]),
        strategy=answers["strategy"].str.partition(" about ")[0],
    )


def with_candidates(items: pd.DataFrame, graded: pd.DataFrame) -> pd.DataFrame:
    """Return what an expert can judge: the items that all strategies have answered.

    Parameters
    ----------
    items : DataFrame
        The item table.
    graded : DataFrame
        Graded answers of one model to one data set under the strategies whose answers are judged.

    Returns
    -------
    DataFrame
        An item without options has the different answers given, with a confidence, as its options;
        one without such answers is left out.
    """

    def different(said: pd.Series) -> tuple[str, ...]:
        return tuple({answer_key(answer): answer for answer in said[::-1]}.values())

    # where every reply was cut, there is no answer in any row
    stated = graded.reindex(columns=["item_id", "answer", "confidence"]).dropna()
    named = {
        item: different(said) for item, said in stated.groupby("item_id")["answer"]
    }
    n_asked = items["item_id"].map(graded.groupby("item_id")["strategy"].nunique())
    options = items["options"].where(
        items["options"].notna(), items["item_id"].map(named)
    )
    whole = (n_asked == graded["strategy"].nunique()) & options.notna()
    return items.assign(options=options)[whole]


def record_answers(log: Path | None = None, *, to: Path = RECORDED) -> Path:
    """Ask what was not asked yet, and write ``pocket.parquet`` with its entry in the manifest.

    Parameters
    ----------
    log : path, optional
        A log that holds all answers already; nothing is asked then.
    to : path
        Folder of the table and its manifest.

    Returns
    -------
    Path
        The table.
    """
    from data.recorded.prepare.tables import store

    made_from = {"weights, items, jobs, code": _fingerprint()}
    if log is None:
        log = WORK / f"answers-{_fingerprint()[:12]}.sqlite"
        log.parent.mkdir(parents=True, exist_ok=True)
        with AnswerLog(log) as answers:
            _ask_all(answers)
    with AnswerLog(log, read_only=True) as answers:
        table = graded_table(answers.read())
    return store("pocket", table, to, made_from=made_from)


def graded_table(answers: pd.DataFrame) -> pd.DataFrame:
    """Return one row a model, data set, item and strategy, without replies, in order."""
    graded = one_answer_an_item(beside_the_judged(answers), "the log")
    graded = graded.reindex(columns=_COLUMNS)
    options = graded["option_probabilities"]
    graded["option_probabilities"] = options.map(as_json, na_action="ignore")
    counts = ["n_answers", "prompt_tokens", "new_tokens"]
    graded = graded.astype(dict.fromkeys(counts, "Int32"))
    graded["correct"] = graded["correct"].astype("boolean")
    return graded.sort_values(_SORTED, ignore_index=True)


def _ask_all(log: AnswerLog) -> None:
    jobs = tomllib.loads(JOBS.read_text(encoding="utf-8"))
    reach = cache(resolve_model)
    for job in jobs["ask"]:
        for model in job["models"]:
            backend = reach(job.get("expert", model))
            methods = choose_strategies(job["strategies"])
            for about in job["items"]:
                dataset = about["dataset"]
                part = {"split": about.get("split"), "n": about.get("n")}
                items = load_items(dataset, **part, seed=jobs["seed"])
                if job.get("levels"):
                    items = with_levels(items)
                if "of" in job:
                    of = log.read(model=model, dataset=dataset)
                    of = of[of["strategy"].isin(job["of"])]
                    items = with_candidates(items, one_answer_an_item(of, "the log"))
                    items["about_model"] = model
                    methods = [about_answers(how, model) for how in methods]
                plan = {"seed": jobs["seed"], "progress": True}
                ask(backend, items, methods, log=log, **plan)


def _fingerprint() -> str:
    """Return one hash of all that the answers depend on."""
    package = Path(asking.__file__).parent
    code = [*package.rglob("*.py"), *package.rglob("*.toml")]
    files = [HOME / "manifest.json", JOBS, *sorted(code)]
    hashes = "".join(map(file_hash, files))
    return hashlib.sha256(hashes.encode()).hexdigest()

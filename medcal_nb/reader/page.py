"""The reader view as HTML: plain functions from evidence to text, no widget in them."""

from __future__ import annotations

import base64
import html
import io
import math

from medcal_nb.ask.graded import meaning
from medcal_nb.ask.strategies import STRATEGIES
from medcal_nb.errors import MedcalError
from medcal_nb.items import open_image
from medcal_nb.reader.cases import Case
from medcal_nb.reader.decisions import Decision
from medcal_nb.reader.evidence import BlankImage, CheckRule, LocalError, Summary

#: ways of asking that are put in words
FEW = 2

WRONG, RIGHT, INK, QUIET, PAPER = "#A33F00", "#00664B", "#1A1A1A", "#4D4D4D", "#FFFFFF"

# every text colour here has a contrast of at least 4.5 with what is behind it
STYLE = f"""<style>
.medcal-reader {{ background: {PAPER}; color: {INK}; padding: 1rem; max-width: 76rem; }}
.medcal-reader .widget-html-content, .medcal-reader .jupyter-widgets {{
  color: {INK}; line-height: 1.45; font-size: 15px; }}
.medcal-reader label, .medcal-reader .widget-label {{ color: {INK}; font-size: 14px; }}
.medcal-reader h1 {{ font-size: 1.3rem; margin: 0; }}
.medcal-reader h2 {{ font-size: 1.1rem; margin: .2rem 0 .4rem; }}
.medcal-reader h3 {{ font-size: 1rem; margin: .9rem 0 .2rem; }}
.medcal-reader p, .medcal-reader ul {{ margin: .2rem 0 .4rem; }}
.medcal-reader .quiet {{ color: {QUIET}; font-size: 13px; }}
.medcal-reader .picture {{ width: min(22rem, 100%); border: 1px solid {QUIET}; }}
.medcal-reader .absent {{ padding: 3rem 1rem; border: 1px dashed {QUIET}; color: {QUIET}; }}
.medcal-reader .flag {{ border: 3px solid {WRONG}; color: {WRONG}; background: #FFF4ED;
  padding: .4rem .7rem; font-weight: bold; font-size: 1.1rem; }}
.medcal-reader .fine {{ border: 1px solid {RIGHT}; color: {RIGHT}; background: #EFF8F4;
  padding: .4rem .7rem; }}
.medcal-reader .error {{ color: {WRONG}; font-weight: bold; }}
.medcal-reader .odds {{ display: flex; gap: 1rem; align-items: center; }}
.medcal-reader .odds svg {{ flex: none; }}
.medcal-reader .past {{ display: flex; gap: .8rem; flex-wrap: wrap; padding: 0;
  list-style: none; }}
.medcal-reader .past li {{ width: 10rem; font-size: 13px; }}
.medcal-reader .past img {{ width: 6rem; display: block; }}
.medcal-reader table {{ border-collapse: collapse; }}
.medcal-reader th, .medcal-reader td {{ text-align: left; padding: .15rem .9rem .15rem 0;
  color: {INK}; }}
.medcal-reader button.jupyter-button {{ background: #E3E3E3; color: {INK};
  border: 1px solid {QUIET}; font-size: 15px; height: 2.2rem; width: auto; min-width: 7rem; }}
.medcal-reader button.jupyter-button:disabled {{ background: {PAPER}; color: {QUIET};
  opacity: 1; border-style: dashed; }}
.medcal-reader :focus-visible {{ outline: 3px solid #0072B2 !important; outline-offset: 2px; }}
</style>"""

NOT_A_DEVICE = (
    "Research and teaching software, not a medical device: nothing here is advice about a "
    "patient. Everything stays on this machine."
)


def header() -> str:
    """Return the head of the page."""
    return f'{STYLE}<h1>Reader view</h1><p class="quiet">{NOT_A_DEVICE}</p>'


def _e(value) -> str:
    return html.escape(str(value), quote=True)


def picture(case: Case, *, css: str = "picture") -> str:
    """Return a case's image, or a box that says why there is none."""
    if case.image is None:
        return f'<div class="absent">No image of {_e(case.image_id)} at hand.</div>'
    try:
        buffer = io.BytesIO()
        open_image(case.image).save(buffer, format="PNG")
    except MedcalError as error:
        return f'<div class="absent">This image cannot be shown: {_e(error)}</div>'
    data = base64.b64encode(buffer.getvalue()).decode()
    kind = case.modality or "image"
    return (
        f'<img class="{css}" alt="{_e(kind)} to the question: {_e(case.question or "unknown")}" '
        f'src="data:image/png;base64,{data}">'
    )


def case_html(case: Case, *, place: int, total: int, note: str = "") -> str:
    """Return the image and the question, without a word of the model's."""
    told = [_e(note)] if note else []
    made = case.item_id.startswith("pocket-")
    told += ["A synthetic phantom, no patient."] if made else []
    question = _e(case.question) if case.question else "(question not in the file of answers)"
    options = (
        f'<p class="quiet">Possible answers: {_e(", ".join(case.options))}</p>'
        if case.options
        else ""
    )
    return (
        f"<h2>Case {place} of {total}: {question}</h2>{picture(case)}{options}"
        f'<p class="quiet">{_e(case.modality or "")} {_e(case.item_id)}. {" ".join(told)}</p>'
    )


def icon_array(n_wrong: int, n: int = 100) -> str:
    """Return n signs in rows of ten, the first `n_wrong` of them crosses, as an SVG picture."""
    step, signs = 13, []
    for k in range(n):
        x, y = 7 + step * (k % 10), 7 + step * (k // 10)
        if k < n_wrong:
            signs.append(f'<path d="M{x - 4} {y - 4}l8 8m0 -8l-8 8" stroke="{WRONG}"/>')
        else:
            signs.append(f'<circle cx="{x}" cy="{y}" r="3.6" stroke="{QUIET}"/>')
    side = step * 10 + 2
    return (
        f'<svg role="img" aria-label="{n_wrong} of {n} signs are crosses: wrong answers" '
        f'width="{side}" height="{side}" fill="none" stroke-width="2">{"".join(signs)}</svg>'
    )


def odds_html(error: LocalError) -> str:
    """Return the local error rate as a count of 100, with its interval and where it is from."""
    if error.n == 0:
        return "<p>No other answer is graded, so nothing is known about answers like this one.</p>"
    wrong = round(100 * error.share)
    low, high = f"{error.nearest_low:.0%}", f"{error.nearest_high:.0%}"
    span = low if low == high else f"{low} to {high}"
    return (
        f'<div class="odds">{icon_array(wrong)}<div><p><b>Of 100 answers like this one, {wrong} '
        f"were wrong.</b></p><p>The true number may be {100 * error.low:.0f} to "
        f'{100 * error.high:.0f} (95 % interval).</p><p class="quiet">Counted: {error.n_wrong} of '
        f"{error.n} answers of this model about {error.n_images} other images, with a confidence "
        f"of {span}.</p></div></div>"
    )


def flag_html(rule: CheckRule, confidence: float) -> str:
    """Return *check this one*, or that the answer is above the threshold."""
    limit = f"{rule.limit:.0%}"
    source = f"{rule.n} past answers" if rule.apart else f"all {rule.n} answers of this file"
    if math.isinf(rule.threshold):
        why = (
            f"On {source} no threshold keeps the errors below {limit} with certainty enough, so "
            "every answer is to be checked."
        )
    else:
        why = (
            f"Its confidence is {confidence:.0%}, the threshold {rule.threshold:.0%}: from there "
            f"on at most {limit} of the answers are wrong (certified on {source}, with 90 % "
            "certainty)."
        )
    mark = (
        '<p class="flag">⚠ Check this one</p>'
        if rule.flags(confidence)
        else '<p class="fine">Above the threshold: no check asked for</p>'
    )
    return f'{mark}<p class="quiet">{why}</p>'


def strategy_words(strategy: str) -> str:
    """Return what a strategy asks, in words."""
    known = STRATEGIES.get(strategy)
    return known.asks if known else strategy


def reasons_html(others, blank: BlankImage | None, case: Case) -> str:
    """Return where the uncertainty comes from: other ways of asking, and a blank image."""
    parts = []
    if len(others):
        agree = int(others["agrees"].sum())
        ways = "one other way" if len(others) == 1 else f"{len(others)} other ways"
        parts.append(f"<p>Asked in {ways}, the model gave this answer in {agree or 'none'}.</p>")
        against = others[~others["agrees"]]
        if len(against):
            meant = against["answer"].map(meaning)
            groups = [list(against[meant == m].itertuples()) for m in meant.unique()]
            groups.sort(key=len, reverse=True)
            parts.append(f"<ul>{''.join(map(_other_answer, groups))}</ul>")
    else:
        parts.append("<p>The model was asked in one way only: nothing to compare.</p>")
    if blank is not None:
        parts.append(f"<p>{_e(blank_words(blank))}</p>")
    else:
        parts.append('<p class="quiet">Not asked with a blank image.</p>')
    return "".join(parts)


def _other_answer(rows) -> str:
    """Return one other answer and the ways that gave it; few of them are put in words."""
    answer = f"“{_e(rows[0].answer)}”"
    if len(rows) <= FEW:
        said = (
            f"<i>{_e(row.strategy)}</i>{_sure(row.confidence)}: {_e(strategy_words(row.strategy))}"
            for row in rows
        )
        return f"<li>{answer}, by {'; by '.join(said)}</li>"
    said = (
        f'<i title="{_e(strategy_words(row.strategy))}">{_e(row.strategy)}</i>'
        + _sure(row.confidence)
        for row in rows
    )
    return f"<li>{answer} in {len(rows)} ways: {', '.join(said)}</li>"


def _sure(confidence) -> str:
    return "" if confidence is None or math.isnan(confidence) else f" ({confidence:.0%} sure)"


def blank_words(blank: BlankImage) -> str:
    """Return what a blank image does to the answer, and what that means, in words."""
    drop = blank.seen - blank.blank
    start = (
        f"With a blank image instead of this one, “{blank.answer}” still gets {blank.blank:.0%} "
        f"(with the image: {blank.seen:.0%})."
    )
    if abs(drop) < 0.1:
        return f"{start} The image hardly matters to this answer: it may be a guess."
    if drop < 0:
        return f"{start} The image speaks against this answer."
    return f"{start} The answer rests on the image."


def past_html(cases: list[Case]) -> str:
    """Return past cases of like confidence, with what came out."""
    if not cases:
        return "<p>No past case with a known outcome.</p>"
    items = []
    for case in cases:
        mark = (
            f'<b style="color:{RIGHT}">✓ right</b>'
            if case.correct
            else f'<b style="color:{WRONG}">✗ wrong</b>, it was “{_e(_gold(case.gold))}”'
        )
        shown = picture(case, css="small") if case.image is not None else ""
        items.append(
            f"<li>{shown}{_e(case.question or case.item_id)}<br>Model: “{_e(case.answer)}” "
            f"({case.confidence:.0%} sure): {mark}</li>"
        )
    return f'<ul class="past">{"".join(items)}</ul>'


def _gold(gold) -> str:
    return " or ".join(str(g) for g in gold) if isinstance(gold, list | tuple) else str(gold)


def model_html(case: Case, *, own: str | None = None) -> str:
    """Return what the model says."""
    yours = f"<p>You said “{_e(own)}” before you saw it.</p>" if own else ""
    return f"<h2>The model says “{_e(case.answer)}”</h2>{yours}"


def decision_words(decision: Decision) -> str:
    """Return a decision in words."""
    what = {
        "accept": f"accepted the model's “{decision.model_answer}”",
        "override": f"overrode the model's “{decision.model_answer}” with “{decision.answer}”",
        "defer": "deferred to someone else",
        "commit": f"committed to “{decision.answer}”",
    }[decision.action]
    why = f" Reason: {decision.reason}" if decision.reason else ""
    return f"{decision.reader} {what} at {decision.at[:19].replace('T', ' ')} UTC.{why}"


def summary_html(summary: Summary) -> str:
    """Return the comparison of model, reader and pair."""
    if not summary.n_decided:
        return "<h2>Summary</h2><p>Nothing decided yet.</p>"
    rows = "".join(
        f"<tr><td>{_e(row.who)}</td><td>{_right(row)}</td></tr>"
        for row in summary.table.itertuples()
    )
    told = [
        f"{summary.n_decided} decided, {summary.n_flagged} of them flagged, "
        f"{summary.n_deferred} deferred (not counted for the pair).",
        f"Your overrides mended {summary.n_mended} wrong answers and spoiled "
        f"{summary.n_spoiled} right ones; {summary.n_missed} wrong ones were accepted.",
    ]
    return (
        "<h2>Summary</h2><table><thead><tr><th>Who</th><th>Right</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>{''.join(f'<p>{line}</p>' for line in told)}"
        '<p class="quiet">“You alone” counts the answers you committed to before you saw the '
        "model's. Intervals are 95 % intervals (Wilson, cases about one image taken together); few "
        "cases, wide intervals.</p>"
    )


def _right(row) -> str:
    if not row.n:
        return "no case yet"
    return f"{row.n_right} of {row.n}: {row.accuracy:.0%} [{row.low:.0%}, {row.high:.0%}]"

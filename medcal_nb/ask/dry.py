"""What a run would put to a model: the exact prompts, and how many calls and tokens."""

from collections import Counter
from functools import cache
from typing import NamedTuple

from medcal_nb.ask.calls import Labels, Similarity
from medcal_nb.ask.run import ordered_items
from medcal_nb.ask.strategies import choose_strategies, rehearse


class Shown(NamedTuple):
    """A call of a dry run as a reader sees it."""

    strategy: str
    what: str
    text: str
    tokens: int | None


def dry_run(backend, items, strategies, *, plan):
    """Show the exact prompts of the first item, and count calls and tokens for all items.

    Returns
    -------
    shown : list of Shown
        One entry per different prompt; second turns stand after a placeholder reply.
    counts : dict
        ``items``, ``calls`` (as strategies make them), ``distinct_calls`` (after equal ones are
        merged), ``prompt_tokens`` and ``new_tokens_at_most`` over all items, estimated from
        the prompts of the first item of each question type.
    skipped : dict
        Strategy → why it is not asked.
    """
    rows, chosen = ordered_items(items), choose_strategies(strategies)
    skipped = {how.name: told for how in chosen if (told := how.skips(backend.can, backend.cannot))}
    asked = [how for how in chosen if how.name not in skipped]
    count_tokens, per_type = cache(backend.count_tokens), {}
    shown, counts = {}, Counter(items=len(rows))
    for item in rows:
        if item.question_type not in per_type:
            calls = [
                (how.name, call)
                for how in asked
                if how.applies(item, plan) is None
                for call in rehearse(how, item, plan)[0]
            ]
            told = [_show(backend, count_tokens, *call) for call in calls]
            for call in told if item is rows[0] else ():
                shown.setdefault(call.text, call)
            per_type[item.question_type] = {
                "calls": len(calls),
                "distinct_calls": len({call for _, call in calls}),
                "prompt_tokens": sum(call.tokens or 0 for call in told),
                "new_tokens_at_most": sum(getattr(call, "max_new_tokens", 0) for _, call in calls),
            }
        counts.update(per_type[item.question_type])
    return list(shown.values()), counts, skipped


def _show(backend, count_tokens, strategy, call):
    if isinstance(call, Similarity):
        return Shown(strategy, "similarity of the image with", "\n".join(call.texts), None)
    text, change = backend.show(call.prompt), call.prompt.picture.change
    change = f" (image: {change})" if change else ""
    if isinstance(call, Labels):
        what = "probabilities of " + ", ".join(call.labels) + change
        text += "\n[" + " | ".join(call.labels) + "]"
    else:
        drawn = f"sampled at temperature {call.temperature:g}" if call.seed else "greedy"
        what = f"reply of at most {call.max_new_tokens} tokens, {drawn}{change}"
        text += f"\n[{what if change else drawn}]" if change or call.seed else ""
    return Shown(strategy, what, text, count_tokens(call.prompt))

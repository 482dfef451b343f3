"""What a run would put to a model: the exact prompts, and how many calls and tokens."""

from dataclasses import dataclass

from medcal_nb.ask.calls import (
    Generate,
    LabelProbabilities,
    Labels,
    Reply,
    Similarities,
    Similarity,
)
from medcal_nb.ask.run import ordered_items, run_programs
from medcal_nb.ask.strategies import choose_strategies


@dataclass(frozen=True)
class Shown:
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
    skipped = {s.name: told for s in chosen if (told := s.skips(backend.can, backend.cannot))}
    asked = [strategy for strategy in chosen if strategy.name not in skipped]
    counts = dict.fromkeys(("calls", "distinct_calls", "prompt_tokens", "new_tokens_at_most"), 0)
    counts["items"] = len(rows)
    shown, per_type, lengths = {}, {}, {}
    for item in rows:
        if item.question_type not in per_type:
            calls = _calls(asked, item, plan)
            tokens = [_length(backend, call, lengths) for _, call in calls]
            if not per_type:
                for strategy, call in calls:
                    entry = _show(backend, strategy, call, lengths)
                    shown.setdefault(entry.text, entry)
            per_type[item.question_type] = {
                "calls": len(calls),
                "distinct_calls": len({call for _, call in calls}),
                "prompt_tokens": sum(n or 0 for n in tokens),
                "new_tokens_at_most": sum(getattr(c, "max_new_tokens", 0) for _, c in calls),
            }
        for name, value in per_type[item.question_type].items():
            counts[name] += value
    return list(shown.values()), counts, skipped


def _calls(asked, item, plan):
    """List (strategy, call) about an item, replies stood in for."""
    calls = []
    for strategy in asked:
        if strategy.applies(item, plan) is None:

            def answer(fresh, strategy=strategy):
                calls.extend((strategy, call) for call in fresh)
                return [_stand_in(call, item) for call in fresh]

            run_programs([strategy.ask(item, plan)], answer)
    return calls


def _stand_in(call, item):
    """A result in the place of a real one, so that a program shows its next call."""
    if isinstance(call, Generate):
        return Reply("<reply>" if not item.options else item.options[0])
    if isinstance(call, Labels):
        return LabelProbabilities(dict.fromkeys(call.labels, 1 / len(call.labels)))
    return Similarities((0.0,) * len(call.texts), 1.0)


def _length(backend, call, lengths):
    if isinstance(call, Similarity):
        return None
    if call.prompt not in lengths:
        lengths[call.prompt] = backend.count_tokens(call.prompt)
    return lengths[call.prompt]


def _show(backend, strategy, call, lengths):
    if isinstance(call, Similarity):
        return Shown(strategy.name, "similarity of the image with", "\n".join(call.texts), None)
    text = backend.show(call.prompt)
    change = f" (image: {call.prompt.picture.change})" if call.prompt.picture.change else ""
    if isinstance(call, Labels):
        what = "probabilities of " + ", ".join(call.labels) + change
        text += "\n[" + " | ".join(call.labels) + "]"
    else:
        drawn = f"sampled at temperature {call.temperature:g}" if call.seed else "greedy"
        what = f"reply of at most {call.max_new_tokens} tokens, {drawn}{change}"
        text += f"\n[{what if change else drawn}]" if change or call.seed else ""
    return Shown(strategy.name, what, text, _length(backend, call, lengths))

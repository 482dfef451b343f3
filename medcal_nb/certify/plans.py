"""The plan of a certificate: fixed before the first grade, and the only one on its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medcal_nb.certify import ledger as lines
from medcal_nb.certify.ledger import Entry, Ledger
from medcal_nb.certify.pool import METHOD, SAME, Pool, marks_of, shared
from medcal_nb.errors import MedcalError
from medcal_nb.wording import percent

#: Version of regions and tests: what was begun with another one is not gone on with.
RULE = 3
USUAL: dict[str, Any] = {"delta": 0.1, "budget": 400, "starts": None}
_NAMES = ("risk", *USUAL)
_ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def plan_of(
    ledger: Ledger,
    pool: Pool,
    file: Path,
    wanted: dict[str, Any],
    *,
    rows: str = "",
    is_open: bool = False,
) -> Entry:
    """The plan of a ledger; begun where there is none, or where nothing has been graded.

    Parameters
    ----------
    ledger : Ledger
        Of these answers; it may be empty.
    pool : Pool
        The answers.
    file : path
        Where they are.
    wanted : dict
        ``risk``, ``delta``, ``budget`` and ``starts``, as far as they are said.
    rows : str
        The query by which the answers were taken from their table.
    is_open : bool
        Nothing has been graded yet, so that another plan may take the place of the first.

    Raises
    ------
    MedcalError
        If the answers have a ledger with another plan, here or under another name in the folder:
        the plan is counted there.
    """
    for name in ("risk", "delta"):
        check_share(name, wanted.get(name, 0.5))
    if not ledger.entries:
        return _begun(ledger, pool, file, wanted, rows)
    plan = ledger.plan
    if plan["rule"] != RULE:
        raise MedcalError(
            f"{ledger.path}: was begun by rule {plan['rule']}, this version of medcal has rule "
            f"{RULE}: go on with the version that it was begun with"
        )
    this = {name: plan[name] for name in _NAMES} | wanted
    if is_open and _signature(plan) != _signature({**this, "pool": pool.hash}):
        return _begun(ledger, pool, file, this, rows)
    if plan["pool"] != pool.hash:
        if shared(plan["marks"], marks_of(pool)) < SAME:
            raise MedcalError(
                f"{file}: has other answers than those that {ledger.path} was begun with: give the "
                "new ones a file name of their own"
            )
        raise _refused(ledger, pool, file, this, _altered(ledger, pool, rows))
    for name, value in wanted.items():
        if value != plan[name]:
            why = f"was begun with {name}={_shown(plan[name])}, not {_shown(value)}"
            raise _refused(ledger, pool, file, this, why)
    return plan


def check_share(name: str, value: float) -> None:
    """Refuse an option whose value is no share between 0 and 1."""
    if not 0 < value < 1:
        hint = f"; {value:g} % is {value / 100:g}" if 1 <= value < 100 else ""
        raise MedcalError(
            f"--{name} {value:g}: must be a share between 0 and 1, such as 0.1{hint}"
        )


def _begun(
    ledger: Ledger, pool: Pool, file: Path, wanted: dict[str, Any], rows: str
) -> Entry:
    """Begin a ledger, unless the folder holds one of these answers."""
    if "risk" not in wanted:
        raise MedcalError(
            f"{file}: to be begun: say --risk, the share of wrong answers that you accept among "
            "those that pass, such as 0.1"
        )
    plan = USUAL | wanted
    marks = marks_of(pool)
    for path in sorted(file.parent.glob("*.certificate.jsonl")):
        other = Ledger(path)
        if path == ledger.path or not other.entries or other.chain.faults:
            continue
        part = shared(other.plan["marks"], marks)
        if part >= SAME:
            why = (
                f"was begun with {percent(part)}% of the answers of {file} (if they are others, "
                "name them: a column item_id or image_id)"
            )
            raise _refused(other, pool, file, plan, why)
    sizes = pool.rows.value_counts(METHOD).sort_index().reset_index(name="n")
    answers = {
        "rows": rows,
        "n_answers": len(pool.rows),
        "methods": sizes.to_dict("records"),
        "pool": pool.hash,
        "seed": pool.seed,
        "marks": marks,
    }
    ledger.append({"kind": lines.PLAN, "rule": RULE, **plan, **answers})
    return ledger.plan


def plans_on(ledger: Ledger) -> list[tuple]:
    """Different plans on the answers of a ledger: the one that holds, and those refused."""
    plans = [ledger.plan, *ledger.of_kind(lines.OTHER_PLAN)]
    return [*dict.fromkeys(map(_signature, plans))]


def _signature(plan: Entry) -> tuple:
    starts = tuple(plan["starts"] or ())
    return (plan["risk"], plan["delta"], plan["budget"], starts, plan["pool"])


def _shown(value: float | list[int] | None) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "usual" if value is None else f"{value:g}"


def _refused(
    ledger: Ledger, pool: Pool, file: Path, plan: dict[str, Any], why: str
) -> MedcalError:
    """Count another plan in the ledger of the answers; the error that says so."""
    ledger.require_whole()
    where = "go on with the file that it was begun with, without options"
    if _signature(ledger.plan) == _signature({**plan, "pool": pool.hash}):
        return MedcalError(f"{ledger.path}: {why}: {where}")
    other = {"kind": lines.OTHER_PLAN, **plan, "pool": pool.hash, "file": file.name}
    if _signature(other) not in plans_on(ledger):
        ledger.append(other)
    plans = plans_on(ledger)
    number = plans.index(_signature(other)) + 1
    total = min(1.0, sum(delta for _, delta, *_ in plans[:number]))
    nth = _ORDINALS.get(number, f"{number}th")
    return MedcalError(
        f"{ledger.path}: {why}: {nth} plan on these answers, no certificate at delta "
        f"{plan['delta']:g}: the best of {number} plans fails with a probability of up to "
        f"{total:.3g}. The plan that it was begun with stands: {where}"
    )


def _altered(ledger: Ledger, pool: Pool, rows: str) -> str:
    """What is known of how a pool differs from that of its ledger."""
    begun_with = ledger.plan.get("rows", "")
    if begun_with != rows:
        names = [f"--rows {one!r}" if one else "all rows" for one in (begun_with, rows)]
        return f"was begun with {names[0]}, not with {names[1]}"
    names = altered_items(ledger, pool)
    shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    of_graded = f" (of those graded: {shown})" if names else ""
    return f"answers were altered since it was begun{of_graded}"


def altered_items(ledger: Ledger, pool: Pool) -> list[str]:
    """Items that were graded and whose answer is no longer what was graded."""
    contents = set(pool.contents)
    names: dict[str, None] = {}
    for entry in ledger.of_kind(lines.GRADE):
        if entry["row"] not in contents:
            names[entry["item_id"]] = None
    return [*names]

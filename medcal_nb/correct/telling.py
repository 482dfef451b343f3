"""What fusing shows, in words: titles of figures and sentences, computed from their tables."""

import pandas as pd

from .fusion import _SIZE, FUSION, TRAINED

_SAYS = {"as stated": "as stated", "platt": "with Platt", "trained": ""}


def system_name(row) -> str:
    """What a row of a fusion table is called: ``p_true with Platt``, ``fusion as stated``."""
    if (row["system"], row["correction"]) == ("stated", "as stated"):
        return "the stated confidence"
    name = f"{row['system']} {_SAYS.get(row['correction'], row['correction'])}".strip()
    return name.replace("fusion + expert" + TRAINED, "trained fusion + expert").replace(
        FUSION + TRAINED, "trained fusion"
    )


def _tokens(count: float) -> str:
    words = {0: "no written token", 1: "one token"}
    return words.get(round(count), f"{count:,.0f} tokens")


def tokens_title(table: pd.DataFrame) -> str:
    """What tokens buy, from one model's rows of :func:`tokens_table`."""
    best = table.loc[table["brier"].idxmin()]
    tied = table[table["tied"]].sort_values(["new_tokens", "brier"])
    cheap, dear = tied.iloc[0], table.loc[table["new_tokens"].idxmax()]
    cheaper = int((table["new_tokens"] < cheap["new_tokens"]).sum())
    if dear["new_tokens"] <= max(1.5 * cheap["new_tokens"], cheap["new_tokens"] + 1):
        return (
            f"What is lowest costs most: {_named(cheap)} takes {_tokens(cheap['new_tokens'])}"
            if cheaper
            else "All ways of asking take about as many tokens"
        )
    does = f"{_tokens(cheap['new_tokens'])} does".replace("tokens does", "tokens do")
    title = f"{does[0].upper()}{does[1:]} what {dear['new_tokens']:,.0f} do: {_named(cheap)}"
    if cheap["system"] == best["system"]:
        return f"{title} has the lowest Brier score"
    return f"{title} cannot be told from the lowest, {_named(best)}"


def _named(row) -> str:
    name = system_name(row)
    return f"the {name}" if "fusion" in name or name.startswith("expert") else name


def systems_title(table: pd.DataFrame) -> str:
    """Who has the lowest Brier score, from one model's rows of :func:`fusion_table`."""
    rows = table.sort_values("brier", kind="stable")
    first = rows.iloc[0]
    lead = f"{system_name(first)} has the lowest Brier score, {first['brier']:.3f}"
    lead = lead[0].upper() + lead[1:] if "fusion" in lead.split(" has ")[0] else lead
    own = rows[rows["kind"] != first["kind"]]
    rest = [
        f"{name} has {part['brier'].iloc[0]:.3f}{_which(part.iloc[0])}"
        for kind, name in (
            ("strategy", "the best single way of asking"),
            ("expert", "the expert alone"),
            ("fusion", "the best fusion"),
        )
        if len(part := own[own["kind"] == kind])
    ]
    return f"{lead}; {' and '.join(rest)}" if rest else lead


def _which(row) -> str:
    return f" ({row['system']})" if row["kind"] == "strategy" else ""


def change_title(table: pd.DataFrame) -> str:
    """Does fusing help, from rows of :func:`fusion_change_table`: rival by rival."""
    told = []
    for rival, part in table.groupby("rival", sort=False):
        won, worse = (part[part["conclusion"] == kind] for kind in ("better", "worse"))
        name = "the expert alone" if rival == "expert" else "the best single way of asking"
        count = (
            f"{len(won) or 'none'} of {len(part)} fusions beat{'s' if len(won) < 2 else ''} {name}"
        )
        most = (
            f" by {'up to ' if len(won) > 1 else ''}{-won['change'].min():.3f}" if len(won) else ""
        )
        count += most
        lose = f", to which {len(worse)} lose{'s' if len(worse) == 1 else ''}" if len(worse) else ""
        told.append(count + lose)
    return f"With the same labels {', and '.join(told)}"


def falls(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of :func:`image_reliance_table` with falls in place of changes, for a scatter."""
    out = table.assign(label=table["system"])
    for name in ("accuracy", "confidence"):
        for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
            out[f"{name}_fall{end}"] = -table[f"{name}_change{other}"]
    return out


def image_title(table: pd.DataFrame) -> str:
    """Does confidence notice that the image is gone, from one model's as stated rows."""
    accuracy, confidence = (-table[f"{k}_change"].median() for k in ("accuracy", "confidence"))
    less, more = int((table["excess_low"] > 0).sum()), int((table["excess_high"] < 0).sum())
    told = f"accuracy falls by {100 * accuracy:.0f} points and confidence by {100 * confidence:.0f}"
    if less:
        ending = f"{less} of {len(table)} confidences miss the image too little"
    elif more:
        ending = f"{more} of {len(table)} confidences fall by more than they should"
    else:
        ending = "no confidence is shown to miss it too little"
    return f"Without the image {told}; {ending}"


def change_sentence(table: pd.DataFrame) -> str:
    """What :func:`fusion_change_table` shows, rival by rival, in words."""
    if table.empty:
        return "One way of asking alone leaves nothing to fuse."
    told = []
    for rival, part in table.groupby("rival", sort=False):
        count = part["conclusion"].value_counts()
        named = [" ".join(map(str, k)) for k in part.loc[part["conclusion"] == "better",
                 ["model", "system", "correction"]].itertuples(index=False)]  # fmt: skip
        told.append(
            f"Against the {rival} with Platt and the same labels, {count.get('better', 0)} of "
            f"{len(part)} fusions have a lower Brier score"
            + (f" ({'; '.join(named)})" if named else "")
            + f", {count.get('worse', 0)} a higher one, and for "
            f"{count.get('no difference shown', 0)} no difference is shown (Holm-corrected, "
            f"{_SIZE:.0%}); median change {part['change'].median():+.4f}."
        )
    return "\n\n".join(told)


def left_out_sentence(table: pd.DataFrame, *, level: float = 0.95) -> str:
    """What :func:`left_out_table` shows of each fusion of one model, in words.

    A difference that is nought to four digits is none.
    """
    if table.empty:
        return "One voter alone leaves nothing to leave out: there is no figure."
    told = []
    for system, part in table.groupby("system", sort=False):
        worse = part.loc[part["change_low"].round(4) > 0, "left_out"]
        better = part.loc[part["change_high"].round(4) < 0, "left_out"]
        told.append(
            f"{system} is worse without {', '.join(worse) or 'none'} and better without "
            f"{', '.join(better) or 'none'}; for {len(part) - len(worse) - len(better)} of "
            f"{len(part)} voters no difference is shown. By chance alone about "
            f"{len(part) * (1 - level):.1f} would be shown."
        )
    return "\n\n".join(told)

"""What a saved figure may say of the table beside it."""

import re
from collections import Counter
from string import ascii_lowercase

import pandas as pd

from medcal_nb.labels import CONCLUDED, LOOKS, label_of
from medcal_nb.plots import INTERVAL, axis_label, look
from medcal_nb.plots.estimates import written

LONGEST = 60  # characters of a title
#: Conclusions whose words mean nothing else on a figure.
CONCLUSIONS = set(CONCLUDED) - {"better", "worse"}


def broken_rules(spec: dict, table: pd.DataFrame) -> list[str]:
    """Name what a figure says that its table does not; none for an honest figure.

    `spec` is what `Output.save` wrote of the figure, `table` the CSV beside it.
    """
    drawn = [part for panel in spec["panels"] for part in panel["drawn"]]
    if not drawn:
        return ["nothing is drawn by `plots`"]
    lacking = {name for part in drawn for name in part["columns"].values()} - {*table}
    if lacking:
        return [f"columns that the table lacks: {sorted(lacking)}"]
    rules = (_rows, _axes, _key, _swatches, _conclusions, _left_out, _number, _title)
    rules += (_panels, _frame, _beside, _edge, _signs, _corrected)
    return [line for rule in rules for line in rule(spec, drawn, table)]


def _value(part: dict) -> str:
    return part["columns"].get("y", part["columns"]["x"])


def _rows(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """Each row of the table is drawn once, or has a reason."""
    marks = Counter()
    for part in drawn:
        n_drawn = part["marks"] + part["too_few"]
        marks[_value(part)] += n_drawn
    counts = table[list(marks)].notna().sum()
    lines = [
        f"{name}: {n} drawn, {counts[name]} in the table"
        for name, n in marks.items()
        if n != counts[name]
    ]
    if table[list(marks)].isna().all(axis=1).sum() != _n_left_out(drawn):
        lines.append("rows that are not drawn, and have no reason")
    return lines


def _n_left_out(drawn: list[dict]) -> int:
    return sum(sum(part["left_out"].values()) for part in drawn)


def _axes(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """An axis says what its column is called; an inner one may be silent."""
    lines = []
    for axis in ("x", "y"):
        said = set()
        wanted = set()
        for panel in spec["panels"]:
            columns = {part["columns"].get(axis) for part in panel["drawn"]} - {None}
            words = {axis_label(column) for column in columns}
            wanted |= words
            label = " ".join(panel[axis].split())  # it may be broken into lines
            said.add(label)
            if label and words and label not in words:
                lines.append(f"an axis says {label!r}, its column {words}")
        lines += [f"no axis says {word!r}" for word in wanted - said]
    return lines


def _key(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """What has a colour, a filling, a stroke or a bar is in the key, or written beside its mark."""
    wanted = set()
    beside = {text for panel in spec["panels"] for text in panel["texts"]}
    for part in drawn:
        columns = part["columns"]
        if columns.get("hue") != columns.get("label"):
            wanted |= {label_of(level, columns["hue"]) for level in part["hue"]}
        wanted |= {label_of(level) for level in part["fill"]}
        wanted |= {label_of(columns["base"])} if "base" in columns else set()
    wanted = {spec["names"].get(name, name) for name in wanted}
    wanted -= {*spec["key"], *beside}
    lines = [f"not in the key: {name}" for name in sorted(wanted)]
    has_bars = any(part["bars"] for part in drawn)
    # of draws, say, a figure names what its bars hold
    bar = spec["names"].get(INTERVAL, INTERVAL)
    if has_bars and not any(bar in name for name in spec["key"]):
        lines.append("no key says what a bar is")
    if has_bars and not any(panel["bars"] for panel in spec["panels"]):
        lines.append("bars are in the key, and none can be seen")
    return lines


def _swatches(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """Each swatch of the key looks unlike the others, and stands for what is drawn."""
    names = {}
    for name, swatch in zip(spec["key"], spec["looks"], strict=True):
        names.setdefault(swatch, []).append(name)
    lines = [f"look alike in the key: {alike}" for alike in names.values() if alike[1:]]
    for part in drawn:
        column = part["columns"].get("hue")
        if column and column != part["columns"].get("label"):
            missing = {*table[column].dropna().astype(str)}
            missing -= {level for other in drawn for level in other["hue"]}
            called = {label_of(level, column) for level in missing}
            called = {spec["names"].get(name, name) for name in called}
            lines += [
                f"in the key, not drawn: {name}" for name in called & {*spec["key"]}
            ]
    return sorted({*lines})


def _conclusions(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """A conclusion on a figure is that of the column `conclusion`, mark by mark."""
    words = [spec["title"], *spec["key"]]
    for panel in spec["panels"]:
        words += [panel["title"], panel["x"], *panel["texts"]]
    text = " · ".join(words)
    fills = Counter()
    for part in drawn:
        if part["columns"].get("fill") == "conclusion":
            fills.update(part["fill"])
    said = {name for name in CONCLUSIONS if re.search(rf"\b{name}\b", text)}
    said = {name for name in said if not any(name in o and name != o for o in said)}
    lines = [f"says {name!r}, and no mark has it" for name in said - {*fills}]
    if fills and fills != Counter(table["conclusion"].dropna()):
        lines.append(f"fillings {dict(fills)} are not the column's")
    return lines


def _left_out(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """Reasons, and how many rows have each, are those of the column `left_out`."""
    counted = Counter()
    for part in drawn:
        counted.update(part["left_out"])
    known = Counter()
    if "left_out" in table:
        known = Counter(table["left_out"].dropna())
        known.pop("", None)
    words = [spec["title"], *spec["key"]]
    words += [panel[at] for panel in spec["panels"] for at in ("title", "x", "y")]
    lines = []
    if counted != known:
        lines.append(f"left out {dict(counted)}, in the table {dict(known)}")
    if any("left out" in text for text in words):
        lines.append("says 'left out' in words of its own")
    return lines


def _number(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """The answers or images behind a mark are on the figure, as the table has them."""
    titles = [spec["n"], *(panel["title"] for panel in spec["panels"])]
    said = []
    for title in titles:
        said += re.findall(r"n = ([\d,]+)(?: to ([\d,]+))?", title)
    if not said:
        beside = any("n" in part["columns"] for part in drawn)
        return [] if beside else ["no n on the figure"]
    columns = [name for name in table if re.match("n(_|$)", name)]
    known = set()
    for name in columns:
        known |= {*table[name].dropna()}
        # of the values of a model or stage, or of all, the answers together
        known.add(table[name].sum())
        for of in {"model", "stage"} & {*table}:
            known |= {*table.groupby(of)[name].sum()}
    wrong = []
    for ends in said:
        numbers = [int(end.replace(",", "")) for end in ends if end]
        wrong += [n for n in numbers if n not in known]
    return [f"n = {n} is in no column of the table" for n in wrong]


def _title(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """A title says what is shown, at the place that it has in every figure."""
    title = spec["title"]
    if not title:
        return ["no title"]
    return [f"a title of {len(title)} characters"] if len(title) > LONGEST else []


def _panels(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """Titles of several panels have letters in their order; models stand in one order."""
    titles = [panel["title"] for panel in spec["panels"] if panel["title"]]
    lines = []
    if len(titles) > 1:
        wanted = ascii_lowercase[: len(titles)]
        letters = "".join(title[0] for title in titles if title[1:3] == "  ")
        if letters != wanted:
            lines.append(f"letters of panels: {letters!r}, not {wanted!r}")
    known = {label_of(name, "model"): i for i, name in enumerate(look(LOOKS))}
    first = [title.split("\n")[0].split("  ")[-1] for title in titles]
    order = [known[name] for name in first if name in known]
    if order != sorted(order):
        lines.append("models of panels stand in an order of their own")
    return lines


def _frame(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """The frame cuts no mark."""
    n = sum(panel["clipped"] for panel in spec["panels"])
    return [f"{n} marks are cut by the frame"] if n else []


def _beside(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """What is written in columns beside the marks is what the table has."""
    lines = []
    for panel in spec["panels"]:
        texts = {*panel["texts"]}
        for part in panel["drawn"]:
            columns = part["columns"].items()
            for column in [name for key, name in columns if key.startswith("beside")]:
                wanted = {written(one, column) for one in table[column].dropna()}
                shown = wanted & texts
                if (len(drawn) == 1 and shown != wanted - {""}) or not shown:
                    lines.append(f"beside the marks are not the values of {column}")
    return lines


def _edge(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """The edge of the figure cuts no word."""
    return [f"cut by the edge: {words!r}" for words in spec.get("outside", [])]


def _signs(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """A letter of statistics stands in the caption: on the figure are words."""
    words = [spec["title"], spec["n"], *spec["key"]]
    signs = {sign for text in words for sign in re.findall("[α-ω]", text)}
    return [f"a sign without words: {sign}" for sign in sorted(signs)]


def _corrected(spec: dict, drawn: list[dict], table: pd.DataFrame) -> list[str]:
    """Beside a conclusion the key says that it is corrected, and the interval is not."""
    is_concluded = any(part["columns"].get("fill") == "conclusion" for part in drawn)
    if not (is_concluded and any(part["bars"] for part in drawn)):
        return []
    said = [name for name in spec["key"] if INTERVAL in name]
    if any("conclusion" in name and "Holm" in name for name in said):
        return []
    return ["no key says that conclusions are corrected, and intervals are not"]

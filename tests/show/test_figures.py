"""save_figure: same bytes for the same figure, provenance inside, old files safe."""

import html
import json
import re

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")

from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from medcal_nb.show.figures import (
    difference,
    read_figure,
    replace_files,
    same_but_for_rounding,
    save_figure,
    table_csv,
)
from tests.show.saved import read_figures

TOLD = {
    "profile": "pocket",
    "parameters": {"SEED": 0},
    "versions": {"numpy": "2"},
    "data": "abc",
}
ABOUT = {"provenance": TOLD, "alt": "a line"}


def draw():
    table = pd.DataFrame({"group": ["ct", "mri"], "n": [7, 12], "ece": [1 / 3, np.nan]})
    fig = Figure(figsize=(3, 2))
    ax = fig.subplots()
    ax.fill_between([0, 1], [0, 0.2], [0.1, 0.4], alpha=0.3)
    ax.plot([0, 1], [0, 0.3], marker="o", label="ece")
    circle = matplotlib.patches.Circle((0.5, 0.2), 0.1)
    ax.imshow(np.eye(2), extent=(0, 1, 0, 1)).set_clip_path(ax.add_patch(circle))
    ax.legend()
    return fig, table


def test_same_figure_gives_same_bytes(tmp_path):
    for folder in ("a", "b"):
        fig, table = draw()
        save_figure(fig, "fig09_toy", table, out_dir=tmp_path / folder, **ABOUT)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["fig09_toy.csv", "fig09_toy.png", "fig09_toy.svg"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes(), name


def test_same_but_for_rounding(tmp_path):
    def saved(folder, *, move=0.0, alt="a line", colour="red"):
        table = pd.DataFrame({"x": [0.0, 1.0], "ece": [0.25, 0.5 + move]})
        fig = Figure(figsize=(3, 2))
        ax = fig.subplots()
        ax.plot(table["x"], table["ece"], marker="o", color=colour)
        ax.set_ylim(0, 1)
        about = ABOUT | {"alt": alt}
        save_figure(fig, "fig09_toy", table, out_dir=tmp_path / folder, **about)
        return tmp_path / folder / "fig09_toy"

    old = saved("old")
    assert same_but_for_rounding(old, saved("again"))
    rounded = saved("rounded", move=5e-5)
    assert (
        rounded.with_suffix(".svg").read_bytes() != old.with_suffix(".svg").read_bytes()
    )
    assert same_but_for_rounding(old, rounded)
    assert not same_but_for_rounding(old, saved("number", move=0.002))
    assert not same_but_for_rounding(old, saved("words", alt="another finding"))
    assert not same_but_for_rounding(old, saved("look", colour="blue"))
    assert not same_but_for_rounding(old, tmp_path / "absent")
    rounded.with_suffix(".png").write_bytes(b"damaged")
    assert not same_but_for_rounding(old, rounded)


def test_another_number_changes_every_file(tmp_path):
    fig, table = draw()
    save_figure(fig, "fig09_toy", table, out_dir=tmp_path, **ABOUT)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    fig.axes[0].plot([0, 1], [0.5, 0.5])
    table.loc[0, "ece"] = 0.25
    save_figure(fig, "fig09_toy", table, out_dir=tmp_path, **ABOUT)
    assert [
        path for path, content in before.items() if path.read_bytes() == content
    ] == []


def test_pictures_tell_what_they_are(tmp_path):
    fig, table = draw()
    told = {
        "provenance": TOLD,
        "caption": "Says 84 % – “x” <is> right.",
        "alt": "Dots & lines",
    }
    path = save_figure(fig, "fig09_toy", table, out_dir=tmp_path, **told)
    assert read_figure(path) == told | {"width": 330}
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((110, 110), abs=0.1)
        assert image.size == (330, 220)
    svg = path.with_suffix(".svg").read_text()
    assert "<dc:date>" not in svg
    (said,) = re.findall(r"<dc:description>(.*?)</dc:description>", svg, re.S)
    assert json.loads(html.unescape(said)) == told
    Image.new("RGB", (9, 9)).save(tmp_path / "fig09_other.png")
    (tmp_path / "fig09_text.png").write_text("no picture")
    for k, odd in enumerate(("5", '{"caption": 1}', "{")):
        info = PngImagePlugin.PngInfo()
        info.add_text("medcal", odd)
        Image.new("RGB", (9, 9)).save(tmp_path / f"fig09_odd{k}.png", pnginfo=info)
    assert read_figures(tmp_path) == {"fig09_toy": read_figure(path)}


@pytest.mark.parametrize(
    ("table", "text"),
    [
        (pd.DataFrame({"x": [1 / 3, 1e-7, np.nan]}), "x\n0.333333\n1e-07\n\n"),
        (pd.DataFrame({"n": [1, 2], "b": [True, False]}), "n,b\n1,True\n2,False\n"),
        # an index that has a name is data, one without is not
        (pd.DataFrame({"x": [0.5]}, index=pd.Index(["ct"], name="m")), "m,x\nct,0.5\n"),
        (pd.DataFrame({"x": [0.5]}, index=["ct"]), "x\n0.5\n"),
        # floats in a column of objects and nullable floats are rounded like the others
        (
            pd.DataFrame({"x": pd.Series([1 / 3, 0.25], dtype=object)}),
            "x\n0.333333\n0.25\n",
        ),
        (
            pd.DataFrame({"x": pd.array([1 / 3, None], dtype="Float64")}),
            "x\n0.333333\n\n",
        ),
        (pd.DataFrame({"x": ["a,b", 'c"d']}), 'x\n"a,b"\n"c""d"\n'),
    ],
)
def test_table_csv(table, text):
    expected = text.replace("\n\n", '\n""\n') if list(table.columns) == ["x"] else text
    assert table_csv(table) == expected


def test_empty_table_is_refused_and_writes_nothing(tmp_path):
    fig, table = draw()
    with pytest.raises(ValueError, match="empty"):
        save_figure(fig, "fig09_toy", table.iloc[:0], out_dir=tmp_path, **ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_a_figure_without_words_for_those_who_do_not_see_it_is_refused(tmp_path):
    fig, table = draw()
    with pytest.raises(ValueError, match="alt"):
        save_figure(fig, "fig09_toy", table, out_dir=tmp_path, provenance=TOLD, alt=" ")
    assert list(tmp_path.iterdir()) == []


def test_a_figure_of_synthetic_images_that_does_not_say_so_is_refused(tmp_path):
    fig, table = draw()
    table = table.assign(model="pocket-medical")
    place = {"out_dir": tmp_path, "provenance": TOLD, "alt": "a line"}
    with pytest.raises(ValueError, match="synthetic"):
        save_figure(fig, "fig09_toy", table, **place)
    fig.supxlabel("Synthetic images. 12 answers.")
    assert save_figure(fig, "fig09_toy", table, **place).is_file()


def test_a_figure_without_images_is_sharp(tmp_path):
    fig = Figure(figsize=(3, 2))
    fig.subplots().plot([0, 1])
    table = pd.DataFrame({"x": [1]})
    path = save_figure(fig, "fig09", table, out_dir=tmp_path, **ABOUT)
    with Image.open(path) as image:
        assert image.size == (600, 400)
    assert read_figure(path)["width"] == 330


def test_figures_are_small(tmp_path):
    """A cloud of points and a band: a typical figure at 7 inches."""
    fig = Figure(figsize=(7, 3.5))
    axes = fig.subplots(1, 2)
    rng = np.random.default_rng(0)
    axes[0].scatter(rng.random(500), rng.random(500))
    axes[1].fill_between(np.arange(200), rng.random(200), alpha=0.2)
    table = pd.DataFrame({"x": [1]})
    path = save_figure(fig, "fig09", table, out_dir=tmp_path, provenance={}, alt="dots")
    assert path.stat().st_size < 150_000
    assert path.with_suffix(".svg").stat().st_size < 150_000


def test_failed_write_leaves_old_files_and_no_debris(tmp_path):
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    replace_files({first: b"old a", second: b"old b"})
    with pytest.raises(TypeError):
        replace_files({first: b"new a", second: "text, not bytes"})
    assert first.read_bytes() == b"old a"
    assert second.read_bytes() == b"old b"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


TABLE = pd.DataFrame(
    {"group": ["ct", "mri", None], "n": [7, 12, 3], "ece": [0.25, np.nan, 4.0]}
)


@pytest.mark.parametrize(
    ("column", "row", "value", "told"),
    [
        ("ece", 0, 0.254, None),
        ("ece", 0, 0.256, "first diff: 0.256 != 0.25"),
        # relative where it is large
        ("ece", 2, 4.019, None),
        ("ece", 2, 4.03, "first diff: 4.03 != 4.0"),
        ("ece", 1, 0.0, "first diff: 0.0 != nan"),
        ("n", 1, 13, "first diff: 13 != 12"),
        ("group", 0, "x", "first diff: 'x' != 'ct'"),
    ],
)
def test_differences_of_one_cell(tmp_path, column, row, value, told):
    TABLE.to_csv(tmp_path / "old.csv", index=False)
    new = TABLE.copy()
    new.loc[row, column] = value
    new.to_csv(tmp_path / "new.csv", index=False)
    found = difference(tmp_path / "old.csv", tmp_path / "new.csv")
    assert (told in found) if told else not found
    assert "\n" not in found
    new.drop(columns=column).to_csv(tmp_path / "new.csv", index=False)
    assert "shape" in difference(tmp_path / "old.csv", tmp_path / "new.csv")

"""Charts: what is drawn is read back from the axes; words are large enough to be read."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from medcal_nb.measure import reliability_table, risk_coverage_table
from medcal_nb.show import charts, look
from medcal_nb.show.facets import alone, beside, facets, image_sheet

mpl.use("Agg")


def reliability(rng, domains=("general", "medical")):
    parts = []
    for k, domain in enumerate(domains):
        c = rng.random(400)
        table = reliability_table(c, rng.random(400) < c * (1 - 0.4 * k), n_bins=10)
        parts.append(table.assign(domain=domain))
    return pd.concat(parts, ignore_index=True)


def dumbbells(labels=("m1", "m2")):
    values = {"raw": 0.3, "source": 0.22, "target": 0.2}
    rows = [
        {"label": label, "stage": stage, "value": v, "low": v - 0.01, "high": v + 0.01}
        for label in labels
        for stage, v in values.items()
    ]
    return pd.DataFrame(rows).assign(conclusion="carries over")


def tables():
    """A small table for every plot, and its options."""
    rng = np.random.default_rng(0)
    risk = [
        risk_coverage_table(c := rng.random(60), rng.random(60) < c).assign(
            strategy=name
        )
        for name in ("verbalized", "p_true")
    ]
    points = {"strategy": ["verbalized", "p_true"], "test_coverage": [0.5, 0.0]}
    points = pd.DataFrame(points).assign(test_missed=[0.05, 0.0])
    fall = {
        "label": ["a", "$^{$"],
        "accuracy_fall": [0.2, 0.3],
        "confidence_fall": [0.02, 0.1],
    }
    falls = pd.DataFrame(fall).assign(accuracy_fall_low=0.1, accuracy_fall_high=0.4)
    curve = [
        {
            "map": m,
            "n": n,
            "median": v / (1 + (m == "target") * n),
            "low": 0.01,
            "high": 0.3,
        }
        for m, v in (("raw", 0.3), ("target", 0.4), ("source", 0.28))
        for n in (10, 100, 1000)
    ]
    levels = pd.DataFrame(
        {"level": ["absent", "0–0.5", "0.5–1"], "accuracy": 0.5, "mean_confidence": 0.8}
    )
    scores = pd.DataFrame(
        {
            "label": ["b", "a"],
            "value": [0.3, 0.1],
            "low": [0.2, 0.05],
            "high": [0.4, 0.2],
        }
    )
    lines = {
        "x": [1, 2, 1, 2],
        "y": [1.0, 2, 3, 4],
        "h": ["u", "u", "v", "v"],
        "all": 2.5,
    }
    tokens = {"strategy": ["p_true", "top_k", "augment"], "new_tokens": [0, 70, 5]}
    accuracy = {
        "label": ["a"],
        "accuracy": [0.5],
        "mean_confidence": [0.8],
        "domain": ["medical"],
    }
    icons = {"outcome": ["right", "wrong", "wrong, sure"], "count": [52, 15, 33]}
    changes = {
        "row": ["a", "a", "b"],
        "col": ["u", "v", "u"],
        "value": [0.03, -0.01, 0.0],
    }
    changes = pd.DataFrame(changes).assign(
        value_low=[0.01, -0.02, -0.01], value_high=0.04
    )
    called = {
        "row": "row",
        "col": "col",
        "value": "value",
        "xlabel": "used",
        "ylabel": "fitted",
    }
    return {
        "plot_reliability": (reliability(rng), {"hue": "domain"}),
        "plot_icons": (pd.DataFrame(icons), {}),
        "plot_dumbbells": (dumbbells(), {"margin": 0.02}),
        "plot_label_curve": (
            pd.DataFrame(curve),
            {"mark": 100, "xlabel": "labels", "ylabel": "loss"},
        ),
        "plot_intervals": (scores, {}),
        "plot_lines": (
            pd.DataFrame(lines),
            {"x": "x", "y": "y", "hue": "h", "references": {"keep all": "all"}},
        ),
        "plot_tokens": (
            pd.DataFrame(tokens).assign(brier=[0.2, 0.1, 0.3]),
            {"label": "strategy"},
        ),
        "plot_risk_coverage": (pd.concat(risk), {"allowed": 0.2, "points": points}),
        "plot_levels": (levels, {}),
        "plot_scatter_fall": (falls, {}),
        "plot_accuracy_confidence": (pd.DataFrame(accuracy), {}),
        "plot_matrix": (changes, called),
    }


PLOTS = [name for name in dir(charts) if name.startswith("plot_")]
WIDE = ("plot_dumbbells", "plot_intervals", "plot_matrix", "plot_risk_coverage")


def drawn(name, table=None, **options):
    """The axes of a plot on its table, or on another one."""
    own, told = tables()[name]
    plot = getattr(charts, name)
    fig = alone(
        lambda ax: plot(own if table is None else table, ax=ax, **(told | options)),
        width="full" if name in WIDE else "half",
        height=3.6,
    )
    return fig.axes[0]


def words(fig):
    return [
        t
        for t in fig.findobj(mpl.text.Text)
        if t.get_text().strip() and t.get_visible()
    ]


@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_draws_legibly_within_its_figure_and_keeps_the_table(name):
    table = tables()[name][0]
    before = table.copy()
    ax = drawn(name, table)
    fig = ax.figure
    pd.testing.assert_frame_equal(table, before)
    assert plt.get_fignums() == [fig.number]
    fig.draw_without_rendering()
    page = fig.bbox.padded(2)
    for text in words(fig):
        assert text.get_fontsize() >= 7, text
        box = text.get_window_extent()
        if ax.bbox.overlaps(box) or not text.get_clip_on():
            assert page.contains(box.x0, box.y0), (name, text)
            assert page.contains(box.x1, box.y1), (name, text)
    assert min(ax.get_window_extent().size) > 0.25 * fig.dpi, (
        "axes too small to be read"
    )


def test_reliability_says_what_it_says_and_how_often_it_is_right():
    table = pd.DataFrame(
        {"low": [0.0, 0.5], "high": [0.5, 1], "n": [10, 30], "mean_confidence": [0.4, 0.9],
         "accuracy": [0.2, 0.6], "domain": "medical", "band_low": 0.1, "band_high": 0.9}
    )  # fmt: skip
    ax = charts.plot_reliability(table, hue="domain")
    (said,) = (t for t in ax.texts if t.get_gid() == charts.ABOVE)
    assert said.get_text() == "medical: says 78 %, right 50 %"
    assert said.get_color() == look.MEDICAL
    bars = [bar.get_height() for bar in ax.child_axes[0].patches]
    assert bars == [0.25, 0.75]


def test_bins_of_few_answers_are_no_part_of_the_curve():
    table = pd.DataFrame(
        {"low": [0.0, 0.5], "high": [0.5, 1], "n": [1, 99], "mean_confidence": [0.4, 0.9],
         "accuracy": [1.0, 0.6], "band_low": 0.1, "band_high": 0.9}
    )  # fmt: skip
    ax = charts.plot_reliability(table)
    curve = next(line for line in ax.lines if line.get_marker() == "o")
    assert list(curve.get_xdata()) == [0.9]


def test_a_group_without_rare_bins_leaves_no_mark_at_the_corner():
    """An empty line that isn't clipped counts as lying at the figure's corner: panels shrink."""
    table = reliability(np.random.default_rng(0)).assign(panel="a")
    fig = facets(
        pd.concat([table, table.assign(panel="b")]),
        lambda rows, ax: charts.plot_reliability(rows, ax=ax, hue="domain"),
        col="panel",
        height=3,
    )
    fig.draw_without_rendering()
    assert min(ax.get_position().width for ax in fig.axes) > 0.2


def test_icons_are_a_hundred():
    thirds = pd.DataFrame({"outcome": ["right", "wrong", "sure"], "count": [1, 1, 1]})
    ax = drawn("plot_icons", thirds)
    assert sum(len(c.get_offsets()) for c in ax.collections) == 100
    named = [t.get_text() for t in ax.get_legend().get_texts()]
    assert sorted(int(name.split()[0]) for name in named) == [33, 33, 34]


def test_dumbbells_in_the_colours_of_their_labels():
    ax = drawn("plot_dumbbells", xlabel="Brier score")
    dots = {line.get_label(): line.get_color() for line in ax.lines}
    assert dots["general labels"] == look.GENERAL
    assert dots["medical labels"] == look.MEDICAL
    assert [p.get_x() for p in ax.patches] == [0.2, 0.2]
    assert [p.get_width() for p in ax.patches] == pytest.approx([0.02, 0.02])
    assert [t.get_text() for t in ax.texts] == ["carries over"] * 2
    assert ax.get_xlabel().endswith(
        "shaded: at most 0.02 worse than with medical labels"
    )


def test_intervals_are_sorted_and_told():
    ax = drawn("plot_intervals")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]
    assert [t.get_text() for t in ax.texts] == [
        "0.30 [0.20, 0.40]",
        "0.10 [0.05, 0.20]",
    ]


def test_label_curve_starts_at_zero_and_marks_n():
    ax = drawn("plot_label_curve")
    assert ax.get_ylim()[0] == 0
    assert any("100 labels" in t.get_text() for t in ax.texts)
    assert {"as stated", "medical labels", "general labels"} <= {
        t.get_text() for t in ax.texts
    }


def test_tokens_have_at_most_five_names():
    table = pd.DataFrame(
        {"strategy": [f"s{k}" for k in range(9)], "new_tokens": range(9), "brier": 0.3}
    ).assign(brier=lambda t: 0.3 - 0.01 * t["new_tokens"])
    ax = drawn("plot_tokens", table)
    assert len(ax.texts) == 5
    # the front: what no other beats
    assert list(ax.lines[0].get_xdata()) == [*range(9), 8]
    worse = drawn("plot_tokens", table.assign(brier=[0.2, 0.1, 0.1, 0.15, *[0.1] * 5]))
    assert list(worse.lines[0].get_xdata()) == [0, 1, 8]


def test_risk_coverage_marks_what_is_kept():
    ax = drawn("plot_risk_coverage")
    told = "\n".join(t.get_text() for t in ax.texts)
    assert "50 kept, 5 wrong, 50 checked" in told
    assert "0 kept, 0 wrong, 100 checked" in told
    at = [
        (ln.get_xdata()[0], ln.get_ydata()[0])
        for ln in ax.lines
        if len(ln.get_xdata()) == 1
    ]
    assert at == [(0.5, 0.1)]


def test_absent_findings_stand_apart():
    ax = drawn("plot_levels")
    ticks = dict(
        zip([t.get_text() for t in ax.get_xticklabels()], ax.get_xticks(), strict=True)
    )
    assert ticks["0–0.5"] - ticks["absent"] > ticks["0.5–1"] - ticks["0–0.5"]
    joined = [
        line
        for line in ax.lines
        if len(line.get_xdata()) == 2 and line.get_marker() != ""
    ]
    assert all(ticks["absent"] + 0.2 < min(line.get_xdata()) for line in joined[:2])
    for part in (tables()["plot_levels"][0], tables()["plot_levels"][0].head(1)):
        key = drawn("plot_levels", part).get_legend()
        assert [t.get_text() for t in key.get_texts()] == ["says", "right"]


def test_a_name_with_dollars_is_written_as_it_is(tmp_path):
    for name in ("plot_dumbbells", "plot_intervals", "plot_scatter_fall"):
        table = tables()[name][0].assign(label="$^{$")
        drawn(name, table).figure.savefig(tmp_path / "x.png")


def test_facets_have_ticks_and_units_on_every_panel_and_one_key():
    table, _ = tables()["plot_levels"]
    many = pd.concat([table.assign(model=f"m{k}") for k in range(11)])
    fig = facets(
        many, charts.plot_levels, col="model", title="A finding", note="A note."
    )
    assert len(fig.axes) == 11
    fig.draw_without_rendering()
    for ax in fig.axes:
        assert ax.get_ylabel() == "answers, %"
        assert any(t.get_text() for t in ax.get_yticklabels())
        assert any(t.get_text() for t in ax.get_xticklabels())
        assert ax.get_legend() is None
    assert len(fig.legends) == 1
    assert fig.get_suptitle() == "A finding"
    assert fig.get_supxlabel().replace("\n", " ") == "A note."


def test_one_panel_is_a_figure():
    table, _ = tables()["plot_levels"]
    fig = facets(table.assign(model="m"), charts.plot_levels, col="model")
    assert len(fig.axes) == 1


def test_panels_side_by_side_and_images_with_a_question():
    rng = np.random.default_rng(0)
    table, icons = reliability(rng), tables()["plot_icons"][0]
    fig = beside(
        lambda ax: charts.plot_reliability(table, ax=ax, hue="domain"),
        lambda ax: charts.plot_icons(icons, ax=ax),
        widths=[1.5, 1],
        title="A long finding " * 12,
    )
    assert "\n" in fig.get_suptitle()
    assert len(alone(lambda ax: charts.plot_icons(icons, ax=ax)).axes) == 1
    picture = np.zeros((4, 4, 3), dtype=np.uint8)
    items = pd.DataFrame(
        {"modality": ["ct", "mri"], "image_id": ["i", "j"], "picture": [picture] * 2,
         "question": "is it there?", "gold": "yes"}
    )  # fmt: skip
    fig = image_sheet(items)
    assert [words.get_text() for ax in fig.axes for words in ax.texts] == [
        "ct: is it there? yes",
        "mri: is it there? yes",
    ]


def test_three_reliability_diagrams_side_by_side_can_be_read():
    table = reliability(np.random.default_rng(0))
    fig = facets(
        pd.concat(
            [table.assign(model=f"a-long-name-of-a-model-{k}") for k in range(3)]
        ),
        lambda rows, ax: charts.plot_reliability(rows, ax=ax, hue="domain"),
        col="model",
        height=2.6,
    )
    fig.draw_without_rendering()
    assert min(ax.get_position().width for ax in fig.axes) > 0.17
    page = fig.bbox.padded(2)
    for text in words(fig):
        box = text.get_window_extent()
        assert page.contains(box.x1, box.y1), text


def test_netcal_draws_its_own_diagram_on_axes_of_ours():
    """Heights are accuracies by bin: of the answers stated at 0.65, half are right."""
    from medcal_nb.show.peer import plot_by_netcal

    c, y = np.repeat([0.25, 0.65], 50), np.tile([1, 0], 50)
    fig = beside(
        lambda ax: plot_by_netcal(c, y, ax=ax, n_bins=10), lambda ax: ax.plot([0, 1])
    )
    heights = [bar.get_height() for bar in fig.axes[0].containers[0]]
    assert heights[2] == heights[6] == 0.5
    assert fig.axes[0].get_title("left") == "Reliability Diagram"

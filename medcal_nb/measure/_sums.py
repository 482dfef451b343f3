"""Metrics as functions of sums, and the resampling of those sums.

Every metric of this room depends on the rows only through counts, and sums of a few features,
over cells: the bins of a diagram, the distinct confidence values, the nodes of a grid. Written
this way a bootstrap never copies rows. It draws the sums that a resample would have, and the
draws are exact: their distribution is that of the metric on rows drawn with replacement.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

RECIPES: dict = {}

HELD = 1 << 15  # row weights formed at once: few enough to stay in the cache
DRAWN = 1 << 15  # draws made at once from one piece
BLOCK = 1 << 22  # sums handed on at once
TOGETHER = 1 << 19  # counts of groups multiplied at once with the sums of groups
WIDE = 512  # sums of a group up to which resamples are products with them
GROUPS = 1 << 17  # groups whose sums are kept at once
WORD = 16  # random bits spent on one draw from a piece of 2^s rows
PAIRED = 256  # rows of the largest pieces whose table of pairs fits in the cache
LARGE = 16384  # rows of a cell from which pieces of more rows are cheaper than pairs


def recipe_for(function):
    """Register the sums form of a public metric; the bootstrap finds it by the function."""

    def keep(builder):
        RECIPES[function] = builder
        return builder

    return keep


@dataclass(frozen=True)
class Recipe:
    """A metric on given rows, ready to be computed from sums.

    Attributes
    ----------
    cell : (n,) int array or None
        The cell of each row; None puts all rows in one, or each into its own where there are
        as many cells as rows.
    n_cells : int
    features : tuple of (n,) float arrays
        What is summed within a cell, beside the count.
    finish : callable
        (r, n_cells, 1 + k) sums, the count first -> (r,) values; NaN where undefined.
    additive : bool
        Cells and features of a row depend on that row alone: sums of parts may be added.
    counted : bool
        `finish` looks at the count of each cell; otherwise at that of all cells together.
    """

    cell: np.ndarray | None
    n_cells: int
    features: tuple[np.ndarray, ...]
    finish: Callable[[np.ndarray], np.ndarray]
    additive: bool = False
    counted: bool = True

    def sums(self, weights: np.ndarray | None = None) -> np.ndarray:
        """(n_cells, 1 + k) counts and sums, each row counted `weights` times."""
        out = np.zeros((1 + len(self.features), self.n_cells))
        if weights is None:
            columns = [None, *self.features]
        else:
            columns = [weights, *(feature * weights for feature in self.features)]
        for row, column in zip(out, columns, strict=True):
            if column is None:
                self._count(row)
            elif self.cell is None:
                row[:] = column.sum() if self.n_cells == 1 else column
            else:
                np.add.at(row, self.cell, column)
        return out.T

    def _count(self, row: np.ndarray) -> None:
        if self.cell is None:
            row[:] = self.features[0].size / self.n_cells
        elif self.counted:
            row[:] = np.bincount(self.cell, minlength=self.n_cells)
        else:
            row[0] = self.cell.size

    def value(self, weights: np.ndarray | None = None) -> float:
        """The metric itself."""
        return float(self.finish(self.sums(weights)[None])[0])


class Prepared:
    """A recipe with its rows brought into the order of their cells."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        n = recipe.features[0].size if recipe.features else recipe.cell.size
        cell = recipe.cell
        if cell is None:
            cell = np.zeros(n, np.int64) if recipe.n_cells == 1 else np.arange(n)
        self.order = None
        if (cell[1:] < cell[:-1]).any():
            small = cell.astype(np.int16) if recipe.n_cells < 2**15 else cell
            self.order = np.argsort(small, kind="stable")
            cell = cell[self.order]
        self.features = [f if self.order is None else f[self.order] for f in recipe.features]
        self.sizes = np.bincount(cell, minlength=recipe.n_cells)
        self.present = np.flatnonzero(self.sizes)
        self.starts = (self.sizes.cumsum() - self.sizes)[self.present]
        self.single = self.present.size == cell.size

    def sums(self, weights: np.ndarray) -> np.ndarray:
        """(r, n_cells, 1 + k) sums for (r, n) row weights."""
        recipe = self.recipe
        w = weights if self.order is None else weights[:, self.order]
        out = np.zeros((w.shape[0], recipe.n_cells, 1 + len(self.features)))
        for j, feature in enumerate([None, *self.features]):
            part = w if feature is None else w * feature
            if not self.single:
                part = np.add.reduceat(part, self.starts, axis=1)
            if self.present.size == recipe.n_cells:
                out[:, :, j] = part
            else:
                out[:, self.present, j] = part
        return out


def resampled_values(recipes: list[Recipe], n_resamples, rng, **units) -> np.ndarray:
    """(len(recipes), n_resamples) values on common bootstrap resamples; see `resampled_sums`."""
    blocks = resampled_sums(recipes, n_resamples, rng, **units)
    found = [[recipe.finish(s) for recipe, s in zip(recipes, b, strict=True)] for b in blocks]
    return np.concatenate(found, axis=1)


def resampled_sums(
    recipes: list[Recipe],
    n_resamples: int,
    rng: np.random.Generator,
    *,
    codes: np.ndarray | None = None,
    n_groups: int | None = None,
    times: np.ndarray | None = None,
) -> Iterator[list[np.ndarray]]:
    """Blocks of (r, n_cells, 1 + k) sums, one array a recipe, on common bootstrap resamples.

    Parameters
    ----------
    recipes : list of Recipe
        All on the same rows.
    codes, n_groups
        Group of each row, 0 … n_groups − 1: whole groups are drawn. Without, rows are.
    times : (n,) int array, optional
        How many identical rows each row stands for; only without groups.
    """
    if codes is not None and all(recipe.additive for recipe in recipes):
        width = sum(recipe.n_cells * (1 + len(recipe.features)) for recipe in recipes)
        if width <= WIDE:
            yield _draw_groups(recipes, codes, n_groups, n_resamples, rng)
            return
    prepared = [Prepared(recipe) for recipe in recipes]
    n = int(prepared[0].sizes.sum())
    if codes is None and times is None and len(recipes) == 1 and 64 * recipes[0].n_cells <= n:
        for sums in _draw_cells(prepared[0], n_resamples, rng):
            yield [sums]
        return
    if times is not None:
        blocks = _draw_repeated(times, n_resamples, rng)
    else:
        blocks = draw_counts(n if codes is None else n_groups, n_resamples, rng, rows=n)
    for counts in blocks:
        weights = counts.astype(np.float64)
        if codes is not None:
            weights = weights.take(codes, axis=1)
        yield [p.sums(weights) for p in prepared]


def _draw_groups(recipes, codes, n_groups, n_resamples, rng) -> list[np.ndarray]:
    """(n_resamples, n_cells, 1 + k) sums, one array a recipe: how often each group is drawn,
    times the sums of that group. Of many groups, first how many draws fall into each part."""
    order = None
    if (codes[1:] < codes[:-1]).any():
        order = np.argsort(codes, kind="stable")
        codes = codes[order]
    lows = np.arange(0, n_groups, GROUPS)
    sizes = np.minimum(GROUPS, n_groups - lows)
    drawn = np.full((n_resamples, 1), n_groups)
    if sizes.size > 1:
        drawn = rng.multinomial(n_groups, sizes / n_groups, size=n_resamples)
    out = [np.zeros((n_resamples, r.n_cells, 1 + len(r.features))) for r in recipes]
    for low, size, draws in zip(lows, sizes, drawn.T, strict=True):
        rows = slice(*np.searchsorted(codes, [low, low + size]))
        group = codes[rows] - low
        if order is not None:
            rows = order[rows]
        tables = [_group_sums(recipe, rows, group, size) for recipe in recipes]
        step = max(1, TOGETHER // size)
        for start in range(0, n_resamples, step):
            some = draws[start : start + step]
            place = rng.integers(0, size, some.sum())
            shift = np.arange(some.size) * size
            if sizes.size == 1:
                place.reshape(some.size, size)[:] += shift[:, None]
            else:
                place += np.repeat(shift, some)
            counts = np.bincount(place, minlength=some.size * size).reshape(some.size, size)
            weights = counts.astype(np.float64)
            for sums, table in zip(out, tables, strict=True):
                added = weights @ table
                sums[start : start + step] += added.reshape(some.size, *sums.shape[1:])
    return out


def _group_sums(recipe, rows, group, n_groups) -> np.ndarray:
    """(n_groups, n_cells · (1 + k)) counts and sums of the given rows by group and cell."""
    place = group * recipe.n_cells
    if recipe.cell is not None:
        place += recipe.cell[rows]
    columns = [None, *(feature[rows] for feature in recipe.features)]
    sums = [np.bincount(place, column, n_groups * recipe.n_cells) for column in columns]
    return np.stack(sums, axis=-1).reshape(n_groups, -1)


def draw_counts(
    n_units: int, n_resamples: int, rng: np.random.Generator, rows: int = 0
) -> Iterator[np.ndarray]:
    """Blocks (r, n_units) of how often each unit is drawn, n_units draws a resample."""
    step = max(1, HELD // max(n_units, rows))
    for start in range(0, n_resamples, step):
        r = min(step, n_resamples - start)
        draws = rng.integers(0, n_units, size=(r, n_units))
        if r > 1:
            draws += np.arange(r)[:, None] * n_units
        yield np.bincount(draws.ravel(), minlength=r * n_units).reshape(r, n_units)


def _draw_repeated(times, n_resamples, rng):
    """The same where unit i stands for times[i] identical ones."""
    step = max(1, HELD // times.size)
    owner = np.repeat(np.arange(times.size), times)
    for start in range(0, n_resamples, step):
        yield _multinomial(times, owner, min(step, n_resamples - start), rng)


def _multinomial(times, owner, r, rng):
    """(r, k) counts of draws with replacement of n = sum(times) units, times[i] of kind i.

    Where kinds are many, most units are drawn as independent Poisson counts, which given their
    total are multinomial whatever that total is, and those still missing one by one.
    """
    n, k = owner.size, times.size
    if 4 * k * k < n:
        return rng.multinomial(n, times / n, size=r)
    mean = times * (1 - 3 / np.sqrt(n)) if n > 9 else np.zeros(k)
    counts = rng.poisson(mean, (r, k))
    missing = n - counts.sum(1)
    while (over := np.flatnonzero(missing < 0)).size:
        counts[over] = rng.poisson(mean, (over.size, k))
        missing[over] = n - counts[over].sum(1)
    place = owner.take(rng.integers(0, n, missing.sum()))
    place += np.repeat(np.arange(0, r * k, k), missing)
    return counts + np.bincount(place, minlength=r * k).reshape(r, k)


def _draw_cells(prepared: Prepared, n_resamples, rng):
    """Sums over few cells of many rows: first how many draws fall into each piece of a cell,
    then those draws, looked up in the piece alone. No row weights are ever formed."""
    pieces = _pieces(prepared)
    sizes = np.array([stop - start for _, start, stop in pieces])
    n = int(sizes.sum())
    k = len(prepared.features)
    step = max(1, min(n_resamples, BLOCK // (prepared.recipe.n_cells * (1 + k) + sizes.size)))
    scratch = _Scratch()
    for first in range(0, n_resamples, step):
        r = min(step, n_resamples - first)
        counts = rng.multinomial(n, sizes / n, size=r)
        out = np.zeros((r, prepared.recipe.n_cells, 1 + k))
        for j, (cell, start, stop) in enumerate(pieces):
            drawn = counts[:, j]
            out[:, cell, 0] += drawn
            rows = [feature[start:stop] for feature in prepared.features]
            if stop - start <= PAIRED and drawn.sum() > 2 * (stop - start) ** 2:
                # all sums of two rows in a table: one look-up is two draws
                odd = np.flatnonzero(drawn & 1)
                _add_draws(out[:, cell], np.bincount(odd, minlength=r), rows, rng, scratch)
                rows = [np.add(row[:, None], row).ravel() for row in rows]
                drawn = drawn >> 1
            _add_draws(out[:, cell], drawn, rows, rng, scratch)
        yield out


def _add_draws(out, drawn, rows, rng, scratch):
    """Add to (r, 1 + k) `out` the sums of `drawn` uniform draws from each of the k `rows`."""
    size = rows[0].size
    span = max(1, DRAWN * drawn.size // max(int(drawn.sum()), 1))
    for begin in range(0, drawn.size, span):
        some = begin + np.flatnonzero(drawn[begin : begin + span])
        if some.size == 0:
            continue
        ends = drawn[some].cumsum()
        index, looked_up = scratch.of(int(ends[-1]))
        _uniform(size, index, rng)
        starts = np.concatenate([[0], ends[:-1]])
        for f, row in enumerate(rows, 1):
            row.take(index, out=looked_up, mode="clip")
            out[some, f] += np.add.reduceat(looked_up, starts)


class _Scratch:
    """Arrays that are kept from draw to draw: fresh memory costs more than the draws."""

    index = np.empty(0, np.intp)
    values = np.empty(0)

    def of(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        if self.index.size < n:
            self.index, self.values = np.empty(2 * n, np.intp), np.empty(2 * n)
        return self.index[:n], self.values[:n]


def _pieces(prepared: Prepared) -> list[tuple[int, int, int]]:
    """Cut cells into pieces (cell, start, stop) of 2^s rows, and what is left below 128."""
    pieces = []
    for cell, start in zip(prepared.present, prepared.starts, strict=True):
        stop = start + prepared.sizes[cell]
        large = stop - start > LARGE
        while stop - start >= 128:
            most = WORD if large and stop - start >= 4096 else 8
            size = 1 << min(most, int(stop - start).bit_length() - 1)
            pieces.append((int(cell), int(start), int(start + size)))
            start += size
        if stop > start:
            pieces.append((int(cell), int(start), int(stop)))
    return pieces


def _uniform(size: int, out: np.ndarray, rng: np.random.Generator) -> None:
    """Fill with independent uniform draws from 0 … size − 1."""
    if 128 <= size <= 1 << WORD and size & (size - 1) == 0:
        words = rng.integers(0, 2**64 - 1, -(-out.size // 4), dtype=np.uint64, endpoint=True)
        shift = WORD - (size.bit_length() - 1)
        np.right_shift(words.view(np.uint16)[: out.size], np.uint16(shift), out=out)
    else:
        out[:] = rng.integers(0, size, out.size)


def collapse(c: np.ndarray, y: np.ndarray, worth: int = 20):
    """Distinct (confidence, outcome) rows in ascending order with their number, or None.

    None where there are so many that drawing the count of one, which costs as much as
    `worth` draws of a row, would not pay.
    """
    n = c.size
    probe = c[:: max(1, n // 1024)]
    if np.unique(probe).size > min(probe.size, n / worth) / 2:
        return None
    values, inverse = np.unique(c, return_inverse=True)
    times = np.bincount(2 * inverse + (y == 1), minlength=2 * values.size)
    kept = np.flatnonzero(times)
    if worth * kept.size > n:
        return None
    return values[kept // 2], (kept % 2).astype(np.float64), times[kept]


def jackknife_values(
    recipe: Recipe, codes: np.ndarray | None = None, n_groups: int | None = None, most: int = 400
) -> np.ndarray:
    """Values with one unit, or one of `most` blocks of units, left out in turn."""
    n = recipe.features[0].size
    if codes is None:
        codes, n_groups = np.arange(n), n
    if n_groups > most:
        codes, n_groups = codes % most, most
    prepared = Prepared(recipe)
    step = max(1, HELD // n)
    found = []
    for start in range(0, n_groups, step):
        left_out = np.arange(start, min(start + step, n_groups))
        found.append(recipe.finish(prepared.sums((codes != left_out[:, None]).astype(float))))
    return np.concatenate(found)

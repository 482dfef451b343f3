"""How many labels a refit needs: Brier score over their number, beside maps that need none."""

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from medcal_nb.measure.resampling import choose_clip
from medcal_nb.measure.rows import arrays

from .crossfit import images_of, pairs
from .maps import RecalibrationWarning, fit

#: What a refit is compared with.
RIVALS = ("constant", "transferred")


def label_draws(
    source: pd.DataFrame,
    target: pd.DataFrame,
    *,
    sizes: Sequence[int] = (20, 50, 100, 200, 500, 1000),
    method: str = "platt",
    n_draws: int = 50,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Brier scores of maps fitted on few labels of the target, drawn at random again and again.

    In each draw the images of the target are halved at random: labels come from one half, the
    first so many of a random order, and every map is judged on the other.

    Parameters
    ----------
    source, target : DataFrame
        Graded answers that share no image.
    sizes : sequence of int
        Numbers of labelled answers; those above half of a pair's answers are left out.
    method : str
        One of ``MAPS``, or a map of netcal.
    n_draws : int
        How often labels are drawn.
    rng : numpy.random.Generator
        Draws halves and orders.

    Returns
    -------
    DataFrame
        One row per model, strategy, draw, size and stage:

        - model, strategy, draw
        - labels: how many answers of the target were labelled
        - stage: "refitted" on these; "constant", their accuracy for every answer; "transferred",
          fitted on the source, whatever the labels
        - brier: on the other half
        - n: answers of the target

    Raises
    ------
    ValueError
        If a table is empty, or source and target share an image.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(900, strategies=["verbalized"])
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> draws = label_draws(*sides, sizes=[20, 100], n_draws=5, rng=np.random.default_rng(0))
    >>> draws.groupby(["labels", "stage"])["brier"].mean().round(2).to_list()
    [0.27, 0.25, 0.28, 0.25, 0.23, 0.28]
    """
    rows = []
    for key, learn, judge in pairs(source, target):
        learned = arrays(learn)
        c, y = arrays(judge)
        images, image = np.unique(images_of(judge), return_inverse=True)
        clip = choose_clip(np.append(learned[0], c))
        transferred = fit(*learned, method=method, clip=clip)(c)
        for draw in range(n_draws):
            half, rest = _halved(image, len(images), rng)
            for labels in sizes:
                if labels > len(half):
                    continue
                own = half[:labels]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RecalibrationWarning)
                    refitted = fit(c[own], y[own], method=method, clip=clip)
                stages = {"refitted": refitted(c[rest]), "constant": y[own].mean()}
                stages["transferred"] = transferred[rest]
                for name, confidence in stages.items():
                    row = {"draw": draw, "labels": labels, "stage": name}
                    brier = ((confidence - y[rest]) ** 2).mean()
                    rows.append(key | row | {"brier": brier, "n": len(judge)})
    return pd.DataFrame(rows)


def _halved(
    image: np.ndarray, n_images: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Places of the answers of a random half of the images, in random order, and of the others."""
    place = rng.permutation(n_images)[image]
    order = np.lexsort((rng.random(len(image)), place))
    is_first = place < n_images / 2
    return order[is_first[order]], np.flatnonzero(~is_first)


def label_table(draws: pd.DataFrame) -> pd.DataFrame:
    """Brier score by number of labels: the mean of the draws, and what 95 % of them lie within.

    Parameters
    ----------
    draws : DataFrame
        Of :func:`label_draws`.

    Returns
    -------
    DataFrame
        One row per model, strategy, stage and size:

        - model, strategy, stage, labels, n: as in the draws
        - brier: mean of the draws, with _low, _high (2.5 and 97.5 % of them)

    Examples
    --------
    >>> draws = pd.DataFrame({"model": "m", "strategy": "s", "draw": [0, 1], "labels": 20})
    >>> draws = draws.assign(stage="constant", brier=[0.2, 0.3], n=100)
    >>> label_table(draws)[["labels", "brier"]].round(2).to_numpy().tolist()
    [[20.0, 0.25]]
    """
    keys = ["model", "strategy", "stage", "labels", "n"]
    brier = draws.groupby(keys, sort=False, observed=True)["brier"]
    table = brier.mean().to_frame()
    table["brier_low"] = brier.quantile(0.025)
    table["brier_high"] = brier.quantile(0.975)
    return table.reset_index()


def labels_needed_table(draws: pd.DataFrame) -> pd.DataFrame:
    """From how many labels on a refit has the lower Brier score: where the curves cross.

    Parameters
    ----------
    draws : DataFrame
        Of :func:`label_draws`.

    Returns
    -------
    DataFrame
        One row per model, strategy and rival of the refit:

        - model, strategy
        - rival: "constant" or "transferred"
        - n: answers of the target
        - labels_needed: the smallest size looked at from which on the mean of the draws is below
          that of the rival; infinite if it never is
        - labels_needed_low, labels_needed_high: the same in single draws, what 95 % of them lie
          within: what whoever labels once may meet

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> answers = example_answers(900, strategies=["verbalized"])
    >>> sides = answers.query("domain == 'general'"), answers.query("domain == 'medical'")
    >>> draws = label_draws(*sides, sizes=[20, 100], n_draws=5, rng=np.random.default_rng(0))
    >>> labels_needed_table(draws)[["rival", "labels_needed"]].to_numpy().tolist()
    [['constant', 20.0], ['transferred', 20.0]]
    """
    rows = []
    for key, part in draws.groupby(
        ["model", "strategy", "n"], sort=False, observed=True
    ):
        names = dict(zip(("model", "strategy", "n"), key, strict=True))
        wide = part.pivot(index=["draw", "labels"], columns="stage", values="brier")
        for rival in RIVALS:
            gain = (wide[rival] - wide["refitted"]).unstack("labels")
            each = [_first(one) for _, one in gain.iterrows()]
            # of whole sizes, some infinite, no quantile between two is taken
            low, high = np.quantile(each, [0.025, 0.975], method="inverted_cdf")
            row = {"rival": rival, "labels_needed": _first(gain.mean())}
            row |= {"labels_needed_low": low, "labels_needed_high": high}
            rows.append(names | row)
    return pd.DataFrame(rows)


def _first(gain: pd.Series) -> float:
    """The smallest size from which on a refit gains, by ascending size."""
    is_lost = ~(gain > 0)
    after = gain.index[is_lost[::-1].cumsum()[::-1] == 0]
    return float(after.min()) if len(after) else np.inf

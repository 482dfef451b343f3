"""A second opinion: what other models' confidences add to a model's own, answer by answer."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit

from medcal_nb.errors import NotEnough
from medcal_nb.measure import Bootstrap, auroc, holm_conclusion
from medcal_nb.measure._check import check_choice
from medcal_nb.measure.ranking import auroc_difference, auroc_test
from medcal_nb.measure.resampling import (
    Resamples,
    logit,
    percentile_ends,
    two_sided_p,
)
from medcal_nb.measure.rows import image_labels, parts_by

from .crossfit import N_FOLDS, assign_folds
from .maps import RecalibrationWarning

#: What is combined for each answer, in the order of the tables.
OPINIONS = ("best method", "own methods", "with others", "mean, no labels")
#: What an other model's number is about.
ABOUT = ("question", "answer")
#: Probabilities are moved into [CLIP, 1 - CLIP] before their log-odds are taken: a wider clip makes
#: one tie of most of what a model calls sure.
CLIP = 1e-7
_ITEM = ["dataset", "item_id"]
_OF_OTHERS = ["model", *_ITEM, "strategy", "confidence", "option_probabilities"]
_LEAST = 4 * N_FOLDS  # answers of a model that is judged
_COLUMNS = ["image_id", "model", "correct", "opinion", "confidence"]
_COLUMNS += ["n_others", "missing"]
_SET = pd.Index(["image_set"])  # where there is one
Features = NDArray[np.float64]


def second_opinion(
    answers: pd.DataFrame,
    others: pd.DataFrame,
    *,
    about: str = "question",
    ridge: float = 20.0,
    rng: np.random.Generator,
) -> pd.DataFrame:
    r"""Confidences in a model's answers from its own methods, and from those of other models, too.

    :math:`P(\text{right}) = \sigma(b + \sum_j w_j z_j)` of standardised log-odds :math:`z_j`,
    with the penalty :math:`\tfrac{r}{2} \sum_j w_j^2` of a ridge :math:`r`. The weights are fitted
    on four fifths of the images and applied to the last; :math:`b` is the mean over the folds, so
    that answers of all folds are ranked on one scale. A confidence that is missing has the log-odds
    0 and a column of its own, 1 where it is missing.

    Parameters
    ----------
    answers : DataFrame
        Graded answers of the models that are judged, with model, dataset, item_id, strategy,
        confidence, correct, of every method; its methods judge one answer to an item.
    others : DataFrame
        Answers of other models to the same items, which need no grade; rows of the judged model
        are passed over, so that it may be the same table.
    about : {"question", "answer"}
        What the other's number is about: its confidence in *its* answer, which tells how hard the
        question is; or its probability of *this* answer, from ``option_probabilities``.
    ridge : float
        Strength of the penalty, at least 0.
    rng : numpy.random.Generator
        Deals images into folds.

    Returns
    -------
    DataFrame
        One row per model, item and opinion:

        - model, dataset, item_id, image_id, correct: as in `answers`
        - opinion: "best method" (by AUROC on the other folds, where there are several), "own
          methods" (one by itself: as it is, 0.5 where it is missing), "with others", or "mean, no
          labels" (of the model's own and the others' numbers, nothing fitted: of probabilities of
          this answer, or of standardised log-odds)
        - confidence: in [0, 1]; that of the mean of log-odds ranks answers, and is no probability
        - n_others: numbers of other models that were combined
        - missing: share of all numbers, own and others', that are missing

    Raises
    ------
    ValueError
        If `about` is neither, or an answer is needed and there are no option probabilities.

    Warns
    -----
    RecalibrationWarning
        For each model that is left out: fewer than 20 graded answers that another model answered,
        too, or none right or none wrong.

    References
    ----------
    Shrivastava, Liang & Kumar, arXiv 2311.08877, who read one model's confidence by another's
    probabilities.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> one = example_answers(600, strategies=["verbalized"]).assign(model="one")
    >>> two = example_answers(600, strategies=["p_true"]).assign(model="two")
    >>> table = second_opinion(one, two, rng=np.random.default_rng(0))
    >>> table["opinion"].unique().tolist()
    ['own methods', 'with others', 'mean, no labels']
    """
    check_choice(about, "about", ABOUT)
    parts = []
    for key, rows in parts_by(answers.dropna(subset="correct"), ["model"]):
        items, own = _own(rows)
        second = _of_others(others, key["model"])
        views = _views(items, second, about)
        seen = views.notna().any(axis=1)
        own, items, views = own[seen], items[seen], views[seen]
        if len(items) < _LEAST or items["correct"].nunique() < 2:
            warnings.warn(
                f"second opinion: {key['model']} has {len(items)} graded answers that another "
                f"model answered too; {_LEAST} are needed, right and wrong ones; left out",
                RecalibrationWarning,
                stacklevel=2,
            )
            continue
        images = image_labels(items.reset_index())
        fold = assign_folds(images, N_FOLDS, rng=rng)
        y = items["correct"].to_numpy(float)
        numbers = own.join(views)
        combined = {
            "best method": _best_method(own, y, fold),
            "own methods": _own_methods(own, y, fold, ridge),
            "with others": _cross_fitted(_features(own, views), y, fold, ridge),
            "mean, no labels": _plain_mean(numbers, about),
        }
        if own.shape[1] == 1:
            del combined["best method"]  # the own method, a second time
        kept = _known(items)
        missing = numbers.isna().to_numpy().mean()
        for opinion in combined:
            part = kept.assign(opinion=opinion, confidence=combined[opinion])
            parts.append(part.assign(**key, n_others=views.shape[1], missing=missing))
    if not parts:
        return pd.DataFrame(columns=[*_ITEM, *_COLUMNS])
    table = pd.concat(parts, ignore_index=True)
    return table.reindex(columns=[*_ITEM, *_COLUMNS, *_SET.intersection(table.columns)])


@dataclass(frozen=True)
class Combination:
    """A model's own numbers and those of others on its answers, to be weighted by some grades.

    Attributes
    ----------
    items : DataFrame
        One row an answer: dataset, item_id, image_id, correct.
    features : (n, d) array
        Log-odds of every number, and columns of what is missing.
    plain : (n,) array
        Their mean as in the opinion "mean, no labels", for which nothing is fitted.
    ridge : float
        Strength of the penalty.
    """

    items: pd.DataFrame
    features: Features
    plain: Features
    ridge: float

    def fitted(self, grades: ArrayLike) -> Features:
        """Confidences by a fit on the answers that are graded.

        To certify a threshold on the same answers, take those alone that the fit has not seen.

        Parameters
        ----------
        grades : (n,) array of 1, 0 and NaN
            NaN where an answer is not graded.

        Returns
        -------
        (n,) array
            In (0, 1), of all answers.

        Raises
        ------
        NotEnough
            If no answer is graded right, or none wrong.
        """
        y = np.asarray(grades, float)
        learned = ~np.isnan(y)
        if np.unique(y[learned]).size < 2:
            raise NotEnough("a combination needs grades, of right and of wrong answers")
        z = _standardised(self.features)
        theta = penalised_logistic(z[learned], y[learned], ridge=self.ridge)
        return np.asarray(expit(z @ theta[:-1] + theta[-1]), float)


def combination(
    answers: pd.DataFrame,
    others: pd.DataFrame | None = None,
    *,
    about: str = "question",
    ridge: float | None = None,
) -> Combination:
    """One model's answers, to be weighted by grades of some of them.

    :func:`second_opinion` measures what a combination is worth where all is graded; this is for
    use: a random part of the grades is spent on the weights, the rest on a certificate.

    Parameters
    ----------
    answers : DataFrame
        Of one model, graded or not, as for :func:`second_opinion`.
    others : DataFrame, optional
        Answers of other models; if None the model's own methods alone are combined.
    about
        As for :func:`second_opinion`.
    ridge : float, optional
        Strength of the penalty; if None the number of features. A ridge r is a normal prior of
        variance 1 / r for each weight, so that d standardised features give log-odds that vary by
        d / r around the base rate before a grade is seen: a standard deviation of 1, whatever the
        number of methods and models.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> one = example_answers(600).query("domain == 'medical'")
    >>> combined = combination(one)
    >>> grades = combined.items["correct"].astype(float)
    >>> grades[100:] = np.nan
    >>> confidence = combined.fitted(grades)[100:]  # of answers that the fit has not seen
    """
    check_choice(about, "about", ABOUT)
    items, own = _own(answers)
    numbers = own
    if others is not None:
        second = _of_others(others, answers["model"].iloc[0])
        numbers = own.join(_views(items, second, about))
    features = _features(numbers)
    return Combination(
        items=_known(items),
        features=features,
        plain=_plain_mean(numbers, about),
        ridge=features.shape[1] if ridge is None else ridge,
    )


def second_opinion_table(
    opinions: pd.DataFrame,
    *,
    risk: float = 0.2,
    within: Sequence[str] = (),
    beside: str = "own methods",
    ci: Bootstrap = Bootstrap(),
) -> pd.DataFrame:
    """How well each opinion ranks a model's answers, and how many it lets pass at a risk.

    Parameters
    ----------
    opinions : DataFrame
        Of :func:`second_opinion`.
    risk : float
        Share wrong that is accepted among the answers that pass, in (0, 1).
    within : sequence of str
        Columns whose combinations are strata: ``auroc_within`` compares answers of one stratum
        alone (of one kind, or of questions that equally many other models answered rightly).
    beside : str
        The opinion that the others are compared with; models that have it not are left out.
    ci : Bootstrap
        Level, and resamples of images for coverage.

    Returns
    -------
    DataFrame
        One row per model and opinion:

        - model, opinion, n, accuracy
        - auroc, auroc_low, auroc_high
        - auroc_gain, auroc_gain_low, auroc_gain_high: minus that of `beside`, paired by image
          (DeLong), each by itself
        - auroc_conclusion: "above 0", "below 0" or "no difference shown", after Holm's correction
          over the models of an opinion
        - auroc_within: by pairs of a right and a wrong answer of one stratum (with `within`)
        - coverage: the largest share of the most confident answers of which at most `risk` are
          wrong, ties passing together
        - coverage_gain, coverage_gain_low, coverage_gain_high: minus that of `beside`, resampled
          by image, each by itself
        - coverage_conclusion: as that of the AUROC

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> one = example_answers(600, strategies=["verbalized"]).assign(model="one")
    >>> two = example_answers(600, strategies=["p_true"]).assign(model="two")
    >>> both = second_opinion(one, two, rng=np.random.default_rng(0))
    >>> table = second_opinion_table(both, within=["n_others"], ci=Bootstrap(n=100))
    >>> table.loc[table["opinion"] == "own methods", "auroc_gain"].item()
    0.0
    """
    rows = []
    for key, part in parts_by(opinions, ["model"]):
        first = part[part["opinion"] == beside].set_index(_ITEM)
        if first.empty:  # of one method none is the best
            continue
        rival = _Rival.of(first, risk, ci)
        for opinion, rows_of_it in part.groupby("opinion", sort=False):
            own = rows_of_it.set_index(_ITEM).loc[first.index]
            c = own["confidence"].to_numpy(float)
            row = key | {"opinion": opinion, "n": len(own), "accuracy": rival.y.mean()}
            row |= rival.ranked(c)
            if within:
                strata = own.groupby(list(within), dropna=False).ngroup().to_numpy()
                row["auroc_within"] = _within(c, rival.y, strata)
            rows.append(row | rival.passed(c))
    names = ["model", "opinion", "n", "accuracy", *_RANKED, "auroc_conclusion"]
    names += ["auroc_within"] if within else []
    names += [*_PASSED, "coverage_conclusion"]
    table = pd.DataFrame(rows, columns=[*names, "p_auroc", "p_coverage"])
    table[_PASSED] = table[_PASSED].astype(float)  # where no model is left, too
    table = table.assign(auroc_conclusion="", coverage_conclusion="")
    for _, part in table.groupby("opinion", sort=False):
        for number in ("auroc", "coverage"):
            gain, p = part[f"{number}_gain"], part[f"p_{number}"]
            shown = holm_conclusion(gain, p, size=1 - ci.level)
            table.loc[part.index, f"{number}_conclusion"] = shown
    return table[names]


_RANKED = ["auroc", "auroc_low", "auroc_high"]
_RANKED += ["auroc_gain", "auroc_gain_low", "auroc_gain_high"]
_PASSED = ["coverage", "coverage_gain", "coverage_gain_low", "coverage_gain_high"]


@dataclass(frozen=True)
class _Rival:
    """One opinion on a model's answers, with which the others are compared."""

    c: Features
    y: Features
    images: NDArray
    risk: float
    ci: Bootstrap
    drawn: Resamples
    coverage: Features  # (1 + B,)

    @classmethod
    def of(cls, rows: pd.DataFrame, risk: float, ci: Bootstrap) -> "_Rival":
        c, y = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
        images = image_labels(rows.reset_index())
        drawn = ci.of(images)
        coverage = coverage_at_risk(c, y, risk, drawn)
        return cls(
            c=c, y=y, images=images, risk=risk, ci=ci, drawn=drawn, coverage=coverage
        )

    def ranked(self, c: Features) -> dict[str, float]:
        """AUROC of another opinion, and what it gains (DeLong, paired by image)."""
        test = auroc_test(c, self.y, groups=self.images)
        both = np.concatenate([self.images, self.images])
        gain = auroc_difference((c, self.y), (self.c, self.y), both, self.ci.level)
        values = [test["auroc"], test["low"], test["high"]]
        values += [gain["difference"], gain["difference_low"], gain["difference_high"]]
        return dict(zip(_RANKED, values, strict=True)) | {"p_auroc": gain["p"]}

    def passed(self, c: Features) -> dict[str, float]:
        """Coverage of another opinion, and what it gains (the same resamples of images)."""
        draws = coverage_at_risk(c, self.y, self.risk, self.drawn)
        gain = draws - self.coverage
        n_groups = self.drawn.effective(weights=1 - self.y)
        ends = percentile_ends(gain, level=self.ci.level, n_groups=n_groups)
        p = two_sided_p(gain, n_groups=n_groups)
        values = [draws[0], gain[0], *ends]
        return dict(zip(_PASSED, values, strict=True)) | {"p_coverage": p}


def coverage_at_risk(
    confidence: Features, correct: Features, risk: float, drawn: Resamples
) -> Features:
    """(1 + B,) largest share that passes at a risk, in the sample and in each resample."""
    values, cell = np.unique(-confidence, return_inverse=True)
    n = drawn.sums(cell, len(values)).cumsum(axis=1)  # (1 + B, distinct confidences)
    wrong = drawn.sums(cell, len(values), 1 - correct).cumsum(axis=1)
    passes = np.where(wrong <= risk * n, n, 0)
    return np.asarray(passes.max(axis=1) / n[:, -1], float)


def penalised_logistic(
    features: Features,
    correct: Features,
    *,
    ridge: float,
    centre: float = 0.0,
    least: float | None = None,
    start: Features | None = None,
) -> Features:
    r"""(d + 1,) weights of features and a constant, the last, which has no penalty.

    Minimises :math:`-\log L + \tfrac{r}{2} \sum_j (w_j - c)^2`, no weight below `least`.
    """
    size = features.shape[1]

    def loss(theta: Features) -> tuple[float, Features]:
        eta = features @ theta[:-1] + theta[-1]
        away = theta[:-1] - centre
        residual = expit(eta) - correct
        likelihood = np.logaddexp(0, eta) - correct * eta
        slope = residual @ features + ridge * away
        return likelihood.sum() + ridge * (away @ away) / 2, np.append(
            slope, residual.sum()
        )

    first = np.append(np.full(size, centre), 0.0) if start is None else start
    bounds = [(least, None)] * size + [(None, None)]
    fitted = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(fitted.x, float)


def _own(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A model's items, and the confidences of its methods in them: one column a method."""
    own = rows.pivot(index=_ITEM, columns="strategy", values="confidence")
    return rows.drop_duplicates(_ITEM).set_index(_ITEM).loc[own.index], own


def _of_others(answers: pd.DataFrame, model: str) -> pd.DataFrame:
    """What is read of other models' answers: to select all columns takes time."""
    names = [name for name in _OF_OTHERS if name in answers]
    return answers.loc[answers["model"] != model, names]


def _known(items: pd.DataFrame) -> pd.DataFrame:
    """What names an answer and its image (image_set is a part of that), and its grade."""
    rows = items.reset_index()
    names = [*_ITEM, "image_id", "correct", *_SET.intersection(rows.columns)]
    return rows.reindex(columns=names)


def _views(items: pd.DataFrame, others: pd.DataFrame, about: str) -> pd.DataFrame:
    """Numbers of other models on the items: one column per model and method."""
    if about == "question":
        wide = others.pivot(
            index=_ITEM, columns=["model", "strategy"], values="confidence"
        )
        return _flat(wide).reindex(items.index).astype(float)
    if "option_probabilities" not in others or "answer" not in items:
        raise ValueError(
            "about='answer' reads the other model's probability of this answer: the answers need "
            "answer, and those of the others option_probabilities"
        )
    stated = others.dropna(subset="option_probabilities")
    wide = stated.pivot(
        index=_ITEM, columns=["model", "strategy"], values="option_probabilities"
    )
    return (
        _flat(wide)
        .reindex(items.index)
        .apply(
            lambda column: pd.Series(
                [
                    shares.get(answer, 0.0) if isinstance(shares, dict) else np.nan
                    for shares, answer in zip(column, items["answer"], strict=True)
                ],
                items.index,
                dtype=float,
            )
        )
    )


def _flat(wide: pd.DataFrame) -> pd.DataFrame:
    """A column per model and method, under one name."""
    return wide.set_axis([" ".join(map(str, names)) for names in wide], axis=1)


def _plain_mean(numbers: pd.DataFrame, about: str) -> Features:
    """(n,) mean that needs no grade, what is missing aside, in [0, 1]."""
    if about == "answer":  # all are probabilities of one thing
        return numbers.mean(axis=1).to_numpy(float)
    known = (
        numbers.notna().any(axis=1).to_numpy()
    )  # an answer without a number has no mean
    mean = np.full(len(numbers), np.nan)
    log_odds = logit(numbers[known].dropna(axis="columns", how="all"), CLIP)
    spread = np.nanstd(log_odds, axis=0)
    z = (log_odds - np.nanmean(log_odds, axis=0)) / np.where(spread > 0, spread, 1)
    mean[known] = expit(np.nanmean(z, axis=1))
    return mean


def _features(*tables: pd.DataFrame) -> Features:
    """(n, d) log-odds of each table, 0 where missing, and a column of each that misses some."""
    parts = []
    for numbers in tables:
        is_missing = numbers.isna().to_numpy()
        log_odds = np.where(is_missing, 0.0, logit(numbers.fillna(0.5), CLIP))
        some = is_missing.any(axis=0)
        parts += [log_odds, is_missing[:, some].astype(float)]
    return np.hstack(parts)


def _cross_fitted(
    features: Features, y: Features, fold: NDArray, ridge: float
) -> Features:
    """(n,) confidences whose weights have not seen an answer's image; one constant for all.

    A fold's own constant is low where that fold happens to hold many right answers, as the others
    then hold few: with five of them, answers of different folds would be ranked against the
    truth, and the AUROC of what tells nothing would lie below one half.
    """
    z = _standardised(features)
    thetas = np.empty((fold.max() + 1, features.shape[1] + 1))
    start = None
    for k in np.unique(fold):
        learned = fold != k
        start = penalised_logistic(z[learned], y[learned], ridge=ridge, start=start)
        thetas[k] = start
    constant = thetas[np.unique(fold), -1].mean()
    weights = thetas[fold, :-1]  # (n, d): of each answer's fold
    return np.asarray(expit((z * weights).sum(axis=1) + constant), float)


def _standardised(features: Features) -> Features:
    """(n, d) with mean 0 and spread 1 over all answers, which needs no grade."""
    spread = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _own_methods(
    own: pd.DataFrame, y: Features, fold: NDArray, ridge: float
) -> Features:
    """(n,) a model's own methods weighted together; of one there is nothing to weight."""
    if own.shape[1] == 1:
        return own.iloc[:, 0].fillna(0.5).to_numpy(float)
    return _cross_fitted(_features(own), y, fold, ridge)


def _best_method(own: pd.DataFrame, y: Features, fold: NDArray) -> Features:
    """(n,) cross-fitted confidence of the method that ranks best on the other folds."""
    out = np.empty(len(y))
    # Platt scaling, so that folds with another method are on one scale
    scaled = {
        name: _cross_fitted(_features(own[[name]]), y, fold, ridge=1e-6) for name in own
    }
    for k in np.unique(fold):
        is_own = fold == k
        areas = {}
        for name in own:
            c = own[name].fillna(0.5).to_numpy(float)
            areas[name] = auroc(c[~is_own], y[~is_own])
        best = max(areas, key=areas.__getitem__)
        out[is_own] = scaled[best][is_own]
    return out


def _within(c: Features, y: Features, strata: NDArray) -> float:
    """AUROC by pairs of a right and a wrong answer of one stratum."""
    won = pairs = 0.0
    for k in np.unique(strata):
        rows = strata == k
        n_right = y[rows].sum()
        n = n_right * (rows.sum() - n_right)
        if n:
            won += n * auroc(c[rows], y[rows])
            pairs += n
    return won / pairs if pairs else np.nan

"""What the package netcal makes of the same answers, beside ours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ._check import warn
from .binned import N_BINS, adaptive_ece, ece
from .rows import arrays, measured, parts_by


def netcal_table(
    graded: pd.DataFrame, *, by: Sequence[str] = ("model",), n_bins: int = N_BINS
) -> pd.DataFrame:
    """Calibration errors of netcal beside those of this package.

    Parameters
    ----------
    graded : pandas.DataFrame
        With confidence, correct and the columns of `by`.
    by : sequence of str
        Columns that make the groups.
    n_bins : int
        Bins of all of them.

    Returns
    -------
    pandas.DataFrame
        One row a group, without the columns of netcal where it is not installed:

        - the `by` columns
        - n: answers
        - ece: of bins (lo, hi]
        - netcal_ece: of bins [lo, hi): the same but for confidences on an edge, as 60 % of 15 bins
        - adaptive_ece: of bins of equal mass
        - netcal_ace: average calibration error, each bin of equal width counts as much
        - netcal_mce: the largest gap of a bin, however few answers it has

    Warns
    -----
    MeasureWarning
        Where netcal is not installed.

    References
    ----------
    Küppers et al., CVPR Workshops 2020, doi:10.1109/CVPRW50498.2020.00171.

    Examples
    --------
    >>> from medcal_nb.measure import example_answers
    >>> table = netcal_table(example_answers(strategies=["verbalized"]))
    >>> table["n"].tolist()
    [200]
    """
    theirs: dict = {}
    try:
        from netcal.metrics import ACE, ECE, MCE

        theirs = {"netcal_ece": ECE, "netcal_ace": ACE, "netcal_mce": MCE}
    except ImportError:
        warn("netcal's errors are left out: pip install 'medcal-nb[netcal]'")
    rows = []
    for key, part in parts_by(measured(graded), by):
        c, y = arrays(part)
        row = {"n": c.size, "ece": ece(c, y, n_bins=n_bins)}
        row |= {"adaptive_ece": adaptive_ece(c, y, n_bins=n_bins)}
        for name, metric in theirs.items():
            row[name] = float(np.asarray(metric(n_bins).measure(c, y.astype(int))))
        rows.append(key | row)
    return pd.DataFrame(rows)

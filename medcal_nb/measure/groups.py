"""Many small groups: estimates that borrow strength from one another."""

import numpy as np


def shrunken_estimates(values, standard_errors):
    r"""Group estimates drawn toward their common mean, the less sure the further.

    .. math:: \hat\theta_i = \mu + \frac{\tau^2}{\tau^2 + s_i^2} (x_i - \mu), \qquad
       \mu = \frac{\sum x_i / (\tau^2 + s_i^2)}{\sum 1 / (\tau^2 + s_i^2)}

    with the spread τ² between groups by DerSimonian and Laird's moments. Where the groups differ
    no more than chance makes them, τ² is 0 and all estimates become μ.

    Parameters
    ----------
    values : (k,) array
        One estimate per group; NaN where there is none.
    standard_errors : (k,) array
        Their standard errors, above 0 where the value is not NaN.

    Returns
    -------
    shrunken : (k,) array
        NaN where the value is.
    tau : float
        Standard deviation between groups, in the unit of the values; 0 for fewer than two groups.

    Raises
    ------
    ValueError
        On different lengths, or a standard error that is not above 0 (by position).

    References
    ----------
    Efron & Morris, J. Amer. Statist. Assoc. 70, 1975, doi:10.1080/01621459.1975.10479864;
    DerSimonian & Laird, Controlled Clinical Trials 7, 1986, doi:10.1016/0197-2456(86)90046-2.
    """
    x, s = np.asarray(values, dtype=float), np.asarray(standard_errors, dtype=float)
    if x.shape != s.shape or x.ndim != 1:
        raise ValueError(f"values and standard_errors differ in shape: {x.shape} and {s.shape}")
    there = ~np.isnan(x)
    bad = there & ~(s > 0)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise ValueError(
            f"standard_errors must be above 0; {bad.sum()} are not, the first at position {at}: "
            f"{s[at]!r}"
        )
    shrunken = np.full(x.shape, np.nan)
    k = int(there.sum())
    if k == 0:
        return shrunken, 0.0
    v, weight = s[there] ** 2, 1 / s[there] ** 2
    fixed = (weight * x[there]).sum() / weight.sum()
    q = (weight * (x[there] - fixed) ** 2).sum()
    reach = weight.sum() - (weight**2).sum() / weight.sum()
    tau2 = max(0.0, (q - (k - 1)) / reach) if k > 1 and reach > 0 else 0.0
    weight = 1 / (tau2 + v)
    mean = (weight * x[there]).sum() / weight.sum()
    shrunken[there] = mean + tau2 * weight * (x[there] - mean)
    return shrunken, float(np.sqrt(tau2))

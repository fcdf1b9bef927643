"""Principal components of features, fitted on some rows and applied to all."""

from __future__ import annotations

import numpy as np

from highgamma.encoding.splits import FloatArray, IntArray
from highgamma.encoding.statistics import Real


def principal_components(values: Real, fitted_on: IntArray, components: float) -> FloatArray:
    """Return scores (m, k) of all rows on the leading principal components of some.

    The components are the eigenvectors of the covariance of the rows `fitted_on`, centred by their
    mean and not scaled. With more features than rows they come from the rows' kernel:
    XXᵀ = U S² Uᵀ gives scores X_all Xᵀ U / S.

    Parameters
    ----------
    values
        (m, p) features.
    fitted_on
        Rows that mean and components are fitted on.
    components
        Below 1: the smallest number that holds more than this share of the variance, as
        `sklearn.decomposition.PCA` counts; from 1 on: their number (at most the rank).
    """
    training = values[fitted_on].astype(np.float64)
    mean = training.mean(axis=0)
    training -= mean
    n, p = training.shape
    wide = p > n
    square = training @ training.T if wide else training.T @ training
    variances, vectors = np.linalg.eigh(square)
    variances, vectors = np.maximum(variances[::-1], 0), vectors[:, ::-1]
    rank = int((variances > variances[:1] * max(n, p) * np.finfo(np.float64).eps).sum())
    if components < 1:
        share = np.cumsum(variances) / max(variances.sum(), np.finfo(np.float64).tiny)
        k = int(np.searchsorted(share, components, side="right")) + 1
    else:
        k = int(components)
    k = max(1, min(k, rank))
    basis = vectors[:, :k]
    if wide:
        basis = training.T @ (basis / np.sqrt(np.maximum(variances[:k], np.finfo(float).tiny)))
    scores = np.empty((len(values), k))
    for start in range(0, len(values), 4096):
        part = slice(start, start + 4096)
        scores[part] = (values[part].astype(np.float64) - mean) @ basis
    return scores

"""The encoding engine against the libraries that people use, and against its own multiplications.

`nested-ridge`: the complete nested cross-validation, against himalaya's RidgeCV and scikit-learn's
Ridge doing the same folds; they run as many inner folds as asked for and are extrapolated.
`nested-ridge-limit`: against the bare BLAS and LAPACK calls that it cannot do without.
`elastic-net`: a path of penalties for all targets, against ElasticNetCV target by target.
`null`: 1000 circular shifts, against the fit itself (ratio: the fit's time over the null's).
`fit-startup`: a process that reads its first layer, against `import numpy, xarray, netCDF4`.
`delayed-ridge`: the nested ridge with five delayed copies of every feature, against the 4 GiB that
it must fit in (ratio: of memory). Most of an hour of two cores, so that it runs only where it is
asked for: `python -m benchmarks delayed`.

Every measurement runs in a process of its own; memory is the process's peak, the data (126 MiB
of features, 30 MiB of targets) included. HIGHGAMMA_BENCH_THREADS sets the threads (default 1),
HIGHGAMMA_BENCH_SCALE shrinks the problem (default 1).
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SCALE = float(os.environ.get("HIGHGAMMA_BENCH_SCALE", "1"))
SAMPLES, FEATURES, TARGETS = int(30_000 * SCALE), int(1024 * SCALE), max(1, int(128 * SCALE))
FOLDS, INNER, RATE, GAP = 10, 9, 100.0, 0.5
ALPHAS = np.logspace(0, 6, 20)
SHIFTS = 1000
SHIFTS_TIMED = 48
ELASTIC_SAMPLES, ELASTIC_FEATURES, ELASTIC_FOLDS = 3000, 300, 5
ELASTIC_TARGETS_TIMED = 4
DELAYS, MEMORY_LIMIT_MIB = (0, 5, 10, 15, 20), 4096


def world(n: int, p: int, t: int) -> tuple[np.ndarray, np.ndarray]:
    """Features with a falling spectrum (float32) and targets that follow some of them."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((p, p)) * (np.arange(1, p + 1) ** -0.5)[:, None]
    X = np.empty((n, p), dtype=np.float32)
    for start in range(0, n, 2000):
        X[start : start + 2000] = rng.standard_normal((len(X[start : start + 2000]), p)) @ mix
    Y = (X @ (rng.standard_normal((p, t)) / np.sqrt(p)).astype(np.float32)).astype(np.float64)
    Y += rng.standard_normal((n, t)) * Y.std(axis=0) * np.linspace(1, 10, t)
    return X, Y


def split(n: int, folds: int = FOLDS, gap: float = GAP) -> Any:
    from highgamma.encoding.splits import Rows, split_rows

    time_s = np.arange(n) / RATE
    none = np.full(n, -1)
    rows = Rows(time_s, time_s, np.zeros(n, dtype=int), none, none)
    return split_rows(rows, scheme="contiguous", folds=folds, gap=gap, step=1 / RATE)


def held() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def pairs(parts: Any, outer: int, inner: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of the first inner folds of an outer fold."""
    fold = parts.folds[outer]
    chosen = []
    for group in parts.inner[outer][:inner]:
        train = fold.train.copy()
        for block in group:
            train &= parts.folds[block].train
        test = np.isin(parts.block, group) & fold.train
        chosen.append((np.flatnonzero(train), np.flatnonzero(test)))
    return chosen


# ---- one measurement each, run in a process of its own: seconds, MiB, and what to compare


def measure_ridge() -> dict[str, Any]:
    X, Y = world(SAMPLES, FEATURES, TARGETS)
    parts, began = split(SAMPLES), time.perf_counter()
    from highgamma.encoding.solvers.ridge import nested_ridge
    from highgamma.encoding.statistics import table

    fit = nested_ridge(table(X), Y, parts, alphas=ALPHAS)
    seconds = time.perf_counter() - began
    test = parts.folds[0].test
    return {
        "s": seconds,
        "mib": held(),
        "alpha": fit.alpha[0].tolist(),
        "prediction": fit.prediction[test[:200], :8].tolist(),
    }


def measure_himalaya() -> dict[str, Any]:
    """One outer fold with two inner folds and the refit, extrapolated to all."""
    X, Y = world(SAMPLES, FEATURES, TARGETS)
    parts = split(SAMPLES)
    from himalaya.ridge import RidgeCV

    train = np.flatnonzero(parts.folds[0].train)
    place = np.full(SAMPLES, -1)
    place[train] = np.arange(len(train))
    inner = [(place[a], place[b]) for a, b in pairs(parts, 0, 2)]
    Z = X[train].astype(np.float64)
    Z = (Z - Z.mean(0)) / Z.std(0)
    timings = []
    for count in (1, 2):
        began = time.perf_counter()
        RidgeCV(alphas=ALPHAS, fit_intercept=True, cv=inner[:count]).fit(Z, Y[train])
        timings.append(time.perf_counter() - began)
    fold = timings[1] - timings[0]
    rest = max(0.0, timings[0] - fold)
    return {
        "s": FOLDS * (INNER * fold + rest),
        "mib": held(),
        "timed": f"{timings[0]:.1f} s with one inner fold, {timings[1]:.1f} s with two",
    }


def measure_sklearn() -> dict[str, Any]:
    """One inner fold with a few penalties, extrapolated; and outer fold 0 for the agreement."""
    X, Y = world(SAMPLES, FEATURES, TARGETS)
    parts = split(SAMPLES)
    from sklearn.linear_model import Ridge
    from sklearn.preprocessing import StandardScaler

    train, test = pairs(parts, 0, 1)[0]
    began = time.perf_counter()
    scaler = StandardScaler().fit(X[train].astype(np.float64))
    Z, T = scaler.transform(X[train].astype(np.float64)), scaler.transform(X[test])
    for alpha in ALPHAS[:2]:
        Ridge(alpha).fit(Z, Y[train]).predict(T)
    fold = (time.perf_counter() - began) / 2 * len(ALPHAS)
    mib = held()
    alpha = np.asarray(json.loads(os.environ["HIGHGAMMA_BENCH_ALPHA"]))
    train, test = np.flatnonzero(parts.folds[0].train), parts.folds[0].test[:200]
    scaler = StandardScaler().fit(X[train].astype(np.float64))
    model = Ridge(alpha[:8]).fit(scaler.transform(X[train].astype(np.float64)), Y[train, :8])
    predicted = model.predict(scaler.transform(X[test].astype(np.float64)))
    return {"s": FOLDS * INNER * fold, "mib": mib, "prediction": predicted.tolist()}


def delayed_world() -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """Features of all frames, the frames that all delays reach, their targets and their split."""
    span = max(DELAYS) - min(DELAYS)
    X, Y = world(SAMPLES + span, FEATURES, TARGETS)
    return X, np.arange(span, len(X)), Y[span:], split(SAMPLES, gap=GAP + span / RATE)


def measure_delayed() -> dict[str, Any]:
    X, frames, Y, parts = delayed_world()
    began = time.perf_counter()
    from highgamma.encoding.lags import Delayed
    from highgamma.encoding.solvers.ridge import nested_ridge

    fit = nested_ridge(Delayed(X, frames, DELAYS), Y, parts, alphas=ALPHAS)
    seconds = time.perf_counter() - began
    test = parts.folds[0].test[:200]
    return {
        "s": seconds,
        "mib": held(),
        "alpha": fit.alpha[0].tolist(),
        "prediction": fit.prediction[test, :8].tolist(),
    }


def measure_delayed_sklearn() -> dict[str, Any]:
    """Outer fold 0 with the penalties that were chosen, from explicit delayed copies."""
    from sklearn.linear_model import Ridge

    X, frames, Y, parts = delayed_world()
    copies = np.concatenate([X[frames - delay] for delay in DELAYS], axis=1)
    train, test = parts.folds[0].train, parts.folds[0].test[:200]
    Z = copies[train].astype(np.float64)
    mean, scale = Z.mean(axis=0), Z.std(axis=0)
    Z -= mean
    Z /= scale
    alpha = np.asarray(json.loads(os.environ["HIGHGAMMA_BENCH_ALPHA"]))
    model = Ridge(alpha[:8], copy_X=False).fit(Z, Y[train, :8])
    return {"prediction": model.predict((copies[test] - mean) / scale).tolist()}


def measure_limit() -> dict[str, Any]:
    """The multiplications and decompositions of the nested ridge as bare calls."""
    from scipy.linalg import blas, lapack

    n, p, t, a = SAMPLES, FEATURES, TARGETS, len(ALPHAS)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n // FOLDS, p))
    began = time.perf_counter()
    for _ in range(FOLDS):
        gram = X.T @ X
    seconds = time.perf_counter() - began
    gram = np.asfortranarray(gram)
    factor = lapack.dpotrf(gram, lower=1)[0]
    narrow = np.asfortranarray(rng.standard_normal((p, t)))
    wide = np.asfortranarray(rng.standard_normal((p, a * t)))
    repeats = 3
    began = time.perf_counter()
    for _ in range(repeats):
        reduced, _, _, tau, _ = lapack.dsytrd(gram, lower=1, lwork=64 * p)
        body = np.asfortranarray(reduced[1:, :-1])
        for C in (narrow[1:], wide[1:]):
            lapack.dormqr("L", "N", body, tau, C, lwork=64 * C.shape[1] + 65 * 64)
        for _ in range(2):
            blas.dtrmm(1.0, factor, wide, lower=1, trans_a=1)
    pair = (time.perf_counter() - began) / repeats
    seconds += (FOLDS * (FOLDS - 1) // 2) * pair
    return {"s": seconds, "mib": held()}


def measure_null() -> dict[str, Any]:
    X, Y = world(SAMPLES, FEATURES, TARGETS)
    parts = split(SAMPLES)
    from highgamma.encoding.kept_penalties import shifted_sums
    from highgamma.encoding.statistics import block_statistics, table
    from highgamma.encoding.surrogates import Reorderings, circular_shifts

    statistics = block_statistics(table(X), Y, parts)
    alpha = np.tile(np.asarray(json.loads(os.environ["HIGHGAMMA_BENCH_ALPHA"])), (FOLDS, 1))
    shifts = circular_shifts(
        np.zeros(SAMPLES, dtype=int), count=SHIFTS_TIMED, min_shift=SAMPLES // 20, seed=0
    )
    timings = []
    for count in (1, SHIFTS_TIMED):
        began = time.perf_counter()
        shifted_sums(statistics, alpha, Reorderings.plain(shifts[:count]), standardize=True)
        timings.append(time.perf_counter() - began)
    each = (timings[1] - timings[0]) / (SHIFTS_TIMED - 1)
    return {"s": timings[0] + each * (SHIFTS - 1), "mib": held()}


def elastic_alphas(X: np.ndarray, Y: np.ndarray) -> np.ndarray:
    Xc = X - X.mean(axis=0)
    strongest = np.abs(Xc.T @ (Y - Y.mean(axis=0))).max() / len(X) / 0.5
    return np.asarray(strongest * np.logspace(-3, 0, 20))


def measure_elastic_net() -> dict[str, Any]:
    X, Y = world(ELASTIC_SAMPLES, ELASTIC_FEATURES, 128)
    alphas, parts = elastic_alphas(X, Y), split(ELASTIC_SAMPLES, ELASTIC_FOLDS)
    began = time.perf_counter()
    from highgamma.encoding.solvers.elastic_net import choose_elastic_net
    from highgamma.encoding.statistics import table

    best, weights = choose_elastic_net(table(X), Y, parts, alphas=alphas, l1_ratio=0.5)
    return {
        "s": time.perf_counter() - began,
        "mib": held(),
        "alpha": best.tolist(),
        "weights": weights[:, :ELASTIC_TARGETS_TIMED].tolist(),
    }


def measure_elastic_net_cv() -> dict[str, Any]:
    X, Y = world(ELASTIC_SAMPLES, ELASTIC_FEATURES, 128)
    alphas, parts = elastic_alphas(X, Y), split(ELASTIC_SAMPLES, ELASTIC_FOLDS)
    X = X.astype(np.float64)
    began = time.perf_counter()
    from sklearn.linear_model import ElasticNetCV

    folds = [(np.flatnonzero(fold.train), fold.test) for fold in parts.folds]
    chosen, weights = [], []
    for target in range(ELASTIC_TARGETS_TIMED):
        model = ElasticNetCV(l1_ratio=0.5, alphas=alphas, cv=folds, tol=1e-8, max_iter=20_000)
        model.fit(X, Y[:, target])
        chosen.append(float(model.alpha_))
        weights.append(model.coef_.tolist())
    seconds = (time.perf_counter() - began) * 128 / ELASTIC_TARGETS_TIMED
    return {"s": seconds, "mib": held(), "alpha": chosen, "weights": weights}


MEASUREMENTS: dict[str, Callable[[], dict[str, Any]]] = {
    name[8:]: function for name, function in list(globals().items()) if name[:8] == "measure_"
}


def apart(name: str, **environment: str) -> dict[str, Any]:
    """One measurement in a fresh process."""
    threads = os.environ.get("HIGHGAMMA_BENCH_THREADS", "1")
    limits = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    out = subprocess.run(
        [sys.executable, __file__, name],
        env=os.environ | limits | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(out.stdout.splitlines()[-1]))


# ---- the comparisons


def entry(
    name: str, against: str, ours: dict[str, Any], theirs: dict[str, Any], agreement: str
) -> dict[str, Any]:
    return {
        "name": name,
        "against": against,
        "ratio": round(theirs["s"] / ours["s"], 3),
        "ours_s": round(ours["s"], 3),
        "theirs_s": round(theirs["s"], 3),
        "ours_mib": round(ours["mib"]),
        "theirs_mib": round(theirs["mib"]),
        "agreement": agreement,
    }


def nested_ridge() -> list[dict[str, Any]]:
    """`nested-ridge` (twice), `nested-ridge-limit` and `null`, which share one fit."""
    ours = apart("ridge")
    alpha = json.dumps(ours["alpha"])
    himalaya, limit = apart("himalaya"), apart("limit")
    sklearn = apart("sklearn", HIGHGAMMA_BENCH_ALPHA=alpha)
    null = apart("null", HIGHGAMMA_BENCH_ALPHA=alpha)
    error = np.abs(np.subtract(ours["prediction"], sklearn["prediction"])).max()
    scale = np.std(sklearn["prediction"])
    same = f"predictions of outer fold 0 within {error / scale:.1e} of scikit-learn's Ridge"
    return [
        entry("nested-ridge", "himalaya RidgeCV, extrapolated", ours, himalaya, himalaya["timed"]),
        entry("nested-ridge", "scikit-learn Ridge, extrapolated", ours, sklearn, same),
        entry("nested-ridge-limit", "its bare BLAS and LAPACK calls", ours, limit, "same sizes"),
        entry("null", f"the fit; {SHIFTS} shifts extrapolated", null, ours, "penalties kept"),
    ]


def elastic_net() -> list[dict[str, Any]]:
    ours, theirs = apart("elastic_net"), apart("elastic_net_cv")
    alike = np.isclose(ours["alpha"][:ELASTIC_TARGETS_TIMED], theirs["alpha"]).mean()
    error = np.abs(np.array(ours["weights"]).T - theirs["weights"]).max()
    agreement = f"{alike:.0%} of penalties the same; coefficients within {error:.1e}"
    against = f"scikit-learn ElasticNetCV, {ELASTIC_TARGETS_TIMED} of 128 targets"
    return [entry("elastic-net", against, ours, theirs, agreement)]


def fit_startup() -> list[dict[str, Any]]:
    """Process start to first layer read, best of five, against bare imports."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "embeddings.nc"
        make = (
            "import numpy as np, xarray as xr\n"
            "xr.Dataset({'embedding': (('layer', 'sample', 'feature'),"
            " np.ones((2, 1000, 64), 'f4'))}, coords={'layer': [0, 1]})"
            f".to_netcdf({str(path)!r}, engine='netcdf4')"
        )
        subprocess.run([sys.executable, "-c", make], check=True)
        read = (
            "from highgamma.encoding.analysis import analysis_from\n"
            "from highgamma.encoding.fit import fit_analysis\n"
            "from highgamma.encoding.samples import frame_samples, layer_numbers\n"
            "from highgamma.store import open_dataset, read_table\n"
            f"with open_dataset({str(path)!r}) as d: d['embedding'].sel(layer=1).values"
        )
        ours, theirs = (
            {"s": _best_start(code), "mib": _peak(code)}
            for code in (read, "import numpy, xarray, netCDF4")
        )
    return [entry("fit-startup", "import numpy, xarray, netCDF4", ours, theirs, "")]


def _best_start(code: str) -> float:
    timings = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        timings.append(time.perf_counter() - began)
    return min(timings)


def _peak(code: str) -> float:
    tail = "\nimport resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    out = subprocess.run(
        [sys.executable, "-c", code + tail], check=True, capture_output=True, text=True
    )
    return float(out.stdout)


def delayed_ridge() -> list[dict[str, Any]]:
    ours = apart("delayed")
    theirs = apart("delayed_sklearn", HIGHGAMMA_BENCH_ALPHA=json.dumps(ours["alpha"]))
    error = np.abs(np.subtract(ours["prediction"], theirs["prediction"])).max()
    scale = np.std(theirs["prediction"])
    return [
        {
            "name": "delayed-ridge",
            "against": f"{MEMORY_LIMIT_MIB} MiB of memory, with {FEATURES * len(DELAYS)} features",
            "ratio": round(MEMORY_LIMIT_MIB / ours["mib"], 3),
            "ours_s": round(ours["s"], 3),
            "ours_mib": round(ours["mib"]),
            "theirs_mib": MEMORY_LIMIT_MIB,
            "agreement": f"predictions of outer fold 0 within {error / scale:.1e} of "
            "scikit-learn's Ridge on delayed copies",
        }
    ]


def results() -> list[dict[str, Any]]:
    """The comparisons of this file that `make bench` makes."""
    return [*nested_ridge(), *elastic_net(), *fit_startup()]


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(MEASUREMENTS[sys.argv[1]]()))
    else:
        print(json.dumps(results(), indent=2))

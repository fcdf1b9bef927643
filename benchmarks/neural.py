"""High-gamma against the chains that people write, and against its own length.

`high-gamma-official`: the data set's official formulas (scipy, all channels at once).
`high-gamma-mne`: MNE's IIR filters and Hilbert envelope, then the same frames.
`high-gamma-length`: time and peak memory of recordings of growing length.
`high-gamma-long`: peak memory of a recording of 3 h, 256 channels at 2048 Hz, read from an HDF5
file, against 4 GiB (HIGHGAMMA_BENCH_SCALE shortens it); `python -m benchmarks long` runs it alone.

Each measurement runs in a process of its own, one thread, with the signal generated inside; peak
memory is what the process held above the moment when the signal was ready.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

RATE = 1024.0
CHANNELS = 128
SECONDS = 300.0
LENGTHS = (150.0, 300.0, 600.0, 1200.0, 2400.0)
LONG_RATE, LONG_CHANNELS = 2048.0, 256
LONG_SECONDS = 3 * 3600.0 * float(os.environ.get("HIGHGAMMA_BENCH_SCALE", "1"))
LONG_MIB = 4096.0


def signal(seconds: float, channels: int) -> np.ndarray:
    """1/f background with white noise, µV, (samples, channels)."""
    rng = np.random.default_rng(0)
    data = np.empty((int(seconds * RATE), channels))
    for channel in range(channels):
        walk = np.cumsum(rng.standard_normal(len(data)))
        data[:, channel] = 0.3 * walk + 3 * rng.standard_normal(len(data))
    return data


def ours(data: np.ndarray) -> np.ndarray:
    from highgamma import neural
    from highgamma.recording.reader import Reader

    recording = Reader.of_array(data, rate=RATE)
    electrodes = neural.Electrodes.from_names(recording.names)
    threads = int(os.environ.get("HIGHGAMMA_BENCH_THREADS", "1"))
    settings = neural.NeuralSettings(method="fft")
    return neural.high_gamma([recording], electrodes, settings, threads=threads).values()


def _frames(envelope: np.ndarray) -> np.ndarray:
    n = int(np.floor((len(envelope) - 0.05 * RATE) / (0.01 * RATE)))
    features = np.zeros((n, envelope.shape[1]))
    for w in range(n):
        start = int(np.floor((w * 0.01) * RATE))
        features[w] = np.mean(envelope[start : int(np.floor(start + 0.05 * RATE))], axis=0)
    return features


def official(data: np.ndarray) -> np.ndarray:
    """The data set's published formulas (doi 10.1038/s41597-022-01542-9), all channels."""
    from scipy import fft
    from scipy import signal as ss

    data = ss.detrend(data, axis=0)
    for band, kind in (((70, 170), "bandpass"), ((98, 102), "bandstop"), ((148, 152), "bandstop")):
        sos = ss.iirfilter(4, [f / (RATE / 2) for f in band], btype=kind, output="sos")
        data = ss.sosfiltfilt(sos, data, axis=0)
    padded = fft.next_fast_len(len(data), real=True)
    return _frames(np.abs(ss.hilbert(data, padded, axis=0)[: len(data)]))


def mne_chain(data: np.ndarray) -> np.ndarray:
    """MNE: the same Butterworth filters (`method='iir'`) and `apply_hilbert(envelope=True)`."""
    import mne

    info = mne.create_info([f"A{i}" for i in range(data.shape[1])], RATE, "seeg")
    raw = mne.io.RawArray(np.ascontiguousarray(data.T), info, copy=None, verbose="error")
    butter = {"order": 4, "ftype": "butter", "output": "sos"}
    raw.filter(70, 170, method="iir", iir_params=dict(butter), verbose="error")
    for centre in (100, 150):
        # An upper edge below the lower one makes MNE's filter a band-stop.
        raw.filter(centre + 2, centre - 2, method="iir", iir_params=dict(butter), verbose="error")
    raw.apply_hilbert(envelope=True, verbose="error")
    return _frames(raw.get_data().T)


CHAINS = {"ours": ours, "official": official, "mne": mne_chain}


def _child(chain: str, seconds: float, channels: int, out: str) -> None:
    import scipy.fft
    import scipy.signal  # noqa: F401

    if chain == "mne":
        import mne  # noqa: F401
    data = signal(seconds, channels)
    # Imports and first calls are not what is measured.
    CHAINS[chain](data[: int(5 * RATE), :2].copy())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    result = CHAINS[chain](data)
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if out:
        np.save(out, result[:, :: max(1, channels // 16)])
    # Linux counts in KiB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    print(json.dumps({"s": took, "mib": peak / unit, "above_mib": (peak - before) / unit}))


def _length_child(seconds: float, channels: int) -> None:
    """Measure as `_child`, with a signal that is generated when it is read."""
    from highgamma import neural
    from highgamma.recording.reader import Reader

    rng = np.random.default_rng(0)
    noise = rng.standard_normal((2**16, channels), dtype=np.float32)

    def fetch(start: int, stop: int, columns: Sequence[int]) -> np.ndarray:
        block = slice(columns[0], columns[-1] + 1)
        return noise[np.arange(start, stop) % len(noise), block].astype(np.float64)

    names = tuple(f"A{i}" for i in range(channels))
    electrodes = neural.Electrodes.from_names(names)
    settings = neural.NeuralSettings(method="fft")
    for length in (5.0, seconds):  # the first is a warm-up
        began = time.perf_counter()
        recording = Reader(names=names, rate=RATE, n_samples=int(length * RATE), fetch=fetch)
        frames = neural.high_gamma([recording], electrodes, settings)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frames.nc"
            neural.write_frames(frames, path, name="high-gamma", parameters={})
        took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 2**20 if sys.platform == "darwin" else 2**10
    print(json.dumps({"s": took, "mib": peak / unit}))


def _long_file(folder: Path) -> Path:
    """A float32 file that is a minute of noise over and over: long to read, short on disk."""
    import h5py

    rng = np.random.default_rng(0)
    minute, total = int(60 * LONG_RATE), int(LONG_SECONDS * LONG_RATE)
    with h5py.File(folder / "minute.h5", "w") as file:
        stored = file.create_dataset("iEEG", (minute, LONG_CHANNELS), "f4")
        for start in range(0, minute, 2**14):
            rows = min(2**14, minute - start)
            noise = rng.standard_normal((rows, LONG_CHANNELS), dtype=np.float32)
            stored[start : start + rows] = 30 * noise
    layout = h5py.VirtualLayout((total, LONG_CHANNELS), "f4")
    source = h5py.VirtualSource("minute.h5", "iEEG", (minute, LONG_CHANNELS))
    for start in range(0, total, minute):
        rows = min(minute, total - start)
        layout[start : start + rows] = source[:rows]
    with h5py.File(folder / "long.h5", "w") as file:
        file.create_virtual_dataset("iEEG", layout)
    return folder / "long.h5"


def _long_child(path: str, folder: str, bands: int) -> None:
    import h5py

    from highgamma import neural
    from highgamma.recording.reader import Reader

    began = time.perf_counter()
    with h5py.File(path) as file:
        recording = Reader.of_array(file["iEEG"], rate=LONG_RATE)
        electrodes = neural.Electrodes.from_names(recording.names)
        settings = neural.NeuralSettings(method="fft", bands=bands)
        frames = neural.high_gamma([recording], electrodes, settings)
        neural.write_frames(frames, Path(folder) / "frames.nc", name="high-gamma", parameters={})
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 2**20 if sys.platform == "darwin" else 2**10
    print(json.dumps({"s": took, "mib": peak / unit, "frames": len(frames.time)}))


def _measured(*arguments: str) -> dict[str, float]:
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env={**os.environ, **one_thread},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])


def against_chains(
    *, channels: int = CHANNELS, seconds: float = SECONDS, repeats: int = 2
) -> list[dict[str, Any]]:
    """Compare with two other chains: the best of `repeats` runs each, alternating.

    `agreement` is the largest rms difference of a channel in its standard deviations, away from
    the first and last second.
    """
    best: dict[str, dict[str, float]] = {}
    results: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            for chain in CHAINS:
                path = str(Path(folder) / f"{chain}.npy")
                measured = _measured(chain, str(seconds), str(channels), path)
                results[chain] = np.load(path, allow_pickle=False)
                if chain not in best or measured["s"] < best[chain]["s"]:
                    best[chain] = measured
    rows = []
    for chain, against in (
        ("mne", "MNE 'iir' filters and apply_hilbert"),
        ("official", "the data set's official formulas (scipy)"),
    ):
        mine, other = results["ours"][100:-100], results[chain][100:-100]
        rms = np.sqrt(np.mean((mine - other) ** 2, axis=0)) / other.std(axis=0)
        rows.append(
            {
                "name": f"high-gamma-{chain}",
                "against": against,
                "ratio": best[chain]["s"] / best["ours"]["s"],
                "ours_s": best["ours"]["s"],
                "theirs_s": best[chain]["s"],
                "ours_mib": best["ours"]["mib"],
                "theirs_mib": best[chain]["mib"],
                "ours_above_signal_mib": best["ours"]["above_mib"],
                "theirs_above_signal_mib": best[chain]["above_mib"],
                "agreement": float(rms.max()),
                "channels": channels,
                "seconds": seconds,
            }
        )
    return rows


def length(
    figure: str | os.PathLike[str] | None = None,
    *,
    channels: int = CHANNELS,
    lengths: tuple[float, ...] = LENGTHS,
) -> list[dict[str, Any]]:
    """Measure time and peak memory against length, including the file; draw a figure if named."""
    points = [{"seconds": s, **_measured("length", str(s), str(channels))} for s in lengths]
    if figure is not None:
        _draw(points, Path(figure), channels)
    first, last = points[0], points[-1]
    return [
        {
            "name": "high-gamma-length",
            "against": f"itself at {first['seconds']:g} s",
            "ratio": last["s"] / first["s"] / (last["seconds"] / first["seconds"]),
            "memory_ratio": last["mib"] / first["mib"],
            "ours_s": last["s"],
            "ours_mib": last["mib"],
            "points": points,
        }
    ]


def long() -> list[dict[str, Any]]:
    """Measure time and peak memory of a long recording of many channels, from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        path = _long_file(Path(folder))
        measured = _measured("long", str(path), folder, "1")
    return [
        {
            "name": "high-gamma-long",
            "against": f"4 GiB: {LONG_SECONDS / 3600:g} h, {LONG_CHANNELS} channels, "
            f"{LONG_RATE:g} Hz",
            "ratio": LONG_MIB / measured["mib"],
            "ours_s": measured["s"],
            "ours_mib": measured["mib"],
            "theirs_mib": LONG_MIB,
            "agreement": f"{measured['frames']:.0f} frames",
        }
    ]


def _draw(points: list[dict[str, float]], path: Path, channels: int) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    seconds = [p["seconds"] / 60 for p in points]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    left.plot(seconds, [p["s"] for p in points], "o-")
    left.set(xlabel="length of the recording (min)", ylabel="time (s)", xlim=0, ylim=0)
    right.plot(seconds, [p["mib"] for p in points], "o-")
    right.set(xlabel="length of the recording (min)", ylabel="peak memory (MiB)", xlim=0)
    right.set_ylim(0, 1.2 * max(p["mib"] for p in points))
    figure.suptitle(f"High-gamma, {channels} channels at {RATE:g} Hz, one thread")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    plt.close(figure)


def run(figure: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
    """All results of this file."""
    return against_chains() + length(figure)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["long", path, folder, bands]:
            _long_child(path, folder, int(bands))
        case ["length", seconds, channels]:
            _length_child(float(seconds), int(channels))
        case [chain, seconds, channels, out]:
            _child(chain, float(seconds), int(channels), out)
        case [figure]:
            print(json.dumps(run(figure), indent=1))
        case _:
            print(json.dumps(run(), indent=1))

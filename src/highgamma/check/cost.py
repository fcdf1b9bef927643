"""Estimates of the time, memory and disk space of a run, from sizes and measured unit costs.

Every cost is a start-up plus a unit cost times the work's size: samples × electrodes for filters,
floating-point operations for networks and fits, values for files. The unit costs were measured in
the benchmarks (benchmarks/results.json) and in the demo's jobs on one machine (Intel Xeon, 2 cores,
numpy with OpenBLAS, one thread); other machines differ by a factor of two or three. Where the run
has finished jobs, their benchmark files say how this machine compares, rule by rule.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from highgamma import catalogue, settings
from highgamma.check.plan import Job
from highgamma.encoding import cost as fit_cost
from highgamma.encoding.analysis import analysis_from
from highgamma.encoding.cost import FitSize
from highgamma.provenance import job_times

START_S = 0.6
"""CPU seconds until a job has imported its modules (demo: short jobs take 0.5 s)."""
START_NETWORK_S = 3.3
"""The same with torch and transformers (demo: MiniLM, whose pass over 72 words takes 0.5 s)."""

FILTER_S = {"exact": 2.0e-7, "fft": 2.0e-8}
"""CPU seconds a sample and channel (300 s of 64 channels; `high-gamma-mne` in results.json)."""
AUDIT_S = 3.3e-7
"""CPU seconds a sample and channel (300 s of 110 channels, 11 to 14 s)."""
QUALITY_S = 1.0e-7
"""CPU seconds a sample and channel (300 s of 127 channels)."""
RECORD_S = 0.006
"""CPU seconds a second of sound (demo: 216 s, 1.4 s)."""
ACOUSTIC_S = 0.0005
"""CPU seconds a second of sound (demo: 216 s, 0.1 s or less)."""
NETWORK_S = 2.2e-11
"""CPU seconds an operation: `embeddings-loop`, 24.2 s on 2 threads for 2.2e12 operations."""
GPU_FLOPS = 1e13
"""Operations a second of a GPU in float32: half the peak of NVIDIA's A100 (19.5e12, its data
sheet). An assumption: no GPU was measured."""

NETWORK_BYTES = 2.33
"""Bytes a stored value of 4 digits: `size_ratio` 0.583 of `embeddings-netcdf`, times 4."""
SMALL_FACTOR, KNOWN_FACTOR = 3.0, 1.4
"""Factors by which the true time may differ from an estimate: on an unknown machine, and on a
measured one."""


@dataclass(frozen=True, slots=True)
class Size:
    """The sizes that a participant's costs depend on.

    Attributes
    ----------
    seconds
        Length of all recordings, s.
    values
        Samples × electrodes of all recordings.
    electrodes
        Number of electrodes that are kept.
    words
        Number of prompts.
    sound
        Length of the sound, s.
    n_bytes
        Size of all files, bytes.
    """

    seconds: float
    values: float
    electrodes: int
    words: int
    sound: float
    n_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one job.

    Attributes
    ----------
    cpu_s
        CPU time, s.
    memory_mb
        Memory, MB.
    n_bytes
        Size of its output, bytes.
    operations
        Floating-point operations of a network.
    """

    cpu_s: float
    memory_mb: float = 300.0
    n_bytes: float = 0.0
    operations: float = 0.0


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """What the costs of a run's jobs are computed from.

    Attributes
    ----------
    config
        The configuration, with its defaults.
    entries
        The resolved catalogue of models.
    sizes
        Size of each participant, by name.
    """

    config: Mapping[str, Any]
    entries: dict[str, Any]
    sizes: Mapping[str, Size]

    def size(self, participant: str) -> Size:
        """Return a participant's size, or the typical one if it is unknown (a stimulus)."""
        if participant in self.sizes:
            return self.sizes[participant]
        return typical(list(self.sizes.values()))


def typical(sizes: Sequence[Size]) -> Size:
    """Return the median of each size; without any, the median of the study's participants."""
    if not sizes:
        return Size(300.0, 300.0 * 1024 * 110, 110, 100, 300.0)
    return Size(
        seconds=median(s.seconds for s in sizes),
        values=median(s.values for s in sizes),
        electrodes=round(median(s.electrodes for s in sizes)),
        words=round(median(s.words for s in sizes)),
        sound=median(s.sound for s in sizes),
    )


# --- one function per rule, called with the parts of the job's name after the rule


def _demo(run: PlannedRun, participant: str) -> Cost:
    size = run.size(participant)
    return Cost(START_S + 0.03 * size.seconds, 650, 150e3 * size.seconds)


def _recording(run: PlannedRun, participant: str) -> Cost:
    size = run.size(participant)
    return Cost(START_S + RECORD_S * size.sound, 300 + 0.4 * size.sound, 60e3 * size.sound)


def _frames(size: Size, signal: Mapping[str, Any]) -> float:
    return size.seconds / float(signal["shift"])


def _filtered(run: PlannedRun, signal: str, participant: str) -> Cost:
    size, filters = run.size(participant), settings.signal_settings(run.config, signal)
    unit = FILTER_S[str(filters["method"])] * int(filters["bands"])
    # Values are float64 in chunks of 16 channels.
    chunked = 16 * math.ceil(size.electrodes / 16)
    return Cost(START_S + unit * size.values, 500, 8.5 * _frames(size, filters) * chunked)


def _neural(run: PlannedRun, *name: str) -> Cost:
    *signal, participant = name
    return _filtered(run, signal[0] if signal else "high-gamma", participant)


def _targets(run: PlannedRun, window: str, participant: str) -> Cost:
    size = run.size(participant)
    cost = _filtered(run, window.rsplit("_", 3)[0], participant)
    return replace(cost, n_bytes=17.0 * size.words * size.electrodes)


def _contamination(run: PlannedRun, participant: str) -> Cost:
    size = run.size(participant)
    # 1.65 GB for 30 minutes of sound.
    memory = 350 + 0.75 * size.sound
    return Cost(START_S + AUDIT_S * size.values, memory, 26.5e3 * size.electrodes)


def _quality(run: PlannedRun, participant: str) -> Cost:
    return Cost(START_S + QUALITY_S * run.size(participant).values, 400, 300e3)


def _embeddings(run: PlannedRun, model: str, participant: str) -> Cost:
    entry, size = run.entries[model], run.size(participant)
    kind = catalogue.kind_of(entry)
    layers = len(kind.layers(entry))
    n_bytes = NETWORK_BYTES * layers * kind.samples(entry, size) * kind.width(entry, size)
    if not kind.is_network:
        return Cost(START_S + ACOUSTIC_S * size.sound, 250 + n_bytes / 5e5, n_bytes)
    operations = kind.operations(entry, size)
    return Cost(
        START_NETWORK_S + NETWORK_S * operations,
        500 + 1.5 * kind.weight_bytes(entry) / 1e6,
        n_bytes,
        operations,
    )


def _width(entry: Mapping[str, Any], size: Size) -> int:
    return catalogue.kind_of(entry).width(entry, size)


def _encoding(run: PlannedRun, analysis: str, participant: str, model: str, layers: str) -> Cost:
    size = run.size(participant)
    stated = settings.fit_settings(run.config, analysis, model)
    fit = analysis_from(catalogue.with_fit_options(stated, run.entries, model))
    signal = settings.signal_settings(run.config, fit.signal)
    fitted = FitSize.of_analysis(
        fit,
        samples=float(size.words) if fit.unit == "word" else _frames(size, signal),
        width=float(sum(_width(run.entries[part], size) for part in model.split("+"))),
        electrodes=size.electrodes,
        words=float(size.words),
    )
    first, *last = layers.split("-")
    count = int(last[0]) - int(first) + 1 if last else 1
    blocks = int(run.entries[model.split("+")[-1]]["layers"]) + 1
    seconds = fit_cost.total_seconds(fit, fitted, layers=count, model_layers=blocks)
    n, p, t = fitted.samples, fitted.features, fitted.electrodes
    stored = 5.0 * n * t + (4.0 * fit.permutations + 30.0 * fitted.folds) * t * count
    delayed = fit_cost.n_lags(fit) / fit_cost.n_fits(fit)
    data = (n * p / delayed * 4 + n * t * 8) / 1e6
    # The Gram matrices of the folds, where features are the smaller side (measured: 9 of them).
    grams = 9.0 * fitted.rank**2 * 8 / 1e6 if n > p else 0.0
    # Surrogates and lags of frames go through in batches (demo: up to 650 MB).
    least = 550.0 if fit.unit == "frame" else 250.0
    # One surrogate of all electrodes at least, and what is made from it: a dozen arrays of frames
    # (180,000 frames × 116: 3.6 GB with few features).
    batch = 12.0 * n * t * 8 / 1e6 if fit.permutations and fit.unit == "frame" else 0.0
    return Cost(START_S + seconds, least + 4.5 * data + grams + batch, stored)


def _gain(run: PlannedRun, analysis: str, participant: str, *_: str) -> Cost:
    size, settled = run.size(participant), run.config["analyses"][analysis]
    signal = settings.signal_settings(run.config, settled["signal"])
    n = float(size.words) if settled["unit"] == "word" else _frames(size, signal)
    fits = len(settings.analysis_models(run.config, analysis))
    # Two arrays of every fit's predictions, and a dozen more (4 fits of 180,000 frames × 116
    # electrodes: 3.9 GB, 15 s).
    values = n * size.electrodes
    return Cost(START_S + 1.8e-7 * fits * values, 160 + (14 + 2 * fits) * values * 8 / 1e6, 4e3)


def _tables(run: PlannedRun, *_: str) -> Cost:
    fits = sum(
        len(run.sizes) * len(settings.analysis_models(run.config, name))
        for name in run.config["analyses"]
    )
    return Cost(START_S + 0.05 * fits, 160 + 0.5 * fits, 10e3 * fits)


def _report(run: PlannedRun, *_: str) -> Cost:
    cost = _tables(run)
    return Cost(5.0 + cost.cpu_s, 300, 4e6)


COSTS: dict[str, Callable[..., Cost]] = {
    "demo": _demo,
    "recording": _recording,
    "neural": _neural,
    "neural_signal": _neural,
    "targets": _targets,
    "contamination": _contamination,
    "quality": _quality,
    "embeddings": _embeddings,
    "encoding": _encoding,
    "gain": _gain,
    "summary": _tables,
    "report": _report,
}
"""Cost functions by rule; a job of any other rule costs only its start-up."""


def cost_of(job: Job, run: PlannedRun) -> Cost:
    """Return the estimated cost of one job."""
    known = COSTS.get(job.rule)
    return Cost(START_S) if known is None else known(run, *job.wildcards)


# --- the speed of this machine, from finished jobs


def measured(benchmarks: str | Path) -> dict[str, float]:
    """Return the CPU seconds of a run's finished jobs, by job name.

    Jobs that are shorter than the resolution of the process table are left out.

    Parameters
    ----------
    benchmarks
        Folder of the run's benchmark files.
    """
    return {time.job: time.cpu_s for time in job_times(benchmarks) if time.cpu_s > 0}


@dataclass(frozen=True, slots=True)
class Speed:
    """The ratio of measured to estimated CPU time on this machine.

    Attributes
    ----------
    typical, low, high
        Ratio over all finished jobs, and the ends of its plausible range.
    n
        Number of finished jobs that it is computed from.
    """

    typical: float = 1.0
    low: float = 1 / SMALL_FACTOR
    high: float = SMALL_FACTOR
    n: int = 0


def speeds(finished: Mapping[str, float], run: PlannedRun) -> dict[str, Speed]:
    """Return the speed of this machine for each rule, from its finished jobs.

    Parameters
    ----------
    finished
        CPU time (s) of finished jobs, by name.
    run
        The run that the jobs are part of.

    Returns
    -------
    speeds
        By the first folder of the jobs' names (the rule).
    """
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for name, seconds in finished.items():
        kind = name.split("/")[0]
        try:
            estimate = cost_of(Job(kind, name), run).cpu_s
        except (KeyError, TypeError, ValueError):
            continue  # its model or analysis is no longer in the configuration
        pairs[kind].append((seconds, estimate))
    by_kind = {}
    for kind, some in pairs.items():
        # From the sums: an error of one second in the start-up matters little for long jobs.
        typical = sum(took for took, _ in some) / sum(estimate for _, estimate in some)
        low, high = _spread([took / estimate for took, estimate in some])
        by_kind[kind] = Speed(
            typical=typical,
            low=min(low, typical / KNOWN_FACTOR),
            high=max(high, typical * KNOWN_FACTOR),
            n=len(some),
        )
    return by_kind


def _spread(values: Sequence[float]) -> tuple[float, float]:
    """Return the 10th and 90th percentile; the extremes if there are fewer than three values."""
    if len(values) < 3:
        return min(values), max(values)
    tenths = quantiles(values, n=10, method="inclusive")
    return tenths[0], tenths[-1]


@dataclass(frozen=True, slots=True)
class Total:
    """The cost of all jobs of one rule.

    Attributes
    ----------
    rule
        Name of the rule.
    jobs
        Number of jobs.
    cpu_s, low_s, high_s
        CPU time of all jobs (s): typical, and the ends of its plausible range.
    longest_s
        Typical CPU time of the longest job, s.
    memory_mb
        Memory of the largest job, MB.
    n_bytes
        Size of all outputs, bytes.
    gpu_s
        Time of the networks on the assumed GPU, s.
    measured
        Number of finished jobs that the estimate is based on.
    """

    rule: str
    jobs: int
    cpu_s: float
    low_s: float
    high_s: float
    longest_s: float
    memory_mb: float
    n_bytes: float
    gpu_s: float
    measured: int


def totals(jobs: Sequence[Job], run: PlannedRun, finished: Mapping[str, float]) -> list[Total]:
    """Return the estimated cost of all jobs, rule by rule, in the order of the workflow.

    Parameters
    ----------
    jobs
        The jobs that would run.
    run
        The run that they are part of.
    finished
        CPU time (s) of finished jobs, by name; they calibrate the estimates.
    """
    fast = speeds(finished, run)
    by_rule: dict[str, list[Job]] = defaultdict(list)
    for job in jobs:
        by_rule[job.rule].append(job)
    rule_totals = []
    place = {rule: number for number, rule in enumerate(COSTS)}
    for rule, mine in sorted(by_rule.items(), key=lambda item: place.get(item[0], len(COSTS))):
        speed = fast.get(mine[0].name.split("/")[0], Speed())
        costs = [cost_of(job, run) for job in mine]
        cpu = sum(cost.cpu_s for cost in costs)
        rule_totals.append(
            Total(
                rule=rule,
                jobs=len(mine),
                cpu_s=cpu * speed.typical,
                low_s=cpu * speed.low,
                high_s=cpu * speed.high,
                longest_s=max(cost.cpu_s for cost in costs) * speed.typical,
                memory_mb=max(cost.memory_mb for cost in costs),
                n_bytes=sum(cost.n_bytes for cost in costs),
                gpu_s=sum(cost.operations for cost in costs) / GPU_FLOPS,
                measured=speed.n,
            )
        )
    return rule_totals

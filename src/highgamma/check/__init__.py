"""Check of a study before the first job, and an estimate of the jobs' costs.

`snakemake check` reads the headers and tables of every participant, the headers of the models'
files and the configuration, and reports all problems at once. If one part is unusable, the others
are checked nevertheless. No signal is read: the jobs themselves find problems with samples (NaN, a
flat channel, a wrong unit).
"""

from __future__ import annotations

import copy
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from highgamma import catalogue, settings
from highgamma.check import analyses, cost
from highgamma.check.models import State, check_models
from highgamma.check.participants import Participant, compare_folders, read_participant
from highgamma.check.plan import Job, planned
from highgamma.check.problems import Problem, Problems, aligned
from highgamma.errors import InputError
from highgamma.recording.files import SELECTED, values_of
from highgamma.recording.settings import participant_labels
from highgamma.store import inside

__all__ = ["Checked", "check", "snakemake_command", "told"]

CONFIGURATION = analyses.CONFIGURATION

DEMO_WORD_S, DEMO_CHANNELS = 3.0, 25
"""Seconds per word and electrodes of the demo's participants, before they are written."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of a check.

    Attributes
    ----------
    run
        Name of the run.
    root
        Folder of the data set.
    participants
        The participants that could be read.
    awaited
        Names of the participants that the workflow writes itself.
    assumed
        Assumed size of participants whose data set is not yet downloaded; None without any.
    models
        State of each model's files.
    jobs
        The jobs that would run; None if they could not be planned.
    totals
        Cost of the jobs, rule by rule.
    problems
        Errors and warnings.
    """

    run: str
    root: str
    participants: tuple[Participant, ...]
    awaited: tuple[str, ...]
    assumed: cost.Size | None
    models: tuple[State, ...]
    jobs: tuple[Job, ...] | None
    totals: tuple[cost.Total, ...]
    problems: Problems

    @property
    def ok(self) -> bool:
        """Whether the run can be started."""
        return not self.problems.fatal()


def check(
    config: Mapping[str, Any], *, workflow: str | Path, command: Sequence[str] | None
) -> Checked:
    """Check a configuration with its data set and models, and plan its jobs.

    Parameters
    ----------
    config
        As the user gave it, or with its defaults filled in.
    workflow
        The folder of the Snakefile, which contains schema, catalogue and lock file. Paths in the
        configuration are relative to the working directory.
    command
        The call of Snakemake that plans, to which `--configfile` is added; None plans nothing.

    Returns
    -------
    checked
        Participants, models, jobs with their costs, and all problems.
    """
    base = Path(workflow)
    problems = Problems([])
    settled = _settled(config, problems)
    entries = _entries(settled, base / "config/models.yaml", problems)
    # Unknown models are reported; the rest of the configuration is checked without them.
    stated = _known_alone(settled, entries)
    usable = catalogue.heard_by_trial(stated, entries)
    states = check_models(
        sorted({*usable["models"], *settings.embedded_models(usable)} & set(entries)),
        entries,
        lock=base / "config/models.lock.yaml",
        device=str(usable["device"]),
        demo=usable["demo"] is not None,
        problems=problems,
    )
    signals = analyses.signals_of(usable, problems)
    fits = analyses.fits_of(usable, entries, problems)
    labels, awaited = _labels(usable, problems)
    shared = _stimulus(usable, problems)
    participants = []
    for label in labels:
        participant = read_participant(label, usable["dataset"], problems)
        analyses.check_participant(
            participant, usable, entries, signals, fits, problems, shared_sound=shared > 0
        )
        participants.append(participant)
    there = [p for p in participants if p.recordings or p.n_bytes]
    jobs = None
    absent = _to_be_fetched(usable)
    named = [p.name for p in there] + awaited + absent
    if command is not None and named and not _stops_planning(problems):
        planable = copy.deepcopy(stated)
        planable["dataset"]["participants"] = named
        jobs = problems.attempt("jobs", _plan, planable, command, absent=absent)
    sizes = _sizes(usable, there, awaited, shared)
    sizes |= dict.fromkeys(absent, cost.typical(list(sizes.values())))
    run = cost.PlannedRun(usable, entries, sizes)
    results = Path("results") / str(usable["run"])
    totals = [] if not jobs else cost.totals(jobs, run, cost.measured(results / "benchmarks"))
    _compare_with_machine(totals, states, problems)
    return Checked(
        run=str(usable["run"]),
        root=str(usable["dataset"]["root"]),
        participants=tuple(participants),
        awaited=tuple(awaited),
        assumed=next((sizes[name] for name in absent), None),
        models=tuple(states),
        jobs=None if jobs is None else tuple(jobs),
        totals=tuple(totals),
        problems=problems,
    )


def snakemake_command(snakefile: str | Path) -> list[str]:
    """Return a call of Snakemake by this Python that plans without a lock."""
    return [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--cores", "1",
            "--nolock"]  # fmt: skip


# --- the parts


def _settled(config: Mapping[str, Any], problems: Problems) -> settings.Settings:
    """Return the configuration with its defaults, without the parts that have mistakes."""
    whole = problems.attempt(CONFIGURATION, settings.checked, config)
    if whole is None:
        whole = _without_mistakes(config)
    try:
        settings.cross_checked(whole)
    except InputError as error:
        problems.add(
            Problem(CONFIGURATION, error.message, error.where, error.expected, error.remedy)
        )
    return whole


def _without_mistakes(config: Mapping[str, Any]) -> settings.Settings:
    def right(trial: Mapping[str, Any]) -> settings.Settings | None:
        try:
            return settings.checked(trial)
        except InputError:
            return None

    kept: dict[str, Any] = {"dataset": {"root": "."}, "models": ["mel"],
                            "analyses": {"none": {"unit": "word"}}}  # fmt: skip
    for key, value in config.items():
        if isinstance(value, Mapping):
            # Key by key, so that one mistake does not hide the rest of its section.
            base = {} if key == "analyses" else dict(kept.get(key, {}))
            for name, part in value.items():
                if right({**kept, key: {**base, name: part}}) is not None:
                    base[name] = part
            value = base or kept.get(key, {})
        if right({**kept, key: value}) is not None:
            kept[key] = value
    return settings.checked(kept)


def _entries(config: Mapping[str, Any], path: Path, problems: Problems) -> dict[str, Any]:
    entries = problems.attempt(CONFIGURATION, catalogue.load, path, further=config["catalogue"])
    if entries is None and config["catalogue"]:
        entries = problems.attempt(CONFIGURATION, catalogue.load, path)
    if entries is None:
        return {}
    problems.attempt(
        CONFIGURATION,
        catalogue.check_names,
        entries,
        sorted({*config["models"], *settings.embedded_models(config)}),
    )
    return entries


def _known_alone(config: Mapping[str, Any], entries: Mapping[str, Any]) -> settings.Settings:
    """Return the configuration without the models that the catalogue does not have."""
    known = copy.deepcopy(dict(config))
    known["models"] = [name for name in known["models"] if name in entries]
    for name, analysis in list(known["analyses"].items()):
        for key in ("models", "controls", "bands"):
            if isinstance(analysis[key], list):
                analysis[key] = [m for m in analysis[key] if m in entries]
        if analysis["bands"] == [] or analysis["models"] == []:
            del known["analyses"][name]
    return known


def _labels(config: Mapping[str, Any], problems: Problems) -> tuple[list[str], list[str]]:
    """Return the participants to be checked, and those that the workflow itself writes."""
    from highgamma.recording import files

    root, named = Path(config["dataset"]["root"]), config["dataset"]["participants"]
    demo = config["demo"] is not None
    if not demo and config["dataset"]["source"] and not root.is_dir():
        problems.add(
            Problem(
                "data set",
                "the data set has not been downloaded",
                where=str(root),
                expected=f"the data set {config['dataset']['source']}",
                remedy="run `snakemake dataset` with the same configuration, then `snakemake "
                "check` again",
            )
        )
        return [], []
    if named == "all":
        listed = [] if demo and not root.is_dir() else problems.attempt(
            "data set", files.participants, root
        )  # fmt: skip
        names = listed or []
    else:
        names = participant_labels(named)
        if not demo and not root.is_dir():
            problems.attempt("data set", files.participants, root)
            return [], []
    compare_folders(root, named, problems)
    labels = sorted(dict.fromkeys(names))
    awaited = [n for n in labels if demo and not any((root / n).glob("ieeg/*.nwb"))]
    return [n for n in labels if n not in awaited], awaited


def _to_be_fetched(config: Mapping[str, Any]) -> list[str]:
    """Return the named participants whose data set `snakemake dataset` must still download."""
    dataset = config["dataset"]
    if config["demo"] is not None or not dataset["source"] or Path(dataset["root"]).is_dir():
        return []
    if dataset["participants"] == "all":
        return []
    return participant_labels(dataset["participants"])


def _stimulus(config: Mapping[str, Any], problems: Problems) -> float:
    """Return the length of the sound that all participants heard, s; 0 without one."""
    from highgamma.recording.stimuli import stimuli

    given = config["dataset"].get("stimulus")
    if not given or not Path(config["dataset"]["root"]).is_dir():
        return 0.0
    shared = problems.attempt("stimulus", stimuli, config["dataset"]["root"], given)
    sounds = [one.audio for one in shared or [] if one.audio is not None]
    return sum(problems.attempt("stimulus", _sound_length, path) or 0.0 for path in sounds)


def _sound_length(path: Path) -> float:
    import soundfile

    try:
        head = soundfile.info(path)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the audio file cannot be read: {error}",
            where=path,
            expected="a WAV or FLAC file",
            remedy="convert it, or download it again",
        ) from error
    return float(head.frames) / float(head.samplerate)


def _stops_planning(problems: Problems) -> bool:
    """Return whether the graph cannot be built because the configuration has errors."""
    return any(p.subject == CONFIGURATION for p in problems.fatal())


def _plan(config: settings.Settings, command: Sequence[str], *, absent: Sequence[str]) -> list[Job]:
    """Return the jobs of a configuration; empty files replace a data set that is not downloaded."""
    import yaml

    with tempfile.TemporaryDirectory() as folder:
        if absent:
            config["dataset"] = {
                **config["dataset"],
                "root": str(_empty_files(Path(folder) / "data", config["dataset"], absent)),
                "source": None,
            }
        path = Path(folder) / "config.yaml"
        path.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
        return planned(
            [*command, "--configfile", str(path)], results=Path("results") / str(config["run"])
        )


def _empty_files(root: Path, dataset: Mapping[str, Any], participants: Sequence[str]) -> Path:
    """Write a data set's layout with empty files; a plan needs only their names."""
    stem = "_".join(
        f"{SELECTED[key]}-{allowed[0]}"
        for key in ("session", "task", "acquisition", "run")
        if (allowed := values_of(dataset[key]))
    )
    names = [
        f"{name}/ieeg/{name}_{stem or 'task-any'}_{suffix}"
        for name in participants
        for suffix in ("ieeg.nwb", "channels.tsv", "events.tsv")
    ]
    stimulus = dataset.get("stimulus") or {}
    named = (str(stimulus[key]) for key in ("audio", "words") if stimulus.get(key))
    names += [name.replace("*", "any") for name in named]
    for name in names:
        path = inside(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def _sizes(
    config: Mapping[str, Any],
    participants: Sequence[Participant],
    awaited: Sequence[str],
    shared: float,
) -> dict[str, cost.Size]:
    sizes = {
        participant.name: cost.Size(
            seconds=participant.seconds,
            values=participant.values,
            electrodes=participant.electrodes,
            words=0 if participant.words is None else len(participant.words),
            sound=shared or sum(r.sound for r in participant.recordings),
            n_bytes=participant.n_bytes,
        )
        for participant in participants
        if participant.recordings
    }
    seconds = DEMO_WORD_S * (config["demo"] or {}).get("n_words", 0)
    for name in awaited:
        sizes[name] = cost.Size(
            seconds, seconds * 1024 * DEMO_CHANNELS, DEMO_CHANNELS,
            int(seconds / DEMO_WORD_S), seconds,
        )  # fmt: skip
    if shared:
        words = round(cost.typical(list(sizes.values())).words)
        sizes["stimulus"] = cost.Size(shared, 0.0, 0, words, shared)
    return sizes


def _compare_with_machine(
    totals: Sequence[cost.Total], states: Sequence[State], problems: Problems
) -> None:
    """Warn if the estimate exceeds the disk's free space or the machine's memory."""
    import os

    free = shutil.disk_usage(Path.cwd()).free
    fetched = {s.fetch: s.n_bytes or 0 for s in states if s.fetch}
    wanted = sum(t.n_bytes for t in totals) + sum(fetched.values())
    if wanted > free:
        problems.warn(
            "disk",
            f"the run needs about {_size(wanted)} of disk space, {_size(free)} are free",
            expected="enough free space for all results",
            remedy="free some space, or run in another folder (snakemake --directory)",
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    most = max(totals, key=lambda t: t.memory_mb, default=None)
    if most is not None and most.memory_mb > memory:
        problems.warn(
            "memory",
            f"a job of {most.rule} takes about {_size(most.memory_mb * 1e6)}, this machine has "
            f"{_size(memory * 1e6)}",
            remedy="run on a larger machine, or lower layers_per_job",
        )


# --- the text


def told(checked: Checked) -> str:
    """Return what was checked and found, as aligned plain text."""
    lines = [f"run {checked.run}: data set {checked.root}", ""]
    lines += _participants_text(checked)
    lines += _models_text(checked.models)
    lines += _jobs_text(checked)
    lines += checked.problems.text()
    errors = len(checked.problems.fatal())
    warnings = len(checked.problems.every) - errors
    lines += ["", f"{_count(errors, 'error')}, {_count(warnings, 'warning')}"]
    return "\n".join(lines)


def _count(n: int, what: str) -> str:
    return f"{n or 'no'} {what}" + ("" if n == 1 else "s")


def _participants_text(checked: Checked) -> list[str]:
    rows = [("participant", "recordings", "seconds", "rate (Hz)", "electrodes", "words", "sound")]
    for participant in checked.participants:
        recordings = participant.recordings
        rates = sorted({r.rate for r in recordings})
        rows.append(
            (
                participant.name,
                str(len(recordings)) if participant.whole else f"{len(recordings)}, not all",
                f"{participant.seconds:.1f}",
                ", ".join(f"{rate:g}" for rate in rates) or "n/a",
                str(participant.electrodes) if recordings else "n/a",
                "n/a" if participant.words is None else str(len(participant.words)),
                "yes" if any(r.sound for r in recordings) else "no",
            )
        )
    lines = aligned(rows) if len(rows) > 1 else []
    if checked.awaited:
        lines.append(f"{', '.join(checked.awaited)}: the workflow writes their recordings itself")
    return [*lines, ""] if lines else []


def _models_text(states: Sequence[State]) -> list[str]:
    rows = [(state.name, _state_text(state)) for state in states]
    if not rows:
        return []
    lines = aligned([("model", "files"), *rows], left=2)
    fetched = {state.fetch: state.n_bytes for state in states if state.fetch}
    if fetched:
        known = sum(n for n in fetched.values() if n is not None)
        unknown = sum(n is None for n in fetched.values())
        amount = [_size(known)] if known or not unknown else []
        if unknown:
            amount.append(f"{unknown} of unknown size (no lock file names them yet)")
        lines.append(
            f"to be fetched (`snakemake models`, needs the network): {' and '.join(amount)}"
        )
    return [*lines, ""]


def _state_text(state: State) -> str:
    if state.state != "to be fetched":
        return state.state
    amount = "size unknown" if state.n_bytes is None else _size(state.n_bytes)
    return f"to be fetched, {amount}"


def _jobs_text(checked: Checked) -> list[str]:
    if checked.jobs is None:
        return ["jobs: not planned; the errors below come first"]
    if not checked.jobs:
        return ["jobs: none, everything is there"]
    rows: list[tuple[str, ...]] = [
        ("rule", "jobs", "CPU time", "from", "to", "memory", "disk", "judged by")
    ]
    for total in checked.totals:
        rows.append(
            (
                total.rule,
                str(total.jobs),
                *(_time(s) for s in (total.cpu_s, total.low_s, total.high_s)),
                _size(total.memory_mb * 1e6),
                _size(total.n_bytes),
                f"{total.measured} finished jobs" if total.measured else "benchmarks",
            )
        )
    every = checked.totals
    rows.append(
        (
            "all",
            str(sum(t.jobs for t in every)),
            *(_time(sum(getattr(t, key) for t in every)) for key in ("cpu_s", "low_s", "high_s")),
            _size(max(t.memory_mb for t in every) * 1e6),
            _size(sum(t.n_bytes for t in every)),
            "",
        )
    )
    lines = ["jobs to be run, and an estimate of what they take:", *aligned(rows)]
    if checked.assumed is not None:
        lines.append(
            f"each participant is taken to have {checked.assumed.seconds:.0f} s, "
            f"{checked.assumed.electrodes} electrodes and {checked.assumed.words} words until the "
            "data set is here"
        )
    cpu, longest = sum(t.cpu_s for t in every), max(t.longest_s for t in every)
    wall = ", ".join(f"{_time(max(cpu / n, longest))} on {n}" for n in (1, 4, 16))
    lines.append(f"elapsed: {wall} cores; memory is one job's, jobs at once add up")
    gpu = sum(t.gpu_s for t in every)
    if gpu:
        hours = f"{gpu / 3600:.2f}" if gpu >= 36 else "less than 0.01"
        lines.append(
            f"networks on a GPU: {hours} GPU hours in place of their CPU time, at an assumed "
            f"{cost.GPU_FLOPS / 1e12:g} Tflop/s (no GPU was measured)"
        )
    return lines


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds > 36000 else f"{seconds / 3600:.1f} h"


def _size(n_bytes: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= size:
            return f"{n_bytes / size:.{0 if n_bytes >= 100 * size or unit == 'MB' else 1}f} {unit}"
    return f"{n_bytes / 1e3:.0f} kB" if n_bytes else "0"

"""What a run consists of: participants, fits, and the files that each of them is made from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from highgamma import catalogue, compare, models, settings
from highgamma.demo.files import MODEL_FILES, TINY_FILES, participant_files
from highgamma.encoding.analysis import analysis_from
from highgamma.errors import InputError
from highgamma.recording import files
from highgamma.recording.settings import TABLE, participant_labels
from highgamma.recording.stimuli import stimuli
from highgamma.selftest import files as selftest_files
from highgamma.workflow import batches

Fit = tuple[str, str, str]
"""Analysis, participant and model."""


class Study:
    """A run, defined by its configuration, the catalogue and the data set's folders.

    Only tables of participants are opened; the graph is built from names.

    Parameters
    ----------
    config
        The checked configuration.
    entries
        The catalogue, resolved (`catalogue.load`).
    lock
        The lock file of models.

    Attributes
    ----------
    analyses, models
        The analyses by name, and the names of all models whose embeddings they need.
    dataset, root
        Settings of the data set, and its folder. Participants and source are left out, since a
        participant's results do not depend on them.
    results
        Folder of the run's results.
    """

    demo_models = Path("resources/demo/models")
    selftest = Path("results/selftest")

    def __init__(
        self, config: Mapping[str, Any], entries: Mapping[str, Any], *, lock: str | Path
    ) -> None:
        self.config, self.catalogue = config, dict(entries)
        self.analyses: Mapping[str, Any] = config["analyses"]
        self.models = settings.embedded_models(config)
        catalogue.check_names(self.catalogue, self.models)
        self.named = sorted({*self.models, *config["models"]})
        everyones = {
            key: value
            for key, value in config["dataset"].items()
            if key not in ("participants", "source")
        }
        self.dataset = settings.in_order(everyones)
        self.root = Path(self.dataset["root"])
        self.is_demo = config["demo"] is not None
        self.results = Path("results") / config["run"]
        self.pins = _Pins([self.catalogue[name] for name in self.named], lock)
        # Called for every job of a large study.
        self.fit_settings = lru_cache(maxsize=None)(self._fit_settings)
        self.layer_batches = lru_cache(maxsize=None)(self._layer_batches)
        self.window = lru_cache(maxsize=None)(self._window)
        self._found = lru_cache(maxsize=None)(self._recorded_files)

    # ------------------------------------------------------------------------ participants

    @cached_property
    def participants(self) -> list[str]:
        """Labels of all participants, sorted.

        Raises
        ------
        InputError
            If one has no folder in an existing data set, and is not simulated.
        """
        dataset = self.config["dataset"]
        awaited = self.is_demo or (dataset["source"] and not self.root.is_dir())
        if dataset["participants"] != "all":
            labels = participant_labels(dataset["participants"])
        elif awaited:
            labels = sorted(self._noise.get("participants", []))
        else:
            labels = sorted(files.participants(self.root))
        for label in labels:
            if not awaited and not (self.root / label).is_dir():
                files.selected(self.dataset, label)
        return labels

    @property
    def _noise(self) -> Mapping[str, Any]:
        return (self.config["demo"] or {}).get("noise") or {}

    def simulation(self, participant: str) -> settings.Settings:
        """Return the settings of one participant's simulation."""
        demo = self.config["demo"]
        if not self._noise:
            return settings.in_order({k: v for k, v in demo.items() if k != "noise"})
        size = self._noise["participants"][participant]
        shared = {name: self._noise[name] for name in ("gain_spread", "drift")}
        return settings.in_order({"seed": demo["seed"], **shared, **size})

    def heard_by(self, participant: str) -> str:
        """Return the name whose sound and embeddings the analyses of a participant use.

        It is the participant's own, or `stimulus` if all participants heard the same.
        """
        return participant if self.dataset["stimulus"] is None else files.STIMULUS

    def sound_file(self, participant: str) -> str:
        """Return the file of the sound that a participant made or heard."""
        return f"{self.results}/audio/{self.heard_by(participant)}.nc"

    # ------------------------------------------------------------------------ the data set

    def demo_files(self, participant: str) -> list[Path]:
        """Return a simulated participant's files that a workflow may read: all but the truth."""
        return [self.root / name for name in participant_files(participant) if "truth" not in name]

    def recording_files(self, participant: str) -> list[str]:
        """Return all files that the recording stage reads of a participant or the stimulus."""
        if participant == files.STIMULUS:
            return self._stimulus_files("audio", "words")
        if self.is_demo:
            return [str(path) for path in self.demo_files(participant)]
        return self._found(participant)

    @property
    def tasks(self) -> tuple[str, ...] | None:
        """Tasks of the recordings; None for all."""
        return files.values_of(self.dataset["task"])

    def _recorded_files(self, participant: str) -> list[str]:
        segments = files.selected(self.dataset, participant)
        stimulus = self.dataset["stimulus"] or {}
        onset = stimulus.get("onset")
        shared = self._stimulus_files("words")
        if isinstance(onset, str) and Path(onset).suffix == TABLE:
            shared.append(str(files.place(self.root, onset)))
        return [
            *(str(path) for segment in segments for path in segment.paths()),
            *shared,
        ]

    def _stimulus_files(self, *keys: str) -> list[str]:
        """Return the shared stimuli's files of some kinds; one that is named need not exist."""
        stimulus = self.dataset["stimulus"] or {}
        named = [stimulus[key] for key in keys if stimulus.get(key)]
        if not any("*" in name for name in named):
            return [str(files.place(self.root, name)) for name in named]
        every = (getattr(one, key) for one in stimuli(self.root, stimulus) for key in keys)
        return [str(path) for path in every if path is not None]

    # ------------------------------------------------------------------------ models

    def role(self, model: str) -> str:
        """Return the role of a model's kind: `model`, `position` or `nuisance`."""
        return catalogue.kind_of(self.catalogue[model]).role if model in self.catalogue else "model"

    def model_files(self, model: str) -> list[str]:
        """Return the files that a model requires before it can run."""
        entry = self.catalogue[model]
        manifest = models.manifest_path(entry)
        if manifest is not None:
            return [str(manifest)]
        return self._written_for_demo(entry) or catalogue.files_of(self.catalogue, model)

    def _written_for_demo(self, entry: Mapping[str, Any]) -> list[str]:
        """Return a model's files that the workflow writes itself, whether or not they exist."""
        source = entry.get("source") or {}
        place = source.get("folder") or source.get("file")
        if not self.is_demo or not place:
            return []
        written = [self.demo_models / name for name in (*MODEL_FILES, *TINY_FILES)]
        return [str(path) for path in written if Path(place) in (path, path.parent)]

    def untrained_counterparts(self) -> dict[str, list[str]]:
        """Return the names of the run's untrained counterparts, by trained model."""
        counterparts: dict[str, list[str]] = {}
        for name in self.models:
            base = self.catalogue[name]["base"]
            if self.catalogue[name].get("untrained") and base != name:
                counterparts.setdefault(base, []).append(name)
        return counterparts

    def gpus(self, model: str) -> int:
        """Return the number of GPUs that a job of a model requests; 0 unless it is a network."""
        network = catalogue.kind_of(self.catalogue[model]).is_network
        return int(self.config["gpus"]) if network and self.config["device"] != "cpu" else 0

    # ------------------------------------------------------------------------ fits

    def fitted_models(self, analysis: str) -> list[str]:
        """Return the names of the models that an analysis fits; bands are joined by `+`."""
        return settings.analysis_models(self.config, analysis)

    def _fit_settings(self, analysis: str, model: str) -> settings.Settings:
        """Return the settings of a fit: those of the analysis, and those of the model."""
        fit = settings.fit_settings(self.config, analysis, model)
        return catalogue.with_fit_options(fit, self.catalogue, model)

    def _window(self, analysis: str, model: str) -> str:
        """Return the name of the word windows that a model is fitted to."""
        fit = settings.fit_settings(self.config, analysis, model)
        start, stop = fit["window"]
        return f"{fit['signal']}_{fit['align']}_{start:.3f}_{stop:.3f}"

    def _layer_batches(self, analysis: str, model: str) -> list[list[int]]:
        """Return the layers of a model that an analysis fits, one list of layers per job."""
        if model not in self.catalogue:
            return [[0]]  # the bands of a joint fit make one fit
        known = catalogue.layers_of(self.catalogue, model)
        wanted = self.analyses[analysis]["layers"]
        if wanted == "all":
            layers = known
        elif wanted == "last":
            layers = known[-1:]
        else:
            layers = [layer for layer in sorted(wanted) if layer in known] or known[-1:]
        size = self.config["layers_per_job"]
        if size == "auto":
            size = batches.layers_per_job(
                settings.fit_settings(self.config, analysis, model),
                width=self.catalogue[model]["width"] or 1,
                layers=len(layers),
            )
        return batches.batches(layers, size=size)

    def last_layer(self, analysis: str, model: str) -> int:
        """Return the last layer of a model that an analysis fits."""
        return self.layer_batches(analysis, model)[-1][-1]

    def signal_file(self, analysis: str, participant: str, model: str) -> dict[str, str]:
        """Return what an analysis is fitted to: frames, or windows and what their null shifts."""
        chosen = self.analyses[analysis]
        if chosen["unit"] == "word":
            window = self.window(analysis, model)
            files = {"target": f"{self.results}/targets/{window}/{participant}.nc"}
            # Drift and surrogates of words are taken from the envelope.
            if self._reads_envelope(analysis, model):
                files |= self._frames(chosen["signal"], participant)
            return files
        return self._frames(chosen["signal"], participant)

    def _reads_envelope(self, analysis: str, model: str) -> bool:
        """Return whether a fit to words takes the envelope in frames."""
        return analysis_from(self.fit_settings(analysis, model)).reads_envelope

    def _frames(self, signal: str, participant: str) -> dict[str, str]:
        """Return the file of a signal in frames."""
        folder = "neural" if signal == "high-gamma" else f"neural/{signal}"
        return {"neural": f"{self.results}/{folder}/{participant}.nc"}

    def embedding_files(self, participant: str, model: str) -> list[str]:
        """Return the files of embeddings that a fit uses, in the order of its bands."""
        return [
            f"{self.results}/embeddings/{name}/{self._embedded_for(participant, name)}.nc"
            for name in model.split("+")
        ]

    def _embedded_for(self, participant: str, model: str) -> str:
        """Return whose words, sound or recording a model's embeddings are made of."""
        of_recording = "recording" in catalogue.kind_of(self.catalogue[model]).needs
        return participant if of_recording else self.heard_by(participant)

    def score_files(self, analysis: str, participant: str, model: str) -> list[str]:
        """Return all files of scores of a fit."""
        folder = f"{self.results}/scores/{analysis}/{participant}/{model}"
        return [f"{folder}/{layers_name(b)}.nc" for b in self.layer_batches(analysis, model)]

    def scores_of(self, analysis: str, participant: str) -> list[str]:
        """Return the files of scores of all fits of a participant that tables take."""
        fits = [fit for fit in self.fits if fit[:2] == (analysis, participant)]
        return [file for fit in fits for file in self.score_files(*fit)]

    def nuisances(self, analysis: str) -> list[str]:
        """Return what an analysis fits that is a control everywhere, by its kind's role."""
        return [m for m in self.fitted_models(analysis) if self.role(m) in ("nuisance", "position")]

    def controls(self, analysis: str) -> list[str]:
        """Return the controls that an analysis names, apart from those that are so everywhere."""
        everywhere = self.nuisances(analysis)
        return [m for m in self.analyses[analysis]["controls"] if m not in everywhere]

    @cached_property
    def gain_files(self) -> list[str]:
        """The tables of gains of all analyses and participants that have a fit in the tables."""
        pairs = dict.fromkeys(fit[:2] for fit in self.fits)
        return [f"{self.results}/scores/{a}/{p}/gain.tsv" for a, p in pairs]

    @cached_property
    def all_fits(self) -> list[Fit]:
        """Every fit of the configuration."""
        return [
            (analysis, participant, model)
            for analysis in self.analyses
            for participant in self.participants
            for model in self.fitted_models(analysis)
        ]

    # ------------------------------------------------------------------------ what is summarised

    def lacks(self, analysis: str, participant: str, model: str) -> tuple[str, str] | None:
        """Return the first unfinished stage of a fit and its missing file, or None.

        Snakemake removes the files of a failed job, also those of an earlier run.
        """
        signal = "targets" if self.analyses[analysis]["unit"] == "word" else "neural"
        outputs: dict[str, Iterable[str]] = {
            "recording": [
                f"{self.results}/words/{participant}.tsv",
                f"{self.results}/channels/{participant}.tsv",
            ],
            signal: self.signal_file(analysis, participant, model).values(),
            "embeddings": self.embedding_files(participant, model),
            "encoding": self.score_files(analysis, participant, model),
        }
        absent = ((s, f) for s, paths in outputs.items() for f in paths if not Path(f).is_file())
        return next(absent, None)

    @property
    def present_only(self) -> bool:
        """Whether tables and report take the fits that are there instead of all."""
        return bool(self.config["summarise"] == "present")

    @cached_property
    def lacking_fits(self) -> dict[Fit, tuple[str, str]]:
        """The fits that tables and report leave out, with stage and file."""
        if not self.present_only:
            return {}
        return {fit: lack for fit in self.all_fits if (lack := self.lacks(*fit)) is not None}

    @cached_property
    def fits(self) -> list[Fit]:
        """The fits that tables and report take."""
        return [fit for fit in self.all_fits if fit not in self.lacking_fits]

    @cached_property
    def summarised(self) -> list[str]:
        """The participants that tables and report take."""
        fitted = {participant for _, participant, _ in self.fits}
        return [participant for participant in self.participants if participant in fitted]

    @cached_property
    def recorded(self) -> list[str]:
        """The summarised participants, and the stimulus that they share."""
        shared = [] if self.dataset["stimulus"] is None else [files.STIMULUS]
        return self.summarised + shared

    @cached_property
    def all_score_files(self) -> list[str]:
        """The files of scores that tables and report take."""
        return [path for fit in self.fits for path in self.score_files(*fit)]

    @cached_property
    def audit_files(self) -> list[Path]:
        """The audits of sound that tables and report take."""
        return [p for p in self._audits if not self.present_only or p.is_file()]

    @property
    def _audits(self) -> list[Path]:
        if not self.config["contamination"]["enabled"]:
            return []
        return [self.results / f"contamination/{name}.nc" for name in self.summarised]

    @cached_property
    def quality_files(self) -> list[Path]:
        """The tables of quality of the summarised participants."""
        if not self.config["quality"]["enabled"]:
            return []
        files = [self.results / f"quality/{name}.tsv" for name in self.summarised]
        return [path for path in files if not self.present_only or path.is_file()]

    def lacking(self) -> list[list[str]]:
        """Return rows of what is left out: analysis, participant, model, stage, missing file."""
        left_out = [[*fit, *lack] for fit, lack in self.lacking_fits.items()]
        return left_out + [
            ["n/a", path.stem, "n/a", "contamination", str(path)]
            for path in self._audits
            if path not in self.audit_files
        ]

    @cached_property
    def timecourse_files(self) -> list[Path]:
        """Time courses of all models but position features, which are there to judge splits."""
        followed = settings.timecourse_analyses(self.config)
        return [
            self.results / f"timecourse/{analysis}/{participant}/{model}.nc"
            for analysis, participant, model in self.fits
            if analysis in followed and self.role(model) == "model"
        ]

    def compared_files(self, compared: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return tables and scores of both runs of a comparison.

        Parameters
        ----------
        compared
            The setting `compare`, from `settings.compared`.

        Raises
        ------
        InputError
            If no run is named, or the other run is not finished.
        """
        if compared is None:
            raise InputError(
                "no run to compare with was named",
                remedy="name it, as in `snakemake compare --config compare=<run>`",
            )
        here = {"electrodes": self.results / "electrodes.tsv", "scores": self.all_score_files}
        there: dict[str, Any] = here
        if compared["run"] != self.config["run"]:
            table, scores = compare.files(self.results.parent, compared["run"])
            there = {"electrodes": table, "scores": scores}
        return here | {f"other_{name}": paths for name, paths in there.items()}

    def unfinished(self) -> str:
        """Return advice for a run that finished in part; empty for a complete or a new run."""
        done = sum(self.lacks(*fit) is None for fit in self.all_fits)
        if self.present_only or done in (0, len(self.all_fits)):
            return ""
        return (
            f"{done} of {len(self.all_fits)} fits are there. For tables and a report of these, "
            "which name the missing ones, repeat the command with `--config summarise=present`. "
            "Once the cause is fixed, repeat it as it was: the rest is computed and everything is "
            "joined.\n"
        )

    # ------------------------------------------------------------------------ the self-test

    def selftest_part(self, part: str) -> list[str]:
        """Return the tables of a part of the self-test, none if it is not to run."""
        given = self.config["selftest"]
        if part not in given["parts"]:
            return []
        paths = selftest_files.part_files(self.selftest, part, scenes=given["scenes"])
        return [str(path) for path in paths]

    def selftest_inputs(self) -> list[str]:
        """Return the files of all simulated participants of the self-test, seed by seed."""
        sizes = self.config["selftest"]
        if "participants" not in sizes["parts"]:
            return []
        return [
            file
            for seed in sizes["seeds"]
            for participant in selftest_files.participants(sizes["participants"])
            for file in self.selftest_files(self.selftest / str(seed), participant)
        ]

    def selftest_files(self, folder: str | Path, participant: str) -> list[str]:
        """Return the files of one simulated participant of the self-test."""
        return [str(path) for path in selftest_files.participant_files(folder, participant)]


class _Pins:
    """The revisions that fetched models are pinned to.

    Models that share a repository (a network and its untrained counterpart) share its files; the
    weights' revision and the architecture's are each in a manifest of their own.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]], lock: str | Path) -> None:
        locked = models.read_lock(lock)
        models.check_lock(entries, locked)
        self.sources: dict[str, Any] = {}
        self._pins: dict[tuple[str, bool], Any] = {}
        for entry in filter(models.is_fetched, entries):
            name = models.stored_name(entry)
            self.sources[name] = entry["source"]
            self._pins[name, bool(entry.get("untrained"))] = models.pin(entry, locked)

    def of(self, entry: Mapping[str, Any]) -> Any:
        """Return a model's revision; None for models that are not fetched."""
        if not models.is_fetched(entry):
            return None
        return self.stored(models.stored_name(entry), untrained=bool(entry.get("untrained")))

    def stored(self, name: str, *, untrained: bool) -> Any:
        """Return the revision of a folder of fetched files."""
        return self._pins.get((name, untrained))


def layers_name(batch: Sequence[int]) -> str:
    """Return `07` for one layer, `00-12` for several."""
    return f"{batch[0]:02d}" if len(batch) == 1 else f"{batch[0]:02d}-{batch[-1]:02d}"


def layers_of_name(model: str, layers: str) -> list[int] | str:
    """Return the layers in the name of a file of scores; `last` for the bands of a joint fit."""
    if "+" in model:
        return "last"
    first, *last = layers.split("-")
    return list(range(int(first), int(last[0] if last else first) + 1))


def window_of_name(window: str) -> dict[str, Any]:
    """Return the signal, alignment and ends (s) of a window of words."""
    signal, align, start, stop = window.rsplit("_", 3)
    return {"signal": signal, "align": align, "start": float(start), "stop": float(stop)}


def one_of(names: Iterable[str]) -> str:
    """Return a regular expression that matches only these names, for wildcards of Snakemake."""
    return "|".join(re.escape(name) for name in sorted(names))

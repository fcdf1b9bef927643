"""A change reruns what depends on it and nothing else: jobs counted in dry runs.

A small study is run whole, once: two participants, three models (one fetched from a hub on this
machine, its untrained twin, and the envelope), two analyses. Each test changes one thing in a copy
of the checkout and of the results, and states the jobs that are planned then.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

import pytest
import yaml
from local_server import Site, serving
from planning import ROOT, planned, snakemake

COMMIT, NEWER = "a" * 40, "b" * 40
CONFIG: dict[str, Any] = {
    "run": "study",
    "dataset": {"root": "data", "task": "wordProduction", "participants": "all"},
    "models": ["envelope", "tiny", "tiny-untrained"],
    "catalogue": {
        "tiny": {"kind": "speech", "source": {"hub": "owner/tiny"}, "layers": 3, "width": 48},
        "tiny-untrained": {"untrained": "tiny"},
    },
    "analyses": {
        "words": {"unit": "word", "alphas": [1, 100], "permutations": 0},
        "frames": {
            "unit": "frame",
            "models": ["envelope"],
            "split": "contiguous",
            "folds": 3,
            "permutations": 0,
        },
    },
}
# All jobs of the study, by rule: per participant one recording, envelope, audit, table of quality
# and set of targets, an embedding a model and one of position, and a fit of each in `words`, of two
# in `frames`; a time course of the model of frames.
EVERYTHING = {
    "recording": 2,
    "neural": 2,
    "targets": 2,
    "contamination": 2,
    "quality": 2,
    "embeddings": 2 * 6,
    "encoding": 2 * (5 + 3),
    "gain": 2 * 2,
    "timecourse": 2,
    "summary": 1,
    "group": 1,
    "report": 1,
    "provenance": 1,
}
# What reads what a rule writes: of fits those to words and those to frames.
FITS = {"encoding of words": 2 * 5, "encoding of frames": 2 * 3}
GAINS = {"gain of words": 2, "gain of frames": 2}
READ_BY = {
    "recording": [
        "neural",
        "targets",
        "contamination",
        "embeddings",
        *FITS,
        "timecourse",
        "quality",
    ],
    "neural": [*FITS],  # drift of words is taken from the frames
    "targets": ["encoding of words"],
    "embeddings": [*FITS],
    "contamination": ["summary", "report"],
    "encoding of words": ["gain of words", "summary", "report"],
    "encoding of frames": ["gain of frames", "summary", "timecourse"],
    "gain of words": ["summary"],
    "gain of frames": ["summary"],
    "quality": ["report", "provenance"],
    "timecourse": ["report"],
    "summary": ["group", "report"],
    "group": ["report"],
    "report": ["provenance"],
    "provenance": [],
}
TABLES = {"summary": 1, "group": 1, "report": 1, "provenance": 1}


@dataclass(frozen=True, slots=True)
class Study:
    """A checkout and, beside it, the folder that its results lie in."""

    place: Path

    @property
    def checkout(self) -> Path:
        return self.place / "checkout"

    @property
    def folder(self) -> Path:
        return self.place / "study"

    def write(self, config: Mapping[str, Any]) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))

    def snakemake(self, *arguments: str) -> Any:
        return snakemake(
            *("--configfile", str(self.folder / "config.yaml"), *arguments),
            checkout=self.checkout,
            folder=self.folder,
        )

    def plan(self) -> dict[str, int]:
        return planned(self.snakemake("--dry-run", "--quiet", "rules"))


def copied(source: Path, target: Path) -> Study:
    """The same files with the same times, as `cp -a` makes them."""
    shutil.copytree(source, target, symlinks=True)
    return Study(target)


def write_data(root: Path, participants: list[str]) -> None:
    """Simulated recordings of a dozen words, in the published layout."""
    from highgamma.demo.dataset import write_participant, write_root_files

    write_root_files(root, participants)
    for participant in participants:
        words = ROOT / "resources/demo-words"
        write_participant(root, participant, words_folder=words, n_words=12)
    shutil.rmtree(root / "truth")


def publish(site: Site, folder: Path) -> None:
    """A tiny speech network, as the hub answers for it."""
    import torch
    import transformers

    from highgamma.demo.speech_model import write_speech_model

    write_speech_model(folder)
    torch.manual_seed(3)
    network = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(folder))
    network.save_pretrained(folder)
    siblings = []
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        where = f"/owner/tiny/resolve/{COMMIT}/{path.name}"
        site.files[where] = content
        site.headers[where] = {"X-Repo-Commit": COMMIT}
        blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        about: dict[str, Any] = {"rfilename": path.name, "size": len(content), "blobId": blob}
        if path.suffix == ".safetensors":
            digest = hashlib.sha256(content).hexdigest()
            about["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
        siblings.append(about)
    answer = json.dumps({"id": "owner/tiny", "sha": COMMIT, "siblings": siblings}).encode()
    for revision in ("main", COMMIT):
        site.files[f"/api/models/owner/tiny/revision/{revision}"] = answer


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The study after a run to its end."""
    place = tmp_path_factory.mktemp("finished")
    checkout = place / "checkout"
    skipped = shutil.ignore_patterns("__pycache__", "*.egg-info", "models.lock.yaml")
    for name in ("workflow", "config", "src", "envs", "resources/demo-words"):
        shutil.copytree(ROOT / name, checkout / name, ignore=skipped)
    shutil.copy2(ROOT / "Snakefile", checkout)
    (checkout / "profiles").symlink_to("workflow/profiles")
    study = Study(place)
    study.folder.mkdir()
    study.write(CONFIG)
    write_data(study.folder / "data", ["sub-01", "sub-02"])
    with serving(Site()) as site, pytest.MonkeyPatch.context() as patch:
        publish(site, place / "published")
        patch.setenv("HF_ENDPOINT", site.address)
        patch.setenv("HF_TOKEN", "")
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        done = study.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    assert planned(done) == {**EVERYTHING, "model": 1, "architecture": 1}
    yield place


@pytest.fixture
def study(finished: Path, tmp_path: Path) -> Study:
    return copied(finished, tmp_path / "copy")


def changed(**keys: Any) -> dict[str, Any]:
    """The configuration with other values under `key__key__key` paths."""
    config = json.loads(json.dumps(CONFIG))
    for path, value in keys.items():
        *above, last = path.split("__")
        here = config
        for key in above:
            here = here.setdefault(key, {})
        here[last] = value
    return config


def test_a_finished_study_has_nothing_to_do(study):
    assert study.plan() == {}


def another_penalty(study: Study) -> None:
    study.write(changed(analyses__words__alphas=[1, 10, 100]))


def another_band(study: Study) -> None:
    study.write(changed(neural__band=[80, 150]))


def another_seed(study: Study) -> None:
    study.write(changed(seed=5))


def another_file_of_a_participant(study: Study) -> None:
    (path,) = (study.folder / "data/sub-01/ieeg").glob("*_events.tsv")
    path.write_text(path.read_text() + "\n")


def one_more_participant(study: Study) -> None:
    data = study.folder / "data"
    for path in (data / "sub-02/ieeg").iterdir():
        target = data / "sub-03/ieeg" / path.name.replace("sub-02", "sub-03")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    listed = data / "participants.tsv"
    listed.write_text(listed.read_text() + "sub-03\t30\tF\n")


def one_more_model(study: Study) -> None:
    study.write(changed(models=[*CONFIG["models"], "word-onoff"]))


def one_more_analysis(study: Study) -> None:
    study.write(
        changed(
            analyses__late={
                "unit": "word",
                "models": ["envelope"],
                "window": [0.2, 0.8],
                "permutations": 0,
            }
        )
    )


def one_more_control(study: Study) -> None:
    study.write(changed(analyses__frames__controls=["tiny-untrained"]))


def another_revision(study: Study) -> None:
    lock = {"owner/tiny": {"revision": NEWER, "files": {}}}
    (study.checkout / "config/models.lock.yaml").write_text(yaml.safe_dump(lock))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (another_penalty, {"encoding": 2 * 5, "gain": 2, **TABLES}),
        (
            another_band,
            {"neural": 2, "targets": 2, "encoding": 16, "gain": 4, "timecourse": 2, **TABLES},
        ),
        (another_seed, {"encoding": 16, "gain": 4, "timecourse": 2, **TABLES}),
        (
            another_file_of_a_participant,
            {name: n // 2 for name, n in EVERYTHING.items() if n > 1} | TABLES,
        ),
        (
            one_more_participant,
            {name: n // 2 for name, n in EVERYTHING.items() if n > 1} | TABLES,
        ),
        (one_more_model, {"embeddings": 2, "encoding": 2, "gain": 2, **TABLES}),
        (one_more_analysis, {"targets": 2, "encoding": 2 * 3, "gain": 2, **TABLES}),
        (
            one_more_control,  # in words its twin is fitted, which hears each trial alone
            {"embeddings": 2, "encoding": 2, "gain": 2, "timecourse": 2, **TABLES},
        ),
        (
            another_revision,  # the twin's architecture is the revision's, too
            {
                "model": 1,
                "architecture": 1,
                "embeddings": 2 * 2,
                "encoding": 2 * 2,
                "gain": 2,
                **TABLES,
            },
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_change_reruns_what_depends_on_it_alone(
    study: Study, change: Callable[[Study], None], expected: dict[str, int]
) -> None:
    change(study)
    assert study.plan() == expected


def another_order_of_keys(study: Study) -> None:
    def turned(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: turned(of) for key, of in reversed(value.items())}

    config = turned(CONFIG)
    # The order of the analyses is the order of the tables' rows.
    config["analyses"] = {name: config["analyses"][name] for name in CONFIG["analyses"]}
    study.write(config)


def another_device(study: Study) -> None:
    study.write(changed(device="cpu"))


def other_comments(study: Study) -> None:
    """Of a module that every script reaches, of a script, of an environment, of a rule."""
    for name in (
        "src/highgamma/store.py",
        "workflow/scripts/neural.py",
        "workflow/rules/neural.smk",
        "envs/signals.yaml",
    ):
        path = study.checkout / name
        path.write_text(path.read_text() + "\n# another remark\n")
    module = study.checkout / "src/highgamma/errors.py"
    first, rest = module.read_text().split("\n", 1)
    assert first.startswith('"""') and first.endswith('"""')
    module.write_text('"""Another docstring."""\n' + rest)


def other_threads_memory_and_message(study: Study) -> None:
    for path in (study.checkout / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        text = text.replace("threads: 1", "threads: 2").replace("megabytes(2000", "megabytes(2500")
        path.write_text(text.replace("{wildcards.participant}: ", "now {wildcards.participant}: "))
    assert "now {w" in (study.checkout / "workflow/rules/encoding.smk").read_text()


def everything_touched(study: Study) -> None:
    """As a copy without times leaves it: recordings, models, what was computed, the checkout."""
    (recording,) = (study.folder / "data/sub-01/ieeg").glob("*.nwb")
    assert recording.stat().st_size > 1_000_000  # what Snakemake compares unless told otherwise
    for folder in (study.checkout, study.folder / "data", study.folder / "resources"):
        for path in folder.rglob("*"):
            os.utime(path)
    # In the opposite order: each file newer than what was made from it.
    for stage in ("embeddings", "targets", "neural", "channels", "audio", "words"):
        for path in (study.folder / "results/study" / stage).rglob("*.*"):
            os.utime(path)


@pytest.mark.parametrize(
    "change",
    [
        another_order_of_keys,
        other_comments,
        other_threads_memory_and_message,
        everything_touched,
    ],
    ids=lambda value: value.__name__,
)
def test_what_changes_no_result_reruns_nothing(
    study: Study, change: Callable[[Study], None]
) -> None:
    change(study)
    assert study.plan() == {}


def test_another_device_is_noted_and_computes_nothing_anew(study: Study) -> None:
    another_device(study)
    assert study.plan() == {"provenance": 1}


def reached_by(script: Path, package: Path) -> set[str]:
    """Modules of the package that Python's own finder of imports reaches from a script.

    A registry of a package imports the modules beside it when it is read, which the finder cannot
    see: they are named to it.
    """
    finder = ModuleFinder(path=[str(package.parent)])
    finder.run_script(str(script))
    named: set[str] = set()
    while True:
        files = {m.__file__ for m in finder.modules.values() if m.__file__}
        ours = {Path(f) for f in files if Path(f).is_relative_to(package)}
        registries = [f for f in ours if "package=__name__" in f.read_text()]
        further = {
            ".".join(module.relative_to(package.parent).with_suffix("").parts)
            for registry in registries
            for module in registry.parent.glob("*.py")
            if module != registry
        } - named
        if not further:
            return {str(path.relative_to(package)) for path in ours}
        for name in further:
            finder.import_hook(name)
        named |= further


@pytest.mark.parametrize(
    "module",
    [
        "contamination/audit.py",
        "embeddings/kinds/text.py",
        "embeddings/placing.py",
        "encoding/estimators/mean.py",
        "encoding/solvers/ridge.py",
        "models/lock.py",
        "neural/filters.py",
        "recording/sound.py",
        "report/figures/canvas.py",
        "scores.py",
        "summary/tables.py",
        "targets.py",
    ],
)
def test_a_module_reruns_the_rules_whose_scripts_import_it_and_what_reads_them(
    study: Study, module: str
) -> None:
    package = study.checkout / "src/highgamma"
    waiting = [
        jobs
        for jobs in READ_BY
        if module in reached_by(study.checkout / f"workflow/scripts/{jobs.split()[0]}.py", package)
    ]
    rerun: set[str] = set()
    while waiting:
        jobs = waiting.pop()
        rerun.add(jobs)
        waiting += [reader for reader in READ_BY[jobs] if reader not in rerun]
    expected: dict[str, int] = {}
    for jobs in rerun:
        rule = jobs.split()[0]
        expected[rule] = expected.get(rule, 0) + {**EVERYTHING, **FITS, **GAINS}[jobs]
    assert (package / module).is_file() and expected
    with (package / module).open("a") as opened:
        opened.write("\nANOTHER_NAME = 1\n")
    assert study.plan() == expected


def test_one_more_participant_of_the_demo_leaves_the_others_as_they_are(tmp_path):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    config["demo"] = {"n_words": 8}
    path = tmp_path / "config.yaml"

    def recordings_of(participants: list[str], *arguments: str) -> dict[str, int]:
        config["dataset"]["participants"] = participants
        path.write_text(yaml.safe_dump(config))
        words = [f"results/demo/words/{participant}.tsv" for participant in participants]
        return planned(
            snakemake(
                *(*words, "--configfile", str(path), *arguments), checkout=ROOT, folder=tmp_path
            )
        )

    assert recordings_of(["sub-01"]) == {"demo": 1, "recording": 1}
    planned_now = recordings_of(["sub-01", "sub-02"], "--dry-run", "--quiet", "rules")
    assert planned_now == {"demo": 1, "recording": 1}

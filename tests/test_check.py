"""Before any job: everything that is wrong is told at once, and what the jobs will take."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from test_workflow import ROOT, jobs, snakemake

from highgamma import catalogue, models, settings
from highgamma.check import Checked, check, cost, snakemake_command, told
from highgamma.check.plan import Job, jobs_of
from highgamma.check.problems import Problem, Problems
from highgamma.encoding.cost import FitSize, ridge_seconds
from highgamma.errors import InputError

CONFIG: dict[str, Any] = {
    "run": "own",
    "dataset": {"root": "data", "task": "wordProduction"},
    "models": ["mel"],
    "neural": {"edge": 0.5},
    "contamination": {"min_shift": 1.0},
    "analyses": {
        "words": {"unit": "word", "split": "leave-one-word-out"},
        "frames": {"unit": "frame", "folds": 5},
    },
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two participants, who are the same, with ten words each."""
    from highgamma.demo.dataset import write_participant, write_root_files

    root = tmp_path_factory.mktemp("written") / "data"
    write_participant(root, "sub-01", words_folder=ROOT / "resources/demo-words", n_words=10)
    for path in sorted((root / "sub-01/ieeg").iterdir()):
        twin = root / "sub-02/ieeg" / path.name.replace("sub-01", "sub-02")
        twin.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, twin)
    write_root_files(root, ["sub-01", "sub-02"])
    shutil.rmtree(root / "truth")
    return root


@pytest.fixture
def folder(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a copy of the data set, to be spoilt."""
    shutil.copytree(written, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def checked(**changed: Any) -> Checked:
    return check({**CONFIG, **changed}, workflow=ROOT, command=None)


def of(found: Checked, subject: str, part: str) -> Problem:
    """The one problem of a subject that says `part`."""
    (one,) = (p for p in found.problems.every if p.subject == subject and part in p.message)
    return one


def only(folder: Path, ending: str, participant: str = "sub-01") -> Path:
    (found,) = (folder / "data" / participant / "ieeg").glob(f"*{ending}")
    return found


def test_a_data_set_without_faults_has_no_problem(folder: Path) -> None:
    found = checked()
    assert found.problems.every == []
    assert found.ok
    assert [one.name for one in found.participants] == ["sub-01", "sub-02"]
    for one in found.participants:
        assert len(one.words) == 10
        assert one.recordings[0].rate == 1024
        assert one.electrodes == 25
    assert told(found).endswith("no errors, no warnings")


def test_headers_are_read_and_no_whole_signal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from highgamma.recording.reader import Reader

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a signal was read")

    monkeypatch.setattr(Reader, "read", refuse)
    assert checked().problems.every == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replaced(ending: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = only(folder, ending)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return spoil


def short_audio(folder: Path) -> None:
    import h5py

    with h5py.File(only(folder, ".nwb"), "r+") as file:
        series = file["acquisition/Audio"]
        for name in ("data", "timestamps"):
            values = series[name][: series[name].shape[0] // 2]
            attributes = dict(series[name].attrs)
            del series[name]
            series[name] = values
            series[name].attrs.update(attributes)


def one_channel_less(folder: Path) -> None:
    path = only(folder, "channels.tsv")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def one_channel_twice(folder: Path) -> None:
    path = only(folder, "channels.tsv")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:-1], lines[1]]))


def late_words(folder: Path) -> None:
    path = only(folder, "events.tsv")
    header, *rows = path.read_text().splitlines()
    moved = [[str(float(row.split("\t")[0]) + 1000), *row.split("\t")[1:]] for row in rows]
    path.write_text("\n".join([header, *("\t".join(row) for row in moved)]) + "\n")


def renamed_electrodes(folder: Path) -> None:
    path = only(folder, "_electrodes.tsv")
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *("X" + row for row in rows)]) + "\n")


@pytest.mark.parametrize(
    ("spoil", "part", "fatal"),
    [
        (lambda folder: cut(only(folder, ".nwb")), "cut short", True),
        (lambda folder: only(folder, "channels.tsv").unlink(), "no channels.tsv", True),
        (lambda folder: only(folder, "_ieeg.json").write_text("{"), "sidecar cannot be read", True),
        (one_channel_less, "channels.tsv lists", True),
        (one_channel_twice, "listed twice", True),
        (short_audio, "the audio", True),
        (late_words, "after the recording's end", True),
        (replaced("events.tsv", "\tword\t", "\twrod\t"), "no words were found", True),
        (renamed_electrodes, "not in the table of positions", False),
        (replaced("_ieeg.json", '"SamplingFrequency": 1024', '"SamplingFrequency": 2048'),
         "states 2048 Hz", True),
        (replaced("_ieeg.json", '"PowerLineFrequency": 50', '"PowerLineFrequency": 60'),
         "mains are at 60 Hz", False),
        (replaced("channels.tsv", "\t1024.0\t", "\t512.0\t"), "listed at 512 Hz", False),
    ],
    ids=[
        "truncated recording", "no channels", "broken sidecar", "channel missing",
        "channel twice", "short sound", "late words", "no words", "electrodes do not join",
        "rate of the sidecar", "mains", "rate of the channels",
    ],
)  # fmt: skip
def test_each_fault_is_a_problem_of_its_participant_alone(
    folder: Path, spoil: Callable[[Path], None], part: str, fatal: bool
) -> None:
    if part == "no words were found":
        import h5py

        with h5py.File(only(folder, ".nwb"), "r+") as file:
            file["acquisition/Stimulus/data"][:] = ""
    spoil(folder)
    found = checked()
    assert of(found, "sub-01", part).fatal is fatal
    assert found.ok is not fatal
    assert {p.subject for p in found.problems.every} == {"sub-01"}


def test_faults_of_data_models_and_configuration_are_told_together(folder: Path) -> None:
    cut(only(folder, ".nwb"))
    only(folder, "events.tsv").unlink()
    only(folder, "channels.tsv", "sub-02").unlink()
    found = checked(
        nueral={"band": [70, 170]},
        dataset={**CONFIG["dataset"], "participants": ["sub-01", "sub-02", "sub-77"]},
        models=["mel", "mell"],
        catalogue={"mine": {"kind": "text", "source": {"folder": "gone"}, "layers": 2, "width": 4}},
        analyses={**CONFIG["analyses"], "more": {"unit": "word", "controls": ["mine", "position"]}},
    )
    of(found, "configuration", "'nueral' (did you mean 'neural'?)")
    of(found, "configuration", "'mell' (did you mean 'mel'?)")
    of(found, "models", "the files of mine were not found")
    of(found, "sub-01", "cut short")
    of(found, "sub-02", "no channels.tsv")
    of(found, "sub-77", "participant 'sub-77'")
    text = told(found)
    assert text.index("\nsub-01\n") < text.index("\nsub-02\n") < text.index("\nsub-77\n")
    assert "jobs: not planned" in text


@pytest.mark.parametrize(
    ("changed", "part"),
    [
        ({"neural": {"band": [70, 600], "notch": []}}, "too low for the band of 70 to 600 Hz"),
        ({"neural": {"edge": 60.0}}, "too short for the filter"),
        ({"analyses": {"f": {"unit": "frame", "folds": 100, "gap": 2}}}, "of 100 folds lasts"),
        ({"analyses": {"f": {"unit": "frame", "min_shift": 100}}}, "circular shift needs"),
        ({"analyses": {"w": {"unit": "word", "split": "word", "folds": 11}}}, "10 different words"),
        ({"analyses": {"w": {"unit": "word", "window": [-90, -80]}}}, "leaves the recording for"),
        ({"dataset": {**CONFIG["dataset"], "audio": {"source": "none"}}}, "mel requires sound"),
        ({"models": ["grip"], "catalogue": {"grip": {"kind": "channel", "channel": "FORCE"}}},
         "no channel 'FORCE'"),
        ({"contamination": {"min_shift": 30.0}}, "too short for the audit"),
    ],
    ids=["Nyquist", "edges", "gap", "null", "words", "window", "no sound", "channel", "audit"],
)  # fmt: skip
def test_settings_that_do_not_fit_the_recordings_are_told_for_each(
    folder: Path, changed: dict[str, Any], part: str
) -> None:
    found = checked(**changed)
    for participant in ("sub-01", "sub-02"):
        assert of(found, participant, part).fatal


def twice(ending: str) -> Callable[[Path], None]:
    """The last line of a table once more."""

    def spoil(folder: Path) -> None:
        path = only(folder, ending)
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([*lines, lines[-1]]))

    return spoil


def cells(ending: str, column: str, value: object, *, rows: slice = slice(None)) -> Any:
    """Another value in some rows of a table's column."""

    def spoil(folder: Path) -> None:
        path = only(folder, ending)
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
        table.loc[table.index[rows], column] = str(value)
        table.to_csv(path, sep="\t", index=False)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (twice("_electrodes.tsv"), "1 electrodes are listed more than once"),
        (cells("channels.tsv", "description", "n/a"), "no electrode has an anatomical label"),
        (cells("events.tsv", "onset", -1, rows=slice(1)), "1 words begin before the recording"),
        (cells("events.tsv", "duration", 0, rows=slice(1)), "1 words have no duration"),
        (cells("events.tsv", "onset", 2.5), "9 words begin at the same time as another"),
        (cells("events.tsv", "sample", 0), "events have a sample that differs from onset × rate"),
        (replaced("_ieeg.json", '"SEEGChannelCount": 25', '"SEEGChannelCount": 24'),
         "SEEGChannelCount is 24, channels.tsv lists 25 channels of type SEEG"),
    ],
)  # fmt: skip
def test_what_is_odd_in_the_tables_is_a_warning(
    folder: Path, spoil: Callable[[Path], None], part: str
) -> None:
    spoil(folder)
    found = checked()
    assert not of(found, "sub-01", part).fatal
    assert found.ok


def test_a_table_with_rows_for_other_channels_is_a_warning(folder: Path) -> None:
    from highgamma.check.participants import _compare_tables
    from highgamma.recording.files import find

    problems = Problems([])
    signals: Any = SimpleNamespace(rate=1024.0, names=("A1", "A2"))
    _compare_tables("sub-01", find(folder / "data", "sub-01")[0], None, signals, problems)
    (one,) = problems.every
    assert one.message.endswith(" channels are listed, the recording has 2")


def test_recordings_of_different_rates_are_a_warning(folder: Path) -> None:
    import h5py

    first = only(folder, ".nwb")
    only(folder, "_ieeg.json").unlink()
    shutil.copy(first, first.with_name(first.name.replace("_ieeg", "_run-2_ieeg")))
    first.rename(first.with_name(first.name.replace("_ieeg", "_run-1_ieeg")))
    with h5py.File(only(folder, "run-2_ieeg.nwb"), "r+") as file:
        stamps = file["acquisition/iEEG/timestamps"]
        stamps[:] = stamps[0] + 0.5 * (stamps[:] - stamps[0])
    problem = of(checked(), "sub-01", "its recordings have different rates: 1024 Hz, 2048 Hz")
    assert not problem.fatal


NO_WORDS = {**CONFIG["dataset"], "words": {"trial_type": None}}
NO_SOUND = {**CONFIG["dataset"], "audio": {"source": "none"}}


@pytest.mark.parametrize(
    ("changed", "part", "fatal"),
    [
        ({"dataset": NO_WORDS}, "no words were found, and the analysis takes one sample", True),
        ({"dataset": NO_SOUND, "models": [], "contamination": {"enabled": False},
          "analyses": {"w": {"unit": "word", "align": "voice"}}},
         "no sound was found, and `align: voice` detects the voice", True),
        ({"analyses": {"w": {"unit": "word", "window": [-1.0, 0.5]}}},
         "the windows of 1 of 10 words leave the recording: no sample", False),
        ({"analyses": {"w": {"unit": "word", "surrogates": "permutation",
                             "permutation_block": 5, "permutations": 1000}}},
         "10 words in blocks of 5 have fewer orders than the 1000", False),
    ],
)  # fmt: skip
def test_analyses_that_the_words_do_not_allow_are_told(
    folder: Path, changed: dict[str, Any], part: str, fatal: bool
) -> None:
    found = checked(**changed)
    for participant in ("sub-01", "sub-02"):
        assert of(found, participant, part).fatal is fatal


def test_models_that_an_analysis_cannot_take_are_told(folder: Path) -> None:
    network(folder / "mine")
    layers = {"unit": "frame", "folds": 5, "layers": [7]}
    found = checked(**mine(), analyses={"f": layers}, dataset=NO_WORDS)
    assert "no words were found, and the model mine requires words" in told(found)
    assert not of(found, "configuration", "mine has no layer 7; its last, 2, is taken").fatal
    trial = {
        "kind": "speech",
        "context": "trial",
        "trial": {"align": "voice", "start": 0, "stop": 1},
    }
    found = checked(**mine(**trial), analyses={"f": {"unit": "frame", "folds": 5}})
    assert of(found, "configuration", "the model 'mine' hears each trial alone").fatal


def test_a_disk_and_a_memory_that_are_too_small_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from highgamma.check import _compare_with_machine

    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    total = cost.Total(
        "encoding", 1, 1.0, 1.0, 1.0, 1.0, memory_mb=1e9, n_bytes=2e9, gpu_s=0.0, measured=0
    )
    problems = Problems([])
    _compare_with_machine([total], [], problems)
    disk, memory = (problem.message for problem in problems.every)
    assert disk.startswith("the run needs about 2.0 GB of disk space")
    assert memory.startswith("a job of encoding takes about") and "this machine has" in memory


def test_an_error_of_the_software_hides_no_other_problem() -> None:
    def fails() -> None:
        raise ValueError("odd")

    problems = Problems([])
    assert problems.attempt("sub-01", fails) is None
    assert [problem.message for problem in problems.every] == ["cannot be checked: ValueError: odd"]


def test_what_snakemake_cannot_plan_is_told_in_its_words() -> None:
    from highgamma.check.plan import planned

    command = ["sh", "-c", "echo Using workflow; echo oops >&2; exit 1"]
    with pytest.raises(InputError, match="the jobs cannot be planned:\noops"):
        planned(command, results="results/r")
    with pytest.raises(InputError, match="the summary of the jobs cannot be read"):
        list(jobs_of(["nothing"], results="results/r"))


def test_files_of_another_size_than_their_manifest_states_are_told(tmp_path: Path) -> None:
    from highgamma.check.models import _compare_with_manifest

    manifest = tmp_path / "m.json"
    file = {"size": 3, "sha256": "0" * 64, "checked": "sha256"}
    manifest.write_text(json.dumps({"revision": "a", "files": {"w.bin": file}}))
    with pytest.raises(InputError, match="the file is missing"):
        _compare_with_manifest(manifest, tmp_path)
    (tmp_path / "w.bin").write_bytes(b"12345")
    with pytest.raises(InputError, match="the file has 5 bytes"):
        _compare_with_manifest(manifest, tmp_path)


def test_a_stimulus_that_is_no_sound_is_told(folder: Path) -> None:
    (folder / "data/story.wav").write_text("no sound")
    found = checked(dataset={**CONFIG["dataset"], "stimulus": {"audio": "story.wav"}})
    assert of(found, "stimulus", "the audio file cannot be read").fatal


def test_what_is_wrong_with_many_participants_is_said_once() -> None:
    problems = Problems([])
    for k in range(1, 8):
        problems.add(
            Problem(
                f"sub-{k:02d}", f"sub-{k:02d} has no recording", where=f"/data/sub-{k:02d}",
                remedy="download the recordings",
            )
        )  # fmt: skip
    problems.warn("sub-03", "no region is known")
    text = "\n".join(problems.text())
    assert text.count("has no recording") == 1 and text.count("download the recordings") == 1
    assert "7 participants: sub-01, sub-02, sub-03, sub-04, sub-05, …" in text
    assert "/data/sub-01, and 6 more" in text
    assert "\nsub-03\n  warning  no region is known" in text


@pytest.mark.parametrize(("count", "share"), [(20, 95), (99, 20), (199, 10)])
def test_how_many_electrodes_few_permutations_need_is_told(folder: Path, count, share) -> None:
    found = checked(analyses={"w": {"unit": "word", "permutations": count}})
    assert (
        f"only if at least {share} % of the electrodes"
        in of(found, "configuration", "permutations q").message
    )
    # A family of a hundred electrodes, of which this many have the least p and the others 1.
    p = np.ones(100)
    p[:share] = 1 / (count + 1)
    q = np.sort(p) * 100 / np.arange(1, 101)
    assert q[share - 1] <= 0.05 + 0.001


def test_ten_permutations_cannot_be_significant(folder: Path) -> None:
    found = checked(analyses={"w": {"unit": "word", "permutations": 10}})
    assert not of(found, "configuration", "no p-value is below 0.091").fatal


def test_participants_without_folder_and_folders_without_row_are_told(folder: Path) -> None:
    # Labels may be written without their prefix.
    (folder / "data/participants.tsv").write_text("participant_id\n01\nsub-05\n")
    found = checked()
    assert "sub-01" not in of(found, "data set", "have no folder").message
    assert "sub-05" in of(found, "data set", "have no folder").message
    assert "sub-02" in of(found, "data set", "not listed").message
    assert of(found, "data set", "1 participants are present but not listed")
    assert found.ok


def network(place: Path, *, layers: int = 2, width: int = 8) -> None:
    """A folder that looks like a text model's: configuration, tokenizer, whole weights."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    place.mkdir(parents=True)
    (place / "config.json").write_text(
        json.dumps({"model_type": "bert", "num_hidden_layers": layers, "hidden_size": width,
                    "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 4})
    )  # fmt: skip
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(place / "tokenizer.json"))
    (place / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"})
    )
    save_file({"w": np.zeros((8, 8), np.float32)}, place / "model.safetensors")


def mine(**changed: Any) -> dict[str, Any]:
    entry = {"kind": "text", "source": {"folder": "mine"}, "layers": 2, "width": 8}
    return {"models": ["mine"], "catalogue": {"mine": entry | changed}}


def test_a_model_of_ones_own_with_all_its_files_is_there(folder: Path) -> None:
    network(folder / "mine")
    found = checked(**mine())
    assert found.problems.every == []
    # Every analysis fits position and nuisances with its models.
    assert {state.name: state.state for state in found.models} == {
        "mine": "there",
        "position": "there",
        "frame-nuisances": "there",
        "word-nuisances": "there",
    }


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda place: (place / "config.json").unlink(), "model's files were not found"),
        (lambda place: (place / "model.safetensors").unlink(), "no weights"),
        (lambda place: cut(place / "model.safetensors"), "cut short"),
        (lambda place: (place / "tokenizer.json").unlink(), "no tokenizer"),
    ],
    ids=["config.json", "weights", "truncated weights", "tokenizer"],
)
def test_a_models_missing_or_broken_file_is_named(
    folder: Path, spoil: Callable[[Path], None], part: str
) -> None:
    network(folder / "mine")
    spoil(folder / "mine")
    assert of(checked(**mine()), "models", part).fatal


def test_layers_and_width_are_compared_with_config_json(folder: Path) -> None:
    network(folder / "mine", layers=3)
    said = of(checked(**mine()), "models", "3 blocks").message
    assert "the catalogue states 2" in said


def test_what_is_to_be_fetched_is_known_from_the_lock_file_alone(tmp_path: Path) -> None:
    lock = tmp_path / "lock.yaml"
    files = {"config.json": 1_000, "model.safetensors": 5_000_000, "tokenizer.json": 2_000}
    pinned = {
        "openai-community/gpt2": {
            "revision": "0" * 40,
            "files": {name: {"size": size, "sha256": "00"} for name, size in files.items()},
        }
    }
    lock.write_text(yaml.safe_dump(pinned))
    locked = models.read_lock(lock)
    known = catalogue.load(ROOT / "config/models.yaml")
    assert models.locked_files(known["xls-r-300m"], locked) is None
    assert sum(f["size"] for f in models.locked_files(known["gpt2"], locked).values()) == 5_003_000
    # An untrained twin needs no weights.
    assert set(models.locked_files(known["gpt2-untrained"], locked)) == {
        "config.json", "tokenizer.json"
    }  # fmt: skip


def test_without_the_data_set_the_rest_is_checked(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    found = checked(models=["mel", "mell"])
    of(found, "configuration", "'mell'")
    of(found, "data set", "does not exist")
    found = checked(dataset={"root": "data", "source": "osf:nrgx6", "participants": ["sub-01"]})
    assert "snakemake dataset" in of(found, "data set", "not been downloaded").remedy


def test_jobs_are_planned_before_the_data_set_is_fetched(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["sub-01", "2"]
    found = check(
        {**CONFIG, "dataset": {"root": "data", "source": "osf:nrgx6", "participants": names}},
        workflow=ROOT,
        command=snakemake_command(ROOT / "Snakefile"),
    )
    counted = {total.rule: total.jobs for total in found.totals}
    assert counted["recording"] == counted["neural"] == 2
    # Two participants, `mel`, position and nuisances (of words and of frames), two analyses.
    assert counted["embeddings"] == 2 * 4
    assert counted["encoding"] == 2 * 2 * 3
    assert "is taken to have 300 s" in told(found)
    assert not found.ok
    assert not (tmp_path / "data").exists()


# --- jobs and what they take


def test_jobs_are_those_of_snakemakes_own_dry_run(tmp_path: Path) -> None:
    plan = snakemake("--dry-run", folder=tmp_path)
    done = snakemake("check", folder=tmp_path, cores=1)
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.split("judged by")[1].splitlines()
    counted = {
        row.split()[0]: int(row.split()[1]) for row in table if len(row.split()) > 6 and "MB" in row
    }
    dry = jobs(plan.stdout)
    assert counted.pop("all") == sum(dry.values()) - dry.pop("all")
    assert counted == dry
    assert "no errors, no warnings" in done.stdout
    assert not (tmp_path / "resources").exists()


def test_a_configuration_that_gives_no_graph_is_checked_whole(folder: Path) -> None:
    only(folder, "channels.tsv").unlink()
    config = {**CONFIG, "models": ["mell"], "nueral": {}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    done = snakemake("check", "--configfile", str(folder / "config.yaml"), folder=folder)
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert all(part in said for part in ("'mell'", "'nueral'", "no channels.tsv", "sub-01"))
    assert "Traceback" not in said


def test_a_job_with_several_files_is_counted_once() -> None:
    rows = [
        ("results/r/words/sub-1.tsv", "recording", "update pending"),
        ("results/r/audio/sub-1.nc", "recording", "update pending"),
        ("results/r/words/sub-2.tsv", "recording", "no update"),
        ("results/r/scores/a/sub-1/m/00-03.nc", "encoding", "update pending"),
        ("results/r/report.html", "report", "update pending"),
        ("results/r/figures", "report", "update pending"),
        ("resources/demo/sub-1/ieeg/sub-1_ieeg.nwb", "demo", "update pending"),
        ("resources/demo/truth/sub-1_words.tsv", "demo", "update pending"),
        ("resources/models/a--b.manifest.json", "model", "update pending"),
        ("resources/models/c--d.manifest.json", "model", "update pending"),
    ]
    lines = ["some words before", "output_file\tdate\trule\tlog-file(s)\tstatus\tplan"]
    lines += [f"{path}\t-\t{rule}\t-\tmissing\t{plan}" for path, rule, plan in rows]
    assert list(jobs_of(lines, results="results/r")) == [
        Job("recording", "recording/sub-1"),
        Job("encoding", "encoding/a/sub-1/m/00-03"),
        Job("report", "report"),
        Job("demo", "demo/sub-1"),
        Job("model", "model/a--b.manifest.json"),
        Job("model", "model/c--d.manifest.json"),
    ]


def settled(**changed: Any) -> dict[str, Any]:
    return settings.checked({**CONFIG, **changed})


STUDY = cost.Size(seconds=300.0, values=307_200.0 * 127, electrodes=127, words=100, sound=300.0)


def run_of(config: dict[str, Any], **sizes: cost.Size) -> cost.PlannedRun:
    named = {name.replace("_", "-"): size for name, size in sizes.items()}
    return cost.PlannedRun(config, catalogue.load(ROOT / "config/models.yaml"), named)


def test_the_estimate_meets_the_published_benchmarks_within_a_factor_of_two() -> None:
    measured = {
        (one["name"], one["against"]): one
        for one in json.loads((ROOT / "benchmarks/results.json").read_text())
    }
    ridge = measured["nested-ridge", "scikit-learn Ridge, extrapolated"]["ours_s"]
    size = FitSize(
        samples=30_000,
        features=1024,
        electrodes=128,
        folds=10,
        training_sets=55,
        inner_folds=9,
    )
    assert 0.5 < ridge_seconds(size) / ridge < 2
    filtered = measured["high-gamma-mne", "MNE 'iir' filters and apply_hilbert"]["ours_s"]
    assert 0.5 < cost.FILTER_S["fft"] * 300 * 1024 * 128 / filtered < 2
    network = next(one for (name, _), one in measured.items() if name == "embeddings-loop")
    run = run_of(settled(models=["xls-r-300m-untrained"]), sub_01=cost.Size(60, 0, 1, 0, 60))
    job = Job("embeddings", "embeddings/xls-r-300m-untrained/sub-01")
    assert 0.5 < cost.cost_of(job, run).cpu_s / (network["ours_s"] * network["threads"]) < 2
    assert 0.5 < cost.cost_of(job, run).memory_mb / network["ours_mib"] < 2


def test_twice_the_layers_cost_twice_the_fits() -> None:
    run = run_of(settled(models=["gpt2"]), sub_01=STUDY)
    one, two = (
        cost.cost_of(Job("encoding", f"encoding/frames/sub-01/gpt2/{layers}"), run).cpu_s
        - cost.START_S
        for layers in ("03", "03-04")
    )
    assert two == pytest.approx(2 * one)


def test_finished_jobs_say_how_fast_this_machine_is(tmp_path: Path) -> None:
    run = run_of(settled(), sub_01=STUDY, sub_02=STUDY)
    jobs = [Job("neural", f"neural/sub-0{n}") for n in (1, 2)]
    (before,) = cost.totals(jobs, run, {})
    for job in jobs:
        path = tmp_path / f"{job.name}.tsv"
        path.parent.mkdir(exist_ok=True)
        seconds = 3 * cost.cost_of(job, run).cpu_s
        path.write_text(f"s\tmax_rss\tcpu_time\n1\t100\t{seconds}\n")
    # A job shorter than the process table's clock, and one of a model that is gone.
    for name in ("neural/sub-03", "embeddings/gone/sub-01"):
        path = tmp_path / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\tmax_rss\tcpu_time\n1\tNA\t{'NA' if 'sub-03' in name else 5}\n")
    (after,) = cost.totals(jobs, run, cost.measured(tmp_path))
    assert after.cpu_s == pytest.approx(3 * before.cpu_s)
    assert after.measured == 2
    assert after.high_s / after.low_s < before.high_s / before.low_s


def test_costs_are_known_of_rules_that_there_are() -> None:
    text = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    for rule in cost.COSTS:
        assert f"\nrule {rule}:" in text or f" as {rule} with:" in text

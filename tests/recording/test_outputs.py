"""The stage: words, sound and channels of a participant."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from dutch_recording import WORDS

from highgamma.errors import InputError
from highgamma.recording.files import find
from highgamma.recording.outputs import record, with_voice
from highgamma.recording.sound import Sound
from highgamma.recording.stimuli import stimuli
from highgamma.store import read_table


def test_onsets_in_milliseconds_are_recognised(copied: Path) -> None:
    events = find(copied, "sub-01")[0].events
    assert events is not None
    table = read_table(events, strings=("value",))
    table["onset"] *= 1000
    table.to_csv(events, sep="\t", index=False)
    with pytest.raises(
        InputError, match=r"words are shown after the recording's end .*, the last at"
    ):
        record("sub-01", {"root": copied})


def test_the_voice_of_each_trial_is_found_beside_its_prompt(dutch: SimpleNamespace) -> None:
    recorded = record("sub-01", {"root": dutch.root, "task": "wordProduction"})
    found = recorded.words[["voice_onset", "voice_offset"]].to_numpy(np.float64)
    np.testing.assert_allclose(found, dutch.voiced, atol=0.015)
    sound = recorded.audio
    assert sound["audio"].dtype == np.float32
    assert sound.attrs["rate_hz"] == pytest.approx(15999.729)
    assert sound.attrs["signal_unit_plausible"] == 1
    assert float(sound["time"][-1]) < 12


def test_a_recording_without_words_or_sound_gives_empty_tables(gripforce: Path) -> None:
    dataset = {"root": gripforce, "task": "gripforce", "words": {"trial_type": None}}
    recorded = record("sub-testsub", dataset)
    assert recorded.words.empty
    assert list(recorded.words)[:4] == ["segment", "segment_label", "word", "onset"]
    assert recorded.audio.sizes["time"] == 0
    assert recorded.audio.attrs["signal_unit_plausible"] == 0
    with pytest.raises(InputError, match=r"no words were found \(rows with trial_type") as error:
        record("sub-testsub", dict(dataset, words={}))
    assert "dataset.words.trial_type to null" in str(error.value)


def test_the_stimulus_is_a_pseudo_participant(dutch: SimpleNamespace, shared_data: Path) -> None:
    setting = {
        "audio": str(shared_data / "audio_english" / "jfk.flac"),
        "words": str(
            shared_data / "bids_metadata/ds005574_podcast/stimuli/whisper-medium/transcript.tsv"
        ),
    }
    dataset = {"root": dutch.root, "stimulus": setting}
    recorded = record("stimulus", dataset)
    assert recorded.audio.sizes["time"] == 176_000
    assert recorded.words["word"].iloc[0] == "Act"
    assert (recorded.words["voice_onset"] == recorded.words["onset"]).all()
    assert recorded.channels.empty
    with pytest.raises(InputError, match=r"dataset\.stimulus\.audio"):
        stimuli(dutch.root, {"audio": "stimuli/none.wav"})


def _run_script(tmp_path: Path, root: Path) -> dict[str, Path]:
    import runpy

    script = Path(__file__).parents[2] / "workflow" / "scripts" / "recording.py"
    output = {
        "words": tmp_path / "words.tsv",
        "audio": tmp_path / "audio.nc",
        "channels": tmp_path / "channels.tsv",
        "heard": tmp_path / "heard.tsv",
    }
    handed = SimpleNamespace(
        log=[str(tmp_path / "log.txt")],
        threads=1,
        params=SimpleNamespace(participant="sub-01", dataset={"root": str(root)}),
        output=SimpleNamespace(**{key: str(path) for key, path in output.items()}),
    )
    runpy.run_path(str(script), init_globals={"snakemake": handed})
    return output


def test_the_same_input_gives_the_same_bytes(dutch: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = _run_script(tmp_path / "a", dutch.root)
    second = _run_script(tmp_path / "b", dutch.root)
    for key, path in first.items():
        assert path.read_bytes() == second[key].read_bytes()
    assert read_table(first["words"], strings=("word",))["word"].tolist() == WORDS


def test_nothing_is_written_when_the_input_is_bad(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    signal = find(copied, "sub-01")[0].signal
    signal.write_bytes(signal.read_bytes()[:5000])
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(SystemExit):
        _run_script(folder, copied)
    assert [path.name for path in folder.iterdir()] == ["log.txt"]
    assert "cut short" in (folder / "log.txt").read_text()


def test_a_stimulus_that_is_not_configured_is_refused(dutch: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="no stimulus is configured"):
        record("stimulus", {"root": dutch.root})


def test_a_voice_that_is_rarely_found_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    prompts = pd.DataFrame({"segment": 0, "onset": 2.0 * np.arange(10), "voice_onset": np.nan})
    quiet = np.random.default_rng(0).normal(0, 1e-4, 20 * 16000).astype(np.float32)
    quiet[8000:16000] += np.sin(2 * np.pi * 220 * np.arange(8000) / 16000, dtype=np.float32)
    found = with_voice(prompts.assign(voice_offset=np.nan), [Sound(quiet, 16000.0, 0.0, 1.0)])
    n = int(found["voice_onset"].notna().sum())
    assert n < 8
    assert f"the voice was found in only {n} of 10 trials" in caplog.text

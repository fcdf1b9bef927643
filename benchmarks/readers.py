"""What reads foreign bytes: each reader with small files that are whole, and how it is called."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import re
import struct
import uuid
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.mutations import mutate, of_hdf5

Files = dict[str, bytes]
"""Bytes by name."""

ROOT = Path(__file__).parents[1]
RATE, N = 256, 512
NAMES = ("LA1", "LA2", "LA3")
STEM = "sub-01_task-read_"

CHANNELS = (
    b"name\ttype\tunits\tstatus\tdescription\n"
    b"LA1\tSEEG\t\xc2\xb5V\tgood\thippocampus\nLA2\tSEEG\t\xc2\xb5V\tbad\tn/a\n"
    b"LA3\tECOG\tmV\tn/a\tcortex\n"
)


@dataclass(frozen=True, slots=True)
class FuzzedReader:
    """A reader of foreign bytes.

    Attributes
    ----------
    seeds
        Makes sets of files that the reader takes.
    read
        Reads the files in a folder; raises `AssertionError` for a result of the wrong form.
    fixed
        Files that are not changed.
    mutated
        Changes a file's bytes, given its suffix.
    """

    seeds: Callable[[], list[Files]]
    read: Callable[[Path], object]
    fixed: tuple[str, ...] = ()
    mutated: Callable[[bytes, str, np.random.Generator], bytes] = mutate


def _finite(*values: float) -> None:
    assert all(np.isfinite(value) for value in values), values


# -------------------------------------------------------------------------------- tables and text


def _each(tasks: Iterable[Callable[[], object]]) -> None:
    """Run every task, and raise the first refusal once all have run."""
    from highgamma.errors import InputError

    refusals = []
    for task in tasks:
        try:
            task()
        except InputError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _tables() -> list[Files]:
    events = b"onset\tduration\ttrial_type\tvalue\n0\t1.5\tword\tkoe\n2\t1.5\tword\tnull\n"
    return [
        {
            f"{STEM}channels.tsv": CHANNELS,
            f"{STEM}events.tsv": events + b"1.5\t.5\tfixation\t+\n",
            f"{STEM}electrodes.tsv": b"name\tx\ty\tz\tanat\nLA1\t1\t2\t3\ta\nLA3\t-9\tn/a\t4\tb\n",
            f"{STEM}coordsystem.json": b'{"iEEGCoordinateUnits": "mm", "a": [1, {"b": null}]}',
            f"{STEM}ieeg.json": b'{"PowerLineFrequency": 50, "SamplingFrequency": 256.0}',
            "heard.tsv": b"participant_id\trecording\tonset\ttime\nsub-01\trecording\t1.5\t0\n"
            b"sub-01\trecording\t11.501\t10\n",
        }
    ]


def _segment(folder: Path, name: str) -> Any:
    from highgamma.recording.files import Segment

    there = {
        key: folder / f"{STEM}{key}.tsv"
        for key in ("channels", "events", "electrodes")
        if (folder / f"{STEM}{key}.tsv").exists()
    }
    system, sidecar = folder / f"{STEM}coordsystem.json", folder / f"{STEM}ieeg.json"
    return Segment(
        "sub-01",
        "recording",
        folder / name,
        coordsystem=system if system.exists() else None,
        sidecar=sidecar if sidecar.exists() else None,
        **there,
    )


def _read_tables(folder: Path) -> None:
    from highgamma.recording import electrodes, heard, outputs, prompts, sidecars
    from highgamma.recording.settings import WordSettings
    from highgamma.recording.signals import Signals

    segment = _segment(folder, f"{STEM}ieeg.edf")
    described = Signals(
        path=segment.signal,
        names=NAMES,
        rate=float(RATE),
        n_samples=N,
        fetch=lambda start, stop, columns: np.zeros((stop - start, len(columns))),
        clock=0.0,
        unit="V",
    )
    tasks: tuple[Callable[[], object], ...] = (
        lambda: electrodes.channels(segment, NAMES),
        lambda: prompts.words([segment], WordSettings()),
        lambda: prompts.words([segment], WordSettings(trial_type=("*", "!fixation"), until="word")),
        lambda: sidecars.mains_of([segment]),
        lambda: outputs.compare_with_sidecar(segment, described),
        lambda: heard.presentations([segment], {"onset": "heard.tsv"}, root=folder),
        lambda: heard.presentations([segment], {"onset": "fixation"}, root=folder),
    )
    _each(tasks)


def _participants() -> list[Files]:
    return [{"participants.tsv": b"participant_id\tage\nsub-01\t30\n02\t31\nsub-03\tn/a\n"}]


def _read_participants(folder: Path) -> None:
    from highgamma.recording.files import participants

    (folder / "sub-01/ieeg").mkdir(parents=True, exist_ok=True)
    assert all(name.startswith("sub-") for name in participants(folder))


def _transcripts() -> list[Files]:
    rows = [(b"word", b"start", b"end", b"word_idx"), (b"de", b"0.1", b"0.3", b"0")]
    rows += [(b"ma", b"0.3", b"0.5", b"1"), (b"an", b"0.5", b"0.8", b"1")]
    return [
        {f"words{suffix}": b"\n".join(mark.join(row) for row in rows) + b"\n"}
        for suffix, mark in ((".tsv", b"\t"), (".csv", b","))
    ]


def _read_transcript(folder: Path) -> None:
    from highgamma.recording.stimulus import transcript

    words = transcript(next(folder.glob("words.*")))
    assert (words["offset"].isna() | (words["offset"] >= words["onset"])).all()
    assert words["onset"].notna().all()
    assert words["onset"].is_monotonic_increasing


def _textgrids() -> list[Files]:
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    intervals = [(0.0, 0.4, ""), (0.4, 0.9, "kat"), (0.9, 1.5, "één")]
    long = head + "xmin = 0\nxmax = 1.5\ntiers? <exists>\nsize = 1\nitem []:\n    item [1]:\n"
    long += '        class = "IntervalTier"\n        name = "words"\n        xmin = 0\n'
    long += f"        xmax = 1.5\n        intervals: size = {len(intervals)}\n"
    for k, (a, b, word) in enumerate(intervals, 1):
        long += f"        intervals [{k}]:\n            xmin = {a}\n            xmax = {b}\n"
        long += f'            text = "{word}"\n'
    short = head + f'0\n1.5\n<exists>\n1\n"IntervalTier"\n"words"\n0\n1.5\n{len(intervals)}\n'
    short += "".join(f'{a}\n{b}\n"{word}"\n' for a, b, word in intervals)
    encoded = (long.encode(), short.encode(), long.encode("utf-16"))
    return [{"words.TextGrid": content} for content in encoded]


def _read_textgrid(folder: Path) -> None:
    from highgamma.recording.stimulus import transcript

    words = transcript(folder / "words.TextGrid")
    _finite(*words["onset"], *words["offset"])
    assert words["onset"].is_monotonic_increasing


# -------------------------------------------------------------------------------------- recordings


def _voltage() -> np.ndarray:
    return np.random.default_rng(5).standard_normal((N, len(NAMES))) * 30


def _nwb(*, cached: bool, dutch: bool) -> bytes:
    from datetime import UTC, datetime
    from tempfile import TemporaryDirectory

    from pynwb import NWBHDF5IO, NWBFile

    day = datetime(2020, 1, 1, tzinfo=UTC)
    # Objects have random names otherwise, and a mutation would not be the same each time.
    names = (uuid.UUID(int=number) for number in itertools.count(1))
    with mock.patch("hdmf.container.uuid4", lambda: next(names)):
        nwb = NWBFile("d", "i", day, file_create_date=[day])
        series = _series(dutch=dutch)
    for one in series:
        nwb.add_acquisition(one)
    with TemporaryDirectory(prefix="highgamma-nwb-") as folder:
        path = Path(folder) / "file.nwb"
        with NWBHDF5IO(str(path), "w") as io_:
            io_.write(nwb, cache_spec=cached)
        return path.read_bytes()


def _series(*, dutch: bool) -> list[Any]:
    from pynwb import TimeSeries

    times = 9e6 + np.arange(N) / RATE
    clock: dict[str, Any] = {"timestamps": times} if dutch else {"rate": float(RATE)}
    series = [TimeSeries(name="iEEG", data=_voltage(), unit="uV", **clock)]
    if dutch:
        sound = np.random.default_rng(6).standard_normal(2 * N).astype(np.float32)
        audio_times = 9e6 + np.arange(2 * N) / (2 * RATE)
        series.append(TimeSeries(name="Audio", data=sound, unit="a", timestamps=audio_times))
        shown = ["koe"] * (N // 2) + [""] * (N - N // 2)
        series.append(TimeSeries(name="Stimulus", data=shown, unit="a", timestamps=times))
    return series


def _nwb_files() -> list[Files]:
    kinds = ((False, True), (False, False), (True, True))
    return [
        {f"{STEM}ieeg.nwb": _nwb(cached=cached, dutch=dutch), f"{STEM}channels.tsv": CHANNELS}
        for cached, dutch in kinds
    ]


def _plain_nwb_files() -> list[Files]:
    """Without the schema in the file, which is as large as the rest."""
    return _nwb_files()[:2]


def _edf_files() -> list[Files]:
    import edfio

    def signal(label: str, rate: int) -> Any:
        values = np.random.default_rng(7).standard_normal(2 * rate)
        return edfio.EdfSignal(values, rate, label=label, physical_dimension="uV")

    def written(edf: Any) -> bytes:
        held = io.BytesIO()
        edf.write(held)
        return held.getvalue()

    signals = [signal(name, RATE // 4) for name in NAMES]
    note = edfio.EdfAnnotation(0.5, None, "x")
    plain = written(edfio.Edf(signals))
    marked = written(edfio.Edf([*signals, signal("Mic", RATE)], annotations=[note]))
    gaps = marked.replace(b"EDF+C", b"EDF+D", 1)
    return [
        {f"{STEM}ieeg.edf": content, f"{STEM}channels.tsv": CHANNELS}
        for content in (plain, marked, gaps)
    ]


def _bdf_files() -> list[Files]:
    import edfio

    signals = [
        edfio.BdfSignal(_voltage()[:, k], RATE, label=name, physical_dimension="uV")
        for k, name in enumerate(NAMES)
    ]
    held = io.BytesIO()
    edfio.Bdf(signals).write(held)
    return [{f"{STEM}ieeg.bdf": held.getvalue(), f"{STEM}channels.tsv": CHANNELS}]


def _brainvision_files() -> list[Files]:
    common = (
        "Brain Vision Data Exchange Header File Version 1.0\n; x\n\n[Common Infos]\n"
        "{codepage}DataFile={stem}ieeg.eeg\nMarkerFile={stem}ieeg.vmrk\nDataFormat=BINARY\n"
        "DataOrientation={orientation}\nNumberOfChannels=3\nSamplingInterval=3906.25\n"
        "[Binary Infos]\nBinaryFormat={form}\n[Channel Infos]\n"
        "Ch1=LA1,,{step},µV\nCh2=LA2,,{step},µV\nCh3=LA3,,{step},C\n"
        "[Comment]\n\nA m p l i f i e r  S e t u p\n============\nNumber of channels: 3\n"
        "Sampling Rate [Hz]: 256\nSampling Interval [µS]: 3906.25\n"
    )
    markers = (
        f"Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\n"
        f"DataFile={STEM}ieeg.eeg\n[Marker Infos]\n"
        "Mk1=New Segment,,1,1,0,20200101100000000000\nMk2=Stimulus,S  1,100,1,0\n"
        "Mk3=New Segment,,257,1,0,20200101100027250000\n"
    ).encode()
    seeds = []
    for form, kind, orientation in (
        ("IEEE_FLOAT_32", "<f4", "MULTIPLEXED"),
        ("INT_16", "<i2", "VECTORIZED"),
    ):
        values = _voltage() if orientation == "MULTIPLEXED" else _voltage().T
        header = common.format(
            codepage="Codepage=UTF-8\n", stem=STEM, orientation=orientation, form=form, step="0.1"
        )
        seeds.append(
            {
                f"{STEM}ieeg.vhdr": header.encode(),
                f"{STEM}ieeg.vmrk": markers,
                f"{STEM}ieeg.eeg": values.astype(kind).tobytes(),
                f"{STEM}channels.tsv": CHANNELS,
            }
        )
    return seeds


def _raw() -> Any:
    import mne

    info = mne.create_info(list(NAMES), RATE, "seeg")
    return mne.io.RawArray(_voltage().T * 1e-6, info, verbose="error")


def _fif_files() -> list[Files]:
    from tempfile import TemporaryDirectory

    raw = _raw()
    import mne

    raw.set_annotations(mne.Annotations([0.5], [0.1], ["x"]))
    with TemporaryDirectory(prefix="highgamma-fif-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "x_raw.fif"
        raw.save(path, verbose="error")
        return [{f"{STEM}ieeg.fif": path.read_bytes(), f"{STEM}channels.tsv": CHANNELS}]


def _eeglab_files() -> list[Files]:
    from scipy.io import savemat

    def written(data: Any, **options: Any) -> bytes:
        places = np.zeros(len(NAMES), dtype=[("labels", object), ("X", object), ("type", object)])
        for k, name in enumerate(NAMES):
            places[k] = (name, np.empty((0, 0)), "SEEG")
        events = np.zeros(1, dtype=[("type", object), ("latency", object)])
        events[0] = ("x", 10.0)
        eeg = {
            "setname": "x", "nbchan": 3.0, "pnts": float(N), "trials": 1.0, "srate": float(RATE),
            "xmin": 0.0, "xmax": (N - 1) / RATE, "data": data, "chanlocs": places, "event": events,
            "icawinv": np.empty((0, 0)), "icaweights": np.empty((0, 0)),
            "icasphere": np.empty((0, 0)), "ref": "common", "epoch": np.empty((0, 0)),
        }  # fmt: skip
        held = io.BytesIO()
        savemat(held, {"EEG": eeg}, appendmat=False, **options)
        # The text of the header has the time of day.
        return b"MATLAB 5.0 MAT-file".ljust(116) + held.getvalue()[116:]

    values = _voltage().T.astype("<f4")
    name = f"{STEM}ieeg.fdt"
    one = {f"{STEM}ieeg.set": written(values), f"{STEM}channels.tsv": CHANNELS}
    two = {
        f"{STEM}ieeg.set": written(name),
        name: values.T.tobytes(),
        f"{STEM}channels.tsv": CHANNELS,
    }
    return [one, two]


def _read_recording(folder: Path, *, suffix: str) -> None:
    """Read as the stages do: description, the first and the last piece, series, shown words."""
    from highgamma.recording import hdf5
    from highgamma.recording.formats import format_of
    from highgamma.recording.opening import open_signals

    # A file of the same size that was changed within one tick of the clock is a new one here.
    hdf5._SCANNED.clear()
    segment = _segment(folder, f"{STEM}ieeg{suffix}")
    with open_signals(segment) as signals:
        _finite(signals.rate, signals.clock, signals.elapsed)
        assert signals.rate > 0, signals.rate
        assert signals.n_samples >= 0, signals.n_samples
        for part in signals.stretches():
            assert 0 <= part.first <= part.stop <= signals.n_samples, part
            _finite(part.start)
        for begin in {0, max(0, signals.n_samples - N)}:
            end = min(signals.n_samples, begin + N)
            values = signals.read(begin, end)
            assert values.shape == (end - begin, len(signals.names)), values.shape
        for name in sorted(set(signals.series) - {"Stimulus"}):
            other = signals.series[name]()
            _finite(other.rate, other.start)
            assert other.rate > 0, other.rate
            end = min(other.n_samples, N)
            assert other.read(0, end).shape == (end, len(other.names))
    shown = format_of(segment.signal).shown_words
    if shown is not None:
        words = shown(segment)
        assert words["onset"].notna().all()


def _recording(seeds: Callable[[], list[Files]], suffix: str, **options: Any) -> FuzzedReader:
    return FuzzedReader(
        seeds, partial(_read_recording, suffix=suffix), (f"{STEM}channels.tsv",), **options
    )


def _structure(content: bytes, suffix: str, draw: np.random.Generator) -> bytes:
    return of_hdf5(content, draw)


# ------------------------------------------------------------------------------------------- sound


def _sounds() -> list[Files]:
    import soundfile

    seeds = []
    values = 0.3 * np.sin(np.arange(2000) / 5)
    for suffix, subtype, channels in (
        (".wav", "PCM_16", 1),
        (".wav", "FLOAT", 2),
        (".flac", "PCM_16", 1),
        (".flac", "PCM_24", 2),
    ):
        held = io.BytesIO()
        soundfile.write(
            held, np.tile(values[:, None], channels), 44100, subtype, format=suffix[1:].upper()
        )
        content = held.getvalue()
        # The peaks of WAV files have the time of day.
        peaks = content.find(b"PEAK")
        if peaks >= 0:
            content = content[: peaks + 12] + bytes(4) + content[peaks + 16 :]
        seeds.append({f"sound{suffix}": content})
    return seeds


def _read_sound(folder: Path) -> None:
    from highgamma.recording.sound import audio_file

    sound = audio_file(next(folder.glob("sound.*")))
    assert np.isfinite(sound.samples).all()
    assert np.abs(sound.samples).max(initial=0) <= 1.0001
    _finite(sound.rate, sound.start)
    assert sound.rate > 0


# ------------------------------------------------------------------------------------------ models

WIDTH = 4
WORDS = ("de", "maan", "ζ", "onbekend", "de")


def _vectors() -> list[Files]:
    values = np.random.default_rng(8).standard_normal((3, WIDTH)).astype("<f4")
    lines = [
        f"{word} " + " ".join(f"{v:.4f}" for v in row)
        for word, row in zip(WORDS, values, strict=False)
    ]
    text = "\n".join(["3 4", *lines, ""]).encode()
    arguments = struct.pack("<12id", WIDTH, 5, 5, 1, 5, 1, 2, 2, 5, 2, 3, 100, 1e-4)
    words = b"".join(word.encode() + b"\0" + struct.pack("<qb", 3, 0) for word in WORDS[:3])
    matrix = np.random.default_rng(9).standard_normal((3 + 5, WIDTH)).astype("<f4").tobytes()
    tail = struct.pack("<?", False) + struct.pack("<qq", 8, WIDTH) + matrix
    dictionary = struct.pack("<3iq", 3, 3, 0, 9)
    new = struct.pack("<2i", 793712314, 12) + arguments + dictionary + struct.pack("<q", -1)
    old = arguments + dictionary
    return [
        {"vectors.vec": text},
        {"vectors.txt": text.split(b"\n", 1)[1]},
        {"vectors.vec.gz": gzip.compress(text, mtime=0)},
        {"vectors.bin": new + words + tail},
        {"vectors.bin": old + words + tail[1:]},
    ]


def _read_vectors(folder: Path) -> None:
    from highgamma.embeddings.static import read_vectors

    vectors = read_vectors(next(folder.glob("vectors.*")), list(WORDS), width=WIDTH)
    assert vectors.shape == (len(WORDS), WIDTH)
    assert vectors.dtype == np.float32


def _gzipped() -> list[Files]:
    return [{"vectors.gz": gzip.compress(b"de 0.1 0.2\n" * 20, mtime=0)}]


def _read_gzipped(folder: Path) -> None:
    from highgamma.models.url import gunzip

    gunzip(folder / "vectors.gz", folder / "unpacked")


def _saved(network: Any) -> Files:
    from safetensors.torch import save

    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return {
        "config.json": network.config.to_json_string().encode(),
        "model.safetensors": save(state, metadata={"format": "pt"}),
    }


def _text_network() -> Any:
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=16,
    )  # fmt: skip
    return BertModel(config).eval()


ENTRY = {"kind": "text", "layers": 1, "width": 8, "dtype": "float32", "source": {"folder": "x"}}


def _networks() -> list[Files]:
    return [_saved(_text_network())]


def _read_network(folder: Path) -> None:
    import torch

    from highgamma.embeddings.pretrained import load_network

    network = load_network(ENTRY, folder, device="cpu")
    states = network.hidden(input_ids=torch.tensor([[1, 2, 3]]))
    assert [tuple(state.shape) for state in states] == [(1, 3, 8)] * 2


def _untrained() -> list[Files]:
    from transformers import Wav2Vec2Config

    config = Wav2Vec2Config(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        conv_dim=[4] * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    preprocessor = {"sampling_rate": 16000, "do_normalize": True, "feature_size": 1}
    return [
        {
            "config.json": config.to_json_string().encode(),
            "preprocessor_config.json": json.dumps(preprocessor).encode(),
        }
    ]


def _read_untrained(folder: Path) -> None:
    from highgamma.embeddings.pretrained import load_network
    from highgamma.embeddings.speech import ear_of, hear

    network = load_network({**ENTRY, "kind": "speech", "untrained": True}, folder, device="cpu")
    ear = ear_of(network)
    heard = hear(network, ear, np.zeros((1, 1600), np.float32))
    assert heard.shape[:2] == (1, 2)


def _tokenizers() -> list[Files]:
    from highgamma.demo.models import TOKENIZER_CONFIG, _letter_tokenizer

    vocabulary = {token: k for k, token in enumerate(("[UNK]", "[CLS]", "[SEP]", "de", "##en"))}
    bert = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    }
    about = {**TOKENIZER_CONFIG, "unk_token": "[UNK]", "added_tokens_decoder": {}}
    special = {"unk_token": "[UNK]", "sep_token": "[SEP]"}
    letters = {
        "tokenizer.json": json.dumps(_letter_tokenizer()).encode(),
        "tokenizer_config.json": json.dumps(TOKENIZER_CONFIG).encode(),
    }
    pieces = {
        "tokenizer.json": json.dumps(bert).encode(),
        "tokenizer_config.json": json.dumps(about).encode(),
        "special_tokens_map.json": json.dumps(special).encode(),
    }
    return [letters, pieces]


def _read_tokenizer(folder: Path) -> None:
    from highgamma.embeddings.pretrained import load_tokenizer
    from highgamma.embeddings.text import surroundings, tokenize_text, tokenize_word

    tokenizer = load_tokenizer(ENTRY, folder)
    tokens = tokenize_text(tokenizer, ["de", "maan", ""], prefix_space=True)
    assert len(tokens.spans) == 3
    for start, stop in tokens.spans:
        assert 0 <= start <= stop <= len(tokens.ids)
    tokenize_word(tokenizer, "den")
    surroundings(tokenizer)


def _weights() -> list[Files]:
    import torch

    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3)}
    new, old = io.BytesIO(), io.BytesIO()
    torch.save(tensors, new)
    torch.save({"b": tensors["b"]}, old, _use_new_zipfile_serialization=False)
    # Storages are called by their place in memory.
    fixed = re.sub(rb"\d{9,}", lambda found: b"1" * len(found.group()), old.getvalue())
    return [{"pytorch_model.bin": content} for content in (new.getvalue(), fixed)]


def _read_weights(folder: Path) -> None:
    from highgamma.models.tensors import to_safetensors

    to_safetensors(folder / "pytorch_model.bin", folder / "model.safetensors")


def _manifests() -> list[Files]:
    file = {"sha256": "0" * 64, "size": 10}
    lock = {
        "owner/name": {"revision": "a" * 40, "files": {"config.json": file}},
        "https://x.org/v.vec.gz": {"files": {"v.vec.gz": file}},
    }
    manifest = {
        "source": {"hub": "owner/name"}, "revision": "a" * 40, "converted": {}, "pin": None,
        "files": {"config.json": file},
    }  # fmt: skip
    index = {"metadata": {"total_size": 1}, "weight_map": {"a": "model-00001-of-00001.safetensors"}}
    config = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1}
    listed = {"files": {"a.tsv": {"size": 1, "sha256": "0" * 64}}, "archives": {}}
    return [
        {
            "lock.yaml": json.dumps(lock).encode(),
            "owner--name.manifest.json": json.dumps(manifest).encode(),
            "model.safetensors.index.json": json.dumps(index).encode(),
            "config.json": json.dumps(config).encode(),
            ".fetched.json": json.dumps({"source": "osf:abcde", **listed}).encode(),
        }
    ]


def _read_manifests(folder: Path) -> None:
    from highgamma import dataset, models
    from highgamma.models.files import File, check_index
    from highgamma.models.sizes import stated_size

    entry = {"source": {"hub": "owner/name"}}

    def lock() -> None:
        read = models.read_lock(folder / "lock.yaml")
        models.locked_files(entry, read)
        models.pin(entry, read, models=folder)
        models.check_lock([entry], read, models=folder)

    def index() -> None:
        shard = File("model-00001-of-00001.safetensors")
        check_index(folder / "model.safetensors.index.json", [shard])

    def listed() -> None:
        before = dataset._manifest_before(folder, "osf:abcde")
        if before:
            dataset._all_whole(folder, before["files"])

    def sizes() -> None:
        assert all(isinstance(size, int) for size in stated_size(folder).values())

    _each((lock, index, listed, sizes))


# ---------------------------------------------------------------------------------------- settings


def _configurations() -> list[Files]:
    import yaml

    shipped = (ROOT / "config/config.yaml", ROOT / "config/paper.yaml")
    plain = [yaml.safe_load(path.read_text("utf-8")) for path in shipped]
    return [{"config.yaml": yaml.safe_dump(config).encode()} for config in plain]


def _read_configuration(folder: Path) -> None:
    import yaml

    from highgamma import settings, store
    from highgamma.errors import InputError

    try:
        config = store.parse_yaml((folder / "config.yaml").read_text("utf-8"))
    except (yaml.YAMLError, ValueError):
        # Snakemake reads the file, and says so.
        return
    if not isinstance(config, dict):
        return
    try:
        filled = settings.checked(config)
        settings.refuse_without_dataset(config)
        settings.cross_checked(filled)
        settings.embedded_models(filled)
        settings.timecourse_analyses(filled)
    except InputError as error:
        assert len(str(error)) < 2_000_000
        raise


def _catalogues() -> list[Files]:
    entries = {
        "mel": {"kind": "acoustic", "feature": "mel", "width": 40},
        "bert": {"kind": "text", "source": {"hub": "a/b"}, "layers": 2, "width": 8},
        "bert-u": {"untrained": "bert", "seed": 1},
        "vec": {"kind": "static", "source": {"url": "https://x.org/v.vec.gz"}, "width": 3},
    }
    import yaml

    return [{"models.yaml": yaml.safe_dump(entries).encode()}]


def _read_catalogue(folder: Path) -> None:
    from highgamma import catalogue

    entries = catalogue.load(folder / "models.yaml")
    for name in entries:
        assert catalogue.layers_of(entries, name)
        catalogue.files_of(entries, name, models=folder)


# ------------------------------------------------------------------------------- fetched data sets


def _archives() -> list[Files]:
    seeds = []
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", method) as archive:
            for name in ("participants.tsv", "sub-01/ieeg/sub-01_ieeg.edf", "sub-01/x.tsv"):
                info = zipfile.ZipInfo(f"set/{name}", date_time=(1980, 1, 1, 0, 0, 0))
                info.compress_type = method
                archive.writestr(info, b"participant_id\nsub-01\n" * 9)
        seeds.append({"set.zip": held.getvalue()})
    return seeds


def _read_archive(folder: Path) -> None:
    from highgamma.dataset import unpack

    target = folder / "unpacked"
    for name, about in unpack(folder / "set.zip", target).items():
        path = (target / name).resolve()
        assert path.is_relative_to(target.resolve())
        assert path.stat().st_size == about["size"]


BUCKET = "https://bucket.example"
API = "https://api.example/v2"
HUB = "https://hub.example"


def _listings() -> list[Files]:
    file = {
        "attributes": {
            "kind": "file", "name": "a.tsv", "materialized_path": "/sub-01/a.tsv", "size": 3,
            "extra": {"hashes": {"sha256": "0" * 64, "md5": "0" * 32}},
        },
        "links": {"download": "https://x.example/1"},
    }  # fmt: skip
    folder = {
        "attributes": {"kind": "folder", "name": "sub-01", "size": None},
        "relationships": {"files": {"links": {"related": {"href": f"{API}/folder"}}}},
        "links": {},
    }
    bucket = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://x/"><Name>o</Name>'
        "<IsTruncated>false</IsTruncated><Contents><Key>ds000001/sub-01/a.tsv</Key>"
        "<Size>3</Size><ETag>&quot;00000000000000000000000000000000&quot;</ETag></Contents>"
        "<Contents><Key>ds000001/participants.tsv</Key><Size>2</Size></Contents>"
        "</ListBucketResult>"
    )
    lfs = {"size": 3, "sha256": "0" * 64, "pointerSize": 1}
    siblings = [
        {"rfilename": "config.json", "size": 3, "blobId": "b" * 40},
        {"rfilename": "model.safetensors", "size": 3, "blobId": "b" * 40, "lfs": lfs},
    ]
    model = {
        "id": "owner/name", "modelId": "owner/name", "sha": "a" * 40, "siblings": siblings,
        "tags": ["x"], "private": False, "downloads": 1, "likes": 1, "gated": False,
        "lastModified": "2024-01-01T00:00:00.000Z", "cardData": {"license": "mit"},
    }  # fmt: skip
    pages = {
        "folder.json": {"data": [file], "links": {"next": None}},
        "top.json": {"data": [folder, file], "links": {"next": None}},
        "hub.json": model,
    }
    listing = {name: json.dumps(page).encode() for name, page in pages.items()}
    return [{**listing, "bucket.xml": bucket.encode()}]


def _read_listings(folder: Path) -> None:
    """List as from a publisher; no request leaves this machine."""
    from highgamma import dataset, fetch
    from highgamma.models import hub

    def answered(url: str, **_: Any) -> bytes:
        if url.startswith(BUCKET):
            name = "bucket.xml"
        elif url.startswith(HUB):
            name = "hub.json"
        else:
            name = "folder.json" if url == f"{API}/folder" else "top.json"
        return (folder / name).read_bytes()

    def chosen(files: Sequence[dataset.Remote]) -> None:
        inside = dataset.bids_names([f.name for f in files])
        for file in files:
            assert isinstance(file.size, int)
            fetch.foreign_path(folder, file.name)
            file.is_whole(folder / "absent")
        for file in dataset._chosen(
            [f for f in files if f.name in inside], participants="all", tasks=None
        ):
            fetch.foreign_path(folder, file.name)

    def described() -> None:
        model = hub.HubModel(
            name="x", repo="owner/name", folder=folder, pinned=None, weights=True, endpoint=HUB
        )
        _, files = hub._required_files(model)
        for file in files:
            file.is_whole(folder)
        fetch.in_words(sum(file.size or 0 for file in files))

    tasks: tuple[Callable[[], object], ...] = (
        lambda: chosen(dataset.osf_files(API, "abcde")),
        lambda: chosen(dataset.openneuro_files(BUCKET, "ds000001")),
        described,
    )
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(fetch, "read", answered))
        stack.enter_context(mock.patch.dict("os.environ", {"HF_HUB_OFFLINE": "0"}))
        _each(tasks)


# ---------------------------------------------------------------------------------- the own format


def _datasets() -> list[Files]:
    from tempfile import TemporaryDirectory

    import xarray as xr

    from highgamma import store

    values = np.arange(400.0).reshape(200, 2)
    held = xr.Dataset({"x": (("time", "channel"), values)}, coords={"time": np.arange(200) / 100})
    with TemporaryDirectory(prefix="highgamma-netcdf-") as folder:
        path = Path(folder) / "x.nc"
        store.write_dataset(held, path, stage="x", parameters={})
        return [{"x.nc": path.read_bytes()}]


def _read_own(folder: Path) -> None:
    from highgamma import store

    # A file of the same size that was changed within one tick of the clock is a new one here.
    store._VERIFIED.clear()
    store.read_dataset(folder / "x.nc")


READERS: Mapping[str, FuzzedReader] = {
    "tables": FuzzedReader(_tables, _read_tables),
    "participants": FuzzedReader(_participants, _read_participants),
    "transcript": FuzzedReader(_transcripts, _read_transcript),
    "textgrid": FuzzedReader(_textgrids, _read_textgrid),
    "edf": _recording(_edf_files, ".edf"),
    "bdf": _recording(_bdf_files, ".bdf"),
    "brainvision": _recording(_brainvision_files, ".vhdr"),
    "fif": _recording(_fif_files, ".fif"),
    "eeglab": _recording(_eeglab_files, ".set"),
    "nwb": _recording(_nwb_files, ".nwb"),
    "nwb-structure": _recording(_plain_nwb_files, ".nwb", mutated=_structure),
    "sound": FuzzedReader(_sounds, _read_sound),
    "vectors": FuzzedReader(_vectors, _read_vectors),
    "gzip": FuzzedReader(_gzipped, _read_gzipped),
    "weights": FuzzedReader(_weights, _read_weights),
    "network": FuzzedReader(_networks, _read_network),
    "untrained": FuzzedReader(_untrained, _read_untrained),
    "tokenizer": FuzzedReader(_tokenizers, _read_tokenizer),
    "manifests": FuzzedReader(_manifests, _read_manifests),
    "configuration": FuzzedReader(_configurations, _read_configuration),
    "catalogue": FuzzedReader(_catalogues, _read_catalogue),
    "archive": FuzzedReader(_archives, _read_archive),
    "listings": FuzzedReader(_listings, _read_listings),
    "netcdf": FuzzedReader(_datasets, _read_own),
}

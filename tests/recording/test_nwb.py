"""NWB files: µV from any unit, the exact clock, and damage named."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dutch_recording import LAB_CLOCK, NAMES, write_dataset, write_nwb

from highgamma.errors import InputError
from highgamma.recording.files import Segment, find
from highgamma.recording.nwb import clock_of, shown_words
from highgamma.recording.opening import open_channels, open_signals, reopened
from highgamma.recording.signals import amplitude


def test_nwb_values_are_those_written_in_microvolts(dutch: SimpleNamespace) -> None:
    with open_signals(dutch.segment) as signals:
        assert (signals.rate, list(signals.names)) == (1024.0, NAMES)
        assert signals.n_samples == len(dutch.neural)
        np.testing.assert_array_equal(signals.read(), dutch.neural)
        some = signals.select(["EKG1", "LA2"]).read(100, 130)
    np.testing.assert_array_equal(some, dutch.neural[100:130, [4, 1]])


def test_reading_in_blocks_changes_nothing(
    dutch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("highgamma.recording.signals.BLOCK_BYTES", 1000)
    with open_signals(dutch.segment) as signals:
        np.testing.assert_array_equal(
            signals.select(["LA3"]).read(5, 999), dutch.neural[5:999, [2]]
        )


@pytest.mark.parametrize("rate", [999.412, 1024.0, 2048.0])
def test_a_late_first_sample_does_not_change_the_rate_or_the_alignment(
    tmp_path: Path, rate: float
) -> None:
    write_dataset(tmp_path, rate=rate, late_first_interval=True)
    segment = find(tmp_path, "sub-01")[0]
    with open_signals(segment) as signals:
        # Timestamps at 9·10⁶ s resolve 1.9 ns.
        assert signals.rate == pytest.approx(rate, rel=1e-8)
        assert signals.clock == pytest.approx(LAB_CLOCK, abs=1e-6)


@pytest.mark.parametrize(
    ("series", "factor"),
    [
        ({"unit": "volts", "conversion": 1e-6}, 1.0),
        ({"unit": "V", "conversion": 1e-3}, 1e3),
        ({"unit": "mV", "conversion": 2.0}, 2e3),
        ({"unit": "volts"}, 1.0),  # channels.tsv says µV
    ],
)
def test_nwb_conversion_gives_microvolts(
    tmp_path: Path, series: dict[str, object], factor: float, log: pytest.LogCaptureFixture
) -> None:
    truth = write_dataset(tmp_path, **series)
    with open_signals(find(tmp_path, "sub-01")[0]) as signals:
        np.testing.assert_allclose(
            signals.select(["LA1"]).read()[:, 0], truth["neural"][:, 0] * factor, rtol=1e-12
        )
    contradicted = "in channels.tsv it is µV; channels.tsv is used" in log.text
    assert contradicted == (series == {"unit": "volts"})


def test_values_in_volts_are_warned_of_and_not_rescaled(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    truth = write_dataset(tmp_path, unit="V", conversion=1.0000001)
    with open_signals(find(tmp_path, "sub-01")[0]) as signals:
        measured = amplitude(signals, ["LA1", "LA2"])
    expected = 1e6 * truth["neural"].std()
    assert measured.rms == pytest.approx(expected, rel=0.05)
    assert not measured.plausible
    assert "1 to 2000 µV" in log.text


def test_a_truncated_nwb_is_named(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    whole = segment.signal.read_bytes()
    segment.signal.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut short") as error, open_signals(segment):
        pass
    assert str(segment.signal) in str(error.value)
    assert "download it again" in str(error.value)


def test_a_compressed_nwb_is_read_in_whole_chunks(
    copied: Path, dutch: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hdmf.backends.hdf5 import H5DataIO

    monkeypatch.setattr("highgamma.recording.signals.BLOCK_BYTES", 1000)
    segment = find(copied, "sub-01")[0]
    segment.signal.unlink()
    packed = H5DataIO(dutch.neural, compression="gzip", chunks=(5000, 1))
    write_nwb(segment.signal, neural=packed, neural_times=np.arange(len(dutch.neural)) / 1024)
    with open_signals(segment) as signals:
        assert signals.piece == 5000
        np.testing.assert_array_equal(signals.select(["LA2"]).read()[:, 0], dutch.neural[:, 1])


@pytest.mark.parametrize("damage", ["renamed", "transposed", "one channel too many"])
def test_an_nwb_that_contradicts_its_sidecars_is_refused(copied: Path, damage: str) -> None:
    segment = find(copied, "sub-01")[0]
    values = np.zeros((100, 5)) if damage == "renamed" else np.zeros((5, 100))
    if damage == "one channel too many":
        values = np.zeros((100, 6))
    segment.signal.unlink()
    write_nwb(
        segment.signal,
        neural=values,
        neural_times=np.arange(len(values)) / 100,
        name="ECoG" if damage == "renamed" else "iEEG",
    )
    with pytest.raises(InputError) as error, open_signals(segment):
        pass
    said = {
        "renamed": "the file has no series 'iEEG'",
        "transposed": "looks transposed",
        "one channel too many": "100 × 6 values, channels.tsv lists 5",
    }
    assert said[damage] in str(error.value)


def test_an_unknown_channel_is_answered_with_the_nearest(dutch: SimpleNamespace) -> None:
    with open_signals(dutch.segment) as signals, pytest.raises(InputError, match="'EKG1'"):
        signals.select(["EKG"]).read()


def test_a_reopened_recording_is_read_when_its_file_is_closed(dutch: SimpleNamespace) -> None:
    (some,) = reopened(dutch.segment, ["EKG1", "LA2"])
    assert (some.names, some.rate, some.n_samples) == (("EKG1", "LA2"), 1024.0, len(dutch.neural))
    np.testing.assert_array_equal(some.read(100, 130), dutch.neural[100:130, [4, 1]])
    with pytest.raises(InputError, match="no channel 'EKG9'"):
        reopened(dutch.segment, ["EKG9"])


def test_channels_of_all_recordings_are_open_at_once(dutch: SimpleNamespace) -> None:
    with open_channels([dutch.segment, dutch.segment], ["LA3"]) as recordings:
        for recording in recordings:
            np.testing.assert_array_equal(recording.read(5, 9), dutch.neural[5:9, [2]])


# ------------------------------------------------------------------ the order of the electrodes


def electrical(folder: Path, named: list[str] | None, listed: list[str]) -> Segment:
    """An NWB file whose table of electrodes names them; column k counts k·1000 µV."""
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.ecephys import ElectricalSeries

    home = folder / "sub-01/ieeg"
    home.mkdir(parents=True)
    nwb = NWBFile(
        session_description="d", identifier="i", session_start_time=datetime(2020, 1, 1, tzinfo=UTC)
    )
    group = nwb.create_electrode_group(
        "g", description="d", location="l", device=nwb.create_device("device")
    )
    if named is not None:
        nwb.add_electrode_column(name="label", description="name of the contact")
    for k in range(len(listed)):
        extra = {} if named is None else {"label": named[k]}
        nwb.add_electrode(group=group, location="l", **extra)
    region = nwb.create_electrode_table_region(list(range(len(listed))), "all")
    values = np.arange(2048)[:, None] * 1e-6 + 1e-3 * np.arange(len(listed))
    nwb.add_acquisition(
        ElectricalSeries("iEEG", values, electrodes=region, rate=512.0, starting_time=0.0)
    )
    with NWBHDF5IO(str(home / "sub-01_task-read_ieeg.nwb"), "w") as io:
        io.write(nwb)
    rows = "".join(f"{name}\tSEEG\tV\n" for name in listed)
    (home / "sub-01_task-read_channels.tsv").write_text("name\ttype\tunits\n" + rows)
    return find(folder, "sub-01")[0]


def offsets(segment: Segment) -> dict[str, int]:
    """Which column of the file each name has, by its offset."""
    with open_signals(segment) as signals:
        first = signals.read(0, 1)[0]
        return dict(zip(signals.names, (round(v / 1000) for v in first), strict=True))


def test_the_files_own_names_tell_which_column_is_which(tmp_path: Path, caplog) -> None:
    segment = electrical(tmp_path, ["LA3", "LA1", "LA2"], ["LA1", "LA2", "LA3"])
    with caplog.at_level(logging.WARNING, "highgamma"):
        assert offsets(segment) == {"LA3": 0, "LA1": 1, "LA2": 2}
    assert "the order of the channels is the file's" in caplog.text


def test_names_in_the_file_may_be_spelled_otherwise(tmp_path: Path) -> None:
    segment = electrical(tmp_path, ["EEG LA02-Ref", "EEG LA01-Ref"], ["LA1", "LA2"])
    assert offsets(segment) == {"LA2": 0, "LA1": 1}


@pytest.mark.parametrize("named", [None, ["0", "1"], ["x", "x"]])
def test_a_file_that_names_no_contact_has_the_order_of_the_table(tmp_path: Path, named) -> None:
    assert offsets(electrical(tmp_path, named, ["LA1", "LA2"])) == {"LA1": 0, "LA2": 1}


def test_a_file_and_a_table_of_other_electrodes_are_refused(tmp_path: Path) -> None:
    segment = electrical(tmp_path, ["LA1", "LB7"], ["LA1", "LA2"])
    with pytest.raises(InputError, match="1 electrodes of the file, such as LB7"):
        offsets(segment)


def changed(copied: Path, change) -> Segment:
    """The data set's segment, its file changed by HDF5's library."""
    import h5py

    segment = find(copied, "sub-01")[0]
    with h5py.File(segment.signal, "r+") as file:
        change(file["acquisition"])
    return segment


def huge(acquisition) -> None:
    del acquisition["iEEG/data"]
    acquisition["iEEG"].create_dataset("data", (2**40, 5), "f8", chunks=(1024, 5))


def text(acquisition) -> None:
    unit = acquisition["iEEG/data"].attrs["unit"]
    del acquisition["iEEG/data"]
    acquisition["iEEG"].create_dataset("data", (400, 5), "S4").attrs["unit"] = unit


def elsewhere(acquisition) -> None:
    import h5py

    del acquisition["Audio"]
    acquisition["Audio"] = h5py.ExternalLink("/etc/hostname", "/")


def circle(acquisition) -> None:
    acquisition["iEEG/again"] = acquisition


def not_a_number(acquisition) -> None:
    acquisition["iEEG/data"].attrs["conversion"] = np.nan


def stamps(count: int):
    """The series with another number of time stamps."""

    def change(acquisition) -> None:
        del acquisition["iEEG/timestamps"]
        made = acquisition["iEEG"].create_dataset("timestamps", data=np.arange(count) / 100)
        made.attrs["interval"], made.attrs["unit"] = np.int32(1), "seconds"

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (huge, "states 1099511627776 × 5 values"),
        (text, "holds no numbers"),
        (elsewhere, "the recording leads to .*, outside its folder"),
        (circle, "'acquisition/iEEG/again' is inside itself"),
        (not_a_number, "has the conversion nan"),
        (stamps(2), "the series 'iEEG' has 2 timestamps"),
        (stamps(500), "has 12288 samples and 500 timestamps"),
    ],
)
def test_a_file_that_states_what_cannot_be_is_refused(copied: Path, change, message) -> None:
    with pytest.raises(InputError, match=message), open_signals(changed(copied, change)):
        pass


def test_values_without_a_unit_are_taken_as_microvolts(copied: Path, caplog) -> None:
    segment = find(copied, "sub-01")[0]
    assert segment.channels is not None
    table = segment.channels.read_text("utf-8-sig").replace("µV", "n/a")
    segment.channels.write_text(table, encoding="utf-8")
    with open_signals(segment) as signals:
        before = signals.read(0, 100)

    def change(acquisition) -> None:
        acquisition["iEEG/data"].attrs["unit"] = "a.u."

    with open_signals(changed(copied, change)) as signals:
        np.testing.assert_array_equal(signals.read(0, 100), before)
    assert "('a.u.') names a unit of voltage; the values are taken as µV" in caplog.text


def test_a_rate_that_is_no_number_is_refused(copied: Path) -> None:
    def change(acquisition) -> None:
        del acquisition["iEEG/timestamps"]
        start = acquisition["iEEG"].create_dataset("starting_time", data=0.0)
        start.attrs["rate"], start.attrs["unit"] = np.float32(np.nan), "seconds"

    segment = changed(copied, change)
    with pytest.raises(InputError, match="neither timestamps nor a rate"), open_signals(segment):
        pass


def test_words_that_cannot_be_read_are_named(copied: Path) -> None:
    import h5py

    segment = find(copied, "sub-01")[0]
    with h5py.File(segment.signal) as file:
        words = file["acquisition/Stimulus/data"]
        place = words.id.get_offset() or words.id.get_chunk_info(0).byte_offset
    with segment.signal.open("r+b") as opened:
        # Strings lie in a heap, to which each value points.
        opened.seek(place)
        opened.write(b"\x05\0\0\0" + b"\xee" * 12)
    with pytest.raises(InputError, match="cannot be read"):
        shown_words(segment)


def test_words_that_are_numbers_are_refused(copied: Path) -> None:
    def change(acquisition) -> None:
        del acquisition["Stimulus/data"]
        data = acquisition["Stimulus"].create_dataset("data", data=np.zeros((400, 3)))
        data.attrs["unit"] = "x"

    with pytest.raises(InputError, match="holds no words"):
        shown_words(changed(copied, change))


def test_a_text_without_an_end_is_refused_before_it_is_read(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    content = segment.signal.read_bytes()
    heap = content.index(b"GCOL\x01\0\0\0")
    # The first object becomes free space of no size, which HDF5 would pass over for ever.
    damaged = content[: heap + 16] + bytes(16) + content[heap + 32 :]
    segment.signal.write_bytes(damaged)
    with pytest.raises(InputError, match="has no end"), open_signals(segment):
        pass


def test_a_type_that_hdf5_does_not_know_is_refused(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    content = segment.signal.read_bytes()
    # An attribute: its name, then the type of text of any length (class 9, kind 1).
    name = b"namespace".ljust(16, b"\0") + b"\x19\x01"
    assert name in content
    segment.signal.write_bytes(content.replace(name, name[:-1] + b"\xff"))
    with pytest.raises(InputError, match="unknown type"), open_signals(segment):
        pass


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("step", [1e-320, 0.0, -1.0, np.nan, np.inf])
def test_time_stamps_that_stand_still_are_refused(tmp_path: Path, step: float) -> None:
    with pytest.raises(InputError, match="do not increase"):
        clock_of(np.arange(1, 100) * step, path=tmp_path, name="iEEG")

"""Words of a recording, from events.tsv or the stimulus stream."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dutch_recording import WORDS

from highgamma.errors import InputError
from highgamma.recording.files import Segment, find
from highgamma.recording.outputs import with_voice
from highgamma.recording.prompts import UNKNOWN, words
from highgamma.recording.settings import WordSettings
from highgamma.recording.sound import Sound, audio_file
from highgamma.recording.textgrid import textgrid_words


def test_words_are_strings_in_time_order(dutch: SimpleNamespace) -> None:
    table = words([dutch.segment], WordSettings())
    assert table["word"].tolist() == WORDS
    np.testing.assert_allclose(table["onset"], 2.0 * np.arange(6))
    np.testing.assert_allclose(table["offset"] - table["onset"], 1.5)
    assert set(table["segment_label"]) == {"recording"}


def test_words_come_from_the_stimulus_stream_where_events_lack(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    assert segment.events is not None
    segment.events.unlink()
    table = words(find(copied, "sub-01"), WordSettings())
    assert table["word"].tolist() == WORDS
    np.testing.assert_allclose(table["onset"], 2.0 * np.arange(6), atol=1e-6)
    np.testing.assert_allclose(table["offset"] - table["onset"], 1.5, atol=1e-6)


def test_no_words_is_an_error_that_lists_the_trial_types(
    film: Callable[[str], list[Segment]],
) -> None:
    segments = film("sub-09")
    with pytest.raises(InputError) as error:
        words(segments, WordSettings())
    assert "speech (6)" in str(error.value)
    assert "dataset.words" in str(error.value)


def test_a_wrong_word_column_is_answered_with_the_nearest(dutch: SimpleNamespace) -> None:
    with pytest.raises(InputError, match=r"has no column 'valeu' \(did you mean 'value'\?\)"):
        words([dutch.segment], WordSettings(column="valeu"))


# ------------------------------------------------------------------- tables as people have them


def recorded(folder: Path, table: str, *, name: str = "sub-01_task-read") -> list[Segment]:
    """A recording whose events.tsv has this content; the recording itself is not read."""
    (folder / f"{name}_events.tsv").write_text(table, encoding="utf-8")
    signal = folder / f"{name}_ieeg.nwb"
    return [Segment("sub-01", "recording", signal, events=folder / f"{name}_events.tsv")]


SHOWN = "onset\tduration\ttrial_type\tvalue\n"


@pytest.mark.parametrize(
    ("table", "settings", "expected"),
    [
        # The type is the word.
        (
            "onset\tduration\ttrial_type\n1\t1\thuis\n3\t1\t+\n5\t1\tboom\n",
            {"trial_type": ("*", "!+"), "column": "trial_type"},
            ["huis", "boom"],
        ),
        # Several types, by pattern.
        (
            SHOWN + "1\t1\tword_noun\tkat\n3\t1\tfixation\t+\n5\t1\tword_verb\tloop\n",
            {"trial_type": "word_*"},
            ["kat", "loop"],
        ),
        (
            SHOWN + "1\t1\tread\tkat\n3\t1\trest\t+\n5\t1\tname\tloop\n",
            {"trial_type": ("read", "name")},
            ["kat", "loop"],
        ),
        # No type at all.
        ("onset\tduration\tword\n1\t1\tkat\n3\t1\thond\n", {}, ["kat", "hond"]),
        # `value` holds codes.
        (
            "onset\tduration\ttrial_type\tvalue\tword\n1\t1\tword\t17\tkat\n3\t1\tword\t18\t8\n",
            {},
            ["kat", "8"],
        ),
        # Words that are numbers stay words where nothing else holds any.
        (SHOWN + "1\t1\tword\t8\n3\t1\tword\t10\n", {}, ["8", "10"]),
    ],
)
def test_words_are_found_in_tables_of_many_forms(tmp_path, table, settings, expected) -> None:
    found = words(recorded(tmp_path, table), WordSettings(**settings))
    assert found["word"].tolist() == expected
    assert found["onset"].tolist() == [1.0, 5.0] or found["onset"].tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("onset\tduration\tword\n1\t1\tkat\n3\t1\thond\n", "all of its 2 rows are taken"),
        ("onset\tduration\tvalue\tword\n1\t1\t3\tkat\n3\t1\t4\tja\n", "from the column 'word'"),
        (SHOWN + "1\t1\tword\t8\n3\t1\tword\t10\n", "are numbers; if they are codes"),
        (SHOWN + "1\t.2\tword\tkat\n1.3\t.2\tword\tja\n", "as in running speech"),
    ],
)
def test_what_is_assumed_of_a_table_is_said(tmp_path, caplog, table, said) -> None:
    with caplog.at_level(logging.WARNING, "highgamma"):
        words(recorded(tmp_path, table), WordSettings())
    assert said in caplog.text


PHONES = (
    "onset\tduration\ttrial_type\tvalue{column}\n"
    "1.0\t0.1\tword\tkat{k}\n1.1\t0.2\tword\tkat{a}\n1.3\t0.1\tword\tkat{t}\n"
    "3.0\t0.2\tword\tja{j}\n3.2\t0.3\tword\tja{a}\n"
)


def test_rows_of_phones_become_words(tmp_path, caplog) -> None:
    table = PHONES.format(column="\tphone", k="\tk", a="\ta", t="\tt", j="\tj")
    found = words(recorded(tmp_path, table), WordSettings())
    assert found["word"].tolist() == ["kat", "ja"]
    np.testing.assert_allclose(found["onset"], [1.0, 3.0])
    np.testing.assert_allclose(found["offset"], [1.4, 3.5])
    assert "5 rows are joined to 2 words" in caplog.text


def test_whether_repeated_rows_are_phones_is_asked_for(tmp_path) -> None:
    segments = recorded(tmp_path, PHONES.format(column="", k="", a="", t="", j=""))
    with pytest.raises(InputError, match="3 of 5 rows go on with the word"):
        words(segments, WordSettings())
    assert len(words(segments, WordSettings(repeated="merge"))) == 2
    assert len(words(segments, WordSettings(repeated="keep"))) == 5


def test_annotations_of_the_file_serve_where_there_is_no_table(tmp_path) -> None:
    """EDF+ with words as annotations, written by edfio, which is not what reads them."""
    import edfio

    folder = tmp_path / "sub-01/ieeg"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).normal(size=512 * 10)
    edfio.Edf(
        [edfio.EdfSignal(noise, 512, label="LA1", physical_dimension="uV")],
        annotations=[
            edfio.EdfAnnotation(1.5, 0.8, "word_huis"),
            edfio.EdfAnnotation(4.25, 0.5, "één"),
            edfio.EdfAnnotation(6.0, None, "rest"),
        ],
    ).write(folder / "sub-01_task-read_ieeg.edf")
    settings = WordSettings(trial_type=("*", "!rest"))
    found = words(find(tmp_path, "sub-01"), settings)
    assert found["word"].tolist() == ["word_huis", "één"]
    np.testing.assert_allclose(found["onset"], [1.5, 4.25])
    np.testing.assert_allclose(found["offset"], [2.3, 4.75])


# ----------------------------------------------------------------------- TextGrids and the voice


def test_textgrids_of_praat_are_read(shared_data: Path) -> None:
    folder = shared_data / "audio_aligned"
    bobby = textgrid_words(folder / "bobby_words.TextGrid")
    assert bobby["word"].tolist() == ["BOBBY", "RIPPED", "THE", "LEDGER"]
    assert bobby["onset"].iloc[0] == pytest.approx(0.0646912, abs=1e-6)
    assert bobby["offset"].iloc[-1] == pytest.approx(1.1171483, abs=1e-6)
    # A short one in which phones, words and points of pitch stand together.
    mary = textgrid_words(folder / "mary.TextGrid")
    assert mary["word"].tolist() == ["mary", "rolled", "the", "barrel"]
    assert mary["onset"].iloc[2] == pytest.approx(0.9839070, abs=1e-6)
    with pytest.raises(InputError, match="which of 1 tiers has the words"):
        textgrid_words(folder / "bobby_phones.TextGrid")
    with pytest.raises(InputError, match="no tier 'wrods'"):
        textgrid_words(folder / "mary.TextGrid", "wrods")


def test_a_textgrid_in_utf_16_is_read_and_a_damaged_one_refused(shared_data, tmp_path) -> None:
    text = (shared_data / "audio_aligned/mary.TextGrid").read_text("utf-8")
    path = tmp_path / "a.TextGrid"
    path.write_text(text.replace('"mary"', '"één"'), encoding="utf-16")
    assert textgrid_words(path)["word"].iloc[0] == "één"
    for damaged in (
        b"",
        b"\xff\xfe\x00",
        text.encode("latin-1", "replace")[50:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="the TextGrid cannot be read"):
            textgrid_words(path)
    path.write_bytes(text[:300].encode())
    with pytest.raises(InputError, match="which of 1 tiers has the words is not stated"):
        textgrid_words(path)


def test_words_of_a_textgrid_have_the_times_of_the_voice(shared_data: Path, copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    assert segment.events is not None
    segment.events.unlink()
    beside = segment.signal.name.replace("_ieeg.nwb", "_words.TextGrid")
    shutil.copy(shared_data / "audio_aligned/mary.TextGrid", segment.signal.with_name(beside))
    table = words(find(copied, "sub-01"), WordSettings())
    assert table["word"].tolist() == ["mary", "rolled", "the", "barrel"]
    assert table["voice_onset"].tolist() == table["onset"].tolist()
    # They are not searched for again.
    sound = audio_file(shared_data / "audio_aligned/mary.wav")
    assert with_voice(table, [sound])["voice_onset"].tolist() == table["onset"].tolist()
    with pytest.raises(InputError, match="no TextGrid was found"):
        segment.signal.with_name(beside).unlink()
        words(find(copied, "sub-01"), WordSettings(source="textgrid"))


def test_in_running_speech_the_times_of_the_table_count(tmp_path, shared_data: Path) -> None:
    """mary.wav's four words, as rows of events.tsv: the loudest stretch is not the first word's."""
    aligned = textgrid_words(shared_data / "audio_aligned/mary.TextGrid")
    rows = "".join(
        f"{w.onset}\t{w.offset - w.onset}\tword\t{w.word}\n" for w in aligned.itertuples()
    )
    table = words(recorded(tmp_path, SHOWN + rows), WordSettings())
    np.testing.assert_allclose(table["voice_onset"], aligned["onset"])
    np.testing.assert_allclose(table["voice_offset"], aligned["offset"])
    prompts = words(recorded(tmp_path, SHOWN + rows), WordSettings(times="prompt"))
    assert prompts["voice_onset"].isna().all()


def test_words_are_found_by_their_voice_alone(tmp_path) -> None:
    rng = np.random.default_rng(0)
    rate, onsets = 16_000, np.arange(1.0, 190.0, 2.3)
    sound = 0.001 * rng.standard_normal(rate * 200)
    for onset in onsets:
        here = slice(round(onset * rate), round((onset + 0.6) * rate))
        sound[here] += 0.3 * rng.standard_normal(here.stop - here.start)
    one = Sound(sound.astype(np.float32), float(rate), 0.5)
    segments = recorded(tmp_path, SHOWN)
    found = words(segments, WordSettings(source="voice"), sounds=[one])
    assert len(found) == len(onsets) and set(found["word"]) == {UNKNOWN}
    np.testing.assert_allclose(found["onset"], onsets + 0.5, atol=0.02)
    np.testing.assert_allclose(found["offset"] - found["onset"], 0.6, atol=0.03)
    np.testing.assert_array_equal(found["voice_onset"], found["onset"])
    with pytest.raises(InputError, match="no sound to find words in"):
        words(segments, WordSettings(source="voice"))


def test_events_of_another_type_end_words_without_a_duration(tmp_path) -> None:
    """Codes as in auditory naming: 401 a question begins, 402 it ends, 501 the answer begins."""
    rows = [(1, 401), (2.5, 402), (3, 501), (6, 401), (7, 402), (10, 401), (12, 501)]
    table = "onset\tduration\ttrial_type\n" + "".join(f"{t}\t0\t{c}\n" for t, c in rows)
    settings = WordSettings(trial_type="401", column="trial_type", until="402", times="prompt")
    found = words(recorded(tmp_path, table), settings)
    assert found["onset"].tolist() == [1, 6, 10]
    np.testing.assert_array_equal(found["offset"], [2.5, 7, np.nan])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            "onset\tduration\ttrial_type\n1\t1\tword\n",
            "no column `value`, nor another that usually holds words",
        ),
        ("onset\ttrial_type\tvalue\n1\tword\tkat\n", "the table has no column 'duration'"),
        (
            SHOWN + "1\t1\tword\tkat\n2\t1\tword\tn/a\n",
            "1 of 2 rows of words have none",
        ),
    ],
)
def test_events_without_words_are_refused(tmp_path: Path, table: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        words(recorded(tmp_path, table), WordSettings())


def test_a_tier_of_silence_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_text(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1\n<exists>\n1\n'
        '"IntervalTier"\n"words"\n0\n1\n1\n0\n1\n"sil"\n'
    )
    with pytest.raises(InputError, match="the tier 'words' has no words"):
        textgrid_words(path)

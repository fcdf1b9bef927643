"""Transcripts of a stimulus that all participants heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from highgamma.errors import InputError
from highgamma.recording.stimuli import stimuli
from highgamma.recording.stimulus import transcript


@pytest.mark.parametrize(
    "features", ["whisper-medium", "spectral", "phonetic", "gpt2-xl", "syntactic"]
)
def test_transcripts_of_different_row_counts_name_the_same_words(
    shared_data: Path, features: str
) -> None:
    folder = shared_data / "bids_metadata" / "ds005574_podcast" / "stimuli"
    plain = pd.read_csv(folder / "whisper-medium" / "transcript.tsv", sep="\t", quoting=3)
    expected = dict(zip(plain["word_idx"], plain["word"].astype(str), strict=True))
    table = transcript(folder / features / "transcript.tsv")
    assert table["word_idx"].is_unique
    assert len(table) > 5000
    assert (np.diff(table["onset"]) >= 0).all()
    different = [
        w for i, w in zip(table["word_idx"], table["word"], strict=True) if expected.get(i, w) != w
    ]
    assert not different


def test_the_film_transcript_is_read_by_its_own_column_names(shared_data: Path) -> None:
    folder = shared_data / "bids_metadata" / "ds003688_dutch_film" / "stimuli"
    table = transcript(folder / "annotations" / "sound" / "sound_annotation_words.tsv")
    assert table["word"].tolist()[:2] == ["pippi", "wil"]
    assert table["onset"].tolist()[:2] == pytest.approx([30.736, 31.59])
    assert len(table) == 446


def test_an_unsorted_transcript_with_tokens_and_durations(tmp_path: Path, caplog) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "Word,Onset,Duration,word_idx\nnull,2.0,0.5,1\n10,1.0,0.25,0\n10,1.25,0.25,0\nNA,,,2\n"
    )
    table = transcript(path)
    assert table["word"].tolist() == ["10", "null"]
    assert table["onset"].tolist() == [1.0, 2.0]
    assert table["offset"].tolist() == [1.5, 2.5]
    assert "1 rows have no word or no time" in caplog.text
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="the transcript has the columns a, b"):
        transcript(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.tsv", "word\tonset\toffset\nkat\t2\t1\n", "1 words end before they begin"),
        ("t.tsv", "word\tonset\toffset\nn/a\t1\t2\n", "the transcript has no words"),
        ("t.csv", "", "the table cannot be read: No columns"),
    ],
)
def test_a_transcript_that_cannot_be_is_refused(tmp_path: Path, name, content, message) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message):
        transcript(tmp_path / name)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("sounds/*/*.wav", r"the pattern 'sounds/\*/\*\.wav' cannot be used"),
        ("../*.wav", "cannot be used"),
        ("sounds/*.wav", r"no file matches 'sounds/\*\.wav'"),
    ],
)
def test_a_pattern_of_no_stimuli_is_refused(tmp_path: Path, pattern: str, message: str) -> None:
    (tmp_path / "sounds").mkdir()
    with pytest.raises(InputError, match=message):
        stimuli(tmp_path, {"audio": pattern})

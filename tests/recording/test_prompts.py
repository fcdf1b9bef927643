"""Words of a recording, from events.tsv or the stimulus stream."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from dutch_recording import WORDS

from highgamma.errors import InputError
from highgamma.recording.files import Segment, find
from highgamma.recording.prompts import words


def test_words_are_strings_in_time_order(dutch: SimpleNamespace) -> None:
    table = words([dutch.segment])
    assert table["word"].tolist() == WORDS
    np.testing.assert_allclose(table["onset"], 2.0 * np.arange(6))
    np.testing.assert_allclose(table["offset"] - table["onset"], 1.5)
    assert set(table["segment_label"]) == {"recording"}


def test_words_come_from_the_stimulus_stream_where_events_lack(copied: Path) -> None:
    segment = find(copied, "sub-01")[0]
    assert segment.events is not None
    segment.events.unlink()
    table = words(find(copied, "sub-01"))
    assert table["word"].tolist() == WORDS
    np.testing.assert_allclose(table["onset"], 2.0 * np.arange(6), atol=1e-6)
    np.testing.assert_allclose(table["offset"] - table["onset"], 1.5, atol=1e-6)


def test_no_words_is_an_error_that_lists_the_trial_types(
    film: Callable[[str], list[Segment]],
) -> None:
    segments = film("sub-09")
    with pytest.raises(InputError) as error:
        words(segments)
    assert "speech (6)" in str(error.value)
    assert "dataset.words" in str(error.value)


def test_a_wrong_word_column_is_answered_with_the_nearest(dutch: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="'value'"):
        words([dutch.segment], column="valeu")

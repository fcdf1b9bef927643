"""A reader gives the samples and channels that were asked for, whatever lies behind it."""

from __future__ import annotations

import numpy as np
import pytest

from highgamma.errors import InputError
from highgamma.recording.reader import Reader

VALUES = np.arange(60.0).reshape(12, 5)


def reader(**options):
    return Reader.of_array(VALUES, rate=4.0, names="abcde", **options)


def test_a_stretch_of_some_channels_is_read():
    assert np.array_equal(reader().read(), VALUES)
    assert np.array_equal(reader().read(3, 7, slice(1, 3)), VALUES[3:7, 1:3])
    assert reader().duration == 3.0


def test_what_lies_beyond_either_end_is_left_out():
    assert np.array_equal(reader().read(-5, 4), VALUES[:4])
    assert np.array_equal(reader().read(10, 99), VALUES[10:])


def test_channels_are_selected_by_name_in_the_order_wanted():
    some = reader(start=1.5, where="x.nwb").select(["e", "a", "c"])
    assert some.names == ("e", "a", "c")
    assert (some.rate, some.n_samples, some.start, some.where) == (4.0, 12, 1.5, "x.nwb")
    assert np.array_equal(some.read(2, 5), VALUES[2:5, [4, 0, 2]])
    assert np.array_equal(some.select(["c"]).read(2, 5), VALUES[2:5, [2]])
    assert np.array_equal(some.read(2, 5, slice(1, 3)), VALUES[2:5, [0, 2]])


def test_no_channel_at_all_gives_an_empty_array():
    assert reader().select([]).read(2, 5).shape == (3, 0)


def test_an_unknown_channel_is_answered_with_the_nearest_name():
    signals = Reader.of_array(VALUES, rate=4.0, names=["LA1", "LA2", "B1", "B2", "C"], where="x")
    with pytest.raises(InputError, match="did you mean 'LA2'"):
        signals.select(["LA2b"])


@pytest.mark.parametrize("piece", [1, 5, 12, 100])
def test_reading_piece_by_piece_changes_nothing(piece):
    asked = []

    def fetch(start, stop, columns):
        asked.append(stop - start)
        return VALUES[start:stop, list(columns)]

    names = tuple("abcde")
    pieces = Reader(names=names, rate=4.0, n_samples=12, fetch=fetch, piece=piece)
    assert np.array_equal(pieces.read(1, 12, slice(2, 5)), VALUES[1:12, 2:5])
    assert max(asked) <= piece

from __future__ import annotations

import numpy as np
import pytest
from worlds import frames, words

from highgamma.encoding.splits import Rows, inner_groups, split_rows
from highgamma.errors import InputError


def brute_distance(rows, train, test):
    best = np.inf
    for a in np.flatnonzero(train):
        for b in test:
            if rows.segment[a] == rows.segment[b]:
                apart = max(rows.start[a] - rows.stop[b], rows.start[b] - rows.stop[a], 0)
                best = min(best, apart)
    return best


@pytest.mark.parametrize("segments", [1, 3, 7])
@pytest.mark.parametrize("scheme", ["contiguous", "recording", "shuffled"])
def test_every_frame_is_held_out_once_and_the_gap_is_kept(scheme, segments):
    if scheme == "recording" and segments == 1:
        pytest.skip("one recording cannot be left out")
    rows = frames(420, segments=segments, rate=20.0)
    gap = 0.3 if scheme != "shuffled" else 0.0
    split = split_rows(rows, scheme=scheme, folds=5, gap=gap, step=0.05)
    held_out = np.concatenate([fold.test for fold in split.folds])
    assert sorted(held_out) == list(range(420))
    distances = [brute_distance(rows, fold.train, fold.test) for fold in split.folds]
    assert min(distances) >= gap - 1e-9
    assert split.distance == pytest.approx(min(distances))
    for fold in split.folds:
        left = ~fold.train
        left[fold.test] = False
        for row in np.flatnonzero(left):
            one = np.zeros(420, dtype=bool)
            one[row] = True
            assert brute_distance(rows, one, fold.test) < gap


def test_a_purge_does_not_cross_a_segment_border():
    rows = frames(200, segments=2, rate=20.0)
    split = split_rows(rows, scheme="contiguous", folds=2, gap=1.0, step=0.05)
    assert all(fold.train.sum() == 100 for fold in split.folds)
    assert split.distance == np.inf


def test_a_repeated_word_is_never_on_both_sides():
    identities = np.random.default_rng(1).integers(0, 12, 60)
    rows = words(60, identities=identities)
    for scheme in ("word", "leave-one-word-out"):
        split = split_rows(rows, scheme=scheme, folds=4, gap=0.0)
        for fold in split.folds:
            assert not set(identities[fold.train]) & set(identities[fold.test])


def test_trials_stay_whole():
    rows = frames(300, rate=10.0)
    trial = np.arange(300) // 10
    rows = Rows(rows.start, rows.stop, rows.segment, trial, trial)
    split = split_rows(rows, scheme="trial", folds=5, gap=0.2)
    for fold in split.folds:
        assert not set(trial[fold.train]) & set(trial[fold.test])


def test_folds_shorter_than_the_gap_are_refused_with_both_numbers():
    with pytest.raises(InputError, match=r"lasts 0\.2 s, the gap 0\.5 s") as error:
        split_rows(frames(200), scheme="contiguous", folds=10, gap=0.5, step=0.01)
    assert "fewer folds" in str(error.value)


def test_more_folds_than_samples_are_refused():
    with pytest.raises(InputError, match="3 usable samples for 10 folds"):
        split_rows(frames(3), scheme="contiguous", folds=10, gap=0.0)


def test_one_recording_cannot_be_left_out():
    with pytest.raises(InputError, match="there are 1 recordings, too few for the split"):
        split_rows(frames(100), scheme="recording")


def test_a_fold_is_called_by_what_it_leaves_out():
    # Ten samples a second; recordings 3 and 7 of ten samples each, whose clocks start at 0.
    time = np.tile(np.arange(10) / 10, 2)
    number = np.repeat([3, 7], 10)
    rows = Rows(time, time, number, np.arange(20), np.arange(20))
    by_recording = split_rows(rows, scheme="recording", gap=0.1)
    assert [fold.label for fold in by_recording.folds] == ["recording 3", "recording 7"]
    contiguous = split_rows(rows, scheme="contiguous", folds=4, gap=0.1)
    assert [fold.label for fold in contiguous.folds] == [
        *("3:0.00-3:0.40 s", "3:0.50-3:0.90 s", "7:0.00-7:0.40 s", "7:0.50-7:0.90 s"),
    ]
    trial = split_rows(rows, scheme="trial", folds=4, gap=0.1)
    assert [fold.label for fold in trial.folds] == ["trial 0", "trial 1", "trial 2", "trial 3"]


def test_inner_folds_are_the_other_blocks_or_fixed_runs_of_them():
    assert inner_groups(3, 9) == (((1,), (2,)), ((0,), (2,)), ((0,), (1,)))
    assert inner_groups(6, 2)[1] == ((0, 2), (3, 4, 5))
    assert inner_groups(6, 2)[4] == ((0, 1, 2), (3, 5))


def test_only_shuffled_splits_are_leaky():
    assert split_rows(frames(100), scheme="shuffled", folds=5).leaky
    assert not split_rows(frames(100), scheme="contiguous", folds=5, gap=0.05).leaky


def test_a_gap_that_leaves_no_sample_to_train_on_is_refused():
    with pytest.raises(InputError, match="fold 0 leaves no sample to train on beyond the gap of 9"):
        split_rows(words(4), scheme="word", folds=2, gap=9.0)

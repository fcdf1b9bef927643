"""Nuisances, against plain loops over words and sound."""

from __future__ import annotations

import json

import numpy as np
import pytest

from highgamma.embeddings import nuisances
from highgamma.embeddings.stream import GROUPS, Audio, Words
from highgamma.errors import InputError

RATE = 1000.0


def words(**changes):
    given = {
        "word": ("fiets", "de", "qwzx"),
        "segment": np.array([0, 0, 1]),
        "onset": np.array([1.0, 4.0, 0.5]),
        "offset": np.array([3.0, 6.0, 2.5]),
        "voice_onset": np.array([1.5, np.nan, 0.8]),
        "voice_offset": np.array([2.1, np.nan, 1.3]),
    }
    return Words(**(given | changes))


def audio():
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(11_000)).astype(np.float32)
    samples[1500:2100] *= 8
    return Audio(samples, RATE, (0, 1), (0, 7000), (0.0, 0.0))


SILENT = Audio(np.empty(0, np.float32), float("nan"), (), (), ())
EXTENTS = [(0, 0.0, 7.0), (1, 0.0, 4.0)]


def columns(embeddings):
    """Each group's features (sample, feature)."""
    values = np.concatenate(list(embeddings.blocks), axis=1)[0]
    assert values.shape == (embeddings.n_samples, embeddings.width)
    edge, found = 0, {}
    for name, width in json.loads(embeddings.attributes[GROUPS]):
        found[name] = values[:, edge : edge + width]
        edge += width
    assert edge == embeddings.width
    return found


def test_frames_say_voice_prompt_and_loudness_at_every_lag_and_the_rate():
    made = nuisances.frame_nuisances(words(), audio(), EXTENTS, shift=0.01)
    groups = columns(made)
    assert list(groups) == list(nuisances.FRAME_GROUPS)
    time, segment = made.coordinates["time"], made.coordinates["segment"]
    for k, lag in enumerate(nuisances.LAGS_S):
        earlier = time - lag
        voice = (segment == 0) & (earlier > 1.53) & (earlier < 2.07)
        assert (groups["voice"][voice, k] == 1).all()
        silent = (segment == 0) & ((earlier < 1.47) | (earlier > 2.13))
        assert (groups["voice"][silent, k] == 0).all()
        shown = (segment == 1) & (earlier > 0.53) & (earlier < 2.47)
        assert (groups["prompt"][shown, k] == 1).all()
    zero = nuisances.LAGS_S.index(0.0)
    loud = (segment == 0) & (time > 1.55) & (time < 2.05)
    assert groups["envelope"][loud, 2 * zero].mean() == pytest.approx(0.8, rel=0.1)
    rate = groups["word-rate"][:, 0]
    # Lags of so smooth a course would be copies of it.
    assert groups["word-rate"].shape[1] == 1
    at = (segment == 0) & (np.abs(time - 4.0) < 0.006)
    gaussian = np.exp(-0.5 * np.array([3.0, 0.0]) ** 2).sum() / np.sqrt(2 * np.pi)
    assert rate[at].mean() == pytest.approx(gaussian, rel=1e-3)
    assert made.attributes["reach_s"] == max(nuisances.LAGS_S)


def test_a_recording_in_which_several_stimuli_play_is_loud_with_each():
    tone = np.sin(2 * np.pi * 100 * np.arange(2000) / RATE).astype(np.float32)
    played = Audio(np.r_[0.2 * tone, 0.8 * tone], RATE, (0, 0), (0, 2000), (1.0, 4.0))
    made = nuisances.frame_nuisances(words(), played, [(0, 0.0, 7.0)], shift=0.01)
    time, zero = made.coordinates["time"], nuisances.LAGS_S.index(0.0)
    amplitude = columns(made)["envelope"][:, 2 * zero]
    first, second = (time > 1.1) & (time < 2.9), (time > 4.1) & (time < 5.9)
    # The mean of a rectified sine is 2 / π of its peak, its root mean square 1 / √2.
    assert amplitude[second].mean() / amplitude[first].mean() == pytest.approx(4, rel=1e-3)
    assert 0.2 * 2 / np.pi <= amplitude[first].mean() <= 0.2
    assert amplitude[(time < 0.9) | (time > 6.1) | ((time > 3.1) & (time < 3.9))].max() == 0


def test_a_word_follows_its_length_level_and_place():
    groups = columns(nuisances.word_nuisances(words(), audio(), language="nl"))
    # The voice's share of a window is added where the window is known.
    assert list(groups) == [name for name in nuisances.WORD_GROUPS if name != nuisances.VOICE]
    assert groups["length"][:, 0].tolist() == [5, 2, 4]
    # A voice that was not found leaves the prompt's span, and the others' mean latency.
    np.testing.assert_allclose(groups["duration"][:, 0], [0.6, 2.0, 0.5], rtol=1e-6)
    np.testing.assert_allclose(groups["latency"][:, 0], [0.5, 0.4, 0.3], rtol=1e-6)
    assert groups["trial-number"][:, 0].tolist() == [0, 1, 0]
    heard = audio().samples[1500:2100].astype(float)
    assert groups["loudness"][0, 0] == pytest.approx(10 * np.log10((heard**2).mean()), abs=1e-3)
    frequency = groups["frequency"][:, 0]
    assert frequency[1] > 7 > frequency[0] > 4 and frequency[2] == 0


def test_what_is_not_known_is_left_out_and_named(caplog):
    caplog.set_level("INFO", "highgamma")
    groups = columns(nuisances.word_nuisances(words(), SILENT, language=None))
    assert set(groups) == {"duration", "latency", "length", "trial-number"}
    assert "dataset.language" in caplog.text and "loudness" in caplog.text
    never = np.full(3, np.nan)
    unheard = nuisances.frame_nuisances(
        words(voice_onset=never, voice_offset=never), SILENT, EXTENTS, shift=0.1
    )
    # Without a voice, the words' own spans stand for it.
    assert list(columns(unheard)) == ["voice", "word-rate"]
    empty = Words((), np.empty(0, int), *(np.empty(0) for _ in range(4)))
    nothing = columns(nuisances.frame_nuisances(empty, SILENT, EXTENTS, shift=0.1))
    assert list(nothing) == ["none"] and (nothing["none"] == 0).all()


def test_a_language_without_a_list_is_refused_with_those_that_have_one():
    with pytest.raises(InputError, match="known for the language 'xx'") as refused:
        nuisances.word_nuisances(words(), SILENT, language="xx")
    assert "nl" in str(refused.value) and "null" in str(refused.value)

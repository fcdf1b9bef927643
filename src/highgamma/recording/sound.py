"""The sound of a recording, 16 kHz mono, on the time axis of its neural signals."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError
from highgamma.recording.alignment import align
from highgamma.recording.files import Segment
from highgamma.recording.gaps import filled
from highgamma.recording.opening import open_signals
from highgamma.recording.reader import Reader
from highgamma.recording.resampling import ratio, resampled
from highgamma.recording.settings import AudioSettings
from highgamma.recording.sidecars import read_json
from highgamma.recording.signals import Signals

FloatArray = NDArray[np.float64]
SoundArray = NDArray[np.float32]

LOG = logging.getLogger("highgamma")

SERIES = "Audio"
"""Name of the series of a recording's file that holds the sound."""

RATE = 16_000
"""The rate that speech models hear at, Hz."""

LOWEST_RATE, HIGHEST_RATE = 100.0, 4e6
"""Rates that sound is read at, Hz; resampling from others would take memory without bound."""

TOLERANCE = 0.1
"""How much sound may be missing at either end of the recording, s; it is filled with silence."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono sound of a segment.

    Attributes
    ----------
    samples
        (sample,), float32, peak ±1; none if there is no sound. Sample k is at `start + k / rate` s
        of the segment.
    rate
        Hz.
    start
        Time of sample 0, s.
    peak
        What the samples were divided by, in the source's own unit.
    """

    samples: SoundArray
    rate: float
    start: float = 0.0
    peak: float = 0.0

    def times(self) -> FloatArray:
        """Return the time of each sample, s from the start of the segment's neural recording."""
        return self.start + np.arange(self.samples.size) / self.rate


SILENCE = Sound(np.empty(0, np.float32), float(RATE))


def audio(
    segment: Segment,
    settings: AudioSettings | None = None,
    *,
    rate: int = RATE,
    signals: Signals | None = None,
) -> Sound:
    """Read a recording's sound, resampled, scaled by its peak and cut to the neural recording.

    Anti-aliased polyphase resampling by a ratio of small whole numbers. The time axis is exact:
    47999.187 Hz is resampled by 1/3 to 15999.729 Hz. Sound before and after the neural recording
    is cut off; up to 0.1 s that is missing at either end is silence.

    Parameters
    ----------
    segment
        From `find`.
    settings
        Where the sound is, and when a file of it begins; by default the recording's series
        `Audio`, else a WAV or FLAC file next to it, else none.
    rate
        Nominal rate wanted, Hz.
    signals
        The recording, if it is open already.

    Raises
    ------
    InputError
        If the source is absent, or shorter than the recording.
    """
    settings = settings or AudioSettings()
    if settings.source == "none":
        return SILENCE
    if signals is None:
        with open_signals(segment) as opened:
            return audio(segment, settings, rate=rate, signals=opened)
    with _source(segment, signals, settings) as sound:
        if sound is None:
            LOG.info("%s: no audio in the recording or next to it", segment.signal.name)
            return SILENCE
        _check_coverage(sound, signals, segment)
        return _resampled(sound, rate, stop=signals.elapsed)


def extent(
    segment: Segment, signals: Signals, settings: AudioSettings
) -> tuple[float, float, float] | None:
    """Return start and length (s) and rate (Hz) of the sound that `audio` would read, or None.

    Arguments and errors are those of `audio`; no sample is read but to compare channels, and start
    and stretch are not estimated.
    """
    if settings.source == "none":
        return None
    estimated = settings.reference is not None
    with _source(segment, signals, replace(settings, reference=None)) as sound:
        if sound is None:
            return None
        if not estimated:
            _check_coverage(sound, signals, segment)
        return sound.start, sound.duration, sound.rate


def audio_file(path: Path, rate: int = RATE) -> Sound:
    """Read a WAV or FLAC file whole: mono mean over channels, resampled, scaled by its peak."""
    with _file(path) as sound:
        return _resampled(sound, rate, stop=math.inf)


@contextmanager
def _source(segment: Segment, signals: Signals, settings: AudioSettings) -> Iterator[Reader | None]:
    source, channel = settings.source, settings.channel
    if source == "channel":
        if not channel:
            raise InputError(
                "the audio's source is a channel, but none is named",
                where="dataset.audio.channel",
                expected="the channel's name as in channels.tsv",
                remedy="write dataset.audio: {source: channel, channel: NAME}",
            )
        yield _mono(_channel(signals, channel), f"channel {channel}")
    elif source == "auto" and SERIES in signals.series:
        yield _mono(signals.series[SERIES](), f"series {SERIES}")
    elif source in ("auto", "file"):
        if segment.audio is not None:
            with _file(segment.audio) as sound:
                yield _placed(sound, segment.audio, signals, settings)
        elif source == "file":
            raise InputError(
                "no audio file was found next to the recording",
                where=segment.signal,
                expected="a WAV or FLAC file in the same folder whose name has the same entities",
                remedy="put the file there, or choose another dataset.audio.source",
            )
        else:
            yield None
    else:
        raise InputError(
            f"unknown source of audio {source!r}",
            where="dataset.audio.source",
            expected="auto, channel, file or none",
            remedy="correct it in the config",
        )


def _channel(signals: Signals, name: str) -> Reader:
    """Read a recorded channel, at its own rate where the file has several; gaps are silent."""
    if name not in signals.names and name in signals.series:
        return signals.series[name]()
    return filled(signals.select([name]), signals.gaps)


def _placed(sound: Reader, path: Path, signals: Signals, settings: AudioSettings) -> Reader:
    """Put a sound file on the recording's clock, and say what is assumed."""
    start, stretch = settings.start, settings.stretch or 1.0
    sidecar = path.with_suffix(".json")
    if settings.reference is not None:
        reference = _channel(signals, settings.reference)
        found = align(sound, reference, where="dataset.audio.reference")
        LOG.info(
            "%s: begins at %.3f s and is stretched by %.7g, from %d stretches of the channel %s "
            "(%.1f ms off)",
            path.name, found.start, found.stretch, found.places, settings.reference,
            1000 * found.residual_s,
        )  # fmt: skip
        return replace(sound, start=found.start, rate=sound.rate / found.stretch)
    if start is None and sidecar.is_file():
        stated = read_json(sidecar).get("StartTime")
        start = float(stated) if isinstance(stated, int | float) else None
    if start is None:
        longer = sound.duration * stretch - signals.elapsed
        if longer > TOLERANCE:
            LOG.warning(
                "%s is %.3f s longer than the recording (%.3f s): it is assumed that both begin "
                "together; if not, set dataset.audio.start, or a channel that heard the sound too "
                "(dataset.audio.reference)",
                path.name, longer, signals.elapsed,
            )  # fmt: skip
        start = 0.0
    return replace(sound, start=start, rate=sound.rate / stretch)


PROBES = 5
"""Number of stretches of a second in which the channels of a sound are compared."""


def _cancelling(sound: Reader) -> int | None:
    """Return the loudest channel if the mean over channels cancels them; None otherwise.

    The two wires of a balanced line carry the same voltage with opposite signs.
    """
    size = max(1, min(sound.n_samples, round(sound.rate)))
    starts = np.linspace(0, max(0, sound.n_samples - size), PROBES).astype(int)
    pieces = [np.asarray(sound.read(int(a), int(a) + size), dtype=np.float64) for a in starts]
    samples = np.concatenate([piece - piece.mean(axis=0) for piece in pieces])
    each = np.sqrt((samples**2).mean(axis=0))
    together = float(np.sqrt((samples.mean(axis=1) ** 2).mean()))
    return int(np.argmax(each)) if together < 0.2 * float(each.max()) / len(each) else None


def _mono(sound: Reader, name: str) -> Reader:
    """Read the mean over channels, as float32; of channels that cancel, the loudest."""
    only = _cancelling(sound) if len(sound.names) > 1 else 0
    if only is not None and len(sound.names) > 1:
        LOG.warning(
            "%s: the mean of its %d channels cancels them (a balanced line?); the loudest is "
            "taken, number %d",
            name, len(sound.names), only + 1,
        )  # fmt: skip

    def fetch(start: int, stop: int, _: Sequence[int]) -> SoundArray:
        values = np.asarray(sound.read(start, stop), dtype=np.float32)
        if only is not None:
            return values[:, only : only + 1]
        return np.asarray(values.mean(axis=1, dtype=np.float32, keepdims=True))

    return replace(sound, names=(name,), fetch=fetch, piece=None)


@contextmanager
def _file(path: Path) -> Iterator[Reader]:
    import soundfile

    def fetch(start: int, stop: int, _: Sequence[int]) -> SoundArray:
        try:
            opened.seek(start)
            values = np.asarray(opened.read(stop - start, dtype="float32", always_2d=True))
        except (OSError, RuntimeError) as error:
            raise _unreadable(path, str(error)) from error
        if len(values) < stop - start:
            raise _unreadable(path, f"it ends before sample {stop}")
        return values

    try:
        opened = soundfile.SoundFile(path)
    except (OSError, RuntimeError) as error:
        raise _unreadable(path, str(error)) from error
    with opened:
        # Arrays are made for as many samples as the header states: the last one must be there.
        if opened.frames:
            fetch(opened.frames - 1, opened.frames, (0,))

        sound = Reader(
            names=tuple(map(str, range(opened.channels))),
            rate=float(opened.samplerate),
            n_samples=opened.frames,
            fetch=fetch,
            where=str(path),
        )
        yield _mono(sound, path.name)


def _unreadable(path: Path, reason: str) -> InputError:
    return InputError(
        f"the audio file cannot be read: {reason}",
        where=path,
        expected="a whole WAV or FLAC file",
        remedy="convert it, or download it again",
    )


def _check_coverage(sound: Reader, signals: Signals, segment: Segment) -> None:
    """Refuse sound that is much shorter than the recording."""
    stop = sound.start + sound.duration
    late, early = sound.start, signals.elapsed - stop
    if late > TOLERANCE or early > TOLERANCE:
        raise InputError(
            f"the audio ({sound.names[0]}) covers {sound.start:.2f} to {stop:.2f} s "
            f"({sound.duration:.2f} s) of a recording of {signals.elapsed:.2f} s",
            where=segment.signal if segment.audio is None else segment.audio,
            expected=f"sound for the whole recording; at most {TOLERANCE:g} s may be missing",
            remedy="use the audio of this recording, state when it begins (dataset.audio.start), "
            "or set dataset.audio: {source: none} and leave out models and audits that need sound",
        )
    if late > 1 / sound.rate or early > 1 / sound.rate:
        LOG.info(
            "%s: %.4f s of sound are missing at the start and %.4f s at the end; they are silent",
            segment.signal.name,
            max(0.0, late),
            max(0.0, early),
        )


def _resampled(sound: Reader, rate: int, *, stop: float) -> Sound:
    if not LOWEST_RATE <= sound.rate <= HIGHEST_RATE:
        raise InputError(
            f"the audio ({sound.names[0]}) has a rate of {sound.rate:g} Hz",
            where=sound.where,
            expected=f"{LOWEST_RATE:g} to {HIGHEST_RATE:g} Hz",
            remedy="correct the file's header, or choose another dataset.audio.source",
        )
    if sound.rate < 8000:
        LOG.warning(
            "the audio (%s) was recorded at %g Hz: it holds nothing above %g Hz, where much of "
            "speech lies",
            sound.names[0],
            sound.rate,
            sound.rate / 2,
        )
    factor = ratio(sound.rate, rate)
    exact = sound.rate * factor.numerator / factor.denominator
    samples = resampled(sound, factor)
    start = sound.start
    before = max(0, math.ceil(-start * exact - 1e-6))
    samples, start = samples[before:], start + before / exact
    if math.isfinite(stop):
        lead = max(0, math.floor(start * exact + 1e-6))
        start -= lead / exact
        n_samples = max(0, math.ceil((stop - start) * exact - 1e-6))
        tail = max(0, n_samples - lead - samples.size)
        samples = np.pad(samples[: n_samples - lead], (lead, tail))
    if not np.isfinite(samples).all():
        raise InputError(
            f"the audio ({sound.names[0]}) holds {int((~np.isfinite(samples)).sum())} samples that "
            "are not numbers",
            where=sound.names[0],
            expected="finite samples",
            remedy="download the file again, or choose another dataset.audio.source",
        )
    peak = float(np.max(np.abs(samples), initial=0.0))
    if peak > 0:
        samples = samples / np.float32(peak)
    elif samples.size:
        LOG.warning("the audio (%s) is silent throughout", sound.names[0])
    return Sound(np.ascontiguousarray(samples, np.float32), exact, start, peak)

"""The stage `contamination`: the audit of every electrode, as analysed and as recorded."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma import neural
from highgamma.contamination.audit import SoundAudit, audit, unjudged
from highgamma.contamination.settings import ContaminationSettings
from highgamma.contamination.spectra import mains_lines
from highgamma.recording.reader import Reader

if TYPE_CHECKING:
    import xarray as xr

LOG = logging.getLogger("highgamma")


def voice_readers(audio: xr.Dataset, n_segments: int) -> list[Reader | None]:
    """Read the audio of each segment on its own clock; None for a segment without audio.

    Parameters
    ----------
    audio
        `audio(time)` with coordinates `time` (s) and `segment`; the rate is that of `time`.
    n_segments
        Number of segments.
    """
    sound = audio["audio"].values
    time, segment = audio["time"].values, audio["segment"].values
    readers: list[Reader | None] = []
    for index in range(n_segments):
        samples = np.flatnonzero(segment == index)
        if len(samples) < 2:
            readers.append(None)
            continue
        first, last = int(samples[0]), int(samples[-1]) + 1
        readers.append(
            Reader.of_array(
                np.asarray(sound[first:last], dtype=np.float64)[:, None],
                rate=(last - first - 1) / float(time[last - 1] - time[first]),
                names=("audio",),
                start=float(time[first]),
            )
        )
    return readers


def contamination(
    audio: xr.Dataset,
    recordings: Sequence[Reader],
    electrodes: neural.Electrodes,
    settings: ContaminationSettings,
    *,
    reference: str = "none",
    artefacts: neural.ArtefactSettings | None = None,
    mains: float | None = None,
) -> xr.Dataset:
    """Audit every electrode, as it is analysed and as it was recorded.

    A data set without audio cannot be audited: every p is NaN, with a warning.

    Parameters
    ----------
    audio
        `audio(time)` with coordinates `time` (s) and `segment`.
    recordings
        The electrodes' signals, one reader for each segment.
    electrodes
        The electrodes.
    settings
        The audit's settings.
    reference
        The reference scheme of the neural stage.
    artefacts
        What the neural stage takes for artefacts. They are left out, except bursts: a burst may be
        the sound that the audit looks for.
    mains
        Mains frequency that the recording's sidecar states, Hz.

    Returns
    -------
    audit : Dataset
        Along `channel` (after re-referencing): `matrix` and `locking` (channel, frequency_audio,
        frequency), `diagonal(channel, frequency)` of the latter, `delay`, `excess`, `p`; scalar
        `p_recording`, `pitch_shift` (semitones) and `p_pitch_shift`, its evidence; attribute
        `status`. Along `recorded_channel`: `excess_recorded`, `p_recorded`; scalar
        `p_recording_recorded`.

    Raises
    ------
    InputError
        See `audit` and `neural.rereference`.
    """
    voices = voice_readers(audio, len(recordings))
    if artefacts is not None:
        artefacts = replace(artefacts, burst=np.inf)
    prepared = neural.rereference(recordings, electrodes, reference, artefacts=artefacts)
    judged = any(voice is not None for voice in voices)
    if not judged:
        LOG.warning("there is no audio (dataset.audio): contamination cannot be judged")

    def audited(signals: Sequence[Reader], masks: Sequence[neural.Mask]) -> SoundAudit:
        if not judged:
            return unjudged(len(signals[0].names))
        return audit(voices, signals, settings, masks=masks, mains=mains)

    analysed = audited(prepared.recordings, prepared.masks)
    as_recorded = analysed
    if not prepared.montage.is_as_recorded:
        as_recorded = audited(prepared.recorded, prepared.recorded_masks)
    return _dataset(
        analysed,
        as_recorded,
        coordinates={
            **neural.channel_coordinates(prepared),
            "recorded_channel": ("recorded_channel", np.array(electrodes.names, dtype=object)),
        },
        attributes={
            **asdict(settings),
            "reference": reference,
            "mains": ", ".join(f"{line:g}" for line in mains_lines(settings, mains)),
        },
    )


def _dataset(
    analysed: SoundAudit,
    as_recorded: SoundAudit,
    *,
    coordinates: dict[str, Any],
    attributes: dict[str, Any],
) -> xr.Dataset:
    import xarray as xr

    pairs = ("channel", "frequency_audio", "frequency")
    correlation = {"long_name": "correlation of log amplitudes over time"}
    locking = {"long_name": "advance of phase in step with the sound's, at the delay"}
    diagonal = {"long_name": "locking at the same frequency in both"}
    delay = {"units": "s", "long_name": "electrode after audio where the excess is largest"}
    hertz = {"units": "Hz"}
    pitch_shift = {
        "units": "semitone",
        "long_name": "shift of the audio's pitch with most evidence",
    }
    attributes["enabled"] = int(attributes["enabled"])  # NetCDF has no booleans
    attributes = {key: value for key, value in attributes.items() if value is not None}
    return xr.Dataset(
        {
            "matrix": (pairs, analysed.matrix, correlation),
            "locking": (pairs, analysed.locking, locking),
            "diagonal": (
                ("channel", "frequency"),
                np.einsum("cff->cf", analysed.locking),
                diagonal,
            ),
            "delay": ("channel", analysed.delay, delay),
            "excess": ("channel", analysed.excess),
            "p": ("channel", analysed.p),
            "p_recording": ((), analysed.p_recording),
            "pitch_shift": ((), analysed.pitch.shift, pitch_shift),
            "p_pitch_shift": ((), analysed.pitch.p),
            "excess_recorded": ("recorded_channel", as_recorded.excess),
            "p_recorded": ("recorded_channel", as_recorded.p),
            "p_recording_recorded": ((), as_recorded.p_recording),
        },
        coords={
            **coordinates,
            "frequency": ("frequency", analysed.frequencies, hertz),
            "frequency_audio": ("frequency_audio", analysed.frequencies, hertz),
        },
        attrs={
            "surrogates": analysed.surrogates,
            "status": analysed.status,
            "pitch_shift_found": int(analysed.pitch.altered),
            **attributes,
        },
    )

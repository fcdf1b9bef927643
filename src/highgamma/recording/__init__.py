"""From a BIDS-iEEG data set to signals, words, audio and channels.

`files` finds what belongs to a participant and imports nothing heavy, so that a workflow can ask
it while it builds its graph. The other names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from highgamma.recording.files import Segment, StimulusFiles, find, participants, stimulus_files

if TYPE_CHECKING:
    from highgamma.recording.electrodes import channels, common_channels
    from highgamma.recording.outputs import Recorded, record
    from highgamma.recording.prompts import words
    from highgamma.recording.signals import Amplitude, Signals, amplitude, open_signals
    from highgamma.recording.sound import Audio, audio, audio_file
    from highgamma.recording.speech import voice
    from highgamma.recording.stimulus import transcript

_HOME = {
    "channels": "electrodes",
    "common_channels": "electrodes",
    "Recorded": "outputs",
    "record": "outputs",
    "words": "prompts",
    "Amplitude": "signals",
    "Signals": "signals",
    "amplitude": "signals",
    "open_signals": "signals",
    "Audio": "sound",
    "audio": "sound",
    "audio_file": "sound",
    "voice": "speech",
    "transcript": "stimulus",
}

__all__ = [
    "Amplitude",
    "Audio",
    "Recorded",
    "Segment",
    "Signals",
    "StimulusFiles",
    "amplitude",
    "audio",
    "audio_file",
    "channels",
    "common_channels",
    "find",
    "open_signals",
    "participants",
    "record",
    "stimulus_files",
    "transcript",
    "voice",
    "words",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value

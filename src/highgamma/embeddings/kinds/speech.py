"""Speech models, which hear the sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from highgamma.embeddings.kinds import DTYPE, KINDS, Entry, Given, Kind, Option, RecordingSize

if TYPE_CHECKING:
    from highgamma.embeddings.stream import Embeddings

RATE = 50.0
"""Frames of a speech model in a second."""
TRIAL = {"align": "prompt", "start": 0.0, "stop": 2.0}
"""What is heard of a trial unless the entry says otherwise; times in s."""


class Speech(Kind):
    """A network that hears the sound, whole or trial by trial."""

    name = "speech"
    description = "a speech model: hidden states of all layers"
    options = {
        "window": Option(
            (int, float, type(None)),
            None,
            "seconds, above 0",
            "seconds heard at a time; 20, or what the network takes (2 with `context: causal`)",
            minimum=1e-6,
        ),
        "context": Option(
            (str, int, float),
            2.0,
            "seconds, `causal` or `trial`",
            "seconds heard on either side of a window; `causal` hears `window` up to each frame, "
            "every `shift`; `trial` hears each trial alone",
            ("causal", "trial"),
            0,
        ),
        "shift": Option(
            (int, float, type(None)),
            None,
            "seconds, above 0",
            "of `context: causal`: step from window to window, s; each frame by default",
            minimum=1e-6,
        ),
        "trial": Option(
            (dict,),
            {},
            "{align: prompt or voice, start: 0.0, stop: 2.0}",
            "of `context: trial`: what is heard of a trial, `{align, start, stop}`",
        ),
        "batch": Option((int,), 8, "a count, 1 or more", "windows at a time", minimum=1),
        "dtype": DTYPE,
    }
    needs = ("words", "audio", "model")
    is_network = True
    has_width = True
    files_in_words = "a folder in transformers' layout"

    def problems(self, entry: Entry) -> list[str]:
        """Return what is wrong with the trial, and a shift that nothing is shifted by."""
        problems = []
        if isinstance(entry.get("trial"), dict):
            problems += _trial_problems(entry["trial"])
        if entry.get("shift") is not None and entry.get("context") != "causal":
            problems.append("shift: only windows with `context: causal` are shifted; leave it out")
        return problems

    def settled(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an entry whose trial is complete."""
        if entry["context"] == "trial":
            entry["trial"] = {**TRIAL, **entry["trial"]}
        return entry

    def by_trial(self, entry: Entry) -> dict[str, Any] | None:
        """Return an entry that hears each trial alone, for one that leaves its context open."""
        return None if "context" in entry else {**entry, "context": "trial"}

    def hears(self, entry: Entry) -> bool:
        """Return that there has to be sound."""
        return True

    def unfit_for(self, entry: Entry, unit: str) -> str | None:
        """Return why a model of trials can't enter an analysis of frames."""
        if unit == "frame" and entry.get("context") == "trial":
            return "hears each trial alone, the analysis is of all frames"
        return None

    def positions(self, entry: Entry, size: RecordingSize) -> float:
        """Return the frames that the network passes over."""
        context = entry.get("context")
        if context == "causal":
            window = float(entry.get("window") or 2.0)
            return size.sound / float(entry.get("shift") or 1 / RATE) * window * RATE
        if context == "trial":
            trial = entry["trial"]
            return float(size.words * (trial["stop"] - trial["start"]) * RATE)
        window = float(entry.get("window") or 20.0)
        return size.sound * RATE * (window + 2 * float(context or 0.0)) / window

    def samples(self, entry: Entry, size: RecordingSize) -> float:
        """Return the number of frames."""
        if entry.get("context") == "trial":
            return self.positions(entry, size)
        return size.sound * RATE

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        """Pass the sound through the network."""
        from highgamma.embeddings.pretrained import load_network
        from highgamma.embeddings.speech import speech_embeddings

        folder = self.files(entry, given)
        sound = given.sound().required()
        network = load_network(entry, folder, device=given.device, threads=given.threads)
        return speech_embeddings(entry, audio=sound, words=given.words, network=network)


def _trial_problems(trial: Entry) -> list[str]:
    whole = {**TRIAL, **trial}
    problems = [f"trial.{key}: unknown key" for key in whole if key not in TRIAL]
    if whole["align"] not in ("prompt", "voice"):
        problems.append(f"trial.align: {whole['align']!r}; expected prompt or voice")
    if not all(isinstance(whole[key], int | float) for key in ("start", "stop")):
        problems.append("trial: start and stop are seconds")
    elif whole["start"] >= whole["stop"]:
        problems.append(f"trial: [{whole['start']}, {whole['stop']}] is empty")
    return problems


KINDS.register(Speech())

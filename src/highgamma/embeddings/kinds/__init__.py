"""Kinds of models: a module of this package registers each in `KINDS`.

Whoever adds a kind writes one module: its options, what it needs, its layers, width and samples,
what it costs, and how its embeddings are made. The catalogue's checks, the workflow's inputs, the
check and its estimate, and the documentation ask the kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from highgamma.errors import InputError
from highgamma.models.places import location, remedy
from highgamma.registry import Registry

if TYPE_CHECKING:
    from highgamma.embeddings.stream import Audio, Embeddings, Words
    from highgamma.recording.files import Segment

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One key of an entry: what it may be, its default, what to say when it is something else."""

    allowed: tuple[type, ...]
    default: Any
    expected: str
    meaning: str
    choices: tuple[Any, ...] = ()
    minimum: float | None = None

    def problems(self, key: str, value: Any) -> list[str]:
        """Return what is wrong with a value of this option, in the user's words."""
        right = isinstance(value, self.allowed)
        right = right and not (isinstance(value, bool) and bool not in self.allowed)
        if right and isinstance(value, str) and self.choices:
            right = value in self.choices
        if right and self.minimum is not None and isinstance(value, int | float):
            right = value >= self.minimum
        return [] if right else [f"{key}: {value!r}; expected {self.expected}"]

    @property
    def required(self) -> bool:
        """Whether an entry has to state it."""
        return self.default is None and type(None) not in self.allowed


NUMBER = (int, float)


def seconds(default: float, meaning: str) -> Option:
    """Return an option in seconds, above 0."""
    return Option(NUMBER, default, "seconds, above 0", meaning, minimum=1e-6)


WINDOW = seconds(0.05, "window that a frame is averaged over, s")
SHIFT = seconds(0.01, "step from frame to frame, s")
DTYPE = Option(
    (str,),
    "float32",
    "float32, float16 or bfloat16",
    "the network's precision; half only on a GPU",
    ("float32", "float16", "bfloat16"),
)


class RecordingSize(Protocol):
    """What the cost of embeddings depends on."""

    @property
    def seconds(self) -> float:
        """Length of all recordings, s."""

    @property
    def words(self) -> int:
        """Number of words."""

    @property
    def sound(self) -> float:
        """Length of the sound, s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a kind can make embeddings from.

    Attributes
    ----------
    participant, dataset
        Label, and the configuration's section.
    words
        The participant's words.
    audio
        File of the sound of the stage recording: the participant's own, or the shared stimulus's.
    heard
        File of the participant's presentations of the stimulus.
    device, threads
        Where networks run; neither changes what is computed.
    models
        Folder of fetched models.
    """

    participant: str
    dataset: Mapping[str, Any]
    words: Words
    audio: str | Path
    heard: str | Path | None = None
    device: str = "auto"
    threads: int = 1
    models: Path

    def sound(self) -> Audio:
        """Read the sound on the clocks of the participant's recordings; it may be empty."""
        from highgamma.embeddings.listening import audio_as_heard
        from highgamma.embeddings.stream import read_audio
        from highgamma.store import read_table

        sound = read_audio(self.audio)
        if self.heard is None or Path(self.audio).stem == self.participant:
            return sound
        return audio_as_heard(sound, read_table(self.heard, strings=("segment_label",)))

    def extents(self) -> list[tuple[int, float, float]]:
        """Return number, start and stop (s) of each recording: the sound's, else the signals'.

        A stimulus without sound lasts as long as its words.
        """
        sound = self.sound()
        if len(sound.samples):
            return [
                (number, start, start + len(samples) / sound.rate)
                for number, start, samples in sound.parts()
            ]
        import numpy as np

        from highgamma.recording.files import STIMULUS
        from highgamma.recording.opening import open_signals

        if self.participant == STIMULUS:
            stop, of = self.words.offset, self.words.segment
            return [(int(n), 0.0, float(stop[of == n].max())) for n in np.unique(of)]
        lengths: list[float] = []
        for segment in self.recordings():
            with open_signals(segment) as signals:
                lengths += [(p.stop - p.first) / signals.rate for p in signals.stretches()]
        return [(number, 0.0, length) for number, length in enumerate(lengths)]

    def recordings(self) -> list[Segment]:
        """Find the participant's recordings."""
        from highgamma.recording.files import selected

        return selected(self.dataset, self.participant)


class Kind:
    """A kind of model; a subclass with an instance in `KINDS` is all that one needs.

    Attributes
    ----------
    name, description
        What the catalogue calls it, and one clause for docs/models.md.
    options
        Its keys in an entry of the catalogue.
    needs
        What its embeddings are computed from: any of `words`, `audio`, `recording`, `model`.
    is_network
        Whether it has blocks, a number of layers in its entry, and untrained counterparts.
    has_width
        Whether an entry states the number of features.
    reads_words
        Whether it has one sample a word, and none without words.
    role
        `model`; `position` of what knows nothing but the time, and `nuisance` of what goes along
        with speech whatever it means, which are controls everywhere.
    files_in_words
        What the files are, for messages.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    options: ClassVar[Mapping[str, Option]] = {}
    needs: ClassVar[tuple[str, ...]] = ()
    is_network: ClassVar[bool] = False
    has_width: ClassVar[bool] = False
    reads_words: ClassVar[bool] = False
    role: ClassVar[str] = "model"
    files_in_words: ClassVar[str] = "the file"

    # ------------------------------------------------------------------- the entry

    def problems(self, entry: Entry) -> list[str]:
        """Return what is wrong with an entry beyond its options one by one."""
        return []

    def settled(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an entry with the defaults that depend on other keys."""
        return entry

    def layers(self, entry: Entry) -> list[int]:
        """Return the numbers of the layers: 0 enters the first block, L leaves the last."""
        return list(range(int(entry.get("layers") or 0) + 1)) if self.is_network else [0]

    def file_patterns(self, entry: Entry) -> tuple[str, ...]:
        """Return the patterns of the files, but the weights, that a model is read from."""
        return ("config.json", "preprocessor_config.json")

    # ------------------------------------------------------------------- the analysis

    def by_trial(self, entry: Entry) -> dict[str, Any] | None:
        """Return an entry that hears each trial alone, for one that leaves its context open."""
        return None

    def hears(self, entry: Entry) -> bool:
        """Return whether a model of the kind needs sound to hear."""
        return False

    def fit_options(self, entry: Entry, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a model changes in the settings of its fit."""
        return {}

    def unfit_for(self, entry: Entry, unit: str) -> str | None:
        """Return why a model can't enter an analysis of this unit, as a clause, or None."""
        return None

    def check_recording(self, entry: Entry, names: Sequence[str], *, where: str) -> None:
        """Refuse a recording, by the names of its channels, that embeddings can't be made from."""

    # ------------------------------------------------------------------- the cost

    def width(self, entry: Entry, size: RecordingSize) -> int:
        """Return the number of features."""
        return int(entry.get("width") or 1)

    def samples(self, entry: Entry, size: RecordingSize) -> float:
        """Return the number of samples."""
        return float(size.words)

    def operations(self, entry: Entry, size: RecordingSize) -> float:
        """Return the floating-point operations of a network's pass; 0 of other kinds."""
        if not self.is_network:
            return 0.0
        # A block has 12·width² weights, each a multiplication and an addition a position.
        blocks, width = int(entry["layers"]), int(entry["width"])
        return 24.0 * blocks * width**2 * self.positions(entry, size)

    def positions(self, entry: Entry, size: RecordingSize) -> float:
        """Return the positions that a network passes over; overlapping windows count each time."""
        return 0.0

    def weight_bytes(self, entry: Entry) -> float:
        """Return the bytes of a network's weights in memory; 0 of other kinds."""
        if not self.is_network:
            return 0.0
        blocks, width = int(entry["layers"]), int(entry["width"])
        return 4 * (12.0 * blocks * width**2 + 5e4 * width)

    # ------------------------------------------------------------------- the embeddings

    def make(self, entry: dict[str, Any], given: Given) -> Embeddings:
        """Make a model's embeddings.

        Raises
        ------
        InputError
            If what they are made from is absent or can't be used.
        """
        raise NotImplementedError

    def files(self, entry: Entry, given: Given) -> Path:
        """Return where the model's files lie.

        Raises
        ------
        InputError
            If they are absent.
        """
        place = location(entry, models=given.models)
        if place is None or not place.exists():
            raise InputError(
                "the model's files were not found",
                where=place,
                expected=self.files_in_words,
                remedy=remedy(entry, models=given.models),
            )
        return place


KINDS: Registry[Kind] = Registry("kind", package=__name__)

"""The section `dataset`: which recordings, where the sound is, which rows are words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from highgamma.sections import setting

TABLE = ".tsv"
"""End of the names of tables, which tells them from events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSettings:
    """Where the sound of a recording is."""

    source: Literal["auto", "channel", "file", "none"] = setting(
        "auto",
        "`auto` (the NWB series `Audio`, else a sound file next to the recording, else none), "
        "`channel` (a channel of the recording), `file` (a sound file next to the recording), or "
        "`none`.",
    )
    channel: str | None = setting(
        None, "Name of the recorded channel that carries the sound, for `source: channel`."
    )
    start: float | None = setting(
        None,
        "When a sound file begins on the recording's clock, in seconds, negative if it begins "
        "earlier; `null`: `StartTime` of the JSON file of the same name, else together.",
    )
    stretch: float | None = setting(
        None,
        "How much longer a sound file lasts on the recording's clock, such as 1.001; `null`: 1.",
        minimum=0.98,
        maximum=1.02,
    )
    reference: str | None = setting(
        None,
        "A recorded channel that heard the sound too, at 880 Hz or more: start and stretch of the "
        "sound file are estimated from it.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WordSettings:
    """Where the words of a recording are, and which rows are words."""

    source: Literal["auto", "events", "textgrid", "recording", "voice"] = setting(
        "auto",
        "`events` (events.tsv, or the annotations of the file where there is none), `textgrid` (a "
        "TextGrid next to the recording), `recording` (the series `Stimulus` of an NWB file), "
        "`voice` (found in the sound; their spelling is not known), or `auto`: the first of the "
        "first three that has words.",
    )
    trial_type: str | tuple[str, ...] | None = setting(
        "word",
        "Values of the column `trial_type` that mark a word: one, or several in a list; `*` stands "
        'for any text, and what follows `!` is left out (`["*", "!+"]`). `null` for a recording '
        "without words. Of a table without this column all rows count.",
        length=1,
    )
    column: str | None = setting(
        None,
        "Column that holds the word itself (`trial_type` if the type is the word); `null`: "
        "`value`, or where that holds numbers alone one of `word`, `text`, `item`, `stimulus`, "
        "`token`, `orthography`, `label`, `stim_file`.",
    )
    until: str | None = setting(
        None,
        'Type of the events that end a word, where its row has no duration (`"402"` after '
        '`"401"`): the first one before the next word.',
    )
    tier: str | None = setting(
        None,
        "Tier of a TextGrid that holds the words; `null`: the only one that is called words, or "
        "the only one.",
    )
    times: Literal["auto", "prompt", "voice"] = setting(
        "auto",
        "Whose times they are: `prompt` (the voice is searched for between two prompts), `voice` "
        "(as aligned), or `auto`: those of TextGrids, and of words that follow one another in less "
        "than 1 s, are the voice's.",
    )
    repeated: Literal["auto", "merge", "keep"] = setting(
        "auto",
        "What rows of one word that follow each other without a break are: `merge` (its phones), "
        "`keep` (words), or `auto`: phones if the table has a column `phone` or `phoneme`, else "
        "many of them are an error.",
    )

    def types(self) -> tuple[str, ...]:
        """Return the types of words as a list of patterns."""
        given = self.trial_type
        return () if given is None else (given,) if isinstance(given, str) else given


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Which channels of a recording are electrodes."""

    types: tuple[str, ...] = setting(
        ("SEEG", "ECOG"),
        "Types of `channels.tsv` that are electrodes (`DBS` leads are left out by default).",
        length=1,
        unique=True,
    )
    names: tuple[str, ...] = setting(
        ("*",),
        "Names of the electrodes that are used; `*` stands for any text, and what follows `!` is "
        'left out (`["*", "!LA1?"]`).',
        length=1,
    )
    space: str | None = setting(
        None,
        "Space of the coordinates, as in the name of an electrodes.tsv (`space-ACPC`); `null`: the "
        "most native one. Those of a template are kept beside it as `x_mni`, `y_mni`, `z_mni`.",
    )
    atlas: str | None = setting(
        None,
        "Column of electrodes.tsv with the anatomical label; `null`: the description in "
        "`channels.tsv`, else a column with a usual name (`region`, `anat`, `desikan-killiany`, "
        "`destrieux`, …).",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StimulusSettings:
    """The sound and transcript that all participants of a listening set share."""

    audio: str | None = setting(
        None,
        "Sound file, relative to the data set; `null` for a stimulus without one. With a `*` in "
        "its name, as in `stimuli/*.wav`, there are several stimuli, each named by what the star "
        "stands for, and each event whose type is such a name plays it.",
    )
    words: str | None = setting(
        None,
        "Transcript, relative to the data set; tab- or comma-separated columns `word`, `onset` and "
        "`offset` (or `duration`), in seconds from the start of the sound, or a TextGrid; `null` "
        "without words. Of several stimuli with a `*`, as for `audio`.",
    )
    onset: float | str = setting(
        0.0,
        "Start of the sound on the clock of each recording: a number of seconds for all; a "
        "`trial_type` of `events.tsv`, whose first row marks it; or a table (`.tsv`) of "
        "the data set with columns `participant` and `onset`, and if needed `recording` (such as "
        "`ses-1_run-2`) and `time` (seconds in the stimulus): from several marks the difference "
        "between the two clocks is estimated. Of several stimuli, the seconds from an event to the "
        "start of the sound.",
    )
    column: str = setting(
        "trial_type", "Column of `events.tsv` that names which of several stimuli is played."
    )

    @property
    def several(self) -> bool:
        """Whether there are several stimuli, which events name."""
        return "*" in f"{self.audio}{self.words}"

    def problems(self) -> list[str]:
        """Return what is wrong with the section, each as `key: message`."""
        found = []
        if not (self.audio or self.words):
            found.append("name its audio, its words, or both")
        if self.several and isinstance(self.onset, str):
            found.append("onset: of several stimuli it is a number, the seconds after an event")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSettings:
    """The recordings, in BIDS layout."""

    root: str = setting(
        description="Folder of the data set, absolute or relative to the working directory."
    )
    source: str | None = setting(
        None,
        "Where `snakemake dataset` fetches the data set from: `osf:<project>` or "
        "`openneuro:<accession>`; `null` for a data set that is already there.",
        pattern="^(osf:[a-z0-9]{5}|openneuro:ds[0-9]{6})$",
    )
    task: str | tuple[str, ...] | None = setting(
        None, "The BIDS task, or several in a list; `null` takes recordings of any task.", length=1
    )
    session: str | tuple[str, ...] | None = setting(
        None, "The session, or several, such as `iemu`; `null` takes all.", length=1
    )
    run: str | tuple[str, ...] | None = setting(
        None, 'The run, or several, such as `"01"`; `null` takes all.', length=1
    )
    acquisition: str | tuple[str, ...] | None = setting(
        None,
        "The acquisition, or several, such as `HDgrid`; `null` takes all. Recordings whose "
        "channels differ are taken together with `join_acquisitions` only.",
        length=1,
    )
    join_acquisitions: bool = setting(
        False,
        "Whether acquisitions of one session, task and run are one recording: files of several "
        "amplifiers with different channels, recorded at the same time.",
    )
    channels: ChannelSettings = setting(ChannelSettings(), "Which channels are electrodes.")
    participants: Literal["all"] | tuple[str, ...] = setting(
        "all",
        "`all` (the rows of `participants.tsv`), or a list of labels such as `sub-01`.",
        length=1,
        unique=True,
        pattern="^(sub-)?[A-Za-z0-9]+$",
    )
    language: str | None = setting(
        None,
        "Code of the words' language, such as `nl` or `en`, for word frequency as a nuisance (the "
        "lists of the package wordfreq); `null` if it is not known, which leaves it out.",
        pattern="^[a-z]{2,3}(-[A-Za-z]+)?$",
    )
    audio: AudioSettings = setting(AudioSettings(), "Where the sound is.")
    words: WordSettings = setting(WordSettings(), "Where the words of a recording are.")
    stimulus: StimulusSettings | None = setting(
        None,
        "For listening sets, the one sound file and transcript that all participants hear.",
    )

    def problems(self) -> list[str]:
        """Return what is wrong with the section, each as `key: message`."""
        found = []
        if self.audio.source == "channel" and self.audio.channel is None:
            found.append("audio.channel: name the channel that carries the sound")
        if self.audio.reference is not None and self.audio.start is not None:
            found.append("audio: either start or reference tells when the sound begins")
        if self.stimulus is not None:
            found += [f"stimulus: {problem}" for problem in self.stimulus.problems()]
        return found


def participant_labels(names: Iterable[object]) -> list[str]:
    """Return the labels of participants, such as `sub-01` for `01`, sorted and each once."""
    labels = {name if name.startswith("sub-") else f"sub-{name}" for name in map(str, names)}
    return sorted(labels)

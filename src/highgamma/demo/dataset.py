"""The demo data set on disk, in the layout of SingleWordProductionDutch, and its truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from highgamma import store
from highgamma.demo import semantics, signals, spoken, truth
from highgamma.demo.files import (
    ROOT_FILES,
    TASK,
    json_text,
    participant_files,
    participant_number,
    write_text,
)
from highgamma.demo.nwb import Series, write_nwb

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]

RATE = 1024.0  # Hz, neural
AUDIO_RATE = 47999.2  # Hz, true rate of a sound card that calls it 48 kHz
AUDIO_DELAY = 3.4e-6  # s from the first neural to the first audio sample
N_WORDS = 72
# A selected seed: under it no model is supported on a noise electrode. Others were turned down; the
# demo does not measure the false-positive rate.
SEED = 31
STARTED = "2020-01-01T10:00:00+00:00"  # no real date: the data are simulated
OTHER_CHANNEL = "EKG1"


def write_root_files(root: str | PathLike[str], participants: Sequence[str]) -> list[Path]:
    """Write the files that all participants share: README, dataset_description, participants.

    Parameters
    ----------
    root
        The data set's folder.
    participants
        Labels such as `sub-01`.

    Returns
    -------
    files
        The files written.
    """
    import pandas as pd

    root = Path(root)
    for name, text in (
        ("dataset_description.json", json_text(_DESCRIPTION)),
        ("README", _README),
        (".bidsignore", "truth/\n"),
    ):
        write_text(root / name, text)
    ages, sexes = (34, 27, 41, 52, 23), ("F", "M", "F", "M", "F")
    numbers = [participant_number(p) for p in participants]
    store.write_table(
        pd.DataFrame(
            {
                "participant_id": list(participants),
                "age": [ages[n % len(ages)] for n in numbers],
                "sex": [sexes[n % len(sexes)] for n in numbers],
            }
        ),
        root / "participants.tsv",
    )
    return [root / name for name in ROOT_FILES]


def write_participant(
    root: str | PathLike[str],
    participant: str,
    *,
    words_folder: str | PathLike[str],
    n_words: int = N_WORDS,
    seed: int = SEED,
) -> list[Path]:
    """Simulate a participant's recording and write it with its sidecars and its truth.

    Parameters
    ----------
    root
        The data set's folder; `files.participant_files` names what is written below it.
    participant
        Such as `sub-01`. Its number enters the seed, so that order of words, shafts and noise
        differ among participants. Even numbers have electrodes in the right hemisphere.
    words_folder
        Folder of `words.flac`, `words.tsv`, `phones.tsv`.
    n_words
        Words read aloud, each once.
    seed
        Seed of everything random.

    Returns
    -------
    files
        The files written. The same arguments give the same bytes.
    """
    number = participant_number(participant)
    plan = truth.plan_electrodes(
        hemisphere=hemisphere_of(participant), rng=np.random.default_rng([seed, number, 0])
    )

    def voltage(session: spoken.Session, audio: FloatArray) -> FloatArray:
        components = word_components([word.text for word in session.words])
        return simulate(session, audio, plan, components, seed=(seed, number))

    return write_session(
        root,
        participant,
        plan=plan,
        words=spoken.read_words(words_folder),
        n_words=n_words,
        voltage=voltage,
        seed=seed,
        identifier=f"highgamma-demo-{participant}-{seed}",
        others={OTHER_CHANNEL: "EKG"},
    )


def hemisphere_of(participant: str) -> str:
    """Return where a participant's electrodes are: R for even numbers, else L."""
    return "R" if participant_number(participant) % 2 == 0 else "L"


def write_session(
    root: str | PathLike[str],
    participant: str,
    *,
    plan: truth.Plan,
    words: Sequence[spoken.SpokenWord],
    n_words: int,
    voltage: Callable[[spoken.Session, FloatArray], FloatArray],
    seed: int,
    identifier: str,
    others: Mapping[str, str] | None = None,
) -> list[Path]:
    """Simulate a session of reading words aloud and write it.

    Parameters
    ----------
    root, participant, n_words, seed
        As in `write_participant`.
    plan
        The electrodes.
    words
        The words that the session's are drawn from.
    voltage
        Simulates the voltage (sample, channel) of a session and its sound, as in `write_files`.
    identifier, others
        As in `write_files`.
    """
    number = participant_number(participant)
    session = spoken.plan_session(
        words, n_words=n_words, rate=RATE, rng=np.random.default_rng([seed, number, 1])
    )
    audio = spoken.speak_session(
        session, rate=AUDIO_RATE, start=AUDIO_DELAY, rng=np.random.default_rng([seed, number, 2])
    )
    return write_files(
        root,
        participant,
        plan=plan,
        session=session,
        audio=audio,
        neural=voltage(session, audio),
        identifier=identifier,
        others=others,
    )


def write_files(
    root: str | PathLike[str],
    participant: str,
    *,
    plan: truth.Plan,
    session: spoken.Session,
    audio: FloatArray,
    neural: FloatArray,
    identifier: str,
    others: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write a simulated recording with its sidecars and its truth; return the files.

    Parameters
    ----------
    audio
        (sample,), ±1, `AUDIO_RATE` Hz, `AUDIO_DELAY` s after the first neural sample.
    neural
        (sample, channel), µV: the planned electrodes, then `others`.
    identifier
        Of the NWB file.
    others
        Name and type of the channels that are not electrodes.
    """
    others = others or {}
    clock = 9062565.6229 + 86400.0 * (participant_number(participant) - 1)
    files = [Path(root) / name for name in participant_files(participant)]
    nwb, sidecar, channels, events, electrodes, coordinates, planted, spoken_words = files
    write_nwb(
        nwb,
        [
            Series(
                name="Audio",
                description="microphone",
                unit="a.u.",
                data=audio,
                start=clock + AUDIO_DELAY,
                rate=AUDIO_RATE,
            ),
            Series(
                name="Stimulus",
                description="word on the screen",
                unit="n/a",
                data=shown(session),
                start=clock,
                rate=RATE,
            ),
            Series(
                name="iEEG",
                description="voltage of each channel",
                unit="µV",
                data=neural,
                start=clock,
                rate=RATE,
            ),
        ],
        identifier=identifier,
        description="simulated reading aloud of single words",
        started=STARTED,
        subject=participant.removeprefix("sub-"),
        species="Homo sapiens",
    )
    write_text(sidecar, json_text(_recording_sidecar(plan, session, others)))
    write_text(coordinates, json_text(_COORDINATE_SYSTEM))
    for path, table in (
        (channels, channel_table(plan, others)),
        (events, event_table(session)),
        (electrodes, electrode_table(plan)),
        (planted, truth_table(participant, plan)),
        (spoken_words, spoken_table(session)),
    ):
        store.write_table(table, path)
    return files


def word_components(words: Sequence[str]) -> FloatArray:
    """Compute the standardised leading components of the words' states, (word, component)."""
    states = semantics.word_states(words, layer=truth.LAYER)
    scores = semantics.leading_components(states, n_components=truth.COMPONENTS)
    return np.asarray(scores / scores.std(axis=0).clip(min=1e-12))


def simulate(
    session: spoken.Session,
    audio: FloatArray,
    plan: truth.Plan,
    components: FloatArray,
    *,
    seed: tuple[int, int],
) -> FloatArray:
    """Simulate the voltage of all channels, µV, (sample, channel): electrodes, then a heart's.

    Parameters
    ----------
    audio
        (sample,), `AUDIO_RATE` Hz, `AUDIO_DELAY` s after the first neural sample.
    components
        (word, component), standardised over the session's words.
    """
    times = np.arange(session.n_samples) / RATE
    speech = signals.speech_box(session, times)
    mic = signals.microphone(audio, rate=AUDIO_RATE, start=AUDIO_DELAY, times=times)
    mic /= _speech_power(mic, speech)
    neural = np.empty((session.n_samples, len(plan.planted) + 1), order="F")
    frame_means, word_means = signals.frames_of(RATE), signals.words_of(session)
    for column, planted in enumerate(plan.planted):
        drive, means = None, frame_means
        if planted.kind == "acoustic":
            drive = signals.sound_envelope(
                audio, rate=AUDIO_RATE, start=AUDIO_DELAY, times=times - planted.lag
            )
        elif planted.kind == "language":
            heights = components @ np.array(planted.weights)
            heights = (heights - heights.min()) / heights.std() + 0.5
            drive, means = signals.word_plateaus(session, heights, times), word_means
        elif planted.kind == "speech-on-off":
            drive = speech
        neural[:, column] = signals.voltage(
            session.n_samples,
            RATE,
            kind=planted.kind,
            drive=drive,
            picked_up=mic if planted.kind == "contaminated" else None,
            snr=planted.snr,
            gain=planted.gain,
            means=means,
            rng=np.random.default_rng([*seed, 100 + column]),
        )
    neural[:, -1] = signals.heartbeat(
        session.n_samples, RATE, rng=np.random.default_rng([*seed, 3])
    )
    return neural


def _speech_power(mic: FloatArray, speech: FloatArray) -> float:
    """Measure the root mean square of the microphone's signal within 70–170 Hz during speech."""
    from scipy.signal import butter, sosfiltfilt

    within = sosfiltfilt(butter(4, signals.BAND, "bandpass", fs=RATE, output="sos"), mic)
    return float(np.sqrt(np.average(within**2, weights=speech)))


def shown(session: spoken.Session) -> list[str]:
    """Return the word on the screen at every neural sample, an empty string between words."""
    stream = [""] * session.n_samples
    for word, first, last in zip(session.words, session.prompt, session.prompt_stop, strict=True):
        stream[first:last] = [word.text] * int(last - first)
    return stream


def event_table(session: spoken.Session) -> pd.DataFrame:
    """Return the rows of events.tsv: words and fixations in turn, without gaps; times in s."""
    import pandas as pd

    rows = []
    for i, word in enumerate(session.words):
        first, last = int(session.prompt[i]), int(session.prompt_stop[i])
        rows.append((first, last, "word", word.text))
        if i + 1 < len(session.words):
            rows.append((last, int(session.prompt[i + 1]), "fixation", "+"))
    return pd.DataFrame(
        {
            # Multiples of 1/1024 s have ten decimals; as text they are written in full.
            "onset": [str(first / RATE) for first, *_ in rows],
            "duration": [str((last - first) / RATE) for first, last, *_ in rows],
            "trial_type": [row[2] for row in rows],
            "value": [row[3] for row in rows],
            "sample": [row[0] for row in rows],
        }
    )


def channel_table(plan: truth.Plan, others: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows of channels.tsv in the recording's order, `others` (name, type) last."""
    import pandas as pd

    regions = {c.name: c.region for c in plan.contacts}
    names = [p.contact.name for p in plan.planted]
    return pd.DataFrame(
        {
            "name": [*names, *others],
            "type": ["SEEG"] * len(names) + list(others.values()),
            "units": "µV",
            "low_cutoff": "0.0",
            "high_cutoff": "512.0",
            "description": [regions[n] for n in names] + ["n/a"] * len(others),
            "sampling_frequency": str(RATE),
            "status": "n/a",
        }
    )


def electrode_table(plan: truth.Plan) -> pd.DataFrame:
    """Return the rows of electrodes.tsv: every contact of every shaft, recorded or not; mm."""
    import pandas as pd

    return pd.DataFrame(
        [(c.name, *c.position) for c in plan.contacts], columns=["name", "x", "y", "z"]
    )


def truth_table(participant: str, plan: truth.Plan) -> pd.DataFrame:
    """Return what each electrode follows; see `truth.Planted` for the columns' meaning."""
    import pandas as pd

    table = pd.DataFrame(
        {
            "participant": participant,
            "electrode": [p.contact.name for p in plan.planted],
            "kind": [p.kind for p in plan.planted],
            "lag_s": [p.lag for p in plan.planted],
            "model": [p.model for p in plan.planted],
            "layer": pd.array([p.layer for p in plan.planted], dtype="Int64"),
            "snr": [p.snr for p in plan.planted],
            "gain": [p.gain for p in plan.planted],
        }
    )
    for i in range(truth.COMPONENTS):
        table[f"weight_{i + 1}"] = [p.weights[i] if p.weights else np.nan for p in plan.planted]
    return table


def spoken_table(session: spoken.Session) -> pd.DataFrame:
    """Return word, prompt and voice of each trial, s from the first neural sample, and its phones.

    `phones` are phones with their onsets, such as `k:1.204 æ:1.260 t:1.566`.
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "word": [w.text for w in session.words],
            "onset": session.prompt / RATE,
            "offset": session.prompt_stop / RATE,
            "voice_onset": session.voice_onset,
            "voice_offset": session.voice_offset,
            "phones": [
                " ".join(f"{phone}:{onset + start:.3f}" for phone, start, _ in word.phones)
                for word, onset in zip(session.words, session.voice_onset, strict=True)
            ],
        }
    )


_DESCRIPTION: dict[str, Any] = {
    "Name": "highgamma demo: simulated sEEG of single-word production",
    "BIDSVersion": "1.6.0",
    "DatasetType": "raw",
    "License": "CC0",
    "Authors": ["highgamma"],
    "GeneratedBy": [{"Name": "highgamma"}],
}

_README = """\
Simulated recordings, written by highgamma for its demo. No person was recorded.
The layout is that of SingleWordProductionDutch-iBIDS (doi 10.1038/s41597-022-01542-9);
the words were spoken by espeak-ng. The folder `truth` says what each electrode
follows; no step of the workflow but the report reads it.
"""

_COORDINATE_SYSTEM: dict[str, Any] = {
    "iEEGCoordinateSystem": "ACPC",
    "iEEGCoordinateUnits": "mm",
    "iEEGCoordinateProcessingDescription": "simulated",
    "iEEGCoordinateProcessingReference": "n/a",
}


def _recording_sidecar(
    plan: truth.Plan, session: spoken.Session, others: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "TaskName": TASK,
        "Manufacturer": "n/a",
        "PowerLineFrequency": 50,
        "SamplingFrequency": int(RATE),
        "SoftwareFilters": "n/a",
        "RecordingDuration": session.n_samples / RATE,
        "RecordingType": "continuous",
        "iEEGReference": "simulated",
        "SEEGChannelCount": len(plan.planted),
        "ECGChannelCount": len(others),
    }

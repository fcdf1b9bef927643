"""Speak a list of words with espeak-ng: one FLAC file and two tables of timings.

    python resources/demo-words/make_words.py [list.txt] [folder]

`list.txt` holds one word a line (default: the words of `words.tsv` in this folder); the files
`words.flac`, `words.tsv` and `phones.tsv` are written to `folder` (default: this folder).

Needed only to render another list: the library of espeak-ng 1.51 or later (`apt install
espeak-ng`), numpy and soundfile. The same word differs by a few samples from call to call within
one process, so the list is spoken once, in its order, by a fresh process.
"""

from __future__ import annotations

import csv
import ctypes
import ctypes.util
import sys
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
VOICE = "en-us"
WORDS_PER_MINUTE = 135  # slower than espeak-ng's 175, as people read single words aloud
SILENCE_BETWEEN = 0.1  # s
SILENCE_BELOW = 0.004  # of full scale; quieter than this before and after a word is cut off

# Values of espeak-ng's speak_lib.h.
RETRIEVAL, PHONEME_EVENTS, IPA, UTF8, RATE = 1, 1, 2, 1, 1
LIST_TERMINATED, PHONEME = 0, 7


class _Id(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


def speak(words: list[str]) -> tuple[int, list[tuple[np.ndarray, list[tuple[str, int]]]]]:
    """Rate (Hz), and for each word its int16 samples and phones, each with its first sample."""
    name = ctypes.util.find_library("espeak-ng")
    if name is None:
        sys.exit("the library of espeak-ng is missing: apt install espeak-ng")
    library = ctypes.CDLL(name)
    rate = library.espeak_Initialize(RETRIEVAL, 0, None, PHONEME_EVENTS | IPA)
    library.espeak_SetVoiceByName(VOICE.encode())
    library.espeak_SetParameter(RATE, WORDS_PER_MINUTE, 0)
    pieces: list[np.ndarray] = []
    phones: list[tuple[str, int]] = []

    @ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
    )
    def receive(samples, n_samples, events):  # type: ignore[no-untyped-def]
        if samples and n_samples > 0:
            pieces.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        i = 0
        while events[i].type != LIST_TERMINATED:
            if events[i].type == PHONEME:
                # The union's bytes, read as memory: a phone may fill all eight without a zero.
                text = bytes(events[i].id)[:8].split(b"\0")[0].decode()
                phones.append((text, events[i].sample))
            i += 1
        return 0

    library.espeak_SetSynthCallback(receive)
    spoken = []
    for word in words:
        pieces.clear()
        phones.clear()
        text = word.encode()
        library.espeak_Synth(text, len(text) + 1, 0, 1, 0, UTF8, None, None)
        library.espeak_Synchronize()
        spoken.append((np.concatenate(pieces), list(phones)))
    return rate, spoken


def main() -> None:
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else HERE
    if len(sys.argv) > 1:
        words = Path(sys.argv[1]).read_text(encoding="utf-8").split()
    else:
        with open(HERE / "words.tsv", encoding="utf-8") as opened:
            words = [row["word"] for row in csv.DictReader(opened, delimiter="\t")]
    rate, spoken = speak(words)
    silence = np.zeros(round(SILENCE_BETWEEN * rate), np.int16)
    audio, word_rows, phone_rows, position = [silence], [], [], len(silence)
    for word, (samples, phones) in zip(words, spoken, strict=True):
        loud = np.flatnonzero(np.abs(samples) > SILENCE_BELOW * 32768)
        first, last = loud[0], loud[-1] + 1
        kept = samples[first:last]
        start, stop = position / rate, (position + len(kept)) / rate
        word_rows.append((word, f"{start:.6f}", f"{stop:.6f}"))
        borders = [min(max(s - first, 0), len(kept)) for _, s in phones] + [len(kept)]
        for (phone, _), a, b in zip(phones, borders[:-1], borders[1:], strict=True):
            if phone and b > a:
                times = ((position + edge) / rate for edge in (a, b))
                phone_rows.append((word, phone, *(f"{t:.6f}" for t in times)))
        audio += [kept, silence]
        position += len(kept) + len(silence)
    soundfile.write(folder / "words.flac", np.concatenate(audio), rate, "PCM_16")
    for name, header, rows in (
        ("words.tsv", ("word", "start", "stop"), word_rows),
        ("phones.tsv", ("word", "phone", "start", "stop"), phone_rows),
    ):
        with open(folder / name, "w", encoding="utf-8", newline="") as opened:
            csv.writer(opened, delimiter="\t", lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    main()

"""What MNE leaves out of EDF and BDF headers: gaps between records, and the rate of each channel.

The formats are described by Kemp et al. (Electroencephalography and Clinical Neurophysiology
82:391, 1992) and Kemp & Olivan (Clinical Neurophysiology 114:1755, 2003): a header of 256 bytes and
256 more for each signal, then records of equal duration. In EDF+ and BDF+ each record begins with
its own time in an annotation signal, and the subtype `D` allows gaps between records.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError

FloatArray = NDArray[np.float64]

ANNOTATIONS = ("EDF Annotations", "BDF Annotations")
"""Labels of signals that hold text."""

MOST_SIGNALS = 4096
"""Signals beyond which a header is not believed."""

MOST_RECORDS = 10_000_000
"""Records beyond which a header is not believed: four months of records of a second."""

_FIELDS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)
"""Bytes of each field of a signal; the ninth is the number of samples in a record."""

_ONSET = re.compile(rb"^([+-]\d{1,12}(?:\.\d{1,12})?)(?:\x15[\d.]*)?\x14")


@dataclass(frozen=True, slots=True)
class EdfHeader:
    """The header of an EDF or BDF file.

    Attributes
    ----------
    path
        The file.
    gaps_allowed
        Whether the subtype is `EDF+D` or `BDF+D`.
    n_records, record_s
        Number of records, and the duration of one, s.
    labels, samples
        Of each signal, its label and the number of samples in a record.
    header_bytes, sample_bytes
        Length of the header and of a sample.
    """

    path: Path
    gaps_allowed: bool
    n_records: int
    record_s: float
    labels: tuple[str, ...]
    samples: tuple[int, ...]
    header_bytes: int
    sample_bytes: int

    def rates(self) -> dict[str, float]:
        """Return the rate of each signal but annotations, Hz."""
        return {
            label: n / self.record_s
            for label, n in zip(self.labels, self.samples, strict=True)
            if label not in ANNOTATIONS
        }

    def record_onsets(self) -> FloatArray | None:
        """Return when each record begins, s; None without annotations that tell."""
        places = [k for k, label in enumerate(self.labels) if label in ANNOTATIONS]
        if not places:
            return None
        first, size = places[0], self.sample_bytes
        record_bytes = size * sum(self.samples)
        offset = self.header_bytes + size * sum(self.samples[:first])
        onsets = np.empty(self.n_records)
        with self.path.open("rb") as file:
            for k in range(self.n_records):
                file.seek(offset + k * record_bytes)
                found = _ONSET.match(file.read(min(64, size * self.samples[first])))
                if found is None:
                    return None
                onsets[k] = float(found.group(1))
        return onsets


def read_header(path: Path) -> EdfHeader:
    """Read the header of an EDF or BDF file.

    Raises
    ------
    InputError
        If it is cut short or its numbers are not plausible.
    """
    try:
        with path.open("rb") as file:
            fixed = file.read(256)
            count = _number(fixed[252:256], path, "number of signals")
            if not 0 < count <= MOST_SIGNALS:
                raise _broken(path, f"{count:g} signals")
            fields = file.read(256 * int(count))
    except OSError as error:
        raise _broken(path, str(error)) from error
    n = int(count)
    if len(fields) < 256 * n:
        raise _broken(path, "it ends too early")
    starts = np.cumsum([0, *_FIELDS]) * n

    def field(number: int) -> list[bytes]:
        width, start = _FIELDS[number], int(starts[number])
        return [fields[start + k * width : start + (k + 1) * width] for k in range(n)]

    samples = tuple(int(_number(text, path, "samples of a record")) for text in field(8))
    records = int(_number(fixed[236:244], path, "number of records"))
    seconds = _number(fixed[244:252], path, "duration of a record")
    header_bytes = 256 * (n + 1)
    sample_bytes = 3 if fixed[:1] == b"\xff" else 2
    if min(samples) < 0:
        raise _broken(path, f"a signal has {min(samples)} samples in a record")
    whole = sample_bytes * sum(samples)
    if whole == 0 or seconds <= 0:
        raise _broken(path, "its records are empty")
    held = (path.stat().st_size - header_bytes) // whole
    if held > MOST_RECORDS:
        raise _broken(path, f"records are so short that there are {held}")
    return EdfHeader(
        path=path,
        gaps_allowed=fixed[192:197] in (b"EDF+D", b"BDF+D"),
        # A recording that was not closed states −1 records.
        n_records=int(min(records, held)) if records >= 0 else int(held),
        record_s=seconds,
        labels=tuple(text.decode("latin-1").strip() for text in field(0)),
        samples=samples,
        header_bytes=header_bytes,
        sample_bytes=sample_bytes,
    )


def _number(text: bytes, path: Path, what: str) -> float:
    try:
        value = float(text.decode("ascii").strip())
    except (UnicodeDecodeError, ValueError) as error:
        raise _broken(path, f"the {what} is {text!r}") from error
    if not np.isfinite(value):
        raise _broken(path, f"the {what} is {text!r}")
    return value


def _broken(path: Path, what: str) -> InputError:
    return InputError(
        f"the recording cannot be read: in its header, {what}",
        where=path,
        expected="a whole EDF or BDF file",
        remedy="compare its size or checksum with the published one and download it again",
    )

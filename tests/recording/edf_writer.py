"""EDF files written by hand, as the format's description says."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def write_edf(
    path: Path,
    signals: dict[str, tuple[int, np.ndarray]],
    *,
    onsets: list[float] | None = None,
    unit: str = "uV",
) -> None:
    """Write an EDF file with records of 1 s by hand: name, rate and values (whole numbers)."""
    labels = [*signals, *(["EDF Annotations"] if onsets is not None else [])]
    rates = [rate for rate, _ in signals.values()] + ([30] if onsets is not None else [])
    n_records = len(next(iter(signals.values()))[1]) // next(iter(signals.values()))[0]
    head = [
        "0".ljust(8), "X".ljust(80), "X".ljust(80), "01.01.20", "10.00.00",
        str(256 * (len(labels) + 1)).ljust(8),
        ("EDF+D" if onsets is not None else "").ljust(44),
        str(n_records).ljust(8), "1".ljust(8), str(len(labels)).ljust(4),
    ]  # fmt: skip
    columns = [
        [label.ljust(16) for label in labels],
        ["".ljust(80)] * len(labels),
        [(unit if label in signals else "").ljust(8) for label in labels],
        *([text.ljust(8)] * len(labels) for text in ("-32768", "32767", "-32768", "32767")),
        ["".ljust(80)] * len(labels),
        [str(rate).ljust(8) for rate in rates],
        ["".ljust(32)] * len(labels),
    ]
    with path.open("wb") as file:
        file.write(
            "".join([*head, *(text for column in columns for text in column)]).encode("latin-1")
        )
        for k in range(n_records):
            for rate, values in signals.values():
                file.write(values[k * rate : (k + 1) * rate].astype("<i2").tobytes())
            if onsets is not None:
                file.write(f"+{onsets[k]:g}\x14\x14\x00".encode().ljust(60, b"\x00"))

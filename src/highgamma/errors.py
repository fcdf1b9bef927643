"""The one kind of error that a user can cause, worded for the user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike


class InputError(Exception):
    """Something that the user gave (a file, a setting, a name) cannot be used.

    Parameters
    ----------
    message
        What was found, in one sentence without a full stop.
    where
        The file, folder or config key it was found in.
    expected
        What would have been right.
    remedy
        What to do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        where: str | PathLike[str] | None = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.where = None if where is None else str(where)
        self.expected = expected
        self.remedy = remedy
        super().__init__(message, self.where, expected, remedy)

    def __str__(self) -> str:
        lines = [self.message]
        for label, text in (
            ("where", self.where),
            ("expected", self.expected),
            ("what to do", self.remedy),
        ):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)


class DamagedFileError(InputError):
    """A file that the workflow wrote is damaged; recomputing it repairs it."""


class Unreachable(InputError):  # noqa: N818
    """The server could not be reached, or the connection broke off repeatedly."""


class Refused(InputError):  # noqa: N818
    """A server answered, but did not give the file; `status` is its HTTP status."""

    def __init__(self, message: str, *, status: int, where: str, remedy: str | None = None) -> None:
        self.status = status
        super().__init__(message, where=where, remedy=remedy)


def nearest(name: str, known: Sequence[str]) -> str:
    """Say which known name was probably meant: `" (did you mean 'ridge'?)"`, or nothing."""
    from difflib import get_close_matches

    # What is known may be what somebody wrote: 1 instead of "1".
    close = get_close_matches(name, [k for k in known if isinstance(k, str)], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def refuse_unknown(keys: Iterable[str], known: Sequence[str], *, where: str) -> None:
    """Raise `InputError` for the first setting that is not known; it names the nearest one."""
    for key in keys:
        if key not in known:
            raise InputError(
                f"unknown setting {key!r}{nearest(key, known)}",
                where=where,
                expected=f"one of {', '.join(known)}",
                remedy="correct the name in the config",
            )

"""Problems, collected instead of stopping at the first, and how they are printed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import ParamSpec, TypeVar

from highgamma.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong with the data, the models or the configuration.

    Attributes
    ----------
    subject
        What it concerns: a participant's name, `models`, `configuration`, ….
    message
        What was found.
    where
        The file, or the key of the configuration.
    expected
        What would be valid.
    remedy
        What to do about it.
    fatal
        Whether jobs would fail (an error). Otherwise (a warning) they run, and the result may not
        be the intended one.
    """

    subject: str
    message: str
    where: str | None = None
    expected: str | None = None
    remedy: str | None = None
    fatal: bool = True


@dataclass(slots=True)
class Problems:
    """A collection of problems, each of which is kept once."""

    every: list[Problem]

    def add(self, problem: Problem) -> None:
        """Add a problem, unless it is already in the collection."""
        if problem not in self.every:
            self.every.append(problem)

    def warn(self, subject: str, message: str, **further: str | None) -> None:
        """Add a warning; `further` are other attributes of `Problem`."""
        self.add(Problem(subject, message, fatal=False, **further))

    def attempt(
        self, subject: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R | None:
        """Call a function of the library and add its errors and warnings to the problems.

        Unexpected exceptions are added too, so that one unusual file does not hide the problems
        of the others.

        Parameters
        ----------
        subject
            Subject of the problems.
        function, *args, **kwargs
            The function, and what it is called with.

        Returns
        -------
        result
            What the function returned; `None` if it raised an exception.
        """
        try:
            with self._warnings_of(subject):
                return function(*args, **kwargs)
        except InputError as error:
            self.add(Problem(subject, error.message, error.where, error.expected, error.remedy))
        except Exception as error:
            logging.getLogger("highgamma").debug("%s", error, exc_info=True)
            self.add(
                Problem(
                    subject,
                    f"cannot be checked: {type(error).__name__}: {error}",
                    where=f"{getattr(function, '__module__', '')}.{function.__name__}",
                    remedy="compare the files with published ones; if they are valid, report "
                    "this error",
                )
            )
        return None

    @contextmanager
    def _warnings_of(self, subject: str) -> Iterator[None]:
        """Collect the package's warnings instead of logging them."""
        logger = logging.getLogger("highgamma")
        handlers, propagate = logger.handlers, logger.propagate
        collector = _Collector(self, subject)
        logger.handlers, logger.propagate = [collector], False
        try:
            yield
        finally:
            logger.handlers, logger.propagate = handlers, propagate

    def fatal(self) -> list[Problem]:
        """Return the errors: problems with which jobs would fail."""
        return [problem for problem in self.every if problem.fatal]

    def text(self) -> list[str]:
        """Return lines of text: by subject, errors before warnings, each with file and remedy.

        What is wrong with `SHARED` participants or more in the same way is said once for all.
        """
        lines: list[str] = []
        told = _told_once(self.every)
        for subject in dict.fromkeys(problem.subject for problem in told):
            mine = [problem for problem in told if problem.subject == subject]
            lines += ["", subject]
            for problem in sorted(mine, key=lambda p: not p.fatal):
                lines += _lines(problem)
        return lines


SHARED = 3
"""Number of participants from which the same problem is said once."""


def _told_once(problems: Sequence[Problem]) -> list[Problem]:
    """Return problems with those that several participants share joined, in the same order."""
    alike: dict[tuple[object, ...], list[Problem]] = {}
    for problem in problems:
        said = (problem.message, problem.expected, problem.remedy)
        general = tuple(text and text.replace(problem.subject, "…") for text in said)
        alike.setdefault((*general, problem.fatal), []).append(problem)
    told = []
    for same in alike.values():
        names = list(dict.fromkeys(p.subject for p in same))
        if len(names) < SHARED or not all(name.startswith("sub-") for name in names):
            told += same
            continue
        first = same[0]
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        where = first.where and f"{first.where}, and {len(same) - 1} more"
        told.append(replace(first, subject=f"{len(names)} participants: {shown}", where=where))
    return sorted(told, key=lambda p: not p.fatal)


class _Collector(logging.Handler):
    def __init__(self, problems: Problems, subject: str) -> None:
        super().__init__(level=logging.WARNING)
        self.problems, self.subject = problems, subject

    def emit(self, record: logging.LogRecord) -> None:
        self.problems.warn(self.subject, record.getMessage().rstrip("."))


def _lines(problem: Problem) -> list[str]:
    first, *rest = problem.message.splitlines()
    lines = [f"  {'error  ' if problem.fatal else 'warning'}  {first}"]
    lines += [f"           {line.strip()}" for line in rest]
    for label, text in (
        ("where", problem.where),
        ("expected", problem.expected),
        ("what to do", problem.remedy),
    ):
        if text:
            lines.append(f"           {label + ':':<12}{text}")
    return lines


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Return lines of aligned columns: the first `left` flush left, the others flush right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

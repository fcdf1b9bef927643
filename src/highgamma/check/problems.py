"""Problems, collected instead of stopping at the first, and how they are printed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from highgamma.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a subject (a participant, `models`, `configuration`).

    `fatal`: jobs would fail; else they would run, and the result may not be what was meant.
    """

    subject: str
    message: str
    where: str | None = None
    expected: str | None = None
    remedy: str | None = None
    fatal: bool = True


@dataclass(slots=True)
class Problems:
    """All problems found so far, each once."""

    every: list[Problem]

    def add(self, problem: Problem) -> None:
        """Keep a problem that is not known yet."""
        if problem not in self.every:
            self.every.append(problem)

    def warn(self, subject: str, message: str, **further: str | None) -> None:
        """Keep a warning."""
        self.add(Problem(subject, message, fatal=False, **further))

    def attempt(
        self, subject: str, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R | None:
        """Call a function of the library; what it raises or warns of becomes problems.

        `None` where it failed. An error that no file and no setting should cause is a problem as
        well, so that one odd file does not hide what is wrong with the others.
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
        """The readers' own warnings, collected in place of the log."""
        logger = logging.getLogger("highgamma")
        handlers, propagate = logger.handlers, logger.propagate
        collector = _Collector(self, subject)
        logger.handlers, logger.propagate = [collector], False
        try:
            yield
        finally:
            logger.handlers, logger.propagate = handlers, propagate

    def fatal(self) -> list[Problem]:
        """Those with which jobs would fail."""
        return [problem for problem in self.every if problem.fatal]

    def text(self) -> list[str]:
        """Lines: subject by subject, errors before warnings, each with file and remedy."""
        lines: list[str] = []
        for subject in dict.fromkeys(problem.subject for problem in self.every):
            mine = [problem for problem in self.every if problem.subject == subject]
            lines += ["", subject]
            for problem in sorted(mine, key=lambda p: not p.fatal):
                lines += _lines(problem)
        return lines


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
    """Rows of text as columns, the first `left` of them to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

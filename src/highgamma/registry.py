"""Tables of named things that a new file extends: estimators, embedding kinds, splits, columns."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

from highgamma.errors import InputError, nearest


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """What the configuration, files and tables call it."""


T = TypeVar("T", bound=Named)


class Registry(Mapping[str, T]):
    """Things of one sort by their names, in the order in which they were registered.

    Parameters
    ----------
    noun
        What the things are, for messages: `estimator`.
    package
        A package whose modules each register what they define. They are imported, in alphabetical
        order, when the table is first read; `highgamma.workflow.fingerprint` counts all of them
        with the package's `__init__`, where the table stands.
    """

    def __init__(self, noun: str, *, package: str | None = None) -> None:
        self.noun = noun
        self._package = package
        self._items: dict[str, T] = {}
        self._loaded = package is None

    def register(self, item: T) -> T:
        """Add a thing under its name and return it.

        Raises
        ------
        ValueError
            If the name is taken.
        """
        if item.name in self._items:
            raise ValueError(f"the {self.noun} {item.name!r} is registered twice")
        self._items[item.name] = item
        return item

    @contextmanager
    def extended(self, *items: T) -> Iterator[None]:
        """Register things for the length of a `with` block."""
        before = dict(self._all())
        try:
            for item in items:
                self.register(item)
            yield
        finally:
            self._items = before

    def named(self, name: str, *, where: str | None = None) -> T:
        """Return the thing of this name.

        Raises
        ------
        InputError
            If there is none; the message has the nearest name.
        """
        known = self._all()
        if name not in known:
            raise InputError(
                f"unknown {self.noun} {name!r}{nearest(name, list(known))}",
                where=where,
                expected="one of " + ", ".join(known),
            )
        return known[name]

    def __getitem__(self, name: str) -> T:
        return self._all()[name]

    def __contains__(self, name: object) -> bool:
        # A configuration may hold a list where a name belongs.
        return isinstance(name, str) and name in self._all()

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> dict[str, T]:
        if not self._loaded and self._package is not None:
            self._loaded = True  # a module may read the table while it is imported
            package = importlib.import_module(self._package)
            for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
                importlib.import_module(f"{self._package}.{module}")
        return self._items

"""Reference schemes: a module of this package registers each in `REFERENCES`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from highgamma.errors import InputError
from highgamma.neural.electrodes import Electrodes
from highgamma.neural.montage import BoolArray, Montage
from highgamma.registry import Registry

LOG = logging.getLogger("highgamma")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceScheme:
    """A way of re-referencing.

    Attributes
    ----------
    name
        What the configuration calls it.
    description
        One clause for docs/config.md: what each signal is.
    needs
        What it has to know of the electrodes, for messages.
    montage
        ``montage(electrodes, flat)`` returns the signals that come out of it, which may be none;
        `flat` (electrode,) tells the electrodes that hold one value only.
    """

    name: str
    description: str
    needs: str
    montage: Callable[[Electrodes, BoolArray], Montage]


REFERENCES: Registry[ReferenceScheme] = Registry("reference", package=__name__)


def montage(reference: str, electrodes: Electrodes, flat: BoolArray) -> Montage:
    """Apply a reference scheme to a participant's electrodes.

    Electrodes that take no part in any signal are left out, with a warning.

    Parameters
    ----------
    reference
        A name in `REFERENCES`.
    flat
        (electrode,); whether an electrode holds one value only.

    Raises
    ------
    InputError
        If there is no such reference, or if it leaves no signal.
    """
    scheme = REFERENCES.named(reference, where="neural.reference")
    signals = scheme.montage(electrodes, flat)
    if not len(signals):
        raise InputError(
            f"the reference {reference!r} leaves no electrode",
            where="neural.reference",
            expected=scheme.needs,
            remedy="set neural.reference to none or car",
        )
    used = {i for sources in signals.sources for i, _ in sources}
    unused = [name for i, name in enumerate(electrodes.names) if i not in used]
    if unused:
        LOG.warning(
            "reference %s: %d electrode(s) left out (it needs %s): %s",
            reference,
            len(unused),
            scheme.needs,
            ", ".join(unused),
        )
    return signals

"""What is planted where: the electrodes of a participant and what each of them follows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from highgamma.demo.semantics import MODEL

FloatArray = NDArray[np.float64]

AFTER, BEFORE = 0.10, -0.08  # s; neural activity after the sound (hearing), before it (movement)
LAYER = 4
COMPONENTS = 4
GAIN_SPREAD = 0.65  # standard deviation of the log gain over channels
SPACING = 3.5  # mm between contacts
_SNR = {"speech-on-off": (0.8, 1.6), "contaminated": (0.5, 2.0)}
_SHAFT_CONTACTS, _MOST_RECORDED = 16, 14  # of a shaft whose electrodes follow nothing

# One shaft: letter, entry point and direction (mm, left hemisphere), contacts on it, and what its
# recorded contacts follow, with the anatomical label that goes with it.
_HESCHL, _STG = "ctx_lh_G_temp_sup-G_T_transv", "ctx_lh_G_temp_sup-Lateral"
_CENTRAL, _PRECENTRAL = "ctx_lh_S_central", "ctx_lh_G_precentral"
_MTG, _ITS = "ctx_lh_G_temporal_middle", "ctx_lh_S_temporal_inf"
_FRONTAL, _HIPPO = "ctx_lh_G_front_inf-Triangul", "Left-Hippocampus"
_WHITE, _AMYGDALA = "Left-Cerebral-White-Matter", "Left-Amygdala"
_LABELS = (_HESCHL, _STG, _CENTRAL, _PRECENTRAL, _MTG, _ITS, _FRONTAL, _HIPPO, _WHITE, _AMYGDALA)
_SHAFTS = (
    (
        "A",
        (-62.0, -22.0, 8.0),
        (1.0, -0.1, 0.05),
        11,
        (
            ("acoustic+", _STG),
            ("acoustic+", _HESCHL),
            ("acoustic+", _HESCHL),
            ("speech-on-off", _STG),
            ("contaminated", _STG),
            ("noise", _WHITE),
        ),
    ),
    (
        "C",
        (-58.0, -8.0, 34.0),
        (0.9, -0.2, 0.3),
        10,
        (
            ("acoustic-", _PRECENTRAL),
            ("acoustic-", _CENTRAL),
            ("acoustic-", _CENTRAL),
            ("speech-on-off", _PRECENTRAL),
            ("speech-on-off", _CENTRAL),
            ("noise", _WHITE),
        ),
    ),
    (
        "F",
        (-54.0, 26.0, 6.0),
        (1.0, 0.1, 0.1),
        9,
        (
            ("language", _FRONTAL),
            ("language", _FRONTAL),
            ("language", _FRONTAL),
            ("contaminated", _WHITE),
            ("noise", _WHITE),
        ),
    ),
    (
        "T",
        (-64.0, -38.0, -10.0),
        (1.0, 0.15, -0.05),
        9,
        (
            ("language", _MTG),
            ("language", _MTG),
            ("language", _ITS),
            ("contaminated", _ITS),
            ("noise", _WHITE),
        ),
    ),
    (
        "H",
        (-60.0, -14.0, -18.0),
        (1.0, -0.05, 0.0),
        8,
        (
            ("language", _HIPPO),
            ("noise", _HIPPO),
            ("flat", "Unknown"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact of a shaft: its position (mm, ACPC) and label."""

    name: str
    position: tuple[float, float, float]
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Planted:
    """What one recorded electrode follows.

    Attributes
    ----------
    contact
        The electrode.
    kind
        acoustic (the broadband envelope of the microphone, at a lag), language (leading
        components of a layer of the language model), speech-on-off, noise, contaminated (noise
        and a copy of the microphone's signal) or flat.
    lag
        s; the neural signal at t follows the sound at t − lag. NaN if there is no lag.
    snr
        Variance that the planted drive adds to the carrier's envelope, over the variance of that
        envelope without it (the 1/f background, a twentieth of the power, is not counted); over
        words (mean of the first second after the prompt) for language, over frames (50 ms every
        10 ms) for acoustic and speech-on-off. For contaminated: power of the microphone's copy
        while there is speech over the power of the high-gamma carrier, both within 70–170 Hz.
        NaN for noise and flat.
    gain
        Factor on the whole channel.
    weights
        Weights of the standardised components (language only).
    """

    contact: Contact
    kind: str
    gain: float
    lag: float = math.nan
    model: str = "n/a"
    layer: int | None = None
    snr: float = math.nan
    weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """Recorded electrodes in the recording's order, and all contacts of all shafts."""

    planted: tuple[Planted, ...]
    contacts: tuple[Contact, ...]


def plan_electrodes(*, hemisphere: str, rng: np.random.Generator) -> Plan:
    """Place five shafts in a hemisphere (L or R) and decide what each recorded contact follows.

    Every participant has the same number of electrodes of each kind; which contact of a shaft
    follows what, which contacts are left out, the gains and the SNR are drawn.
    """
    planted: list[Planted] = []
    contacts: list[Contact] = []
    for letter, entry, direction, n_contacts, roles in _SHAFTS:
        # The deepest contact is number 1, as electrodes are numbered from the tip.
        unit = np.array(direction) / np.linalg.norm(direction)
        numbers = np.sort(rng.choice(n_contacts, len(roles), replace=False)) + 1
        order = rng.permutation(len(roles))
        shift = rng.normal(0, 1.5, 3)
        recorded = dict(zip(numbers.tolist(), order.tolist(), strict=True))
        for number in range(1, n_contacts + 1):
            x, y, z = np.array(entry) + shift + (n_contacts - number) * SPACING * unit
            role, region = roles[recorded[number]] if number in recorded else ("", "n/a")
            contact = _contact(f"{letter}{number}", (x, y, z), region, hemisphere)
            contacts.append(contact)
            if role:
                planted.append(_plant(contact, role, rng))
    return Plan(planted=tuple(planted), contacts=tuple(contacts))


def plan_noise(
    channels: int, *, hemisphere: str, gain_spread: float, rng: np.random.Generator
) -> Plan:
    """Place electrodes that follow nothing on shafts of 16 contacts, at most 14 of them recorded.

    Positions, labels and gains are drawn. `gain_spread` is the standard deviation of the log gain.
    """
    planted: list[Planted] = []
    contacts: list[Contact] = []
    n_shafts = -(-channels // _MOST_RECORDED)
    for shaft, recorded in enumerate(np.array_split(np.arange(channels), n_shafts)):
        entry = np.array([-62.0, rng.uniform(-60, 40), rng.uniform(-15, 40)])
        numbers = np.sort(rng.choice(_SHAFT_CONTACTS, len(recorded), replace=False)) + 1
        for number in range(1, _SHAFT_CONTACTS + 1):
            x, y, z = entry + np.array([(_SHAFT_CONTACTS - number) * SPACING, 0.0, 0.0])
            region = _LABELS[int(rng.integers(len(_LABELS)))] if number in numbers else "n/a"
            name = f"{chr(ord('A') + shaft)}{number}"
            contact = _contact(name, (x, y, z), region, hemisphere)
            contacts.append(contact)
            if number in numbers:
                gain = float(np.exp(rng.normal(0.0, gain_spread)))
                planted.append(Planted(contact=contact, kind="noise", gain=gain))
    return Plan(planted=tuple(planted), contacts=tuple(contacts))


def _contact(name: str, left: tuple[float, float, float], region: str, hemisphere: str) -> Contact:
    """A contact in a hemisphere, from its position and label in the left one."""
    x, y, z = map(float, left)
    mirrored = x if hemisphere == "L" else -x
    return Contact(
        name=f"{hemisphere}{name}",
        position=(round(mirrored, 3), round(y, 3), round(z, 3)),
        region=_label(region, hemisphere),
    )


def _plant(contact: Contact, role: str, rng: np.random.Generator) -> Planted:
    gain = float(np.exp(rng.normal(0.0, GAIN_SPREAD)))
    if role.startswith("acoustic"):
        return Planted(
            contact=contact,
            kind="acoustic",
            gain=gain,
            lag=AFTER if role.endswith("+") else BEFORE,
            model="envelope",
            snr=float(rng.uniform(0.8, 1.6)),
        )
    if role == "language":
        snr = float(rng.uniform(6.0, 10.0))
        direction = rng.standard_normal(COMPONENTS)
        return Planted(
            contact=contact,
            kind=role,
            gain=gain,
            model=MODEL,
            layer=LAYER,
            snr=snr,
            weights=tuple((direction / np.linalg.norm(direction)).tolist()),
        )
    if role in _SNR:
        snr = float(rng.uniform(*_SNR[role]))
        return Planted(contact=contact, kind=role, gain=gain, lag=0.0, snr=snr)
    return Planted(contact=contact, kind=role, gain=gain)


def _label(region: str, hemisphere: str) -> str:
    if hemisphere == "L":
        return region
    return region.replace("_lh_", "_rh_").replace("Left-", "Right-")

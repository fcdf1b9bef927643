"""Channels that lack different samples: each group of them is fitted on its own samples.

Artefacts leave gaps in single channels. If every sample counted only where all channels have a
target, one channel with many gaps would cost the others their samples. Channels are therefore
grouped by their gaps; all groups have the same folds, and their results are joined.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from highgamma.encoding.analysis import Analysis
from highgamma.encoding.columns import SCORE_COLUMNS
from highgamma.encoding.nulls import seed_from
from highgamma.encoding.samples import Samples
from highgamma.encoding.splits import SPLITS, BoolArray, IntArray
from highgamma.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

LOG = logging.getLogger("highgamma")

LOSS = 0.1
"""Share of the samples that a channel may lose to the gaps of others in its group."""

MOST_GROUPS = 8
"""Most groups: each takes the time of a fit. Channels that fit into none are set aside."""

SUMS = tuple(f"fold_{name}" for name in ("sse", "sst", "sy", "sf", "syy", "sff", "syf", "n"))
"""Sums over a fold's held-out samples; a channel without a sample in a fold has 0."""

P = ParamSpec("P")


def target_groups(missing: BoolArray) -> tuple[list[IntArray], IntArray]:
    """Group channels by the samples that they lack.

    Channels join a group, those with the fewest gaps first, as long as no member loses more than
    `LOSS` of the samples to the others' gaps.

    Parameters
    ----------
    missing
        (m, t) whether a usable sample of a channel has no target.

    Returns
    -------
    groups
        Channels of each group. Channels that lack more than half of the samples are in the first:
        they have no results, and cost nothing.
    aside
        Channels that fit into none of `MOST_GROUPS` groups.
    """
    counts = missing.sum(axis=0)
    given_up = counts > len(missing) / 2
    groups: list[list[int]] = []
    gaps: list[BoolArray] = []
    least: list[int] = []
    aside: list[int] = []
    for channel in np.argsort(counts, kind="stable"):
        if given_up[channel]:
            continue
        for number, members in enumerate(groups):
            together = gaps[number] | missing[:, channel]
            if together.sum() - least[number] <= LOSS * len(missing):
                members.append(int(channel))
                gaps[number] = together
                break
        else:
            if len(groups) == MOST_GROUPS:
                aside.append(int(channel))
                continue
            groups.append([int(channel)])
            gaps.append(missing[:, channel])
            least.append(int(counts[channel]))
    first = [*(groups[0] if groups else []), *np.flatnonzero(given_up)]
    sorted_groups = [np.sort(np.array(some, np.int64)) for some in [first, *groups[1:]]]
    return sorted_groups, np.array(aside, np.int64)


def fitted_in_groups(
    fit: Callable[P, xr.Dataset],
) -> Callable[P, xr.Dataset]:
    """Decorate a fit of samples, so that channels with different gaps are fitted group by group.

    `fit` takes the samples first, and `analysis`, `seed` and `names` by name.
    """

    @wraps(fit)
    def grouped(*args: P.args, **options: P.kwargs) -> xr.Dataset:
        every: Any = fit
        given: dict[str, Any] = dict(options)
        samples: Samples = given.pop("samples") if "samples" in given else args[0]  # type: ignore[assignment]
        usable = np.flatnonzero(samples.usable)
        missing = ~np.isfinite(samples.targets[usable])
        groups, aside = target_groups(missing)
        if len(groups) == 1 and not len(aside):
            return every(samples, **given)  # type: ignore[no-any-return]
        if len(groups) > 1:
            seed = seed_from(given.get("seed", 0), *given.get("names", ()), "split")
            block = _blocks(samples, usable, groups, given["analysis"], seed=seed)
            samples = replace(samples, block=block)
        _tell_aside(samples, aside, f"their gaps are unlike those of {MOST_GROUPS} groups")
        largest = max(len(group) for group in groups)
        parts: list[xr.Dataset] = []
        kept: list[IntArray] = []
        for number, group in enumerate(groups):
            targets = np.full_like(samples.targets, np.nan)
            targets[:, group] = samples.targets[:, group]
            LOG.info("group %d of %d: %d channels", number + 1, len(groups), len(group))
            try:
                parts.append(every(replace(samples, targets=targets), **given))
            except InputError as error:
                if len(group) == largest:
                    raise
                # What a few channels lack must not cost the others their results.
                _tell_aside(samples, group, error.message)
                aside = np.concatenate([aside, group])
            else:
                kept.append(group)
        whole = joined(parts, kept, samples) if len(parts) > 1 else parts[0]
        return whole.assign_attrs(target_groups=len(parts), channels_set_aside=len(aside))

    return grouped


def _tell_aside(samples: Samples, channels: IntArray, reason: str) -> None:
    """Warn of channels that are set aside, by name if they have one."""
    if len(channels):
        known = samples.channels.get("channel")
        named = [str(i if known is None else known.values[i]) for i in channels]
        LOG.warning("%d channels are set aside (%s): %s", len(named), reason, ", ".join(named))


def _blocks(
    samples: Samples,
    usable: IntArray,
    groups: Sequence[IntArray],
    analysis: Analysis,
    *,
    seed: int,
) -> IntArray:
    """The fold of every sample (m,) that some group can use; -1 for the others."""
    missing = ~np.isfinite(samples.targets[usable])
    useful = np.any([~missing[:, group].any(axis=1) for group in groups if len(group)], axis=0)
    # The first group also holds channels that are given up, which are missing in most samples.
    live = missing.mean(axis=0) <= 0.5
    first = groups[0][live[groups[0]]]
    useful |= ~missing[:, first].any(axis=1)
    rows = usable[useful]
    # In the order of time, as the fit sorts them.
    rows = rows[np.lexsort((samples.rows.start[rows], samples.rows.segment[rows]))]
    block = np.full(len(samples.usable), -1, np.int64)
    scheme = SPLITS[analysis.split]
    block[rows] = scheme.blocks(samples.rows.take(rows), folds=analysis.folds, seed=seed)
    return block


def joined(parts: Sequence[xr.Dataset], groups: Sequence[IntArray], samples: Samples) -> xr.Dataset:
    """Join the results of groups of channels.

    Parameters
    ----------
    parts
        Results of each group, over all channels and over the group's own samples and folds.
    groups
        Channels of each.
    samples
        All samples, with the folds that the groups share.

    Returns
    -------
    Results over all channels and samples. A channel is missing in samples that its group lacks;
    `fold_n` has the dimension `channel`. What has no channel, sample or fold is the largest
    group's.
    """
    import xarray as xr

    main = parts[int(np.argmax([len(group) for group in groups]))]
    places = [_samples_of(part, samples) for part in parts]
    union = np.unique(np.concatenate(places))
    union = union[np.lexsort((samples.rows.start[union], samples.rows.segment[union]))]
    position = np.full(len(samples.usable), -1, np.int64)
    position[union] = np.arange(len(union))
    assert samples.block is not None
    n_folds = int(samples.block.max()) + 1
    folds = []
    for part, place in zip(parts, places, strict=True):
        own = np.asarray(part["fold_of_sample"].values, np.int64)
        of_part = np.full(part.sizes["fold"], -1, np.int64)
        of_part[own] = samples.block[place]
        folds.append(of_part)
    sizes = {**main.sizes, "sample": len(union), "fold": n_folds}
    by_dimension = [
        {"sample": position[place], "fold": fold, "channel": group}
        for place, fold, group in zip(places, folds, groups, strict=True)
    ]

    def together(name: str) -> Any:
        variable = main[name].variable
        dims = variable.dims
        of_channels = dims == ("channel",) and name in main.coords
        if of_channels or not set(dims) & {"sample", "fold", "channel"}:
            return variable
        values = [part[name].values for part in parts]
        if name == "fold_of_sample":
            values = [fold[value] for fold, value in zip(folds, values, strict=True)]
        if name == "fold_n":
            dims = ("fold", "channel")
            values = [
                np.repeat(v[:, None], main.sizes["channel"], axis=1).astype(float) for v in values
            ]
        full = np.full([sizes[d] for d in dims], _missing(name, values[0]), dtype=values[0].dtype)
        # What groups share (labels of folds) is the largest group's.
        for value, index in sorted(
            zip(values, by_dimension, strict=True), key=lambda pair: len(pair[1]["channel"])
        ):
            into = np.ix_(*(index.get(str(d), np.arange(sizes[d])) for d in dims))
            full[into] = (
                value.take(index["channel"], dims.index("channel")) if "channel" in dims else value
            )
        return xr.Variable(dims, full, variable.attrs)

    data = {str(name): together(str(name)) for name in main.data_vars}
    coordinates = {str(name): together(str(name)) for name in main.coords}
    whole = xr.Dataset(data, coords=coordinates, attrs=main.attrs)
    return _without_gaps_in_choice(whole)


def _missing(name: str, values: Any) -> Any:
    """What stands where a group has no such sample, fold or channel."""
    if name in SUMS:
        return 0
    if name in SCORE_COLUMNS:
        return SCORE_COLUMNS[name].missing
    return "" if values.dtype.kind in "OU" else np.nan if values.dtype.kind == "f" else -1


def _without_gaps_in_choice(whole: xr.Dataset) -> xr.Dataset:
    """Give folds that a channel lacks its mean inner score: they then choose as the others do."""
    if "inner_score" not in whole:
        return whole
    scores, lacking = whole["inner_score"], whole["fold_n"] == 0
    return whole.assign(
        inner_score=scores.where(~lacking, scores.mean("fold")).astype(scores.dtype)
    )


def _samples_of(part: xr.Dataset, samples: Samples) -> IntArray:
    """The samples (n,) of a part among all samples, by their recording and time or word."""
    rows = samples.rows
    known = {
        key: i
        for i, key in enumerate(
            zip(rows.segment.tolist(), rows.start.tolist(), rows.trial.tolist(), strict=True)
        )
    }
    keys = zip(
        part["segment"].values.tolist(),
        part["time"].values.tolist(),
        part["word_index"].values.tolist(),
        strict=True,
    )
    return np.array([known[key] for key in keys], np.int64)

"""Compute statistics of two spectra for all circular shifts of one, and p-values from them."""

from __future__ import annotations

import numpy as np

from highgamma.contamination.spectra import ComplexArray, FloatArray


def excess_of_shifts(
    voices: ComplexArray, electrode: ComplexArray, *, sums: ComplexArray | None = None
) -> FloatArray:
    """Compute the excess of the diagonal for every circular shift of the voice.

    The advance of audio frequency f is correlated with that of electrode frequency g by
    `C_fg = Re Σ_t conj(A_f(t)) N_g(t) / T`, and `excess = mean_f C_ff - mean_{f≠g} C_fg`. Both
    means are sums of products over time, so one product in the frequency domain gives them for
    all shifts at once.

    Parameters
    ----------
    voices
        (voice, F, frame), Fourier transforms over frames; several voices are compared with the
        same electrode.
    electrode
        (F, frame), Fourier transform over frames.
    sums
        (voice, frame), sum of `voices` over F, if it is known.

    Returns
    -------
    excess : (voice, shift)
        Shift 0 … frames - 1; column 0 is the recording as it is, column s has the voice s frames
        later.
    """
    from scipy import fft

    _, n_freqs, n_frames = voices.shape
    sums = voices.sum(axis=1) if sums is None else sums
    on, off = 1 / n_freqs, 1 / (n_freqs * (n_freqs - 1))
    total = electrode.sum(axis=0)
    both = np.empty((len(voices), n_frames), np.complex64)
    for row, (voice, voice_sum) in enumerate(zip(voices, sums, strict=True)):
        diagonal = np.einsum("ft,ft->t", np.conj(voice), electrode)
        both[row] = (on + off) * diagonal - off * np.conj(voice_sum) * total
    return np.asarray(fft.ifft(both, axis=-1).real / n_frames, dtype=np.float64)


def largest_within(excess: FloatArray, reach: int) -> FloatArray:
    """Find the largest excess, (electrode, shift), within `reach` shifts to either side.

    Shifts wrap around at the ends.
    """
    from scipy.ndimage import maximum_filter1d

    return np.asarray(maximum_filter1d(excess, 2 * reach + 1, axis=1, mode="wrap"))


def locking_of_shifts(voice: ComplexArray, electrode: ComplexArray) -> FloatArray:
    """Compute the largest phase locking at any frequency for every circular shift of the voice.

    `L_f(s) = |Σ_t conj(V_f(t + s)) E_f(t)|`, in root mean squares of its own over all shifts.
    Unlike the excess of the diagonal it sees a copy that holds only a few frequencies.

    Parameters
    ----------
    voice, electrode
        (F, frame), Fourier transforms over frames of phases.

    Returns
    -------
    locking : (shift,)
        The largest over frequencies.
    """
    from scipy import fft

    power = np.square(np.abs(fft.ifft(np.conj(voice) * electrode, axis=-1)))
    mean = power.mean(axis=-1, keepdims=True)
    return np.asarray(np.sqrt((power / np.where(mean > 0, mean, np.inf)).max(axis=0)), float)


def in_deviations(statistic: FloatArray, apart: int) -> FloatArray:
    """Scale a statistic (…, shift) to mean 0 and standard deviation 1 of its surrogates.

    Surrogates are the shifts from `apart` to the last but `apart`. A statistic without variation
    becomes NaN.
    """
    null = statistic[..., apart : statistic.shape[-1] - apart + 1]
    spread = null.std(axis=-1, keepdims=True)
    centre = null.mean(axis=-1, keepdims=True)
    return np.asarray((statistic - centre) / np.where(spread > 0, spread, np.nan))


def p_values(statistic: FloatArray, apart: int) -> tuple[FloatArray, float]:
    """Compute the p of each electrode, NaN for a flat one, and that of the whole recording.

    `p = (b + 1) / (n + 1)`, where b of n shifts of at least `apart` frames have a statistic as
    large as the unshifted recording.

    Parameters
    ----------
    statistic
        (electrode, shift), in standard deviations of its surrogates; NaN for a flat electrode.
        The recording's statistic is the largest of its electrodes.
    apart
        Least shift of a surrogate, frames.
    """
    null = statistic[:, apart : statistic.shape[1] - apart + 1]
    n = null.shape[1]
    live = np.isfinite(statistic).all(axis=1)
    p = ((null >= statistic[:, :1]).sum(axis=1) + 1) / (n + 1)
    if not live.any():
        return np.full(len(p), np.nan), float("nan")
    largest = null[live].max(axis=0)
    p_recording = (int((largest >= statistic[live, 0].max()).sum()) + 1) / (n + 1)
    return np.where(live, p, np.nan), float(p_recording)

"""Acoustic contamination: does the recorded voice appear, frequency by frequency, in electrodes?

After Roussel et al. 2020 (J. Neural Eng. 17 056028, doi 10.1088/1741-2552/abb25e): the
spectrograms of audio and electrode are compared over time for every pair of frequencies. A voice
that leaks into the recording meets itself at the same frequency, on the diagonal; brain activity
that follows speech does not prefer it. The excess of the diagonal is compared with the same excess
of shifted audio.

What differs from the paper: the paper correlates amplitudes, this audit phases (by which Peterson
et al. 2024, doi 10.1162/imag_a_00301, take such artefacts out). A copy of the
sound, through whatever cable, advances in phase as the sound does; high-gamma that rises and falls
with the voice shares its amplitude and not its phase. So the electrode's amplitude is thrown away
before anything is compared, and an electrode that follows speech, however strongly, has no other
chance of a flag than one that does not. The correlation of amplitudes, which the paper looks at, is
kept as `matrix`. An earlier form of this audit judged by it, less the voice's level and all that is
smooth over frequency: at p < 0.05 it flagged 0 to 12 % of clean electrodes, depending on the lag at
which they followed the voice (docs/selftest.md). The surrogates are all circular shifts of the
audio, computed at once by Fourier transforms.
"""

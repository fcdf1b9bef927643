"""Acoustic contamination: does the recorded voice appear, frequency by frequency, in electrodes?

After Roussel et al. 2020 (J. Neural Eng. 17 056028, doi 10.1088/1741-2552/abb25e): the
spectrograms of audio and electrode are compared over time for every pair of frequencies. A voice
that leaks into the recording appears at its own frequency, on the diagonal; brain activity that
follows speech does not prefer the diagonal. The excess of the diagonal is compared with that of
shifted audio.

The paper correlates amplitudes; this audit compares phases, by which Peterson et al. 2024 (doi
10.1162/imag_a_00301) remove such artefacts. A copy of the sound advances in phase as the sound
does, whatever cable it came through; high-gamma activity that rises and falls with the voice shares
its amplitude but not its phase. The electrode's amplitude is therefore discarded before the
comparison, and an electrode that follows speech, however strongly, is no more likely to be flagged
than one that does not. The correlation of amplitudes, as in the paper, is kept as `matrix`. An
earlier form of this audit tested it, after removing the voice's level and everything smooth over
frequency: at p < 0.05 it flagged 0 to 12 % of clean electrodes, depending on the lag at which they
followed the voice (docs/selftest.md). The surrogates are all circular shifts of the audio, computed
at once by Fourier transforms.
"""

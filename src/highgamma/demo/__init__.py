"""Simulated data sets: spoken words, simulated voltage and planted truth, in BIDS.

`spoken` reads the words and speaks a session, `semantics` places the words in a language model,
`truth` says what is planted where, `signals` simulates the voltage, `nwb` and `dataset` write the
files. `noise` writes participants whose electrodes follow nothing, `speech_model` and `models`
networks without weights. Nothing here uses the project's own filters or embeddings, so that the
demo tests them.
"""

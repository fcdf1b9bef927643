"""The demo data set: spoken words, simulated voltage and planted truth, in BIDS.

`spoken` reads the words and speaks a session, `semantics` places the words in a language model,
`truth` says what is planted where, `signals` simulates the voltage, `nwb` and `dataset` write the
files. Nothing here uses the project's own filters or embeddings, so that the demo tests them.
"""

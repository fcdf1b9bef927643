"""From a BIDS-iEEG data set to signals, words, audio and channels.

`files` finds what belongs to a participant and imports nothing heavy, so that a workflow can ask
it while it builds its graph.
"""

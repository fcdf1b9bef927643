"""Test the workflow on simulated recordings with electrodes of known kinds.

`worlds` simulates participants, `stages` runs them through the workflow's stages, `rates` compares
the results with what was planted and with the expected rates, `page` writes the tables and figure.
"""

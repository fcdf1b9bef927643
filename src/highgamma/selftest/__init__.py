"""The workflow judged by its own results: planted electrodes in, rates of true findings out.

`worlds` simulates participants, `stages` sends them through the workflow's stages, `rates` compares
what was found with what was planted and with what is to be expected, `page` shows it.
"""

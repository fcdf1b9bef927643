"""Quality of recordings: what the voltage of each electrode looks like, and what is unusual in it.

`measures` reads a recording and measures it, `columns` holds the table's columns and flags,
`figure` draws them. Nothing is left out because of a flag.
"""

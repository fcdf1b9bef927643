"""The page that shows what was found, and what each figure in it is worth.

`evidence` reads the files, `findings` counts and compares, `figures` draws, `page` writes HTML.
"""

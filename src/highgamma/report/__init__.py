"""Write the report: the page of results, with the checks needed to interpret them.

`evidence` reads the files, `findings` counts and compares, `figures` draws, `page` writes HTML.
"""

"""Embeddings: what a model makes of the words or the sound, layer by layer.

One module for each kind of model; `making` chooses among them, `writing` stores what they give,
`placing` puts features on the clock of the neural signal.
"""

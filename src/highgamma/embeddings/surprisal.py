"""Surprisal, entropy and rank: what a causal language model expected where each word came.

Of the tokens t_1 … t_n of a word after the context c, with natural logarithms:

surprisal  −Σ_i ln p(t_i | c, t_1 … t_{i−1})   nats; the sub-words' surprisals add to the word's
entropy    −Σ_v p(v | c) ln p(v | c)           nats, over the vocabulary; before the first sub-word
rank       number of tokens v that p(v | c) puts above t_1; 0 where the first sub-word was expected

Divide nats by ln 2 for bits. A window of text begins with the token that the tokenizer puts there,
else its beginning-of-text token, else its end-of-text token (GPT-2 has one for both), so the first
word of a text is predicted from that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.embeddings.pretrained import Network
from highgamma.embeddings.stream import Embeddings, Float32Array, Words
from highgamma.embeddings.text import (
    Tokens,
    check_lengths,
    check_words,
    checked_vocabulary,
    longest,
    reading_windows,
    runs,
    sees_only_the_past,
    surroundings,
    tokenize_text,
    tokenize_word,
    word_coordinates,
)
from highgamma.embeddings.vocabulary import VOCABULARY
from highgamma.errors import InputError

if TYPE_CHECKING:
    import torch

FEATURES = ("surprisal", "entropy", "rank")
#: Positions whose probabilities are computed at once: the vocabulary is wide.
_POSITIONS = 128


def surprisal_embeddings(
    model: Mapping[str, Any], *, words: Words, network: Network, tokenizer: Any
) -> Embeddings:
    """Return one layer with the features surprisal, entropy (nats) and rank of each word.

    Parameters
    ----------
    model
        Resolved catalogue entry of kind `text` with `feature: surprisal`.
    words
        The words in time order; each segment is a text of its own.
    network
        A network with its head (`load_language_model`).

    Raises
    ------
    InputError
        If there are no words, or the network sees what follows.
    """
    check_words(words)
    known = checked_vocabulary(tokenizer, words.word, where=network.folder)
    order = words.reading_order()
    text = [words.word[row] for row in order]
    if not sees_only_the_past(network, network.logits):
        raise InputError(
            "the network sees the words that it should predict",
            where=network.folder,
            expected="a causal language model, such as GPT-2",
            remedy="set `feature: states`, or take another model",
        )

    def blocks() -> Iterator[Float32Array]:
        if model["context"] == "word":
            yield isolated_surprisals(
                network,
                tokenizer,
                text,
                prefix_space=bool(model["prefix_space"]),
                batch=int(model["batch"]),
            )
            return
        for a, b in runs(words.segment[order]):
            yield from surprisals_in_context(
                network,
                tokenizer,
                text[a:b],
                context=int(model["context"]),
                prefix_space=bool(model["prefix_space"]),
            )

    return Embeddings(
        unit="word",
        layers=[0],
        width=len(FEATURES),
        coordinates=word_coordinates(words, order),
        blocks=blocks(),
        attributes={
            "features": "surprisal (nats), entropy (nats), rank (0 is the most expected)",
            "context": str(model["context"]),
            VOCABULARY: known.attribute(),
        },
    )


def surprisals_in_context(
    network: Network,
    tokenizer: Any,
    words: Sequence[str],
    *,
    context: int,
    prefix_space: bool = False,
) -> Iterator[Float32Array]:
    """Yield surprisals of the words of one running text: blocks (1, word, 3), in order.

    The text is read in overlapping windows of 2 × `context` tokens (at most what the network
    takes); each word has at least `context` tokens (at most half of what the network takes), or
    all there are, before it. A word that no window holds whole is missing.

    Parameters
    ----------
    network, tokenizer
        A causal language model and its tokenizer.
    words
        The words, in the order of the text.
    context
        Least number of tokens before each word.
    prefix_space
        Whether the first word, too, has the form that it has inside a sentence.
    """
    tokens = tokenize_text(tokenizer, words, prefix_space=prefix_space)
    start = beginning(tokenizer)
    window = min(2 * context, longest(network, 2 * context + 64) - len(start))
    left = min(context, window // 2)
    for first, stop, word, upto in reading_windows(tokens, window=window, left=left, right=0):
        if first == stop:
            # Words without tokens are all that is left.
            yield np.full((1, upto - word, len(FEATURES)), np.nan, np.float32)
            continue
        scores = token_scores(network, [[*start, *tokens.ids[first:stop]]])[0]
        shift = len(start) - first
        spans = [
            (a + shift, b + shift) if b <= stop else (0, 0) for a, b in tokens.spans[word:upto]
        ]
        yield np.stack([of_word(scores, span) for span in spans])[None]


def isolated_surprisals(
    network: Network,
    tokenizer: Any,
    words: Sequence[str],
    *,
    prefix_space: bool = False,
    batch: int = 64,
) -> Float32Array:
    """Return each word's surprisal as the beginning of a text, (1, word, 3).

    Parameters
    ----------
    network, tokenizer
        A causal language model and its tokenizer.
    words
        The words.
    prefix_space
        Whether words have the form that they have inside a sentence.
    batch
        Largest number of words in a pass.

    Raises
    ------
    InputError
        If the tokenizer has no token that a text begins with, or the network cannot read a word in
        one pass.
    """
    start = beginning(tokenizer)
    if not start:
        raise InputError(
            "the tokenizer has no token for the beginning of a text, from which a word that "
            "stands alone is predicted",
            where=network.folder,
            expected="bos_token or eos_token",
            remedy="set `context` to a number of tokens",
        )
    tokens = [_own(tokenize_word(tokenizer, word, prefix_space=prefix_space)) for word in words]
    lengths = np.array([len(ids) for ids in tokens])
    check_lengths(network, words, lengths + len(start))
    out = np.full((1, len(words), len(FEATURES)), np.nan, dtype=np.float32)
    for length in np.unique(lengths[lengths > 0]):
        rows = np.flatnonzero(lengths == length)
        for a in range(0, len(rows), batch):
            some = rows[a : a + batch]
            scores = token_scores(network, [[*start, *tokens[row]] for row in some])
            for row, score in zip(some, scores, strict=True):
                out[0, row] = of_word(score, (len(start), len(start) + int(length)))
    return out


def token_scores(network: Network, ids: list[list[int]]) -> Float32Array:
    """Return surprisal, entropy and rank of each token of equally long texts.

    Parameters
    ----------
    network
        A causal language model.
    ids
        Numbers of the tokens of each text.

    Returns
    -------
    scores
        (text, position, 3) in nats, nats and ranks; NaN at position 0, which has no context.
    """
    import torch

    inputs = torch.tensor(ids, dtype=torch.long, device=network.device)
    logits = network.logits(input_ids=inputs, attention_mask=torch.ones_like(inputs))
    out = np.full((*inputs.shape, len(FEATURES)), np.nan, dtype=np.float32)
    for text in range(len(ids)):
        for a in range(1, len(ids[0]), _POSITIONS):
            came = inputs[text, a : a + _POSITIONS]
            expected = logits[text, a - 1 : a - 1 + len(came)]
            out[text, a : a + len(came)] = _scored(expected, came).cpu().numpy()
    return out


def of_word(scores: Float32Array, span: tuple[int, int]) -> Float32Array:
    """Return surprisal, entropy and rank of the word with tokens span[0] to span[1], (3,).

    NaN for a word without tokens or without anything before it.
    """
    start, stop = span
    if stop <= start:
        return np.full(len(FEATURES), np.nan, dtype=np.float32)
    surprisal = scores[start:stop, 0].sum()
    return np.array([surprisal, scores[start, 1], scores[start, 2]], dtype=np.float32)


def beginning(tokenizer: Any) -> list[int]:
    """Return the tokens that a text begins with.

    They are the tokenizer's own, else its token for the beginning or the end of a text; empty if
    it has neither.
    """
    before, _ = surroundings(tokenizer)
    if before:
        return before
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return next(([int(number)] for number in ids if number is not None), [])


def _scored(expected: torch.Tensor, came: torch.Tensor) -> torch.Tensor:
    """(position, 3) from logits (position, vocabulary) and the tokens that came (position)."""
    import torch

    logs = torch.log_softmax(expected.float(), dim=-1)
    log_p = logs.gather(1, came[:, None])
    entropy = torch.special.entr(logs.exp()).sum(dim=-1)
    # Strictly above: of equally expected tokens none stands in the other's way.
    rank = (logs > log_p).sum(dim=-1)
    return torch.stack([-log_p[:, 0], entropy, rank.float()], dim=-1)


def _own(tokens: Tokens) -> list[int]:
    start, stop = tokens.spans[0]
    return tokens.ids[start:stop]

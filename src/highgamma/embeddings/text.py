"""Language models: words to features of all layers, alone or in running context.

A word's feature is pooled over its sub-word tokens; special tokens are never in the pool.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from highgamma.embeddings.pretrained import Network
from highgamma.embeddings.stream import Embeddings, Float32Array, Words
from highgamma.embeddings.vocabulary import VOCABULARY, Vocabulary, different, vocabulary
from highgamma.errors import InputError

if TYPE_CHECKING:
    import torch

_ROWS = 256


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token numbers of one text, and for each word the (start, stop) of its own tokens."""

    ids: list[int]
    spans: list[tuple[int, int]]


def encoded_text(tokenizer: Any, text: str, **options: bool) -> Any:
    """Return what a tokenizer makes of a text.

    Raises
    ------
    InputError
        If it makes nothing, because its files are damaged.
    """
    try:
        return tokenizer(text, **options)
    except Exception as error:  # the library raises no class of its own
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the model's tokenizer cannot be used: {first}",
            where=tokenizer.name_or_path,
            expected="whole files of a tokenizer",
            remedy="fetch the model's files again, or take another model",
        ) from error


def prefixed(tokenizer: Any, word: str, *, prefix_space: bool) -> str:
    """Return the text whose tokens represent a word.

    With `prefix_space`, a tokenizer that distinguishes `word` from ` word` (byte-level BPE: GPT-2,
    RoBERTa) gets the form that the word has inside a sentence. Tokenizers that mark the start of a
    word themselves (WordPiece, SentencePiece) get the bare word.
    """
    if not prefix_space:
        return word
    bare = encoded_text(tokenizer, "a", add_special_tokens=False)["input_ids"]
    spaced = encoded_text(tokenizer, " a", add_special_tokens=False)["input_ids"]
    return f" {word}" if spaced != bare and len(spaced) == len(bare) else word


def tokenize_word(tokenizer: Any, word: str, *, prefix_space: bool = False) -> Tokens:
    """Tokenize a single word, with the tokenizer's special tokens around it.

    An empty word, or one of spaces only, has no tokens.
    """
    word = word.strip()
    if not word:
        return Tokens([], [(0, 0)])
    text = prefixed(tokenizer, word, prefix_space=prefix_space)
    encoded = encoded_text(tokenizer, text, return_special_tokens_mask=True)
    ordinary = [i for i, special in enumerate(encoded["special_tokens_mask"]) if not special]
    # The special tokens are around the word, never inside it.
    span = (ordinary[0], ordinary[-1] + 1) if ordinary else (0, 0)
    return Tokens(list(encoded["input_ids"]), [span])


def tokenize_text(tokenizer: Any, words: Sequence[str], *, prefix_space: bool = False) -> Tokens:
    """Tokenize words joined by spaces, without special tokens.

    A token belongs to the word of its last character. An empty word has no tokens, and no space
    of its own.

    Parameters
    ----------
    tokenizer
        The tokenizer.
    words
        The words, in the order of the text.
    prefix_space
        Whether the first word, too, has the form that it has inside a sentence.
    """
    shown = [word.strip() for word in words]
    there = [word for word in shown if word]
    joined = " ".join(there)
    text = joined
    if there:
        first = prefixed(tokenizer, there[0], prefix_space=prefix_space)
        text = first + joined[len(there[0]) :]
    lead = len(text) - len(joined)
    # A word of no characters ends where the one before it ends.
    ends = np.cumsum([len(word) + 1 if word else 0 for word in shown]) - 1 + lead
    encoded = encoded_text(
        tokenizer, text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    last = np.array([stop - 1 for _, stop in encoded["offset_mapping"]], dtype=np.int64)
    owner = np.searchsorted(ends, last, side="right")
    spans = []
    for number in range(len(words)):
        first, stop = np.searchsorted(owner, [number, number + 1])
        spans.append((int(first), int(stop)))
    return Tokens(list(encoded["input_ids"]), spans)


def pooled(states: Float32Array, span: tuple[int, int], pooling: str) -> Float32Array:
    """Pool states (layer, position, feature) into the features of one word, (layer, feature).

    `mean`, `first` or `last` of the positions span[0] to span[1]; NaN for a word without tokens.
    """
    start, stop = span
    if stop <= start:
        return np.full((states.shape[0], states.shape[2]), np.nan, dtype=np.float32)
    if pooling == "first":
        return states[:, start]
    if pooling == "last":
        return states[:, stop - 1]
    mean: Float32Array = states[:, start:stop].mean(axis=1)
    return mean


def isolated_words(
    network: Network,
    tokenizer: Any,
    words: Sequence[str],
    *,
    pooling: str = "mean",
    prefix_space: bool = False,
    batch: int = 64,
) -> Iterator[Float32Array]:
    """Yield features of each word as a separate text: blocks (layer, word, feature), in order.

    Words with the same number of tokens share a batch, so that nothing is padded and a word's
    features do not depend on the other words.

    Parameters
    ----------
    network, tokenizer
        A language model and its tokenizer.
    words
        The words.
    pooling
        `mean`, `first` or `last` of the tokens of a word.
    prefix_space
        Whether words have the form that they have inside a sentence.
    batch
        Largest number of words in a pass.

    Raises
    ------
    InputError
        If the network cannot read a word in one pass.
    """
    for a in range(0, len(words), _ROWS):
        tokens = [
            tokenize_word(tokenizer, word, prefix_space=prefix_space)
            for word in words[a : a + _ROWS]
        ]
        block = np.full((network.layers + 1, len(tokens), network.width), np.nan, dtype=np.float32)
        lengths = np.array([len(t.ids) for t in tokens])
        check_lengths(network, words[a : a + _ROWS], lengths)
        for length in np.unique(lengths[lengths > 0]):
            rows = np.flatnonzero(lengths == length)
            for b in range(0, len(rows), batch):
                some = rows[b : b + batch]
                states = run(network, [tokens[row].ids for row in some])
                for row, state in zip(some, states, strict=True):
                    block[:, row] = pooled(state, tokens[row].spans[0], pooling)
        yield block


def words_in_context(
    network: Network,
    tokenizer: Any,
    words: Sequence[str],
    *,
    context: int,
    pooling: str = "mean",
    prefix_space: bool = False,
) -> Iterator[Float32Array]:
    """Yield features of the words of one running text: blocks (layer, word, feature), in order.

    The text is read in overlapping windows of 2 × `context` tokens (at most what the network
    takes). A causal network's words have at least `context` tokens (or all there are) before them;
    a bidirectional network's at least half of that on either side.

    Parameters
    ----------
    context
        Number of tokens.
    prefix_space
        Whether the first word is read as if another stood before it.
    """
    if not words:
        return
    tokens = tokenize_text(tokenizer, words, prefix_space=prefix_space)
    before, after = surroundings(tokenizer)
    window = min(2 * context, longest(network, 2 * context + 64) - len(before) - len(after))
    causal = is_causal(network)
    left = min(context, window // 2) if causal else window // 4
    right = 0 if causal else window // 4
    for first, stop, word, upto in reading_windows(tokens, window=window, left=left, right=right):
        if first == stop:
            # Words without tokens are all that is left.
            yield np.full((network.layers + 1, upto - word, network.width), np.nan, np.float32)
            continue
        states = run(network, [[*before, *tokens.ids[first:stop], *after]])[0]
        shift = len(before) - first
        yield np.stack(
            [
                pooled(states, (start + shift, min(end, stop) + shift), pooling)
                for start, end in tokens.spans[word:upto]
            ],
            axis=1,
        )


def reading_windows(
    tokens: Tokens, *, window: int, left: int, right: int
) -> Iterator[tuple[int, int, int, int]]:
    """Yield windows over a text: (first token, stop token, first word, stop word).

    The words of consecutive windows follow one another without a gap. Each word has at least `left`
    tokens before it and `right` after it in its window, or all that exist; of a word longer than
    the window the first tokens are read.

    Parameters
    ----------
    tokens
        The tokens of the text, and the span of each word.
    window
        Length of a window, tokens.
    left, right
        Least number of tokens before and after each word.
    """
    total, word = len(tokens.ids), 0
    while word < len(tokens.spans):
        first = max(0, tokens.spans[word][0] - left)
        stop = min(total, first + window)
        upto = word
        while upto < len(tokens.spans) and (tokens.spans[upto][1] <= stop - right or stop == total):
            upto += 1
        upto = max(upto, word + 1)
        yield first, stop, word, upto
        word = upto


def longest(network: Network, default: int) -> int:
    """Return the most tokens of one pass, with special ones; `default` without a limit."""
    most = int(getattr(network.config, "max_position_embeddings", None) or default)
    # RoBERTa and its kin count positions from the number of their padding token plus one.
    padding = [
        int(module.padding_idx) + 1
        for name, module in network.module.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]
    return most - max(padding, default=0)


def run(network: Network, ids: list[list[int]]) -> Float32Array:
    """Run one pass of texts of equal length: (text, layer, position, feature)."""
    import torch

    inputs = torch.tensor(ids, dtype=torch.long, device=network.device)
    mask = torch.ones_like(inputs)
    states = network.hidden(input_ids=inputs, attention_mask=mask)
    out: Float32Array = torch.stack(states, dim=1).float().cpu().numpy()
    return out


def is_causal(network: Network) -> bool:
    """Return whether a position depends only on those before it, which is measured."""
    return sees_only_the_past(network, lambda **inputs: network.hidden(**inputs)[-1])


def sees_only_the_past(network: Network, read: Callable[..., torch.Tensor]) -> bool:
    """Return whether the output of `read` (text, position, …) ignores later positions."""
    import torch

    ids = torch.tensor([[5, 6, 7, 8], [5, 6, 7, 9]], device=network.device)
    ids %= int(network.config.vocab_size)
    states = read(input_ids=ids, attention_mask=torch.ones_like(ids))
    return bool(torch.allclose(states[0, :3], states[1, :3], atol=1e-5, rtol=1e-4))


def text_embeddings(
    model: dict[str, Any], *, words: Words, network: Network, tokenizer: Any
) -> Embeddings:
    """Return features of the words for a resolved catalogue entry of kind `text`."""
    check_words(words)
    known = checked_vocabulary(tokenizer, words.word, where=network.folder)
    order = words.reading_order()
    text = [words.word[row] for row in order]

    def blocks() -> Iterator[Float32Array]:
        if model["context"] == "word":
            yield from isolated_words(
                network,
                tokenizer,
                text,
                pooling=model["pooling"],
                prefix_space=bool(model["prefix_space"]),
                batch=int(model["batch"]),
            )
            return
        # A transcript does not run on from one recording into the next; segments come in order.
        for a, b in runs(words.segment[order]):
            yield from words_in_context(
                network,
                tokenizer,
                text[a:b],
                context=int(model["context"]),
                pooling=model["pooling"],
                prefix_space=bool(model["prefix_space"]),
            )

    return Embeddings(
        unit="word",
        layers=list(range(network.layers + 1)),
        width=network.width,
        coordinates=word_coordinates(words, order),
        blocks=blocks(),
        attributes={
            "pooling": model["pooling"],
            "context": str(model["context"]),
            VOCABULARY: known.attribute(),
        },
    )


def check_words(words: Words) -> None:
    """Raise an `InputError` if no words were found."""
    if len(words.word) == 0:
        raise InputError(
            "the recording has no words, and the model reads words",
            where="dataset.words",
            remedy="set dataset.words.trial_type, or take models of kind acoustic, speech or "
            "channel",
        )


def checked_vocabulary(tokenizer: Any, words: Sequence[str], *, where: Any) -> Vocabulary:
    """Return how a tokenizer knows words, and report it; refuse one that knows hardly any.

    Parameters
    ----------
    tokenizer, words
        A tokenizer, and the words that it is to read.
    where
        The model's folder, for messages.

    Raises
    ------
    InputError
        If more than half of at least two different words have an unknown token, none, or the same
        tokens as another word.
    """
    once = different(words)
    tokens = [tuple(tokenizer(w, add_special_tokens=False)["input_ids"]) for w in once]
    # GPT-2's unknown token is its end of text, which no word has.
    unknown = getattr(tokenizer, "unk_token_id", None)
    strange = [w for w, ids in zip(once, tokens, strict=True) if unknown in ids]
    known = vocabulary(once, [ids or None for ids in tokens], unknown=strange)
    if len(once) > 1 and len(known.affected) > len(once) / 2:
        raise InputError(
            f"the tokenizer knows too few words: {len(known.absent) + len(strange)} of {len(once)} "
            f"have an unknown token or none, {known.n_alike} the same tokens as another word",
            where=where,
            expected="a tokenizer with the vocabulary of the words' language",
            remedy="fetch the model's vocabulary (tokenizer.json, vocab.json and merges.txt), or "
            "take a model of this language",
        )
    known.report()
    return known


def check_lengths(network: Network, words: Sequence[str], lengths: np.ndarray[Any, Any]) -> None:
    """Raise an `InputError` if a word has more tokens than the network reads in one pass."""
    most = longest(network, int(lengths.max(initial=0)))
    for word, length in zip(words, lengths, strict=True):
        if length > most:
            raise InputError(
                f"the word {word[:20]!r} of {len(word)} characters has {length} tokens",
                where="words",
                expected=f"at most {most}, which the network reads in one pass",
                remedy="correct the word where the data set lists it (dataset.words)",
            )


def word_coordinates(
    words: Words, order: np.ndarray[Any, Any] | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """Return coordinates of samples that are words: row of the words table, and the word.

    The words come in `order`, rows of the table; by default as they are.
    """
    rows = np.arange(len(words.word)) if order is None else order
    return {
        "word_index": rows.astype(np.int32),
        "word": np.asarray(words.word, dtype=object)[rows],
    }


def surroundings(tokenizer: Any) -> tuple[list[int], list[int]]:
    """Return special tokens that the tokenizer puts before and after a text."""
    encoded = encoded_text(tokenizer, "a", return_special_tokens_mask=True)
    ordinary = [i for i, special in enumerate(encoded["special_tokens_mask"]) if not special]
    ids = list(encoded["input_ids"])
    if not ordinary:
        raise InputError(
            "the model's tokenizer has no token for a letter",
            where=tokenizer.name_or_path,
            expected="whole files of a tokenizer",
            remedy="fetch the model's files again, or take another model",
        )
    return ids[: ordinary[0]], ids[ordinary[-1] + 1 :]


def runs(numbers: np.ndarray[Any, Any]) -> list[tuple[int, int]]:
    """Return (start, stop) of the runs of equal numbers."""
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
    return list(itertools.pairwise(edges))

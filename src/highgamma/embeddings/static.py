"""Static word vectors: fastText `.bin` and `.vec`, GloVe and word2vec text.

Only the requested words are read: text is passed through line by line, and
`.bin` (7 GB for cc.nl.300) is mapped, so that only the rows needed are ever read.
"""

from __future__ import annotations

import gzip
import mmap
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from highgamma.embeddings.stream import Embeddings, Float32Array, Words
from highgamma.embeddings.text import word_coordinates
from highgamma.embeddings.vocabulary import VOCABULARY, vocabulary
from highgamma.errors import InputError
from highgamma.spelling import forms, normal

_MAGIC = 793712314
_NEWEST = 12
_MAX_WIDTH = 100_000
#: Characters of a line of text beside its numbers.
_LINE = 1 << 20
#: dim ws epoch minCount neg wordNgrams loss model bucket minn maxn lrUpdateRate (int32), t (double)
_ARGUMENTS = struct.Struct("<12id")
_DICTIONARY = struct.Struct("<3iq")
_PRUNED = struct.Struct("<q")
_QUANTISED = struct.Struct("<?")
_MATRIX = struct.Struct("<qq")


@dataclass(frozen=True, slots=True)
class _FastText:
    """The layout of a fastText binary.

    The matrix of float32 begins at byte `offset`; its rows are the words', then the n-gram
    buckets'. `rows` has the rows of the requested words.
    """

    width: int
    shortest: int
    longest: int
    buckets: int
    n_words: int
    offset: int
    rows: dict[str, int]


def read_vectors(path: Path, words: Sequence[str], *, width: int) -> Float32Array:
    """Read the vectors of words, (word, feature); NaN for a word without one.

    A word is asked for in its `spelling.forms`, one after another; the first that the vocabulary
    has counts.

    Parameters
    ----------
    path
        A fastText binary, or text with or without a header line; the file itself shows which.
    words
        The words.
    width
        Number of features of each vector.

    Raises
    ------
    InputError
        If the file is missing, truncated, or has another format or width.
    """
    if not path.is_file():
        raise InputError(
            "the file of word vectors was not found", where=path, expected="a .bin, .vec or .txt"
        )
    with path.open("rb") as opened:
        start = opened.read(8)
    # The oldest fastText files begin without a mark; their ending is all that tells them.
    if not start:
        raise InputError("the file of word vectors is empty", where=path, remedy="fetch it again")
    if start[:4] == struct.pack("<i", _MAGIC) or path.suffix == ".bin":
        return fasttext_vectors(path, words, width=width)
    return text_vectors(path, words, width=width)


def fasttext_vectors(path: Path, words: Sequence[str], *, width: int) -> Float32Array:
    """Read vectors from a fastText binary, (word, feature).

    A word's vector is the mean of its own row, if it has one, and of the rows of its character
    n-grams; the n-grams of `<word>` with `minn` to `maxn` characters are hashed (FNV-1a over signed
    bytes) into the buckets. A word out of vocabulary in all its forms is the mean of the n-grams of
    its normal form, and missing where it has none.

    Source: fastText (Bojanowski et al. 2017), `Dictionary::computeSubwords`, `FastText::loadModel`.
    """
    with (
        path.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        model = _parse(path, mapped, {form for word in words for form in forms(word)})
    if model.width != width:
        raise _other_width(path, model.width, width)
    shape = (model.n_words + model.buckets, width)
    matrix = np.memmap(path, dtype="<f4", mode="r", offset=model.offset, shape=shape)
    out = np.full((len(words), width), np.nan, dtype=np.float32)
    for number, word in enumerate(words):
        spellings = forms(word)
        form = next((f for f in spellings if f in model.rows), spellings[0])
        rows = [model.n_words + h % model.buckets for h in _hashes(model, form)]
        word_row = model.rows.get(form)
        if word_row is not None:
            rows = [word_row, *rows]
        if rows:
            out[number] = matrix[rows].sum(axis=0, dtype=np.float32) / np.float32(len(rows))
    return out


def text_vectors(path: Path, words: Sequence[str], *, width: int) -> Float32Array:
    """Read vectors from text, (word, feature): lines `word v1 … vD`, perhaps a header `n D`.

    If a word is on several lines, the first counts. Words may contain spaces; the last D
    fields of a line are its numbers. The file is read once more if words are missing, in their
    other forms.
    """
    spellings = {word: forms(word) for word in words}
    found = _of_lines(path, {of[0] for of in spellings.values()}, width=width)
    others = {form for of in spellings.values() if of[0] not in found for form in of[1:]}
    if others:
        found |= _of_lines(path, others, width=width)
    out = np.full((len(words), width), np.nan, dtype=np.float32)
    for row, word in zip(out, words, strict=True):
        form = next((form for form in spellings[word] if form in found), None)
        if form is not None:
            row[:] = found[form]
    return out


def _of_lines(path: Path, words: set[str], *, width: int) -> dict[str, Float32Array]:
    """Read the lines of these words, as far as there are any."""
    left, found = set(words), {}
    with _opened(path) as lines:
        try:
            for count, line in enumerate(_bounded(lines, longest=_LINE + 64 * width)):
                fields = line.rstrip("\r\n ").split(" ")
                if count == 0 and len(fields) == 2 and all(f.isdigit() for f in fields):
                    if int(fields[1]) != width:
                        raise _other_width(path, int(fields[1]), width)
                    continue
                if len(fields) <= width:
                    raise _other_width(path, len(fields) - 1, width)
                word = " ".join(fields[:-width])
                word = word if word.isascii() else normal(word)
                if word not in left:
                    continue
                left.discard(word)
                found[word] = np.asarray(fields[-width:], dtype=np.float32)
                if not np.isfinite(found[word]).all():
                    raise ValueError(f"the vector of {word!r} holds {fields[-width:][:3]} …")
                if not left:
                    break
        except (UnicodeDecodeError, ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"the vectors cannot be read: {error}",
                where=path,
                expected="lines of a word and its numbers, UTF-8, or a fastText binary",
                remedy="fetch the file again, or take another format of it",
            ) from error
    return found


def static_embeddings(model: dict[str, Any], *, words: Words, path: Path) -> Embeddings:
    """Return word vectors for a resolved catalogue entry of kind `static`; one layer, 0."""
    width = int(model["width"])

    vectors = read_vectors(path, words.word, width=width)
    known = vocabulary(
        words.word, [None if np.isnan(vector).any() else vector.tobytes() for vector in vectors]
    )
    known.report()
    return Embeddings(
        unit="word",
        layers=[0],
        width=width,
        coordinates=word_coordinates(words),
        blocks=[vectors[None]],
        attributes={VOCABULARY: known.attribute()},
    )


def character_ngrams(word: str, shortest: int, longest: int) -> list[bytes]:
    """Return the character n-grams of `<word>` as UTF-8, without single `<` and `>`."""
    characters = [c.encode("utf-8") for c in f"<{word}>"]
    size = len(characters)
    return [
        b"".join(characters[i : i + n])
        for i in range(size)
        for n in range(max(shortest, 1), min(longest, size - i) + 1)
        if not (n == 1 and (i == 0 or i + n == size))
    ]


def fnv1a(data: bytes) -> int:
    """Return fastText's 32-bit FNV-1a hash, in which bytes above 127 are sign-extended."""
    value = 2166136261
    for byte in data:
        value = ((value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619) & 0xFFFFFFFF
    return value


def _hashes(model: _FastText, word: str) -> list[int]:
    if model.buckets == 0 or model.longest == 0:
        return []
    return [fnv1a(gram) for gram in character_ngrams(word, model.shortest, model.longest)]


def _parse(path: Path, mapped: mmap.mmap, wanted: set[str]) -> _FastText:
    """Read header and dictionary; every size is checked against the file's before it is used."""

    def broken(reason: str) -> InputError:
        return InputError(
            f"the fastText file cannot be used: {reason}",
            where=path,
            expected="an unquantised, unsupervised fastText model (.bin)",
            remedy="fetch the file again and compare its size with the published one",
        )

    def unpack(form: struct.Struct, at: int) -> tuple[Any, ...]:
        if at + form.size > len(mapped):
            raise broken("it ends in its header")
        return form.unpack_from(mapped, at)

    # Files from before version 11 have neither mark nor version, pruning nor quantisation.
    magic, version = unpack(struct.Struct("<2i"), 0)
    marked = magic == _MAGIC
    if marked and not 11 <= version <= _NEWEST:
        raise broken(f"version {version} is not 11 or 12")
    at = 8 if marked else 0
    width, _, _, _, _, _, _, kind, buckets, shortest, longest, _, _ = unpack(_ARGUMENTS, at)
    if kind == 3:
        raise broken("it is a classifier")
    if not (0 < width <= _MAX_WIDTH and buckets >= 0 and shortest >= 0 and longest >= 0):
        raise broken(f"width {width}, {buckets} buckets, n-grams {shortest} to {longest}")
    at += _ARGUMENTS.size
    size, n_words, n_labels, _ = unpack(_DICTIONARY, at)
    at += _DICTIONARY.size
    pruned = 0
    if marked:
        pruned = unpack(_PRUNED, at)[0]
        at += _PRUNED.size
    # An entry takes 10 bytes at least: an end mark, a count and a type.
    if n_labels != 0 or pruned > 0 or size != n_words or not 0 < size <= len(mapped) // 10:
        raise broken(f"{size} entries, {n_words} words, {n_labels} labels, {pruned} pruned")
    keys = {word.encode("utf-8"): word for word in wanted}
    rows: dict[str, int] = {}
    for number in range(size):
        end = mapped.find(b"\0", at)
        if end < 0 or end + 10 > len(mapped):
            raise broken(f"it ends after {number} of {size} words")
        word = keys.get(mapped[at:end])
        if word is not None:
            rows.setdefault(word, number)
        at = end + 10
    if marked:
        if unpack(_QUANTISED, at)[0]:
            raise broken("it is quantised (.ftz)")
        at += _QUANTISED.size
    n_rows, columns = unpack(_MATRIX, at)
    at += _MATRIX.size
    if columns != width or n_rows != n_words + buckets:
        raise broken(
            f"a matrix of {n_rows} × {columns} where {n_words + buckets} × {width} is expected"
        )
    if at + 4 * n_rows * columns > len(mapped):
        raise broken(f"{len(mapped)} bytes are too few for {n_rows} × {columns} numbers")
    return _FastText(
        width=width,
        shortest=shortest,
        longest=longest,
        buckets=buckets,
        n_words=n_words,
        offset=at,
        rows=rows,
    )


def _bounded(lines: IO[str], *, longest: int) -> Iterator[str]:
    """Yield lines of at most `longest` characters; a packed file may hold one of any length."""
    while line := lines.readline(longest):
        if len(line) == longest:
            raise ValueError(f"a line has {longest} characters or more")
        yield line


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="\n")
    return path.open("r", encoding="utf-8-sig", newline="\n")


def _other_width(path: Path, actual: int, stated: int) -> InputError:
    return InputError(
        f"the vectors have {actual} features (width), the catalogue states {stated}",
        where=path,
        expected=f"{stated} numbers for each word",
        remedy="correct `width` in the catalogue, or take the right file",
    )

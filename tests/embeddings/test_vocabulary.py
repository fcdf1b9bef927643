"""Words that a model does not know: counted, kept with the embeddings, joined in the scores."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from highgamma import store
from highgamma.embeddings import static, text, writing
from highgamma.embeddings.stream import Words
from highgamma.embeddings.vocabulary import LONGEST, VOCABULARY, joined_attribute, vocabulary


class LetterTokenizer:
    """A token for each known word, the unknown token for words with an x, none for digits."""

    unk_token_id = 0

    def __call__(self, word: str, **options: bool) -> dict[str, list[int]]:
        if word.isdigit():
            return {"input_ids": []}
        return {"input_ids": [0] if "x" in word else [1 + len(word)]}


def spoken(*words: str) -> Words:
    n = len(words)
    return Words(words, np.zeros(n, np.int64), *(np.zeros(n) for _ in range(4)))


def test_words_are_counted_once_whatever_their_spelling_and_empty_ones_never() -> None:
    words = ["De", "de", "de,", "kat", "hond", "", " ", "vis"]
    keys = ["a", "a", "a", "b", "b", None, None, None]
    known = vocabulary(words, keys, unknown=["kat"])
    assert known.n_words == 4
    assert known.absent == ("vis",) and known.unknown == ("kat",)
    assert known.alike == (("hond", "kat"),) and known.n_alike == 2
    assert known.affected == {"vis", "kat", "hond"}
    assert known.examples() == ["vis", "kat", "hond = kat"]


def test_examples_are_few_and_short() -> None:
    words = [f"{'w' * 100}{k}" for k in range(50)]
    known = vocabulary(words, [None] * 50)
    assert json.loads(known.attribute())["absent"] == 50
    assert all(len(word) == LONGEST for word in known.examples()) and len(known.examples()) == 4


def test_a_model_that_knows_all_words_reports_nothing(caplog: pytest.LogCaptureFixture) -> None:
    known = vocabulary(["de", "kat"], [1, 2])
    with caplog.at_level(logging.WARNING, "highgamma"):
        known.report()
    assert not caplog.records and not known.affected


def test_word_vectors_keep_what_they_lack_in_their_file(tmp_path: Path, caplog) -> None:
    (tmp_path / "small.vec").write_text("de 1 2\nkat 3 4\nhond 3 4\n")
    said = spoken("De", "kat", "hond", "vis", "vis", "aap")
    with caplog.at_level(logging.WARNING, "highgamma"):
        made = static.static_embeddings({"width": 2}, words=said, path=tmp_path / "small.vec")
    writing.write_embeddings(made, tmp_path / "e.nc", parameters={}, attributes={})
    kept = json.loads(store.read_dataset(tmp_path / "e.nc").attrs[VOCABULARY])
    assert kept == {
        "words": 5,
        "absent": 2,
        "unknown": 0,
        "alike": 2,
        "examples": ["aap", "vis", "hond = kat"],
    }
    assert "of 5 different words, 2 without a vector or token, 0 with an unknown" in caplog.text


def test_a_tokenizer_tells_words_apart_or_does_not() -> None:
    known = text.checked_vocabulary(
        LetterTokenizer(), ["a", "bb", "ccc", "dddd", "eeee", "x", "7", "fffff"], where="folder"
    )
    assert (known.absent, known.unknown, known.alike) == (("7",), ("x",), (("dddd", "eeee"),))


def test_scores_have_the_vocabulary_of_each_model_that_reads_words() -> None:
    made = [
        static.Embeddings("word", [0], 1, {"word_index": np.arange(1)}, [np.ones((1, 1, 1))], given)
        for given in ({VOCABULARY: vocabulary(["de"], [None]).attribute()}, {})
    ]
    files = dict(zip(("fasttext", "mel"), map(writing.as_dataset, made), strict=True))
    joined = json.loads(joined_attribute(files)[VOCABULARY])
    assert list(joined) == ["fasttext"] and joined["fasttext"]["absent"] == 1
    assert joined_attribute({"mel": files["mel"]}) == {}

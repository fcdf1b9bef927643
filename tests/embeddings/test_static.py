"""Static vectors: files that others wrote, with gensim as the independent reader."""

from __future__ import annotations

import gzip
import logging
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from highgamma.embeddings import static
from highgamma.embeddings.stream import Words
from highgamma.errors import InputError

WORDS = ["the", "australia", "night", "nights", "zonnebloem", "café", "9", "`tot", "日本", "the"]


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "models_vectors" / "gensim_fasttext"


@pytest.mark.parametrize("name", ["lee_fasttext.bin", "lee_fasttext_new.bin"])
def test_fasttext_binaries_read_as_gensim_reads_them_out_of_vocabulary_words_included(
    folder: Path, name: str
) -> None:
    gensim = pytest.importorskip("gensim.models.fasttext")
    reference = gensim.load_facebook_vectors(str(folder / name))
    words = [*WORDS, *reference.index_to_key]
    assert any(word not in reference.key_to_index for word in words)
    got = static.read_vectors(folder / name, words, width=reference.vector_size)
    expected = np.stack([reference[word] for word in words])
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_vectors_from_the_binary_are_those_that_fasttext_itself_wrote_as_text(folder: Path) -> None:
    lines = (folder / "lee_fasttext.vec").read_text(encoding="utf-8").splitlines()[1:]
    written = {line.split(" ")[0]: np.array(line.split()[1:], dtype=float) for line in lines}
    got = static.read_vectors(folder / "lee_fasttext.bin", list(written), width=10)
    # fastText writes five significant digits.
    np.testing.assert_allclose(got, np.stack(list(written.values())), rtol=1e-4, atol=2e-5)


def test_text_vectors_with_a_header_read_as_gensim_reads_them(folder: Path) -> None:
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    path = folder / "lee_fasttext.vec"
    reference = keyed.load_word2vec_format(str(path))
    words = [*reference.index_to_key[:20], "zonnebloem"]
    got = static.read_vectors(path, words, width=reference.vector_size)
    np.testing.assert_array_equal(got[:-1], np.stack([reference[w] for w in words[:-1]]))
    assert np.isnan(got[-1]).all()


def test_glove_text_without_a_header_reads_as_gensim_reads_it(folder: Path) -> None:
    keyed = pytest.importorskip("gensim.models").KeyedVectors
    path = folder / "test_glove.txt"
    reference = keyed.load_word2vec_format(str(path), no_header=True)
    words = reference.index_to_key[:5]
    got = static.read_vectors(path, words, width=reference.vector_size)
    np.testing.assert_array_equal(got, np.stack([reference[w] for w in words]))


def test_compressed_text_and_words_with_spaces_are_read(tmp_path: Path) -> None:
    path = tmp_path / "small.vec.gz"
    with gzip.open(path, "wt", encoding="utf-8") as opened:
        opened.write("2 3\n. . . 1 2 3\nmaan 4 5 6 \n")
    got = static.read_vectors(path, ["maan", ". . ."], width=3)
    np.testing.assert_array_equal(got, [[4, 5, 6], [1, 2, 3]])


def test_the_published_hash_of_a_known_string() -> None:
    # FNV-1a, 32 bit, from the test vectors of its authors: "" and "foobar".
    assert static.fnv1a(b"") == 0x811C9DC5
    assert static.fnv1a(b"foobar") == 0xBF9CF968


def test_n_grams_of_a_word_are_those_of_the_fasttext_paper() -> None:
    # Bojanowski et al. 2017, section 3.2: "where" with n = 3.
    grams = static.character_ngrams("where", 3, 3)
    assert grams == [b"<wh", b"whe", b"her", b"ere", b"re>"]


def test_only_the_rows_needed_are_read(folder: Path) -> None:
    import tracemalloc

    tracemalloc.start()
    static.read_vectors(folder / "lee_fasttext.bin", ["the"], width=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000  # the file has 209 kB


def test_another_width_than_the_catalogues_names_both_numbers(folder: Path) -> None:
    with pytest.raises(InputError, match=r"10 features .* states 300"):
        static.read_vectors(folder / "lee_fasttext.bin", ["the"], width=300)
    with pytest.raises(InputError, match=r"10 features .* states 300"):
        static.read_vectors(folder / "lee_fasttext.vec", ["the"], width=300)


def test_a_truncated_or_lying_binary_is_refused_before_anything_is_allocated(
    folder: Path, tmp_path: Path
) -> None:
    whole = (folder / "lee_fasttext_new.bin").read_bytes()
    path = tmp_path / "broken.bin"
    for length in (20, 60, 90, 2000, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="fastText file cannot be used"):
            static.read_vectors(path, ["the"], width=10)
    # A dictionary of two thousand million words in a file of 200 kB.
    at = 8 + 12 * 4 + 8
    path.write_bytes(whole[:at] + struct.pack("<3i", 2**31 - 1, 2**31 - 1, 0) + whole[at + 12 :])
    with pytest.raises(InputError, match="2147483647 entries"):
        static.read_vectors(path, ["the"], width=10)
    # Two thousand million buckets.
    at = 8 + 8 * 4
    path.write_bytes(whole[:at] + struct.pack("<i", 2**31 - 1) + whole[at + 4 :])
    with pytest.raises(InputError, match="fastText file cannot be used"):
        static.read_vectors(path, ["the"], width=10)


def test_a_file_that_is_no_vectors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(b"\xff\xfe\x00 nothing\n")
    with pytest.raises(InputError):
        static.read_vectors(path, ["the"], width=10)
    with pytest.raises(InputError, match="file of word vectors was not found"):
        static.read_vectors(tmp_path / "none.vec", ["the"], width=10)


def test_a_word_is_found_in_the_spelling_of_the_vocabulary(tmp_path: Path, caplog) -> None:
    """Decomposed letters, blanks, capitals and punctuation; what the table has as it is counts."""
    path = tmp_path / "small.vec"
    lines = ["een 1 1", "één 2 2", "huis 3 3", "Kat 4 4", "kat 5 5", "don't 6 6"]
    path.write_text("\n".join(["6 2", *lines]) + "\n", encoding="utf-8")
    words = [
        unicodedata.normalize("NFD", "één"), "Huis,", " huis", "Kat", "KAT", "don\u2019t", "hond",
    ]  # fmt: skip
    got = static.read_vectors(path, words, width=2)
    assert got[:-1, 0].tolist() == [2, 3, 3, 4, 5, 6]
    assert np.isnan(got[-1]).all()


def test_a_binary_knows_words_in_other_spellings(folder: Path) -> None:
    """Where the vocabulary has one, its vector counts and not that of the n-grams alone."""
    path = folder / "lee_fasttext.bin"
    given, plain = ["Australia!?", " night ", "THE"], ["Australia", "night", "the"]
    got = static.read_vectors(path, given, width=10)
    np.testing.assert_array_equal(got, static.read_vectors(path, plain, width=10))


def test_a_byte_order_mark_costs_no_vector(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("the 1 2\nkat 3 4\n", encoding="utf-8-sig")
    np.testing.assert_array_equal(static.read_vectors(path, ["the"], width=2), [[1, 2]])
    path.write_text("2 2\nthe 1 2\nkat 3 4\n", encoding="utf-8-sig")
    np.testing.assert_array_equal(static.read_vectors(path, ["the"], width=2), [[1, 2]])


@pytest.mark.parametrize("number", ["inf", "nan", "1e999"])
def test_vectors_that_are_no_numbers_are_refused(tmp_path: Path, number: str) -> None:
    path = tmp_path / "small.vec"
    path.write_text(f"the 1 2\nkat {number} 4\n")
    with pytest.raises(InputError, match="the vector of 'kat'"):
        static.read_vectors(path, ["kat"], width=2)


def test_different_words_with_the_same_vector_are_reported(tmp_path: Path, caplog) -> None:
    path = tmp_path / "small.vec"
    path.write_text("the 1 2\nkat 1 2\nhond 3 4\n")
    words = Words(("the", "Kat", "hond"), np.zeros(3, int), *(np.zeros(3) for _ in range(4)))
    with caplog.at_level(logging.WARNING, "highgamma"):
        list(static.static_embeddings({"width": 2}, words=words, path=path).blocks)
    assert "2 with the vector or tokens of another word: Kat = the" in caplog.text


def test_packed_vectors_that_are_damaged_or_endless_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.vec.gz"
    whole = gzip.compress(b"de 0.1 0.2\n" * 1000, mtime=0)
    path.write_bytes(whole[:12] + b"\xff" * 8 + whole[20:])
    with pytest.raises(InputError, match="vectors cannot be read"):
        static.read_vectors(path, ["the"], width=2)
    # Forty kilobytes that unpack to one line of forty megabytes.
    path.write_bytes(gzip.compress(b"a" * 40_000_000, mtime=0))
    with pytest.raises(InputError, match="a line has"):
        static.read_vectors(path, ["the"], width=2)


@pytest.mark.parametrize("name", ["x.bin", "x.vec"])
def test_an_empty_file_of_vectors_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="file of word vectors is empty"):
        static.read_vectors(tmp_path / name, ["the"], width=2)

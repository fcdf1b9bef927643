"""Surprisal, entropy and rank of causal models; tokens of a real transcript."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tiny_networks import LAYERS, WIDTH, entry

from highgamma.embeddings import making, surprisal, text, writing
from highgamma.embeddings.pretrained import Network, load_language_model, load_tokenizer
from highgamma.embeddings.stream import Words
from highgamma.errors import InputError

TALE = [
    *("So", "I", "don't", "know,", "zonnebloemenveld", "—", "9", "o'clock."),
    *("Act", "one,", "monkey", "in", "the", "middle."),
]
START = 50256  # GPT-2's <|endoftext|>


@pytest.fixture(scope="module")
def gpt2(saved: Callable[[str], Path]) -> tuple[Network, object]:
    model = entry("text", feature="surprisal")
    folder = saved("gpt2")
    return load_language_model(model, folder, device="cpu"), load_tokenizer(model, folder)


@pytest.fixture(scope="module")
def podcast(shared_data: Path) -> list[dict[str, str]]:
    """The token table that the Podcast data set publishes beside its GPT-2 XL embeddings."""
    path = shared_data / "bids_metadata/ds005574_podcast/stimuli/gpt2-xl/transcript.tsv"
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def real_tokenizer(shared_data: Path) -> object:
    return load_tokenizer(entry("text"), shared_data / "text_tokens" / "gpt2_tokenizer")


def words_of(*words: str, segment: list[int] | None = None) -> Words:
    nothing = np.full(len(words), np.nan)
    number = np.array(segment or [0] * len(words), dtype=np.int64)
    return Words(words, number, nothing, nothing, nothing, nothing)


def plain_loop(network: Network, ids: list[int]) -> list[tuple[float, float, int]]:
    """Surprisal, entropy and rank of each token but the first: one pass a token, by the formulas.

    Logits are the product of the last hidden state and a vector for each token: the word
    embedding itself, which GPT-2 and the small Llama 3 share, or a matrix of its own (Llama 2).
    """
    import torch

    module = network.module
    tied = module.config.tie_word_embeddings
    head = module.get_input_embeddings() if tied else module.lm_head
    vectors = head.weight.double().numpy()
    out = []
    for number in range(1, len(ids)):
        with torch.no_grad():
            state = module.base_model(torch.tensor([ids[:number]])).last_hidden_state
        logits = vectors @ state[0, -1].double().numpy()
        p = np.exp(logits - logits.max())
        p /= p.sum()
        expected = float(p[ids[number]])
        out.append((-math.log(expected), -float((p * np.log(p)).sum()), int((p > expected).sum())))
    return out


def test_the_tokens_of_a_real_transcript_are_those_of_the_published_table_word_by_word(
    real_tokenizer, podcast
) -> None:
    rows = [list(g) for _, g in itertools.groupby(podcast, key=lambda row: row["word_idx"])]
    words = [group[0]["word"] for group in rows]
    assert (len(words), len(podcast)) == (5136, 5491)
    tokens = text.tokenize_text(real_tokenizer, words, prefix_space=True)
    assert tokens.ids == [int(row["token_id"]) for row in podcast]
    for (start, stop), group in zip(tokens.spans, rows, strict=True):
        own = tokens.ids[start:stop]
        assert own == [int(row["token_id"]) for row in group]
        assert real_tokenizer.convert_ids_to_tokens(own) == [row["hftoken"] for row in group]


def test_half_an_hour_of_speech_is_read_in_a_dozen_windows_and_not_word_by_word(
    real_tokenizer, podcast
) -> None:
    words = [g[0]["word"] for g in ([*g] for _, g in itertools.groupby(podcast, key=_index))]
    tokens = text.tokenize_text(real_tokenizer, words, prefix_space=True)
    windows = list(text.reading_windows(tokens, window=1000, left=500, right=0))
    # 5491 tokens; but for the first window, each adds what is not its context of 500.
    assert len(windows) <= 1 + math.ceil((5491 - 1000) / 500) + 1
    assert [number for *_, a, b in windows for number in range(a, b)] == list(range(5136))
    for first, stop, word, upto in windows:
        start, end = tokens.spans[word][0], tokens.spans[upto - 1][1]
        assert start - first >= min(start, 500)
        assert end <= stop <= first + 1000


def test_each_word_alone_with_its_space_has_the_published_tokens_too(
    real_tokenizer, podcast
) -> None:
    rows = [list(g) for _, g in itertools.groupby(podcast, key=lambda row: row["word_idx"])]
    for group in rows[:1500]:
        tokens = text.tokenize_word(real_tokenizer, group[0]["word"], prefix_space=True)
        assert tokens.ids == [int(row["token_id"]) for row in group]


def test_without_the_space_only_the_first_word_of_a_text_has_another_token(
    real_tokenizer, podcast
) -> None:
    words = [g[0]["word"] for g in ([*g] for _, g in itertools.groupby(podcast[:200], key=_index))]
    bare = text.tokenize_text(real_tokenizer, words)
    assert real_tokenizer.convert_ids_to_tokens(bare.ids[:2]) == ["Act", "Ġone"]
    assert bare.ids[1:] == [int(row["token_id"]) for row in podcast[1:200]]


def test_the_published_ranks_count_from_0_as_ours_do(podcast) -> None:
    for row in podcast:
        assert (int(row["rank"]) == 0) == (row["top_pred"] == row["token_id"])


def _index(row: dict[str, str]) -> str:
    return row["word_idx"]


def test_surprisal_entropy_and_rank_are_those_of_a_plain_loop(gpt2) -> None:
    network, tokenizer = gpt2
    got = np.concatenate(
        list(surprisal.surprisals_in_context(network, tokenizer, TALE, context=60)), axis=1
    )
    assert got.shape == (1, len(TALE), 3)
    ids = tokenizer(" ".join(TALE))["input_ids"]
    tokens = plain_loop(network, [START, *ids])
    pieces = 0
    for number, (start, stop) in enumerate(text.tokenize_text(tokenizer, TALE).spans):
        expected = (sum(t[0] for t in tokens[start:stop]), tokens[start][1], tokens[start][2])
        np.testing.assert_allclose(got[0, number], expected, rtol=1e-4)
        assert got[0, number, 2] == tokens[start][2]
        pieces += stop - start > 1
    assert pieces > 3


@pytest.mark.parametrize("name", ["llama-2", "llama-3"])
def test_llamas_surprisal_is_that_of_a_plain_loop(saved, name: str) -> None:
    model = entry("text", feature="surprisal", prefix_space=True)
    network = load_language_model(model, saved(name), device="cpu")
    tokenizer = load_tokenizer(model, saved(name))
    words = TALE[:4]
    got = next(
        surprisal.surprisals_in_context(network, tokenizer, words, context=60, prefix_space=True)
    )
    tokens = text.tokenize_text(tokenizer, words, prefix_space=True)
    start = 1 if name == "llama-2" else START
    scores = plain_loop(network, [start, *tokens.ids])
    for number, (a, b) in enumerate(tokens.spans):
        expected = (sum(t[0] for t in scores[a:b]), scores[a][1], scores[a][2])
        np.testing.assert_allclose(got[0, number], expected, rtol=1e-4)


def test_in_overlapping_windows_words_are_predicted_from_the_context_asked_for(gpt2) -> None:
    network, tokenizer = gpt2
    words = TALE * 6
    got = np.concatenate(
        list(surprisal.surprisals_in_context(network, tokenizer, words, context=16)), axis=1
    )[0]
    assert got.shape == (len(words), 3)
    tokens = text.tokenize_text(tokenizer, words)
    begun = set()
    for number in (0, 20, 47, len(words) - 1):
        start, stop = tokens.spans[number]
        # Some window that begins at least 16 tokens before, or with the text, gives this word.
        errors = {}
        for first in range(max(0, start - 32), max(0, start - 16) + 1):
            scores = plain_loop(network, [START, *tokens.ids[first:stop]])[start - first :]
            expected = (sum(s[0] for s in scores), scores[0][1], scores[0][2])
            errors[first] = np.abs(np.divide(got[number], expected) - 1).max()
        best = min(errors, key=lambda first: errors[first])
        assert errors[best] < 1e-4, number
        begun.add(best)
    assert len(begun) > 1


def test_an_isolated_word_is_predicted_from_the_beginning_of_a_text(gpt2) -> None:
    network, tokenizer = gpt2
    words = ["kat", "zonnebloemenveld", "", "kat"]
    got = surprisal.isolated_surprisals(network, tokenizer, words, batch=2)[0]
    for number in (0, 1, 3):
        scores = plain_loop(network, [START, *tokenizer(words[number])["input_ids"]])
        expected = (sum(s[0] for s in scores), scores[0][1], scores[0][2])
        np.testing.assert_allclose(got[number], expected, rtol=1e-4)
    assert np.isnan(got[2]).all()


def test_a_text_of_empty_words_has_no_surprisal(gpt2) -> None:
    network, tokenizer = gpt2
    got = next(surprisal.surprisals_in_context(network, tokenizer, ["", " "], context=20))
    assert got.shape == (1, 2, 3)
    assert np.isnan(got).all()


def test_equal_predictions_have_the_surprisal_and_entropy_of_a_die() -> None:
    import torch

    scored = surprisal._scored(torch.zeros(2, 6), torch.tensor([0, 5])).numpy()
    np.testing.assert_allclose(scored, [[math.log(6), math.log(6), 0]] * 2, rtol=1e-6)
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.125, 0.125]]))
    # By hand, in bits: 2, 1.75 and the second most expected.
    bits = surprisal._scored(logits, torch.tensor([1])).numpy() / [math.log(2), math.log(2), 1]
    np.testing.assert_allclose(bits, [[2.0, 1.75, 1]], rtol=1e-6)


def test_surprisals_are_stored_as_one_layer_of_three_features(gpt2) -> None:
    network, tokenizer = gpt2
    model = entry("text", feature="surprisal", context=20)
    words = words_of(*TALE, *TALE, segment=[0] * len(TALE) + [1] * len(TALE))
    made = surprisal.surprisal_embeddings(model, words=words, network=network, tokenizer=tokenizer)
    dataset = writing.as_dataset(made)
    assert dataset["embedding"].shape == (1, 2 * len(TALE), 3)
    assert dataset.attrs["features"].startswith("surprisal (nats), entropy (nats), rank")
    # The second recording is a text of its own.
    first, second = np.split(dataset["embedding"].values[0], 2)
    np.testing.assert_array_equal(first, second)


def test_the_stage_makes_surprisals_from_the_files(saved, tmp_path: Path) -> None:
    table = tmp_path / "words.tsv"
    lines = ["segment\tsegment_label\tword\tonset\toffset\tvoice_onset\tvoice_offset"]
    lines += [f"0\trecording\t{word}\t{n}\t{n + 1}\tn/a\tn/a" for n, word in enumerate(TALE)]
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    model = {**entry("text", feature="surprisal"), "source": {"folder": str(saved("gpt2"))}}
    output = tmp_path / "out.nc"
    making.make_embeddings(
        output,
        name="tiny",
        model=model,
        participant="sub-01",
        dataset={},
        words=table,
        audio=tmp_path / "none.nc",
        device="cpu",
    )
    from highgamma import store

    with store.open_dataset(output) as made:
        assert made["embedding"].shape == (1, len(TALE), 3)
        assert np.isfinite(made["embedding"]).all()
        assert (made["embedding"][0, :, :2] > 0).all()
        assert made.attrs["width"] == 3


def test_a_network_that_sees_the_word_or_has_no_head_has_no_surprisal(saved) -> None:
    model = entry("text", feature="surprisal", untrained=True)
    network = load_language_model(model, saved("bert"), device="cpu")
    tokenizer = load_tokenizer(model, saved("bert"))
    with pytest.raises(InputError, match="sees the words that it should predict"):
        surprisal.surprisal_embeddings(
            model, words=words_of("kat"), network=network, tokenizer=tokenizer
        )
    with pytest.raises(InputError, match="predicts no next token"):
        load_language_model(entry("speech"), saved("wav2vec2-group"), device="cpu")
    # Llama's head is a matrix of its own, and a checkpoint without it does not predict.
    with pytest.raises(InputError, match="lm_head"):
        load_language_model(entry("text"), saved("llama"), device="cpu")


def test_llamas_padding_token_takes_no_room_in_its_window(saved) -> None:
    network = load_language_model(entry("text", untrained=True), saved("llama"), device="cpu")
    network.config.pad_token_id = 50000
    assert text.longest(network, 0) == network.config.max_position_embeddings
    assert (network.layers, network.width) == (LAYERS, WIDTH)


@pytest.mark.parametrize("name", ["roberta", "xlm-r"])
def test_robertas_positions_begin_after_its_padding_token(saved, name: str) -> None:
    from highgamma.embeddings.pretrained import load_network

    network = load_network(entry("text"), saved(name), device="cpu")
    # 130 positions, numbered from 2: 128 tokens.
    assert text.longest(network, 0) == 128


def test_a_word_alone_needs_a_token_for_the_beginning(gpt2, monkeypatch) -> None:
    network, tokenizer = gpt2
    monkeypatch.setattr(surprisal, "beginning", lambda _: [])
    with pytest.raises(InputError, match="has no token for the beginning of a text"):
        surprisal.isolated_surprisals(network, tokenizer, ["kat"])

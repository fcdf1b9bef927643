"""Language models: layers, sub-words, batches and running context."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_networks import LAYERS, WIDTH, entry

from highgamma.embeddings import pretrained, text, writing
from highgamma.embeddings.pretrained import Network, load_network, load_tokenizer
from highgamma.embeddings.stream import Words
from highgamma.errors import InputError

DUTCH = ["goed", "kat", "zonnebloemenveld", "9", "`tot", "onmiddellijk", "a", "vrijheid"]
ALL = ["gpt2", "bert", "roberta", "xlm-r", "llama", "llama-2"]
SENTENCEPIECE = ["xlm-r", "llama-2"]
# Words of the two small vocabularies: an unknown token counts as special below.
KNOWN = ["maan", "zonbloem", "maanbloemen", "kat", "de"]


@pytest.fixture(scope="module")
def loaded(saved: Callable[[str], Path]) -> Callable[[str], tuple[Network, object]]:
    kept: dict[str, tuple[Network, object]] = {}

    def load(name: str) -> tuple[Network, object]:
        if name not in kept:
            folder = saved(name)
            model = entry("text")
            kept[name] = (load_network(model, folder, device="cpu"), load_tokenizer(model, folder))
        return kept[name]

    return load


def plain_loop(network: Network, ids: list[int]) -> np.ndarray:
    """What people write: one text, one pass, hidden states and the last hidden state."""
    import torch

    with torch.no_grad():
        out = network.module(torch.tensor([ids]), output_hidden_states=True)
    states = [*out.hidden_states[:-1], out.last_hidden_state]
    return torch.cat(states).numpy()


@pytest.mark.parametrize("name", ALL)
def test_layers_of_isolated_words_are_those_of_one_pass_a_word(loaded, name: str) -> None:
    network, tokenizer = loaded(name)
    words = KNOWN if name in ("bert", "xlm-r") else DUTCH
    got = np.concatenate(list(text.isolated_words(network, tokenizer, words, batch=3)), axis=1)
    assert got.shape == (LAYERS + 1, len(words), WIDTH)
    special = set(tokenizer.all_special_ids)
    for number, word in enumerate(words):
        ids = tokenizer(word)["input_ids"]
        own = [i for i, token in enumerate(ids) if token not in special]
        expected = plain_loop(network, ids)[:, own].mean(axis=1)
        np.testing.assert_allclose(got[:, number], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_layer_k_is_what_enters_block_k_plus_1_and_the_last_is_the_output(
    loaded, name: str
) -> None:
    import torch

    network, tokenizer = loaded(name)
    entered = []
    blocks = next(
        m for m in network.module.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == 3
    )
    hooks = [
        block.register_forward_pre_hook(
            lambda module, args, kwargs: entered.append(
                (args[0] if args else kwargs["hidden_states"]).detach().clone()
            ),
            with_kwargs=True,
        )
        for block in blocks
    ]
    ids = tokenizer("maan")["input_ids"]
    states = text.run(network, [ids])[0]
    for hook in hooks:
        hook.remove()
    for number, state in enumerate(entered):
        np.testing.assert_allclose(states[number], state[0].numpy(), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        last = network.module(torch.tensor([ids])).last_hidden_state[0].numpy()
    np.testing.assert_allclose(states[-1], last, rtol=1e-5, atol=1e-6)


def test_pooling_takes_the_mean_the_first_or_the_last_sub_word(loaded) -> None:
    network, tokenizer = loaded("gpt2")
    word = "zonnebloemenveld"
    ids = tokenizer(word)["input_ids"]
    assert len(ids) > 2
    states = plain_loop(network, ids)
    for pooling, expected in (
        ("mean", states.mean(axis=1)),
        ("first", states[:, 0]),
        ("last", states[:, -1]),
    ):
        got = next(text.isolated_words(network, tokenizer, [word], pooling=pooling))
        np.testing.assert_allclose(got[:, 0], expected, rtol=1e-4, atol=1e-5)


def test_the_prefix_space_makes_another_token_in_gpt2_and_nothing_in_bert(loaded) -> None:
    gpt2 = loaded("gpt2")[1]
    bare = text.tokenize_word(gpt2, "night").ids
    spaced = text.tokenize_word(gpt2, "night", prefix_space=True).ids
    # From the published vocabulary: "night" and "Ġnight".
    assert gpt2.convert_ids_to_tokens(bare) == ["night"]
    assert gpt2.convert_ids_to_tokens(spaced) == ["Ġnight"]
    bert = loaded("bert")[1]
    assert (
        text.tokenize_word(bert, "maan", prefix_space=True).ids
        == text.tokenize_word(bert, "maan").ids
    )


def test_special_tokens_surround_a_word_and_are_not_its_own(loaded) -> None:
    tokens = text.tokenize_word(loaded("bert")[1], "maanbloem")
    assert loaded("bert")[1].convert_ids_to_tokens(tokens.ids) == [
        "[CLS]",
        "maan",
        "##bloem",
        "[SEP]",
    ]
    assert tokens.spans == [(1, 3)]
    # A word outside the vocabulary is one [UNK], which stands for the word: it is pooled.
    assert text.tokenize_word(loaded("bert")[1], "xylofoon").spans == [(1, 2)]


def test_a_words_features_do_not_depend_on_the_words_beside_it(loaded) -> None:
    network, tokenizer = loaded("roberta")
    together = next(text.isolated_words(network, tokenizer, DUTCH, batch=64))
    for number, word in enumerate(DUTCH):
        alone = next(text.isolated_words(network, tokenizer, [word]))
        np.testing.assert_allclose(together[:, number], alone[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("prefix_space", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_an_empty_word_is_missing_and_changes_nothing_for_the_others(
    loaded, name: str, prefix_space: bool
) -> None:
    network, tokenizer = loaded(name)
    gaps = ["", "kat", " ", "maan", "de ", ""]
    alone = next(text.isolated_words(network, tokenizer, gaps, prefix_space=prefix_space))
    running, plain = (
        np.concatenate(
            list(
                text.words_in_context(
                    network, tokenizer, words, context=20, prefix_space=prefix_space
                )
            ),
            axis=1,
        )
        for words in (gaps, ["kat", "maan", "de"])
    )
    for got in (alone, running):
        assert np.isnan(got[:, [0, 2, 5]]).all()
        assert np.isfinite(got[:, [1, 3, 4]]).all()
    np.testing.assert_array_equal(running[:, [1, 3, 4]], plain)


@pytest.mark.parametrize("name", ALL)
def test_a_text_of_empty_words_is_missing(loaded, name: str) -> None:
    network, tokenizer = loaded(name)
    blocks = list(text.words_in_context(network, tokenizer, ["", " "], context=20))
    got = np.concatenate(blocks, axis=1)
    assert got.shape == (LAYERS + 1, 2, WIDTH)
    assert np.isnan(got).all()


@pytest.mark.parametrize("name", ["gpt2", "roberta", "llama-2"])
def test_a_word_longer_than_the_network_reads_is_refused_alone_and_read_in_part_in_a_text(
    loaded, name: str
) -> None:
    network, tokenizer = loaded(name)
    word = "xy" * 300
    with pytest.raises(InputError, match=r"of 600 characters has \d+ tokens(.|\n)*most 128"):
        next(text.isolated_words(network, tokenizer, ["kat", word]))
    blocks = list(text.words_in_context(network, tokenizer, ["de", word, "maan"], context=20))
    assert np.isfinite(np.concatenate(blocks, axis=1)).all()


def test_tokens_of_a_running_text_belong_to_the_words_that_a_walk_finds(loaded) -> None:
    tokenizer = loaded("gpt2")[1]
    words = ["So", "I", "don't", "know,", "zonnebloemenveld", "—", "9", "o'clock."]
    tokens = text.tokenize_text(tokenizer, words)
    for number, (start, stop) in enumerate(tokens.spans):
        joined = tokenizer.decode(tokens.ids[start:stop]).strip()
        assert joined == words[number]
    assert sum(b - a for a, b in tokens.spans) == len(tokens.ids)


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_sentencepiece_divides_a_word_alone_as_inside_a_text(loaded, name: str) -> None:
    tokenizer = loaded(name)[1]
    words = ["zonbloemen", "het", "maanbloem", "kat", "de"]
    running = text.tokenize_text(tokenizer, words)
    pieces = tokenizer.convert_ids_to_tokens(running.ids)
    assert pieces[:6] == ["▁zon", "bloem", "en", "▁het", "▁maan", "bloem"]
    for word, (start, stop) in zip(words, running.spans, strict=True):
        alone = text.tokenize_word(tokenizer, word)
        a, b = alone.spans[0]
        assert running.ids[start:stop] == alone.ids[a:b]
        # The mark of a word's beginning is the tokenizer's own: no second one is put there.
        assert text.tokenize_word(tokenizer, word, prefix_space=True) == alone


def test_special_tokens_of_xlm_r_surround_a_text_and_llamas_begins_it(loaded) -> None:
    for name, before, after in (("xlm-r", ["<s>"], ["</s>"]), ("llama-2", ["<s>"], [])):
        tokenizer = loaded(name)[1]
        around = [tokenizer.convert_ids_to_tokens(ids) for ids in text.surroundings(tokenizer)]
        assert around == [before, after]


def test_the_bytes_of_characters_that_llama_does_not_know_belong_to_their_word(loaded) -> None:
    tokenizer = loaded("llama-2")[1]
    words = ["de", "één", "maan", "—", "ſ"]
    tokens = text.tokenize_text(tokenizer, words)
    # UTF-8: é is two bytes, — three, ſ two; each of these words has its mark before it.
    assert [b - a for a, b in tokens.spans] == [1, 6, 1, 4, 3]
    for word, (start, stop) in zip(words, tokens.spans, strict=True):
        assert tokenizer.decode(tokens.ids[start:stop]).strip() == word


@pytest.mark.parametrize("name", ALL)
def test_only_causal_networks_are_taken_for_causal(loaded, name: str) -> None:
    assert text.is_causal(loaded(name)[0]) == (name in ("gpt2", "llama", "llama-2"))


@pytest.mark.parametrize("name", ["gpt2", "roberta", "bert", "xlm-r", "llama-2"])
def test_a_text_that_fits_into_one_window_is_read_in_one_pass(loaded, name: str) -> None:
    network, tokenizer = loaded(name)
    words = ["de", "maan", "zon", "kat", "het"]
    got = np.concatenate(list(text.words_in_context(network, tokenizer, words, context=25)), axis=1)
    encoded = tokenizer(" ".join(words))
    ids = encoded["input_ids"]
    states = plain_loop(network, ids)
    plain = text.tokenize_text(tokenizer, words)
    shift = ids.index(plain.ids[0])
    for number, (start, stop) in enumerate(plain.spans):
        expected = states[:, start + shift : stop + shift].mean(axis=1)
        np.testing.assert_allclose(got[:, number], expected, rtol=1e-4, atol=1e-5)


def test_in_overlapping_windows_every_word_sees_the_context_asked_for(loaded) -> None:
    network, tokenizer = loaded("gpt2")
    rng = np.random.default_rng(0)
    words = [DUTCH[i] for i in rng.integers(len(DUTCH), size=120)]
    got = np.concatenate(list(text.words_in_context(network, tokenizer, words, context=16)), axis=1)
    assert got.shape[1] == len(words)
    tokens = text.tokenize_text(tokenizer, words)
    starts = set()
    for number in (0, 10, 57, 119):
        start, stop = tokens.spans[number]
        # Some window that begins at least 16 tokens before (or at the start) gives this word.
        best = np.inf
        for first in range(max(0, start - 32), max(0, start - 16) + 1):
            states = plain_loop(network, tokens.ids[first:stop])
            expected = states[:, start - first : stop - first].mean(axis=1)
            error = np.abs(expected - got[:, number]).max()
            if error < best:
                best, where = error, first
        assert best < 1e-4, number
        starts.add(where)
    assert len(starts) > 1


def test_embeddings_of_words_carry_the_words(loaded) -> None:
    network, tokenizer = loaded("gpt2")
    nothing = np.full(3, np.nan)
    words = Words(("kat", "9", "kat"), np.zeros(3, np.int64), nothing, nothing, nothing, nothing)
    made = text.text_embeddings(entry("text"), words=words, network=network, tokenizer=tokenizer)
    dataset = writing.as_dataset(made)
    assert dataset["embedding"].dims == ("layer", "sample", "feature")
    assert list(dataset["word"].values) == ["kat", "9", "kat"]
    np.testing.assert_array_equal(dataset["embedding"][:, 0], dataset["embedding"][:, 2])
    assert dataset.attrs["unit"] == "word"


def test_the_same_seed_gives_the_same_untrained_network_and_another_seed_another(saved) -> None:
    import torch

    folder = saved("gpt2")
    before = torch.random.get_rng_state()

    def weights(seed: int) -> list[np.ndarray]:
        model = entry("text", untrained=True, seed=seed)
        network = load_network(model, folder, device="cpu")
        return [p.numpy() for p in network.module.parameters()]

    first, again, other = weights(0), weights(0), weights(1)
    for a, b in zip(first, again, strict=True):
        assert a.tobytes() == b.tobytes()
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    # The generator that others use is left where it was.
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_untrained_network_needs_no_weights(saved, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((saved("gpt2") / "config.json").read_bytes())
    load_network(entry("text", untrained=True), tmp_path, device="cpu")
    with pytest.raises(InputError, match="no weights"):
        load_network(entry("text"), tmp_path, device="cpu")


def test_sizes_other_than_the_catalogues_are_named_with_both_numbers(saved) -> None:
    with pytest.raises(InputError, match=r"files have 3 blocks.* states 12"):
        load_network({**entry("text"), "layers": 12}, saved("gpt2"), device="cpu")
    with pytest.raises(InputError, match=r"32 features.* states 768"):
        load_network({**entry("text"), "width": 768}, saved("gpt2"), device="cpu")


def test_missing_files_say_what_to_fetch_and_where_to_put_it(tmp_path: Path) -> None:
    model = {**entry("text"), "source": {"hub": "openai-community/gpt2"}}
    with pytest.raises(InputError) as caught:
        load_network(model, tmp_path / "openai-community--gpt2", device="cpu")
    message = str(caught.value)
    assert "https://huggingface.co/openai-community/gpt2" in message
    assert str(tmp_path / "openai-community--gpt2") in message


def test_an_unknown_architecture_is_refused_and_its_code_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoModel": "evil.Model"}}', encoding="utf-8"
    )
    (tmp_path / "evil.py").write_text("raise SystemExit('run')", encoding="utf-8")
    with pytest.raises(InputError, match="architecture 'mine' is not one"):
        load_network(entry("text"), tmp_path, device="cpu")


def test_truncated_weights_are_refused(saved, tmp_path: Path) -> None:
    folder = saved("gpt2")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    whole = (folder / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="weights cannot be read"):
        load_network(entry("text"), tmp_path, device="cpu")


def test_weights_that_lack_a_block_are_refused_and_not_made_up(saved, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = saved("gpt2")
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    tensors = load_file(folder / "model.safetensors")
    fewer = {k: v for k, v in tensors.items() if "h.1." not in k}
    assert len(fewer) < len(tensors)
    save_file(fewer, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lack"):
        load_network(entry("text"), tmp_path, device="cpu")


def test_a_decoder_that_lacks_a_block_is_refused_where_the_layers_are_the_decoders(
    tmp_path: Path,
) -> None:
    import transformers
    from safetensors.torch import load_file, save_file

    # OPT calls its blocks decoder.layers; only of an encoder's network may they be absent.
    size = {"num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": 4}
    config = transformers.OPTConfig(**size, word_embed_proj_dim=WIDTH, ffn_dim=64, vocab_size=64)
    transformers.AutoModel.from_config(config).save_pretrained(tmp_path)
    load_network(entry("text"), tmp_path, device="cpu")
    tensors = load_file(tmp_path / "model.safetensors")
    fewer = {k: v for k, v in tensors.items() if "layers.1." not in k}
    assert 0 < len(fewer) < len(tensors)
    save_file(fewer, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack \d+ parameters, decoder.layers.1"):
        load_network(entry("text"), tmp_path, device="cpu")


def test_a_pickle_in_place_of_weights_is_not_executed(saved, tmp_path: Path) -> None:
    import pickle

    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    (tmp_path / "config.json").write_bytes((saved("gpt2") / "config.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(InputError, match="weights cannot be read"):
        load_network(entry("text"), tmp_path, device="cpu")
    assert not (tmp_path / "executed").exists()


def test_a_model_without_a_tokenizer_is_refused(saved) -> None:
    with pytest.raises(InputError, match="no tokenizer"):
        load_tokenizer(entry("text"), saved("wav2vec2-group"))


def test_a_tokenizer_without_its_vocabulary_is_refused(shared_data: Path, tmp_path: Path) -> None:
    real = shared_data / "text_tokens/gpt2_tokenizer"
    for file in real.iterdir():
        if file.name not in ("vocab.json", "merges.txt", "tokenizer.json"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(InputError, match="no vocabulary"):
        load_tokenizer(entry("text"), tmp_path)


def test_words_that_a_tokenizer_does_not_know_are_reported_or_refused(loaded, caplog) -> None:
    _, tokenizer = loaded("bert")
    with caplog.at_level(logging.WARNING, "highgamma"):
        text.checked_vocabulary(tokenizer, [*KNOWN, "xyzzy"], where="folder")
    assert "of 6 different words, 0 without a vector or token, 1 with an unknown" in caplog.text
    with pytest.raises(InputError, match="4 of 5 have an unknown token or none"):
        text.checked_vocabulary(tokenizer, ["kat", "xyzzy", "qqq", "www", "jjj"], where="folder")


def test_people_who_talk_at_once_are_read_in_the_order_of_the_transcript(loaded) -> None:
    """Rows are in order of onset; the text is read in the order that `reading` states."""
    network, tokenizer = loaded("gpt2")
    model = {**entry("text"), "context": 32, "pooling": "mean", "prefix_space": True, "batch": 4}
    said = ["de", "kat", "zonbloem", "maan", "goed", "vrijheid"]
    order = np.array([0, 2, 1, 4, 3, 5])
    times = np.arange(6.0)

    def features(words: tuple[str, ...], reading) -> np.ndarray:
        table = Words(words, np.zeros(6, int), times, times, times, times, reading)
        made = text.text_embeddings(model, words=table, network=network, tokenizer=tokenizer)
        blocks = np.concatenate(list(made.blocks), axis=1)
        return blocks[:, np.argsort(made.coordinates["word_index"])]

    straight = features(tuple(said), None)
    # Row k holds the word that is read at place order[k].
    mixed = features(tuple(said[k] for k in order), order)
    np.testing.assert_allclose(mixed, straight[:, order], rtol=1e-4, atol=1e-5)
    assert np.abs(features(tuple(said[k] for k in order), None) - mixed).max() > 1e-3


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_tokenizer_that_makes_nothing_of_a_word_is_named(tmp_path: Path, name: str) -> None:
    import json

    from highgamma.demo.models import TOKENIZER_CONFIG, _letter_tokenizer

    contents = {
        "tokenizer.json": _letter_tokenizer(),
        "tokenizer_config.json": {**TOKENIZER_CONFIG},
    }
    if name == "tokenizer_config.json":
        contents[name]["model_max_length"] = "64"
    else:
        model = {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {"b": 0}}
        model |= {"continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
        contents[name] |= {"model": model, "added_tokens": [], "post_processor": None}
    for file, content in contents.items():
        (tmp_path / file).write_text(json.dumps(content), encoding="utf-8")
    tokenizer = load_tokenizer(entry("text"), tmp_path)
    with pytest.raises(InputError, match="tokenizer cannot be used"):
        text.tokenize_word(tokenizer, "de")


def test_files_of_a_network_that_are_no_json_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="the model's configuration cannot be read"):
        load_network(entry("text"), tmp_path, device="cpu")
    (tmp_path / "preprocessor_config.json").write_text("{")
    with pytest.raises(InputError, match="the file is not valid JSON"):
        pretrained.preprocessor(tmp_path)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="PyTorch found no usable GPU"):
        pretrained.device_of("cuda")


def test_a_network_that_gives_other_layers_is_refused(loaded) -> None:
    network, _ = loaded("gpt2")
    other = replace(network, layers=LAYERS + 2)
    with pytest.raises(InputError, match=f"the network gave {LAYERS + 1} layers, not {LAYERS + 3}"):
        text.run(other, [[1, 2, 3]])


def test_a_model_of_words_needs_words(loaded) -> None:
    network, tokenizer = loaded("gpt2")
    none = Words((), np.empty(0, np.int64), *(np.empty(0) for _ in range(4)))
    with pytest.raises(InputError, match="the recording has no words, and the model reads words"):
        text.text_embeddings(entry("text"), words=none, network=network, tokenizer=tokenizer)


class Special:
    """A tokenizer to which all is special."""

    name_or_path = "nowhere"

    def __call__(self, word: str, **options: bool) -> dict[str, list[int]]:
        return {"input_ids": [1, 2], "special_tokens_mask": [1, 1]}


def test_a_tokenizer_without_letters_is_refused() -> None:
    with pytest.raises(InputError, match="the model's tokenizer has no token for a letter"):
        text.surroundings(Special())


def test_a_slow_tokenizer_is_refused(saved, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = SimpleNamespace(is_fast=False)
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_, **__: slow)
    with pytest.raises(InputError, match="the tokenizer is of the slow kind"):
        load_tokenizer(entry("text"), saved("gpt2"))

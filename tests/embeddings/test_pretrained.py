"""Networks as their repositories have them: with heads and decoders that no layer needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_networks
from tiny_networks import entry

from highgamma.embeddings.pretrained import load_network
from highgamma.errors import InputError

PUBLISHED = [
    ("gpt2", "AutoModelForCausalLM"),
    ("llama-2", "AutoModelForCausalLM"),
    ("llama-3", "AutoModelForCausalLM"),
    ("bert", "AutoModelForMaskedLM"),
    ("roberta", "AutoModelForMaskedLM"),
    ("xlm-r", "AutoModelForMaskedLM"),
    ("wav2vec2-group", "AutoModelForPreTraining"),
    ("wav2vec2-stable", "AutoModelForPreTraining"),
    ("wav2vec2-stable", "AutoModelForCTC"),
    ("hubert-stable", "AutoModelForCTC"),
    ("wavlm-stable", "AutoModelForCTC"),
    ("whisper", "AutoModelForSpeechSeq2Seq"),
    ("whisper-large-v3", "AutoModelForSpeechSeq2Seq"),
]


@pytest.mark.parametrize(("name", "maker"), PUBLISHED)
def test_of_a_network_published_with_a_head_every_weight_below_the_head_is_loaded(
    tmp_path: Path, name: str, maker: str
) -> None:
    import torch

    published = tiny_networks.network(name, maker)
    published.save_pretrained(tmp_path)
    inner = published.base_model
    if name.startswith("whisper"):
        inner = inner.get_encoder()
    expected = inner.state_dict()
    kind = "speech" if _hears(name) else "text"
    loaded = load_network(entry(kind), tmp_path, device="cpu").module
    got = loaded.state_dict()
    # The pooler reads the last layer and nothing reads it; masked models come without one.
    own = {key for key in got if not key.startswith("pooler.")}
    assert own == {key for key in expected if not key.startswith("pooler.")}
    for key in own:
        assert torch.equal(got[key], expected[key]), key


@pytest.mark.parametrize("name", ["wav2vec2-group", "wav2vec2-stable", "hubert", "wavlm-stable"])
def test_weights_under_the_older_names_that_published_files_have_are_loaded(
    saved, tmp_path: Path, name: str
) -> None:
    import torch
    from safetensors.torch import load_file

    (tmp_path / "config.json").write_bytes((saved(name) / "config.json").read_bytes())
    # torch.nn.utils.weight_norm before PyTorch 2.1, and the network inside a class with a head.
    older = {"original0": "weight_g", "original1": "weight_v"}
    published = {}
    for key, tensor in load_file(saved(name) / "model.safetensors").items():
        for new, old in older.items():
            key = key.replace(f"parametrizations.weight.{new}", old)
        published[f"{name.split('-')[0]}.{key}"] = tensor
    assert sum(key.endswith(("weight_g", "weight_v")) for key in published) == 2
    torch.save(published, tmp_path / "pytorch_model.bin")
    states = [
        load_network(entry("speech"), folder, device="cpu").module.state_dict()
        for folder in (saved(name), tmp_path)
    ]
    assert states[0].keys() == states[1].keys()
    for key in states[0]:
        assert torch.equal(states[0][key], states[1][key]), key


def _hears(name: str) -> bool:
    return name.startswith(("wav2vec2", "hubert", "wavlm", "whisper"))


def speech_config(folder: Path, **changed: object) -> None:
    import json

    config = tiny_networks._config("wav2vec2-group").to_dict() | changed
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    "changed", [{"hidden_act": 7}, {"feat_extract_norm": "x"}, {"num_attention_heads": 5}]
)
def test_a_configuration_of_wrong_values_is_named(tmp_path: Path, changed) -> None:
    speech_config(tmp_path, **changed)
    with pytest.raises(InputError, match="configuration is not valid"):
        load_network(entry("speech", untrained=True), tmp_path, device="cpu")


def test_a_network_that_cannot_be_computed_is_named(tmp_path: Path) -> None:
    import torch

    speech_config(tmp_path, conv_stride=[2**40] + [2] * 6)
    network = load_network(entry("speech", untrained=True), tmp_path, device="cpu")
    with pytest.raises(InputError, match="cannot be computed"):
        network.hidden(input_values=torch.zeros(1, 1600))


def test_strides_of_nothing_are_refused(tmp_path: Path) -> None:
    from highgamma.embeddings.speech import ear_of

    speech_config(tmp_path, conv_stride=[5, 2, 2, 0, 2, 2, 2])
    network = load_network(entry("speech", untrained=True), tmp_path, device="cpu")
    with pytest.raises(InputError, match="lengths and strides"):
        ear_of(network)

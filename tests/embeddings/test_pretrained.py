"""Networks as their repositories have them: with heads and decoders that no layer needs."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_networks
from tiny_networks import entry

from highgamma.embeddings.pretrained import load_network

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


def _hears(name: str) -> bool:
    return name.startswith(("wav2vec2", "hubert", "wavlm", "whisper"))

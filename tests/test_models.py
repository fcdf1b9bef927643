"""Models come as they are published, are pinned from then on, and run no foreign code."""

from __future__ import annotations

import builtins
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from local_server import Site, closed_port, serving
from running import ROOT

from highgamma import fetch, models
from highgamma.errors import InputError
from highgamma.models import url

COMMIT, NEWER = "a" * 40, "b" * 40
REPO = "owner/tiny"
ENTRY: dict[str, Any] = {"source": {"hub": REPO}}
CONFIG = b'{"model_type": "gpt2"}'


class Hub:
    """A repository on a server that answers as the hub does."""

    def __init__(self, site: Site) -> None:
        self.site, self.commit = site, COMMIT
        self.files: dict[str, bytes] = {}

    def publish(self, files: dict[str, bytes], *, commit: str = COMMIT) -> None:
        """Make these files the repository's newest revision; large ones lie on another path."""
        siblings = []
        for name, content in files.items():
            about: dict[str, Any] = {"rfilename": name, "size": len(content)}
            path = f"/{REPO}/resolve/{commit}/{name}"
            self.site.headers[path] = {"X-Repo-Commit": commit}
            blob = b"blob %d\0" % len(content) + content
            about["blobId"] = hashlib.sha1(blob).hexdigest()
            if name.endswith((".bin", ".safetensors")):
                sha = hashlib.sha256(content).hexdigest()
                about["lfs"] = {"sha256": sha, "size": len(content), "pointerSize": 130}
                self.site.headers[path] |= {
                    "X-Linked-Size": str(len(content)),
                    "X-Linked-Etag": f'"{sha}"',
                }
                self.site.redirects[path] = f"{self.site.address}/cdn/{sha}?signed=yes"
                self.site.files[f"/cdn/{sha}"] = content
            else:
                self.site.files[path] = content
            siblings.append(about)
        about = {"id": REPO, "sha": commit, "siblings": siblings}
        for revision in ("main", commit):
            api = f"/api/models/{REPO}/revision/{revision}"
            self.site.files[api] = json.dumps(about).encode()

    def fetched(self) -> list[str]:
        """Names of the files that were asked for, in order."""
        return [p.rsplit("/", 1)[-1] for p, _ in self.site.asked if "/resolve/" in p]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # The hub's client reads the variable once, when it is imported; a test before may have set it.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "")
    with serving(Site()) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.address)
        yield Hub(site)


def safetensors_of(tensors: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return save(tensors)


def torch_of(content: Any) -> bytes:
    import torch

    held = io.BytesIO()
    torch.save(content, held)
    return held.getvalue()


def get(tmp_path: Path, entry: dict[str, Any] = ENTRY, **options: Any) -> dict[str, Any]:
    return models.fetch_model("tiny", entry, tmp_path / "models", tmp_path / "lock.yaml", **options)


def names(tmp_path: Path) -> list[str]:
    return sorted(p.name for p in (tmp_path / "models" / "owner--tiny").iterdir())


WEIGHTS = safetensors_of({"w": np.arange(60_000, dtype=np.float32)})


def test_only_what_a_model_is_read_from_is_fetched(hub, tmp_path):
    hub.publish(
        {
            "config.json": CONFIG,
            "tokenizer.json": b"{}",
            "vocab.json": b"{}",
            "merges.txt": b"#version",
            "model.safetensors": WEIGHTS,
            "pytorch_model.bin": b"never asked for",
            "modeling_tiny.py": b"import os",
            "tf_model.h5": b"h5",
            "flax_model.msgpack": b"flax",
            "onnx/model.onnx": b"onnx",
            "README.md": b"card",
            "../evil.json": b"{}",
        }
    )
    manifest = get(tmp_path)
    wanted = ["config.json", "merges.txt", "model.safetensors", "tokenizer.json", "vocab.json"]
    assert names(tmp_path) == wanted == sorted(manifest["files"])
    assert sorted(hub.fetched()) == wanted
    assert manifest["revision"] == COMMIT
    assert manifest["files"]["config.json"] == {
        "sha256": hashlib.sha256(CONFIG).hexdigest(),
        "size": len(CONFIG),
    }


def test_the_first_fetch_pins_revision_and_checksums(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    get(tmp_path)
    lock = yaml.safe_load((tmp_path / "lock.yaml").read_text())
    assert lock[REPO]["revision"] == COMMIT
    assert lock[REPO]["files"]["model.safetensors"] == {
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
        "size": len(WEIGHTS),
    }


def test_a_second_fetch_asks_the_network_for_nothing(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    first = get(tmp_path)
    hub.site.asked.clear()
    assert get(tmp_path) == first
    assert hub.site.asked == []


def test_only_a_file_that_is_not_whole_is_fetched_again(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "vocab.json": b"{}", "model.safetensors": WEIGHTS})
    get(tmp_path)
    (tmp_path / "models/owner--tiny/vocab.json").write_bytes(b"[]")
    hub.site.asked.clear()
    get(tmp_path)
    assert hub.fetched() == ["vocab.json"]


def test_a_broken_connection_resumes_through_the_redirection(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    # Answers in order: the hub's description, config.json, then the weights twice.
    hub.site.breaks = [10**9, 10**9, 100_000, 10**9]
    get(tmp_path)
    ranges = [h.get("range") for p, h in hub.site.asked if p.startswith("/cdn/")]
    assert ranges == [None, "bytes=100000-"]
    assert (tmp_path / "models/owner--tiny/model.safetensors").read_bytes() == WEIGHTS


def test_a_newer_revision_on_the_hub_changes_nothing(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    get(tmp_path)
    hub.publish({"config.json": b"{}", "model.safetensors": WEIGHTS}, commit=NEWER)
    (tmp_path / "models/owner--tiny/config.json").unlink()
    manifest = get(tmp_path)
    assert manifest["revision"] == COMMIT
    assert (tmp_path / "models/owner--tiny/config.json").read_bytes() == CONFIG


def test_another_revision_than_the_locks_is_an_error_that_names_both(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    get(tmp_path, weights=False)
    path = f"/api/models/{REPO}/revision/{COMMIT}"
    hub.site.files[path] = hub.site.files[path].replace(COMMIT.encode(), NEWER.encode())
    with pytest.raises(InputError) as caught:
        get(tmp_path)
    assert COMMIT in str(caught.value)
    assert NEWER in str(caught.value)


def test_a_revision_that_is_gone_is_named_beside_the_newest(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    get(tmp_path, weights=False)
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS}, commit=NEWER)
    del hub.site.files[f"/api/models/{REPO}/revision/{COMMIT}"]
    with pytest.raises(InputError) as caught:
        get(tmp_path)
    assert f"no longer has revision {COMMIT} of {REPO}; its newest is {NEWER}" in str(caught.value)


def test_a_file_of_another_commit_is_refused(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    hub.site.headers[f"/{REPO}/resolve/{COMMIT}/config.json"] = {"X-Repo-Commit": NEWER}
    with pytest.raises(InputError, match=NEWER):
        get(tmp_path)


def test_a_checksum_that_is_not_the_locks_is_an_error_that_names_both(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    get(tmp_path)
    other = CONFIG[::-1]
    hub.site.files[f"/{REPO}/resolve/{COMMIT}/config.json"] = other
    (tmp_path / "models/owner--tiny/config.json").unlink()
    with pytest.raises(InputError) as caught:
        get(tmp_path)
    assert hashlib.sha256(CONFIG).hexdigest() in str(caught.value)
    assert hashlib.sha256(other).hexdigest() in str(caught.value)
    assert not (tmp_path / "models/owner--tiny/config.json").exists()


def test_small_files_are_checked_by_their_git_name(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    hub.site.files[f"/{REPO}/resolve/{COMMIT}/config.json"] = CONFIG[::-1]
    with pytest.raises(InputError, match="git-blob"):
        get(tmp_path)


def test_files_that_changed_since_the_manifest_are_named_when_the_graph_is_built(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    manifest = get(tmp_path)
    path = models.manifest_path(ENTRY, models=tmp_path / "models")
    models.write_manifest(manifest, path)
    lock = models.read_lock(tmp_path / "lock.yaml")
    models.check_lock([ENTRY], lock, models=tmp_path / "models")
    other = {"sha256": hashlib.sha256(b"other").hexdigest(), "size": 5}
    manifest["files"]["config.json"] = other
    models.write_manifest(manifest, path)
    with pytest.raises(InputError) as caught:
        models.check_lock([ENTRY], lock, models=tmp_path / "models")
    assert hashlib.sha256(CONFIG).hexdigest() in str(caught.value)
    assert other["sha256"] in str(caught.value)


def test_a_first_fetch_changes_no_pin_and_another_revision_in_the_lock_does(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    path = models.manifest_path(ENTRY, models=tmp_path / "models")

    def pinned() -> str | None:
        lock = models.read_lock(tmp_path / "lock.yaml")
        return models.pin(ENTRY, lock, models=tmp_path / "models")

    before = pinned()
    models.write_manifest({**get(tmp_path), "pin": before}, path)
    assert before is None and pinned() is None
    (tmp_path / "lock.yaml").write_text(
        yaml.safe_dump({REPO: {"revision": NEWER, "files": {}}}), "utf-8"
    )
    assert pinned() == NEWER
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS}, commit=NEWER)
    models.write_manifest({**get(tmp_path), "pin": NEWER}, path)
    assert pinned() == NEWER


def test_an_untrained_twin_needs_no_weights_and_its_base_adds_them(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "vocab.txt": b"a", "model.safetensors": WEIGHTS})
    get(tmp_path, weights=False)
    assert names(tmp_path) == ["config.json", "vocab.txt"]
    get(tmp_path)
    assert names(tmp_path) == ["config.json", "model.safetensors", "vocab.txt"]
    hub.site.asked.clear()
    assert sorted(get(tmp_path, weights=False)["files"]) == ["config.json", "vocab.txt"]
    assert hub.site.asked == []


def test_an_untrained_twin_has_a_manifest_of_its_own(tmp_path):
    of = {"source": {"hub": REPO}}
    assert models.manifest_path(of, models="m") == Path("m/owner--tiny.manifest.json")
    twin = models.manifest_path(of | {"untrained": True}, models="m")
    assert twin == Path("m/owner--tiny.architecture.json")
    assert models.manifest_path({"source": {"folder": "x"}}) is None
    assert models.manifest_path({"kind": "acoustic"}) is None


def tiny_bert(folder: Path) -> Any:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(1)
    size = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = BertForMaskedLM(BertConfig(vocab_size=11, intermediate_size=8, **size))
    network.config.save_pretrained(folder)
    return network


def test_pytorch_weights_become_the_same_tensors_in_safetensors(hub, tmp_path):
    import torch
    from safetensors.torch import load_file
    from transformers import BertForMaskedLM

    network = tiny_bert(tmp_path / "written")
    state = network.state_dict()
    # Tied: one tensor under two names.
    tied = "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"
    assert state[tied[0]].data_ptr() == state[tied[1]].data_ptr()
    weights = torch_of(state)
    config = (tmp_path / "written/config.json").read_bytes()
    hub.publish({"config.json": config, "pytorch_model.bin": weights})
    manifest = get(tmp_path)
    assert names(tmp_path) == ["config.json", "model.safetensors"]
    folder = tmp_path / "models/owner--tiny"
    stored = load_file(folder / "model.safetensors")
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[k], state[k]) for k in state)
    read = BertForMaskedLM.from_pretrained(folder, local_files_only=True).state_dict()
    assert all(torch.equal(read[k], state[k]) for k in state)
    original = hashlib.sha256(weights).hexdigest()
    assert manifest["converted"] == {
        "model.safetensors": {"from": "pytorch_model.bin", "from_sha256": original}
    }
    lock = yaml.safe_load((tmp_path / "lock.yaml").read_text())
    assert lock[REPO]["files"]["pytorch_model.bin"]["sha256"] == original
    content = (folder / "model.safetensors").read_bytes()
    assert manifest["files"]["model.safetensors"]["sha256"] == hashlib.sha256(content).hexdigest()
    hub.site.asked.clear()
    assert get(tmp_path) == manifest
    assert hub.site.asked == []


def test_pytorch_weights_in_several_files_are_converted_one_by_one(hub, tmp_path):
    import torch
    from safetensors.torch import load_file

    parts = [{"a": torch.ones(3)}, {"b": torch.zeros(2)}]
    shards = [f"pytorch_model-0000{i}-of-00002.bin" for i in (1, 2)]
    index = {"metadata": {"total_size": 20}, "weight_map": dict(zip("ab", shards, strict=True))}
    files = {name: torch_of(part) for name, part in zip(shards, parts, strict=True)}
    files |= {
        "config.json": CONFIG,
        "pytorch_model.bin.index.json": json.dumps(index).encode(),
    }
    hub.publish(files)
    manifest = get(tmp_path)
    assert names(tmp_path) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    folder = tmp_path / "models/owner--tiny"
    stored = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert torch.equal(load_file(folder / stored["a"])["a"], torch.ones(3))
    assert torch.equal(load_file(folder / stored["b"])["b"], torch.zeros(2))
    hub.site.asked.clear()
    assert get(tmp_path) == manifest
    assert hub.site.asked == []


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("import builtins; builtins.owned = True",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch_of({"w": Evil()}), "the weights cannot be read as plain tensors"),
        (torch_of({"w": [1, 2]}), "the weights don't map names to tensors"),
        (b"not a model", "the weights cannot be read as plain tensors"),
    ],
    ids=["code", "a list", "no file of PyTorch's"],
)
def test_weights_that_are_more_than_tensors_are_refused(hub, tmp_path, content, message):
    hub.publish({"config.json": CONFIG, "pytorch_model.bin": content})
    with pytest.raises(InputError, match=message):
        get(tmp_path)
    assert not (tmp_path / "models/owner--tiny/model.safetensors").exists()
    assert not hasattr(builtins, "owned")


@pytest.mark.parametrize("shard", ["../../evil.safetensors", "/etc/passwd", "other.bin"])
def test_an_index_that_names_foreign_files_is_refused(hub, tmp_path, shard):
    index = json.dumps({"weight_map": {"w": shard}}).encode()
    hub.publish({"config.json": CONFIG, "model.safetensors.index.json": index})
    with pytest.raises(InputError, match=r"the index of the weights names"):
        get(tmp_path)


def test_names_in_the_lock_that_lead_elsewhere_are_refused(hub, tmp_path):
    file = {"sha256": "0" * 64, "size": 1}
    lock = {REPO: {"revision": COMMIT, "files": {"../evil": file, "model.safetensors": file}}}
    (tmp_path / "lock.yaml").write_text(yaml.safe_dump(lock))
    with pytest.raises(InputError, match="not a plain path"):
        get(tmp_path)


def test_a_damaged_lock_is_named(tmp_path):
    (tmp_path / "lock.yaml").write_text("<<<<<<< HEAD\na: 1\n")
    with pytest.raises(InputError, match="lock file"):
        models.read_lock(tmp_path / "lock.yaml")


@pytest.mark.parametrize(
    "file",
    [7, [], "x", {"size": 1}, {"size": float("inf"), "sha256": "0"}, {"size": 1, "sha256": 0}],
)
def test_a_lock_or_manifest_of_another_form_is_named(tmp_path, file):
    files = {"revision": COMMIT, "files": {"config.json": file}}
    (tmp_path / "lock.yaml").write_text(yaml.safe_dump({REPO: files}))
    with pytest.raises(InputError, match="lock file"):
        models.read_lock(tmp_path / "lock.yaml")
    (tmp_path / "manifest.json").write_text(json.dumps(files))
    with pytest.raises(InputError, match="manifest of fetched files cannot be read"):
        models.read_manifest(tmp_path / "manifest.json")


@pytest.mark.parametrize(
    "about", [{"size": "3"}, {"size": -1}, {"rfilename": 7}, {"lfs": 7}, {"blobId": [1]}]
)
def test_a_description_of_another_form_is_named(hub, tmp_path, about):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    api = f"/api/models/{REPO}/revision/main"
    described = json.loads(hub.site.files[api])
    described["siblings"][0] |= about
    hub.site.files[api] = json.dumps(described).encode()
    with pytest.raises(InputError, match="hub's answer can't be read"):
        get(tmp_path)


def test_weights_that_state_more_than_they_hold_take_no_memory(tmp_path):
    import torch

    held = io.BytesIO()
    torch.save({"name": torch.ones(3)}, held, _use_new_zipfile_serialization=False)
    whole = held.getvalue()
    at = whole.index(b"X\x04\0\0\0name")
    damaged = whole[: at + 1] + b"\xff\xff\xff\xfe" + whole[at + 5 :]
    (tmp_path / "pytorch_model.bin").write_bytes(damaged)
    program = (
        "import resource, sys, torch\n"
        "from highgamma.errors import InputError\n"
        "from highgamma.models.tensors import to_safetensors\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "most = pages * resource.getpagesize() + (1 << 30)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
        "try:\n"
        "    to_safetensors('pytorch_model.bin', 'model.safetensors')\n"
        "except InputError as error:\n"
        "    print(type(error.__cause__).__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.stdout.strip() not in ("", "MemoryError"), done.stderr


def test_an_unknown_repository_is_named(hub, tmp_path):
    with pytest.raises(InputError, match="no repository owner/tiny"):
        get(tmp_path)


def test_a_gated_repository_says_how_to_get_in(hub, tmp_path):
    hub.site.statuses = [403]
    with pytest.raises(InputError, match=r"the hub does not give .* to everyone") as caught:
        get(tmp_path)
    assert "hf auth login" in str(caught.value)


@pytest.mark.parametrize(("own", "sent"), [(True, "Bearer secret"), (False, None)])
def test_a_token_goes_to_the_users_own_hub_only(hub, tmp_path, monkeypatch, own, sent):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    monkeypatch.setenv("HF_TOKEN", "secret")
    if not own:
        monkeypatch.delenv("HF_ENDPOINT")
    get(tmp_path, endpoint=hub.site.address)
    received = {headers.get("authorization") for path, headers in hub.site.asked}
    assert received == {sent}


def test_a_busy_hub_is_asked_again_and_one_that_answers_nonsense_is_named(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    hub.site.statuses = [503]
    assert get(tmp_path)["revision"] == COMMIT
    (tmp_path / "lock.yaml").unlink()
    hub.site.files[f"/api/models/{REPO}/revision/main"] = b"<html>log in</html>"
    with pytest.raises(InputError, match="log-in page"):
        get(tmp_path)


def test_a_description_of_more_than_the_limit_is_refused(hub, tmp_path, monkeypatch):
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS})
    description = hub.site.files[f"/api/models/{REPO}/revision/main"]
    monkeypatch.setattr("highgamma.models.hub.DESCRIPTION_BYTES", len(description) - 1)
    with pytest.raises(InputError, match="the answer has more than"):
        get(tmp_path)
    assert hub.fetched() == []
    monkeypatch.setattr("highgamma.models.hub.DESCRIPTION_BYTES", len(description))
    assert get(tmp_path)["revision"] == COMMIT


def test_a_hub_is_spoken_to_by_https(hub, tmp_path):
    with pytest.raises(InputError, match="not https"):
        get(tmp_path, endpoint="http://192.0.2.1")


def test_a_repository_without_pytorch_weights_is_named(hub, tmp_path):
    hub.publish({"config.json": CONFIG, "tf_model.h5": b"h5"})
    with pytest.raises(InputError, match="no weights that can be read"):
        get(tmp_path)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", closed_port())


def test_behind_a_missing_network_one_message_says_everything(no_network, tmp_path):
    with pytest.raises(fetch.Unreachable) as caught:
        get(tmp_path)
    message = str(caught.value)
    for part in ("https://huggingface.co/owner/tiny", "config.json", "model.safetensors"):
        assert part in message
    assert str(tmp_path / "models/owner--tiny") in message
    assert "source: {folder: path}" in message
    assert not (tmp_path / "models/owner--tiny").exists()


def test_the_message_names_the_locks_files_and_revision(no_network, tmp_path):
    file = {"sha256": "0" * 64, "size": 1}
    lock = {REPO: {"revision": COMMIT, "files": {"config.json": file, "model.safetensors": file}}}
    (tmp_path / "lock.yaml").write_text(yaml.safe_dump(lock))
    with pytest.raises(fetch.Unreachable) as caught:
        get(tmp_path)
    assert f"{REPO}/tree/{COMMIT}" in str(caught.value)
    assert "config.json, model.safetensors" in str(caught.value)


def test_files_put_there_by_hand_are_taken_without_a_network(no_network, tmp_path, caplog):
    folder = tmp_path / "models/owner--tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_bytes(CONFIG)
    (folder / "model.safetensors").write_bytes(WEIGHTS)
    manifest = get(tmp_path)
    assert manifest["revision"] is None
    assert sorted(manifest["files"]) == ["config.json", "model.safetensors"]
    assert "taken as they are" in caplog.text
    assert not (tmp_path / "lock.yaml").exists()


def test_a_hub_that_is_switched_off_counts_as_no_network(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(fetch.Unreachable, match="the hub is switched off") as caught:
        get(tmp_path)
    assert "are missing and could not be downloaded" in str(caught.value)
    assert hub.site.asked == []


VECTORS = np.random.default_rng(2).integers(0, 9, 200_000, dtype=np.uint8).tobytes()
GZIPPED = gzip.compress(VECTORS, mtime=0)


def vectors(site: Site) -> dict[str, Any]:
    site.files["/vectors/cc.nl.300.bin.gz"] = GZIPPED
    return {"source": {"url": site.address + "/vectors/cc.nl.300.bin.gz"}}


def test_word_vectors_are_fetched_over_a_broken_connection_and_unpacked(hub, tmp_path):
    hub.site.breaks = [len(GZIPPED) // 2]
    manifest = get(tmp_path, vectors(hub.site))
    assert (tmp_path / "models/cc.nl.300.bin").read_bytes() == VECTORS
    assert [p.name for p in (tmp_path / "models").iterdir()] == ["cc.nl.300.bin"]
    assert len(hub.site.asked) == 2
    assert manifest["files"]["cc.nl.300.bin"]["size"] == len(VECTORS)
    (lock,) = yaml.safe_load((tmp_path / "lock.yaml").read_text()).values()
    assert lock["files"]["cc.nl.300.bin.gz"] == {
        "sha256": hashlib.sha256(GZIPPED).hexdigest(),
        "size": len(GZIPPED),
    }
    assert get(tmp_path, vectors(hub.site)) == manifest
    assert len(hub.site.asked) == 2


def test_word_vectors_that_changed_are_refused(hub, tmp_path):
    entry = vectors(hub.site)
    get(tmp_path, entry)
    (tmp_path / "models/cc.nl.300.bin").unlink()
    changed = bytearray(GZIPPED)
    changed[-1] ^= 1
    hub.site.files["/vectors/cc.nl.300.bin.gz"] = bytes(changed)
    with pytest.raises(InputError, match=hashlib.sha256(GZIPPED).hexdigest()):
        get(tmp_path, entry)


def test_word_vectors_cut_short_where_they_are_published_are_refused(hub, tmp_path):
    entry = vectors(hub.site)
    hub.site.files["/vectors/cc.nl.300.bin.gz"] = GZIPPED[:-100]
    with pytest.raises(InputError, match="can't be unpacked"):
        get(tmp_path, entry)
    assert not (tmp_path / "models/cc.nl.300.bin").exists()


def test_word_vectors_that_explode_are_refused(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(10_000_000), mtime=0))
    with pytest.raises(InputError, match="expands more than 100 times"):
        url.gunzip(tmp_path / "x.gz", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_message_for_word_vectors_names_the_address_and_the_place(no_network, tmp_path):
    url = closed_port() + "/cc.nl.300.bin.gz"
    with pytest.raises(fetch.Unreachable, match="the file of the model") as caught:
        get(tmp_path, {"source": {"url": url}})
    assert url in str(caught.value)
    assert str(tmp_path / "models/cc.nl.300.bin") in str(caught.value)
    assert "source: {file: path}" in str(caught.value)


@pytest.mark.parametrize(("network", "seen"), [("False", "1"), ("True", "None")])
def test_the_hub_is_switched_off_for_every_job_but_one_that_fetches(tmp_path, network, seen):
    program = (
        "import os\nfrom highgamma.workflow.job import job\n"
        f"with job({str(tmp_path / 'log')!r}, threads=1, network={network}):\n"
        "    print(os.environ.get('HF_HUB_OFFLINE'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == seen


def test_a_repository_that_is_no_model_is_refused(hub, tmp_path):
    hub.publish({"model.safetensors": WEIGHTS})
    with pytest.raises(InputError, match=r"the repository has no config\.json"):
        get(tmp_path)
    hub.publish({"config.json": CONFIG, "model.safetensors": WEIGHTS}, commit="main")
    with pytest.raises(InputError, match="the hub reports the commit 'main'"):
        get(tmp_path)


def test_vectors_put_there_by_hand_are_taken(no_network, tmp_path, caplog):
    (tmp_path / "models").mkdir()
    (tmp_path / "models/cc.nl.300.bin").write_bytes(b"vectors")
    get(tmp_path, {"source": {"url": closed_port() + "/cc.nl.300.bin.gz"}})
    assert "was put there by hand and is taken as it is" in caplog.text

"""The bench: rows of other names stay, and the page names the machine but not whose it is."""

from __future__ import annotations

import getpass
import importlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    # Another test's `embeddings` or `encoding` must not stand in for the package's.
    monkeypatch.delitem(sys.modules, "benchmarks", raising=False)
    return importlib.import_module("benchmarks.__main__")


def row(name: str, ratio: float = 2.0) -> dict[str, Any]:
    return {"name": name, "against": "x", "ratio": ratio, "ours_s": 1.0, "theirs_s": ratio}


def test_a_run_renews_its_own_rows_and_keeps_the_others(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "results.json").write_text(json.dumps([row("a"), row("b"), row("b", 3.0)]))
    monkeypatch.setattr(bench, "SUITES", {"one": lambda: [row("b", 4.0), row("c")]})
    bench.main(["one"], tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [(r["name"], r["ratio"]) for r in rows] == [("a", 2.0), ("b", 4.0), ("c", 2.0)]
    page = (tmp_path / "README.md").read_text()
    # A row says what it was measured on: others may be of another machine.
    assert f"| b | x | 4 | 1 | 4 |  |  |  | {bench.machine()['processor']} |" in page
    assert "| a | x | 2 | 1 | 2 |  |  |  |  |" in page


def test_the_longest_runs_only_where_it_is_named(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suites = {name: lambda name=name: [row(name)] for name in bench.SUITES}
    monkeypatch.setattr(bench, "SUITES", suites)
    bench.main([], tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [r["name"] for r in rows] == ["neural", "long", "encoding", "embeddings", "group"]
    bench.main(["delayed"], tmp_path)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert [r["name"] for r in rows] == [
        "neural",
        "long",
        "encoding",
        "embeddings",
        "group",
        "delayed",
    ]


def test_the_page_says_what_machine_but_not_whose(bench: Any) -> None:
    found = bench.machine()
    assert {"processor", "cores", "memory", "Python", "numpy"} <= set(found)
    page = bench.page([row("a")], found)
    for private in (platform.node(), str(Path.home()), str(ROOT)):
        assert len(private) < 4 or private not in page
    assert f"/{getpass.getuser()}/" not in page


def test_an_unknown_benchmark_is_answered_with_those_that_there_are(bench: Any) -> None:
    with pytest.raises(SystemExit, match="no benchmark neurl; there are neural, long, encoding"):
        bench.main(["neurl"])


def test_operations_of_a_block_are_those_that_pytorch_counts() -> None:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    sys.path.insert(0, str(ROOT))
    try:
        measure = importlib.import_module("benchmarks.embeddings")
    finally:
        sys.path.remove(str(ROOT))
    from transformers.models.wav2vec2.modeling_wav2vec2 import (
        Wav2Vec2EncoderLayerStableLayerNorm,
    )

    config = measure.configuration()
    config._attn_implementation = "eager"
    block = Wav2Vec2EncoderLayerStableLayerNorm(config).eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        block(torch.zeros(1, 30, 1024))
    assert counter.get_total_flops() == measure.block_operations(30)

"""Every example of a configuration in README and docs can be planned as it stands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import listening_set
import pytest
import yaml
from running import ROOT, jobs, snakemake

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(page.name, block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```ya?ml\n(.*?)```", page.read_text("utf-8"), re.S))
]

REST = {
    "run": "example",
    "dataset": {"root": "/data/my-bids-set", "task": "story", "language": "en"},
    "models": ["mel", "envelope"],
    "analyses": {"frames": {"unit": "frame", "controls": ["envelope"]}},
}
"""What an example that shows one section leaves to the reader."""


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_an_example_is_planned_as_it_stands(page: str, block: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("my-bids-set", "my-listening-set"):
        listening_set.write(data / name)
    for folder in (tmp_path / "models/my-model", data / "models/my-xls-r"):
        folder.mkdir(parents=True)
        sizes = {"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2}
        (folder / "config.json").write_text(json.dumps(sizes))
    example = yaml.safe_load(block.replace("/data/", f"{data}/"))
    rest = yaml.safe_load(yaml.safe_dump(REST).replace("/data/", f"{data}/"))
    config = {**rest, **example}
    # The data set that lies here tells its story, whatever the example's task is called.
    config["dataset"]["task"] = "story"
    if "models" not in example:
        config["models"] = [*rest["models"], *example.get("catalogue", {})]
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    plan = snakemake("--configfile", str(path), "--dry-run", folder=tmp_path)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    planned = jobs(plan.stdout)
    assert planned["encoding"] >= 2 and planned["report"] == 1

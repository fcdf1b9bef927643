"""A small run with the least and the newest version of Snakemake: `make snakemake-versions`.

Each version gets an environment of its own; everything else comes from the one that this runs in.
The tables must be the same to the byte. What came out is written to versions.json.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "versions.json"
TABLES = ("electrodes.tsv", "layers.tsv", "participants.tsv", "group.tsv")
CONFIG = """
run: tiny
demo: {seed: 31, n_words: 12}
dataset: {root: resources/demo, task: wordProduction, participants: [sub-01]}
models: [envelope]
analyses: {words: {unit: word, folds: 3, permutations: 20}, frames: {unit: frame, permutations: 0}}
"""


def least() -> str:
    """The version that the Snakefile asks for."""
    found = re.search(r'min_version\("([^"]+)"\)', (ROOT / "Snakefile").read_text())
    assert found is not None
    return found[1]


def environment(folder: Path, wish: str) -> tuple[Path, str]:
    """Python of an environment with this version of Snakemake, and the version it is."""
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"snakemake{wish}"], check=True)
    query = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    packages = subprocess.run(
        [python, "-c", query], capture_output=True, text=True, check=True
    ).stdout.strip()
    # Behind the environment's own packages, so that its Snakemake comes first.
    (Path(packages) / "others.pth").write_text(sysconfig.get_paths()["purelib"])
    version = subprocess.run(
        [python, "-m", "snakemake", "--version"], capture_output=True, text=True, check=True
    )
    return python, version.stdout.strip()


def run(python: Path, folder: Path) -> dict[str, str]:
    """SHA-256 of each table of the small run, which is planned first."""
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    command = [python, "-m", "snakemake", "--cores", "1", "--snakefile", ROOT / "Snakefile"]
    for further in (["--dry-run", "--quiet"], []):
        subprocess.run(
            [*command, *further, "--configfile", "config.yaml"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    return {
        name: hashlib.sha256((folder / "results/tiny" / name).read_bytes()).hexdigest()
        for name in TABLES
    }


def main() -> int:
    """Run both versions, write down what came out, and say whether the tables are the same."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        for name, wish in (("least", f"=={least()}.0"), ("newest", f">={least()}")):
            python, version = environment(Path(place) / name, wish)
            rows.append({"snakemake": version, "tables": run(python, Path(place) / f"{name}-run")})
            print(f"Snakemake {version}: dry run and run passed")
    same = rows[0]["tables"] == rows[1]["tables"]
    print("The tables are the same." if same else "The tables differ.")
    RESULT.write_text(json.dumps({"same_tables": same, "runs": rows}, indent=2) + "\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())

"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings, audio, tokenizer and vectors, kept outside the repository."""
    folder = Path(os.environ.get("HIGHGAMMA_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "MANIFEST.tsv").is_file():
        if os.environ.get("HIGHGAMMA_REQUIRE_SHARED_DATA"):
            pytest.fail(f"the real test data are required but absent: {folder}")
        pytest.skip(f"no real test data at {folder} (HIGHGAMMA_SHARED_DATA names another place)")
    return folder

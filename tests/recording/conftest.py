"""Data sets that the tests of the recording stage read."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from dutch_recording import write_dataset

from highgamma.recording.files import Segment, find


@pytest.fixture(scope="session")
def dutch(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    root = tmp_path_factory.mktemp("dutch")
    truth = write_dataset(root)
    return SimpleNamespace(root=root, segment=find(root, "sub-01")[0], **truth)


@pytest.fixture
def copied(dutch: SimpleNamespace, tmp_path: Path) -> Path:
    """A copy of the data set that a test may damage."""
    return Path(shutil.copytree(dutch.root, tmp_path / "set"))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logging.getLogger("highgamma").propagate = True
    caplog.set_level(logging.INFO, logger="highgamma")
    return caplog


@pytest.fixture
def film(shared_data: Path, tmp_path: Path) -> Callable[[str], list[Segment]]:
    """The film set holds sidecars only: its recordings are stood for by empty files."""

    def segments(participant: str) -> list[Segment]:
        source = shared_data / "bids_metadata" / "ds003688_dutch_film" / participant
        shutil.copytree(source, tmp_path / participant)
        for path in (tmp_path / participant).glob("ses-iemu/ieeg/*_ieeg.json"):
            path.with_suffix(".vhdr").touch()
        return find(tmp_path, participant, task="film")

    return segments


@pytest.fixture
def gripforce(shared_data: Path) -> Path:
    return shared_data / "ieeg_signals" / "pyneuromod_gripforce"

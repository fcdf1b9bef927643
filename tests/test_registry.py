"""Tables that a new file extends."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from highgamma.errors import InputError
from highgamma.registry import Registry
from highgamma.workflow import fingerprint


@dataclass(frozen=True)
class Fruit:
    name: str


def test_things_are_found_by_their_names_in_order() -> None:
    fruits: Registry[Fruit] = Registry("fruit")
    pear, apple = fruits.register(Fruit("pear")), fruits.register(Fruit("apple"))
    assert list(fruits) == ["pear", "apple"]
    assert fruits["apple"] is apple and fruits.named("pear") is pear


def test_a_name_is_given_once() -> None:
    fruits: Registry[Fruit] = Registry("fruit")
    fruits.register(Fruit("pear"))
    with pytest.raises(ValueError, match="the fruit 'pear' is registered twice"):
        fruits.register(Fruit("pear"))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    fruits: Registry[Fruit] = Registry("fruit")
    fruits.register(Fruit("pear"))
    with pytest.raises(InputError, match=r"unknown fruit 'paer'.*did you mean 'pear'"):
        fruits.named("paer", where="analyses.words.fruit")


def test_an_extension_ends_with_its_block() -> None:
    fruits: Registry[Fruit] = Registry("fruit")
    fruits.register(Fruit("pear"))
    with pytest.raises(RuntimeError), fruits.extended(Fruit("plum")):
        assert "plum" in fruits
        raise RuntimeError
    assert list(fruits) == ["pear"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "garden/orchard"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("")
    (folder / "__init__.py").write_text(
        "from highgamma.registry import Registry\n"
        "TREES: Registry = Registry('tree', package=__name__)\n"
    )
    (folder / "pear.py").write_text(
        "from types import SimpleNamespace\n"
        "from garden.orchard import TREES\n"
        "TREES.register(SimpleNamespace(name='pear'))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [n for n in sys.modules if n.split(".")[0] == "garden"]:
        del sys.modules[name]


def test_a_new_file_in_the_package_is_enough(package: Path) -> None:
    (package / "plum.py").write_text((package / "pear.py").read_text().replace("pear", "plum"))
    from garden.orchard import TREES  # type: ignore[import-not-found]

    assert list(TREES) == ["pear", "plum"]


def test_the_fingerprint_counts_every_file_of_the_package(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fingerprint, "PACKAGE", package.parent)
    script = tmp_path / "script.py"
    script.write_text("from garden.orchard import TREES\n")
    before = fingerprint.fingerprint(script)
    assert {p.name for p in fingerprint.modules(script)} == {"__init__.py", "pear.py"}
    (package / "plum.py").write_text("A = 1\n")
    assert fingerprint.fingerprint(script) != before


def test_what_is_no_name_is_not_in_a_table() -> None:
    assert ["x"] not in Registry("toy")

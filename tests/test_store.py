"""Files are whole or absent, the same for the same content, and say what made them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from highgamma import store
from highgamma.errors import DamagedFileError, InputError, nearest


def small(seed: int = 0) -> xr.Dataset:
    values = np.random.default_rng(seed).normal(size=(500, 3))
    return xr.Dataset(
        {"high_gamma": (("time", "channel"), values, {"units": "µV"})},
        coords={
            "time": ("time", np.arange(500) / 100, {"units": "s"}),
            "channel": ["LA1", "LA2", "LA3"],
        },
    )


def test_a_dataset_comes_back_with_its_values_units_and_origin(tmp_path):
    path = tmp_path / "deep" / "neural.nc"
    store.write_dataset(small(), path, stage="neural", parameters={"band": [70, 170]})
    back = store.read_dataset(path)
    xr.testing.assert_equal(back, small())
    assert back["time"].attrs["units"] == "s"
    assert back.attrs["stage"] == "neural"
    assert json.loads(back.attrs["parameters"]) == {"band": [70, 170]}


def test_the_same_content_gives_the_same_bytes(tmp_path):
    paths = [tmp_path / "one.nc", tmp_path / "two.nc"]
    for path in paths:
        store.write_dataset(small(), path, stage="x", parameters={"b": 1, "a": 2})
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_an_interrupted_write_leaves_the_old_file_and_no_rest(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), store.written_whole(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_truncated_file_is_named_with_its_remedy(tmp_path):
    path = tmp_path / "neural.nc"
    store.write_dataset(small(), path, stage="neural", parameters={})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"neural\.nc") as caught:
        store.read_dataset(path)
    assert "delete the file" in str(caught.value)


def test_a_folder_without_write_access_is_named(tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    with pytest.raises((InputError, FileExistsError, NotADirectoryError)):
        store.write_dataset(small(), blocked / "x.nc", stage="x", parameters={})


def test_words_that_look_like_numbers_or_nothing_stay_words(tmp_path):
    path = tmp_path / "events.tsv"
    path.write_bytes('\ufeffonset\tvalue\n0\t10\n1\t`s\n2\tnull\n3\tNA\n4\tn/a\n5\t"q\n'.encode())
    words = store.read_table(path, strings=("value",))
    assert words.columns[0] == "onset"
    assert words["value"].tolist()[:4] == ["10", "`s", "null", "NA"]
    assert pd.isna(words["value"][4])
    assert words["value"][5] == '"q'


def test_missing_values_are_written_as_bids_writes_them(tmp_path):
    path = tmp_path / "electrodes.tsv"
    store.write_table(pd.DataFrame({"electrode": ["LA1", "LA2"], "x": [1 / 3, np.nan]}), path)
    assert path.read_text() == "electrode\tx\nLA1\t0.333333333\nLA2\tn/a\n"


@pytest.mark.parametrize("name", ["../outside.wav", "/etc/passwd", "a/../../b"])
def test_a_name_that_leads_out_of_its_folder_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="leads out"):
        store.inside(tmp_path, name)


def test_a_name_inside_its_folder_is_joined(tmp_path):
    assert store.inside(tmp_path, "a/b.wav") == (tmp_path / "a/b.wav").resolve()


def test_the_nearest_name_is_proposed_and_a_far_one_is_not():
    assert nearest("gpt-2", ["gpt2", "mel"]) == " (did you mean 'gpt2'?)"
    assert nearest("zzz", ["gpt2", "mel"]) == ""


def test_what_is_no_name_is_not_proposed():
    assert nearest("ridg", [1, None, "ridge"]) == " (did you mean 'ridge'?)"


def test_what_a_killed_process_left_of_a_file_is_cleared_by_the_next_one(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left = tmp_path / f".table.tsv.{dead.pid}.part"
    living = tmp_path / f".table.tsv.{os.getppid()}.part"
    for path in (left, living):
        path.write_text("half")
    with store.written_whole(tmp_path / "table.tsv") as temporary:
        temporary.write_text("whole")
    assert not left.exists()
    assert living.exists()


@pytest.mark.parametrize(
    "word", ['"Hello', 'say "x"', "`s", "don't", "\u201cq\u201d", "e\u0301", "10", "null", " a "]
)
def test_a_word_comes_back_as_it_was_written(tmp_path, word):
    table = pd.DataFrame({"word": [word, "b"], "onset": [1.0, 2.0]})
    for name in ("a", "b", "c"):
        store.write_table(table, tmp_path / f"{name}.tsv")
        table = store.read_table(tmp_path / f"{name}.tsv", strings=("word",))
    assert table["word"].tolist() == [word, "b"]
    assert table["onset"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("between", ["\t", "\n", "\r\n", "\u2028", "\x85", "\t\t"])
def test_what_would_break_a_line_becomes_a_space(tmp_path, between):
    table = pd.DataFrame({"word": [f"a{between}b"], "onset": [1.0]})
    store.write_table(table, tmp_path / "a.tsv")
    back = store.read_table(tmp_path / "a.tsv", strings=("word",))
    assert back["word"].tolist() == ["a b"] and back["onset"].tolist() == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        "onset\tvalue\n1.5\tword\t\n2.5\tother\t\n",
        "onset\tvalue\t\n1.5\tword\t\n2.5\tother\t\n",
        "onset\tvalue\t\t\r\n1.5\tword\t\t\r\n2.5\tother\t\t\r\n",
        "\ufeffonset\tvalue\n1.5\tword\n2.5\tother\n\n",
    ],
)
def test_tabs_at_the_end_of_lines_move_no_column(tmp_path, text):
    (tmp_path / "a.tsv").write_text(text, encoding="utf-8", newline="")
    table = store.read_table(tmp_path / "a.tsv", strings=("value",))
    assert table.columns.tolist() == ["onset", "value"]
    assert table["onset"].tolist() == [1.5, 2.5] and table["value"].tolist() == ["word", "other"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\n1\t2\n3\n", "line 3 has 1 fields, the header has 2"),
        ("a\tb\n1\t2\t3\n", "line 2 has 3 fields, the header has 2"),
    ],
)
def test_a_line_with_fields_of_another_number_is_refused(tmp_path, text, message):
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        store.read_table(tmp_path / "a.tsv")


def test_all_real_tables_are_read(shared_data):
    tables = sorted(shared_data.rglob("*.tsv"))
    assert len(tables) > 100
    for path in tables:
        header = path.read_text("utf-8-sig").splitlines()[0].rstrip("\t").split("\t")
        # A column without a name is the row numbers that pandas wrote.
        assert store.read_table(path).columns.tolist() == [n or "Unnamed: 0" for n in header]


def test_a_changed_byte_is_found_wherever_it_is(tmp_path):
    path = tmp_path / "a.nc"
    store.write_dataset(small(), path, stage="neural", parameters={})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [0, len(whole) - 1, *rng.integers(0, len(whole), 300)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with pytest.raises(DamagedFileError, match="not a readable NetCDF file"):
            store.read_dataset(path)
    for size in (0, 50, len(whole) - 1, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedFileError, match="does not end as it was written"):
            store.read_dataset(path)
    path.write_bytes(whole)
    assert store.read_dataset(path).equals(small())


def test_other_software_reads_a_sealed_file(tmp_path):
    import h5py

    path = tmp_path / "a.nc"
    store.write_dataset(small(), path, stage="neural", parameters={})
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["high_gamma"][:], small()["high_gamma"].values)
    assert xr.load_dataset(path)["high_gamma"].equals(small()["high_gamma"])


@pytest.mark.parametrize(
    "text", ["[" * 20_000 + "]" * 20_000, "[" * 300 + "]" * 300, '{"a": ' + "9" * 5000 + "}"]
)
def test_json_that_no_program_writes_is_an_error_of_value(text):
    with pytest.raises(ValueError):
        store.parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000 + "]" * 20_000,
        "[" * 300 + "]" * 300,
        "a: 2020-13-45",
        "a: !!float x",
        "a: " + "9" * 5000,
        "a: &a [*a]",
        "\n".join(
            ["a0: &a0 [x, x]", *(f"a{k}: &a{k} [{9 * f'*a{k - 1}, '}x]" for k in range(1, 9))]
        ),
    ],
    ids=["deep", "too deep for us", "date", "float", "digits", "circle", "aliases"],
)
def test_yaml_that_nobody_writes_is_an_error_of_yaml(text):
    import yaml

    with pytest.raises(yaml.YAMLError):
        store.parse_yaml(text)


def test_a_column_is_of_finite_numbers_or_missing_ones():
    values = pd.Series([1, "2.5", "x", 10**400, "1e999", None, "9" * 5000], dtype=object)
    found = store.numeric(values)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found[:2], [1, 2.5])
    assert found[2:].isna().all()


def test_a_key_that_stands_twice_in_yaml_is_refused():
    import yaml

    with pytest.raises(yaml.YAMLError, match=r"'b' stands twice.*line 3"):
        store.parse_yaml("a: 1\nb: 2\nb: 3\n")
    with pytest.raises(yaml.YAMLError, match="'x' stands twice"):
        store.parse_yaml("a: {x: 1, x: 2}")
    merged = "base: &base {x: 1}\nother:\n  <<: *base\n  x: 2\n"
    assert store.parse_yaml(merged) == {"base": {"x": 1}, "other": {"x": 2}}


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="the file does not exist"):
        store.read_dataset(tmp_path / "x.nc")
    with pytest.raises(InputError, match="the table does not exist"):
        store.read_table(tmp_path / "x.tsv")
    (tmp_path / "x.tsv").write_bytes(b"a\tb\n\xff\t1\n")
    with pytest.raises(InputError, match="the table cannot be read"):
        store.read_table(tmp_path / "x.tsv")


def test_a_disk_that_is_full_is_named(tmp_path):
    def fill():
        with store.written_whole(tmp_path / "x"):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="cannot write the file: No space left"):
        fill()

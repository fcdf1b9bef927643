"""Data sets come as their publishers list them, verified, and stay inside their folder."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

import numpy as np
import pytest
from local_server import Site, closed_port, serving
from running import snakemake

from highgamma import dataset, fetch
from highgamma.errors import InputError

RECORDING = np.random.default_rng(3).bytes(50_000)


def bids(*participants: str) -> dict[str, bytes]:
    files = {"participants.tsv": b"participant_id\n", "dataset_description.json": b"{}"}
    for label in participants:
        start = f"{label}/ieeg/{label}_task-wordProduction_"
        files[start + "ieeg.nwb"] = RECORDING + label.encode()
        files[start + "channels.tsv"] = b"name\ttype\n"
    return files


def zipped(files: dict[str, bytes], *, top: str = "") -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(top + name, content)
    return held.getvalue()


def tree(root: Path) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.name != dataset.MANIFEST
    }


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    with serving(Site()) as running:
        monkeypatch.setenv("HIGHGAMMA_OSF", running.address + "/v2")
        monkeypatch.setenv("HIGHGAMMA_OPENNEURO", running.address + "/openneuro.org")
        yield running


def on_osf(site: Site, files: dict[str, bytes], *, page_size: int = 2) -> None:
    """Publish files as OSF lists them: folder by folder, in pages, downloads elsewhere."""
    folders: dict[str, list[dict[str, Any]]] = {"": []}
    for number, (name, content) in enumerate(files.items()):
        parts = name.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if folder not in folders:
                folders[folder] = []
                folders["/".join(parts[: depth - 1])].append(
                    {
                        "attributes": {"kind": "folder", "name": parts[depth - 1], "size": None},
                        "relationships": {
                            "files": {"links": {"related": {"href": osf_list(site, folder)}}}
                        },
                        "links": {"download": None},
                    }
                )
        site.files[f"/download/{number}/"] = content
        hashes = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "md5": hashlib.md5(content).hexdigest(),
        }
        folders["/".join(parts[:-1])].append(
            {
                "attributes": {
                    "kind": "file",
                    "name": parts[-1],
                    "materialized_path": "/" + name,
                    "size": len(content),
                    "extra": {"hashes": hashes},
                },
                "links": {"download": f"{site.address}/download/{number}/"},
            }
        )
    for folder, items in folders.items():
        first = osf_list(site, folder)
        pages = [items[i : i + page_size] for i in range(0, max(len(items), 1), page_size)]
        for number, page in enumerate(pages):
            here = first if number == 0 else f"{first}&page={number + 1}"
            more = f"{first}&page={number + 2}" if number + 1 < len(pages) else None
            body = {"data": page, "links": {"next": more}}
            site.files[here.removeprefix(site.address)] = json.dumps(body).encode()


def osf_list(site: Site, folder: str) -> str:
    below = f"{folder.replace('/', '-')}/" if folder else ""
    return f"{site.address}/v2/nodes/nrgx6/files/osfstorage/{below}?page%5Bsize%5D=100"


def on_openneuro(site: Site, files: dict[str, bytes], *, page_size: int = 3) -> None:
    """Publish files as S3 lists a bucket: in pages of XML, MD5 as ETag."""
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    items = list(files.items())
    for first in range(0, len(items), page_size):
        query = {"list-type": "2", "prefix": "ds005574/", "max-keys": "1000"}
        if first:
            query["continuation-token"] = f"token/{first}="
        contents = ""
        for name, content in items[first : first + page_size]:
            etag = hashlib.md5(content).hexdigest()
            if name.endswith(".edf"):
                etag += "-2"
            contents += (
                f"<Contents><Key>ds005574/{escape(name)}</Key><Size>{len(content)}</Size>"
                f"<ETag>&quot;{etag}&quot;</ETag></Contents>"
            )
            site.files[f"/openneuro.org/ds005574/{name.replace(' ', '%20')}"] = content
        last = first + page_size >= len(items)
        following = "" if last else f"token/{first + page_size}="
        site.files[f"/openneuro.org?{urlencode(query)}"] = (
            f'<?xml version="1.0"?><ListBucketResult xmlns="{namespace}">'
            f"<IsTruncated>{str(not last).lower()}</IsTruncated>{contents}"
            f"<NextContinuationToken>{following}</NextContinuationToken></ListBucketResult>"
        ).encode()


def downloads(site: Site) -> list[str]:
    return [p for p, _ in site.asked if p.startswith("/download/") or "/ds005574/" in p]


def test_a_zip_on_osf_becomes_a_bids_folder_and_goes(site, tmp_path):
    files = bids("sub-01", "sub-02")
    archive = zipped(files | {".DS_Store": b"mac"}, top="Single-iBIDS/")
    on_osf(site, {"readme.txt": b"about", "Single-iBIDS.zip": archive})
    manifest = dataset.fetch_dataset("osf:nrgx6", tmp_path / "Single-iBIDS")
    assert tree(tmp_path / "Single-iBIDS") == files
    assert manifest["archives"] == {
        "Single-iBIDS.zip": {
            "size": len(archive),
            "sha256": hashlib.sha256(archive).hexdigest(),
        }
    }
    name = "sub-01/ieeg/sub-01_task-wordProduction_ieeg.nwb"
    assert manifest["files"][name]["sha256"] == hashlib.sha256(files[name]).hexdigest()


def test_the_rule_fetches_the_studys_ten_participants(site, tmp_path):
    files = bids(*(f"sub-{number:02d}" for number in range(1, 11)))
    name = "SingleWordProductionDutch-iBIDS"
    on_osf(site, {f"{name}.zip": zipped(files, top=f"{name}/")})
    done = snakemake("dataset", "--configfile", "config/paper.yaml", folder=tmp_path, cores=1)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "resources/datasets" / name
    assert tree(folder) == files
    assert json.loads((folder / dataset.MANIFEST).read_text())["source"] == "osf:nrgx6"


def test_a_zip_is_not_fetched_again_while_its_content_is_whole(site, tmp_path):
    files = bids("sub-01")
    on_osf(site, {"set.zip": zipped(files)})
    first = dataset.fetch_dataset("osf:nrgx6", tmp_path / "set")
    site.asked.clear()
    assert dataset.fetch_dataset("osf:nrgx6", tmp_path / "set") == first
    assert downloads(site) == []
    (tmp_path / "set/participants.tsv").write_bytes(b"changed")
    dataset.fetch_dataset("osf:nrgx6", tmp_path / "set")
    assert tree(tmp_path / "set") == files


def test_a_folder_tree_on_osf_is_fetched_file_by_file(site, tmp_path):
    files = bids("sub-01", "sub-02", "sub-03")
    on_osf(site, {f"data/{name}": content for name, content in files.items()})
    manifest = dataset.fetch_dataset(
        "osf:nrgx6", tmp_path / "set", participants=["sub-01", "sub-03"]
    )
    assert tree(tmp_path / "set") == bids("sub-01", "sub-03")
    assert {f["checked"] for f in manifest["files"].values()} == {"sha256"}


def test_a_component_is_looked_into_when_the_project_is_empty(site, tmp_path):
    empty = json.dumps({"data": [], "links": {"next": None}}).encode()
    on_osf(site, bids("sub-01"))
    for path in [p for p in site.files if p.startswith("/v2/nodes/nrgx6/")]:
        site.files[path.replace("nrgx6/files/osfstorage/?", "abcde/files/osfstorage/?")] = (
            site.files[path]
        )
    site.files[osf_list(site, "").removeprefix(site.address)] = empty
    children = json.dumps({"data": [{"id": "abcde"}], "links": {"next": None}}).encode()
    site.files["/v2/nodes/nrgx6/children/?page%5Bsize%5D=100"] = children
    dataset.fetch_dataset("osf:nrgx6", tmp_path / "set")
    assert tree(tmp_path / "set") == bids("sub-01")


PODCAST = {
    "participants.tsv": b"participant_id\n",
    "README": b"about",
    "stimuli/podcast.wav": b"RIFF",
    "stimuli/gpt2-xl/transcript.tsv": b"word\n",
    "stimuli/gpt2-xl/features.hdf5": b"large",
    "derivatives/ecogprep/sub-01/ieeg/sub-01_task-podcast_ieeg.fif": b"large",
    "sub-01/anat/sub-01_T1w.nii.gz": b"large",
    "sub-01/ieeg/sub-01_task-podcast_ieeg.edf": RECORDING,
    "sub-01/ieeg/sub-01_task-rest_ieeg.edf": RECORDING,
    "sub-01/ieeg/sub-01_space-Other electrodes.tsv": b"name\n",
    "sub-02/ieeg/sub-02_task-podcast_ieeg.edf": RECORDING[::-1],
}


def test_of_openneuro_only_what_is_read_is_fetched(site, tmp_path):
    on_openneuro(site, PODCAST)
    manifest = dataset.fetch_dataset(
        "openneuro:ds005574", tmp_path / "set", participants=["sub-01"], tasks=["podcast"]
    )
    wanted = [
        *("README", "participants.tsv", "stimuli/gpt2-xl/transcript.tsv", "stimuli/podcast.wav"),
        "sub-01/ieeg/sub-01_space-Other electrodes.tsv",
        "sub-01/ieeg/sub-01_task-podcast_ieeg.edf",
    ]
    assert tree(tmp_path / "set") == {name: PODCAST[name] for name in wanted}
    checked = {name: f["checked"] for name, f in manifest["files"].items()}
    assert checked["README"] == "md5"
    assert checked["sub-01/ieeg/sub-01_task-podcast_ieeg.edf"] == "size"


def test_a_participant_more_fetches_that_participant_alone(site, tmp_path):
    on_openneuro(site, PODCAST)
    dataset.fetch_dataset("openneuro:ds005574", tmp_path / "set", participants=["sub-01"])
    site.asked.clear()
    dataset.fetch_dataset("openneuro:ds005574", tmp_path / "set")
    assert downloads(site) == ["/openneuro.org/ds005574/sub-02/ieeg/sub-02_task-podcast_ieeg.edf"]


def test_a_broken_connection_goes_on_where_it_broke(site, tmp_path):
    on_osf(site, {"set.zip": zipped(bids("sub-01"))}, page_size=9)
    site.breaks = [10**9, 20_000]
    dataset.fetch_dataset("osf:nrgx6", tmp_path / "set")
    assert [h.get("range") for p, h in site.asked if "/download/" in p] == [None, "bytes=20000-"]
    assert tree(tmp_path / "set") == bids("sub-01")


def test_a_wrong_checksum_is_an_error_that_names_both(site, tmp_path):
    on_openneuro(site, PODCAST)
    site.files["/openneuro.org/ds005574/README"] = b"ABOUT"
    with pytest.raises(InputError, match="the md5 checksum is") as caught:
        dataset.fetch_dataset("openneuro:ds005574", tmp_path / "set")
    assert hashlib.md5(b"about").hexdigest() in str(caught.value)
    assert hashlib.md5(b"ABOUT").hexdigest() in str(caught.value)
    assert not (tmp_path / "set/README").exists()


@pytest.mark.parametrize("name", ["sub-01/ieeg/../../../evil.tsv", "sub-01/ieeg//evil.tsv"])
def test_listed_names_that_lead_elsewhere_are_refused(site, tmp_path, name):
    on_openneuro(site, bids("sub-01") | {name: b"evil"})
    with pytest.raises(InputError, match="not a plain path"):
        dataset.fetch_dataset("openneuro:ds005574", tmp_path / "set")
    assert not (tmp_path / "evil.tsv").exists()


def archive_of(tmp_path: Path, *infos: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sub-01/ieeg/a.tsv", b"a")
        for info, content in infos:
            archive.writestr(info, content)
    return path


@pytest.mark.parametrize(
    "name", ["../evil", "/evil", "sub-01/../../evil", "sub-01\\..\\evil", "C:/evil"]
)
def test_archived_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="not a plain path"):
        dataset.unpack(archive_of(tmp_path, (name, b"evil")), tmp_path / "set")
    assert [p.name for p in tmp_path.iterdir()] == ["set.zip"]


def test_links_in_an_archive_are_refused(tmp_path):
    link = zipfile.ZipInfo("sub-01/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    with pytest.raises(InputError, match="in the archive is a link or device"):
        dataset.unpack(archive_of(tmp_path, (link, b"/etc")), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_an_archive_that_explodes_is_refused(tmp_path):
    bomb = archive_of(tmp_path, ("sub-01/zeros", bytes(5_000_000)))
    assert bomb.stat().st_size < 10_000
    with pytest.raises(InputError, match="would expand"):
        dataset.unpack(bomb, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_an_archive_that_says_less_than_it_holds_is_refused(tmp_path):
    path = archive_of(tmp_path, ("sub-01/long", RECORDING))
    content = path.read_bytes()
    size = len(RECORDING).to_bytes(4, "little")
    path.write_bytes(content.replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(InputError, match="can't be unpacked"):
        dataset.unpack(path, tmp_path / "set")
    assert not (tmp_path / "set/sub-01/long").exists()


def test_a_damaged_archive_is_refused(tmp_path):
    path = archive_of(tmp_path, ("sub-01/long", RECORDING))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="can't be unpacked"):
        dataset.unpack(path, tmp_path / "set")


def test_a_disk_that_is_too_small_is_noticed_before_the_download(site, tmp_path, monkeypatch):
    on_openneuro(site, PODCAST)
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 60_000})())
    with pytest.raises(InputError, match="the disk has 60 kB free, too little"):
        dataset.fetch_dataset("openneuro:ds005574", tmp_path / "set")
    assert downloads(site) == []


@pytest.mark.parametrize("source", ["osf:nrgx6", "openneuro:ds005574"])
def test_behind_a_missing_network_one_message_says_everything(tmp_path, monkeypatch, source):
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    with pytest.raises(fetch.Unreachable) as caught:
        dataset.fetch_dataset(source, tmp_path / "set", address=closed_port())
    message = str(caught.value)
    page = "https://osf.io/nrgx6" if source.startswith("osf") else "https://openneuro.org/datasets"
    assert (
        f"the data set {source} is missing and could not be downloaded: could not connect"
        in message
    )
    for part in (page, str(tmp_path / "set"), "participants.tsv", "sub-01/ieeg"):
        assert part in message


@pytest.mark.parametrize("source", ["osf:../x", "openneuro:nrgx6", "zenodo:1", ""])
def test_an_unknown_source_is_named(tmp_path, source):
    with pytest.raises(InputError) as caught:
        dataset.fetch_dataset(source, tmp_path / "set")
    unknown, none = f"unknown source of a data set {source!r}", "doesn't name the data set's source"
    assert (unknown if source else none) in str(caught.value)
    assert "openneuro:<accession>" in str(caught.value)


def test_an_unknown_participant_is_named(site, tmp_path):
    on_openneuro(site, PODCAST)
    with pytest.raises(InputError, match="participant 'sub-09'"):
        dataset.fetch_dataset("openneuro:ds005574", tmp_path / "set", participants=["sub-09"])


def test_an_answer_of_another_kind_is_named(site, tmp_path):
    query = urlencode({"list-type": "2", "prefix": "ds005574/", "max-keys": "1000"})
    for content in (b"<html><body>log in</body></html>", b'<!DOCTYPE x [<!ENTITY a "b">]><x/>'):
        site.files[f"/openneuro.org?{query}"] = content
        with pytest.raises(InputError, match="can't be read"):
            dataset.fetch_dataset("openneuro:ds005574", tmp_path / "set")


def test_the_data_set_is_the_highest_folder_with_participants():
    listed = ["a/b/sub-01/x", "a/b/participants.tsv", "a/b/derivatives/sub-01/x", "a/notes.txt"]
    assert dataset.bids_names([*listed, "__MACOSX/sub-01/x"]) == {
        "a/b/sub-01/x": "sub-01/x",
        "a/b/participants.tsv": "participants.tsv",
        "a/b/derivatives/sub-01/x": "derivatives/sub-01/x",
    }
    with pytest.raises(InputError, match="several data sets were found: a and b"):
        dataset.bids_names(["a/sub-01/x", "b/sub-01/x"])
    with pytest.raises(InputError, match="no data set in BIDS format"):
        dataset.bids_names(["code.py"])


def test_the_manifest_is_the_same_for_the_same_files(site, tmp_path):
    on_openneuro(site, PODCAST)
    for place in ("one", "two"):
        manifest = dataset.fetch_dataset("openneuro:ds005574", tmp_path / place)
        dataset.write_manifest(manifest, tmp_path / place / dataset.MANIFEST)
    one, two = (tmp_path / place / dataset.MANIFEST for place in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("name", ["", "sub-01/" + "x" * 300, "sub-01/" + "x/" * 1500 + "x"])
def test_archived_names_that_no_disk_takes_are_refused(tmp_path, name):
    archive = archive_of(tmp_path, ("sub-01/a.tsv", b"x"), (zipfile.ZipInfo(name), b"x"))
    with pytest.raises(InputError, match="not a plain path"):
        dataset.unpack(archive, tmp_path / "root")


@pytest.mark.parametrize("damage", [b"\xff\xfe\xff", b"\xf8"])
def test_a_name_that_is_no_text_is_refused(tmp_path, damage):
    archive = archive_of(tmp_path, ("sub-01/é.tsv", b"x"))
    content = archive.read_bytes()
    name = "sub-01/é.tsv".encode()
    place = content.index(name)
    archive.write_bytes(content[:place] + damage + content[place + len(damage) :])
    with pytest.raises(InputError, match="can't be unpacked"):
        dataset.unpack(archive, tmp_path / "root")


def test_a_file_where_a_folder_belongs_is_refused(tmp_path):
    archive = archive_of(tmp_path, ("sub-01/x", b"x"), ("sub-01/x/y", b"x"))
    with pytest.raises(InputError, match="can't be unpacked"):
        dataset.unpack(archive, tmp_path / "root")


def test_another_compression_than_zips_own_is_refused(tmp_path):
    info = zipfile.ZipInfo("sub-01/a.tsv")
    info.compress_type = zipfile.ZIP_LZMA
    with pytest.raises(InputError, match="a way of its own"):
        dataset.unpack(archive_of(tmp_path, (info, b"x")), tmp_path / "root")


@pytest.mark.parametrize("file", [7, {}, {"size": 1}, {"size": "1", "sha256": "0"}])
def test_a_damaged_list_of_fetched_files_counts_as_none(tmp_path, file):
    listed = {"source": "osf:nrgx6", "archives": {}, "files": {"a.tsv": file}}
    (tmp_path / dataset.MANIFEST).write_text(json.dumps(listed))
    assert dataset._manifest_before(tmp_path, "osf:nrgx6") == {}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("data", 0, "attributes"), 7),
        (("data", 0, "attributes", "size"), "3"),
        (("data", 0, "attributes", "size"), -1),
        (("data", 0, "attributes", "extra"), "x"),
        (("data", 0, "attributes", "extra", "hashes", "md5"), [1]),
        (("data", 0, "attributes", "materialized_path"), 7),
        (("data", 0, "links", "download"), None),
        (("links", "next"), 7),
        (("links", "next"), ["x"]),
    ],
)
def test_a_listing_of_another_form_is_named(monkeypatch, place, value):
    attributes = {"kind": "file", "name": "a", "size": 3, "extra": {"hashes": {"md5": "0" * 32}}}
    file = {"attributes": attributes, "links": {"download": "https://x.org/1"}}
    page: Any = {"data": [file], "links": {"next": None}}
    *above, key = place
    holder = page
    for step in above:
        holder = holder[step]
    holder[key] = value
    monkeypatch.setattr(fetch, "read", lambda *_, **__: json.dumps(page).encode())
    with pytest.raises(InputError, match="answer can't be read"):
        dataset.osf_files("https://x.org", "abcde")


def test_a_listing_in_an_unknown_encoding_is_named(monkeypatch):
    page = b"<?xml version='1.0' encoding='WTF-8'?><ListBucketResult/>"
    monkeypatch.setattr(fetch, "read", lambda *_, **__: page)
    with pytest.raises(InputError, match="answer can't be read"):
        dataset.openneuro_files("https://x.org", "ds000001")


def test_an_archive_that_nobody_could_read_is_refused(tmp_path, monkeypatch):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = archive_of(tmp_path, ("sub-01/ieeg/a.tsv", b"b"))
    with pytest.raises(InputError, match=r"'sub-01/ieeg/a\.tsv' is in the archive twice"):
        dataset.unpack(path, tmp_path / "set")
    path = archive_of(tmp_path)
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(mark) + flags] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="in the archive is encrypted"):
        dataset.unpack(path, tmp_path / "set")
    monkeypatch.setattr(dataset, "MAX_FILES", 1)
    with pytest.raises(InputError, match="there are more than 1 files"):
        dataset.unpack(archive_of(tmp_path, ("sub-01/b", b"b")), tmp_path / "set")

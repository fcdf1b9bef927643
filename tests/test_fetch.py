"""What arrives is what was published, however often the connection breaks."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import requests
from local_server import Site, closed_port, serving

from highgamma import connection, fetch
from highgamma.errors import InputError

CONTENT = np.random.default_rng(1).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    with serving(Site()) as running:
        running.files["/file"] = CONTENT
        yield running


def test_a_file_arrives_whole_and_leaves_nothing_else(site, tmp_path):
    got = fetch.download(site.address + "/file", tmp_path / "file", sha256=SHA256, size=300_000)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert (got.size, got.sha256) == (300_000, SHA256)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_broken_connection_goes_on_where_it_broke(site, tmp_path):
    site.breaks = [100_000, 200_000]
    fetch.download(site.address + "/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    asked = [(h.get("range"), h.get("if-range")) for _, h in site.asked]
    assert asked == [(None, None), ("bytes=100000-", '"one"'), ("bytes=200000-", '"one"')]


def test_a_later_run_goes_on_where_an_earlier_one_stopped(site, tmp_path):
    site.breaks = [150_000]
    with pytest.raises(fetch.Unreachable, match="150 kB are kept"):
        fetch.download(site.address + "/file", tmp_path / "file", retries=0)
    assert not (tmp_path / "file").exists()
    assert (tmp_path / "file.part").stat().st_size == 150_000
    fetch.download(site.address + "/file", tmp_path / "file", sha256=SHA256)
    assert site.asked[-1][1]["range"] == "bytes=150000-"
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_two_versions_of_a_file_are_never_mixed(site, tmp_path):
    site.breaks = [150_000]
    with pytest.raises(fetch.Unreachable):
        fetch.download(site.address + "/file", tmp_path / "file", retries=0)
    newer = CONTENT[::-1]
    site.files["/file"], site.etag = newer, '"two"'
    fetch.download(site.address + "/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == newer


def test_a_server_without_ranges_starts_again(site, tmp_path):
    site.ranges, site.breaks = False, [100_000]
    fetch.download(site.address + "/file", tmp_path / "file", sha256=SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_part_that_is_whole_needs_no_request(site, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    fetch.download(site.address + "/file", tmp_path / "file", size=300_000, sha256=SHA256)
    assert site.asked == []
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_wrong_checksum_names_both_and_keeps_nothing(site, tmp_path, algorithm):
    right = hashlib.new(algorithm, CONTENT).hexdigest()
    wrong = hashlib.new(algorithm, b"other").hexdigest()
    with pytest.raises(InputError) as caught:
        fetch.download(site.address + "/file", tmp_path / "file", **{algorithm: wrong})
    assert right in str(caught.value)
    assert wrong in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_git_name_of_a_file_is_gits_own(tmp_path):
    # git hash-object of a file with "hello\n", from git's documentation of its object format.
    (tmp_path / "file").write_bytes(b"hello\n")
    found = fetch.checksum(tmp_path / "file", "git-blob")
    assert found == "ce013625030ba8dba906f756967f9e9ca394464a"


def test_another_size_than_published_is_an_error_before_anything_is_kept(site, tmp_path):
    with pytest.raises(InputError, match="the server has 300000 bytes under this name"):
        fetch.download(site.address + "/file", tmp_path / "file", size=300_001)
    assert not (tmp_path / "file").exists()


def test_a_busy_server_is_asked_again(site, tmp_path):
    site.statuses = [503, 429]
    fetch.download(site.address + "/file", tmp_path / "file", sha256=SHA256)
    assert len(site.asked) == 3


def test_a_refusal_is_not_repeated(site, tmp_path):
    with pytest.raises(fetch.Refused, match="404") as caught:
        fetch.download(site.address + "/absent", tmp_path / "file")
    assert caught.value.status == 404
    assert len(site.asked) == 1


def test_a_missing_network_is_told_from_everything_else(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE", 0.01)
    with pytest.raises(fetch.Unreachable, match=r"could not connect to 127\.0\.0\.1"):
        fetch.download(closed_port() + "/file", tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("url", ["http://192.0.2.1/file", "file:///etc/passwd", "ftp://127.0.0.1/"])
def test_nothing_but_https_leaves_this_machine(url, tmp_path):
    with pytest.raises(InputError, match="not https"):
        fetch.download(url, tmp_path / "file")


def test_a_redirection_to_plain_http_is_refused(site, tmp_path):
    site.redirects["/moved"] = "http://192.0.2.1/file"
    with pytest.raises(InputError, match="not https"):
        fetch.download(site.address + "/moved", tmp_path / "file")


def test_a_token_stays_with_its_host_and_headers_of_every_hop_are_seen(site, tmp_path):
    with serving(Site()) as other:
        other.files["/file"] = CONTENT
        site.redirects["/moved"] = other.address + "/file"
        site.headers["/moved"] = {"X-Repo-Commit": "abc"}
        got = fetch.download(
            site.address + "/moved", tmp_path / "file", headers={"Authorization": "Bearer secret"}
        )
        assert site.asked[0][1]["authorization"] == "Bearer secret"
        assert "authorization" not in other.asked[0][1]
    assert got.headers["x-repo-commit"] == "abc"


def test_credentials_of_a_netrc_file_are_not_sent(site, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    fetch.download(
        site.address + "/file", tmp_path / "file", headers={"Authorization": "Bearer token"}
    )
    assert site.asked[0][1]["authorization"] == "Bearer token"
    fetch.read(site.address + "/file")
    assert "authorization" not in site.asked[1][1]


def test_a_circle_of_redirections_ends(site):
    site.redirects["/a"], site.redirects["/b"] = "/b", "/a"
    with pytest.raises(fetch.Refused, match="circle"):
        fetch.read(site.address + "/a")


def test_a_server_that_stays_busy_counts_as_no_network(site):
    site.statuses = [503] * (fetch.RETRIES + 1)
    with pytest.raises(fetch.Unreachable, match="status 503"):
        fetch.read(site.address + "/file")
    assert len(site.asked) == fetch.RETRIES + 1


def test_a_server_is_not_waited_for_as_long_as_it_likes(site, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    site.headers["/busy"] = {"Retry-After": "86400"}
    site.files["/busy"] = CONTENT
    site.statuses = [503]
    fetch.read(site.address + "/busy")
    assert pauses == [60]


def test_progress_says_how_much_is_left(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "INTERVAL", 0.0)
    monkeypatch.setattr(fetch, "_BLOCK", 1 << 16)
    lines: list[str] = []
    fetch.download(site.address + "/file", tmp_path / "f", label="gpt2", progress=lines.append)
    assert re.fullmatch(r"gpt2: \d+ %, 0 of 0 MB, [\d.]+ MB/s, \d+ s left", lines[0])
    assert lines[-1].startswith("gpt2: 100 %")
    lines.clear()
    monkeypatch.setattr(fetch, "INTERVAL", 60.0)
    fetch.download(site.address + "/file", tmp_path / "g", progress=lines.append)
    assert lines == []


def test_a_full_disk_is_noticed_before_the_download(site, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match=r"1\.0 kB free"):
        fetch.download(site.address + "/file", tmp_path / "file")


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/etc/x", "a/../../x", "a//b", "", ".", "a\\..\\x", "C:/x", "a\x00b", "a/"),
        *("x" * 300, "x/" * 1500 + "x", "\ud800"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, name):
    with pytest.raises(InputError, match="not a plain path"):
        fetch.foreign_path(tmp_path, name)


def test_a_link_that_leads_elsewhere_is_refused(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leads out"):
        fetch.foreign_path(tmp_path / "inner", "link/x")


def test_a_page_is_read_again_when_it_breaks_off(site):
    site.files["/page"] = b'{"a": 1}'
    site.breaks = [3]
    assert fetch.read_json(site.address + "/page") == {"a": 1}
    site.files["/page"] = b"<html>log in</html>"
    with pytest.raises(InputError, match="not JSON"):
        fetch.read_json(site.address + "/page")
    with pytest.raises(InputError, match="more than"):
        fetch.read(site.address + "/file", limit=1000)


def test_bytes_that_are_gzipped_in_the_file_stay_gzipped(site, tmp_path):
    site.files["/v.gz"] = gzip.compress(b"vectors")
    fetch.download(site.address + "/v.gz", tmp_path / "v.gz")
    assert gzip.decompress((tmp_path / "v.gz").read_bytes()) == b"vectors"
    assert Path(tmp_path / "v.gz").read_bytes() == site.files["/v.gz"]


def test_a_download_of_unknown_size_has_a_bound(site, tmp_path, monkeypatch):
    site.sized = False
    fetch.download(site.address + "/file", tmp_path / "file", sha256=SHA256)
    monkeypatch.setattr(fetch, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match="without saying how much there is"):
        fetch.download(site.address + "/file", tmp_path / "other")
    monkeypatch.undo()
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match=r"1\.0 kB free"):
        fetch.download(site.address + "/file", tmp_path / "third")


def test_more_bytes_than_published_are_refused(site, tmp_path):
    site.sized = False
    with pytest.raises(InputError, match="file: 300000 bytes arrived"):
        fetch.download(site.address + "/file", tmp_path / "file", size=299_999)


def test_a_server_elsewhere_cannot_lead_to_this_machine(monkeypatch):
    answer = requests.Response()
    answer.status_code, answer.url = 302, "https://example.org/file"
    answer.headers["location"] = "http://127.0.0.1:8000/private"
    with pytest.raises(InputError, match="the server redirects to this machine"):
        connection._GuardedSession().get_redirect_target(answer)


def test_a_disk_that_fails_is_not_taken_for_the_network(tmp_path):
    with (tmp_path / "x").open("wb") as opened:
        pass
    with (tmp_path / "x").open("rb") as opened, pytest.raises(InputError, match="cannot write the"):
        fetch._write(opened, b"1", tmp_path / "x")

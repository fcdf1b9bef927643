"""Model files from the network: fetched once, pinned in a lock file, stored as safetensors.

The first fetch resolves a repository's newest revision to a commit and writes it, with every
file's size and SHA-256, to the lock file. From then on that commit and those files are the only
ones taken. Nothing is unpickled except tensors (`weights_only`), and no code is fetched.
"""

from __future__ import annotations

import json
import logging
import os
import re
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from highgamma import fetch
from highgamma.catalogue import MODELS, location
from highgamma.errors import InputError
from highgamma.store import sha256, written_whole

logger = logging.getLogger("highgamma")

Entry = Mapping[str, Any]
Manifest = dict[str, Any]
Lock = dict[str, dict[str, Any]]

LOCK = Path("config/models.lock.yaml")
"""The lock file, relative to the workflow's folder; committed like the code."""

HUB = "https://huggingface.co"

SETTINGS = (
    "config.json",
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "normalizer.json"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model"),
    *("preprocessor_config.json", "processor_config.json", "feature_extractor_config.json"),
)
"""Files of a repository that describe its network and how text or sound is put into it."""

WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", r"model-\d{5}-of-\d{5}\.safetensors"),
    (
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        r"pytorch_model-\d{5}-of-\d{5}\.bin",
    ),
)
"""Weights in one file, else the index of several and those; the first format that is there."""

_ORIGIN = "converted_from_sha256"


@dataclass(frozen=True, slots=True)
class _File:
    """What is known of a file before it is fetched; `git_blob` for small files, else `sha256`."""

    name: str
    size: int | None = None
    sha256: str | None = None
    git_blob: str | None = None

    def is_whole(self, folder: Path) -> bool:
        return fetch.is_whole(
            fetch.foreign_path(folder, self.name),
            size=self.size,
            sha256=self.sha256,
            git_blob=self.git_blob,
        )


def is_fetched(entry: Entry) -> bool:
    """Whether a resolved catalogue entry's files come from the network."""
    source = entry.get("source") or {}
    return "hub" in source or "url" in source


def stored_name(entry: Entry) -> str:
    """Name of the folder or file below the models' folder that holds a fetched model."""
    place = location(entry)
    assert place is not None
    return place.name


def manifest_path(entry: Entry, *, models: str | Path = MODELS) -> Path | None:
    """The manifest that is there when a model's files are; `None` for models that are not fetched.

    It lies beside the model's folder. An untrained model needs the architecture and tokenizer
    only, and so has a manifest of its own: it does not wait for weights.
    """
    if not is_fetched(entry):
        return None
    ending = "architecture" if entry.get("untrained") else "manifest"
    return Path(models) / f"{stored_name(entry)}.{ending}.json"


def fetch_model(
    name: str,
    entry: Entry,
    models: str | Path,
    lock: str | Path,
    *,
    weights: bool = True,
    endpoint: str | None = None,
) -> Manifest:
    """Fetch a model's files to where the catalogue says they lie; those that are whole stay.

    Parameters
    ----------
    name
        The model's name, for messages.
    entry
        Its resolved catalogue entry (`highgamma.catalogue.resolve`); `source` is `{hub: …}` or
        `{url: …}`.
    models
        Folder of all models.
    lock
        The lock file; read, and extended by what is fetched for the first time.
    weights
        Whether the weights are needed, or the architecture and tokenizer only.
    endpoint
        The hub's address; `HF_ENDPOINT`, else `https://huggingface.co`.

    Returns
    -------
    manifest
        `source`, `revision` (commit; `None` for a URL, or for files that were put there by hand
        without a lock entry), `files` (name → size and sha256) and `converted` (new name →
        name and sha256 of the file it was made from).

    Raises
    ------
    highgamma.fetch.Unreachable
        If files are missing and there is no network; the message says what to put where.
    InputError
        If revision or checksums are not the lock's, names lead out of the folder, or weights hold
        more than tensors.
    """
    source = entry["source"]
    place = location(entry, models=models)
    assert place is not None
    if "hub" in source:
        try:
            with fetch.alone(place):
                return _fetch_hub(
                    name,
                    str(source["hub"]),
                    place,
                    Path(lock),
                    weights=weights,
                    endpoint=(endpoint or os.environ.get("HF_ENDPOINT") or HUB).rstrip("/"),
                )
        finally:
            # A fetch that got nothing leaves no empty folder: it would pass for a model's.
            with suppress(OSError):
                place.rmdir()
    return _fetch_url(name, str(source["url"]), place, Path(lock))


def write_manifest(manifest: Manifest, path: str | Path) -> None:
    """Write a manifest as JSON; the same content gives the same bytes."""
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", "utf-8")


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest.

    Raises
    ------
    InputError
        If it is absent or damaged.
    """
    try:
        manifest = json.loads(Path(path).read_text("utf-8"))
        if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict):
            return manifest
    except (OSError, ValueError):
        pass
    raise InputError(
        "the manifest of fetched files cannot be read",
        where=path,
        remedy="delete it and run `snakemake models`; files that are whole are not fetched again",
    )


def read_lock(path: str | Path) -> Lock:
    """Read the lock file; empty where there is none.

    Raises
    ------
    InputError
        If it is no lock file (a merge may have left its marks in it).
    """
    import yaml

    if not Path(path).is_file():
        return {}
    try:
        lock = yaml.safe_load(Path(path).read_text("utf-8")) or {}
        for pinned in lock.values():
            for file in pinned["files"].values():
                int(file["size"]), str(file["sha256"])
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError, ValueError):
        raise InputError(
            "the lock file of the models cannot be read",
            where=path,
            expected="for each repository or URL its `revision` and `files`",
            remedy="restore it from version control",
        ) from None
    return dict(lock)


def locked_files(entry: Entry, lock: Lock) -> dict[str, dict[str, Any]] | None:
    """Files that an entry needs (name → size and sha256), as the lock file names them.

    `None` where the lock does not say: nothing was fetched yet, or no more than the architecture
    for an untrained twin.
    """
    pinned = lock.get(_key(entry))
    if pinned is None:
        return None
    files = dict(pinned["files"])
    weights = not entry.get("untrained")
    if weights and "hub" in (entry.get("source") or {}) and not any(map(_is_weights, files)):
        return None
    return {n: dict(f) for n, f in sorted(files.items()) if weights or not _is_weights(n)}


def pin(entry: Entry, lock: Lock, *, models: str | Path = MODELS) -> str | None:
    """The revision that a fetched model is pinned to, for the parameters of what depends on it.

    While the files that are there are of the revision in the lock file, this is what the lock file
    said before they were fetched: `None` where it did not know the model, so that a first fetch,
    which extends the lock file, changes no parameter. When the lock file names another revision,
    it is that one; the model is fetched and its embeddings are computed anew.
    """
    pinned = lock.get(_key(entry), {}).get("revision")
    path = manifest_path(entry, models=models)
    if path is not None and path.is_file():
        have = read_manifest(path)
        if pinned is None or pinned == have.get("revision"):
            pinned = have.get("pin")
    return None if pinned is None else str(pinned)


def check_lock(entries: Iterable[Entry], lock: Lock, *, models: str | Path = MODELS) -> None:
    """Check that what was fetched earlier is what the lock file names of the same revision.

    Raises
    ------
    InputError
        If a manifest has another checksum; it names both.
    """
    for entry in entries:
        path = manifest_path(entry, models=models)
        pinned = lock.get(_key(entry))
        if path is None or pinned is None or not path.is_file():
            continue
        have = read_manifest(path)
        if have.get("revision") != pinned.get("revision"):
            continue  # its `pin` is another one now: it is fetched again
        for name, file in have["files"].items():
            wanted = pinned["files"].get(name)
            if wanted is not None and wanted["sha256"] != file["sha256"]:
                raise _mismatch(f"checksum of {name}", wanted["sha256"], file["sha256"], path)


def to_safetensors(source: str | Path, target: str | Path) -> None:
    """Store the tensors of a PyTorch file as safetensors; nothing else in it is unpickled.

    Tensors that share memory are stored one by one, so that the file reads the same whatever
    names a network ties together. The source's SHA-256 is kept in the new file's header.

    Raises
    ------
    InputError
        If the file holds anything but named tensors, or is damaged.
    """
    import torch
    from safetensors.torch import save_file

    try:
        loaded = torch.load(
            source, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(source)
        )
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"the weights cannot be read as plain tensors: {first}",
            where=source,
            expected="a file that torch.load reads with weights_only=True",
            remedy="use a model that is published as safetensors",
        ) from error
    if not isinstance(loaded, Mapping) or not all(
        isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in loaded.items()
    ):
        raise InputError(
            "the weights are no mapping from names to tensors",
            where=source,
            expected="the state of one network",
            remedy="use a model that is published as safetensors",
        )
    memory: set[int] = set()
    tensors = {}
    for name in sorted(loaded):
        tensor = loaded[name].detach().contiguous()
        start = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if start in memory else tensor
        memory.add(start)
    with written_whole(target) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt", _ORIGIN: sha256(source)})


def _key(entry: Entry) -> str:
    source = entry.get("source") or {}
    return str(source.get("hub") or source.get("url"))


def _mismatch(what: str, locked: str, found: str, where: str | Path) -> InputError:
    return InputError(
        f"the {what} is {found}",
        where=where,
        expected=f"{locked}, which the lock file names",
        remedy=f"restore the lock file ({LOCK}), or delete the files and fetch them again; to take "
        "the new ones, delete the model's entry from the lock file first",
    )


def _is_weights(name: str) -> bool:
    return any(
        name in (one, index) or re.fullmatch(shards, name) is not None
        for one, index, shards in WEIGHTS
    )


def _chosen(names: Iterable[str], *, weights: bool, where: str) -> list[str]:
    """Names of the files that are needed, out of all that a repository has."""
    there = set(names)
    if "config.json" not in there:
        raise InputError(
            "the repository has no config.json",
            where=where,
            expected="a model in transformers' layout",
            remedy="correct `source` in the catalogue",
        )
    found = [name for name in SETTINGS if name in there]
    if not weights:
        return found
    for one, index, shards in WEIGHTS:
        if one in there:
            return [*found, one]
        if index in there:
            return [*found, index, *sorted(n for n in there if re.fullmatch(shards, n))]
    raise InputError(
        "the repository has no weights that can be read",
        where=where,
        expected="model.safetensors or pytorch_model.bin (in one piece or several)",
        remedy="name a model that is published for PyTorch",
    )


def _fetch_hub(
    name: str, repo: str, folder: Path, lock: Path, *, weights: bool, endpoint: str
) -> Manifest:
    pinned = read_lock(lock).get(repo)
    try:
        revision, files = _wanted(repo, pinned, weights=weights, endpoint=endpoint)
    except fetch.Unreachable as error:
        return _by_hand(name, repo, pinned, folder, weights=weights, error=error)
    missing = [f for f in files if not f.is_whole(folder) and not _converted(f, folder)]
    if missing:
        amount = fetch.in_words(sum(f.size or 0 for f in missing))
        logger.info("%s: %d files, %s, from %s", name, len(missing), amount, repo)
        # Weights that are converted are there twice for a moment.
        copies = [2 if _safe_name(f.name) else 1 for f in missing]
        fetch.require_space(
            folder, sum(n * (f.size or 0) for n, f in zip(copies, missing, strict=True))
        )
    try:
        checksums = _download(name, repo, revision, files, missing, folder, endpoint=endpoint)
    except fetch.Unreachable as error:
        raise _message(name, repo, pinned, folder, weights=weights, error=error) from error
    _extend_lock(lock, repo, revision, checksums)
    converted = _convert(folder, checksums)
    return _manifest({"hub": repo}, revision, folder, checksums, converted)


def _wanted(
    repo: str, pinned: Mapping[str, Any] | None, *, weights: bool, endpoint: str
) -> tuple[str, list[_File]]:
    """Revision and files of a repository: by the lock where it names all, else as the hub says."""
    if pinned is not None:
        known = {n: _File(n, int(f["size"]), str(f["sha256"])) for n, f in pinned["files"].items()}
        if not weights or any(_is_weights(n) for n in known):
            return str(pinned["revision"]), [
                file for n, file in sorted(known.items()) if weights or not _is_weights(n)
            ]
    asked = "main" if pinned is None else str(pinned["revision"])
    about = _about(repo, asked, endpoint=endpoint)
    revision = str(about.get("sha"))
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise InputError(
            f"the hub names no commit but {revision!r}",
            where=f"{endpoint}/{repo}",
            expected="40 hexadecimal digits",
        )
    if pinned is not None and revision != asked:
        raise _mismatch("revision", asked, revision, f"{endpoint}/{repo}")
    told = {str(s.get("rfilename")): s for s in about.get("siblings") or []}
    files = []
    for name in _chosen(told, weights=weights, where=f"{endpoint}/{repo}"):
        large = told[name].get("lfs") or {}
        before = (pinned or {"files": {}})["files"].get(name, {})
        checksum = large.get("sha256")
        if before and checksum and before["sha256"] != checksum:
            raise _mismatch(f"checksum of {name}", before["sha256"], checksum, f"{endpoint}/{repo}")
        files.append(
            _File(
                name,
                size=large.get("size") or told[name].get("size"),
                sha256=before.get("sha256") or checksum,
                git_blob=None if large else told[name].get("blobId"),
            )
        )
    return revision, files


def _about(repo: str, revision: str, *, endpoint: str) -> dict[str, Any]:
    """What the hub says about a repository at a revision: commit, files, sizes, checksums."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise fetch.Unreachable("the hub is switched off (HF_HUB_OFFLINE is set)", where=endpoint)
    url = f"{endpoint}/api/models/{quote(repo)}/revision/{{}}?blobs=true"
    try:
        about = fetch.read_json(url.format(revision), headers=_token(endpoint))
    except fetch.Refused as refusal:
        if refusal.status in (401, 403):
            raise _denied(repo, endpoint) from refusal
        if refusal.status == 404 and revision != "main":
            newest = fetch.read_json(url.format("main"), headers=_token(endpoint)).get("sha")
            raise InputError(
                f"the hub has no revision {revision} of {repo} any more; its newest is {newest}",
                where=endpoint,
                remedy="restore the model's files from a copy, or delete its entry from the lock "
                "file to take the newest",
            ) from refusal
        if refusal.status == 404:
            raise InputError(
                f"the hub has no repository {repo}",
                where=endpoint,
                remedy="correct `source` in the catalogue",
            ) from refusal
        raise
    if not isinstance(about, dict):
        raise InputError("the hub's answer is not understood", where=url.format(revision))
    return about


def _token(endpoint: str) -> dict[str, str]:
    """The user's own token for the hub, where there is one; it is sent to the hub alone."""
    from huggingface_hub import get_token

    token = get_token() if endpoint == HUB or "HF_ENDPOINT" in os.environ else None
    return {"Authorization": f"Bearer {token}"} if token else {}


def _denied(repo: str, endpoint: str) -> InputError:
    return InputError(
        f"the hub does not give {repo} to everyone",
        where=f"{endpoint}/{repo}",
        remedy="open the page, accept the model's licence, log in with `hf auth login`, run again",
    )


def _download(
    name: str,
    repo: str,
    revision: str,
    files: list[_File],
    missing: list[_File],
    folder: Path,
    *,
    endpoint: str,
) -> dict[str, dict[str, Any]]:
    """Fetch what is missing; size and SHA-256 of every file as published, by name."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        path = fetch.foreign_path(folder, file.name)
        if file in missing:
            url = f"{endpoint}/{quote(repo)}/resolve/{revision}/{quote(file.name)}"
            try:
                got = fetch.download(
                    url,
                    path,
                    size=file.size,
                    sha256=file.sha256,
                    git_blob=file.git_blob,
                    headers=_token(endpoint),
                    label=f"{name}/{file.name}",
                )
            except fetch.Refused as refusal:
                if refusal.status in (401, 403):
                    raise _denied(repo, endpoint) from refusal
                raise
            commit = got.headers.get("x-repo-commit", revision)
            if commit != revision:
                path.unlink()
                raise _mismatch("revision", revision, commit, url)
            found[file.name] = {"sha256": got.sha256, "size": got.size}
        elif (origin := _converted(file, folder)) is not None:
            found[file.name] = {"sha256": origin, "size": file.size}
        else:
            found[file.name] = {"sha256": sha256(path), "size": path.stat().st_size}
        if path.is_file():
            _check_index(path, files)
    return found


def _check_index(path: Path, files: list[_File]) -> None:
    """Check that the index of weights in several files names those that are fetched, and no other.

    The names in it are foreign: whoever reads the weights later opens what it names.
    """
    if not path.name.endswith(".index.json"):
        return
    names: set[str] = set()
    try:
        names = set(json.loads(path.read_text("utf-8"))["weight_map"].values())
        wrong = sorted(names - {file.name for file in files}, key=str)
    except (ValueError, KeyError, TypeError, AttributeError):
        wrong = ["(no list of files)"]
    if wrong:
        raise InputError(
            f"the index of the weights names {wrong[0]!r}",
            where=path,
            expected="files of the repository such as model-00001-of-00002.safetensors",
            remedy="do not use this model; it is damaged or hostile",
        )


def _safe_name(name: str) -> str | None:
    """What a file of PyTorch's own format is called as safetensors; `None` for other files."""
    one, index, shards = WEIGHTS[1]
    if name in (one, index) or re.fullmatch(shards, name):
        return name.replace("pytorch_model", "model", 1).replace(".bin", ".safetensors", 1)
    return None


def _converted(file: _File, folder: Path) -> str | None:
    """SHA-256 of the file from which its safetensors were made, if they are there and of it."""
    target = _safe_name(file.name)
    if target is None or not (folder / target).is_file():
        return None
    if target.endswith(".index.json"):
        return file.sha256
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / target, framework="pt") as opened:
            origin = (opened.metadata() or {}).get(_ORIGIN)
    except (SafetensorError, OSError):
        return None
    return origin if origin and origin == file.sha256 else None


def _convert(folder: Path, checksums: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Turn weights in PyTorch's own format into safetensors; the originals are removed."""
    made: dict[str, dict[str, str]] = {}
    # The index goes last: while it is there, so are all the files that it names.
    for name in sorted(checksums, key=lambda n: (n.endswith(".index.json"), n)):
        target = _safe_name(name)
        if target is None:
            continue
        if (folder / name).is_file():
            if name.endswith(".index.json"):
                _convert_index(folder / name, folder / target)
            else:
                logger.info("%s: stored as %s", folder / name, target)
                to_safetensors(folder / name, folder / target)
            (folder / name).unlink()
        made[target] = {"from": name, "from_sha256": str(checksums[name]["sha256"])}
    return made


def _convert_index(source: Path, target: Path) -> None:
    index = json.loads(source.read_text("utf-8"))
    index["weight_map"] = {k: _safe_name(v) or v for k, v in index["weight_map"].items()}
    with written_whole(target) as temporary:
        temporary.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", "utf-8")


def _manifest(
    source: dict[str, str],
    revision: str | None,
    folder: Path,
    checksums: Mapping[str, Mapping[str, Any]],
    converted: dict[str, dict[str, str]],
) -> Manifest:
    gone = {made["from"] for made in converted.values()}
    files = {name: dict(file) for name, file in checksums.items() if name not in gone}
    for name in converted:
        path = folder / name
        files[name] = {"sha256": sha256(path), "size": path.stat().st_size}
    return {"source": source, "revision": revision, "files": files, "converted": converted}


def _extend_lock(
    path: Path, key: str, revision: str | None, files: Mapping[str, Mapping[str, Any]]
) -> None:
    """Add what was fetched to the lock file; what it names already must be the same."""
    import yaml

    path.parent.mkdir(parents=True, exist_ok=True)
    with fetch.alone(path.parent):
        lock = read_lock(path)
        pinned = lock.get(key, {"files": {}} | ({"revision": revision} if revision else {}))
        if pinned.get("revision") != revision:
            raise _mismatch("revision", str(pinned.get("revision")), str(revision), path)
        for name, file in files.items():
            before = pinned["files"].get(name)
            if before is not None and before["sha256"] != file["sha256"]:
                raise _mismatch(f"checksum of {name}", before["sha256"], file["sha256"], path)
        extended = {
            **pinned,
            "files": {**pinned["files"], **{n: dict(f) for n, f in files.items()}},
        }
        if lock.get(key) == extended:
            return
        lock[key] = extended
        with written_whole(path) as temporary:
            temporary.write_text(
                "# Written by `snakemake models` at the first fetch and enforced from then on;\n"
                "# keep it under version control. To take a newer model, delete its entry.\n"
                + yaml.safe_dump(lock, sort_keys=True),
                "utf-8",
            )


def _by_hand(
    name: str,
    repo: str,
    pinned: Mapping[str, Any] | None,
    folder: Path,
    *,
    weights: bool,
    error: fetch.Unreachable,
) -> Manifest:
    """Without a network: take what was put into the folder by hand, or say what to put there."""
    there = [p.name for p in folder.iterdir() if p.is_file()] if folder.is_dir() else []
    try:
        chosen = _chosen(there, weights=weights, where=str(folder))
    except InputError:
        raise _message(name, repo, pinned, folder, weights=weights, error=error) from None
    checksums = {
        n: {"sha256": sha256(folder / n), "size": (folder / n).stat().st_size} for n in chosen
    }
    for file, found in checksums.items():
        _check_index(folder / file, [_File(n) for n in chosen])
        wanted = (pinned or {"files": {}})["files"].get(file)
        if wanted is not None and wanted["sha256"] != found["sha256"]:
            raise _mismatch(
                f"checksum of {file}", wanted["sha256"], str(found["sha256"]), folder / file
            )
    if pinned is not None and any(
        n not in checksums and _safe_name(n) not in checksums
        for n in pinned["files"]
        if weights or not _is_weights(n)
    ):
        raise _message(name, repo, pinned, folder, weights=weights, error=error) from None
    logger.warning(
        "%s: the files in %s are taken as they are; without a network nothing tells whether they "
        "are those of %s",
        name,
        folder,
        repo,
    )
    return _manifest({"hub": repo}, None, folder, checksums, _convert(folder, checksums))


def _message(
    name: str,
    repo: str,
    pinned: Mapping[str, Any] | None,
    folder: Path,
    *,
    weights: bool,
    error: fetch.Unreachable,
) -> fetch.Unreachable:
    if pinned is not None:
        names = ", ".join(sorted(n for n in pinned["files"] if weights or not _is_weights(n)))
        page = f"{HUB}/{repo}/tree/{pinned['revision']}"
    else:
        names = "config.json, the tokenizer's and preprocessor's files (*.json, *.txt, *.model)"
        if weights:
            names += ", and model.safetensors (or pytorch_model.bin, where there is no other)"
        page = f"{HUB}/{repo}/tree/main"
    return fetch.Unreachable(
        f"the files of the model {name!r} are not here, and the network is not to be had: "
        f"{error.found}",
        where=folder,
        expected=names,
        remedy=f"fetch these files from {page} on another machine and put them into {folder}; or "
        "name a folder that holds them, in the configuration: "
        "catalogue: {<its name>: {…, source: {folder: path}}}",
    )


def _fetch_url(name: str, url: str, place: Path, lock: Path) -> Manifest:
    """Fetch one file, unpacked where it is gzipped."""
    published = url.rsplit("/", 1)[-1]
    archive = fetch.foreign_path(place.parent, published)
    pinned = read_lock(lock).get(url, {"files": {}})["files"]
    whole, packed = pinned.get(place.name), pinned.get(published)
    if place.is_file():
        found: dict[str, Any] = {"sha256": sha256(place), "size": place.stat().st_size}
        if whole is not None and whole["sha256"] != found["sha256"]:
            raise _mismatch(f"checksum of {place.name}", whole["sha256"], found["sha256"], place)
        if whole is None:
            logger.warning("%s: %s was put there by hand and is taken as it is", name, place)
        return _manifest({"url": url}, None, place.parent, {place.name: found}, {})
    wanted = packed or {}
    if not archive.is_file() or not fetch.is_whole(
        archive, size=wanted.get("size"), sha256=wanted.get("sha256")
    ):
        logger.info("%s: from %s", name, url)
        try:
            fetch.download(
                url, archive, size=wanted.get("size"), sha256=wanted.get("sha256"), label=name
            )
        except fetch.Unreachable as error:
            raise fetch.Unreachable(
                f"the file of the model {name!r} is not here, and the network is not to be had: "
                f"{error.found}",
                where=place,
                expected=f"{published}, unpacked",
                remedy=f"fetch {url} on another machine, unpack it (gunzip) and put it to {place}; "
                "or name the file in the configuration: "
                "catalogue: {<its name>: {…, source: {file: path}}}",
            ) from error
    checksums = {published: {"sha256": sha256(archive), "size": archive.stat().st_size}}
    if archive != place:
        logger.info("%s: unpacking %s", name, archive)
        gunzip(archive, place)
        checksums[place.name] = {"sha256": sha256(place), "size": place.stat().st_size}
        if whole is not None and whole["sha256"] != checksums[place.name]["sha256"]:
            raise _mismatch(
                f"checksum of {place.name}",
                whole["sha256"],
                str(checksums[place.name]["sha256"]),
                place,
            )
    _extend_lock(lock, url, None, checksums)
    if archive != place:
        archive.unlink()
        del checksums[published]
    return _manifest({"url": url}, None, place.parent, checksums, {})


def gunzip(source: str | Path, target: str | Path) -> None:
    """Unpack a gzipped file; `target` is there only when all of it is.

    Raises
    ------
    InputError
        If the file is damaged, or the disk is full.
    """
    import gzip
    import shutil
    import zlib

    # Word vectors shrink to some two thirds; a disk too small is better known before than after.
    fetch.require_space(Path(target).parent, 2 * Path(source).stat().st_size)
    with written_whole(target) as temporary:
        try:
            with gzip.open(source, "rb") as packed, open(temporary, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 22)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"the file cannot be unpacked: {error}",
                where=source,
                expected="a gzipped file",
                remedy="delete it and run again",
            ) from error

"""Prepared data sets under `cache/<fingerprint>/`: written once, mapped by every engine.

An entry holds the arrays, and `meta.json` with their shapes, dtypes, sizes and SHA-256. The
whole of `cache/` may be deleted at any time: what is missing is prepared again.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from workers.atomic import (
    OWNER_DIRECTORY,
    create,
    kept_in,
    make_private,
    replacing,
    sync_directory,
)
from workers.dataset import Dataset
from workers.fingerprint import fingerprint as fingerprint_of
from workers.parts import DamagedPart, read_part, write_part

#: The form of an entry. Entries of another form are written anew.
FORMAT = 1

_META = "meta.json"
_PARTS = ("X", "y", "groups", "weights")


class DataMissing(LookupError):
    """A prepared data set, or its splits, is not in the cache, or not whole: prepare it again."""


def open_prepared(cache: Path, fingerprint: str, *, mmap: bool = True) -> Dataset:
    """Open a prepared data set.

    Sizes, shapes and dtypes are compared with what was written; every byte only by
    `is_intact`, when a job is prepared.

    Parameters
    ----------
    cache : Path
        The cache directory.
    fingerprint : str
        What `store` returned.
    mmap : bool
        True for read-only arrays over mapped files, which all processes of a machine share.
        False for writable copies in memory.

    Raises
    ------
    DataMissing
        When the entry is not there, or has been damaged.
    """
    entry = entry_directory(cache, fingerprint)
    meta = _read_meta(entry)
    try:
        parts: dict[str, Any] = {
            name: None
            if meta["parts"][name] is None
            else read_part(entry, meta["parts"][name], mmap=mmap)
            for name in _PARTS
        }
    except (OSError, DamagedPart, KeyError, TypeError, ValueError) as error:
        raise DataMissing(f"The prepared data set {fingerprint} is damaged: {error}.") from error
    return Dataset(**parts)


def store(cache: Path, dataset: Dataset) -> str:
    """Write a data set into the cache, unless it is there and intact.

    Several processes may do so at once: one of them wins, and all return the same.

    Returns
    -------
    str
        The fingerprint.

    Raises
    ------
    UnstorableData
        For Python objects other than plain scalars.
    CannotWrite
        When there is no room or no right for it.
    """
    fingerprint = fingerprint_of(dataset)
    if is_intact(cache, fingerprint):
        return fingerprint
    entry = entry_directory(cache, fingerprint)
    with kept_in(cache):
        make_private(cache)
        with _directory_beside(entry) as fresh:
            _write_entry(fresh, fingerprint, dataset)
            try:
                fresh.rename(entry)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                    raise
                # Another process was first, or the entry is there and damaged.
                if not is_intact(cache, fingerprint):
                    _repair(entry, fresh)
        sync_directory(cache)
    return fingerprint


def is_intact(cache: Path, fingerprint: str) -> bool:
    """Tell whether every byte of an entry is what was written. Reads all of it."""
    entry = entry_directory(cache, fingerprint)
    try:
        meta = _read_meta(entry)
        for file, facts in meta["files"].items():
            with (entry / file).open("rb") as data:
                if hashlib.file_digest(data, "sha256").hexdigest() != facts["sha256"]:
                    return False
        open_prepared(cache, fingerprint)
    except (DataMissing, OSError):
        return False
    return True


def entry_directory(cache: Path, fingerprint: str) -> Path:
    """Return the directory of a prepared data set.

    Raises
    ------
    DataMissing
        When `fingerprint` is not one: it never leads to another directory.
    """
    if not is_digest(fingerprint):
        raise DataMissing(f"{fingerprint!r} is not the fingerprint of a data set.")
    return cache / fingerprint


def is_digest(text: str) -> bool:
    """Tell whether `text` is a SHA-256 in hexadecimal digits, and so no path to anywhere."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def remember_source(cache: Path, key: str, fingerprint: str) -> None:
    """Note that the source `key` (a SHA-256 over its bytes) holds the data set `fingerprint`.

    Raises
    ------
    CannotWrite
        When there is no room or no right for the note.
    """
    directory = cache / "sources"
    with kept_in(cache):
        make_private(directory)
        with replacing(directory / key) as file:
            file.write(fingerprint.encode())


def recall_source(cache: Path, key: str) -> str | None:
    """Return the fingerprint noted for a source, if its entry is there and intact."""
    try:
        fingerprint = (cache / "sources" / key).read_text()
        return fingerprint if is_intact(cache, fingerprint) else None
    except (OSError, UnicodeDecodeError, DataMissing):
        return None


def _read_meta(entry: Path) -> dict[str, Any]:
    """Read an entry's meta.json and compare the sizes of its files with it."""
    missing = f"The prepared data set {entry.name} is not in the cache"
    try:
        meta: dict[str, Any] = json.loads((entry / _META).read_bytes())
        if (meta["format"], meta["fingerprint"]) != (FORMAT, entry.name):
            raise DataMissing(f"{missing}: what lies there has another form.")
        for file, facts in meta["files"].items():
            size = (entry / file).stat().st_size
            if size != facts["size"]:
                raise DataMissing(
                    f"The prepared data set {entry.name} is damaged: "
                    f"{file} has {size} bytes, and {facts['size']} were written."
                )
    except FileNotFoundError as error:
        absent = Path(error.filename).name if entry.is_dir() else "its directory"
        raise DataMissing(f"{missing}: {absent} is gone.") from error
    except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataMissing(f"{missing}: {_META} cannot be read ({error}).") from error
    return meta


def _write_entry(directory: Path, fingerprint: str, dataset: Dataset) -> None:
    parts = {
        name: None
        if getattr(dataset, name) is None
        else write_part(directory, name, getattr(dataset, name))
        for name in _PARTS
    }
    files = sorted(file for part in parts.values() if part for file in part["files"])
    meta = {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "n_samples": dataset.n_samples,
        "n_features": dataset.n_features,
        "parts": parts,
        "files": {file: _facts(directory / file) for file in files},
    }
    with create(directory / _META) as out:
        out.write(json.dumps(meta, indent=1).encode())
    sync_directory(directory)


def _facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"size": os.fstat(file.fileno()).st_size, "sha256": digest}


@contextmanager
def _directory_beside(entry: Path) -> Iterator[Path]:
    """Make a directory next to `entry`, gone at the end unless it was renamed."""
    fresh = entry.with_name(f".{entry.name}.{secrets.token_hex(8)}.tmp")
    fresh.mkdir(mode=OWNER_DIRECTORY)
    try:
        yield fresh
    finally:
        with suppress(OSError):  # gone already; or what went wrong before is what is to be told
            shutil.rmtree(fresh)


def _repair(entry: Path, fresh: Path) -> None:
    """Put fresh files in the place of a damaged entry's, one by one.

    The directory stays, and with it the splits that other jobs keep there. Processes that have
    the old files mapped keep them.
    """
    for file in sorted(fresh.iterdir(), key=lambda path: path.name == _META):
        file.replace(entry / file.name)
    sync_directory(entry)

"""Read arrays: NumPy's `.npz` and `.npy` files, and sparse matrices of `scipy.sparse.save_npz`.

Sparse matrices come out in CSR format, as `GridSearchCV` makes them. Nothing is unpickled.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import scipy.sparse as sp

from schemas.data import FileData
from schemas.problems import InvalidJob, Problem
from workers.datafiles import MAX_BYTES, no_such, open_data_file, reason, refuse_unpacked
from workers.dataset import Array, Dataset, as_features


def from_archive(data: FileData, roots: Sequence[Path], max_bytes: int = MAX_BYTES) -> Dataset:
    """Read a data set from an NPZ file, and its target from a second one where the job says so.

    Parameters
    ----------
    roots : sequence of Path
        Directories below which files may lie; relative paths start at the first.
    max_bytes : int
        Largest file, packed and unpacked.

    Raises
    ------
    InvalidJob
        When a file may not or cannot be read, or lacks an array that is named.
    """
    with open_data_file(data.file, roots, max_bytes=max_bytes) as file:
        return _from_open(data, file, roots, max_bytes)


class _Archive:
    """The named arrays of an open `.npz` or `.npy` file, never unpickled."""

    def __init__(self, file: BinaryIO, name: str, where: str, max_bytes: int) -> None:
        self.name, self._where, self._file = name, where, file
        try:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    unpacked = sum(member.file_size for member in archive.infolist())
                refuse_unpacked(unpacked, name, max_bytes, where)
            file.seek(0)
            self._content = np.load(file, allow_pickle=False)
        except InvalidJob:
            raise
        except Exception as error:
            raise self._unreadable(error) from error
        alone = isinstance(self._content, np.ndarray)
        self.names: list[str] = [] if alone else list(self._content.files)
        self.alone: Array | None = self._content if alone else None

    @property
    def is_sparse(self) -> bool:
        """Whether `scipy.sparse.save_npz` wrote it."""
        return {"format", "shape", "data"} <= set(self.names)

    def array(self, name: str, role: str) -> Array:
        if name not in self.names:
            raise InvalidJob([no_such(f"data.{role}", "array", name, self.names, self.name)])
        try:
            return np.asarray(self._content[name])
        except Exception as error:
            raise self._unreadable(error, f"array {name!r} of ") from error

    def matrix(self) -> Any:
        """Return the sparse matrix, in CSR format, with indices that stay inside of it."""
        try:
            self._file.seek(0)
            matrix: Any = sp.load_npz(self._file)
            if matrix.format in {"csr", "csc", "bsr"}:
                # Conversions trust the indices: a false one would write beyond the memory.
                matrix.check_format(full_check=True)
            return matrix.tocsr()
        except Exception as error:
            raise self._unreadable(error, "sparse matrix of ") from error

    def _unreadable(self, error: Exception, part: str = "") -> InvalidJob:
        message = reason(error)
        hint = None
        if "allow_pickle" in message:
            message = "it holds Python objects, which are not loaded"
            hint = "Save numbers, booleans or fixed-width text (dtype U), not dtype object."
        return InvalidJob(
            [Problem(self._where, f"the {part}{self.name!r} is not readable: {message}", hint=hint)]
        )


def _from_open(data: FileData, file: BinaryIO, roots: Sequence[Path], max_bytes: int) -> Dataset:
    archive = _Archive(file, data.file, "data.file", max_bytes)
    if data.x is None and "X" not in archive.names and archive.is_sparse:
        X = archive.matrix()
    else:
        X = archive.array(data.x or "X", "x")
    if data.y_file is None:
        return _with_roles(data, X, _labels(archive, data, only=False), archive, archive)
    with open_data_file(data.y_file, roots, where="data.y_file", max_bytes=max_bytes) as second:
        labels = _Archive(second, data.y_file, "data.y_file", max_bytes)
        return _with_roles(data, X, _labels(labels, data, only=True), archive, labels)


def _labels(archive: _Archive, data: FileData, *, only: bool) -> Array | None:
    """Return y: the named array, else `y`, else (in a file of labels) the only one there is."""
    if archive.alone is not None:
        return archive.alone
    if only and data.y is None and len(archive.names) == 1:
        return archive.array(archive.names[0], "y")
    if data.y is None and "y" not in archive.names and not only:
        return None
    return archive.array(data.y or "y", "y")


def _with_roles(
    data: FileData, X: Any, y: Array | None, archive: _Archive, labels: _Archive
) -> Dataset:
    def role(name: str | None, role: str) -> Array | None:
        if name is None:
            return None
        return (archive if name in archive.names else labels).array(name, role)

    return Dataset(
        as_features(X, "data.x"),
        y,
        role(data.groups, "groups"),
        role(data.weights, "weights"),
    )

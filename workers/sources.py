"""Read a data set from where a job file says: scikit-learn's own, a generator, or a file.

What comes out is what a scikit-learn user would pass to `GridSearchCV.fit`:

- a table's features are `pd.read_csv(file)[features]`, its target
  `pd.read_csv(file)[target].to_numpy()`;
- one feature given as plain text, not as a list, is a Series: what vectorisers take;
- sparse matrices are in CSR format, as `GridSearchCV` makes them.
"""

import inspect
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from sklearn import datasets

from schemas.data import FileData, LoaderData, MakeData
from schemas.problems import InvalidJob, Problem, nearest, shown
from workers.datafiles import MAX_BYTES, open_data_file, reason
from workers.dataset import Array, Dataset, is_sparse

#: Data sets that come with scikit-learn, by the names that job files use. Nothing here goes to the
#: network or takes a path.
LOADERS: dict[str, Callable[..., Any]] = {
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
    "iris": datasets.load_iris,
    "linnerud": datasets.load_linnerud,
    "wine": datasets.load_wine,
}

#: Generators that give X, or X and y, by the names that job files use.
GENERATORS: dict[str, Callable[..., Any]] = {
    "blobs": datasets.make_blobs,
    "circles": datasets.make_circles,
    "classification": datasets.make_classification,
    "friedman1": datasets.make_friedman1,
    "friedman2": datasets.make_friedman2,
    "friedman3": datasets.make_friedman3,
    "gaussian_quantiles": datasets.make_gaussian_quantiles,
    "hastie_10_2": datasets.make_hastie_10_2,
    "low_rank_matrix": datasets.make_low_rank_matrix,
    "moons": datasets.make_moons,
    "multilabel_classification": datasets.make_multilabel_classification,
    "regression": datasets.make_regression,
    "s_curve": datasets.make_s_curve,
    "sparse_spd_matrix": datasets.make_sparse_spd_matrix,
    "sparse_uncorrelated": datasets.make_sparse_uncorrelated,
    "spd_matrix": datasets.make_spd_matrix,
    "swiss_roll": datasets.make_swiss_roll,
}


# ------------------------------------------------------------------ scikit-learn's own


def from_loader(data: LoaderData, params: dict[str, Any]) -> Dataset:
    """Return a data set that comes with scikit-learn.

    Parameters
    ----------
    params : dict
        The loader's parameters, built: with `as_frame` true, X is a table.

    Raises
    ------
    InvalidJob
        For an unknown loader, or parameters that it does not take.
    """
    loader = _named(data.loader, "load_", LOADERS, "data.loader")
    X, y = _call(loader, {**params, "return_X_y": True}, data.loader)
    return Dataset(_features(X, "data"), _plain(y))


def from_generator(data: MakeData, params: dict[str, Any], max_bytes: int = MAX_BYTES) -> Dataset:
    """Return a data set made by one of scikit-learn's generators.

    Parameters
    ----------
    params : dict
        The generator's parameters, built. Give `random_state`: nothing is drawn here.
    max_bytes : int
        Largest X to make.

    Raises
    ------
    InvalidJob
        For an unknown generator, parameters that it does not take, or such that it makes more
        than X and y.
    """
    generator = _named(data.make, "make_", GENERATORS, "data.make")
    known = inspect.signature(generator).parameters
    sizes = [
        params.get(name, known[name].default)
        for name in ("n_samples", "n_features")
        if name in known
    ]
    n_bytes = int(np.prod([s for s in sizes if isinstance(s, int)], dtype=np.float64)) * 8
    if n_bytes > max_bytes:
        raise InvalidJob(
            [
                Problem(
                    "data.params",
                    f"the data would take {n_bytes:,} bytes, more than the {max_bytes:,} allowed",
                    given=shown(sizes),
                    hint="Ask for fewer samples or features.",
                )
            ]
        )
    made = _call(generator, params, data.label)
    X, y = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if isinstance(X, tuple | dict):
        raise InvalidJob(
            [
                Problem(
                    "data.params",
                    f"{data.label} gives {len(X)} arrays with these parameters, "
                    "and a search takes X and y",
                    expected="parameters that make it give X alone, or X and y",
                )
            ]
        )
    return Dataset(_features(X, "data"), _plain(y))


def _named(
    name: str, prefix: str, table: Mapping[str, Callable[..., Any]], where: str
) -> Callable[..., Any]:
    """Look a function up by its name, with or without scikit-learn's prefix."""
    short = name.removeprefix(prefix)
    if short in table:
        return table[short]
    raise InvalidJob(
        [
            Problem(
                where,
                f"there is no {name!r} to get data from",
                given=name,
                expected="one of " + ", ".join(table),
                nearest=nearest(short, table),
            )
        ]
    )


def _call(function: Callable[..., Any], params: dict[str, Any], name: str) -> Any:
    try:
        return function(**params)
    except (TypeError, ValueError, MemoryError, OverflowError) as error:
        message = f"{name} does not take these: {reason(error)}"
        raise InvalidJob([Problem("data.params", message, given=shown(params))]) from error


# ------------------------------------------------------------------------------ tables


def from_file(data: FileData, roots: Sequence[Path], max_bytes: int = MAX_BYTES) -> Dataset:
    """Return a data set read from a CSV, Parquet or NPZ file.

    Parameters
    ----------
    roots : sequence of Path
        Directories below which files may lie; relative paths start at the first.
    max_bytes : int
        Largest file, packed and unpacked.

    Raises
    ------
    InvalidJob
        When the file may not or cannot be read, or lacks a column or array that is named.
    """
    with open_data_file(data.file, roots, max_bytes=max_bytes) as file:
        if data.suffix in {".csv", ".parquet"}:
            return _from_table(data, _read_table(file, data, max_bytes))
        return _from_arrays(data, file, roots, max_bytes)


def _read_table(file: BinaryIO, data: FileData, max_bytes: int) -> pd.DataFrame:
    try:
        if data.suffix == ".csv":
            frame = pd.read_csv(file)
        else:
            facts = pq.read_metadata(file)
            _refuse_unpacked(
                sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups)),
                data.file,
                max_bytes,
            )
            file.seek(0)
            frame = pd.read_parquet(file, engine="pyarrow").reset_index(drop=True)
    except pd.errors.EmptyDataError:
        raise InvalidJob([Problem("data.file", f"the file {data.file!r} is empty")]) from None
    except (ValueError, pa.ArrowException, OSError, RecursionError) as error:
        # ParserError and UnicodeDecodeError are kinds of ValueError.
        kind = "CSV in UTF-8" if data.suffix == ".csv" else "Parquet"
        message = f"{data.file!r} is not readable as {kind}: {reason(error)}"
        raise InvalidJob([Problem("data.file", message)]) from error
    if not frame.index.equals(pd.RangeIndex(len(frame))):
        # What pandas makes of a first line that is short: the first field becomes the index.
        raise InvalidJob(
            [
                Problem(
                    "data.file",
                    f"the rows of {data.file!r} have more fields than its first line has names",
                    hint="Name every column in the first line.",
                )
            ]
        )
    if odd := [label for label in frame.columns if not isinstance(label, str)]:
        raise InvalidJob(
            [Problem("data.file", "the names of columns must be text", given=shown(odd[0]))]
        )
    return frame


def _from_table(data: FileData, frame: pd.DataFrame) -> Dataset:
    roles = {"target": data.target, "groups": data.groups, "weights": data.weights}
    taken = [column for column in roles.values() if column is not None]
    if data.features is None:
        features: str | list[str] = [c for c in frame.columns if c not in taken]
    else:
        features = data.features
    wanted = [(role, column) for role, column in roles.items() if column is not None]
    wanted += [("features", c) for c in ([features] if isinstance(features, str) else features)]
    problems = [
        _no_such(f"data.{role}", "column", column, list(frame.columns), data.file)
        for role, column in wanted
        if column not in frame.columns
    ]
    if not problems and not features:
        problems.append(
            Problem("data.features", f"no column of {data.file!r} is left to learn from")
        )
    if problems:
        raise InvalidJob(problems)

    def column(name: str | None) -> Array | None:
        return None if name is None else frame[name].to_numpy()

    return Dataset(frame[features], column(data.target), column(data.groups), column(data.weights))


def _no_such(where: str, what: str, name: str, valid: Sequence[str], file: str) -> Problem:
    listed = ", ".join(valid[:12]) + (", …" if len(valid) > 12 else "")
    return Problem(
        where,
        f"there is no {what} {name!r} in {file!r}",
        given=name,
        expected=f"one of {listed}" if valid else None,
        nearest=nearest(name, valid),
    )


# ------------------------------------------------------------------------------ arrays


class _Archive:
    """The named arrays of an open `.npz` or `.npy` file, never unpickled."""

    def __init__(self, file: BinaryIO, name: str, where: str, max_bytes: int) -> None:
        self.name, self._where, self._file = name, where, file
        try:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    unpacked = sum(member.file_size for member in archive.infolist())
                _refuse_unpacked(unpacked, name, max_bytes, where)
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
            raise InvalidJob([_no_such(f"data.{role}", "array", name, self.names, self.name)])
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


def _from_arrays(data: FileData, file: BinaryIO, roots: Sequence[Path], max_bytes: int) -> Dataset:
    archive = _Archive(file, data.file, "data.file", max_bytes)
    if data.x is None and "X" not in archive.names and archive.is_sparse:
        X = archive.matrix()
    else:
        X = archive.array(data.x or "X", "x")
    if data.y_file is None:
        labels, y = archive, _labels(archive, data, only=False)
    else:
        with open_data_file(data.y_file, roots, where="data.y_file", max_bytes=max_bytes) as second:
            labels = _Archive(second, data.y_file, "data.y_file", max_bytes)
            y = _labels(labels, data, only=True)
            return _with_roles(data, X, y, archive, labels)
    return _with_roles(data, X, y, archive, labels)


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
        _features(X, "data.x"),
        y,
        role(data.groups, "groups"),
        role(data.weights, "weights"),
    )


def _refuse_unpacked(size: int, name: str, max_bytes: int, where: str = "data.file") -> None:
    if size > max_bytes:
        raise InvalidJob(
            [
                Problem(
                    where,
                    f"unpacked, {name!r} has {size:,} bytes, more than the {max_bytes:,} "
                    "that are taken",
                    hint="Give the columns or rows that are needed in a smaller file.",
                )
            ]
        )


# --------------------------------------------------------------------------- both kinds


def _features(X: Any, where: str) -> Any:
    """Return features in a form that is kept: a table, CSR, or an array of rows."""
    if is_sparse(X):
        return X.tocsr()
    if isinstance(X, pd.DataFrame):
        return X
    array = np.asarray(X)
    is_text = array.ndim == 1 and array.dtype.kind == "U"
    if array.dtype.kind in "VO" or (array.ndim != 2 and not is_text):
        raise InvalidJob(
            [
                Problem(
                    where,
                    f"X has the shape {array.shape} and the dtype {array.dtype}",
                    expected="two dimensions, (n_samples, n_features), or one of text",
                    hint="A single feature is X.reshape(-1, 1).",
                )
            ]
        )
    return array


def _plain(y: Any) -> Any:
    """Return a target as an array, or as CSR where it is sparse."""
    if y is None:
        return None
    if is_sparse(y):
        return y.tocsr()
    return y.to_numpy() if isinstance(y, pd.Series | pd.DataFrame) else np.asarray(y)

"""Keep the X and y of a notebook in the spool, as data files that engines read.

A file is named after its content, so that the same data are one file however often they are
handed in. Nothing is pickled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from pydantic import JsonValue

from schemas.problems import InvalidJob, Problem
from service.notebook.faults import NotSubmitted
from workers.atomic import make_private, replacing
from workers.datafiles import MAX_BYTES, reason
from workers.dataset import Array, Dataset, UnstorableData, as_features, as_target, is_sparse
from workers.fingerprint import fingerprint, frame_layout
from workers.parts import is_objects
from workers.tables import LAYOUT_KEY

#: Hexadecimal digits of the fingerprint in a file's name.
_DIGITS = 16

#: Names of a table's columns besides the features, unless the features have them.
_ROLES = ("target", "groups", "weights")


@dataclass(frozen=True)
class DataFiles:
    """Data that are to be kept, and how a job file names them.

    Attributes
    ----------
    spec : dict
        `data` of the job file.
    dataset : Dataset
        As the engines will read it.
    """

    spec: dict[str, JsonValue]
    dataset: Dataset
    _writers: Mapping[str, Callable[[BinaryIO], object]]

    def write(self, spool: Path) -> list[tuple[Path, int]]:
        """Write the files that are not there yet; give them with their sizes in bytes.

        Raises
        ------
        OSError
            When they cannot be written: none is left half.
        """
        written = []
        make_private(spool / "data")
        for name, writer in self._writers.items():
            path = spool / "data" / name
            if not path.exists():
                with replacing(path) as file:
                    writer(file)
                written.append((path, path.stat().st_size))
        return written

    def describe(self) -> str:
        """Say what the data are: `X (1,797 × 64, float64) and y`."""
        X, parts = self.dataset.X, [self.dataset.y, self.dataset.groups, self.dataset.weights]
        shape = " × ".join(f"{n:,}" for n in X.shape)
        kind = "sparse" if is_sparse(X) else "a table" if isinstance(X, pd.DataFrame) else "text"
        if isinstance(X, np.ndarray):
            kind = str(X.dtype)
        names = [n for n, p in zip(("y", "groups", "weights"), parts, strict=True) if p is not None]
        told = f"X ({shape}, {kind})"
        return told if not names else f"{told}" + ", ".join(["", *names[:-1]]) + f" and {names[-1]}"


def data_files(X: Any, y: Any = None, groups: Any = None, weights: Any = None) -> DataFiles:
    """Say how data in memory become files.

    Parameters
    ----------
    X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features), or texts
        Texts (a Series or list of them, for vectorisers) and DataFrames become Parquet, the rest
        NPZ.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
    groups, weights : array-like of shape (n_samples,), optional

    Raises
    ------
    NotSubmitted
        For what no data file can hold: Python objects other than plain scalars.
    """
    try:
        made = _files(X, y, groups, weights)
    except UnstorableData as error:
        raise _refused(
            "X",
            f"{error.name} holds values of type {error.kind}, which no data file can hold.",
            expected="numbers, booleans, text, categories or times",
            hint="Convert them, for example with .astype(float) or .astype(str).",
        ) from None
    except InvalidJob as error:
        raise NotSubmitted(error.problems) from None
    return made


def _files(X: Any, y: Any, groups: Any, weights: Any) -> DataFiles:
    if hasattr(X, "__dataframe__") and not isinstance(X, pd.DataFrame):
        raise _refused(
            "X", "Tables are handed in with pandas.", given=type(X).__name__, hint="X.to_pandas()"
        )
    texts = _as_texts(X)
    labels = _column(y, "y"), _column(groups, "groups"), _column(weights, "sample_weight")
    _check_lengths(X if texts is None else texts, *labels)
    if texts is not None:
        return _as_table(texts.to_frame(), y, *labels, text=str(texts.name))
    if isinstance(X, pd.DataFrame):
        return _as_table(X, y, *labels)
    if is_sparse(X):
        return _as_sparse(X, *labels)
    if y is not None and is_sparse(y):
        raise _refused("y", "A sparse y has no data file.", hint="y.toarray()")
    return _as_arrays(X, *labels)


def _as_texts(X: Any) -> "pd.Series[Any] | None":
    """Give texts as a column, or None if X is something else."""
    if isinstance(X, pd.Series):
        return X.rename(str(X.name) if X.name is not None else "text").reset_index(drop=True)
    is_list = isinstance(X, list | tuple) and len(X) > 0 and all(isinstance(x, str) for x in X)
    is_array = isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype.kind in "OUT"
    if is_list or is_array:
        return pd.Series(list(X), name="text", dtype="str")
    return None


def _column(values: Any, where: str) -> Array | None:
    """Give y, groups or weights as an array without Python objects."""
    if values is None:
        return None
    if is_sparse(values):
        raise _refused(where, f"A sparse {where} has no data file.", hint=f"{where}.toarray()")
    array: Array = as_target(values)
    if array.dtype.kind != "O":
        return array
    if all(isinstance(value, str) for value in array.ravel()):
        return array.astype(str)
    plain = np.asarray(array.tolist())
    if plain.dtype.kind in "biuf" and not any(value is None for value in array.ravel()):
        return plain
    raise _refused(
        where,
        f"{where} holds values of more than one type, or Python objects.",
        given=", ".join(sorted({type(value).__name__ for value in array.ravel()})[:4]),
        expected="numbers, booleans or texts, all of one type",
        hint=f"Convert it, for example with {where}.astype(str).",
    )


def _check_lengths(X: Any, y: Array | None, groups: Array | None, weights: Array | None) -> None:
    n_samples = X.shape[0] if hasattr(X, "shape") and X.shape else len(X)
    for where, values in (("y", y), ("groups", groups), ("sample_weight", weights)):
        if values is not None and values.shape[:1] != (n_samples,):
            raise _refused(
                where,
                f"X has {n_samples:,} rows, and {where} has the shape {values.shape}.",
                given=str(values.shape),
                expected=f"{n_samples:,} values, one for each row of X",
            )


def _as_arrays(X: Any, y: Array | None, groups: Array | None, weights: Array | None) -> DataFiles:
    dataset = Dataset(as_features(X, "X"), y, groups, weights)
    arrays = {"X": np.asarray(dataset.X), **_present(y, groups, weights)}
    _check_size(sum(array.nbytes for array in arrays.values()))
    name = f"{_digest(dataset)}.npz"
    roles: dict[str, JsonValue] = {role: role for role in arrays if role in ("groups", "weights")}
    return DataFiles({"file": name, **roles}, dataset, {name: _npz(arrays)})


def _as_sparse(X: Any, y: Array | None, groups: Array | None, weights: Array | None) -> DataFiles:
    matrix = as_features(X, "X")
    dataset = Dataset(matrix, y, groups, weights)
    arrays = _present(y, groups, weights)
    if arrays and y is None:
        raise _refused("y", "A sparse X with groups or weights needs a y.")
    digest = _digest(dataset)
    spec: dict[str, JsonValue] = {"file": f"{digest}.npz"}
    writers: dict[str, Callable[[BinaryIO], object]] = {
        f"{digest}.npz": lambda file: sp.save_npz(file, matrix)
    }
    if arrays:
        spec |= {"y_file": f"{digest}-y.npz", **{name: name for name in arrays}}
        writers[f"{digest}-y.npz"] = _npz(arrays)
    return DataFiles(spec, dataset, writers)


def _present(y: Array | None, groups: Array | None, weights: Array | None) -> dict[str, Array]:
    labels = {"y": y, "groups": groups, "weights": weights}
    return {name: values for name, values in labels.items() if values is not None}


def _npz(arrays: dict[str, Array]) -> Callable[[BinaryIO], object]:
    return lambda file: np.savez(file, allow_pickle=False, **arrays)


def _as_table(
    X: pd.DataFrame,
    y: Any,
    target: Array | None,
    groups: Array | None,
    weights: Array | None,
    *,
    text: str | None = None,
) -> DataFiles:
    odd = [label for label in X.columns if not isinstance(label, str) or not label]
    if odd or not X.columns.is_unique:
        raise _refused(
            "X",
            "The names of columns are texts, each once.",
            given=repr(odd[0]) if odd else repr(X.columns[X.columns.duplicated()][0]),
            hint="X.columns = X.columns.astype(str), or X.to_numpy() where names do not matter.",
        )
    if target is not None and target.ndim > 1:
        raise _refused(
            "y",
            "A table has one column to predict, and y has several.",
            given=str(target.shape),
            hint="Hand in arrays: X.to_numpy() and y.to_numpy().",
        )
    frame = X.reset_index(drop=True)
    features = list(frame.columns)
    spec: dict[str, JsonValue] = {}
    named = getattr(y, "name", None)
    for role, values in zip(_ROLES, (target, groups, weights), strict=True):
        if values is not None:
            wanted = named if role == "target" and isinstance(named, str) and named else role
            column = _free(wanted, [*features, *map(str, spec.values())])
            frame = frame.assign(**{column: values})
            spec[role] = column
    dataset = Dataset(X if text is None else X[text], target, groups, weights)
    table = _to_arrow(frame)
    if frame_layout(X) == "C":
        # Sums over rows and over columns differ in their last bits: see `workers.tables`.
        table = table.replace_schema_metadata({**(table.schema.metadata or {}), LAYOUT_KEY: b"C"})
    _check_size(table.nbytes)
    name = f"{_digest(dataset)}.parquet"
    if text is not None:
        spec["features"] = text
    return DataFiles(
        {"file": name, **spec}, dataset, {name: lambda file: pq.write_table(table, file)}
    )


def _free(name: str, taken: Sequence[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    """Give the table as it will be in the file; whatever would come back otherwise is refused."""
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
        again = table.to_pandas()
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _refused(
            "X",
            f"The table cannot be written as Parquet: {reason(error)}.",
            hint="A column holds values of several types: convert it with .astype(…).",
        ) from None
    for name in frame.columns:
        before, after = frame[name].dtype, again[name].dtype
        if before != after and not is_objects(before):
            raise _refused(
                "X",
                f"The column {name!r} would come back as {after}.",
                given=str(before),
                hint="Convert it to a plain NumPy type, text or a category.",
            )
    return table


def _digest(dataset: Dataset) -> str:
    return fingerprint(dataset)[:_DIGITS]


def _check_size(n_bytes: int) -> None:
    if n_bytes > MAX_BYTES:
        raise _refused(
            "X",
            "The data are larger than a data file may be.",
            given=f"{n_bytes / 2**30:.1f} GiB",
            expected=f"at most {MAX_BYTES / 2**30:.0f} GiB",
        )


def _refused(where: str, message: str, **facts: Any) -> NotSubmitted:
    return NotSubmitted([Problem(where, message, **facts)])

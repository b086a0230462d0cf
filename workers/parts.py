"""Keep one array or table on disk so that many processes can open it without reading it.

Dense arrays are `.npy` files, sparse ones three of them, tables Arrow files; all are mapped into
memory. Python objects are kept as JSON. Nothing is ever pickled.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import scipy.sparse as sp

from workers.atomic import create
from workers.dataset import Array, is_sparse, plain_scalars
from workers.fingerprint import array_order, frame_layout

#: The sparse containers by name: a file chooses one of these and nothing else.
_SPARSE = {cls.__name__: cls for cls in (sp.csr_array, sp.csr_matrix)}


class DamagedPart(ValueError):
    """What lies on disk is not what was written."""


def is_objects(dtype: object) -> bool:
    """Tell whether a column's dtype is that of Python objects."""
    return isinstance(dtype, np.dtype) and dtype.kind == "O"


def write_part(directory: Path, name: str, value: Any) -> dict[str, Any]:
    """Write one array or table into files whose names start with `name`.

    Parameters
    ----------
    directory : Path
        Exists, and holds no such files yet.
    value : DataFrame, Series, ndarray or CSR

    Returns
    -------
    dict
        What `read_part` needs, as JSON values: the kind, shape, dtype and file names.

    Raises
    ------
    UnstorableData
        For Python objects other than plain scalars.
    """
    if isinstance(value, pd.Series):
        described = _write_table(directory, name, value.to_frame())
        return {**described, "kind": "series", "named": value.name is not None}
    if isinstance(value, pd.DataFrame):
        layout = frame_layout(value)
        if layout not in {"C", "F"}:
            return _write_table(directory, name, value, layout=layout)
        block = np.asarray(value.to_numpy(copy=False), order="C" if layout == "C" else "F")
        described = _write_array(directory, name, block)
        return {**described, "kind": "block", "columns": [str(label) for label in value.columns]}
    if is_sparse(value):
        parts = {
            part: _write_array(directory, f"{name}.{part}", getattr(value, part))
            for part in ("data", "indices", "indptr")
        }
        return {
            "kind": "sparse",
            "class": type(value).__name__,
            "shape": list(value.shape),
            "parts": parts,
            "files": [file for part in parts.values() for file in part["files"]],
        }
    return _write_array(directory, name, np.asarray(value))


def read_part(directory: Path, described: dict[str, Any], *, mmap: bool) -> Any:
    """Open what `write_part` wrote.

    Parameters
    ----------
    described : dict
        What `write_part` returned.
    mmap : bool
        True for read-only views of the mapped files, False for copies of one's own.

    Raises
    ------
    DamagedPart
        When the files do not hold what `described` says.
    OSError
        When a file is not there.
    """
    kind = described["kind"]
    if kind == "array":
        return _read_array(directory, described, mmap=mmap)
    if kind == "block":
        block = _read_array(directory, described, mmap=mmap)
        return pd.DataFrame(block, columns=described["columns"], copy=False)
    if kind == "sparse":
        return _read_sparse(directory, described, mmap=mmap)
    if kind in {"table", "series"}:
        frame = _read_table(directory, described, mmap=mmap)
        if kind == "table":
            return frame
        series = frame.iloc[:, 0]
        return series if described["named"] else series.rename(None)
    raise DamagedPart(f"unknown kind of data {kind!r}")


def _write_array(directory: Path, name: str, array: Array) -> dict[str, Any]:
    order = array_order(array)
    described = {
        "kind": "array",
        "shape": list(array.shape),
        "dtype": array.dtype.str,
        "order": order,
    }
    if array.dtype == object:
        file = f"{name}.json"
        with create(directory / file) as out:
            out.write(json.dumps(plain_scalars(array, name)).encode())
    else:
        file = f"{name}.npy"
        ordered = np.asfortranarray(array) if order == "F" else np.ascontiguousarray(array)
        with create(directory / file) as out:
            np.lib.format.write_array(out, ordered, allow_pickle=False)
    return {**described, "files": [file]}


def _read_array(directory: Path, described: dict[str, Any], *, mmap: bool) -> Array:
    (file,) = described["files"]
    shape, order = tuple(described["shape"]), described["order"]
    if described["dtype"] == "|O":
        return _objects(json.loads((directory / file).read_bytes()), shape, order)
    try:
        array = np.load(directory / file, mmap_mode="r" if mmap else None, allow_pickle=False)
    except ValueError as error:
        raise DamagedPart(f"{file} is damaged: {error}") from error
    if array.shape != shape or array.dtype.str != described["dtype"]:
        raise DamagedPart(f"{file} holds {array.dtype.str} {array.shape}, not what was written")
    # The plain array over the mapped file: the memmap class costs time in every slice.
    return np.asarray(array)


def _objects(scalars: list[Any], shape: Sequence[int], order: str) -> Array:
    if len(scalars) != int(np.prod(shape, dtype=np.int64)):
        raise DamagedPart(f"{len(scalars)} values do not make the shape {tuple(shape)}")
    array = np.empty(len(scalars), dtype=object)
    array[:] = scalars
    shaped = array.reshape(shape)
    return np.asfortranarray(shaped) if order == "F" else shaped


def _read_sparse(directory: Path, described: dict[str, Any], *, mmap: bool) -> Any:
    cls = _SPARSE.get(described["class"])
    if cls is None:
        raise DamagedPart(f"unknown sparse container {described['class']!r}")
    data, indices, indptr = (
        _read_array(directory, described["parts"][part], mmap=mmap)
        for part in ("data", "indices", "indptr")
    )
    matrix = cls(tuple(described["shape"]), dtype=data.dtype)
    # Set, not passed to the constructor: that would copy, and change the dtype of the indices.
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix


def _write_table(
    directory: Path, name: str, frame: pd.DataFrame, *, layout: str = "columns"
) -> dict[str, Any]:
    file = f"{name}.arrow"
    as_json = [i for i, dtype in enumerate(frame.dtypes) if is_objects(dtype)]
    with create(directory / file) as out:
        table = _to_arrow(frame, as_json)
        with pa.ipc.new_file(out, table.schema) as writer:
            writer.write_table(table)
    return {
        "kind": "table",
        "shape": list(frame.shape),
        "dtypes": [str(dtype) for dtype in frame.dtypes],
        "columns": [str(label) for label in frame.columns],
        "layout": layout,
        "json_columns": as_json,
        "files": [file],
    }


def _to_arrow(frame: pd.DataFrame, as_json: Sequence[int]) -> pa.Table:
    """Return a table that `to_pandas` makes the same frame of."""
    plain = frame.copy(deep=False)
    plain.columns = pd.Index([str(i) for i in range(frame.shape[1])])
    for i in as_json:
        label = str(frame.columns[i])
        scalars = plain_scalars(frame.iloc[:, i].to_numpy(), label)
        plain[str(i)] = pd.Series([json.dumps(scalar) for scalar in scalars], index=frame.index)
    table = pa.Table.from_pandas(plain, preserve_index=False)
    for i, dtype in enumerate(plain.dtypes):
        if isinstance(dtype, np.dtype) and dtype.kind == "f":
            # NaN stays NaN. Made a null, it would cost a copy of the column at every opening.
            values = pa.array(plain.iloc[:, i].to_numpy(), from_pandas=False)
            table = table.set_column(i, table.schema.field(i), values)
    return table


def _read_table(directory: Path, described: dict[str, Any], *, mmap: bool) -> pd.DataFrame:
    (file,) = described["files"]
    try:
        source = pa.memory_map(str(directory / file)) if mmap else (directory / file).read_bytes()
        table = pa.ipc.open_file(source).read_all()
        frame: pd.DataFrame = table.to_pandas(split_blocks=described["layout"] == "columns")
    except (pa.ArrowInvalid, pa.ArrowSerializationError) as error:
        raise DamagedPart(f"{file} is damaged: {error}") from error
    for i in described["json_columns"]:
        scalars = json.loads(f"[{','.join(frame.iloc[:, i])}]")
        values = _objects(scalars, (len(scalars),), "C")
        frame.isetitem(i, pd.Series(values, dtype=object))  # type: ignore[arg-type]
    frame.columns = pd.Index(described["columns"])
    found = [str(dtype) for dtype in frame.dtypes]
    if list(frame.shape) != described["shape"] or found != described["dtypes"]:
        raise DamagedPart(f"{file} holds another table than was written")
    return frame if mmap else _own(frame, described["layout"])


def _own(frame: pd.DataFrame, layout: str) -> pd.DataFrame:
    """Return a copy that may be written to, in the same memory layout."""
    if layout != "columns":
        return frame.copy()  # puts columns of one dtype together, as they were
    for i in range(frame.shape[1]):
        frame.isetitem(i, frame.iloc[:, i].array.copy())
    return frame

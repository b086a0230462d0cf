"""The fingerprint of a data set: SHA-256 over its content.

Equal content gives an equal fingerprint wherever it was read from, on whichever machine.
Content is what an estimator can see: values, dtypes, shapes, column names, categories, and the
memory layout, since sums over rows and over columns differ in their last bits.
"""

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workers.dataset import Array, Dataset, UnstorableData, is_sparse, plain_scalars

if TYPE_CHECKING:
    from hashlib import _Hash


#: pandas' own nullable numbers and booleans.
_NULLABLE = (
    pd.Int8Dtype,
    pd.Int16Dtype,
    pd.Int32Dtype,
    pd.Int64Dtype,
    pd.UInt8Dtype,
    pd.UInt16Dtype,
    pd.UInt32Dtype,
    pd.UInt64Dtype,
    pd.Float32Dtype,
    pd.Float64Dtype,
    pd.BooleanDtype,
)


def fingerprint(dataset: Dataset) -> str:
    """Return the SHA-256 of a data set's content, as 64 hexadecimal digits.

    Raises
    ------
    UnstorableData
        When a column or array holds Python objects other than plain scalars.
    """
    digest = hashlib.sha256()
    for name in ("X", "y", "groups", "weights"):
        _add(digest, name, getattr(dataset, name))
    return digest.hexdigest()


def frame_layout(frame: pd.DataFrame) -> str:
    """Tell how a table lies in memory: "C" or "F" in one array, "columns" or "by dtype".

    One array that is neither counts as the order that its rows come out in when a split takes
    some of them, which is what a fold computes with.
    """
    # pandas has no public word for its blocks; the unit tests notice when this one changes.
    blocks = frame._mgr.blocks
    if len(blocks) == 1 and isinstance(blocks[0].values, np.ndarray) and blocks[0].dtype != object:
        flags = frame.to_numpy(copy=False).flags
        return "C" if flags.c_contiguous and not flags.f_contiguous else "F"
    return "columns" if len(blocks) == frame.shape[1] else "by dtype"


def array_order(array: Array) -> str:
    """Return "F" for an array in Fortran order and "C" for every other."""
    return "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"


def _add(digest: "_Hash", name: str, value: object) -> None:
    if value is None:
        _say(digest, name, "none")
    elif isinstance(value, pd.DataFrame):
        _say(digest, name, "frame", frame_layout(value), value.shape)
        for label, column in value.items():
            _add_column(digest, str(label), column)
    elif isinstance(value, pd.Series):
        _say(digest, name, "series", value.shape)
        _add_column(digest, str(value.name), value)
    elif is_sparse(value):
        _say(digest, name, type(value).__name__, value.shape)
        for part in ("data", "indices", "indptr"):
            _add_array(digest, part, getattr(value, part))
    else:
        _add_array(digest, name, np.asarray(value))


def _add_array(digest: "_Hash", name: str, array: Array) -> None:
    order = array_order(array)
    _say(digest, name, array.dtype.str, array.shape, order)
    if array.dtype == object:
        _say(digest, plain_scalars(array, name))
        return
    contiguous = np.ascontiguousarray(array.T if order == "F" else array)
    digest.update(contiguous.reshape(-1).view(np.uint8).data)


def _add_column(digest: "_Hash", name: str, column: "pd.Series[Any]") -> None:
    """Add one column of a table: its name, its dtype, where it is missing, its values."""
    dtype = column.dtype
    _say(digest, name, str(dtype))
    if isinstance(dtype, np.dtype):
        _add_array(digest, name, column.to_numpy())
    elif isinstance(dtype, pd.CategoricalDtype):
        _say(digest, bool(dtype.ordered))
        _add_column(digest, name, pd.Series(dtype.categories))
        _add_array(digest, name, column.cat.codes.to_numpy())
    elif isinstance(dtype, pd.StringDtype):
        _add_text(digest, column)
    elif isinstance(dtype, pd.DatetimeTZDtype):
        _add_array(digest, name, column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    elif isinstance(dtype, _NULLABLE):
        missing = column.isna()
        _add_array(digest, name, missing.to_numpy(dtype=bool))
        plain: np.dtype[Any] = dtype.numpy_dtype  # type: ignore[union-attr]
        _add_array(digest, name, column.to_numpy(dtype=plain, na_value=plain.type(0)))
    else:
        raise UnstorableData(name, str(dtype))


def _add_text(digest: "_Hash", column: "pd.Series[Any]") -> None:
    """Add text as its lengths (-1 where it is missing) and its UTF-8 bytes end to end."""
    text = pa.array(column, type=pa.large_string(), from_pandas=True)
    if isinstance(text, pa.ChunkedArray):
        text = text.combine_chunks()
    filled = pc.fill_null(text, "")
    _, offset_buffer, body = filled.buffers()
    ends = np.frombuffer(offset_buffer, dtype=np.int64)[filled.offset :][: len(filled) + 1]
    lengths = np.where(column.isna().to_numpy(), -1, np.diff(ends))
    _add_array(digest, "lengths", lengths)
    if body is not None:
        digest.update(memoryview(body)[ends[0] : ends[-1]])


def _say(digest: "_Hash", *words: object) -> None:
    """Add short facts, delimited so that neighbours cannot run into each other."""
    digest.update(json.dumps(words).encode() + b"\n")

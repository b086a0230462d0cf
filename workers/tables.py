"""Read tables: CSV and Parquet files, whose columns the job file gives their roles.

What comes out is what a scikit-learn user would pass to `GridSearchCV.fit`: the features are
`pd.read_csv(file)[features]`, and the target is `pd.read_csv(file)[target].to_numpy()`. One feature
given as plain text, not as a list, is a Series: what vectorisers take.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.data import FileData
from schemas.problems import InvalidJob, Problem, shown
from workers.datafiles import MAX_BYTES, no_such, open_data_file, reason, refuse_unpacked
from workers.dataset import Array, Dataset

#: Says in a Parquet file that its table was one array of rows ("C"), where it came from: read back,
#: it would be one of columns, over which sums differ in their last bits.
LAYOUT_KEY = b"foldq_layout"


def from_table(data: FileData, roots: Sequence[Path], max_bytes: int = MAX_BYTES) -> Dataset:
    """Read a data set from a CSV or Parquet file.

    Parameters
    ----------
    roots : sequence of Path
        Directories below which files may lie; relative paths start at the first.
    max_bytes : int
        Largest file, packed and unpacked.

    Raises
    ------
    InvalidJob
        When the file may not or cannot be read, or lacks a column that is named.
    """
    with open_data_file(data.file, roots, max_bytes=max_bytes) as file:
        frame, is_of_rows = _read_table(file, data, max_bytes)
        return _with_roles(data, frame, is_of_rows=is_of_rows)


def _read_table(file: BinaryIO, data: FileData, max_bytes: int) -> tuple[pd.DataFrame, bool]:
    """Return the table, and whether it is to lie in memory row by row."""
    is_of_rows = False
    try:
        if data.suffix == ".csv":
            frame = pd.read_csv(file)
        else:
            facts = pq.read_metadata(file)
            refuse_unpacked(_unpacked(facts), data.file, max_bytes)
            file.seek(0)
            is_of_rows = (facts.metadata or {}).get(LAYOUT_KEY) == b"C"
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
    return frame, is_of_rows


def _unpacked(facts: pq.FileMetaData) -> int:
    """Return how many bytes a Parquet file takes in memory, at least."""
    pages = sum(facts.row_group(i).total_byte_size for i in range(facts.num_row_groups))
    # Pages are small where a value is repeated, however often: a cell is not.
    row: int = sum(_cell_bits(column.type) for column in facts.schema.to_arrow_schema())
    return max(int(pages), int(facts.num_rows) * row // 8)


def _cell_bits(kind: pa.DataType) -> int:
    try:
        return int(kind.bit_width)
    except ValueError:  # text and the like, of which a table holds references
        return 64


def _with_roles(data: FileData, frame: pd.DataFrame, *, is_of_rows: bool) -> Dataset:
    roles = {"target": data.target, "groups": data.groups, "weights": data.weights}
    taken = [column for column in roles.values() if column is not None]
    if data.features is None:
        features: str | list[str] = [c for c in frame.columns if c not in taken]
    else:
        features = data.features
    wanted = [(role, column) for role, column in roles.items() if column is not None]
    wanted += [("features", c) for c in ([features] if isinstance(features, str) else features)]
    problems = [
        no_such(f"data.{role}", "column", column, list(frame.columns), data.file)
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

    X = frame[features]
    if is_of_rows and isinstance(X, pd.DataFrame) and len(set(X.dtypes)) == 1:
        X = pd.DataFrame(np.ascontiguousarray(X.to_numpy()), columns=X.columns, copy=False)
    return Dataset(X, column(data.target), column(data.groups), column(data.weights))

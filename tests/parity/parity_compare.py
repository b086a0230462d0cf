"""Compare two tables of results cell by cell, to the last bit."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.gaussian_process.kernels import Kernel

#: How the job file's grammar spells a parameter that is NaN.
NAN = {"$float": "nan"}


def is_time(column: str) -> bool:
    """Whether a column of `cv_results_` holds seconds: no two runs agree in it."""
    return column.endswith(("fit_time", "score_time"))


def assert_same_table(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Compare two `cv_results_`: keys, their order, and every column that is not a time."""
    assert list(ours) == list(theirs)
    for name, expected in theirs.items():
        if is_time(name):
            assert len(ours[name]) == len(expected)
            assert np.all(ours[name] >= 0), name
        elif name == "params":
            assert comparable(ours[name]) == comparable(expected)
        elif name.startswith("param_"):
            assert_same_values(ours[name], expected, name)
        else:
            assert_same_numbers(ours[name], expected, name)


def assert_same_numbers(ours: Any, theirs: Any, name: str) -> None:
    """Compare two columns of numbers: dtype, and the bits of every number (any NaN is NaN)."""
    assert type(ours) is type(theirs), name
    assert ours.dtype == theirs.dtype, name
    if ours.dtype.kind == "f":
        assert same_bits(ours, theirs), f"{name}: {ours.tolist()} is not {theirs.tolist()}"
    else:
        assert ours.tolist() == theirs.tolist(), name


def same_bits(ours: Any, theirs: Any) -> bool:
    """Whether two arrays of floats are the same, zeros of both signs told apart."""
    ours, theirs = (np.where(np.isnan(a), np.nan, a) for a in (ours, theirs))
    return bool(np.array_equal(ours, theirs, equal_nan=True)) and bool(
        np.array_equal(np.signbit(ours), np.signbit(theirs))
    )


def assert_same_values(ours: Any, theirs: Any, name: str) -> None:
    """Compare two columns of parameters: masked arrays of the same mask, dtype and values."""
    assert isinstance(ours, np.ma.MaskedArray), name
    assert isinstance(theirs, np.ma.MaskedArray), name
    assert ours.dtype == theirs.dtype, name
    assert ours.mask.tolist() == theirs.mask.tolist(), name
    there = ~theirs.mask
    assert comparable(list(ours.data[there])) == comparable(list(theirs.data[there])), name


def comparable(value: Any) -> Any:
    """Return something that is equal exactly when two parameters mean the same.

    Estimators and kernels become their class and parameters, NaN equals NaN, `1` is not `True`,
    a tuple is no list, and a NumPy number is the number.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, BaseEstimator | Kernel):
        return type(value), comparable(value.get_params(deep=False))
    if isinstance(value, Mapping):
        return {name: comparable(item) for name, item in value.items()}
    if isinstance(value, list | tuple | range):
        return type(value).__name__, [comparable(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, bool):
        return "bool", value
    return value


def assert_same_csv(file: Path, theirs: Mapping[str, Any]) -> None:
    """Compare `cv_results.csv` with a `cv_results_`: header, numbers, and what is plain else."""
    with file.open(newline="") as text:
        header, *rows = csv.reader(text)
    assert header == list(theirs)
    for name, cells in zip(header, zip(*rows, strict=True), strict=True):
        for index, (cell, expected) in enumerate(zip(cells, _cells(theirs[name]), strict=True)):
            if is_time(name) or not _is_plain(expected):
                continue
            where = f"{name}, row {index}"
            if _is_nan(expected) and name.startswith("param_"):
                assert json.loads(cell) == NAN, where  # a parameter that is NaN is not missing
            elif expected is None or _is_nan(expected):
                assert cell == "", where
            elif isinstance(expected, float):
                assert same_bits(np.array([float(cell)]), np.array([expected])), where
            else:
                assert cell == str(expected), where


def assert_same_json(file: Path, theirs: Mapping[str, Any]) -> None:
    """Compare `cv_results.json` with a `cv_results_`."""
    document = json.loads(file.read_text())
    assert document["partial"] is False
    rows = document["rows"]
    assert len(rows) == len(theirs["params"])
    for index, row in enumerate(rows):
        assert list(row) == list(theirs)
        for name, column in theirs.items():
            expected = _cells(column)[index]
            if is_time(name) or not _is_plain(expected):
                continue
            where = f"{name}, row {index}"
            if _is_nan(expected) and name.startswith("param_"):
                assert row[name] == NAN, where
            elif expected is None or _is_nan(expected):
                assert row[name] is None, where
            else:
                # The bits of a float survive JSON; 1.0 may have been written 1 in the job file.
                assert row[name] == expected, where
                assert isinstance(row[name], bool) == isinstance(expected, bool), where


def _cells(column: Any) -> Sequence[Any]:
    """Return a column as plain values; None where it is masked."""
    return column.tolist() if isinstance(column, np.ndarray) else list(column)


def _is_plain(value: Any) -> bool:
    """Whether a value is written as itself: not in the job file's grammar."""
    return value is None or isinstance(value, bool | int | float | str)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)

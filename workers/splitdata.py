"""The training and test parts of a split, kept between the folds that use it.

Selecting the rows of a split copies them, for every candidate anew. An engine keeps the copies, as
read-only arrays, as long as there is room (`workers.kept`). They are aligned to 64 bytes, a
line of the processor's cache: some loops over rows run up to a fifth faster than on the 16 bytes
that memory fresh from the system happens to have.
"""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.metaestimators import _safe_split

from workers.dataset import Array, is_sparse

#: Bytes at multiples of which kept arrays begin.
ALIGNMENT = 64

Indices = tuple[NDArray[np.intp], NDArray[np.intp]]


@dataclass(frozen=True, slots=True)
class Part:
    """The data of one split, as a fold uses them.

    Attributes
    ----------
    key : tuple
        Names the search, the split and the share of it that is drawn: equal keys, equal parts.
    X_train, y_train, X_test, y_test
        What `_safe_split` gives. `y_train` and `y_test` are None for data without a target.
    fit_params : dict
        What `fit` takes besides, for the training rows.
    test_params, train_params : dict
        What scorers take besides, for the test and the training rows.
    is_shared : bool
        True: kept for other folds, and read-only. False: fresh, and the fold's own.
    """

    key: Hashable
    X_train: Any
    y_train: Any
    X_test: Any
    y_test: Any
    fit_params: dict[str, Array]
    test_params: dict[str, Array]
    train_params: dict[str, Array]
    is_shared: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """What `_safe_split` takes of X, y and the sample weights for one split."""

    X_train: Any
    y_train: Any
    X_test: Any
    y_test: Any
    weights_train: Array | None
    weights_test: Array | None

    def lent(self) -> "Rows":
        """Return what is handed to a fold of kept rows.

        Arrays are read-only and go out as they are; a table, to which columns could be
        assigned, as a new frame over the same columns.
        """
        if not isinstance(self.X_train, pd.DataFrame | pd.Series):
            return self
        return replace(
            self, X_train=self.X_train.copy(deep=False), X_test=self.X_test.copy(deep=False)
        )


def take(estimator: BaseEstimator, X: Any, y: Any, weights: Array | None, split: Indices) -> Rows:
    """Take a split's rows as scikit-learn does: fresh, writable copies."""
    train, test = split
    X_train, y_train = _safe_split(estimator, X, y, train)
    X_test, y_test = _safe_split(estimator, X, y, test, train)
    if weights is None:
        return Rows(X_train, y_train, X_test, y_test, None, None)
    return Rows(X_train, y_train, X_test, y_test, weights[train], weights[test])


def take_to_keep(
    estimator: BaseEstimator,
    X: Any,
    y: Any,
    weights: Array | None,
    split: Indices,
    *,
    is_pairwise: bool,
) -> Rows:
    """Take a split's rows for many folds: the same values in the same layout, but read-only."""
    if is_pairwise or not _is_plain(X, split):
        rows = take(estimator, X, y, weights, split)
        return Rows(*(frozen(getattr(rows, name)) for name in Rows.__slots__))
    # Straight into their place: there is no moment with two copies of large training data.
    train, test = split
    no_data = np.empty((len(X), 0))
    _, y_train = _safe_split(estimator, no_data, y, train)
    _, y_test = _safe_split(estimator, no_data, y, test, train)
    return Rows(
        _aligned_rows(X, train),
        frozen(y_train),
        _aligned_rows(X, test),
        frozen(y_test),
        None if weights is None else frozen(weights[train]),
        None if weights is None else frozen(weights[test]),
    )


def expected_bytes(X: Any, split: Indices) -> int:
    """Return about how many bytes the rows of a split will take, before they are taken."""
    n_rows = len(split[0]) + len(split[1])
    if isinstance(X, pd.DataFrame):
        size = int(X.memory_usage(index=False).sum())
    elif is_sparse(X):
        size = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    else:
        size = int(getattr(X, "nbytes", 0))
    return size * n_rows // max(1, int(X.shape[0]))


def frozen(value: Any) -> Any:
    """Return a value as it may be kept: arrays aligned and read-only, in the layout they have."""
    if isinstance(value, np.ndarray):
        return _aligned(value)
    if is_sparse(value):
        for name in ("data", "indices", "indptr"):
            array = getattr(value, name, None)
            if array is not None:
                setattr(value, name, _aligned(array))
    return value


def _aligned(array: Array) -> Array:
    """Return a read-only copy that begins at a multiple of `ALIGNMENT`, laid out the same."""
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    is_packed = array.flags.c_contiguous or array.flags.f_contiguous
    if array.dtype.hasobject or not is_packed:
        kept = array.copy(order="K")
    else:
        kept = _empty(array.shape, array.dtype, order)
        kept[...] = array
    return _read_only(kept)


def _aligned_rows(X: Array, rows: NDArray[np.intp]) -> Array:
    """Return rows of a C-ordered array, read-only and aligned."""
    kept = _empty((len(rows), *X.shape[1:]), X.dtype, "C")
    # "clip" is never needed, the rows are within, but with "raise" NumPy would fill a copy first.
    np.take(X, rows, axis=0, out=kept, mode="clip")
    return _read_only(kept)


def _empty(shape: tuple[int, ...], dtype: "np.dtype[Any]", order: Any) -> Array:
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, dtype=np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return np.ndarray(shape, dtype, memory[start : start + size].data, order=order)


def _read_only(array: Array) -> Array:
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    owner.flags.writeable = False
    array.flags.writeable = False
    return array


def _is_plain(X: Any, split: Indices) -> bool:
    """Tell whether `X[rows]` is nothing but a copy of rows, in C order."""
    return (
        type(X) is np.ndarray
        and X.flags.c_contiguous
        and not X.dtype.hasobject
        and all(
            rows.dtype.kind in "iu" and len(rows) and rows.min() >= 0 and rows.max() < len(X)
            for rows in split
        )
    )

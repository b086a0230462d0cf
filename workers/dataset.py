"""A data set as scikit-learn takes it: X, y, groups and sample weights."""

from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from schemas.problems import InvalidJob, Problem

#: A NumPy array of any dtype.
Array: TypeAlias = npt.NDArray[Any]

#: `X`: a table, one text column, a dense array, or a sparse one in CSR format.
Features: TypeAlias = (
    "pd.DataFrame | pd.Series[Any] | Array | sp.csr_array[Any] | sp.csr_matrix[Any]"
)

#: `y`: one value or one row for each sample; sparse for sparse multilabel indicators.
Target: TypeAlias = "Array | sp.csr_array[Any] | sp.csr_matrix[Any]"


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """What a search is run on.

    Attributes
    ----------
    X : DataFrame, Series, ndarray or CSR of shape (n_samples, n_features) or (n_samples,)
        A Series is a single text column, for vectorisers.
    y : ndarray or CSR of shape (n_samples,) or (n_samples, n_outputs), or None
        None for estimators that learn without a target (clustering, density).
    groups : ndarray of shape (n_samples,) or None
    weights : ndarray of shape (n_samples,) or None
        Sample weights.
    """

    X: "Features"
    y: "Target | None" = None
    groups: Array | None = None
    weights: Array | None = None

    @property
    def n_samples(self) -> int:
        """Rows of `X`."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int | None:
        """Columns of `X`; None for a single text column."""
        return int(self.X.shape[1]) if len(self.X.shape) == 2 else None


def is_sparse(value: object) -> TypeGuard["sp.csr_array[Any] | sp.csr_matrix[Any]"]:
    """Tell whether a part of a data set is a sparse matrix."""
    return bool(sp.issparse(value))


def dense(values: "Target") -> Array:
    """Return a target as a plain array, for counting its values."""
    return np.asarray(values.toarray() if is_sparse(values) else values)


class UnstorableData(TypeError):
    """A value that cannot be kept without pickling it.

    Attributes
    ----------
    name : str
        The column or array it was found in.
    kind : str
        Its type.
    """

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(f"{name} holds values of type {kind}")
        self.name = name
        self.kind = kind


def plain_scalars(values: Array, name: str) -> list[str | int | float | bool | None]:
    """Return the values of an object array as scalars that JSON knows.

    Tables mix text with numbers, and true with missing, in columns of Python objects. Their
    values are kept as JSON and never as a pickle: whoever can write to the cache could make an
    engine run any code through a pickle.

    Raises
    ------
    UnstorableData
        For anything but text, whole numbers, floats, booleans and missing values.
    """
    scalars: list[str | int | float | bool | None] = []
    for value in values.ravel(order="C"):
        plain = value.item() if isinstance(value, np.generic) else value
        if value is pd.NA or value is pd.NaT:
            plain = None
        if plain is not None and type(plain) not in {str, int, float, bool}:
            raise UnstorableData(name, type(value).__name__)
        scalars.append(plain)
    return scalars


def as_features(X: Any, where: str) -> Any:
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


def as_target(y: Any) -> Any:
    """Return a target as an array, or as CSR where it is sparse."""
    if y is None:
        return None
    if is_sparse(y):
        return y.tocsr()
    return y.to_numpy() if isinstance(y, pd.Series | pd.DataFrame) else np.asarray(y)

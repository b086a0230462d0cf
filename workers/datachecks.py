"""What only the data can tell is wrong with a search, told before its first fold.

What scikit-learn would raise is an error here; what it warns of is a warning.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.model_selection import (
    PredefinedSplit,
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    check_cv,
)
from sklearn.model_selection._split import GroupsConsumerMixin
from sklearn.utils.multiclass import type_of_target

from schemas.data import DataSpec, FileData
from schemas.problems import Problem, shown
from workers.dataset import Array, Dataset, dense, is_sparse

_STRATIFIED = (
    RepeatedStratifiedKFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
)

#: Rows looked at in one go for infinities, so that no copy of a large table is made.
_CHUNK = 100_000


def dataset_problems(dataset: Dataset, data: DataSpec, estimator: BaseEstimator) -> list[Problem]:
    """Return what is wrong with a data set for an estimator of this kind."""
    roles = Roles(data)
    problems = list(_length_problems(dataset, roles))
    if not problems:
        problems += _feature_problems(dataset.X, roles)
        problems += _target_problems(dataset.y, roles, estimator)
        problems += _weight_problems(dataset.weights, roles)
        if dataset.groups is not None and (missing := int(pd.isna(dataset.groups).sum())):
            problems.append(
                Problem(roles.groups, f"{missing:,} samples have no group", given=f"{missing:,}")
            )
    return problems


class Roles:
    """The job file's fields for the parts of a data set, as messages name them."""

    def __init__(self, data: DataSpec) -> None:
        self.features = self.target = self.rows = "data"
        self.groups, self.weights = "data.groups", "data.weights"
        if isinstance(data, FileData):
            tabular = data.suffix != ".npz"
            self.rows = "data.file"
            self.features = "data.features" if tabular else "data.x"
            self.target = "data.target" if tabular else "data.y"


def _length_problems(dataset: Dataset, roles: Roles) -> Iterator[Problem]:
    n = dataset.n_samples
    if n == 0:
        yield Problem(roles.rows, "there are no rows of data", given="0 rows")
    if dataset.n_features == 0:
        yield Problem(roles.features, "there are no features", given="0 columns")
    for name, where in (
        ("y", roles.target),
        ("groups", roles.groups),
        ("weights", roles.weights),
    ):
        values = getattr(dataset, name)
        if values is None:
            continue
        if values.shape[:1] != (n,):
            yield Problem(
                where,
                f"X has {n:,} rows and {name} has the shape {values.shape}",
                given=str(values.shape),
                expected=f"{n:,} values, one for each row of X",
            )
        elif len(values.shape) > (2 if name == "y" else 1):
            yield Problem(where, f"{name} has too many dimensions", given=str(values.shape))


def _feature_problems(X: Any, roles: Roles) -> Iterator[Problem]:
    hint = "Replace the infinite values; missing ones may be left empty and imputed."
    if isinstance(X, pd.Series):
        if missing := int(X.isna().sum()):
            yield Problem(
                roles.features,
                f"{missing:,} texts in the column {str(X.name)!r} are missing",
                hint="Vectorisers take text only. Empty cells and words such as NA count as "
                "missing: write a text in their place.",
            )
    elif isinstance(X, pd.DataFrame):
        infinite = [
            str(name)
            for name, column in X.items()
            if pd.api.types.is_float_dtype(column.dtype)
            and _has_infinity(column.to_numpy(dtype=float, na_value=np.nan))
        ]
        if infinite:
            listed = ", ".join(repr(name) for name in infinite[:5])
            yield Problem(
                roles.features,
                f"there are infinite values in {listed}{' …' if len(infinite) > 5 else ''}",
                given="inf",
                expected="finite or missing numbers",
                hint=hint,
            )
    elif _has_infinity(X.data if is_sparse(X) else X):
        yield Problem(
            roles.features,
            "there are infinite values in X",
            given="inf",
            expected="finite or missing numbers",
            hint=hint,
        )


def _has_infinity(values: Array) -> bool:
    return values.dtype.kind in "fc" and any(
        np.isinf(values[start : start + _CHUNK]).any() for start in range(0, len(values), _CHUNK)
    )


def _target_problems(y: Any, roles: Roles, estimator: BaseEstimator) -> Iterator[Problem]:
    classifier, regressor = is_classifier(estimator), is_regressor(estimator)
    if y is None:
        if classifier or regressor:
            kind = "classifier" if classifier else "regressor"
            yield Problem(
                roles.target,
                f"a {kind} needs a target, and the data have none",
                hint="Name the column to predict: target: COLUMN (in an .npz file y: ARRAY).",
            )
        return
    values = dense(y)
    if missing := int(pd.isna(values).sum()):
        yield Problem(
            roles.target,
            f"the target is missing in {missing:,} of {len(values):,} rows",
            hint="Leave these rows out of the file. Empty cells and words such as NA count as "
            "missing.",
        )
    elif _has_infinity(values):
        yield Problem(roles.target, "there are infinite values in the target", given="inf")
    elif classifier:
        yield from _class_problems(y, values, roles)
    elif regressor and (text := _first_text(values)) is not None:
        yield Problem(
            roles.target,
            "a regressor needs numbers for a target, and this one holds text",
            given=shown(text),
            hint="Use a classifier, or name a column of numbers.",
        )


def _class_problems(y: Any, values: Array, roles: Roles) -> Iterator[Problem]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = type_of_target(y)
            n_classes = len(np.unique(values))
    except (TypeError, ValueError):
        kind, n_classes = "unknown", 0
    if kind.startswith("continuous"):
        yield Problem(
            roles.target,
            "a classifier needs classes for a target, and this one holds continuous numbers",
            given=shown(float(values.flat[0])),
            hint="Use a regressor, or put the numbers into classes.",
        )
    elif kind == "unknown":
        yield Problem(
            roles.target,
            "the classes of the target are of several types, or of one that is not known",
            given=f"dtype {values.dtype}",
            expected="whole numbers, booleans, or text, and not a mixture of them",
        )
    elif n_classes < 2 and values.ndim == 1:
        yield Problem(
            roles.target,
            "the target has a single class, so there is nothing to tell apart",
            given=shown(values.flat[0]),
            expected="at least two classes",
        )


def _first_text(values: Array) -> str | None:
    if values.dtype.kind in "US":
        return str(values.flat[0])
    if values.dtype == object:
        return next((value for value in values.flat if isinstance(value, str)), None)
    return None


def _weight_problems(weights: Array | None, roles: Roles) -> Iterator[Problem]:
    if weights is None:
        return
    if weights.dtype.kind not in "biuf":
        yield Problem(
            roles.weights, "sample weights must be numbers", given=f"dtype {weights.dtype}"
        )
    elif not np.isfinite(weights).all():
        yield Problem(roles.weights, "sample weights must be finite, and none may be missing")


def split_problems(cv: Any, dataset: Dataset, data: DataSpec, *, classifier: bool) -> list[Problem]:
    """Return why a splitter cannot split a data set, in words kinder than its own.

    What is not foreseen here, the splitter itself says when the splits are chosen.

    Parameters
    ----------
    cv : int, None or splitter
        As given: an integer's place in the job file is `cv`, a splitter's `cv.n_splits`.
    """
    splitter = check_cv(cv, dataset.y, classifier=classifier)
    where = "cv" if cv is None or isinstance(cv, int) else "cv.n_splits"
    return list(_splitter_problems(splitter, where, dataset, Roles(data)))


def _splitter_problems(
    splitter: Any, where: str, dataset: Dataset, roles: Roles
) -> Iterator[Problem]:
    name = type(splitter).__name__
    n_samples = dataset.n_samples
    # Repeated splitters keep it among the parameters of the one they repeat.
    n_splits = getattr(splitter, "n_splits", None) or getattr(splitter, "cvargs", {}).get(
        "n_splits"
    )
    draws = name.endswith("ShuffleSplit")
    if isinstance(splitter, PredefinedSplit):
        if len(splitter.test_fold) != n_samples:
            yield Problem(
                "cv.test_fold",
                f"test_fold has {len(splitter.test_fold):,} entries for {n_samples:,} samples",
                given=f"{len(splitter.test_fold):,} entries",
                expected=f"{n_samples:,} entries",
            )
        return
    if isinstance(splitter, GroupsConsumerMixin):
        if dataset.groups is None:
            yield Problem(
                roles.groups,
                f"{name} splits by groups, and the data name none",
                hint="Name the column (in an .npz file the array) with the groups: groups: COLUMN.",
            )
            return
        n_groups = len(pd.unique(dataset.groups))
        if n_splits is not None and not draws and n_splits > n_groups:
            yield _too_many_folds(where, n_splits, f"there are {n_groups:,} groups", n_groups)
            return
    if isinstance(splitter, _STRATIFIED):
        if dataset.y is None:
            yield Problem(roles.target, f"{name} splits by classes, and the data have no target")
            return
        y = dense(dataset.y)
        if n_splits is not None and not draws and y.ndim == 1:
            counts = pd.Series(y).value_counts()
            if (counts < n_splits).all():
                largest = int(counts.max())
                yield _too_many_folds(
                    where, n_splits, f"the largest class has {largest:,} members", largest
                )
                return
    if n_splits is not None and not draws and n_splits > n_samples:
        yield _too_many_folds(where, n_splits, f"there are {n_samples:,} samples", n_samples)


def _too_many_folds(where: str, n_splits: int, limit: str, most: int) -> Problem:
    return Problem(
        where,
        f"{n_splits} folds are too many: {limit}",
        given=str(n_splits),
        expected=f"at most {most:,}" if most > 1 else None,
        hint=None if most > 1 else "Give more data, or another splitter.",
    )

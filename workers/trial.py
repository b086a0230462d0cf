"""Fit a search's estimator once on a few rows, to tell beforehand what would fail in every fold.

What a fit makes of the data (text where numbers are needed, missing values, a classifier in the
middle of a pipeline) is known to the estimator alone, so it is asked. Only its own words on the
whole training part of the first split count: few rows may fail for being few.
"""

import warnings
from typing import Any

import numpy as np
import pandas as pd

from schemas.job import JobSpec
from schemas.problems import Problem
from workers.catalog import Catalog
from workers.data import Examined
from workers.dataset import Dataset
from workers.limits import FoldTimeout, time_limit
from workers.prototype import Family
from workers.splitdata import take

#: Rows that are tried first, and seconds that all of it may take.
ROWS = 200
PATIENCE = 2.0

#: Characters that are told of an error, and columns that are named.
_MAX_WORDS = 300
_MAX_COLUMNS = 5


def trial_problem(spec: JobSpec, catalog: Catalog, examined: Examined) -> Problem | None:
    """Return a warning if the first candidate cannot be fitted on the first split.

    None, too, when a fit takes longer than `PATIENCE`. To be called in the main thread.
    """
    train, test = examined.splits[0]
    few = train[np.linspace(0, len(train) - 1, min(ROWS, len(train))).astype(np.intp)]
    try:
        candidate = Family(catalog.build(spec.estimator), catalog).candidate(_first(spec, catalog))
        with time_limit(PATIENCE), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            error = _failure(candidate, examined.dataset, few, test)
            if error is not None and len(few) < len(train):
                error = _failure(candidate, examined.dataset, train, test)
    except (Exception, FoldTimeout):  # a value that cannot be set is told by other checks
        return None
    if error is None:
        return None
    words = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    words = words if len(words) <= _MAX_WORDS else words[:_MAX_WORDS] + " …"
    return Problem(
        "estimator",
        "The first candidate cannot be fitted on the first split, and others may fail alike: "
        f"{type(error).__name__}: {words}.",
        hint=_next_step(str(error), examined.dataset.X),
        severity="warning",
    )


def _first(spec: JobSpec, catalog: Catalog) -> dict[str, Any]:
    """Return the first value of each parameter; what is drawn stays as the estimator has it."""
    space = catalog.build_space(spec.search.spaces[0])[0]
    return {param: values[0] for param, values in space.items() if isinstance(values, list)}


def _failure(candidate: Any, dataset: Dataset, train: Any, test: Any) -> Exception | None:
    from sklearn.base import clone

    rows = take(candidate, dataset.X, dataset.y, None, (train, test))
    target = () if rows.y_train is None else (rows.y_train,)
    try:
        clone(candidate).fit(rows.X_train, *target)
    except Exception as error:
        return error
    return None


def _next_step(words: str, X: Any) -> str | None:
    """Return what to do about an error of scikit-learn's, where that is plain."""
    if "contains NaN" in words:
        return "Put a SimpleImputer in front, as the first step of a Pipeline."
    texts = [
        str(name)
        for name, dtype in (X.dtypes.items() if isinstance(X, pd.DataFrame) else ())
        if not pd.api.types.is_numeric_dtype(dtype)
    ]
    if texts and "convert" in words:
        named = ", ".join(texts[:_MAX_COLUMNS]) + (", …" if len(texts) > _MAX_COLUMNS else "")
        return (
            f"No numbers are in: {named}. Encode such columns, with a ColumnTransformer and "
            "OneHotEncoder in front, or leave them out of data.features."
        )
    return None

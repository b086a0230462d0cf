"""Fit the steps at the head of a pipeline once for all candidates that share them.

`Pipeline.fit` fits its transformers one after the other, each on what the one before made of the
training data, and its answers are those of its last step on what the transformers make of the test
data (scikit-learn 1.9, `Pipeline._fit`, `Pipeline.predict`). Here the same calls are made in the
same order, step by step, and what they made of a split's data is kept: `fit_transform` of the
training data, `transform` of the test data, and `transform` of the training data where train scores
are wanted, which need not be the same as the first. A later fold whose candidate has the same head,
the longest that is kept, begins behind it. After that nobody asks a fitted transformer anything, so
it is not kept and cannot be changed; the data are read-only.

Nothing is shared

- of a pipeline with `memory`, `transform_input` or metadata routing, of one that leaves data to be
  overwritten (`copy=False`), and where scorers are not scikit-learn's own, which ask a model for
  nothing but its answers;
- from the first step on that is not scikit-learn's own, draws without a seed, may answer otherwise
  when it is asked again, or makes something else than arrays, sparse matrices or tables.

A pipeline or union within a pipeline is one step.
"""

import copy
import json
import time
import warnings
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import JsonValue
from sklearn import get_config
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from workers.dataset import is_sparse
from workers.kept import kept, n_bytes
from workers.repeatable import draws_where_seen, everything_in, is_repeatable
from workers.retelling import tell
from workers.splitdata import Part, frozen

#: Parameters of a pipeline itself, not of its steps.
_OWN_PARAMS = frozenset({"steps", "memory", "verbose", "transform_input"})

#: Packages whose objects are trusted to keep nothing in mind between two calls.
_TRUSTED = frozenset({"sklearn", "numpy", "scipy", "builtins"})

#: pandas copies a column before anyone writes to it from this version on (Copy-on-Write).
_PANDAS_COPIES = int(pd.__version__.partition(".")[0]) >= 3


@dataclass(frozen=True, slots=True)
class Head:
    """What the fitted steps at the head of a pipeline made of the data of one split.

    Attributes
    ----------
    n_steps : int
        Steps of the pipeline that are done.
    is_repeatable : bool
        Whether fitting them again would give the same.
    X_fit : array, sparse matrix or DataFrame of shape (n_train, n_made)
        What the next step is fitted on.
    X_test : same kind of shape (n_test, n_made)
    X_train : same kind of shape (n_train, n_made), or None
        What the next step is asked about the training data; None without train scores.
    fit_time : float
        Seconds that fitting them took, when it was done.
    warned : tuple of WarningMessage
        What they warned of: each fold that is spared the fit is told so again.
    """

    n_steps: int
    is_repeatable: bool
    X_fit: Any
    X_test: Any
    X_train: Any
    fit_time: float = 0.0
    warned: tuple[warnings.WarningMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class FittedHead:
    """A head for one fold, and the time that it took.

    Attributes
    ----------
    head : Head
    fit_time : float
        Seconds spent on fitting.
    score_time : float
        Seconds spent on transforming what will be scored, which scoring would have done.
    spared_time : float
        Seconds of fitting that an earlier fold had spent.
    """

    head: Head
    fit_time: float
    score_time: float
    spared_time: float


def is_divisible(estimator: BaseEstimator, params: Mapping[str, JsonValue], scorer: Any) -> bool:
    """Tell whether a candidate is a pipeline that may be fitted in two parts.

    Parameters
    ----------
    estimator : estimator
        The candidate, unfitted.
    params : dict
        Its parameters, in the job file's spelling.
    scorer : callable
        What the fold is scored with.
    """
    if type(estimator) is not Pipeline or get_config()["enable_metadata_routing"]:
        return False
    steps = estimator.steps
    if type(steps) is not list or len(steps) < 2 or estimator.memory is not None:
        return False
    if estimator.transform_input is not None or estimator.verbose is not False:
        return False
    names = [name for name, _ in steps]
    if len(set(names)) < len(names) or any("__" in name or name in _OWN_PARAMS for name in names):
        return False
    if any(param.partition("__")[0] not in names for param in params):
        return False
    return all(_is_transformer(step) for _, step in steps[:-1]) and _is_own_scorer(scorer)


def fit_head(
    pipeline: Pipeline, part: Part, params: Mapping[str, JsonValue], *, with_train: bool
) -> FittedHead:
    """Fit as much of a pipeline's head as can be shared, or take it from an earlier fold.

    Parameters
    ----------
    pipeline : Pipeline
        One that `is_divisible`. Its first steps may be fitted or not afterwards.
    part : Part
    params : dict
        The candidate's parameters, in the job file's spelling.
    with_train : bool
        Whether the training data will be scored too.

    Returns
    -------
    FittedHead
        It may have no steps at all.

    Raises
    ------
    Exception
        Whatever a step raises.
    """
    keys = _keys(pipeline, part.key, params)
    head = Head(0, True, part.X_train, part.X_test, part.X_train if with_train else None)
    for key in reversed(keys):
        known = kept.get(key)
        if known is not None:
            head = _lent(known)
            break
    tell(head.warned)
    spared_time, score_time = head.fit_time, 0.0
    while head.n_steps < len(keys) and head.is_repeatable:
        step = pipeline.steps[head.n_steps][1]
        if step is None or step == "passthrough":
            head = replace(head, n_steps=head.n_steps + 1)
            continue
        if not _is_shareable(step):
            break
        head, seconds = _with_step(head, step, part.y_train)
        score_time += seconds
        if head.is_repeatable:
            head = _kept(keys[head.n_steps - 1], head)
    return FittedHead(head, head.fit_time - spared_time, score_time, spared_time)


def _with_step(head: Head, step: Any, y_train: Any) -> tuple[Head, float]:
    """Fit the next step; return the longer head, and the seconds of what scoring would do."""
    repeatable, generator = is_repeatable(step), np.random.get_state()
    with warnings.catch_warnings(record=True) as warned:
        start = time.perf_counter()
        if hasattr(step, "fit_transform"):
            X_fit = step.fit_transform(head.X_fit, y_train)
        else:
            X_fit = step.fit(head.X_fit, y_train).transform(head.X_fit)
        fitted = time.perf_counter()
        X_test = step.transform(head.X_test)
        X_train = None if head.X_train is None else step.transform(head.X_train)
        end = time.perf_counter()
    tell(warned)
    longer = Head(
        n_steps=head.n_steps + 1,
        is_repeatable=repeatable or _is_untouched(generator),
        X_fit=X_fit,
        X_test=X_test,
        X_train=X_train,
        fit_time=head.fit_time + fitted - start,
        warned=(*head.warned, *warned),
    )
    return longer, end - fitted


def _keys(pipeline: Pipeline, part: Hashable, params: Mapping[str, JsonValue]) -> list[Hashable]:
    """Return under which key the head with each number of steps is kept.

    The part's key stands for the search, and so for the estimator as the job file has it; what
    candidates change in the steps is added.
    """
    keys: list[Hashable] = []
    key: tuple[Hashable, ...] = ("head", part)
    for name, _ in pipeline.steps[:-1]:
        own = {param: params[param] for param in params if param.partition("__")[0] == name}
        key = (*key, json.dumps(own, sort_keys=True) if own else "")
        keys.append(key)
    return keys


def _is_transformer(step: Any) -> bool:
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return True
    is_fitted_somehow = hasattr(step, "fit") or hasattr(step, "fit_transform")
    return isinstance(step, BaseEstimator) and is_fitted_somehow and hasattr(step, "transform")


def _is_own_scorer(scorer: Any) -> bool:
    """Tell whether a scorer is one of scikit-learn's, or several of them."""
    if type(scorer).__module__ != "sklearn.metrics._scorer":
        return False
    several = getattr(scorer, "_scorers", None)
    return several is None or all(_is_own_scorer(single) for single in several.values())


def _is_shareable(step: BaseEstimator) -> bool:
    """Tell whether a step can be fitted once for all candidates.

    It and all in it are scikit-learn's own, what it draws is seeded or can be seen, and asked
    again it answers the same.
    """
    for part in everything_in(step):
        kind = part if hasattr(part, "__qualname__") else type(part)
        if str(kind.__module__).partition(".")[0] not in _TRUSTED:
            return False
        if getattr(part, "sample_posterior", False) is not False:  # IterativeImputer: draws on
            return False
    return is_repeatable(step) or draws_where_seen(step)


def _is_untouched(before: Any) -> bool:
    """Tell whether nobody drew from NumPy's global generator since it was in this state."""
    after = np.random.get_state()
    return all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


# --- what is kept ------------------------------------------------------------------------------


def _kept(key: Hashable, head: Head) -> Head:
    """Keep a head for later folds, if there is room, and return it as this fold uses it."""
    made = (head.X_fit, head.X_test, head.X_train)
    if not all(_can_be_kept(data) for data in made):
        return head
    size = sum(n_bytes(data) for data in made)
    if not kept.make_room(size):
        return head
    X_fit, X_test, X_train = map(_read_only, made)
    head = replace(head, X_fit=X_fit, X_test=X_test, X_train=X_train)
    kept.put(key, head, size)
    return _lent(head)


def _lent(head: Head) -> Head:
    """Return a kept head with objects of the fold's own, over the same read-only data."""
    X_fit, X_test, X_train = map(_view, (head.X_fit, head.X_test, head.X_train))
    return replace(head, X_fit=X_fit, X_test=X_test, X_train=X_train)


def _can_be_kept(data: Any) -> bool:
    if is_sparse(data):
        return hasattr(data, "indptr")
    return (
        data is None
        or type(data) is np.ndarray
        or (isinstance(data, pd.DataFrame) and _PANDAS_COPIES)
    )


def _read_only(data: Any) -> Any:
    """Return data that nobody can write to: values, layout and strides stay as they are."""
    if type(data) is np.ndarray and not (data.flags.c_contiguous or data.flags.f_contiguous):
        data.flags.writeable = False  # sums of a packed copy could be rounded otherwise
        return data
    return frozen(data)


def _view(data: Any) -> Any:
    if is_sparse(data):
        return copy.copy(data)
    return data.copy(deep=False) if isinstance(data, pd.DataFrame) else data

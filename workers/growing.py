"""Grow one ensemble through the sizes that are asked for, instead of fitting each from nothing.

With `warm_start` and a fixed `random_state` scikit-learn adds to an ensemble the members that a
larger one would have had from the start. Read in its source (1.9), and held by
`tests/parity/test_growing.py` for each estimator listed, to the last bit:

- `RandomForest…`, `ExtraTrees…` (`BaseForest.fit`): every tree has a seed of its own, drawn one
  after the other from `random_state`; a warm start draws and drops those of the trees it has. Trees
  do not depend on each other. `class_weight="balanced…"` is computed from y, which stays the same:
  the warning that it might not is left out.
- `Bagging…`, `IsolationForest` (`BaseBagging._fit`): likewise, where the members' own estimator has
  nothing in it that draws beside the seeds it is given. `IsolationForest` computes its offset anew.
- `GradientBoosting…`: each stage starts from the predictions of those before. They are computed
  again, in the order in which they were added up, from the same products of float64, and the
  generator goes on where it was (`_rng`). This needs multiplication and addition to be rounded one
  by one on both ways, and compilers for processors other than x86-64 may merge them. With
  `n_iter_no_change` the stages depend on more; an `init` estimator is not asked to answer equally.
- `HistGradientBoosting…`: likewise, without any product; the bins are found again with the seed of
  the first time (`_random_seed`), and the generator for features goes on. Early stopping depends on
  more, and is on by default for more than 10,000 samples.

An ensemble that was made with `random_state=None`, `warm_start=True` or `oob_score` is fitted as it
says, and so is one that is smaller than what has been grown.
"""

import copy
import json
import platform
import time
import warnings
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from pydantic import JsonValue
from sklearn.base import BaseEstimator, clone

from workers.growable import GROWING
from workers.kept import kept, n_bytes
from workers.prototype import is_own
from workers.repeatable import everything_in, is_repeatable
from workers.retelling import tell

#: Samples up to which `early_stopping="auto"` means no.
_NOT_STOPPED_EARLY = 10_000

#: Processors for which C compilers round each product and each sum by default.
_ROUNDS_EACH = platform.machine() in {"x86_64", "AMD64"}


@dataclass(slots=True)
class Grown:
    """An ensemble as far as it has been grown.

    Attributes
    ----------
    model : BaseEstimator
        With `warm_start`. Only growing changes it.
    size : int
    n_bytes : int
        Of memory, about.
    fit_time : float
        Seconds it took so far.
    warned : tuple of WarningMessage
        What its last fit warned of.
    """

    model: BaseEstimator
    size: int = 0
    n_bytes: int = 0
    fit_time: float = 0.0
    warned: tuple[warnings.WarningMessage, ...] = ()


@dataclass(frozen=True, slots=True)
class GrownFit:
    """An ensemble of the size one fold asks for, and the time that it took.

    Attributes
    ----------
    model : BaseEstimator
        A copy that shares its members with what is kept.
    fit_time, spared_time : float
        Seconds spent, and seconds that earlier folds had spent.
    """

    model: BaseEstimator
    fit_time: float
    spared_time: float


def can_grow(estimator: BaseEstimator, n_samples: int) -> bool:
    """Tell whether growing an ensemble gives what fitting it gives.

    Parameters
    ----------
    estimator : BaseEstimator
        Unfitted, with all its parameters.
    n_samples : int
        Samples it will be fitted on.
    """
    name = type(estimator).__name__
    if name not in GROWING or not is_own(estimator):
        return False
    size = getattr(estimator, GROWING[name])
    if not _is_integer(size) or size < 1 or not _is_integer(estimator.random_state):
        return False
    if estimator.warm_start is not False:
        return False
    return _CONDITIONS[name.removesuffix("Classifier").removesuffix("Regressor")](
        estimator, n_samples
    )


def fit_grown(
    estimator: BaseEstimator,
    key: Hashable,
    params: Mapping[str, JsonValue],
    fit: Callable[[BaseEstimator], object],
    *,
    step: str | None = None,
) -> GrownFit | None:
    """Grow what earlier folds left of an ensemble to the size it has here.

    Parameters
    ----------
    estimator : BaseEstimator
        One that `can_grow`.
    key : hashable
        Stands for the search and the training data.
    params : dict
        The candidate's parameters, in the job file's spelling.
    fit : callable
        Fits the ensemble it is given to the training data.
    step : str, optional
        The name of the pipeline's step that it is.

    Returns
    -------
    GrownFit or None
        None when a larger one has been grown: then this one has to be fitted by itself.

    Raises
    ------
    Exception
        Whatever the fit raises.
    """
    parameter = GROWING[type(estimator).__name__]
    size = getattr(estimator, parameter)
    own = parameter if step is None else f"{step}__{parameter}"
    others = {name: value for name, value in params.items() if name != own}
    key = ("grown", key, json.dumps(others, sort_keys=True))
    grown: Grown = kept.get(key) or Grown(estimator)
    spared_time = grown.fit_time
    if size < grown.size:
        return None
    tell(grown.warned)
    if size > grown.size:
        kept.forget(key)  # a fit that is interrupted leaves it half grown
        _grow(grown, parameter, size, fit)
        kept.put(key, grown, grown.n_bytes)
    return GrownFit(_as_it_is(grown.model), grown.fit_time - spared_time, spared_time)


def _grow(grown: Grown, parameter: str, size: int, fit: Callable[[BaseEstimator], object]) -> None:
    """Fit the members that are missing. What the fit warns of is told and noted."""
    model = grown.model
    with warnings.catch_warnings(record=True) as warned:
        if grown.size > 0:
            model.set_params(**{parameter: size, "warm_start": True})
            warnings.filterwarnings("ignore", message="class_weight presets", category=UserWarning)
        start = time.perf_counter()
        fit(model)
        grown.fit_time += time.perf_counter() - start
    tell(warned)
    known = {str(warning.message) for warning in grown.warned}
    grown.warned += tuple(w for w in warned if str(w.message) not in known)
    members = getattr(model, "_predictors" if parameter == "max_iter" else "estimators_")
    grown.n_bytes += _n_bytes(members[grown.size :])
    grown.size = size


def _as_it_is(model: BaseEstimator) -> BaseEstimator:
    """Return a copy that stays as it is when the model grows on. They share their members."""
    other = copy.copy(model)
    for name, value in vars(model).items():
        if type(value) is list:
            setattr(other, name, value.copy())
    other.warm_start = False
    return other


def _is_integer(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _n_bytes(members: Any) -> int:
    # Gradient boosting has an array of trees, a row for each stage.
    return n_bytes(members.tolist() if isinstance(members, np.ndarray) else members)


# --- when it holds, by the class without Classifier or Regressor -------------------------------


def _without_oob_score(ensemble: Any, _n_samples: int) -> bool:
    return ensemble.oob_score is False


def _with_seeded_members(ensemble: Any, n_samples: int) -> bool:
    if ensemble.estimator is None:
        return _without_oob_score(ensemble, n_samples)
    member = clone(ensemble.estimator)
    names = [name for name in member.get_params() if name.rpartition("__")[2] == "random_state"]
    member.set_params(**dict.fromkeys(names, 0))
    return (
        _without_oob_score(ensemble, n_samples)
        and is_repeatable(member)
        and all(is_own(part) for part in everything_in(member) if isinstance(part, BaseEstimator))
    )


def _always(_ensemble: Any, _n_samples: int) -> bool:
    return True


def _without_early_stopping(ensemble: Any, _n_samples: int) -> bool:
    init = ensemble.init
    is_plain = init is None or (isinstance(init, str) and init == "zero")
    return _ROUNDS_EACH and ensemble.n_iter_no_change is None and is_plain


def _with_all_iterations(ensemble: Any, n_samples: int) -> bool:
    stopping = ensemble.early_stopping
    return stopping is False or (stopping == "auto" and n_samples <= _NOT_STOPPED_EARLY)


_CONDITIONS: dict[str, Callable[[Any, int], bool]] = {
    "RandomForest": _without_oob_score,
    "ExtraTrees": _without_oob_score,
    "Bagging": _with_seeded_members,
    "IsolationForest": _always,
    "GradientBoosting": _without_early_stopping,
    "HistGradientBoosting": _with_all_iterations,
}

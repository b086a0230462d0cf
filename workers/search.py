"""One job's search as an engine holds it: estimator, scorers, data and splits, built once."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.base import BaseEstimator, clone
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline

from schemas.job import JobSpec
from schemas.task import SearchContext
from workers.cache import open_prepared
from workers.catalog import Catalog
from workers.splits import Splits, subsample

#: Searches kept built on an engine: jobs of equal priority take turns there.
KEPT = 4

#: Row indices kept of one search, over its splits: 8 bytes each.
KEPT_INDICES = 4_000_000

Indices = tuple[NDArray[np.intp], NDArray[np.intp]]

_built: "OrderedDict[str, Search]" = OrderedDict()


#: Values of which a copy may share the very object.
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


class Prototype:
    """One candidate's estimator, from which each of its folds takes a copy.

    `clone` looks up signatures each time, which takes longer than a small fit. It is done once for
    a candidate; where nothing could be shared by accident (scikit-learn's own class, plain
    parameters) a shallow copy of what `clone` made is the same as another clone.
    """

    def __init__(self, search: "Search", params: Mapping[str, JsonValue]):
        self.params = params
        self._estimator = clone(search.estimator).set_params(**search.catalog.build_params(params))
        is_own = type(self._estimator).__module__.startswith("sklearn.")
        values = vars(self._estimator).values()
        self._is_plain = is_own and all(type(value) in _PLAIN for value in values)

    def copy(self) -> BaseEstimator:
        """Return another unfitted estimator with these parameters."""
        return copy.copy(self._estimator) if self._is_plain else clone(self._estimator)


@dataclass(slots=True)
class Search:
    """A search ready to compute folds.

    Attributes
    ----------
    X : array, sparse matrix, DataFrame or Series of shape (n_samples, …)
        Read-only and memory-mapped where its kind allows.
    fit_params : dict of str to ndarray of shape (n_samples,)
        What goes to `fit` besides X and y: the sample weights.
    score_params : dict of str to ndarray of shape (n_samples,)
        What goes to the scorers: the sample weights, where the scorers take them.
    """

    spec: JobSpec
    catalog: Catalog
    estimator: BaseEstimator
    scorer: Callable[..., Any]
    X: Any
    y: Any
    fit_params: dict[str, NDArray[np.float64]]
    score_params: dict[str, NDArray[np.float64]]
    splits: Splits
    _prototype: Prototype | None = None
    _kept_splits: dict[tuple[int, float | None], Indices] = field(default_factory=dict)

    def candidate(self, params: Mapping[str, JsonValue]) -> BaseEstimator:
        """Return a new, unfitted estimator with the candidate's parameters."""
        if self._prototype is None or self._prototype.params != params:
            self._prototype = Prototype(self, params)
        return self._prototype.copy()

    def split(self, index: int, fraction: float | None) -> Indices:
        """Return the train and test indices of a split, drawn down to `fraction` if given."""
        key = (index, fraction)
        if key not in self._kept_splits:
            train, test = self.splits[index]
            if fraction is not None:
                seed = self.spec.search.seed
                assert seed is not None, "halving gets its seed at admission"
                train, test = subsample(train, test, fraction, seed)
            while len(self._kept_splits) >= max(1, KEPT_INDICES // (len(train) + len(test))):
                del self._kept_splits[next(iter(self._kept_splits))]
            self._kept_splits[key] = (train, test)
        return self._kept_splits[key]


def opened(context: SearchContext) -> Search:
    """Return the search of this context, built or kept from before.

    Raises
    ------
    DataMissing
        If the prepared data set is not in the cache.
    """
    if context.key in _built:
        _built.move_to_end(context.key)
        return _built[context.key]
    search = build(context, mmap=True)
    _built[context.key] = search
    while len(_built) > KEPT:
        _built.popitem(last=False)
    return search


def build(context: SearchContext, *, mmap: bool) -> Search:
    """Build a search: with `mmap=False` the data are in memory and writable, as for a refit."""
    if context.fingerprint is None or context.splits is None:
        raise ValueError("the data set of this search has not been prepared")
    spec = JobSpec.model_validate(context.spec)
    catalog = Catalog(context.catalog)
    cache = Path(context.cache)
    data = open_prepared(cache, context.fingerprint, mmap=mmap)
    estimator = catalog.build(spec.estimator)
    scorer = check_scoring(
        estimator, scoring=catalog.scoring(spec), raise_exc=spec.error_score == "raise"
    )
    fit_params, score_params = _weights(estimator, scorer, data.weights)
    return Search(
        spec=spec,
        catalog=catalog,
        estimator=estimator,
        scorer=scorer,
        X=data.X,
        y=data.y,
        fit_params=fit_params,
        score_params=score_params,
        splits=Splits(cache, context.fingerprint, context.splits),
    )


def _weights(
    estimator: BaseEstimator, scorer: Callable[..., Any], weights: NDArray[np.float64] | None
) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Route sample weights as `GridSearchCV.fit(X, y, sample_weight=…)` does.

    A pipeline takes them for its last step only, under that step's name, and then scikit-learn does
    not hand them to the scorers.
    """
    if weights is None:
        return {}, {}
    if isinstance(estimator, Pipeline):
        return {f"{estimator.steps[-1][0]}__sample_weight": weights}, {}
    accepts = getattr(scorer, "_accept_sample_weight", lambda: False)
    return {"sample_weight": weights}, {"sample_weight": weights} if accepts() else {}

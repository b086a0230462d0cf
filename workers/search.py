"""One job's search as an engine holds it: estimator, scorers, data and splits, built once."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline

from schemas.job import JobSpec
from schemas.task import SearchContext
from workers.catalog import Catalog
from workers.data import open_prepared
from workers.splits import Splits, subsample

#: Searches kept built on an engine: jobs of equal priority take turns there.
KEPT = 4

_built: "OrderedDict[str, Search]" = OrderedDict()


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

    def split(
        self, index: int, fraction: float | None
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the train and test indices of a split, drawn down to `fraction` if given."""
        train, test = self.splits[index]
        if fraction is None:
            return train, test
        seed = self.spec.search.seed
        assert seed is not None, "halving gets its seed at admission"
        return subsample(train, test, fraction, seed)


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

"""One job's search as an engine holds it: estimator, scorers, data and splits, built once."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from sklearn.base import BaseEstimator
from sklearn.metrics import check_scoring
from sklearn.pipeline import Pipeline

from schemas.job import JobSpec
from schemas.task import SearchContext, Shortcuts
from workers import kept as store
from workers.cache import open_prepared
from workers.catalog import Catalog
from workers.checks import is_finite
from workers.dataset import Array
from workers.kept import kept
from workers.limits import give_back_memory
from workers.prototype import Family, Prototype
from workers.scoring import is_accuracy
from workers.splitdata import Indices, Part, Rows, expected_bytes, take, take_to_keep
from workers.splits import Splits, subsample

#: Searches kept built on an engine: jobs of equal priority take turns there.
KEPT = 4

#: Row indices kept of one search, over its splits: 8 bytes each.
KEPT_INDICES = 4_000_000

#: Folds of a search that only failed because of a shortcut, before it does without.
MAX_MISLED = 3

_built: "OrderedDict[str, Search]" = OrderedDict()


@dataclass(slots=True)
class Search:
    """A search ready to compute folds.

    Attributes
    ----------
    context : SearchContext
    shortcuts : Shortcuts
        What its folds may leave out: those of the context, until they were seen to do harm.
    X : array, sparse matrix, DataFrame or Series of shape (n_samples, …)
        Read-only and memory-mapped where its kind allows.
    fit_params : dict of str to ndarray of shape (n_samples,)
        What goes to `fit` besides X and y: the sample weights.
    score_params : dict of str to ndarray of shape (n_samples,)
        What goes to the scorers: the sample weights, where the scorers take them.
    family : Family
        Makes the candidates.
    is_accuracy : bool
        It scores by the accuracy of a classifier and nothing else.
    has_scored : bool
        Its scorers have been asked once, with all checks of what they are given.
    """

    context: SearchContext
    spec: JobSpec
    catalog: Catalog
    estimator: BaseEstimator
    scorer: Callable[..., Any]
    X: Any
    y: Any
    fit_params: dict[str, NDArray[np.float64]]
    score_params: dict[str, NDArray[np.float64]]
    splits: Splits
    shortcuts: Shortcuts
    family: Family
    is_accuracy: bool
    has_scored: bool = False
    _prototype: Prototype | None = None
    _spelling: str = ""
    _is_finite: bool | None = None
    _n_misled: int = 0
    _kept_splits: dict[tuple[int, float | None], Indices] = field(default_factory=dict)

    def prototype(self, params: Mapping[str, JsonValue]) -> Prototype:
        """Return a candidate, from which its folds take copies."""
        spelling = repr(params)  # 9.0 equals 9, and is another candidate
        if self._prototype is None or self._spelling != spelling:
            self._prototype = self.family.prototype(params)
            self._spelling = spelling
        return self._prototype

    def candidate(self, params: Mapping[str, JsonValue]) -> BaseEstimator:
        """Return a new, unfitted estimator with the candidate's parameters, as `clone` makes it."""
        return self.family.candidate(params)

    def takes_shortcuts(self, params: Mapping[str, JsonValue]) -> bool:
        """Tell whether a candidate's folds may leave anything out."""
        on = self.shortcuts
        if not (on.data or on.checks or on.prefixes or on.forests):
            return False
        try:
            return self.prototype(params).is_own
        except Exception:  # a candidate that cannot be built: its fold says why
            return False

    def part(self, split: int, fraction: float | None, *, plainly: bool = False) -> Part:
        """Return the training and test data of a split, for the candidate asked for last.

        They are kept for other folds unless the candidate might write into them.

        Parameters
        ----------
        split : int
        fraction : float or None
            As in `split`.
        plainly : bool
            Whether to give fresh, writable data in any case.
        """
        prototype = self._prototype
        assert prototype is not None, "a candidate is asked for before its data"
        is_pairwise = prototype.is_pairwise
        is_shared = self.shortcuts.data and not plainly and not prototype.may_write
        rows = self._kept_rows(prototype, split, fraction) if is_shared else None
        is_shared = rows is not None
        if rows is None:
            indices = self.split(split, fraction)
            rows = take(prototype.estimator, self.X, self.y, self._weights, indices)
        return Part(
            (self.context.key, split, fraction, is_pairwise),
            rows.X_train,
            rows.y_train,
            rows.X_test,
            rows.y_test,
            _named(self.fit_params, rows.weights_train),
            _named(self.score_params, rows.weights_test),
            _named(self.score_params, rows.weights_train),
            is_shared,
        )

    def _kept_rows(self, prototype: Prototype, split: int, fraction: float | None) -> Rows | None:
        """Return a split's rows from what is kept, or put them there; None if they are too large.

        They are kept by what they are made of, so that searches on the same data share them.
        """
        key = (
            "rows",
            self.context.cache,
            self.context.fingerprint,
            self.context.splits,
            split,
            fraction,
            None if fraction is None else self.spec.search.seed,
            prototype.is_pairwise,
        )
        rows: Rows | None = kept.get(key)
        if rows is None:
            indices = self.split(split, fraction)
            # Room is made before, so that the split before this one is gone when this one comes.
            if not kept.make_room(expected_bytes(self.X, indices)):
                return None
            rows = take_to_keep(
                prototype.estimator,
                self.X,
                self.y,
                self._weights,
                indices,
                is_pairwise=prototype.is_pairwise,
            )
            kept.put(key, rows, sum(store.n_bytes(getattr(rows, name)) for name in Rows.__slots__))
        return rows.lent()

    @property
    def _weights(self) -> Array | None:
        return next(iter(self.fit_params.values()), None)

    def was_misled(self) -> None:
        """Note that a fold failed with shortcuts only; after a few, the search does without."""
        self._n_misled += 1
        if self._n_misled >= MAX_MISLED:
            self.shortcuts = Shortcuts(False, False, False, False, 0)

    @property
    def is_finite(self) -> bool:
        """Whether its data are known to hold neither NaN nor infinity. Looks once."""
        if self._is_finite is None:
            self._is_finite = self._weights is None and is_finite(self.X, self.y)
        return self._is_finite

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


def _named(names: Iterable[str], weights: Array | None) -> dict[str, Array]:
    return {} if weights is None else dict.fromkeys(names, weights)


def opened(context: SearchContext, in_use: Collection[str] | None = None) -> Search:
    """Return the search of this context, built or kept from before.

    Parameters
    ----------
    in_use : collection of str, optional
        Fingerprints of the data sets of all searches in progress: whatever was kept of others is
        let go of when the data set is another one than last time, and its memory given back. Until
        then it stays, for the next search on the same data.

    Raises
    ------
    DataMissing
        If the prepared data set is not in the cache.
    """
    if in_use is not None and context.fingerprint != kept.dataset:
        _let_go({context.fingerprint, *in_use})
    kept.dataset = context.fingerprint
    kept.limit = context.shortcuts.memory
    if context.key in _built:
        _built.move_to_end(context.key)
        return _built[context.key]
    search = build(context, mmap=True)
    _built[context.key] = search
    while len(_built) > KEPT:
        _built.popitem(last=False)
    return search


def _let_go(in_use: Collection[str | None]) -> None:
    over = [key for key, search in _built.items() if search.context.fingerprint not in in_use]
    for key in over:
        del _built[key]
    if kept.let_go(in_use) or over:
        give_back_memory()


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
        context=context,
        shortcuts=context.shortcuts,
        family=Family(estimator, catalog),
        is_accuracy=is_accuracy(spec, estimator),
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

"""The searches that are timed: each as a job file and as scikit-learn's own objects.

Both forms are written out by hand; that they are the same search is seen by the scores, which are
compared for equality in every run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

Grid = dict[str, list[Any]]

N_SPLITS = 5


@dataclass(frozen=True, slots=True)
class Data:
    """A data set: one of scikit-learn's own, or made once and given to foldq as a file.

    Attributes
    ----------
    loader : str or None
        "iris", "digits".
    make : mapping
        Parameters of `make_classification`.
    """

    loader: str | None = None
    make: Mapping[str, int] = field(default_factory=dict)

    @property
    def file(self) -> str:
        """Name of the file below the spool's `data/`."""
        return "-".join(str(value) for value in self.make.values()) + ".npz"

    def arrays(self, directory: Path) -> tuple[np.ndarray, np.ndarray]:
        """Give X and y, as a scikit-learn user has them; a made one from where it was put."""
        from sklearn import datasets

        if self.loader is not None:
            return getattr(datasets, f"load_{self.loader}")(return_X_y=True)
        with np.load(directory / self.file) as made:
            return made["X"], made["y"]

    def put(self, directory: Path) -> None:
        """Make a data set that is made, and put it there as a file, unless it is there already."""
        from sklearn import datasets

        if self.loader is None and not (directory / self.file).exists():
            X, y = datasets.make_classification(**self.make)
            np.savez(directory / self.file, X=X, y=y)

    @property
    def spec(self) -> dict[str, Any]:
        """Give it as a job file names it."""
        if self.loader is not None:
            return {"loader": self.loader}
        return {"file": self.file, "x": "X", "y": "y"}


@dataclass(frozen=True, slots=True)
class Workload:
    """One search.

    Attributes
    ----------
    what : str
        For the table: estimator, data and grid in a few words.
    estimator : JSON value
        As the job file spells it.
    space : dict
        Its grid as the job file spells it.
    model : callable
        Makes scikit-learn's estimator.
    grid : callable
        Makes the grid for `GridSearchCV`.
    target : float or None
        How many times faster than `GridSearchCV(n_jobs=2)` foldq has to be.
    shared : dict or None
        What of the grid an earlier job has computed when the clock starts: parameter -> values.
    """

    name: str
    what: str
    data: Data
    estimator: Any
    space: dict[str, Any]
    model: Callable[[], Any]
    grid: Callable[[], Grid]
    target: float | None = None
    shared: dict[str, Any] | None = None

    @property
    def n_candidates(self) -> int:
        """Points of the grid."""
        return int(np.prod([len(values) for values in self.grid().values()]))

    @property
    def n_folds(self) -> int:
        """Fits of the search."""
        return self.n_candidates * N_SPLITS

    def job(self) -> dict[str, Any]:
        """Give the job file."""
        return {
            "data": self.data.spec,
            "estimator": self.estimator,
            "search": {"space": self.space},
            "cv": N_SPLITS,
            "refit": False,
            "reuse": self.shared is not None,
        }

    def earlier_job(self) -> dict[str, Any] | None:
        """Give the job file of the search that this one refines, if it does."""
        if self.shared is None:
            return None
        return {**self.job(), "search": {"space": {**self.space, **self.shared}}}

    def sliced(self) -> "Workload":
        """Give the same search with the first two values of each parameter: to warm a pool up."""
        grid = {name: values[:2] for name, values in self.grid().items()}
        return replace(self, space=grid, grid=lambda: grid, shared=None)


def _logspace(low: float, high: float, n: int) -> list[float]:
    return np.logspace(low, high, n).tolist()


def _svc() -> Any:
    from sklearn.svm import SVC

    return SVC()


def _small(quick: bool) -> Workload:
    n = 8 if quick else 20
    return Workload(
        name="small",
        what=f"SVC on iris, C {n} × gamma {n}: fits of a few milliseconds",
        data=Data("iris"),
        estimator="SVC",
        space={"C": {"$logspace": [-2, 3, n]}, "gamma": {"$logspace": [-4, 1, n]}},
        model=_svc,
        grid=lambda: {"C": _logspace(-2, 3, n), "gamma": _logspace(-4, 1, n)},
        target=1.5,
    )


def _digits(quick: bool) -> Workload:
    values = {"C": [0.1, 1, 10, 100], "gamma": [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]}
    if quick:
        values = {"C": [1, 10], "gamma": [1e-4, 1e-3]}
    return Workload(
        name="digits",
        what=f"SVC on digits, C {len(values['C'])} × gamma {len(values['gamma'])}",
        data=Data("digits"),
        estimator="SVC",
        space=values,
        model=_svc,
        grid=lambda: values,
        target=1.08,
    )


def _pipeline() -> Any:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    return Pipeline(
        [
            ("scale", StandardScaler()),
            ("pca", PCA(svd_solver="full")),
            ("clf", LogisticRegression(max_iter=200)),
        ]
    )


def _pipe(quick: bool) -> Workload:
    rows, n = (1000, 5) if quick else (4000, 20)
    return Workload(
        name="pipe",
        what=f"StandardScaler → PCA(10, 30) → LogisticRegression on {rows:,} × 300, C {n} values",
        data=Data(
            make={"n_samples": rows, "n_features": 300, "n_informative": 30, "random_state": 0}
        ),
        estimator={
            "$type": "Pipeline",
            "steps": [
                ["scale", "StandardScaler"],
                ["pca", {"$type": "PCA", "svd_solver": "full"}],
                ["clf", {"$type": "LogisticRegression", "max_iter": 200}],
            ],
        },
        space={"pca__n_components": [10, 30], "clf__C": {"$logspace": [-3, 2, n]}},
        model=_pipeline,
        grid=lambda: {"pca__n_components": [10, 30], "clf__C": _logspace(-3, 2, n)},
        target=9,
    )


def _sgd() -> Any:
    from sklearn.linear_model import SGDClassifier

    return SGDClassifier(max_iter=5, tol=None, random_state=0)


def _big(quick: bool) -> Workload:
    rows, n = (20_000, 4) if quick else (200_000, 12)
    return Workload(
        name="big",
        what=f"SGDClassifier on {rows:,} × 100, {n} alphas",
        data=Data(
            make={"n_samples": rows, "n_features": 100, "n_informative": 30, "random_state": 0}
        ),
        estimator={"$type": "SGDClassifier", "max_iter": 5, "tol": None, "random_state": 0},
        space={"alpha": {"$logspace": [-6, -1, n]}},
        model=_sgd,
        grid=lambda: {"alpha": _logspace(-6, -1, n)},
        target=1.05,
    )


def _dummy_model() -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="stratified")


def dummy(n_folds: int) -> Workload:
    """Give the search whose fits cost next to nothing; its scores differ by the seed."""
    n = n_folds // N_SPLITS
    return Workload(
        name=f"dummy {n_folds}",
        what=f"DummyClassifier on iris, {n:,} seeds: fits of a millisecond",
        data=Data("iris"),
        estimator={"$type": "DummyClassifier", "strategy": "stratified"},
        space={"random_state": {"$range": n}},
        model=_dummy_model,
        grid=lambda: {"random_state": list(range(n))},
    )


def _dummy(quick: bool) -> Workload:
    return replace(dummy(400 if quick else 4000), name="dummy", target=2.2)


def _refined(quick: bool) -> Workload:
    costs = [1, 10] if quick else [0.1, 1, 10, 100]
    gamma = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    values = {"C": costs, "gamma": gamma}
    return replace(
        _digits(quick),
        name="refined",
        what=f"SVC on digits, C {len(costs)} × gamma 5, after a search with four of the gammas",
        space=values,
        grid=lambda: values,
        target=4,
        shared={"gamma": [value for value in gamma if value != 1e-3]},
    )


def _forest_model() -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=0)


def _forest(quick: bool) -> Workload:
    values = {"n_estimators": [50, 100, 200, 400], "max_features": [4, 8, 16]}
    if quick:
        values = {"n_estimators": [10, 20, 40], "max_features": [4, 8]}
    sizes = ", ".join(map(str, values["n_estimators"]))
    return Workload(
        name="forest",
        what=f"RandomForestClassifier on digits, {sizes} trees × {len(values['max_features'])} "
        "max_features",
        data=Data("digits"),
        estimator={"$type": "RandomForestClassifier", "random_state": 0},
        space=values,
        model=_forest_model,
        grid=lambda: values,
        target=1.75,
    )


_MAKERS = (_small, _digits, _pipe, _big, _dummy, _refined, _forest)


@cache
def workloads(quick: bool = False) -> dict[str, Workload]:
    """Give the searches that foldq and its peers are timed with, by name."""
    made = [make(quick) for make in _MAKERS]
    return {workload.name: workload for workload in made}


def moved(workload: Workload, step: int) -> Workload:
    """Give a refined grid with other values of C, `step` thousandths larger, that cost the same.

    What an earlier round computed is on record; only what the earlier job of this round has
    computed may be found there.
    """
    if workload.shared is None:
        return workload
    grid = workload.grid()
    grid = {**grid, "C": [value * (1 + step / 1000) for value in grid["C"]]}
    return replace(workload, space=grid, grid=lambda: grid)


def ten(quick: bool) -> Workload:
    """Give the search with folds of some 10 ms."""
    n = 20 if quick else 200
    return Workload(
        name="ten",
        what=f"SVC on 800 × 20, {n} values of C",
        data=Data(make={"n_samples": 800, "n_features": 20, "random_state": 0}),
        estimator="SVC",
        space={"C": {"$logspace": [-1, 1, n]}},
        model=_svc,
        grid=lambda: {"C": _logspace(-1, 1, n)},
    )


def find(name: str, quick: bool, step: int = 0) -> Workload:
    """Give a workload by name, `dummy 20000` and `ten` included."""
    if name.startswith("dummy "):
        return dummy(int(name.split()[1]))
    if name == "ten":
        return ten(quick)
    return moved(workloads(quick)[name], step)

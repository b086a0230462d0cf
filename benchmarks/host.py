"""The process in which a peer runs: `python -m benchmarks.host PEER`.

It reads one JSON object a line: `workload`, `quick`, `step`, `sliced`, `data`, `scores`; does that
search and answers with `seconds`, or with `error`. The scores go to the file named. Data are read
from the directory named before the clock starts: a user has them in memory. The pool of workers is
made once and stays.
"""

import contextlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import Data, find

#: Fits the search and gives its `cv_results_`.
Fit = Callable[[Any, dict[str, list[Any]], Any, Any], dict[str, Any]]


def _scikit_learn(n_jobs: int, _: contextlib.ExitStack) -> Fit:
    import joblib
    from sklearn.model_selection import GridSearchCV

    def fit(model: Any, grid: dict[str, list[Any]], X: Any, y: Any) -> dict[str, Any]:
        return GridSearchCV(model, grid, cv=5, refit=False, n_jobs=n_jobs).fit(X, y).cv_results_

    def fit_in_pool(*given: Any) -> dict[str, Any]:
        # Its workers wait for as long as the others have their turn, not for five minutes.
        with joblib.parallel_config("loky", idle_worker_timeout=3600):
            return fit(*given)

    return fit if n_jobs == 1 else fit_in_pool


def _ipyparallel(stack: contextlib.ExitStack) -> Fit:
    import ipyparallel
    import joblib
    from ipyparallel.joblib import IPythonParallelBackend
    from sklearn.model_selection import GridSearchCV

    cluster = ipyparallel.Cluster(n=2, log_level=40)
    client = cluster.start_and_connect_sync()
    stack.callback(cluster.stop_cluster_sync)
    client[:].execute("import sklearn.model_selection", block=True)
    joblib.register_parallel_backend(
        "ipyparallel",
        lambda **given: IPythonParallelBackend(view=client.load_balanced_view(), **given),
    )

    def fit(model: Any, grid: dict[str, list[Any]], X: Any, y: Any) -> dict[str, Any]:
        with joblib.parallel_config("ipyparallel"):
            return GridSearchCV(model, grid, cv=5, refit=False, n_jobs=2).fit(X, y).cv_results_

    return fit


def _dask_ml(stack: contextlib.ExitStack) -> Fit:
    import dask
    from dask_ml.model_selection import GridSearchCV
    from distributed import Client, LocalCluster

    # It is stopped while the others have their turn, which is no reason to give workers up.
    dask.config.set({"distributed.scheduler.worker-ttl": None})
    cluster = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    )
    stack.enter_context(cluster)
    stack.enter_context(Client(cluster))

    def fit(model: Any, grid: dict[str, list[Any]], X: Any, y: Any) -> dict[str, Any]:
        search = GridSearchCV(model, grid, iid=False, cv=5, refit=False)
        return search.fit(X, y).cv_results_

    return fit


HOSTED: dict[str, Callable[[contextlib.ExitStack], Fit]] = {
    "scikit-learn": lambda stack: _scikit_learn(2, stack),
    "ipyparallel": _ipyparallel,
    "dask-ml": _dask_ml,
    "serial": lambda stack: _scikit_learn(1, stack),
}


def scores(results: dict[str, Any], n_splits: int = 5) -> np.ndarray:
    """Give an array of shape (n_candidates, 1 + n_splits): the mean score, and each split's."""
    names = ["mean_test_score", *(f"split{split}_test_score" for split in range(n_splits))]
    return np.column_stack([np.asarray(results[name], dtype=float) for name in names])


@lru_cache(maxsize=1)  # what the last search used is not part of this one's memory
def _arrays(directory: str, loader: str | None, make: tuple[tuple[str, int], ...]) -> Any:
    return Data(loader, dict(make)).arrays(Path(directory))


def _answer(fit: Fit, asked: dict[str, Any]) -> dict[str, Any]:
    workload = find(asked["workload"], asked["quick"], asked["step"])
    if asked["sliced"]:
        workload = workload.sliced()
    X, y = _arrays(asked["data"], workload.data.loader, tuple(workload.data.make.items()))
    model, grid = workload.model(), workload.grid()
    began = time.perf_counter()
    results = fit(model, grid, X, y)
    seconds = time.perf_counter() - began
    np.save(asked["scores"], scores(results))
    return {"seconds": seconds}


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    with contextlib.ExitStack() as stack:
        try:
            fit = HOSTED[sys.argv[1]](stack)
        except ImportError as missing:
            say({"error": f"not installed ({missing})"})
            return
        except Exception as error:
            traceback.print_exc()
            say({"error": _short(error)})
            return
        say({"ready": True})
        for line in sys.stdin:
            try:
                say(_answer(fit, json.loads(line)))
            except Exception as error:
                traceback.print_exc()
                say({"error": _short(error)})


if __name__ == "__main__":
    main()

"""Fit and score fold tasks: what scikit-learn's `_fit_and_score` computes, and nothing else.

The numbers have to be those of `GridSearchCV`, so the order of the steps is that of
`sklearn.model_selection._validation._fit_and_score` (1.9): clone, set parameters, split, fit,
score on the test part, score on the training part. The parity tests hold the two together.
"""

import time
import traceback
import warnings
from collections.abc import Iterable, Mapping

from schemas.task import BatchReport, FoldBatch, FoldResult, FoldTask
from workers.cache import DataMissing
from workers.checks import leaving_out, may_skip_validation, suits_finite
from workers.fitting import fit, fit_plainly
from workers.kept import kept
from workers.limits import FoldTimeout, limit_threads, time_limit
from workers.scoring import accuracy, score
from workers.search import Search, opened

#: Distinct warnings kept of one fold, and characters kept of each.
MAX_WARNINGS = 3
MAX_WARNING_LENGTH = 300


def run_batch(batch: FoldBatch) -> BatchReport:
    """Compute the folds of a batch until its time budget is spent.

    A fold's own failure is a result. Interrupted (SIGINT), the batch returns what it finished and
    reports the rest as unstarted.
    """
    try:
        search = opened(batch.context, batch.in_use)
    except DataMissing as missing:
        attempts = tuple(task.attempt_id for task in batch.tasks)
        return BatchReport(batch.batch_id, (), attempts, missing_data=str(missing))
    except Exception as error:
        return BatchReport(
            batch.batch_id, tuple(_failure(task, error, 0.0) for task in batch.tasks)
        )
    limit_threads(search.spec.threads)
    start = time.perf_counter()
    results: list[FoldResult] = []
    try:
        for task in batch.tasks:
            if results and time.perf_counter() - start > batch.budget:
                break
            results.append(_run_fold(search, task))
    except KeyboardInterrupt:
        pass
    return BatchReport(
        batch.batch_id,
        tuple(results),
        tuple(task.attempt_id for task in batch.tasks[len(results) :]),
        time.perf_counter() - start,
    )


def _run_fold(search: Search, task: FoldTask) -> FoldResult:
    """One fold under its time limit, with its warnings kept."""
    start = time.time()
    with warnings.catch_warnings(record=True) as caught:
        try:
            if search.spec.timeout is None:
                result = _compute(search, task, caught)
            else:
                with time_limit(search.spec.timeout):
                    result = _compute(search, task, caught)
        except FoldTimeout:
            return FoldResult(
                task.task_id,
                task.attempt_id,
                fit_time=time.time() - start,
                error=f"ran past its time limit of {search.spec.timeout:g} s",
                timed_out=True,
            )
        except Exception as error:
            return _failure(task, error, time.time() - start)
    if caught:
        return _with_warnings(result, caught)
    return result


def _compute(search: Search, task: FoldTask, caught: list[warnings.WarningMessage]) -> FoldResult:
    """One fold with shortcuts, and, should it fail, once more without: that outcome counts.

    So a failure reads exactly as scikit-learn's, and a shortcut that does not suit an estimator
    costs time and nothing else. Estimators that are not scikit-learn's own take none: what they
    fail of is not known, and trying again is the job's to say (`retry`).
    """
    if not search.takes_shortcuts(task.params):
        return fit_and_score(search, task, plainly=True)
    try:
        return fit_and_score(search, task)
    except Exception as error:
        if isinstance(error, MemoryError):
            kept.clear()
        caught.clear()
    result = fit_and_score(search, task, plainly=True)
    if result.error is None:
        search.was_misled()
    return result


def fit_and_score(search: Search, task: FoldTask, *, plainly: bool = False) -> FoldResult:
    """Fit one candidate on the training part of one split and score it.

    Parameters
    ----------
    search : Search
    task : FoldTask
    plainly : bool
        Without any shortcut; then a fit that fails is a result.

    Raises
    ------
    Exception
        Whatever `scoring.score` raises, and without `plainly` whatever fails at all.
    """
    if plainly:
        return _fit_and_score_plainly(search, task)
    prototype = search.prototype(task.params)
    checks = search.shortcuts.checks
    skips = checks and may_skip_validation(search.family.base, prototype)
    is_finite = checks and suits_finite(prototype.estimator) and search.is_finite
    estimator = prototype.copy()

    start = time.time()
    part = search.part(task.split, task.fraction)
    selected = time.time() - start
    test_scores = None
    with leaving_out(validation=skips, finiteness=is_finite):
        fitted = fit(search, task, estimator, part)
        start = time.time()
        if checks and search.is_accuracy and not part.test_params:
            test_scores = accuracy(fitted.model, fitted.X_test, part.y_test)
    if test_scores is None:
        with leaving_out(validation=skips and search.has_scored, finiteness=False):
            test_scores = score(
                search, fitted.model, fitted.X_test, part.y_test, part.test_params, plainly=False
            )
        search.has_scored = True
    score_time = fitted.score_time + time.time() - start
    train_scores: Mapping[str, float] = {}
    if search.spec.return_train_score:
        with leaving_out(validation=skips and search.has_scored, finiteness=False):
            train_scores = score(
                search, fitted.model, fitted.X_train, part.y_train, part.train_params, plainly=False
            )
    return FoldResult(
        task.task_id,
        task.attempt_id,
        test_scores,
        train_scores,
        selected + fitted.fit_time,
        score_time,
        fitted.spared_time,
    )


def _fit_and_score_plainly(search: Search, task: FoldTask) -> FoldResult:
    search.prototype(task.params)
    estimator = search.candidate(task.params)
    start = time.time()
    part = search.part(task.split, task.fraction, plainly=True)
    try:
        fit_plainly(estimator, part)
    except Exception as error:
        return _failure(task, error, time.time() - start)
    fit_time = time.time() - start
    test_scores = score(search, estimator, part.X_test, part.y_test, part.test_params, plainly=True)
    score_time = time.time() - start - fit_time
    train_scores: Mapping[str, float] = {}
    if search.spec.return_train_score:
        train_scores = score(
            search, estimator, part.X_train, part.y_train, part.train_params, plainly=True
        )
    return FoldResult(
        task.task_id, task.attempt_id, test_scores, train_scores, fit_time, score_time
    )


def _failure(task: FoldTask, error: Exception, fit_time: float) -> FoldResult:
    return FoldResult(
        task.task_id,
        task.attempt_id,
        fit_time=fit_time,
        error="".join(traceback.format_exception(error)),
        error_types=error_types(error),
    )


def error_types(error: BaseException) -> tuple[str, ...]:
    """Names of the error's class and its bases, most specific first."""
    return tuple(kind.__name__ for kind in type(error).__mro__ if issubclass(kind, Exception))


def _with_warnings(result: FoldResult, caught: Iterable[warnings.WarningMessage]) -> FoldResult:
    texts = dict.fromkeys(
        f"{warning.category.__name__}: {warning.message}"[:MAX_WARNING_LENGTH] for warning in caught
    )
    return result._replace(warnings=tuple(texts)[:MAX_WARNINGS])

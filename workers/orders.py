"""Carry out one order of the scheduler on an engine. This is the function that is sent there.

What an order needs is imported when the first of its kind comes: together it takes seconds, which
neither the scheduler, that only names the function, nor every engine has to spend.
"""

import time
import traceback
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from schemas.problems import InvalidJob
from schemas.task import (
    BatchReport,
    FoldBatch,
    Order,
    Prepared,
    PrepareOrder,
    RefitOrder,
    Refitted,
    TaskFailure,
)
from workers.atomic import CannotWrite

Outcome = BatchReport | Prepared | Refitted | TaskFailure

#: Outcomes an engine keeps for a scheduler that did not live to receive them: more than it is ever
#: sent at once.
_KEPT = 8

#: By search (the key of its context) and batch. A number alone would not do: two spools may share
#: an engine, and records put back from a copy give the same numbers again.
_kept: "OrderedDict[tuple[str, int], Outcome]" = OrderedDict()


def carry_out(order: Order) -> Outcome:
    """Do what the order says; every failure of the work itself is an answer, not an exception."""
    outcome = _carry_out(order)
    _kept[order.context.key, order.batch_id] = outcome
    if len(_kept) > _KEPT:
        _kept.popitem(last=False)
    return outcome


def report_kept(batches: Mapping[int, str]) -> dict[int, Outcome]:
    """Return the outcomes of those of the batches that this engine carried out.

    An engine does one thing after the other, so when it answers it has nothing of them in hand.

    Parameters
    ----------
    batches : dict of int to str
        Numbers of batches, each with the key of its search's context.
    """
    return {
        batch_id: _kept[key, batch_id]
        for batch_id, key in batches.items()
        if (key, batch_id) in _kept
    }


def _carry_out(order: Order) -> Outcome:
    match order:
        case FoldBatch():
            from workers.fold import run_batch

            return run_batch(order)
        case PrepareOrder():
            return _prepare(order)
        case RefitOrder():
            return _refit(order)


def _prepare(order: PrepareOrder) -> Prepared | TaskFailure:
    from schemas.job import JobSpec
    from workers.cache import DataMissing
    from workers.catalog import Catalog
    from workers.data import prepare
    from workers.limits import limit_threads

    context = order.context
    spec = JobSpec.model_validate(context.spec)
    limit_threads(spec.threads)
    try:
        return prepare(
            spec,
            Catalog(context.catalog),
            [Path(root) for root in context.data_roots],
            Path(context.cache),
        )
    except InvalidJob as invalid:
        text = "; ".join(str(problem) for problem in invalid.problems)
        return TaskFailure(text, error_types=("InvalidJob",))
    except (CannotWrite, DataMissing) as refused:  # or the cache was emptied just now
        return TaskFailure(str(refused), is_environment=True)
    except Exception as error:
        return _failure(error)


def _refit(order: RefitOrder) -> Refitted | BatchReport | TaskFailure:
    from workers.cache import DataMissing
    from workers.limits import limit_threads
    from workers.saving import save_model
    from workers.search import build

    try:
        search = build(order.context, mmap=False)
        limit_threads(search.spec.threads)
        estimator = search.candidate(order.params)
        start = time.time()
        if search.y is None:
            estimator.fit(search.X, **search.fit_params)
        else:
            estimator.fit(search.X, search.y, **search.fit_params)
        seconds = time.time() - start
        sample = search.X[:20] if not hasattr(search.X, "iloc") else search.X.iloc[:20]
        saved = save_model(estimator, Path(order.directory), sample)
        return Refitted(saved.file, saved.format, saved.trusted, saved.note, seconds)
    except DataMissing as missing:
        return BatchReport(order.batch_id, (), missing_data=str(missing))
    except CannotWrite as refused:
        return TaskFailure(str(refused), is_environment=True)
    except Exception as error:
        return _failure(error)


def _failure(error: Exception) -> TaskFailure:
    from workers.fold import error_types

    return TaskFailure(
        f"{type(error).__name__}: {error}",
        "".join(traceback.format_exception(error)),
        error_types(error),
    )

"""Figures for Prometheus, at a port of the loopback address when `[metrics] port` is set.

They are kept by the scheduler's loop, from what it decides anyway; whoever asks for them gets what
stands in memory, and no question to the records. They begin at zero with each start.
"""

import platform
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Gauge, Histogram, Info
from prometheus_client import Counter as Total
from prometheus_client.exposition import start_http_server
from prometheus_client.process_collector import ProcessCollector

from schemas import __version__
from schemas.lifecycle import JobState, Outcome, TaskKind, TaskState
from schemas.task import BatchReport
from service.scheduler import Scheduler
from service.stimuli import (
    Batch,
    CancelTasks,
    Dispatch,
    EndAttempt,
    EndTask,
    EngineLeft,
    Instruction,
    PutBackTask,
)
from service.troubles import SOURCES, Source

ADDRESS = "127.0.0.1"

#: Seconds between two countings of what only the records know.
_COUNT_EVERY = 5.0

#: Upper ends of the histograms' buckets, in seconds: batches aim at less than one.
_BATCHES = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_TURNS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The figures of one scheduler.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.recorded([])
    >>> b'foldq_folds_total{outcome="done"} 0.0' in metrics.text()
    True
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._server: Any = None
        self._open: dict[int, tuple[int, bool]] = {}  # attempt -> its job, whether it is a fold
        self._n_folds_open = 0
        self._n_reused = 0
        self._count_at = 0.0

        def total(name: str, about: str, *labels: str) -> Total:
            return Total(name, about, labels, registry=registry)

        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(name, about, labels, registry=registry)

        def histogram(name: str, about: str, ends: Iterable[float]) -> Histogram:
            return Histogram(name, about, buckets=tuple(ends), registry=registry)

        build = Info("foldq_build", "Versions of what runs.", registry=registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._jobs = gauge("foldq_jobs", "Jobs in the records, by state.", "state")
        folds = total(
            "foldq_folds",
            "Folds that are finished; reused: taken over from an earlier search.",
            "outcome",
        )
        self._folds = {name: folds.labels(name) for name in ("done", "failed", "reused")}
        attempts = total("foldq_attempts", "Attempts at tasks that ended.", "outcome")
        self._attempts = {outcome: attempts.labels(outcome.value) for outcome in Outcome}
        self._in_flight = gauge("foldq_folds_in_flight", "Folds at engines.")
        self._queue = gauge("foldq_folds_queued", "Planned folds that are not finished or sent.")
        self._engines = gauge("foldq_engines", "Live engines, by what they do.", "state")
        self._engines_lost = total("foldq_engines_lost", "Engines that left, or were lost.")
        self._fits = total("foldq_fit_seconds", "Time of fits on engines.")
        self._scores = total("foldq_score_seconds", "Time of scoring on engines.")
        self._spared = total("foldq_spared_seconds", "Time of fits that another fold had done.")
        self._batch = histogram("foldq_batch_seconds", "Time of a batch on its engine.", _BATCHES)
        self._turn = histogram("foldq_turn_seconds", "Time of a turn of the loop.", _TURNS)
        self._commit = histogram("foldq_commit_seconds", "Time of recording a turn.", _TURNS)
        self._trouble = gauge("foldq_trouble", "1 while something keeps it from work.", "source")
        self._held = gauge("foldq_queue_paused", "1 while the whole queue is paused.")
        calls = total("foldq_hook_calls", "Calls of hooks that ended.", "outcome")
        self._calls = {name: calls.labels(name) for name in ("ok", "failed", "given_up")}
        self._calls_due = gauge("foldq_hook_calls_waiting", "Calls of hooks still to be made.")
        ProcessCollector(registry=registry)
        for state in JobState:
            self._jobs.labels(state.value)
        for source in SOURCES:
            self._trouble.labels(source)
        for doing in ("busy", "idle"):
            self._engines.labels(doing)

    # --- giving out ------------------------------------------------------------------------

    def listen(self, port: int) -> None:
        """Give the figures out at a port of the loopback address.

        Raises
        ------
        OSError
            If the port is taken, or may not be used.
        """
        server, _ = start_http_server(port, ADDRESS, self.registry)
        self._server = server

    def close(self) -> None:
        """Give nothing out any more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def text(self) -> bytes:
        """Return the figures as Prometheus reads them."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    # --- what the loop tells ----------------------------------------------------------------

    def recorded(self, orders: Iterable[Instruction]) -> None:
        """Count what a turn's orders began and ended."""
        ended: Counter[Outcome] = Counter()
        done = failed = 0
        fits = scores = spared = 0.0
        for order in orders:
            if isinstance(order, EndTask):
                ended[order.outcome] += 1
                self._close(order.attempt_id)
                if order.kind is TaskKind.FOLD:
                    done += order.state is TaskState.DONE
                    failed += order.state is TaskState.FAILED
                    if (result := order.result) is not None:
                        fits += result.fit_time
                        scores += result.score_time
                        spared += result.spared_time
            elif isinstance(order, Dispatch):
                self._sent(order.batch)
            elif isinstance(order, PutBackTask | EndAttempt):
                ended[order.outcome] += 1
                self._close(order.attempt_id)
            elif isinstance(order, CancelTasks):
                ended[Outcome.CANCELLED] += self._close_all(order.job_id)
            elif isinstance(order, EngineLeft):
                self._engines_lost.inc()
        for outcome, n in ended.items():
            self._attempts[outcome].inc(n)
        for name, n in (("done", done), ("failed", failed)):
            self._folds[name].inc(n)
        self._fits.inc(fits)
        self._scores.inc(scores)
        self._spared.inc(spared)
        self._in_flight.set(self._n_folds_open)

    def rejoined(self, batches: Iterable[Batch]) -> None:
        """Count what engines have in hand that outlived the last scheduler."""
        for batch in batches:
            self._sent(batch)

    def batch_returned(self, outcome: object) -> None:
        """Take note of what a batch of folds took."""
        if isinstance(outcome, BatchReport):
            self._batch.observe(outcome.seconds)

    def reused(self, n_folds: int) -> None:
        """Take note of how many folds' results were in the records already, since the start."""
        self._folds["reused"].inc(n_folds - self._n_reused)
        self._n_reused = n_folds

    def turned(self, seconds: float) -> None:
        """Take note of what a turn of the loop took, without its waiting."""
        self._turn.observe(seconds)

    @contextmanager
    def committing(self) -> Iterator[None]:
        """Take note of what the block takes, which records a turn."""
        began = time.perf_counter()
        yield
        self._commit.observe(time.perf_counter() - began)

    def hook_called(self, outcome: str) -> None:
        """Count a call of a hook: ok, failed, or given_up, which was its last try."""
        self._calls[outcome].inc()

    def look(
        self,
        core: Scheduler,
        records: sqlite3.Connection,
        troubles: Mapping[Source, object],
    ) -> None:
        """See to what is a state rather than a happening. To be called all the time."""
        n_busy = sum(engine.running is not None for engine in core.engines)
        self._engines.labels("busy").set(n_busy)
        self._engines.labels("idle").set(len(core.engines) - n_busy)
        self._held.set(core.held)
        for source in SOURCES:
            self._trouble.labels(source).set(bool(troubles.get(source)))
        if (now := time.monotonic()) >= self._count_at:
            self._count_at = now + _COUNT_EVERY
            self._queue.set(max(0, core.jobs.n_open - self._n_folds_open))
            (n_calls,) = records.execute("SELECT count(*) FROM hook_call").fetchone()
            self._calls_due.set(n_calls)
            counted = dict(records.execute("SELECT state, count(*) FROM job GROUP BY state"))
            for state in JobState:
                self._jobs.labels(state.value).set(counted.get(state.value, 0))

    def _sent(self, batch: Batch) -> None:
        is_fold = batch.kind is TaskKind.FOLD
        for attempt_id, _ in batch.tasks:
            self._open[attempt_id] = batch.job_id, is_fold
        self._n_folds_open += is_fold * len(batch.tasks)

    def _close(self, attempt_id: int) -> None:
        _, is_fold = self._open.pop(attempt_id, (0, False))
        self._n_folds_open -= is_fold

    def _close_all(self, job_id: int) -> int:
        attempts = [number for number, (job, _) in self._open.items() if job == job_id]
        for number in attempts:
            self._close(number)
        return len(attempts)

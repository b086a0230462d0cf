"""How many folds a second the scheduler itself can take through, and where its time goes.

The engines are simulated, in virtual time; everything else is real: the scheduler core, the orders
as they are pickled, the reports as they are unpickled, and the records on disk, with
`synchronous=FULL` and one transaction in each turn. The time that the scheduler takes passes for
the engines too, so what comes back meanwhile waits and is taken in together, as it would be.

    python benchmarks/simulation.py [--engines 1,10,100,1000] [--folds 40000] [--cpu] [--json]
"""

import argparse
import heapq
import json
import pickle
import random
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from schemas.job import JobSpec
from schemas.settings import Settings
from schemas.task import BatchReport, EngineReport, FoldBatch, FoldResult, Prepared
from service.dossier import Dossiers
from service.policy import Policy
from service.scheduler import Scheduler
from service.stimuli import (
    AdvanceSearch,
    Batch,
    BatchReturned,
    Dispatch,
    EngineJoined,
    FoldsLoaded,
    FoldsPlanned,
    Instruction,
    LoadFolds,
    Record,
    RecordPrepared,
    SearchEnded,
    Stimulus,
    Tick,
)
from service.store import PlannedCandidate, Store

N_SPLITS = 5
PREPARED = Prepared("f" * 64, "s" * 64, 150, 4, N_SPLITS, 3, True, 120, {})

#: Seconds that an order is on its way to an engine, and a report on its way back.
LATENCY = 0.002

#: What the scheduler does, in the order of a fold's way.
PARTS = ("decide", "record", "load", "send", "receive")


@dataclass
class Ceiling:
    """What one simulation found.

    Attributes
    ----------
    folds_per_second : float
        That the scheduler would take through if it had nothing to wait for.
    engines_busy : float
        Share of the time that the engines computed.
    microseconds : dict of str to float
        Of the scheduler, for each fold, by what it does.
    """

    n_engines: int
    n_folds: int
    n_batches: int
    n_turns: int
    folds_per_second: float
    engines_busy: float
    microseconds: dict[str, float]


class Simulation:
    """One search on engines that take `fold_seconds` for each fold, give or take a half."""

    def __init__(
        self,
        directory: Path,
        n_engines: int,
        n_folds: int,
        fold_seconds: float,
        clock: Callable[[], float] = time.perf_counter,
    ):
        settings = Settings(spool=directory)
        self._store = Store(directory / "foldq.db")
        self._dossiers = Dossiers(settings, self._store)
        self._core = Scheduler(Policy())
        self._n_candidates = n_folds // N_SPLITS
        self._fold_seconds = fold_seconds
        self._random = random.Random(0)
        self._clock = 0.0
        self._real_clock = clock
        self._free_at: dict[int, float] = {}
        self._coming: list[tuple[float, int, bytes]] = []
        self._spent: dict[str, float] = defaultdict(float)
        self._computed = 0.0
        self._n_batches = self._n_turns = 0
        self._is_over = False
        now = self._now()
        for number in range(n_engines):
            report = EngineReport("host", number + 1, {})
            self._free_at[self._store.engine_joined("local", number, str(number), report, now)] = 0

    def run(self) -> Ceiling:
        """Play the search through."""
        spec = JobSpec.model_validate(
            {
                "name": "simulated",
                "data": {"loader": "iris"},
                "estimator": "DummyClassifier",
                "search": {"space": {"random_state": [0]}},  # `_advance` plans what is computed
                "refit": False,
            }
        )
        admission = self._store.admit(
            spec, name="a.json", data=b"{}", digest="d", estimator="-", now=self._now()
        )
        self._turn([EngineJoined(engine_id) for engine_id in self._free_at])
        self._turn([self._dossiers.admission(admission.job_id)])
        self._spent.clear()
        begun = self._clock
        next_tick = 0.0
        while not self._is_over:
            if self._coming and self._coming[0][0] > self._clock:
                self._clock = self._coming[0][0]
            stimuli: list[Stimulus] = []
            with self._timed("receive"):
                while self._coming and self._coming[0][0] <= self._clock:
                    _, batch_id, report = heapq.heappop(self._coming)
                    stimuli.append(BatchReturned(batch_id, pickle.loads(report)))
            if self._clock >= next_tick:
                next_tick = self._clock + 0.1
                stimuli.append(Tick())
            self._turn(stimuli)
            self._n_turns += 1
        self._store.close()
        n_folds = self._n_candidates * N_SPLITS
        took = sum(self._spent.values())
        return Ceiling(
            n_engines=len(self._free_at),
            n_folds=n_folds,
            n_batches=self._n_batches,
            n_turns=self._n_turns,
            folds_per_second=n_folds / took,
            engines_busy=self._computed / len(self._free_at) / (self._clock - begun),
            microseconds={part: 1e6 * self._spent[part] / n_folds for part in PARTS},
        )

    def _now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._clock)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = self._real_clock()
        yield
        seconds = self._real_clock() - start
        self._spent[part] += seconds
        self._clock += seconds

    def _turn(self, stimuli: list[Stimulus]) -> None:
        """One turn of the daemon's loop."""
        pending = deque(stimuli)
        while pending:
            orders: list[Instruction] = []
            with self._timed("decide"):
                now = self._now()
                while pending:
                    orders += self._core.handle(pending.popleft(), now)
            with self._timed("record"):
                if records := [order for order in orders if isinstance(order, Record)]:
                    self._store.record(records, now)
            for order in orders:
                pending.extend(self._carry_out(order))

    def _carry_out(self, order: Instruction) -> Iterator[Stimulus]:
        match order:
            case Dispatch(batch):
                self._n_batches += 1
                with self._timed("send"):
                    sent = self._dossiers.order(batch)
                    pickle.dumps(sent, protocol=5)
                self._compute(batch, sent)
            case LoadFolds(job_id, after, limit):
                with self._timed("load"):
                    tasks = self._store.load_folds(job_id, after, limit)
                yield FoldsLoaded(job_id, tasks)
            case RecordPrepared(job_id):
                self._dossiers.forget(job_id)
            case AdvanceSearch(job_id):
                yield from self._advance(job_id)

    def _advance(self, job_id: int) -> Iterator[Stimulus]:
        """Plan everything at once: what planning takes is measured elsewhere."""
        if self._n_turns > 1:
            self._is_over = True
            yield SearchEnded(job_id)
            return
        candidates = (
            PlannedCandidate({"random_state": i, "strategy": "uniform"})
            for i in range(self._n_candidates)
        )
        n_planned = 0
        while chunk := list(islice(candidates, 1000)):
            n_planned += self._store.plan(job_id, chunk, N_SPLITS, self._now())
        yield FoldsPlanned(job_id, n_planned, complete=True)

    def _compute(self, batch: Batch, order: object) -> None:
        """Have the batch computed on its engine; of no matter to the scheduler's time."""
        seconds = 0.0
        outcome: object = PREPARED
        if isinstance(order, FoldBatch):
            results = []
            for task in order.tasks:
                fit_time = self._fold_seconds * self._random.uniform(0.4, 1.2)
                score_time = self._fold_seconds * 0.2
                score = {"score": self._random.random()}
                results.append(
                    FoldResult(task.task_id, task.attempt_id, score, {}, fit_time, score_time)
                )
                seconds += fit_time + score_time
            self._computed += seconds
            outcome = BatchReport(batch.batch_id, tuple(results), (), seconds)
        begins = max(self._free_at[batch.engine_id], self._clock + LATENCY)
        self._free_at[batch.engine_id] = begins + seconds
        report = pickle.dumps(outcome, protocol=5)
        heapq.heappush(self._coming, (begins + seconds + LATENCY, batch.batch_id, report))


def simulate(
    n_engines: int, n_folds: int, fold_seconds: float, *, cpu_only: bool = False
) -> Ceiling:
    """Simulate one search, with its records in a directory of their own.

    Parameters
    ----------
    cpu_only : bool
        Count the scheduler's processor time alone: on a busy machine it varies less.
    """
    clock = time.process_time if cpu_only else time.perf_counter
    with tempfile.TemporaryDirectory(prefix="foldq-simulation-") as directory:
        return Simulation(Path(directory), n_engines, n_folds, fold_seconds, clock).run()


def table(ceilings: list[Ceiling]) -> str:
    """Write the findings as lines for people."""
    lines = [
        f"{'engines':>7}  {'folds/s':>8}  {'busy':>5}  {'batches':>7}  {'turns':>6}  "
        + "  ".join(f"{part:>8}" for part in PARTS)
        + "   µs a fold"
    ]
    lines += [
        f"{c.n_engines:>7,}  {c.folds_per_second:>8,.0f}  {c.engines_busy:>5.0%}  {c.n_batches:>7,}"
        f"  {c.n_turns:>6,}  " + "  ".join(f"{c.microseconds[part]:>8.1f}" for part in PARTS)
        for c in ceilings
    ]
    return "\n".join(lines)


def main() -> None:
    """Simulate with ever more engines and print what was found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engines", default="1,10,100,1000", help="how many, one run for each")
    parser.add_argument("--folds", type=int, default=40_000)
    parser.add_argument("--seconds", type=float, default=0.01, help="what a fold takes")
    parser.add_argument("--cpu", action="store_true", help="count processor time, not all time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    numbers = [int(number) for number in options.engines.split(",")]
    ceilings = [
        # Enough for each engine that the beginning and the end do not decide.
        simulate(n, max(options.folds, 100 * n), options.seconds, cpu_only=options.cpu)
        for n in numbers
    ]
    if options.json:
        json.dump([asdict(ceiling) for ceiling in ceilings], sys.stdout, indent=2)
        print()
    else:
        print(table(ceilings))


if __name__ == "__main__":
    main()

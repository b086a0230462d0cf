"""Searches played through in virtual time: engines share what can be shared, and end together."""

import heapq
import random
from collections import defaultdict
from datetime import timedelta

import pytest
from core_driver import NOW, Driver, batches
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.lifecycle import JobState, TaskKind
from schemas.task import BatchReport, FoldResult
from service.policy import Policy
from service.sharing import Sharing
from service.stimuli import (
    BatchReturned,
    EngineJoined,
    EngineLost,
    FoldsLoaded,
    FoldsPlanned,
    JobAdmitted,
    LoadFolds,
    Task,
    Tick,
)

N_SPLITS = 5
PIPELINE = Sharing(heads=("head",), last="last__")
GROWN = Sharing(grows="size")


class Play:
    """Engines that take the time each fold costs, and no more where they did its head before.

    `start` is what the head of a pipeline takes; a search that grows ensembles pays for the
    difference in size alone. Engines begin their next batch at once, or after `latency` seconds.
    """

    def __init__(self, costs, *, params=None, sharing=None, start=0.0, n_engines=2, latency=0.004):
        self.costs, self.start, self.latency = costs, start, latency
        self.params = params or [{"C": i} for i in range(len(costs))]
        self.driver = Driver(Policy())
        self.folds = [
            Task(
                10 + i * N_SPLITS + split, TaskKind.FOLD, self.params[i], split, candidate_id=i + 1
            )
            for i in range(len(costs))
            for split in range(N_SPLITS)
        ]
        self.finished: list[int] = []
        self.work = 0.0
        self.idle: dict[int, float] = {}
        self.heads: dict[int, list] = defaultdict(list)
        self.n_starts = 0
        self.grown: dict[int, tuple] = {}
        self.coming: list = []
        self.queues: dict[int, list] = {}
        self.free_at: dict[int, float] = {}
        self.sharing = sharing or Sharing()
        options = {"n_open": len(self.folds), "sharing": self.sharing}
        for engine_id in range(1, n_engines + 1):
            self.join(engine_id)
        self.tell(JobAdmitted(1, JobState.RUNNING, **options))
        self.tell(FoldsPlanned(1, 0, complete=True))

    @property
    def clock(self) -> float:
        return (self.driver.now - NOW).total_seconds()

    def tell(self, stimulus):
        waiting = [stimulus]
        while waiting:
            orders = self.driver.tell(waiting.pop(0))
            for batch in batches(orders):
                self.queues[batch.engine_id].append(batch)
                if len(self.queues[batch.engine_id]) == 1:
                    self.begin(batch)
            for order in orders:
                if isinstance(order, LoadFolds):
                    rest = [fold for fold in self.folds if fold.task_id > order.after]
                    waiting.append(FoldsLoaded(1, tuple(rest[: order.limit])))

    def begin(self, batch):
        results, total = [], 0.0
        for attempt_id, task in batch.tasks:
            if results and total > batch.budget:
                break
            seconds, spared = self.cost(batch.engine_id, task)
            total += seconds
            results.append(
                FoldResult(task.task_id, attempt_id, {"score": 1.0}, {}, seconds, 0.0, spared)
            )
        rest = tuple(attempt_id for attempt_id, _ in batch.tasks[len(results) :])
        report = BatchReport(batch.batch_id, tuple(results), rest, total)
        begins = max(self.clock, self.free_at[batch.engine_id])
        self.free_at[batch.engine_id] = begins + total
        self.work += total
        heapq.heappush(self.coming, (begins + total, batch.batch_id, batch.engine_id, report))

    def cost(self, engine_id, task) -> tuple[float, float]:
        cost = self.costs[task.candidate_id - 1]
        if self.sharing.grows:
            of = (task.split, *(v for k, v in task.params.items() if k != "size"))
            spared = self.grown.get(engine_id, (None, 0.0))
            spared = spared[1] if spared[0] == of and spared[1] < cost else 0.0
            self.n_starts += not spared
            self.grown[engine_id] = (of, cost)
            return cost - spared, spared
        if not self.start:
            return cost, 0.0
        head, heads = (task.split, task.params["head__n"]), self.heads[engine_id]
        if head in heads:
            return cost, self.start
        self.n_starts += 1
        heads.append(head)
        del heads[:-3]  # an engine keeps a few
        return cost + self.start, 0.0

    def join(self, engine_id):
        self.queues[engine_id], self.free_at[engine_id] = [], self.clock
        self.tell(EngineJoined(engine_id))

    def run(self, until=lambda: False) -> "Play":
        """Play until all is finished, with a look at the time every 0.1 s."""
        next_tick = self.clock + 0.1
        while self.coming and not until():
            moment = self.coming[0][0] + self.latency
            if next_tick < moment:
                self.driver.now = NOW + timedelta(seconds=next_tick)
                next_tick += 0.1
                self.tell(Tick())
                continue
            _, _, engine_id, report = heapq.heappop(self.coming)
            self.answer(engine_id, report, moment)
        if not until():
            assert sorted(self.finished) == [fold.task_id for fold in self.folds], "each once"
        return self

    def answer(self, engine_id, report, moment):
        self.driver.now = NOW + timedelta(seconds=moment)
        self.finished += [result.task_id for result in report.results]
        queue = self.queues[engine_id]
        queue.pop(0)
        if queue:
            self.begin(queue[0])
        self.tell(BatchReturned(report.batch_id, report))

    @property
    def makespan(self) -> float:
        return max(self.free_at.values())


def longest_first(seconds, n_engines) -> float:
    """What a schedule takes that knows all costs before: the longest first, to the next engine."""
    ends = [0.0] * n_engines
    for cost in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + cost)
    return max(ends)


def drawn(seed, n, draw):
    rng = random.Random(seed)
    return [draw(rng) for _ in range(n)]


DISTRIBUTIONS = {
    "all the same": [0.02] * 200,
    "tiny": [0.001] * 1000,
    "like SVC on digits": drawn(0, 20, lambda rng: rng.uniform(0.05, 0.25)),
    "ever dearer": [0.005 * 1.03**i for i in range(120)],
    "ever cheaper": [0.005 * 1.03 ** (120 - i) for i in range(120)],
    "a few are very dear": drawn(1, 60, lambda rng: 2.0 if rng.random() < 0.05 else 0.03),
    "long tails": drawn(2, 80, lambda rng: min(3.0, 0.02 * rng.paretovariate(0.9))),
}


@pytest.mark.parametrize("n_engines", [2, 7])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_engines_end_together_whatever_the_candidates_cost(name, n_engines):
    costs = DISTRIBUTIONS[name]
    play = Play(costs, n_engines=n_engines).run()
    best = longest_first([cost for cost in costs for _ in range(N_SPLITS)], n_engines)
    assert play.makespan <= 1.1 * best + 0.05


def test_no_engine_idles_for_more_than_a_short_fold_at_the_end():
    play = Play(DISTRIBUTIONS["like SVC on digits"]).run()
    first, last = sorted(play.free_at.values())
    assert last - first <= 0.08


def heads_and_lasts(n_heads, n_lasts):
    return [{"head__n": h, "last__C": c} for h in range(n_heads) for c in range(n_lasts)]


@pytest.mark.parametrize("n_engines", [1, 2, 3])
def test_the_head_of_a_pipeline_is_fitted_hardly_more_than_once_for_each_split(n_engines):
    params = heads_and_lasts(4, 10)
    random.Random(0).shuffle(params)  # whatever the order of the candidates
    play = Play([0.03] * 40, params=params, sharing=PIPELINE, start=0.2, n_engines=n_engines).run()
    assert play.n_starts <= 4 * N_SPLITS + n_engines - 1
    assert play.makespan <= 1.1 * play.work / n_engines + 0.2


def test_engines_join_where_enough_is_left_to_pay_for_another_start():
    # One long group for each split, and more engines than splits.
    play = Play(
        [0.05] * 100, params=heads_and_lasts(1, 100), sharing=PIPELINE, start=0.5, n_engines=20
    ).run()
    assert play.n_starts == 20
    assert play.makespan <= 1.2 * play.work / 20


def test_nobody_joins_for_what_its_engine_does_sooner():
    play = Play(
        [0.02] * 10, params=heads_and_lasts(1, 10), sharing=PIPELINE, start=2.0, n_engines=5
    )
    play.run(until=lambda: len(play.finished) >= 15)
    for engine_id in range(6, 20):
        play.join(engine_id)
    play.run()
    assert play.n_starts == N_SPLITS


def test_batches_are_filled_where_every_fold_is_a_group_of_its_own():
    params = [{"head__n": i} for i in range(400)]
    play = Play([0.001] * 400, params=params, sharing=PIPELINE, start=1e-9)
    play.run()
    n_batches = len(batches(play.driver.orders))
    assert n_batches < 60, f"{n_batches} for 2,000 folds of a millisecond"


def sizes(n_kinds):
    """Sizes of an ensemble times other parameters, of which each makes it dearer."""
    pairs = [(kind, size) for kind in range(1, n_kinds + 1) for size in (50, 100, 200, 400)]
    params = [{"kind": kind, "size": size} for kind, size in pairs]
    return params, [0.002 * size * (1 + kind) for kind, size in pairs]


def test_an_ensemble_grows_on_one_engine_from_the_smallest_size_on():
    params, costs = sizes(3)
    play = Play(costs, params=params, sharing=GROWN).run()
    assert play.n_starts == 3 * N_SPLITS
    chains = [cost for cost, p in zip(costs, params, strict=True) if p["size"] == 400] * N_SPLITS
    assert play.makespan <= 1.08 * longest_first(chains, 2)


def test_a_lost_engine_leaves_its_chain_to_another_one():
    params, costs = sizes(1)
    play = Play(costs, params=params, sharing=GROWN, n_engines=2)
    play.coming = [coming for coming in play.coming if coming[2] != 1]
    play.queues.pop(1)
    play.tell(EngineLost(1, "killed"))
    play.run()
    assert play.n_starts <= N_SPLITS + 3, "one anew, one for the suspect, one it came between"


def test_a_thousand_engines_find_work_in_five_groups():
    play = Play([0.5] * 400, n_engines=1000).run()
    assert play.makespan <= 2 * 0.5 + 0.1, "2,000 folds, two for each engine"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.0005, 1.5)), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.01, 0.3]),
    st.integers(1, 9),
)
def test_every_fold_is_done_once_and_no_engine_starves(candidates, start, n_engines):
    params = [{"head__n": head, "last__C": i} for i, (head, _) in enumerate(candidates)]
    costs = [cost for _, cost in candidates]
    play = Play(costs, params=params, sharing=PIPELINE, start=start, n_engines=n_engines).run()
    # List scheduling ends within the work shared out evenly and the longest thing that is not.
    longest = max(costs) + start
    assert play.makespan <= play.work / n_engines + 3 * longest + 0.3

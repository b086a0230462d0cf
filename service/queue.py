"""One job's queue of tasks, as the scheduler core holds it in memory."""

import heapq
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from schemas.lifecycle import JobState, TaskKind
from schemas.task import BatchReport
from service.costs import Costs
from service.fleet import Twins
from service.policy import Policy
from service.ready import Ready
from service.sharing import OF_DATA, Sharing
from service.stimuli import RetryPolicy, Task
from service.tags import TagUse, takes


@dataclass(slots=True)
class JobQueue:
    """A job's unfinished tasks: which may go out now, which wait, which are out.

    Attributes
    ----------
    unloaded : int
        Pending fold tasks that are still only in the records, beyond task id `cursor`.
    open : int
        Fold tasks that are not finished, wherever they are.
    planned : bool
        Whether all folds of the present plan stand in the records.
    blocked : bool
        The folds wait for the data to be prepared again.
    engines : dict of int to int
        Batches in flight by engine; `n_out` counts them all.
    twins : Twins
        Folds that are out twice.
    known : set of int
        Fold tasks beyond `cursor` that came into memory another way than by loading.
    n_hindered : int
        How often in a row its prepare or refit task found the disk full or closed to it.
    begun : bool
        Whether something of it was sent since it was admitted, or resumed.
    uses : tuple of TagUse
        The limits that it shares with other jobs of its tags; `Jobs` sees to them.
    """

    job_id: int
    state: JobState
    priority: int
    max_engines: int | None
    retry: RetryPolicy
    timeout: float | None
    raise_errors: bool
    tags: tuple[str, ...] = ()
    fingerprint: str | None = None
    held: bool = False
    blocked: bool = False
    todo: Task | None = None
    sharing: Sharing = OF_DATA
    ready: Ready = field(init=False)
    suspects: deque[Task] = field(default_factory=deque)
    delayed: list[tuple[datetime, int, Task]] = field(default_factory=list)
    unloaded: int = 0
    cursor: int = 0
    loading: bool = False
    open: int = 0
    planned: bool = False
    advancing: bool = False
    costs: Costs = field(default_factory=Costs)
    engines: dict[int, int] = field(default_factory=dict)
    twins: Twins = field(default_factory=Twins)
    known: set[int] = field(default_factory=set)
    n_hindered: int = 0
    n_out: int = 0
    begun: bool = False
    uses: tuple[TagUse, ...] = ()
    _order: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.ready = Ready(self.sharing, self.costs)

    @property
    def n_waiting(self) -> int:
        """Tasks in memory that could be sent, now or after their back-off."""
        return len(self.ready) + len(self.suspects) + len(self.delayed)

    def learn(self, tasks: Mapping[int, Task], report: BatchReport, policy: Policy) -> None:
        """Take note of what the folds of a batch cost, `tasks` by attempt."""
        results = report.results
        alone = sum(result.fit_time + result.score_time for result in results)
        # What the batch took beside its fits and scores, each fold's share of it.
        beside = max(0.0, report.seconds - alone) / len(results)
        self.costs.learn_batch(alone / len(results), beside)
        for result in results:
            if result.error is None and (task := tasks.get(result.attempt_id)) is not None:
                seconds = result.fit_time + result.score_time
                self.costs.learn(task, seconds, beside, result.spared_time, policy)

    def seconds_left(self) -> float | None:
        """Return what all the folds should take that are still to be sent."""
        if self.costs.seconds is None:
            return None
        return (len(self.ready) + self.unloaded) * self.costs.seconds

    def put_back(self, task: Task, not_before: datetime | None = None) -> None:
        """Take a task that came back undone, to go out again (after `not_before`)."""
        if task.kind is not TaskKind.FOLD:
            self.todo = task
        if not_before is not None:
            heapq.heappush(self.delayed, (not_before, next(self._order), task))
            if self.todo is task:
                self.todo = None
        elif task.kind is TaskKind.FOLD:
            (self.suspects.append if task.alone else self.ready.put_back)(task)

    def wake(self, now: datetime) -> None:
        """Make the tasks whose back-off is over ready."""
        while self.delayed and self.delayed[0][0] <= now:
            self.put_back(heapq.heappop(self.delayed)[2])

    def may_use(self, engine_id: int) -> bool:
        """Whether the job's own cap, and those of its tags, allow a batch on this engine."""
        return takes(self.engines, self.max_engines, engine_id) and all(
            use.takes(engine_id) for use in self.uses
        )

    @property
    def most_engines(self) -> int | None:
        """The lowest of the limits to the engines that work for it; None without any."""
        limits = (self.max_engines, *(use.limit.max_engines for use in self.uses))
        return min((limit for limit in limits if limit is not None), default=None)

    def hold(self) -> None:
        """Send nothing more until `release`. Another job may begin in its place."""
        self.held, self.begun, self.state = True, False, JobState.PAUSED
        for use in self.uses:
            use.begun.discard(self.job_id)

    def release(self) -> None:
        """Let it go on."""
        self.held, self.state = False, JobState.QUEUED

    def has_ready(self, engine_id: int | None = None, *, behind: bool = False) -> bool:
        """Whether a task could go out this moment, to this engine or else to any one.

        Parameters
        ----------
        behind : bool
            Whether it would wait behind other folds. Only folds may: a prepare or refit task wants
            an engine of its own, and so does a suspect, whose engine may die under it.
        """
        if self.held or not takes(self.engines, self.max_engines, engine_id):
            return False
        if self.todo is not None:
            return not behind
        if self.blocked or not (self.suspects or self.ready):
            return False
        if self.suspects:
            return not behind
        if engine_id is not None and self.ready.has_own(engine_id):
            return True
        return self.ready.has_for_anyone

    @property
    def needs_advice(self) -> bool:
        """Whether nothing is left of the present plan, and nothing is under way either."""
        if self.held or self.advancing or self.blocked or self.todo is not None:
            return False
        if not self.planned:
            return not self.delayed
        return self.open == 0 and not self.delayed and not self.engines

    def load(self, tasks: tuple[Task, ...]) -> None:
        """Take in fold tasks from the records, but for those that are here already."""
        new = [task for task in tasks if task.task_id not in self.known]
        self.unloaded -= len(new)
        self.ready.add(new)
        if tasks:
            self.cursor = tasks[-1].task_id
            self.known = {task_id for task_id in self.known if task_id > self.cursor}

    def know(self, tasks: Iterable[Task]) -> None:
        """Count fold tasks as open that did not come by loading."""
        for task in tasks:
            self.open += 1
            if task.task_id > self.cursor:
                self.known.add(task.task_id)

    def take(
        self,
        engine_id: int,
        seconds: float,
        most: int,
        *,
        dearest_first: bool = False,
        spare_suspects: bool = False,
    ) -> tuple[list[Task], float | None]:
        """Remove and return the tasks of the next batch, with what it should take.

        Suspects go first, unless they are to be spared while there are others. For the rest see
        `Ready.take`.
        """
        if self.todo is not None:
            task, self.todo = self.todo, None
            return [task], None
        if self.suspects and not (spare_suspects and self.ready):
            task = self.suspects.popleft()
            return [task], self.costs.estimate(task)
        tasks, total = self.ready.take(engine_id, seconds, most, dearest_first=dearest_first)
        if not tasks and self.suspects:  # the others are for other engines
            return [self.suspects.popleft()], None
        return tasks, total

    def sent(self, engine_id: int) -> None:
        """Count one more batch on the engine."""
        self.engines[engine_id] = self.engines.get(engine_id, 0) + 1
        self.n_out += 1
        self.begun = not self.held
        for use in self.uses:
            use.engines[engine_id] += 1
            if self.begun:
                use.begun.add(self.job_id)

    def came_back(self, engine_id: int) -> None:
        """Count one batch less on the engine."""
        if (n_there := self.engines.get(engine_id, 0)) == 0:
            return
        self.n_out -= 1
        for use in self.uses:
            use.came_back(engine_id)
        if n_there > 1:
            self.engines[engine_id] -= 1
        else:
            del self.engines[engine_id]
            self.ready.detach(engine_id)

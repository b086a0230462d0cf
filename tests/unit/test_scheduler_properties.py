"""The scheduler core under random facts in random order, held against a simple model.

The model keeps the records as the database would: states, attempts, and the moves that are legal.
Whatever comes in — losses, late and double results, frozen engines, full disks, schedulers that
die while their engines live on, pauses, cancels, data that vanish — no illegal move is ordered, no
attempt ends twice, no task is out more than twice, nothing is sent to a dead engine or while
dispatch stands still, and once the world calms down every search ends with each of its folds
finished exactly once.

`TEST_EXAMPLES=2000` has so many stories told, each of fifty happenings or more.
"""

import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.lifecycle import (
    JOB_MOVES,
    REPEATABLE_KINDS,
    TASK_MOVES,
    JobState,
    Outcome,
    TaskKind,
    TaskState,
)
from schemas.task import BatchReport, FoldResult, Prepared, Refitted, TaskFailure
from service import stimuli as s
from service.policy import Policy
from service.scheduler import Scheduler
from service.sharing import Sharing
from service.tags import TagLimit

PREPARED = Prepared("f" * 64, "s" * 64, 150, 4, 5, 3, True, 120, {})
N_JOBS, N_FOLDS, N_SPLITS = 3, 30, 5
N_STORIES = int(os.environ.get("TEST_EXAMPLES", "80"))
LEAST_HAPPENINGS = 50 if N_STORIES > 200 else 10


@dataclass
class Record:
    job_id: int
    kind: TaskKind
    state: TaskState = TaskState.PENDING
    n_attempts: int = 0
    n_engines_lost: int = 0


@dataclass
class Attempt:
    task_id: int
    outcome: Outcome | None = None


def new_core(next_attempt: int = 1, next_batch: int = 1) -> Scheduler:
    policy = Policy(page=8, max_batch=3, straggler_share=0.5, straggler_peers=1)
    return Scheduler(policy, next_attempt, next_batch)


@dataclass
class World:
    """Plays daemon, database and engines; refuses whatever the tables would refuse."""

    core: Scheduler = field(default_factory=new_core)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    jobs: dict[int, JobState] = field(default_factory=dict)
    options: dict[int, dict[str, object]] = field(default_factory=dict)
    tasks: dict[int, Record] = field(default_factory=dict)
    attempts: dict[int, Attempt] = field(default_factory=dict)
    at_engines: list[s.Batch] = field(default_factory=list)
    gone: list[s.Batch] = field(default_factory=list)
    engines: list[int] = field(default_factory=list)
    doomed: list[int] = field(default_factory=list)
    n_joined: int = 0
    n_batches: int = 0
    trouble: str | None = None
    draining: bool = False
    held: bool = False
    limits: dict[str, TagLimit] = field(default_factory=dict)

    def admit(self, job_id: int, **options: object) -> None:
        self.jobs[job_id] = JobState.QUEUED
        self.options[job_id] = options
        self.tasks[1000 * job_id] = Record(job_id, TaskKind.PREPARE)
        self.tell(self.admission(job_id))

    def admission(self, job_id: int) -> s.JobAdmitted:
        prepare = self.tasks[1000 * job_id]
        return s.JobAdmitted(
            job_id,
            self.jobs[job_id],
            todo=self.task(1000 * job_id) if prepare.state is TaskState.PENDING else None,
            n_open=len(self.folds(job_id, TaskState.PENDING)),
            **self.options[job_id],
        )

    def task(self, task_id: int) -> s.Task:
        """The task as it is read from the records."""
        record = self.tasks[task_id]
        counters = {"n_attempts": record.n_attempts, "n_engines_lost": record.n_engines_lost}
        if record.kind is not TaskKind.FOLD:
            return s.Task(task_id, record.kind, **counters)
        candidate, split = divmod(task_id % 1000 - 1, N_SPLITS)
        params = {"first__n": candidate % 2, "last__n": 10 - candidate}
        return s.Task(
            task_id, TaskKind.FOLD, params, split, candidate_id=task_id // N_SPLITS, **counters
        )

    def folds(self, job_id: int, *states: TaskState) -> list[int]:
        return [
            task_id
            for task_id, task in sorted(self.tasks.items())
            if task.job_id == job_id and task.kind is TaskKind.FOLD and task.state in states
        ]

    def open_attempts(self, task_id: int) -> list[int]:
        return [
            attempt_id
            for attempt_id, attempt in self.attempts.items()
            if attempt.task_id == task_id and attempt.outcome is None
        ]

    def tell(self, stimulus: s.Stimulus) -> None:
        waiting = [stimulus]
        while waiting:
            orders = self.core.handle(waiting.pop(0), self.now)
            for order in orders:
                self.record(order)
            self.check_attempts()
            for order in orders:
                waiting += self.perform(order)

    def check_attempts(self) -> None:
        """A task is out while it has an open attempt, and twice at most; others have none."""
        n_open = dict.fromkeys(self.tasks, 0)
        for attempt in self.attempts.values():
            n_open[attempt.task_id] += attempt.outcome is None
        for task_id, task in self.tasks.items():
            if task.state is TaskState.DISPATCHED:
                assert 1 <= n_open[task_id] <= (2 if task.kind is TaskKind.FOLD else 1)
            else:
                assert n_open[task_id] == 0, (task, "has an open attempt")

    def record(self, order: s.Instruction) -> None:
        match order:
            case s.Dispatch(batch):
                assert batch.engine_id in self.engines, "sent to an engine that is gone"
                assert self.trouble is None, "sent while dispatch stands still"
                assert not self.draining, "sent while the scheduler stops"
                assert not self.held, "sent while the queue is held"
                assert batch.batch_id > self.n_batches
                self.n_batches = batch.batch_id
                for attempt_id, task in batch.tasks:
                    assert attempt_id not in self.attempts
                    self.attempts[attempt_id] = Attempt(task.task_id)
                    if self.tasks[task.task_id].state is not TaskState.DISPATCHED:
                        self.move(task.task_id, TaskState.DISPATCHED)
                self.at_engines.append(batch)
                self.check_limits(batch)
                on_engine = [b for b in self.at_engines if b.engine_id == batch.engine_id]
                assert len(on_engine) <= self.core.policy.window
            case s.EndTask():
                self.close(order.attempt_id, order.task_id, order.outcome)
                self.count(order)
                self.move(order.task_id, order.state)
            case s.PutBackTask():
                self.close(order.attempt_id, order.task_id, order.outcome)
                self.count(order)
                self.move(order.task_id, TaskState.PENDING)
            case s.EndAttempt(attempt_id, outcome):
                task_id = self.attempts[attempt_id].task_id
                self.close(attempt_id, task_id, outcome)
                if outcome is Outcome.SUPERSEDED:
                    assert self.tasks[task_id].state in (TaskState.DONE, TaskState.FAILED)
                else:
                    assert self.tasks[task_id].state is TaskState.DISPATCHED
            case s.CancelTasks(job_id):
                for task_id, task in self.tasks.items():
                    if task.job_id == job_id and task.state in (
                        TaskState.PENDING, TaskState.DISPATCHED,
                    ):  # fmt: skip
                        for attempt_id in self.open_attempts(task_id):
                            self.attempts[attempt_id].outcome = Outcome.CANCELLED
                        self.move(task_id, TaskState.CANCELLED)
            case s.ReopenPrepare(job_id):
                self.move(1000 * job_id, TaskState.PENDING)
            case s.MoveJob(job_id, state):
                assert (self.jobs[job_id], state) in JOB_MOVES, (self.jobs[job_id], state)
                self.jobs[job_id] = state
            case s.Trouble(because):
                assert (because, self.trouble) != (None, None)
                self.trouble = because

    def check_limits(self, sent: s.Batch) -> None:
        """What was just sent keeps within the limits of its job and of the job's tags."""
        at = {job_id: {b.engine_id for b in self.sent_for(job_id)} for job_id in self.jobs}
        options = self.options[sent.job_id]
        most = options.get("max_engines")
        assert most is None or len(at[sent.job_id]) <= most
        for tag in options.get("tags", ()):
            jobs = [job_id for job_id in self.jobs if tag in self.options[job_id].get("tags", ())]
            limit = self.limits.get(tag, TagLimit())
            n_engines = len(set().union(*(at[job_id] for job_id in jobs)))
            assert limit.max_engines is None or n_engines <= limit.max_engines
            if limit.max_jobs is not None and self.is_new(sent):
                begun = [job_id for job_id in jobs if at[job_id] and self.is_at_work(job_id)]
                assert len(begun) <= limit.max_jobs

    def sent_for(self, job_id: int) -> list[s.Batch]:
        """The batches at engines that still count for a job."""
        return [
            batch
            for batch in self.at_engines
            if batch.job_id == job_id
            and any(self.attempts[attempt_id].outcome is None for attempt_id, _ in batch.tasks)
        ]

    def is_new(self, batch: s.Batch) -> bool:
        """Whether nothing of the job was sent before this batch."""
        mine = {attempt_id for attempt_id, _ in batch.tasks}
        return not any(
            self.tasks[attempt.task_id].job_id == batch.job_id
            for attempt_id, attempt in self.attempts.items()
            if attempt_id not in mine
        )

    def is_at_work(self, job_id: int) -> bool:
        return self.jobs[job_id] is not JobState.PAUSED and not self.jobs[job_id].is_final

    def set(
        self, job_id: int, priority: int, max_engines: int | None, tags: tuple[str, ...]
    ) -> None:
        if not self.jobs[job_id].is_final:
            self.options[job_id] |= {
                "priority": priority,
                "max_engines": max_engines,
                "tags": tags,
            }
            self.tell(s.JobSet(job_id, priority, max_engines, tags))

    def limit(self, tag: str, limit: TagLimit) -> None:
        self.limits[tag] = limit
        self.tell(s.TagsLimited(dict(self.limits)))

    def hold(self, held: bool) -> None:
        self.held = held
        self.tell(s.QueueHeld(held))

    def count(self, order: s.EndTask | s.PutBackTask) -> None:
        task = self.tasks[order.task_id]
        assert order.n_attempts >= task.n_attempts
        assert order.n_engines_lost >= task.n_engines_lost
        task.n_attempts, task.n_engines_lost = order.n_attempts, order.n_engines_lost

    def close(self, attempt_id: int, task_id: int, outcome: Outcome) -> None:
        assert self.attempts[attempt_id] == Attempt(task_id), "an attempt ends once"
        self.attempts[attempt_id].outcome = outcome

    def move(self, task_id: int, state: TaskState) -> None:
        task = self.tasks[task_id]
        repeats = (task.state, state) == (TaskState.DONE, TaskState.PENDING)
        assert (task.state, state) in TASK_MOVES or (repeats and task.kind in REPEATABLE_KINDS), (
            task,
            state,
        )
        task.state = state

    def perform(self, order: s.Instruction) -> list[s.Stimulus]:
        match order:
            case s.AdvanceSearch(job_id):
                assert not self.jobs[job_id].is_final, "asks what a job needs that was given up"
                return self.advance(job_id)
            case s.LoadFolds(job_id, after, limit):
                pending = [i for i in self.folds(job_id, TaskState.PENDING) if i > after]
                return [s.FoldsLoaded(job_id, tuple(map(self.task, pending[:limit])))]
            case s.ReopenPrepare(job_id):
                return [s.TaskPlanned(job_id, self.task(1000 * job_id))]
            case s.KillEngine(engine_id):
                assert engine_id in self.engines
                self.doomed.append(engine_id)
            case s.Interrupt(engine_id):
                assert engine_id in self.engines
        return []

    def advance(self, job_id: int) -> list[s.Stimulus]:
        if not self.folds(job_id, *TaskState):
            for i in range(1, N_FOLDS + 1):
                self.tasks[1000 * job_id + i] = Record(job_id, TaskKind.FOLD)
            half = N_FOLDS // 2
            return [
                s.FoldsPlanned(job_id, half, complete=False),
                s.FoldsPlanned(job_id, N_FOLDS - half, complete=True),
            ]
        refit = self.tasks.get(1000 * job_id + 999, Record(job_id, TaskKind.REFIT))
        if (
            self.folds(job_id, TaskState.PENDING, TaskState.DISPATCHED)
            or refit.state is TaskState.DISPATCHED
        ):
            return [s.FoldsPlanned(job_id, 0, complete=True)]
        if refit.state is TaskState.DONE:
            return [s.SearchEnded(job_id)]
        self.tasks[1000 * job_id + 999] = refit
        return [s.TaskPlanned(job_id, self.task(1000 * job_id + 999))]

    # --- what may happen ---------------------------------------------------------------------

    def join(self) -> None:
        self.n_joined += 1
        self.engines.append(self.n_joined)
        self.tell(s.EngineJoined(self.n_joined))

    def lose(self, which: int, *, blameless: bool = False) -> None:
        if self.engines:
            self.bury(self.engines[which % len(self.engines)], blameless=blameless)

    def bury(self, engine_id: int, *, blameless: bool = False) -> None:
        self.engines.remove(engine_id)
        self.gone += [b for b in self.at_engines if b.engine_id == engine_id]
        self.at_engines = [b for b in self.at_engines if b.engine_id != engine_id]
        self.tell(s.EngineLost(engine_id, "lost", blameless))

    def reap(self) -> None:
        """The engines that the core wanted ended are."""
        for engine_id in self.doomed:
            if engine_id in self.engines:
                self.bury(engine_id)
        self.doomed.clear()

    def restart(self, lost_engines: int, unsent: int, answers: list[int]) -> None:
        """The scheduler dies, and a new one goes on from the records with the engines that live.

        Of engines and of the newest batches some are gone, by the bits of `lost_engines` and
        `unsent`: a batch may be on record that was never sent. Some `answers` come before the jobs.
        """
        self.engines = [e for i, e in enumerate(self.engines) if not lost_engines >> i & 1]
        newest = list(reversed(self.at_engines))
        self.gone += [b for i, b in enumerate(newest) if unsent >> i & 1]
        kept = [b for i, b in enumerate(newest) if not unsent >> i & 1]
        self.at_engines = [b for b in reversed(kept) if b.engine_id in self.engines]
        self.doomed.clear()
        self.trouble, self.draining = None, False
        # What the daemon does with the records before anything else.
        in_hand = {attempt_id for b in self.at_engines for attempt_id, _ in b.tasks}
        for attempt_id, attempt in self.attempts.items():
            if attempt.outcome is None and attempt_id not in in_hand:
                attempt.outcome = Outcome.ENGINE_LOST
        for task_id, task in self.tasks.items():
            if task.state is TaskState.DISPATCHED and not self.open_attempts(task_id):
                self.move(task_id, TaskState.PENDING)
        self.core = new_core(max(self.attempts, default=0) + 1, self.n_batches + 1)
        self.tell(s.TagsLimited(dict(self.limits)))
        self.tell(s.QueueHeld(self.held))
        for engine_id in self.engines:
            batches = tuple(
                replace(
                    batch,
                    tasks=tuple(
                        (attempt_id, self.task(task.task_id))
                        for attempt_id, task in batch.tasks
                        if self.attempts[attempt_id].outcome is None
                    ),
                )
                for batch in self.at_engines
                if batch.engine_id == engine_id
            )
            self.tell(s.EngineRejoined(engine_id, batches))
        for which in answers:
            match which % 3:
                case 0:
                    self.lose(which)
                case 1:
                    self.answer(which, "error")
                case _:
                    self.answer(which, "ok")
        for job_id, state in self.jobs.items():
            if not state.is_final:
                self.tell(self.admission(job_id))

    def answer(self, which: int, how: str) -> None:
        """The running batch of some engine comes back."""
        running = {b.engine_id: b for b in reversed(self.at_engines)}
        if running:
            batch = running[sorted(running)[which % len(running)]]
            self.at_engines.remove(batch)
            self.gone.append(batch)
            self.tell(s.BatchReturned(batch.batch_id, self.outcome(batch, how)))

    def outcome(self, batch: s.Batch, how: str) -> object:
        attempts = tuple(a for a, _ in batch.tasks)
        if how == "missing" and batch.kind is not TaskKind.PREPARE:
            return BatchReport(batch.batch_id, (), attempts, missing_data="deleted")
        if how == "unstarted":
            return BatchReport(batch.batch_id, (), attempts)
        if how == "disk" and batch.kind is not TaskKind.FOLD:
            return TaskFailure("full", error_types=("OSError",), is_environment=True)
        if batch.kind is TaskKind.PREPARE:
            return TaskFailure("no", error_types=("OSError",)) if how == "error" else PREPARED
        if batch.kind is TaskKind.REFIT:
            return Refitted("m", "skops", (), None, 0.1)
        n_run = len(attempts) // 2 if how == "partial" else len(attempts)
        results = tuple(
            FoldResult(
                t.task_id,
                a,
                {"score": 1.0},
                error="no" if how in ("error", "timeout") else None,
                error_types=("OSError",) if how == "error" else (),
                timed_out=how == "timeout",
            )
            for a, t in batch.tasks[:n_run]
        )
        return BatchReport(batch.batch_id, results, attempts[n_run:], 0.01 * max(n_run, 1))

    def retry(self, job_id: int) -> None:
        """A person has the failed folds of a job tried again, or the whole job if it ended."""
        failed = [
            task_id
            for task_id, task in self.tasks.items()
            if task.job_id == job_id and task.state in (TaskState.FAILED, TaskState.CANCELLED)
        ]
        for task_id in failed:
            self.move(task_id, TaskState.PENDING)
            self.tasks[task_id].n_attempts = self.tasks[task_id].n_engines_lost = 0
        if self.jobs[job_id].is_final:
            self.jobs[job_id] = JobState.QUEUED
            self.tell(self.admission(job_id))
        else:
            self.tell(s.FoldsPutBack(job_id, tuple(map(self.task, failed))))

    def echo(self, which: int) -> None:
        """A batch comes back that was answered already, or whose engine was given up."""
        if self.gone:
            batch = self.gone[which % len(self.gone)]
            self.tell(s.BatchReturned(batch.batch_id, self.outcome(batch, "ok")))

    def calm_down(self) -> None:
        """From now on engines live and work, and every held job is let go on."""
        if self.draining:
            self.restart(0, 0, [])
        self.hold(False)
        for job_id in list(self.jobs):
            self.tell(s.ResumeRequested(job_id))
        for i in range(5000):
            if all(state.is_final for state in self.jobs.values()):
                return
            self.now += timedelta(seconds=1)
            self.tell(s.Tick())
            self.reap()
            if not self.engines:
                self.join()
            self.answer(i, "ok")
        raise AssertionError(f"searches that never end: {self.jobs}")


numbers = st.integers(0, 50)
job_ids = st.integers(1, N_JOBS)
answers = st.sampled_from(
    ["ok", "ok", "ok", "partial", "error", "timeout", "missing", "unstarted", "disk"]
)
most = st.none() | st.integers(1, 3)
tags = st.sampled_from(["lab", "gpu"])
#: What may happen, how often for each other thing, and with which particulars.
HAPPENINGS = {
    "answer": (8, (numbers, answers)),
    # One engine does all the work, the others seem frozen.
    "work": (8, (numbers, st.integers(1, 15))),
    "wait": (6, (st.sampled_from([0.1, 1, 3, 3, 3, 6, 20, 100]),)),
    "join": (4, ()),
    "lose": (4, (numbers, st.booleans())),
    "reap": (2, ()),
    "restart": (2, (st.integers(0, 15), st.integers(0, 15), st.lists(numbers, max_size=3))),
    "echo": (2, (numbers,)),
    "pause": (1, (job_ids,)),
    "resume": (2, (job_ids,)),
    "retry": (2, (job_ids,)),
    "cancel": (1, (job_ids,)),
    "set": (2, (job_ids, st.integers(-1, 2), most, st.lists(tags, max_size=2, unique=True))),
    "limit": (2, (tags, st.builds(TagLimit, most, most))),
    "hold": (1, (st.booleans(),)),
    "crash loop": (1, (st.integers(2, 6), st.booleans())),
    "drain": (1, ()),
}
happenings = st.sampled_from(
    [name for name, (weight, _) in HAPPENINGS.items() for _ in range(weight)]
).flatmap(lambda name: st.tuples(st.just(name), *HAPPENINGS[name][1]))


def happen(world: World, happening: tuple[object, ...]) -> None:
    match happening:
        case ("answer", which, how):
            world.answer(which, how)
        case ("work", which, n_batches):
            for _ in range(n_batches):
                world.answer(which, "ok")
                world.now += timedelta(seconds=0.2)
                world.tell(s.Tick())
        case ("lose", which, blameless):
            world.lose(which, blameless=blameless)
        case ("crash loop", n_losses, come):
            for i in range(n_losses):
                if come:
                    world.join()
                    world.lose(i)
                else:
                    world.tell(s.EngineNeverCame("exit code 1"))
        case ("reap",):
            world.reap()
        case ("restart", lost_engines, unsent, answers):
            world.restart(lost_engines, unsent, answers)
        case ("drain",):
            world.tell(s.DrainRequested())
            world.draining = True
        case ("join",):
            if len(world.engines) < 6:
                world.join()
        case ("echo", which):
            world.echo(which)
        case ("wait", seconds):
            world.now += timedelta(seconds=seconds)
            world.tell(s.Tick())
        case ("pause", job_id):
            world.tell(s.PauseRequested(job_id))
        case ("resume", job_id):
            world.tell(s.ResumeRequested(job_id))
        case ("retry", job_id):
            world.retry(job_id)
        case ("set", job_id, priority, max_engines, its_tags):
            world.set(job_id, priority, max_engines, tuple(its_tags))
        case ("limit", tag, limit):
            world.limit(tag, limit)
        case ("hold", held):
            world.hold(held)
        case ("cancel", job_id):
            world.tell(s.CancelRequested(job_id))
        case _:
            raise AssertionError(happening)


@settings(
    max_examples=N_STORIES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(happenings, min_size=LEAST_HAPPENINGS, max_size=80), st.integers(1, 5), st.booleans()
)
def test_whatever_happens_every_search_ends_with_each_fold_finished_once(
    story, n_engines, raise_errors
):
    world = World()
    for _ in range(n_engines):
        world.join()
    retry = s.RetryPolicy(attempts=2, on=frozenset({"OSError"}), engine_losses=2)
    # One search shares the data of its splits, one the heads of pipelines, one grows ensembles.
    world.admit(1, retry=retry, sharing=Sharing(("first",), "last__", "last__n"))
    world.admit(2, priority=1, max_engines=1, timeout=5.0, sharing=Sharing(("first",), "last__"))
    world.admit(3, raise_errors=raise_errors, tags=("lab",))
    for happening in story:
        happen(world, happening)
    world.calm_down()
    n_results = dict.fromkeys(world.tasks, 0)
    for attempt in world.attempts.values():
        n_results[attempt.task_id] += attempt.outcome is Outcome.OK
    for task_id, task in world.tasks.items():
        if world.jobs[task.job_id] is JobState.COMPLETED:
            assert task.state in (TaskState.DONE, TaskState.FAILED)
        else:
            assert task.state not in (TaskState.PENDING, TaskState.DISPATCHED)
        if task.kind is TaskKind.FOLD:
            assert n_results[task_id] == (task.state is TaskState.DONE), "one result each"
    assert world.core.n_in_flight == len(world.at_engines)
    assert all(attempt.outcome is not None for attempt in world.attempts.values())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(numbers, st.booleans()), max_size=60))
def test_losses_alone_never_fail_a_fold_that_did_not_cause_them(story):
    # Engines die under whole batches, never under a task that is alone: nothing is poison.
    world = World()
    world.join()
    world.admit(1)
    for which, dies in story:
        running = world.at_engines[:1]
        if dies and running and len(running[0].tasks) > 1:
            world.lose(which)
            world.join()
        else:
            world.answer(which, "ok")
    world.calm_down()
    assert world.jobs[1] is JobState.COMPLETED
    assert {task.state for task in world.tasks.values()} == {TaskState.DONE}

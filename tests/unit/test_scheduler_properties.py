"""The scheduler core under random facts in random order, held against a simple model.

The model keeps the records as the database would: states, attempts, and the moves that are legal.
Whatever comes in — losses, late and double results, pauses, cancels, data that vanish — no illegal
move is ordered, no attempt ends twice, and once the world calms down every search ends with each of
its folds finished exactly once.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.lifecycle import (
    JOB_MOVES,
    REPEATABLE_KINDS,
    TASK_MOVES,
    JobState,
    TaskKind,
    TaskState,
)
from schemas.task import BatchReport, FoldResult, Prepared, Refitted, TaskFailure
from service import stimuli as s
from service.policy import Policy
from service.scheduler import Scheduler

PREPARED = Prepared("f" * 64, "s" * 64, 150, 4, 5, 3, True, 120, {})
N_JOBS, N_FOLDS = 3, 30


@dataclass
class Record:
    job_id: int
    kind: TaskKind
    state: TaskState = TaskState.PENDING


@dataclass
class World:
    """Plays daemon, database and engines; refuses whatever the tables would refuse."""

    core: Scheduler = field(default_factory=lambda: Scheduler(Policy(page=8, max_batch=7)))
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    jobs: dict[int, JobState] = field(default_factory=dict)
    tasks: dict[int, Record] = field(default_factory=dict)
    attempts: dict[int, tuple[int, bool]] = field(default_factory=dict)  # task, still open
    at_engines: list[s.Batch] = field(default_factory=list)
    gone: list[s.Batch] = field(default_factory=list)
    engines: list[int] = field(default_factory=list)
    n_joined: int = 0

    def admit(self, job_id: int, **options: object) -> None:
        self.jobs[job_id] = JobState.QUEUED
        self.tasks[1000 * job_id] = Record(job_id, TaskKind.PREPARE)
        prepare = s.Task(1000 * job_id, TaskKind.PREPARE)
        self.tell(s.JobAdmitted(job_id, JobState.QUEUED, todo=prepare, **options))

    def tell(self, stimulus: s.Stimulus) -> None:
        waiting = [stimulus]
        while waiting:
            orders = self.core.handle(waiting.pop(0), self.now)
            for order in orders:
                self.record(order)
            for order in orders:
                waiting += self.perform(order)

    def record(self, order: s.Instruction) -> None:
        match order:
            case s.Dispatch(batch):
                assert batch.engine_id in self.engines, "sent to an engine that is gone"
                for attempt_id, task in batch.tasks:
                    assert attempt_id not in self.attempts
                    self.attempts[attempt_id] = (task.task_id, True)
                    self.move(task.task_id, TaskState.DISPATCHED)
                self.at_engines.append(batch)
                on_engine = [b for b in self.at_engines if b.engine_id == batch.engine_id]
                assert len(on_engine) <= self.core.policy.window
            case s.EndTask():
                self.close(order.attempt_id, order.task_id)
                self.move(order.task_id, order.state)
            case s.PutBackTask():
                self.close(order.attempt_id, order.task_id)
                self.move(order.task_id, TaskState.PENDING)
            case s.CancelTasks(job_id):
                for task_id, task in self.tasks.items():
                    if task.job_id == job_id and task.state in (
                        TaskState.PENDING, TaskState.DISPATCHED,
                    ):  # fmt: skip
                        self.move(task_id, TaskState.CANCELLED)
                for attempt_id, (task_id, is_open) in self.attempts.items():
                    if is_open and self.tasks[task_id].job_id == job_id:
                        self.attempts[attempt_id] = (task_id, False)
            case s.ReopenPrepare(job_id):
                self.move(1000 * job_id, TaskState.PENDING)
            case s.MoveJob(job_id, state):
                assert (self.jobs[job_id], state) in JOB_MOVES, (self.jobs[job_id], state)
                self.jobs[job_id] = state

    def close(self, attempt_id: int, task_id: int) -> None:
        assert self.attempts[attempt_id] == (task_id, True), "an attempt ends once"
        self.attempts[attempt_id] = (task_id, False)

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
                return self.advance(job_id)
            case s.LoadFolds(job_id, after, limit):
                pending = [
                    s.Task(task_id, TaskKind.FOLD, {}, 0)
                    for task_id, task in sorted(self.tasks.items())
                    if task.job_id == job_id
                    and task.kind is TaskKind.FOLD
                    and task.state is TaskState.PENDING
                    and task_id > after
                ]
                return [s.FoldsLoaded(job_id, tuple(pending[:limit]))]
            case s.ReopenPrepare(job_id):
                return [s.TaskPlanned(job_id, s.Task(1000 * job_id, TaskKind.PREPARE))]
        return []

    def advance(self, job_id: int) -> list[s.Stimulus]:
        folds = [1000 * job_id + i for i in range(1, N_FOLDS + 1)]
        if folds[0] not in self.tasks:
            for task_id in folds:
                self.tasks[task_id] = Record(job_id, TaskKind.FOLD)
            half = N_FOLDS // 2
            return [
                s.FoldsPlanned(job_id, half, complete=False),
                s.FoldsPlanned(job_id, N_FOLDS - half, complete=True),
            ]
        if any(self.tasks[i].state in (TaskState.PENDING, TaskState.DISPATCHED) for i in folds):
            return [s.FoldsPlanned(job_id, 0, complete=True)]
        refit = self.tasks.setdefault(1000 * job_id + 999, Record(job_id, TaskKind.REFIT))
        if refit.state is TaskState.DONE:
            return [s.SearchEnded(job_id)]
        return [s.TaskPlanned(job_id, s.Task(1000 * job_id + 999, TaskKind.REFIT))]

    # --- what may happen ---------------------------------------------------------------------

    def join(self) -> None:
        self.n_joined += 1
        self.engines.append(self.n_joined)
        self.tell(s.EngineJoined(self.n_joined))

    def lose(self, which: int) -> None:
        if self.engines:
            engine_id = self.engines.pop(which % len(self.engines))
            self.gone += [b for b in self.at_engines if b.engine_id == engine_id]
            self.at_engines = [b for b in self.at_engines if b.engine_id != engine_id]
            self.tell(s.EngineLost(engine_id, "lost"))

    def answer(self, which: int, how: str) -> None:
        """The running batch of some engine comes back."""
        running = {b.engine_id: b for b in reversed(self.at_engines)}
        if running:
            batch = list(running.values())[which % len(running)]
            self.at_engines.remove(batch)
            self.gone.append(batch)
            self.tell(s.BatchReturned(batch.batch_id, self.outcome(batch, how)))

    def outcome(self, batch: s.Batch, how: str) -> object:
        attempts = tuple(a for a, _ in batch.tasks)
        if how == "missing" and batch.kind is not TaskKind.PREPARE:
            return BatchReport(batch.batch_id, (), attempts, missing_data="deleted")
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
        """A person has the failed folds of a job tried again."""
        if self.jobs[job_id].is_final:
            return
        failed = [
            task_id
            for task_id, task in self.tasks.items()
            if task.job_id == job_id and task.state is TaskState.FAILED
        ]
        for task_id in failed:
            self.move(task_id, TaskState.PENDING)
        tasks = tuple(s.Task(task_id, TaskKind.FOLD, {}, 0) for task_id in failed)
        self.tell(s.FoldsPutBack(job_id, tasks))

    def echo(self, which: int) -> None:
        """A batch comes back that was answered already, or whose engine was given up."""
        if self.gone:
            batch = self.gone[which % len(self.gone)]
            self.tell(s.BatchReturned(batch.batch_id, self.outcome(batch, "ok")))

    def calm_down(self) -> None:
        """From now on engines live and work, and every held job is let go on."""
        if not self.engines:
            self.join()
        for job_id in list(self.jobs):
            self.tell(s.ResumeRequested(job_id))
        for _ in range(2000):
            if all(state.is_final for state in self.jobs.values()):
                return
            self.now += timedelta(seconds=30)
            self.tell(s.Tick())
            self.answer(0, "ok")
        raise AssertionError(f"searches that never end: {self.jobs}")


numbers = st.integers(0, 50)
job_ids = st.integers(1, N_JOBS)
happenings = st.one_of(
    st.tuples(st.just("answer"), numbers, st.sampled_from(["ok", "ok", "ok", "partial", "error",
                                                          "timeout", "missing"])),
    st.tuples(st.just("lose"), numbers),
    st.tuples(st.just("join")),
    st.tuples(st.just("echo"), numbers),
    st.tuples(st.just("wait"), st.floats(0.1, 100)),
    st.tuples(st.just("pause"), job_ids),
    st.tuples(st.just("resume"), job_ids),
    st.tuples(st.just("cancel"), job_ids),
    st.tuples(st.just("retry"), job_ids),
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(happenings, min_size=1, max_size=80))
def test_whatever_happens_every_search_ends_with_each_fold_finished_once(story):
    world = World()
    world.join()
    world.join()
    retry = s.RetryPolicy(attempts=2, on=frozenset({"OSError"}), engine_losses=2)
    world.admit(1, retry=retry)
    world.admit(2, priority=1, max_engines=1, timeout=5.0)
    world.admit(3)
    for happening in story:
        match happening:
            case ("answer", which, how):
                world.answer(which, how)
            case ("lose", which):
                world.lose(which)
            case ("join",):
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
            case ("cancel", job_id):
                world.tell(s.CancelRequested(job_id))
    world.calm_down()
    for task in world.tasks.values():
        if world.jobs[task.job_id] is JobState.COMPLETED:
            assert task.state in (TaskState.DONE, TaskState.FAILED)
        else:
            assert task.state not in (TaskState.PENDING, TaskState.DISPATCHED)
    assert world.core.n_in_flight == len(world.at_engines)
    assert not any(is_open for _, is_open in world.attempts.values())


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

"""Which task goes to which engine, and when a second attempt of it goes to another one."""

from collections.abc import Generator, Iterable, Iterator
from datetime import datetime

from schemas.lifecycle import JobState, TaskKind
from service.crashloop import CrashLoop
from service.fleet import Engine, Fleet, Flight
from service.policy import Policy
from service.queue import JobQueue
from service.stimuli import Batch, Dispatch, Instruction, LoadFolds, MoveJob, Note, Task
from service.stragglers import expected_seconds, n_copies, stragglers


class Dispatcher:
    """Fills the engines of the scheduler core, whose jobs, engines and numbers it shares.

    Parameters
    ----------
    next_attempt, next_batch : int
        First unused numbers in the records.
    """

    def __init__(
        self,
        policy: Policy,
        jobs: dict[int, JobQueue],
        engines: Fleet,
        crashes: CrashLoop,
        next_attempt: int,
        next_batch: int,
    ):
        self._policy = policy
        self._jobs = jobs
        self._engines = engines
        self._crashes = crashes
        self._next_attempt = next_attempt
        self._next_batch = next_batch

    def fill(self, now: datetime) -> Iterator[Instruction]:
        """Fill the engines' windows, the emptiest engines first."""
        for depth in range(self._policy.window):
            for engine in self._engines:
                if len(engine.flights) != depth or not self._takes_more(engine):
                    continue
                job = _next_job(self._jobs.values(), engine, depth)
                if job is not None:
                    yield from self._send(job, engine, now)

    def copy_stragglers(self, now: datetime) -> Iterator[Instruction]:
        """Send what runs far too long to engines that have nothing else to do, a second time."""
        idle = [engine for engine in self._engines if not engine.flights]
        if not idle or not self._policy.copy_stragglers:
            return
        for flight in stragglers(self._engines, self._jobs, self._policy, now):
            job = self._jobs[flight.batch.job_id]
            engine = next((e for e in idle if job.may_use(e.engine_id)), None)
            n_out = n_copies(self._engines.of_job(job.job_id), job)
            if engine is not None and n_out < self._policy.max_copies(len(self._engines)):
                idle.remove(engine)
                yield from self._copy(flight, job, engine, now)

    def _copy(
        self, flight: Flight, job: JobQueue, engine: Engine, now: datetime
    ) -> Iterator[Instruction]:
        originals = flight.open_tasks
        expected = expected_seconds(flight, job, self._policy) or 0.0
        budget = max(2 * self._policy.batch_seconds, self._policy.straggler_factor * expected)
        copy = yield from self._fly(job, engine, [task for _, task in originals], budget, now)
        copy.is_copy = True
        flight.n_copies += 1
        for (first, task), (second, _) in zip(originals, copy.batch.tasks, strict=True):
            job.twins.pair(task.task_id, (first, flight), (second, copy))
        yield Note(
            "straggler copied",
            f"far slower than their peers on engine {flight.batch.engine_id}, sent to engine"
            f" {engine.engine_id} too (folds: {len(originals)}); the first result counts",
            job_id=job.job_id,
            engine_id=engine.engine_id,
        )

    def _takes_more(self, engine: Engine) -> bool:
        """Whether a batch may wait on this engine: only behind one that is soon over."""
        if (front := engine.running) is None:
            return True
        job = self._jobs.get(front.batch.job_id)
        if front.batch.kind is not TaskKind.FOLD or job is None or job.cost.seconds is None:
            return False
        return job.cost.seconds * len(front.batch.tasks) <= 4 * self._policy.batch_seconds

    def _send(self, job: JobQueue, engine: Engine, now: datetime) -> Iterator[Instruction]:
        # After a stall, tasks that took no engine down tell best whether engines work again.
        spare_suspects = self._crashes.is_on_probation
        tasks = job.take(self._batch_size(job), spare_suspects=spare_suspects)
        yield from self._fly(job, engine, tasks, 2 * self._policy.batch_seconds, now)
        yield from load_more(job, self._policy)

    def _batch_size(self, job: JobQueue) -> int:
        n_engines = min(len(self._engines), job.max_engines or len(self._engines))
        n_waiting = len(job.ready) + job.unloaded
        return self._policy.batch_size(job.cost.seconds, n_waiting, n_engines)

    def _fly(
        self, job: JobQueue, engine: Engine, tasks: list[Task], budget: float, now: datetime
    ) -> Generator[Instruction, None, Flight]:
        """Put tasks on an engine, as attempts with numbers of their own."""
        kind = tasks[0].kind
        numbered = tuple(enumerate(tasks, start=self._next_attempt))
        self._next_attempt += len(tasks)
        batch = Batch(self._next_batch, job.job_id, engine.engine_id, kind, numbered, budget)
        self._next_batch += 1
        flight = self._engines.send(engine, batch, now)
        job.sent(engine.engine_id)
        yield from is_at(job, kind)
        yield Dispatch(batch)
        return flight


def _next_job(jobs: Iterable[JobQueue], engine: Engine, depth: int) -> JobQueue | None:
    """Highest priority first; equal priorities share the engines evenly; then the older job.

    Only folds may wait behind other folds: a prepare or refit task wants an engine of its own,
    and so does a suspect, whose engine may die under it.
    """
    eligible = [
        job
        for job in jobs
        if job.has_ready
        and job.may_use(engine.engine_id)
        and (depth == 0 or (job.todo is None and not job.suspects and bool(job.ready)))
    ]
    return min(
        eligible,
        key=lambda job: (-job.priority, sum(job.engines.values()), job.job_id),
        default=None,
    )


def load_more(job: JobQueue, policy: Policy) -> Iterator[LoadFolds]:
    """Ask for the next page of folds when half of the last one is gone."""
    if job.unloaded and not job.loading and len(job.ready) <= policy.page // 2:
        job.loading = True
        yield LoadFolds(job.job_id, job.cursor, policy.page)


def is_at(job: JobQueue, kind: TaskKind) -> Iterator[MoveJob]:
    """Move the job to the state in which a task of this kind is out."""
    if job.state is not _STATE_WHILE[kind]:
        job.state = _STATE_WHILE[kind]
        yield MoveJob(job.job_id, job.state)


#: What a job is doing while a task of this kind is out.
_STATE_WHILE = {
    TaskKind.PREPARE: JobState.PREPARING,
    TaskKind.FOLD: JobState.RUNNING,
    TaskKind.REFIT: JobState.REFITTING,
}

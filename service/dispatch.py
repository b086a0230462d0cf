"""Which task goes to which engine, and when a second attempt of it goes to another one."""

from collections.abc import Generator, Iterator
from datetime import datetime

from schemas.lifecycle import JobState, TaskKind
from service.crashloop import CrashLoop
from service.fleet import Engine, Fleet, Flight
from service.jobs import Jobs
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
        jobs: Jobs,
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
        """Fill the engines' windows, the emptiest engines first.

        Looked at are the engines that changed, and others while there is something for any engine.
        """
        self._jobs.settle()
        changed = self._engines.changed()
        for depth in range(self._policy.window):
            for engine in changed:
                if len(engine.flights) == depth:
                    yield from self._offer(engine, now)
            if not self._jobs.have_more(behind=depth > 0):
                continue
            for engine in self._engines.with_room(depth):
                yield from self._offer(engine, now)
                if not self._jobs.have_more(behind=depth > 0):
                    break
        self._engines.changed()  # what was sent just now is no news

    def _offer(self, engine: Engine, now: datetime) -> Iterator[Instruction]:
        """Send one more batch to an engine, if it takes one and there is one."""
        behind = bool(engine.flights)
        if behind and not self._takes_more(engine):
            self._engines.park(engine)
            return
        at_hand = {flight.batch.job_id for flight in engine.flights}
        job = self._jobs.next_for(engine.engine_id, at_hand, behind=behind)
        if job is None:
            return
        if behind and self._is_open(job, engine) and not self._is_nearly_done(engine, now):
            self._engines.park(engine)
            return
        yield from self._send(job, engine, now)
        self._jobs.settle()

    def copy_stragglers(self, now: datetime) -> Iterator[Instruction]:
        """Send what runs far too long to engines that have nothing else to do, a second time."""
        if not self._policy.copy_stragglers or not (idle := self._engines.idle):
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
        front = engine.flights[0]
        if front.batch.kind is not TaskKind.FOLD or front.void_since is not None:
            return False
        if front.expected is None:
            job = self._jobs.get(front.batch.job_id)
            if job is None or job.costs.seconds is None:
                return False
            estimates = (job.costs.estimate(task) for _, task in front.batch.tasks)
            front.expected = sum(seconds or 0.0 for seconds in estimates)
        return front.expected <= 4 * self._policy.batch_seconds

    def _is_nearly_done(self, engine: Engine, now: datetime) -> bool:
        """Whether an engine should be through with all it has in a moment, and is not late."""
        expected = sum(flight.expected or 0.0 for flight in engine.flights)
        left = expected - engine.flights[0].elapsed(now)
        lead = self._policy.lead_seconds
        return -max(expected, lead) <= left <= lead

    def _is_open(self, job: JobQueue, engine: Engine) -> bool:
        """Whether the job is nearly done, and what this engine would get another one could take."""
        return self._is_ending(job) and not job.ready.is_in_chain(engine.engine_id)

    def _is_ending(self, job: JobQueue) -> bool:
        left = job.seconds_left()
        return left is not None and self._policy.is_ending(
            left, job.costs.dearest, self._n_engines(job)
        )

    def _n_engines(self, job: JobQueue) -> int:
        return min(len(self._engines), job.most_engines or len(self._engines))

    def _send(self, job: JobQueue, engine: Engine, now: datetime) -> Iterator[Instruction]:
        tasks, expected = job.take(
            engine.engine_id,
            self._policy.batch_room(job.seconds_left(), self._n_engines(job)),
            self._policy.max_batch,
            dearest_first=self._is_ending(job),
            # After a stall, tasks that took no engine down tell best whether engines work again.
            spare_suspects=self._crashes.is_on_probation,
        )
        if not tasks:
            return
        flight = yield from self._fly(job, engine, tasks, 2 * self._policy.batch_seconds, now)
        flight.expected = expected
        yield from load_more(job, self._policy)

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

"""How fast jobs go, and when they should be done: learnt from the folds that ended lately.

The time left is the cost of the folds that remain over what the engines get done of it. A fold that
remains costs what its candidate's other folds took to fit and score, else what the job's folds
take on the mean. Of that cost an engine does a little less than a second in each second, because
folds have to be sent and recorded too: how much less is seen in its last batches. Engines count as
far as they work on the job now: one with batches of two jobs is half a one.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.lifecycle import JobState
from service.records import Job, parse_time, select

#: Attempts sent last, over all jobs, that are looked at.
RECENT_ATTEMPTS = 400
#: Batches that ended longer ago say nothing about the present (seconds).
RECENT_SECONDS = 120.0
#: Folds each second are counted over this long, or since the first batch if that is shorter.
RATE_SECONDS = 30.0
#: Planned folds up to which each candidate's own cost is asked for; beyond, the mean has to do.
MAX_FOLDS_LEARNT = 10_000


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that came back: how many folds of it ended, and what they took.

    Attributes
    ----------
    cost : float
        Seconds of fitting and scoring, of all its folds.
    begun, ended : datetime
        It began when it was sent or when the engine was done with the one before.
    """

    job_id: int
    n: int
    cost: float
    begun: datetime
    ended: datetime

    @property
    def seconds(self) -> float:
        """How long the engine had it."""
        return (self.ended - self.begun).total_seconds()


@dataclass(frozen=True, slots=True)
class Pace:
    """What went on lately, over all jobs.

    Attributes
    ----------
    batches : dict of int to list of Batch
        Job -> its batches that ended in the last `RECENT_SECONDS`.
    engines : dict of int to float
        Job -> the engines that work on it, one shared with other jobs as a part.
    """

    now: datetime
    batches: dict[int, list[Batch]] = field(default_factory=dict)
    engines: dict[int, float] = field(default_factory=dict)

    def rate(self, job: Job) -> float | None:
        """Give the folds of a job that ended each second lately; None when there were none."""
        since = self.now - timedelta(seconds=RATE_SECONDS)
        lately = [batch for batch in self.batches.get(job.id, ()) if batch.ended >= since]
        if not lately or job.state != JobState.RUNNING:
            return None
        begun = max(since, min(batch.begun for batch in lately))
        return sum(batch.n for batch in lately) / max((self.now - begun).total_seconds(), 1e-3)

    def time_left(self, records: sqlite3.Connection, job: Job) -> float | None:
        """Estimate the seconds until the planned folds of a running job are finished.

        Successive halving plans its next iteration only when one is finished, so the time left
        is that of the present iteration.

        Returns
        -------
        float or None
            None when the job is not running, or nothing of it is finished yet.
        """
        if job.state != JobState.RUNNING:
            return None
        n_left = job.n_tasks - job.n_done - job.n_failed
        if n_left <= 0:
            return 0.0
        lately = self.batches.get(job.id, [])
        n, cost = sum(batch.n for batch in lately), sum(batch.cost for batch in lately)
        seconds = sum(batch.seconds for batch in lately)
        if not n or not seconds:
            return self._left_by_its_life(job, n_left)
        mean = cost / n
        left = _cost_left(records, job, n_left, mean) if mean else n_left * seconds / n
        slowness = seconds / cost if cost else 1.0
        return (
            left * slowness / max(self.engines.get(job.id, 0.0) or self._engines_of(lately), 1e-3)
        )

    def _left_by_its_life(self, job: Job, n_left: int) -> float | None:
        """Go by the job's whole life, where no batch ended lately."""
        begun, n_finished = parse_time(job.started_at), job.n_done + job.n_failed - job.n_reused
        if begun is None or n_finished <= 0:
            return None
        return n_left * (self.now - begun).total_seconds() / n_finished

    def _engines_of(self, lately: Iterable[Batch]) -> float:
        """Count the engines that had these batches, on the mean of the time."""
        lately = list(lately)
        begun = min(batch.begun for batch in lately)
        wall = (max(batch.ended for batch in lately) - begun).total_seconds()
        return sum(batch.seconds for batch in lately) / wall if wall else 1.0


def pace(records: sqlite3.Connection, now: datetime) -> Pace:
    """Look what went on lately."""
    rows = select(
        records,
        "SELECT recent.engine_id, task.job_id, count(*) AS n,"
        " sum(recent.outcome IN ('ok', 'error', 'timeout')) AS n_ended,"
        " total(coalesce(task.fit_time, 0) + coalesce(task.score_time, 0)) AS cost,"
        " min(recent.submitted_at) AS sent, max(recent.finished_at) AS ended"
        " FROM (SELECT task_id, engine_id, batch, submitted_at, finished_at, outcome"
        "  FROM attempt ORDER BY id DESC LIMIT ?) AS recent"
        " JOIN task ON task.id = recent.task_id"
        " WHERE recent.finished_at IS NOT NULL AND task.kind = 'fold'"
        " GROUP BY recent.engine_id, recent.batch, task.job_id"
        " ORDER BY recent.engine_id, max(recent.finished_at)",
        (RECENT_ATTEMPTS,),
    )
    since = now - timedelta(seconds=RECENT_SECONDS)
    batches: dict[int, list[Batch]] = defaultdict(list)
    free_at: dict[int, datetime] = {}
    for row in rows:
        sent, ended = parse_time(row["sent"]), parse_time(row["ended"])
        assert sent is not None
        assert ended is not None
        begun = max(sent, free_at.get(row["engine_id"], sent))
        free_at[row["engine_id"]] = ended
        if row["n_ended"] and ended >= since:
            batches[row["job_id"]].append(
                Batch(row["job_id"], row["n_ended"], row["cost"], begun, ended)
            )
    return Pace(now, dict(batches), _engines_at_work(records))


def _engines_at_work(records: sqlite3.Connection) -> dict[int, float]:
    jobs_at: dict[int, set[int]] = defaultdict(set)
    for engine_id, job_id in records.execute(
        "SELECT DISTINCT attempt.engine_id, task.job_id FROM attempt"
        " JOIN task ON task.id = attempt.task_id WHERE attempt.outcome IS NULL"
    ):
        jobs_at[engine_id].add(job_id)
    engines: dict[int, float] = defaultdict(float)
    for jobs in jobs_at.values():
        for job_id in jobs:
            engines[job_id] += 1 / len(jobs)
    return dict(engines)


def _cost_left(records: sqlite3.Connection, job: Job, n_left: int, mean: float) -> float:
    """Give the seconds of fitting and scoring that remain, by candidate where that is cheap."""
    if job.n_tasks > MAX_FOLDS_LEARNT:
        return n_left * mean
    (cost,) = records.execute(
        "SELECT total(n_left * coalesce(took, :mean)) FROM ("
        " SELECT sum(state = 'pending' OR state = 'dispatched') AS n_left,"
        "  avg(CASE WHEN state = 'done' THEN fit_time + score_time END) AS took"
        " FROM task WHERE job_id = :job AND kind = 'fold' GROUP BY candidate_id)",
        {"mean": mean, "job": job.id},
    ).fetchone()
    return float(cost)

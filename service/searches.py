"""What each search needs next, done: its candidates planned, its winner named, its results written.

`service/planner.py` says what comes next; here it is carried out, a piece in each turn of the loop,
so that a huge grid holds up nobody.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from schemas.lifecycle import JobState
from schemas.settings import Settings
from service import planner
from service.dossier import Dossiers
from service.exports import write_results
from service.records import find_job
from service.results import Folds
from service.stimuli import FoldsPlanned, SearchEnded, Stimulus, TaskPlanned
from service.store import PlannedCandidate, Store, timestamp

log = logging.getLogger("foldq")

#: Candidates, and folds of them, planned in one turn, and seconds for which they are listed: a huge
#: search must not hold up the others, nor be one huge transaction.
PLAN_CHUNK = 1000
PLAN_FOLDS = 2500
PLAN_SECONDS = 0.05


class Searches:
    """The searches at work, as far as planning and results go.

    Parameters
    ----------
    settings : Settings
    store : Store
    dossiers : Dossiers
    """

    def __init__(self, settings: Settings, store: Store, dossiers: Dossiers):
        self._settings = settings
        self._store = store
        self._dossiers = dossiers
        self._planning: dict[int, tuple[Iterator[PlannedCandidate | None], int]] = {}

    @property
    def is_planning(self) -> bool:
        """Whether candidates are left to plan."""
        return bool(self._planning)

    def forget(self, job_id: int) -> None:
        """Plan no more of a search that ended."""
        self._planning.pop(job_id, None)

    def next_step(self, job_id: int) -> Iterator[Stimulus]:
        """Find out what a search needs next, and begin with it.

        Raises
        ------
        OSError
            If its results cannot be written now.
        """
        dossier = self._dossiers[job_id]
        job = find_job(self._store.connection, job_id)
        assert dossier.prepared is not None
        step = planner.next_step(
            self._store, job, dossier.spec, dossier.prepared, self._dossiers.catalog
        )
        match step:
            case planner.PlanFolds(candidates):
                self._planning[job_id] = (candidates, dossier.prepared.n_splits)
            case planner.Await():
                yield FoldsPlanned(job_id, 0, complete=True)
            case planner.Refit(task):
                self._dossiers.forget(job_id)  # the best parameters are known now
                yield TaskPlanned(job_id, task)
            case planner.End(failure, folds):
                if folds is not None:
                    self._warn_of_no_score(job_id)
                    self._write_results(job_id, folds)
                yield SearchEnded(job_id, failure)

    def plan_more(self) -> Iterator[Stimulus]:
        """Plan a chunk of one search that has candidates left to plan; each has its turn."""
        if not self._planning:
            return
        job_id = next(iter(self._planning))
        candidates, n_splits = self._planning.pop(job_id)
        size = max(1, min(PLAN_CHUNK, PLAN_FOLDS // n_splits))
        try:
            chunk, complete = _listed(candidates, size)
        except Exception as error:
            log.exception("the candidates of job %d cannot be listed", job_id)
            why = f"its candidates cannot be listed: {type(error).__name__}: {error}"
            yield SearchEnded(job_id, why)
            return
        if not complete:
            self._planning[job_id] = (candidates, n_splits)  # behind the others
        count = self._store.plan(job_id, chunk, n_splits, _now()) if chunk else 0
        yield FoldsPlanned(job_id, count, complete)

    def _warn_of_no_score(self, job_id: int) -> None:
        """Say so when every fit went well and no candidate could be scored all the same."""
        job = find_job(self._store.connection, job_id)
        if job.best_index is not None and job.best_score is None:
            said = self._store.first_warning(job_id) or "every score is NaN"
            message = f"no candidate has a score, so the first one counts as the best: {said}"
            log.warning("job %d: %s", job_id, message)
            self._store.note("warning", message, _now(), job_id=job_id)

    def _write_results(self, job_id: int, folds: Folds) -> None:
        """Write the job's files before it is recorded as completed: who sees that finds them."""
        job = replace(
            find_job(self._store.connection, job_id),
            state=JobState.COMPLETED,
            finished_at=timestamp(_now()),
        )
        directory = self._settings.spool / "results" / str(job_id)
        write_results(directory, job, folds)


def _listed(
    candidates: Iterator[PlannedCandidate | None], size: int
) -> tuple[list[PlannedCandidate], bool]:
    """List the next candidates, for a moment at most; tell whether there are no more."""
    chunk: list[PlannedCandidate] = []
    deadline = time.monotonic() + PLAN_SECONDS
    for candidate in candidates:
        if candidate is not None:  # else it stands in the records
            chunk.append(candidate)
        if len(chunk) == size or time.monotonic() >= deadline:
            return chunk, False
    return chunk, True


def _now() -> datetime:
    return datetime.now(UTC)

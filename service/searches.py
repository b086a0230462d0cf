"""What each search needs next, done: its candidates planned, its winner named, its results written.

`service/planner.py` says what comes next; here it is carried out, a piece in each turn of the loop
or beside it, so that a huge grid holds up nobody.
"""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

from schemas.settings import Settings
from service import planner
from service.beside import Beside
from service.conclusion import Conclusion, conclude
from service.dossier import Dossiers
from service.records import Job, find_job
from service.results import read_folds
from service.stimuli import FoldsPlanned, SearchEnded, Stimulus, TaskPlanned
from service.store import PlannedCandidate, Store

log = logging.getLogger("foldq")

#: Candidates, and folds of them, planned in one turn, and seconds for which they are listed: a huge
#: search must not hold up the others, nor be one huge transaction.
PLAN_CHUNK = 1000
PLAN_FOLDS = 2500
PLAN_SECONDS = 0.05

#: Folds from which on a search is concluded beside the loop: with fewer it takes the loop less time
#: than Python takes to start.
BESIDE_FROM = 10_000


class Searches:
    """The searches at work, as far as planning and results go.

    Parameters
    ----------
    settings : Settings
    store : Store
    dossiers : Dossiers
    """

    def __init__(self, settings: Settings, store: Store, dossiers: Dossiers):
        self._store = store
        self._dossiers = dossiers
        self._planning: dict[int, tuple[Iterator[PlannedCandidate | None], int]] = {}
        self._results = settings.spool / "results"
        self._beside = Beside(settings.database_path, self._results)
        #: Folds that were taken over from earlier searches, since the start.
        self.n_reused = 0

    @property
    def is_planning(self) -> bool:
        """Whether candidates are left to plan."""
        return bool(self._planning)

    def forget(self, job_id: int) -> None:
        """Plan no more of a search that ended, and conclude it no more."""
        self._planning.pop(job_id, None)
        self._beside.forget(job_id)

    def is_concluding(self, job_id: int) -> bool:
        """Whether a search is being concluded beside the loop."""
        return job_id in self._beside

    def concluded(self) -> list[int]:
        """Return the searches whose `next_step` has come, because that is over."""
        return self._beside.ended()

    def close(self) -> None:
        """End what is done beside the loop."""
        self._beside.close()

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
            self._store,
            job,
            dossier.spec,
            dossier.prepared,
            self._dossiers.catalog,
            partial(self._conclude, job),
        )
        if not isinstance(step, planner.Conclude):
            self._beside.forget(job_id)  # folds were put back: what it found is out of date
        match step:
            case planner.PlanFolds(candidates):
                self._planning[job_id] = (candidates, dossier.prepared.n_splits)
            case planner.Await():
                yield FoldsPlanned(job_id, 0, complete=True)
            case planner.Refit(task):
                self._dossiers.forget(job_id)  # the best parameters are known now
                yield TaskPlanned(job_id, task)
            case planner.Conclude():
                return
            case planner.End(failure):
                if failure is None:
                    self._warn_of_no_score(job_id)
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
        self.n_reused += len(chunk) * n_splits - count
        yield FoldsPlanned(job_id, count, complete)

    def _warn_of_no_score(self, job_id: int) -> None:
        """Say so when every fit went well and no candidate could be scored all the same."""
        job = find_job(self._store.connection, job_id)
        if job.best_index is not None and job.best_score is None:
            said = self._store.first_warning(job_id) or "every score is NaN"
            message = f"no candidate has a score, so the first one counts as the best: {said}"
            log.warning("job %d: %s", job_id, message)
            self._store.note("warning", message, _now(), job_id=job_id)

    def _conclude(self, job: Job, fitted: int | None) -> Conclusion | None:
        """Name the winner; with nothing left to fit, the files are written before that is known.

        So they are there before the job is recorded as completed: who sees that finds them.
        """
        if job.n_done + job.n_failed >= BESIDE_FROM:
            return self._beside.conclude(job, fitted)
        folds = read_folds(self._store.connection, job)
        return conclude(job, folds, self._results / str(job.id), fitted)


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

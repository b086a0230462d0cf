"""Requests of the commands, followed: facts for the core, and what people set on record."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

from schemas.settings import Settings
from service import control
from service.dossier import Dossiers
from service.jobs import Jobs
from service.logs import about
from service.prune import Pruner
from service.steering import Steering
from service.stimuli import (
    CancelRequested,
    FoldsPutBack,
    PauseRequested,
    QueueHeld,
    ResumeRequested,
    Stimulus,
    TagsLimited,
)
from service.store import Store
from service.traffic import Traffic
from service.troubles import Troubles

log = logging.getLogger("foldq")


class Requests:
    """What people ask of one scheduler.

    Parameters
    ----------
    settings : Settings
    store : Store
    dossiers : Dossiers
    pruner : Pruner
    troubles : Troubles
    jobs : Jobs
        Those at work, as the core knows them.
    traffic : Traffic
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        dossiers: Dossiers,
        pruner: Pruner,
        troubles: Troubles,
        jobs: Jobs,
        traffic: Traffic,
    ) -> None:
        self._desk = control.Desk(settings.spool)
        self._steering = Steering(store, settings.tags)
        self._store = store
        self._dossiers = dossiers
        self._pruner = pruner
        self._troubles = troubles
        self._jobs = jobs
        self._traffic = traffic

    def standing(self) -> Iterator[Stimulus]:
        """Tell what people set for all jobs, before this scheduler was there."""
        yield TagsLimited(self._steering.limits())
        yield QueueHeld(self._steering.is_held())

    def take(self) -> Iterator[Stimulus]:
        """Follow the requests that came."""
        asked: list[control.Asked] = []
        with self._troubles.noting("files", "control/ cannot be read", "control"):
            asked = self._desk.take()
            if self._desk.unread is not None:
                raise self._desk.unread
        for request in asked:
            yield from self._follow(request)

    def clear(self) -> None:
        """Remove the files of the requests taken: what they asked for is on record."""
        with self._troubles.noting("files", "a request in control/ cannot be removed", "asked"):
            self._desk.clear()

    def _follow(self, request: control.Asked) -> Iterator[Stimulus]:
        now = datetime.now(UTC)
        match request:
            case control.PruneRequest():
                self._pruner.ask(request, self._traffic.jobs.union(self._jobs))
            case control.SetRequest(job_id, changes):
                if job_id in self._jobs:
                    yield self._steering.set_job(job_id, changes, now)
                else:
                    log.warning("job %d is not at work: nothing of it is set", job_id)
            case control.LimitRequest(tag, changes):
                self._steering.limit(tag, changes, now)
                yield TagsLimited(self._steering.limits())
            case control.HoldRequest(held):
                self._steering.hold(held, now)
                what = "paused" if held else "resumed"
                log.info("the queue is %s on request", what, extra=about(f"queue {what}"))
                yield QueueHeld(held)
            case control.Request("cancel", job_id):
                yield CancelRequested(job_id)
            case control.Request("pause", job_id):
                yield PauseRequested(job_id)
            case control.Request("resume", job_id):
                yield ResumeRequested(job_id)
            case control.Request("retry", job_id):
                yield from self._retry(job_id, now)

    def _retry(self, job_id: int, now: datetime) -> Iterator[Stimulus]:
        if not self._store.has_job(job_id):
            log.warning("there is no job %d to retry", job_id)
        elif job_id in self._jobs:
            folds = self._store.retry(job_id, now)
            yield FoldsPutBack(job_id, folds)
        else:
            self._store.retry(job_id, now, listed=False)  # they are loaded page by page
            self._dossiers.forget(job_id)
            yield self._dossiers.admission(job_id)

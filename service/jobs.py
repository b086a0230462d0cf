"""The jobs at work, and which of them an engine's next batch comes from.

Were every job looked at for every engine, ten thousand queued jobs would make each batch slow. So
those with something to send stand in order, and only jobs that somebody asked for since then, and
so may have changed, are put in their places again.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from heapq import heapify, heappop, heappush

from service.queue import JobQueue
from service.tags import TagLimit, TagUse

#: Jobs under the same limits: the limited ones of their tags, and whether they are yet to begin
#: where only so many may be at work.
_Kind = tuple[tuple[str, ...], bool]

#: A job's place: priority first, then who has the fewest batches out, then the older one.
_Place = tuple[int, int, int]


class _Lane:
    """Jobs that have something for any engine: alone on it, or waiting behind other folds."""

    def __init__(self, *, behind: bool):
        self._behind = behind
        self._heap: list[_Place] = []
        self._places: dict[int, _Place] = {}

    def put(self, job: JobQueue) -> None:
        """Put a job where it belongs now, or leave it out."""
        if not job.has_ready(behind=self._behind):
            self._places.pop(job.job_id, None)
        elif self._places.get(job.job_id) != (place := _place(job)):
            self._places[job.job_id] = place
            heappush(self._heap, place)
            if len(self._heap) > 64 + 4 * len(self._places):  # most of it counts no more
                self._heap = list(self._places.values())
                heapify(self._heap)

    def drop(self, job_id: int) -> None:
        """Leave a job out."""
        self._places.pop(job_id, None)

    def first(self) -> int | None:
        """Return the job that goes first."""
        while self._heap and self._places.get(self._heap[0][2]) != self._heap[0]:
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None


class Jobs:
    """The jobs at work, by id.

    Whoever asks for a job may change it: it is looked at again before the next batch is sent.
    """

    def __init__(self) -> None:
        self._jobs: dict[int, JobQueue] = {}
        self._asked_for: set[int] = set()
        self._sleeping: set[int] = set()
        self._uses: dict[str, TagUse] = {}
        self._lanes: dict[_Kind, tuple[_Lane, _Lane]] = {}
        self._kinds: dict[int, _Kind] = {}

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._jobs

    def __iter__(self) -> Iterator[int]:
        return iter(self._jobs)

    def __getitem__(self, job_id: int) -> JobQueue:
        self._asked_for.add(job_id)
        return self._jobs[job_id]

    def get(self, job_id: int) -> JobQueue | None:
        """Return a job, if it is at work."""
        return self[job_id] if job_id in self._jobs else None

    def add(self, job: JobQueue) -> None:
        """Take in a job."""
        self._jobs[job.job_id] = job
        self._asked_for.add(job.job_id)
        self._bind(job)

    def remove(self, job_id: int) -> None:
        """Forget a job."""
        self._unbind(self._jobs.pop(job_id))
        self._asked_for.add(job_id)

    def limit(self, limits: Mapping[str, TagLimit]) -> None:
        """Let jobs of these tags, and of no others, use no more than this together from now on."""
        for job in self._jobs.values():
            self._unbind(job)
        self._uses = {tag: TagUse(limit) for tag, limit in limits.items()}
        self._lanes.clear()
        self._kinds.clear()
        for job in self._jobs.values():
            self._bind(job)
        self._asked_for.update(self._jobs)

    def retag(self, job: JobQueue, tags: tuple[str, ...]) -> None:
        """Give a job other tags, and with them other limits."""
        self._unbind(job)
        job.tags = tags
        self._bind(job)
        self._asked_for.add(job.job_id)

    def _bind(self, job: JobQueue) -> None:
        job.uses = tuple(self._uses[tag] for tag in job.tags if tag in self._uses)
        for use in job.uses:
            use.engines.update(job.engines)
            if job.begun:
                use.begun.add(job.job_id)

    def _unbind(self, job: JobQueue) -> None:
        for use in job.uses:
            use.leave(job.job_id, job.engines)
        job.uses = ()

    @property
    def all_held(self) -> bool:
        """Whether none may go on without a person's word."""
        return all(job.held for job in self._jobs.values())

    @property
    def n_open(self) -> int:
        """Fold tasks that are not finished, of all of them, wherever they are."""
        return sum(job.open for job in self._jobs.values())

    def wake(self, now: datetime) -> None:
        """Make those tasks ready whose back-off is over."""
        for job_id in list(self._sleeping):
            if (job := self.get(job_id)) is not None:
                job.wake(now)

    def settle(self) -> None:
        """Put the jobs that may have changed in their places."""
        for job_id in self._asked_for:
            job = self._jobs.get(job_id)
            kind = None if job is None else self._kind(job)
            before = self._kinds.get(job_id)
            if before is not None and before != kind:
                for lane in self._lanes[before]:
                    lane.drop(job_id)
                del self._kinds[job_id]
            if job is not None and kind is not None:
                self._kinds[job_id] = kind
                for lane in self._lanes.setdefault(kind, (_Lane(behind=False), _Lane(behind=True))):
                    lane.put(job)
            if job is not None and job.delayed:
                self._sleeping.add(job_id)
            else:
                self._sleeping.discard(job_id)
        self._asked_for.clear()

    def have_more(self, *, behind: bool) -> bool:
        """Whether some job has something for any engine, as far as jobs are settled."""
        return any(
            self._allows(kind, None) and lanes[behind].first() is not None
            for kind, lanes in self._lanes.items()
        )

    def _kind(self, job: JobQueue) -> _Kind:
        tags = tuple(tag for tag in job.tags if tag in self._uses)
        waits = not job.begun and any(use.limit.max_jobs is not None for use in job.uses)
        return tags, waits

    def _allows(self, kind: _Kind, engine_id: int | None) -> bool:
        """Whether the limits of their tags let such jobs have one more batch on an engine."""
        tags, waits = kind
        uses = [self._uses[tag] for tag in tags]
        return all((use.has_place or not waits) and use.takes(engine_id) for use in uses)

    def next_for(
        self, engine_id: int, at_hand: Iterable[int], *, behind: bool = False
    ) -> JobQueue | None:
        """Return the job of which an engine gets its next batch.

        Higher priorities go first; equal priorities share the engines evenly; then the older job.

        Parameters
        ----------
        at_hand : iterable of int
            The jobs of which the engine has batches: they may have something for no other one.
        behind : bool
            Whether the batch would wait behind other folds.
        """
        best: JobQueue | None = None
        for kind, lanes in self._lanes.items():
            if not self._allows(kind, engine_id):
                continue
            first = lanes[behind].first()
            if first is not None and (best is None or _place(self._jobs[first]) < _place(best)):
                best = self._jobs[first]
        for job_id in at_hand:
            job = self._jobs.get(job_id)
            if job is None or job is best or not job.has_ready(engine_id, behind=behind):
                continue
            if not self._allows(self._kind(job), engine_id):
                continue
            if best is None or _place(job) < _place(best):
                best = job
        if best is not None:
            self._asked_for.add(best.job_id)
        return best


def _place(job: JobQueue) -> _Place:
    return (-job.priority, job.n_out, job.job_id)

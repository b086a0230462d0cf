"""What the daemon keeps at hand of each job it works on, built from the records when needed."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property

from pydantic import JsonValue

from schemas.job import JobSpec
from schemas.lifecycle import TaskKind, TaskState
from schemas.settings import Settings
from schemas.task import (
    FoldBatch,
    FoldTask,
    Order,
    Prepared,
    PrepareOrder,
    RefitOrder,
    SearchContext,
    Shortcuts,
)
from service.records import find_job
from service.sharing import sharing
from service.stimuli import Batch, JobAdmitted, RetryPolicy
from service.store import Store
from workers.catalog import Catalog

#: Data sets in use that orders name; engines are not told of more.
MAX_NAMED = 16


@dataclass(frozen=True)
class Dossier:
    """One job: its spec, what is known of its data, and the context its orders carry."""

    job_id: int
    spec: JobSpec
    prepared: Prepared | None
    best_params: dict[str, JsonValue] | None
    settings: Settings

    @property
    def fingerprint(self) -> str | None:
        """Data set and splits in one word, to compare a second preparation with the first."""
        if self.prepared is None:
            return None
        return f"{self.prepared.fingerprint}/{self.prepared.splits}"

    @cached_property
    def context(self) -> SearchContext:
        """What an engine has to know of the job to compute any fold of it."""
        context = SearchContext(
            key="",
            job_id=self.job_id,
            spec=self.spec.model_dump(mode="json"),
            catalog=dict(self.settings.catalog.estimators),
            cache=str((self.settings.spool / "cache").absolute()),
            data_roots=tuple(str(root.absolute()) for root in self.settings.all_data_roots),
            fingerprint=self.prepared.fingerprint if self.prepared else None,
            splits=self.prepared.splits if self.prepared else None,
            shortcuts=Shortcuts(**self.settings.shortcuts.model_dump()),
        )
        text = json.dumps(asdict(context), sort_keys=True)
        return replace(context, key=hashlib.sha256(text.encode()).hexdigest())

    def order(self, batch: Batch, in_use: tuple[str, ...] | None = None) -> Order:
        """Spell a batch out for its engine, with the data sets that searches in progress use."""
        match batch.kind:
            case TaskKind.PREPARE:
                return PrepareOrder(batch.batch_id, self.context)
            case TaskKind.REFIT:
                directory = self.settings.spool / "results" / str(self.job_id)
                return RefitOrder(
                    batch.batch_id, self.context, self.best_params or {}, str(directory.absolute())
                )
            case TaskKind.FOLD:
                tasks = tuple(
                    FoldTask(
                        task.task_id,
                        attempt_id,
                        task.params or {},
                        task.split or 0,
                        self._fraction(task.n_resources),
                    )
                    for attempt_id, task in batch.tasks
                )
                return FoldBatch(batch.batch_id, self.context, tasks, batch.budget, in_use)

    def _fraction(self, n_resources: int | None) -> float | None:
        """Return the share of the samples that halving gives a candidate, as scikit-learn does."""
        if n_resources is None or self.prepared is None:
            return None
        if self.spec.search.resource != "n_samples":
            return None
        return n_resources / self.prepared.n_samples


class Dossiers:
    """The dossiers of the jobs at work, read from the records when first asked for."""

    def __init__(self, settings: Settings, store: Store):
        self._settings = settings
        self._store = store
        self._kept: dict[int, Dossier] = {}
        self._in_use: set[str] | None = None  # None: to be gathered anew
        self.catalog = Catalog(settings.catalog.estimators)

    def __getitem__(self, job_id: int) -> Dossier:
        if job_id not in self._kept:
            spec, prepared, best_params = self._store.connection.execute(
                "SELECT spec, prepared, best_params FROM job WHERE id = ?", (job_id,)
            ).fetchone()
            self._in_use = None
            self._kept[job_id] = Dossier(
                job_id,
                JobSpec.model_validate_json(spec),
                None if prepared is None else Prepared(**json.loads(prepared)),
                None if best_params is None else json.loads(best_params),
                self._settings,
            )
        return self._kept[job_id]

    def forget(self, job_id: int) -> None:
        """Read the job anew next time: its records changed, or it is finished."""
        self._in_use = None
        self._kept.pop(job_id, None)

    def order(self, batch: Batch) -> Order:
        """Spell a batch out for its engine."""
        dossier = self[batch.job_id]
        if self._in_use is None:
            known = (each.prepared for each in self._kept.values())
            self._in_use = {prepared.fingerprint for prepared in known if prepared is not None}
        few = len(self._in_use) <= MAX_NAMED
        return dossier.order(batch, tuple(sorted(self._in_use)) if few else None)

    def admission(self, job_id: int) -> JobAdmitted:
        """Say where a job stands, as soon as its records can be read."""
        return self._store.read(lambda _: self._admission(job_id))

    def _admission(self, job_id: int) -> JobAdmitted:
        spec = self[job_id].spec
        job = find_job(self._store.connection, job_id)
        prepare = self._store.single_task(job_id, TaskKind.PREPARE)
        assert prepare is not None
        return JobAdmitted(
            job_id=job_id,
            state=job.state,
            priority=job.priority,
            max_engines=job.max_engines,
            tags=job.tags,
            retry=RetryPolicy(
                spec.retry.attempts,
                frozenset(spec.retry.on),
                spec.retry.backoff,
                spec.retry.engine_losses,
            ),
            timeout=spec.timeout,
            raise_errors=spec.error_score == "raise",
            fingerprint=self[job_id].fingerprint,
            todo=prepare[0] if prepare[1] is TaskState.PENDING else None,
            n_open=self._store.n_pending_folds(job_id),
            sharing=sharing(spec, forests=self._settings.shortcuts.forests),
        )

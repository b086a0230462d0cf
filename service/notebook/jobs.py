"""A job as a notebook holds it: to wait for, to look at, to steer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

from schemas.lifecycle import JobState
from schemas.settings import Settings
from service.history import Progress, as_json, progress
from service.lock import holder
from service.notebook import pages
from service.notebook.faults import JobFailed, NoScheduler, NotFinished, NotPossible, NotSubmitted
from service.notebook.waiting import bar, follow
from service.printable import printable
from service.records import Job as Record
from service.records import NoRecords, find_job, open_records

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

    import pandas as pd

    from service.commands.steer import Steering
    from service.commands.submission import Submission
    from service.results import CVResults


@dataclass(repr=False)
class Job:
    """A search that was handed in: `foldq.submit` and `foldq.job` give it.

    It holds no results itself; every question is answered from the spool's records, which it never
    writes. So it may be asked while the search runs, after a restart, and from several notebooks.

    Examples
    --------
    >>> job = foldq.submit(search, X, y, name="digits-svc")  # doctest: +SKIP
    >>> job.results(top=3)                                   # doctest: +SKIP
    >>> job.wait().best_estimator_.predict(X)                # doctest: +SKIP
    """

    _settings: Settings
    _id: int | None = None
    _submission: "Submission | None" = None
    _model: tuple[str | None, Any] | None = field(default=None, init=False)

    # --- what it is --------------------------------------------------------------------------

    @property
    def id(self) -> int | None:
        """Its number; None until a scheduler has admitted it."""
        if self._id is None and self._submission is not None:
            from service.commands.submission import refusal

            self._submission = self._submission.again(self._settings)
            if self._submission.job is not None:
                self._id = self._submission.job.id
            elif problems := refusal(self._settings, self._submission):
                raise NotSubmitted(problems)
        return self._id

    @property
    def name(self) -> str:
        """Its name."""
        record = self._record()
        if record is not None:
            return record.name
        assert self._submission is not None
        return self._submission.file_name.rpartition(".")[0]

    @property
    def state(self) -> str:
        """waiting, queued, preparing, running, refitting, paused, completed, failed, cancelled."""
        record = self._record()
        return "waiting" if record is None else record.state.value

    @property
    def spec(self) -> dict[str, Any]:
        """The job file as it was understood: every default filled in, random seeds drawn."""
        return self._needed().spec

    def status(self) -> dict[str, Any]:
        """Tell how it stands: what `foldq status --json` tells of a job."""
        record = self._needed()
        with self._records() as records:
            return as_json(records, record, datetime.now(UTC))

    # --- following ---------------------------------------------------------------------------

    def wait(self, timeout: float | None = None, *, progress: bool = True) -> Self:
        """Wait until the job has ended.

        Ctrl-C, or the notebook's stop button, ends the waiting and not the job.

        Parameters
        ----------
        timeout : float, optional
            Seconds.
        progress : bool, default=True
            Show a bar, with the best so far and the time left.

        Returns
        -------
        Job
            The job itself, so that ``job.wait().best_score_`` reads well.

        Raises
        ------
        JobFailed
            It failed or was cancelled, and why.
        NoScheduler
            Nobody works on the spool.
        TimeoutError
            After `timeout` seconds; the job goes on.
        """
        options = {"is_served": self._is_served, "spool": self._settings.spool, "timeout": timeout}
        try:
            if progress and self.state not in ("completed", "failed", "cancelled"):
                with bar(self.name) as show:
                    ended = follow(self._progress, show=show, **options)  # type: ignore[arg-type]
            else:
                ended = follow(self._progress, show=lambda _: None, **options)  # type: ignore[arg-type]
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"The waiting ended; {self!r} goes on. To end it: job.cancel()")
            raise
        if ended.job.state != JobState.COMPLETED:
            job = ended.job
            raise JobFailed(job.id, job.name, job.state.value, job.reason)
        return self

    # --- results -----------------------------------------------------------------------------

    @property
    def cv_results_(self) -> "CVResults":
        """`cv_results_` as scikit-learn makes it; partial, with `n_splits_done`, while it runs.

        dict of str to ndarray of shape (n_candidates,), and `params` to a list of dicts. Every
        column that is not a time equals that of scikit-learn's own search, bit for bit.
        """
        from service.results import cv_results, decode_params, read_folds

        record = self._needed()
        with self._records() as records:
            folds = read_folds(records, record)
        return cv_results(folds, decode_params(folds.candidates, self._names))

    def results(self, top: int | None = None) -> "pd.DataFrame":
        """Give the table of the search as a DataFrame, also while it runs.

        Parameters
        ----------
        top : int, optional
            Only the best so many candidates, best first. By default all, in the order of
            `cv_results_`.

        Returns
        -------
        DataFrame
            A row for each candidate, with the columns of `cv_results_` and `n_splits_done`; the
            index is the candidate's row in `cv_results_`. Without rows before the search began.
        """
        import pandas as pd

        from service.exports import top as best_rows

        record = self._record()
        if record is None:
            return pd.DataFrame()
        table = self.cv_results_
        splits = [n for n in table if n.startswith("split") and f"_test_{record.metrics[0]}" in n]
        frame = pd.DataFrame(table)
        if "n_splits_done" not in frame:
            frame["n_splits_done"] = len(splits)
        frame.index.name = "candidate"
        if top is None or not len(frame):
            return frame
        return frame.iloc[best_rows(table, top, record.chosen_metric)]

    @property
    def best_index_(self) -> int:
        """Row of the best candidate in `cv_results_`."""
        index = self._completed("best_index_").best_index
        if index is None:
            raise NotFinished(f"job {self.id} chose no best candidate: its refit is False")
        return index

    @property
    def best_score_(self) -> float:
        """Mean test score of the best candidate."""
        found = self._completed("best_score_")
        if found.best_index is None:
            raise NotFinished(f"job {self.id} chose no best candidate: its refit is False")
        return float("nan") if found.best_score is None else found.best_score

    @property
    def best_params_(self) -> dict[str, Any]:
        """Parameters of the best candidate, as `set_params` takes them."""
        from service.results import decode_params

        found = self._completed("best_params_").best_params
        if found is None:
            raise NotFinished(f"job {self.id} chose no best candidate: its refit is False")
        return decode_params([found], self._names)[0]

    @property
    def best_estimator_(self) -> Any:
        """The best candidate, fitted on all the data; loaded from the spool's `results/`.

        A skops file is loaded with the types that foldq recorded when it wrote it. A joblib file,
        which is a pickle, only if it is your own and nobody else can write to it.

        Raises
        ------
        NotFinished
            The search has not completed, or its `refit` is False.
        UntrustedModel
            The pickle is not safely your own.
        """
        record = self._completed("best_estimator_")
        if record.refitted is None:
            raise NotFinished(f"job {record.id} fitted no best estimator: its refit is False")
        if self._model is None or self._model[0] != record.finished_at:
            from service.notebook.models import load_model

            self._model = (record.finished_at, load_model(self._directory(record), record.refitted))
        return self._model[1]

    def failures(self) -> "pd.DataFrame":
        """Give the errors of its failed tasks, the most frequent first.

        Returns
        -------
        DataFrame
            `error` (its last line), `count`, `example` (the first task of it), `reason` (error,
            timeout or poison), `traceback`.
        """
        import pandas as pd

        from service import lives

        columns = ["error", "count", "example", "reason", "traceback"]
        record = self._record()
        if record is None:
            return pd.DataFrame(columns=columns)
        with self._records() as records:
            found = lives.failures(records, record.id)
        rows = [(f.title, f.count, f.example, f.reason, f.error) for f in found]
        return pd.DataFrame(rows, columns=columns)

    def report(self) -> pages.Report:
        """Give the report with its plots: shown in a notebook, or to be saved.

        Examples
        --------
        >>> job.report().save("digits.html")  # doctest: +SKIP
        """
        record = self._needed()
        try:
            render = import_module("service.report").render
        except ImportError as missing:
            raise ImportError(
                f"The report needs the package {missing.name}: pip install 'foldq[report]'"
            ) from missing
        with self._records() as records:
            return pages.Report(render(records, record, results=self._directory(record)))

    # --- steering ----------------------------------------------------------------------------

    def cancel(self) -> Self:
        """Give the job up; what is recorded stays."""
        from service.commands.steer import CANCEL

        return self._steer(CANCEL)

    def pause(self) -> Self:
        """Start no further folds; those that run may finish."""
        from service.commands.steer import PAUSE

        return self._steer(PAUSE)

    def resume(self) -> Self:
        """Let a paused job go on."""
        from service.commands.steer import RESUME

        return self._steer(RESUME)

    def retry(self) -> Self:
        """Put the failed and cancelled tasks back; what is done stays done."""
        from service.commands.steer import RETRY

        return self._steer(RETRY)

    def _steer(self, steering: "Steering") -> Self:
        """Ask the scheduler, and wait until the records show it (some seconds at most).

        Raises
        ------
        NotPossible
            In the state that the job is in.
        NoScheduler
        """
        from service import control
        from service.commands.steer import PATIENCE, POLL

        before = self._needed()
        if steering.needless(before):
            return self
        if problem := steering.impossible(before):
            raise NotPossible(problem[0])
        if not self._is_served():
            raise NoScheduler(self._settings.spool)
        control.request(self._settings.spool, steering.action, before.id)
        deadline = time.monotonic() + PATIENCE
        while not steering.is_done(before, self._needed()) and time.monotonic() < deadline:
            time.sleep(POLL)
        return self

    # --- looks -------------------------------------------------------------------------------

    def __repr__(self) -> str:
        found = self._progress()
        if found is None:
            return f"<foldq job {printable(self.name)!r}: waiting>"
        job = found.job
        n_finished = job.n_done + job.n_failed
        told = f"{job.state}, {n_finished:,}/{job.n_tasks:,} folds"
        return printable(f"<foldq job {job.id} {job.name!r}: {told}>")

    def _repr_html_(self) -> str:
        spool = str(self._settings.spool)
        found = self._progress()
        return (
            pages.waiting_html(self.name, spool) if found is None else pages.job_html(found, spool)
        )

    # --- records -----------------------------------------------------------------------------

    @contextmanager
    def _records(self) -> "Iterator[sqlite3.Connection]":
        with open_records(self._settings.database_path) as records:
            yield records

    def _record(self) -> Record | None:
        job_id = self.id
        if job_id is None:
            return None
        with self._records() as records:
            return find_job(records, job_id)

    def _needed(self) -> Record:
        record = self._record()
        if record is None:
            raise NotFinished(
                f"no scheduler has taken {self.name!r} yet: job.wait(), or foldq.serve()"
            )
        return record

    def _completed(self, what: str) -> Record:
        record = self._needed()
        if record.state != JobState.COMPLETED:
            then = "" if record.state.is_final else " yet; to wait for it: job.wait()"
            raise NotFinished(f"job {record.id} ({record.state}) has no {what}{then}")
        return record

    def _progress(self) -> Progress | None:
        try:
            record = self._record()
            if record is None:
                return None
            with self._records() as records:
                return progress(records, record, datetime.now(UTC))
        except NoRecords:
            return None

    def _is_served(self) -> bool:
        return holder(self._settings.spool) is not None

    def _directory(self, record: Record) -> "Path":
        return self._settings.spool / "results" / str(record.id)

    @property
    def _names(self) -> dict[str, str]:
        return self._settings.catalog.estimators

"""The report of a job, for the dashboard: made once for each state of the job, and kept a while."""

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from service.records import Job, find_job, open_records

if TYPE_CHECKING:
    from schemas.settings import Settings

#: Seconds after which the figures of a job that has not ended are drawn anew, and folds for each
#: second more: drawing takes longer then, half a minute for a million.
REFRESH = 5.0
_FOLDS_A_SECOND = 10_000

#: Reports kept: the pages that are open, most of the time.
_KEPT = 8

_lock = threading.Lock()  # drawing takes a processor: one at a time leaves the others to engines
_pages: OrderedDict[tuple[object, ...], str] = OrderedDict()


def report_page(settings: "Settings", job_id: int, script: str) -> str:
    """Give the report, a whole page; of a job that has not ended it refreshes itself.

    Parameters
    ----------
    script : str
        Where the page finds plotly.js.

    Raises
    ------
    NoSuchJob, NoRecords, NewerDatabase, OlderDatabase, RecordsUnusable, RecordsDamaged
    """
    from service.report import render

    with _lock, open_records(settings.database_path) as records:
        job = find_job(records, job_id)
        key = (settings.database_path, script, *_moves(job))
        page = _pages.pop(key, None)
        if page is None:
            results = settings.spool / "results" / str(job.id)
            page = render(
                records,
                job,
                results=results if results.is_dir() else None,
                script_url=script,
                refresh=None if job.state.is_final else REFRESH + job.n_tasks / _FOLDS_A_SECOND,
            )
        _pages[key] = page
        while len(_pages) > _KEPT:
            _pages.popitem(last=False)
    return page


def _moves(job: Job) -> tuple[object, ...]:
    """Give what changes whenever the report would be another one."""
    return (
        job.id, job.file_digest, job.state, job.n_candidates, job.n_tasks, job.n_done, job.n_failed,
        job.best_index, job.finished_at, job.refitted is not None,
    )  # fmt: skip

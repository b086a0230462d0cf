"""The end of a search: its winner is named and, when nothing is left to fit, its files are written.

Of a million folds that takes some 20 s. So it asks nothing but the records, which it only reads,
and `service/beside.py` has it done in a process of its own while the scheduler's loop goes on:

    python -m service.conclusion DATABASE JOB DIRECTORY FITTED PARENT

prints a pickled `Conclusion`, or the exception that there was instead.
"""

import math
import pickle
import signal
import sqlite3
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from pydantic import JsonValue

from schemas.job import JobSpec
from schemas.lifecycle import JobState
from service.exports import write_results
from service.records import Job, find_job, timestamp
from service.results import Folds, best_index, cv_results, read_folds
from workers.deathsignal import die_with


@dataclass(frozen=True, slots=True)
class Conclusion:
    """Who won.

    Attributes
    ----------
    index : int or None
        The winner's row in `cv_results_`; None when none is to be chosen.
    score : float or None
        Its mean score, which may be NaN.
    params : dict or None
        Its parameters in the job file's value grammar.
    n_done, n_failed : int
        The folds that this was drawn from; with others it is out of date.
    """

    index: int | None
    score: float | None
    params: dict[str, JsonValue] | None
    n_done: int
    n_failed: int

    def is_of(self, job: Job) -> bool:
        """Whether nothing of the job has changed since it was drawn."""
        return (self.n_done, self.n_failed) == (job.n_done, job.n_failed)


def conclude(job: Job, folds: Folds, directory: Path, fitted: int | None) -> Conclusion:
    """Choose the winner of a search whose folds are finished.

    Parameters
    ----------
    directory : Path
        `results/<job id>` of the spool. The files are written there, unless the winner has to be
        fitted before.
    fitted : int or None
        The candidate that was fitted on all the data, if one was.

    Raises
    ------
    OSError
        If the files cannot be written.
    """
    spec = JobSpec.model_validate(job.spec)
    results = cv_results(folds, folds.candidates, with_param_columns=False)
    index = best_index(results, spec)
    score = None if index is None else float(results[f"mean_test_{spec.refit_metric}"][index])
    params = None if index is None else folds.candidates[index]
    if index is None or index == fitted or not spec.wants_refit:
        ended = replace(
            job,
            state=JobState.COMPLETED,
            finished_at=timestamp(datetime.now(UTC)),
            best_index=index,
            best_score=None if score is None or math.isnan(score) else score,
            best_params=params,
        )
        write_results(directory, ended, folds)
    return Conclusion(index, score, params, job.n_done, job.n_failed)


def _read(database: Path, job_id: int) -> tuple[Job, Folds]:
    """Read a job and its folds as they stand at one moment."""
    uri = f"file:{quote(str(database.absolute()))}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10.0)) as records:
        records.execute("BEGIN")
        job = find_job(records, job_id)
        return job, read_folds(records, job)


def main(arguments: list[str]) -> None:
    """Be the process beside the scheduler; it ends with it."""
    database, job_id, directory, fitted, parent = arguments
    # An exception, so that no half-written file stays behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    die_with(int(parent))
    outcome: Conclusion | Exception
    try:
        job, folds = _read(Path(database), int(job_id))
        outcome = conclude(job, folds, Path(directory), int(fitted) if fitted else None)
    except Exception as error:
        outcome = error
    sys.stdout.buffer.write(pickle.dumps(outcome))


if __name__ == "__main__":
    # By its importable name: else what is pickled would be `__main__.Conclusion`.
    from service import conclusion

    conclusion.main(sys.argv[1:])

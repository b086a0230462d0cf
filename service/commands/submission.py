"""Hand a job file to the spool, and find out which job it became."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.problems import InvalidJob, Problem
from service.records import JOB_COLUMNS, Job, NoRecords, open_records, select

if TYPE_CHECKING:
    from schemas.settings import Settings
    from service.commands.validation import Verdict

#: How long a running scheduler may take to admit a file (seconds).
PATIENCE = 5.0
POLL = 0.05


@dataclass(frozen=True, slots=True)
class Submission:
    """A job file under the name it has in the spool.

    Attributes
    ----------
    already : bool
        The same file, by name and content, was a job before; nothing was handed in.
    job : Job or None
        None until a scheduler has admitted the file.
    same_content_as : int or None
        The first job of the same content and another name.
    """

    file: str
    file_name: str
    digest: str
    already: bool = False
    job: Job | None = None
    same_content_as: int | None = None

    def again(self, settings: "Settings") -> "Submission":
        """Look again what has become of it."""
        job, twin = _look_up(settings, self.file_name, self.digest)
        return replace(self, job=job, same_content_as=twin)

    def to_dict(self) -> dict[str, Any]:
        """Give the submission as JSON values."""
        return {
            "file": self.file,
            "file_name": self.file_name,
            "file_digest": self.digest,
            "already_known": self.already,
            "job_id": self.job.id if self.job else None,
            "state": self.job.state.value if self.job else "waiting",
            "same_content_as": self.same_content_as,
        }


def name_in_spool(file: Path, name: str | None) -> str:
    """Give the name a file gets in the spool: its own, or the given one with a known suffix."""
    if name is None:
        return file.name
    from service.jobfile import SUFFIXES

    return name if name.lower().endswith(SUFFIXES) else name + file.suffix


def hand_in(settings: "Settings", verdict: "Verdict", name: str | None) -> Submission:
    """Put a valid job file into the spool, unless it is a job already."""
    from service import spool

    file_name = name_in_spool(Path(verdict.file), name)
    digest = hashlib.sha256(verdict.content).hexdigest()
    job, twin = _look_up(settings, file_name, digest)
    if job is None:
        spool.submit(settings.spool, verdict.content, file_name)
    return Submission(verdict.file, file_name, digest, job is not None, job, twin)


def await_job(
    settings: "Settings",
    submission: Submission,
    *,
    is_served: Callable[[], bool] | None = None,
) -> Submission:
    """Wait until a scheduler has admitted the file.

    Parameters
    ----------
    is_served : callable, optional
        When given, wait for as long as it says that a scheduler is there; otherwise for a few
        seconds, after which the submission comes back without a job.

    Raises
    ------
    InvalidJob
        The scheduler refused the file.
    service.commands.watching.Unserved
        `is_served` said for a few seconds that there is no scheduler.
    """
    from service.commands.watching import Unserved

    deadline = time.monotonic() + PATIENCE
    while submission.job is None:
        submission = submission.again(settings)
        if submission.job is not None:
            break
        if problems := refusal(settings, submission):
            raise InvalidJob(problems)
        if is_served is not None and is_served():
            deadline = time.monotonic() + PATIENCE
        if time.monotonic() > deadline:
            if is_served is None:
                break
            raise Unserved
        time.sleep(POLL)
    return submission


def _look_up(settings: "Settings", file_name: str, digest: str) -> tuple[Job | None, int | None]:
    """Give the job of this very file, and the first one of the same content and another name."""
    try:
        with open_records(settings.database_path) as records:
            row = select(
                records,
                f"SELECT {JOB_COLUMNS} FROM job WHERE file_name = ? AND file_digest = ?",
                (file_name, digest),
            ).fetchone()
            twin = records.execute(
                "SELECT min(id) FROM job WHERE file_digest = ? AND file_name != ?",
                (digest, file_name),
            ).fetchone()
    except NoRecords:
        return None, None
    return (None if row is None else Job.from_row(row)), twin[0]


def refusal(settings: "Settings", submission: Submission) -> tuple[Problem, ...]:
    """Give the problems for which a scheduler refused the file, if it did."""
    if (settings.spool / "incoming" / submission.file_name).exists():
        return ()
    report = settings.spool / "rejected" / f"{submission.file_name}.error.json"
    try:
        problems = json.loads(report.read_bytes())["problems"]
    except (OSError, ValueError, KeyError):
        return ()
    return tuple(Problem(**problem) for problem in problems)

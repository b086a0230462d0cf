"""Fits that failed: how many, of what, and whether any succeeded at all."""

import sqlite3
from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FitError:
    """One way in which fits failed.

    Attributes
    ----------
    error : str
        The traceback, or a sentence when there is none (a timeout, a lost engine).
    count : int
        How many fits failed with exactly this error.
    """

    error: str
    count: int

    @property
    def last_line(self) -> str:
        """The line that names the exception."""
        lines = [line for line in self.error.splitlines() if line.strip()]
        return lines[-1].strip() if lines else "unknown error"


@dataclass(frozen=True, slots=True)
class FitFailures:
    """How many of the finished fits failed, and of what; most telling as `summary`.

    Attributes
    ----------
    n_fits : int
        Finished fits, failed ones included.
    errors : tuple of FitError
        Distinct errors in the order of the table.
    """

    n_fits: int
    errors: tuple[FitError, ...]

    @property
    def n_failed(self) -> int:
        """Number of fits that failed."""
        return sum(error.count for error in self.errors)

    @property
    def all_failed(self) -> bool:
        """Whether no fit succeeded: scikit-learn's searches raise then, and a job fails."""
        return 0 < self.n_fits == self.n_failed

    @property
    def summary(self) -> str | None:
        """One sentence on what happened, in scikit-learn's words; None when no fit failed."""
        if not self.errors:
            return None
        # The same exception may have passed through different lines.
        counts: dict[str, int] = defaultdict(int)
        for error in self.errors:
            counts[error.last_line] += error.count
        first = self.errors[0].last_line
        often = "; ".join(f"{count} × {line}" for line, count in counts.items())
        if self.all_failed:
            if len(counts) == 1:
                return f"All the {self.n_fits} fits failed. Each with: {first}"
            return f"All the {self.n_fits} fits failed. The first with: {first} ({often})"
        return f"{self.n_failed} fits failed out of a total of {self.n_fits}: {often}"


_WITHOUT_TRACEBACK = {
    "timeout": "Ran past the job's time limit for one fold.",
    "poison": "Took down every engine it was tried on.",
    "error": "Failed without a traceback.",
}


def fit_failures(
    records: sqlite3.Connection, job_id: int, iteration: int | None = None
) -> FitFailures:
    """Count the failed fits of one evaluation and group them by error.

    Parameters
    ----------
    iteration : int, optional
        Of successive halving: each iteration is an evaluation of its own, and the search fails
        when all fits of one fail. By default all folds of the job.
    """
    of_evaluation = "task.job_id = ? AND task.kind = 'fold' AND (? IS NULL OR iteration = ?)"
    values = (job_id, iteration, iteration)
    (n_fits,) = records.execute(
        "SELECT count(*) FROM task JOIN candidate ON candidate.id = task.candidate_id"
        f" WHERE {of_evaluation} AND task.state IN ('done', 'failed')",
        values,
    ).fetchone()
    errors = records.execute(
        "SELECT task.error, task.reason, count(*) FROM task"
        " JOIN candidate ON candidate.id = task.candidate_id"
        f" WHERE {of_evaluation} AND task.state = 'failed'"
        " GROUP BY task.error, task.reason ORDER BY min(candidate.number), min(task.split)",
        values,
    ).fetchall()
    return FitFailures(
        n_fits=n_fits,
        errors=tuple(
            FitError(error or _WITHOUT_TRACEBACK[reason], count) for error, reason, count in errors
        ),
    )

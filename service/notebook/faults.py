"""What can go wrong between a notebook and a spool.

- ``NotSubmitted`` (a ``schemas.problems.InvalidJob``): the search cannot be run as it stands
- ``JobFailed``: the job that was waited for failed or was cancelled
- ``NotFinished`` (an ``AttributeError``): the job has no such result, or not yet
- ``NotPossible``: the job cannot be steered so
- ``NoScheduler``: nobody works on the spool
- ``service.records.NoSuchJob``: there is no job with that number
"""

from collections.abc import Iterator

from schemas.problems import InvalidJob, Problem
from service.printable import printable


class NotSubmitted(InvalidJob):
    """The search cannot be run as it stands; nothing was submitted.

    Attributes
    ----------
    problems : tuple of Problem
        Each with `where`, `message`, `given`, `expected`, `nearest` and `hint`.
    """

    def __str__(self) -> str:
        """Return every problem on lines of its own, with its way out."""
        n = len(self.problems)
        head = f"nothing was submitted, for {n} problem{'' if n == 1 else 's'}:"
        return "\n".join([head, *(line for p in self.problems for line in _lines(p))])

    def _render_traceback_(self) -> list[str]:
        """Have IPython show the problems alone: they lie in the search, not in foldq's code."""
        return [f"NotSubmitted: {self}"]


def _lines(problem: Problem) -> Iterator[str]:
    place = problem.where + (f" (line {problem.line})" if problem.line is not None else "")
    yield printable(f"\n  {place}: {problem.message}" if place else f"\n  {problem.message}")
    for label, text in (
        ("given", problem.given),
        ("expected", problem.expected),
        ("did you mean", problem.nearest and f"{problem.nearest}?"),
        ("hint", problem.hint),
    ):
        if text:
            yield printable(f"      {label:<14}{text}")


class JobFailed(RuntimeError):
    """A job that was waited for did not complete.

    Attributes
    ----------
    job_id : int
    state : str
        "failed" or "cancelled".
    reason : str or None
        Why, as the records tell it.
    """

    def __init__(self, job_id: int, name: str, state: str, reason: str | None) -> None:
        self.job_id, self.state, self.reason = job_id, state, reason
        what = "failed" if state == "failed" else "was cancelled"
        told = f"job {job_id} ({name}) {what}" + (f": {reason}" if reason else "")
        if state == "failed":
            told += "\n  to see each error with its traceback: job.failures()"
        super().__init__(printable(told))


class NotFinished(AttributeError):
    """A job has no such result, or not yet; an `AttributeError`, as scikit-learn raises it."""


class NotPossible(RuntimeError):
    """A job cannot be steered so in the state it is in."""


class NoScheduler(RuntimeError):
    """Nobody works on the spool."""

    def __init__(self, spool: object) -> None:
        super().__init__(
            f"no scheduler is running on {spool}: start one with foldq.serve(spool=…), "
            "or in a terminal with `foldq serve`"
        )

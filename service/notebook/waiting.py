"""Wait for a job, with a bar that shows how far it is: in notebooks and terminals alike."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from service.commands.terminal import best_text, duration
from service.commands.watching import PATIENCE, POLL, POLL_SHARE
from service.history import Progress
from service.notebook.faults import NoScheduler
from service.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

#: tqdm's own estimate is left out: foldq's is learnt from the folds.
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} folds{postfix}"


def follow(
    look: Callable[[], Progress | None],
    is_served: Callable[[], bool],
    spool: "Path",
    *,
    timeout: float | None,
    show: Callable[[Progress | None], None],
) -> Progress:
    """Look until the job has ended; give it as it ended.

    Raises
    ------
    TimeoutError
        After `timeout` seconds; the job goes on.
    NoScheduler
        Nobody has worked on the spool for some seconds.
    """
    started = served = time.monotonic()
    while True:
        progress = look()
        show(progress)
        if progress is not None and progress.job.state.is_final:
            return progress
        now = time.monotonic()
        if timeout is not None and now - started > timeout:
            raise TimeoutError(f"the job has not ended within {timeout:g} s; it goes on")
        if is_served():
            served = now
        elif now - served > PATIENCE:
            raise NoScheduler(spool)
        least, most = POLL
        time.sleep(min(max((now - started) * POLL_SHARE, least), most))


@contextmanager
def bar(name: str) -> Iterator[Callable[[Progress | None], None]]:
    """Show a progress bar for the length of the block; what is yielded brings it up to date."""
    with warnings.catch_warnings():
        # Without ipywidgets the bar is one of text, which is well.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm

        made: Any = tqdm(total=0, desc=printable(name), bar_format=_FORMAT, unit="fold")
    try:
        yield lambda progress: _update(made, progress)
    finally:
        made.close()


def _update(made: Any, progress: Progress | None) -> None:
    if progress is None:
        _tell(made, "waiting")
        return
    job = progress.job
    if made.total != job.n_tasks:  # successive halving plans one iteration after the other
        made.total = job.n_tasks
        if hasattr(made, "container"):  # a widget has its own end
            made.reset(job.n_tasks)
    made.n = job.n_done + job.n_failed
    _tell(made, words(progress))


def _tell(made: Any, text: str) -> None:
    """Draw the bar if anything changed: in a pipe each drawing is text that stays."""
    drawn = (made.n, made.total, text)
    if getattr(made, "drawn", None) != drawn:
        made.drawn = drawn
        made.set_postfix_str(text)


def words(progress: Progress) -> str:
    """Say how a job stands: its best so far, what failed, the time left.

    Examples
    --------
    `best 0.9833, 1 failed, 6.6 s left`
    """
    job = progress.job
    parts = [] if job.state == "running" else [str(job.state)]
    if best := best_text(progress.best):
        parts.append(f"best {best}")
    if job.n_failed:
        parts.append(f"{job.n_failed:,} failed")
    if progress.time_left:
        parts.append(f"{duration(progress.time_left)} left")
    return ", ".join(parts)

"""Follow jobs until they end, through the records alone: live on a terminal, in lines elsewhere."""

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.lifecycle import FINAL_JOB_STATES, JobState
from schemas.sections import TagSettings
from service import lives
from service.commands.screen_status import is_prepared_only, now_screen
from service.commands.terminal import best_text, clock, duration, quoted, rate, tell
from service.history import Progress, Query, find_jobs, progress
from service.pace import pace
from service.records import Job, NoRecords, open_records
from service.waits import Cause, Wait, waits

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

#: Between two looks at the records (seconds): often at first, for short searches, later less often.
POLL = (0.03, 0.25)
#: Share of the time gone by that passes until the next look.
POLL_SHARE = 0.02
#: A scheduler that is being restarted may be away for this long (seconds).
PATIENCE = 5.0
#: Between two lines about the same job in a pipe, unless its state changes (seconds): this much at
#: first, and ever more, so that the log of a long search stays short.
LINE_EVERY = (1.0, 60.0)
LINE_SHARE = 0.05
#: Share of a job's folds after which a line is written in any case.
LINE_STEP = 0.1

#: What "all jobs" means: a paused one may wait for ever.
MOVING = tuple(state for state in JobState if state not in {*FINAL_JOB_STATES, JobState.PAUSED})


class Unserved(RuntimeError):
    """Nothing works on the jobs: no scheduler holds the spool."""


@dataclass
class Follower:
    """Follows some jobs, or every one that is neither paused nor ended.

    Parameters
    ----------
    database : Path
        The records; they need not exist yet.
    job_ids : sequence of int or None
        None: whatever runs or waits, jobs that come meanwhile included.
    console : Console
    is_served : callable
        Whether some scheduler works on the jobs.
    has_waiting : callable
        Whether a file waits to become a job: following every job, it is followed too.
    trouble : callable
        What troubles the scheduler just now: told on stderr whenever it changes.
    tags : mapping of str to TagSettings
        Limits of tags in the settings, which jobs may wait for.
    """

    database: Path
    job_ids: Sequence[int] | None
    console: "Console"
    is_served: Callable[[], bool]
    has_waiting: Callable[[], bool] = lambda: False
    trouble: Callable[[], str | None] = lambda: None
    tags: Mapping[str, TagSettings] = field(default_factory=dict)
    _trouble: str | None = None
    _told: dict[int, tuple[JobState, int, Cause | None, float]] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)
    _began: float = field(default_factory=time.monotonic)
    _engines: list[lives.LiveEngine] = field(default_factory=list)
    _loads: dict[int, list[lives.Load]] = field(default_factory=dict)

    def follow(self) -> list[Job]:
        """Show progress until all the jobs have ended; give them as they ended.

        Raises
        ------
        Unserved
            No scheduler has held the spool for `PATIENCE` seconds.
        """
        if not self.console.is_terminal:
            return self._follow(lambda lines: self._print_changes(lines))
        from rich.live import Live

        with Live(console=self.console, auto_refresh=False) as live:
            return self._follow(lambda lines: live.update(self._screen(lines), refresh=True))

    def _screen(self, lines: list[Progress]) -> "RenderableType":
        if not lines:
            return ""
        over = all(line.job.state.is_final for line in lines)
        engines = [] if over else self._engines
        return now_screen(lines, engines, self._loads, datetime.now(UTC), bars=True)

    def _follow(self, show: Callable[[list[Progress]], None]) -> list[Job]:
        started = time.monotonic()
        served_until = started + PATIENCE
        while True:
            # Asked first: a file admitted between the two is seen as a job.
            waiting = self.job_ids is None and self.has_waiting()
            lines = self._look()
            show(lines)
            self._tell_trouble()
            if not waiting and self._is_over(lines):
                return [line.job for line in lines]
            if self.is_served():
                served_until = time.monotonic() + PATIENCE
            elif time.monotonic() > served_until:
                raise Unserved
            least, most = POLL
            time.sleep(min(max((time.monotonic() - started) * POLL_SHARE, least), most))

    def _tell_trouble(self) -> None:
        trouble = self.trouble()
        if trouble != self._trouble:
            self._trouble = trouble
            said = "[green]✓[/] The trouble is over." if trouble is None else ""
            tell(said or f"[bold red]✗ trouble:[/] {quoted(trouble)}")

    def _is_over(self, lines: list[Progress]) -> bool:
        if self.job_ids is None:
            return not any(line.job.state in MOVING for line in lines)
        return len(lines) == len(self.job_ids) and all(line.job.state.is_final for line in lines)

    def _look(self) -> list[Progress]:
        now = datetime.now(UTC)
        try:
            with open_records(self.database) as records:
                if self.job_ids is None:
                    unfinished = find_jobs(records, Query(states=MOVING), now)
                    self._seen.update(job.id for job in unfinished)
                    wanted = self._seen
                else:
                    wanted = set(self.job_ids)
                jobs = find_jobs(records, Query(ids=tuple(sorted(wanted))), now) if wanted else []
                self._loads = lives.loads_by_engine(records)
                if self.console.is_terminal:
                    self._engines = lives.live_engines(records)
                lately, waiting = pace(records, now), self._waits(records, jobs, now)
                return [progress(records, job, now, lately, waiting.get(job.id)) for job in jobs]
        except NoRecords:
            return []

    def _waits(
        self, records: sqlite3.Connection, jobs: list[Job], now: datetime
    ) -> dict[int, Wait]:
        """Tell what the jobs wait for; others may go first that are not followed."""
        if all(job.id in self._working or job.state.is_final for job in jobs):
            return {}
        moving = jobs if self.job_ids is None else find_jobs(records, Query(states=MOVING), now)
        return waits(records, moving, self.tags, self._loads)

    @property
    def _working(self) -> set[int]:
        return {load.job_id for had in self._loads.values() for load in had}

    def _print_changes(self, lines: list[Progress]) -> None:
        for line in lines:
            job, moment = line.job, time.monotonic()
            finished = job.n_done + job.n_failed
            cause = None if line.wait is None else line.wait.cause
            told = self._told.get(job.id)
            if told is not None:
                state, n_told, waited_for, when = told
                least, most = LINE_EVERY
                every = min(max((moment - self._began) * LINE_SHARE, least), most)
                is_due = finished > n_told or (cause is not None and cause is not waited_for)
                is_due &= moment - when >= every
                is_due |= finished - n_told >= max(1, LINE_STEP * job.n_tasks)
                if job.state == state and not is_due:
                    continue
            self._told[job.id] = (job.state, finished, cause, moment)
            self.console.print(progress_line(line), markup=False, soft_wrap=True)


def progress_line(line: Progress) -> str:
    """Say in one line how far a job is, for logs."""
    job = line.job
    now = datetime.now(UTC)
    state = "prepared" if is_prepared_only(line) else job.state
    parts = [f"{clock(now, now)}  job {job.id} {job.name}: {state}"]
    if line.wait is not None:
        parts.append(f"waits for {line.wait}")
    if job.n_tasks:
        failed = f" ({job.n_failed} failed)" if job.n_failed else ""
        parts.append(f"{job.n_done + job.n_failed}/{job.n_tasks} folds{failed}")
    if best := best_text(line.best):
        parts.append(f"best {best}")
    if line.rate is not None:
        parts.append(f"{rate(line.rate)} a second")
    if line.time_left:
        parts.append(f"{duration(line.time_left)} left")
    if job.reason and job.state.is_final:
        parts.append(job.reason)
    return ", ".join(parts)

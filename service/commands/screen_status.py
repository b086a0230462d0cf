"""The screens of `foldq status`, `watch` and `engines`: what goes on now."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from schemas.lifecycle import JobState
from service.commands.screens import STATE_STYLES, Bar, cut_text, plain_table, state_text
from service.commands.terminal import (
    best_text,
    clock,
    counted,
    duration,
    foldq,
    rate,
    short_count,
)
from service.history import Progress
from service.lives import Engine, LiveEngine, Load
from service.records import Job, parse_time, seconds_between
from service.waits import Cause, Wait, jobs_named

if TYPE_CHECKING:
    from service.lock import Holder
    from service.steering import Listed, Reached

#: Lines about jobs that wait.
WAITS_TOLD = 3
#: Live engines that `foldq status` names; the others are counted.
ENGINES_TOLD = 8


def jobs_table(lines: Sequence[Progress], *, bars: bool) -> Table:
    """Give the jobs and how far they are. Columns that would be empty are left out.

    Parameters
    ----------
    bars : bool
        Draw progress bars; in a pipe they would only be noise.
    """
    has_failed = any(line.job.n_failed for line in lines)
    has_reused = any(line.job.n_reused for line in lines)
    has_rate = any(line.rate is not None for line in lines)
    table = plain_table(expendable=("Reused", "Per s", "Progress", "Left", "Failed"))
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("Name", min_width=8, max_width=28)
    table.add_column("State", no_wrap=True)
    if bars:
        table.add_column("Progress", min_width=6, max_width=24)
    table.add_column("Folds", justify="right", no_wrap=True)
    if has_failed:
        table.add_column("Failed", justify="right", no_wrap=True)
    if has_reused:
        table.add_column("Reused", justify="right", no_wrap=True)
    if has_rate:
        table.add_column("Per s", justify="right", no_wrap=True)
    table.add_column("Best", justify="right", no_wrap=True)
    table.add_column("Left", justify="right", no_wrap=True)
    for line in lines:
        job = line.job
        cells: list[RenderableType] = [str(job.id), cut_text(job.name), _state(line)]
        if bars:
            cells.append(_bar(job) if job.n_tasks else "")
        cells.append(_folds(job) if job.n_tasks else "")
        if has_failed:
            n_failed = short_count(job.n_failed)
            cells.append(Text(n_failed, style="red") if job.n_failed else "")
        if has_reused:
            cells.append(short_count(job.n_reused) if job.n_reused else "")
        if has_rate:
            cells.append(rate(line.rate))
        cells += [best_text(line.best), duration(line.time_left)]
        table.add_row(*cells)
    return table


def _state(line: Progress) -> Text:
    """Give a job's state; one whose data are prepared, and that waits, is not `preparing`."""
    if is_prepared_only(line):
        return Text("prepared", style=STATE_STYLES[JobState.QUEUED])
    return state_text(line.job.state)


def is_prepared_only(line: Progress) -> bool:
    """Whether the data of a job are prepared, and nothing more of it could begin yet."""
    job = line.job
    return line.wait is not None and job.state is JobState.PREPARING and bool(job.data_fingerprint)


def _folds(job: Job) -> str:
    return f"{short_count(job.n_done + job.n_failed)}/{short_count(job.n_tasks)}"


def _bar(job: Job) -> Bar:
    styles = {
        JobState.COMPLETED: "green",
        JobState.FAILED: "red",
        JobState.CANCELLED: "magenta",
        JobState.PAUSED: "yellow",
    }
    return Bar(job.n_done, job.n_failed, max(job.n_tasks, 1), styles.get(job.state, "cyan"))


def now_screen(
    lines: Sequence[Progress],
    engines: Sequence[LiveEngine],
    loads: Mapping[int, Sequence[Load]],
    now: datetime,
    *,
    bars: bool,
    steering_told: bool = False,
) -> Group:
    """Give the jobs, what some wait for, and below them the live engines with what each runs.

    Parameters
    ----------
    steering_told : bool, default=False
        Whether `steering_lines` stand above it.
    """
    parts: list[RenderableType] = [jobs_table(lines, bars=bars)]
    waits = {line.job.id: line.wait for line in lines if line.wait is not None}
    if steering_told:
        told = (Cause.QUEUE, Cause.TAG)
        waits = {job_id: wait for job_id, wait in waits.items() if wait.cause not in told}
    parts += _waiting_lines(waits)
    if engines:
        parts += ["", live_table(engines, loads, now)]
    return Group(*parts)


def _waiting_lines(waiting: Mapping[int, Wait]) -> list[RenderableType]:
    """Say which jobs wait, and for what."""
    alike: dict[Wait, list[int]] = defaultdict(list)
    for job_id, wait in waiting.items():
        alike[wait].append(job_id)
    lines: list[RenderableType] = []
    for wait, job_ids in list(alike.items())[:WAITS_TOLD]:
        verb, what = "waits" if len(job_ids) == 1 else "wait", wait.said_of(len(job_ids))
        lines.append(Text(f"… {jobs_named(job_ids)} {verb} for {what}", style="dim"))
    if n_more := sum(map(len, list(alike.values())[WAITS_TOLD:])):
        lines.append(Text(f"… {n_more:,} more wait likewise: --json", style="dim"))
    return lines


def live_table(
    engines: Sequence[LiveEngine], loads: Mapping[int, Sequence[Load]], now: datetime
) -> Group:
    """Give the live engines with what each runs; of many, the first ones that are busy."""
    told = sorted(engines, key=lambda engine: (not loads.get(engine.id), engine.id))
    told = sorted(told[:ENGINES_TOLD], key=lambda engine: engine.id)
    table = plain_table()
    table.add_column("Engine", justify="right", no_wrap=True)
    table.add_column("Where", min_width=8)
    table.add_column("Runs")
    for engine in told:
        at_work = loads.get(engine.id, ())
        runs = ", ".join(map(load_text, at_work))
        if at_work:
            since = min(load.since for load in at_work)
            runs += f", for {duration(seconds_between(since, None, now))}"
        table.add_row(
            str(engine.id),
            cut_text(f"{engine.host}, process {engine.pid}"),
            Text(runs) if runs else Text("idle", style="dim"),
        )
    n_more = len(engines) - len(told)
    more = Text(f"and {n_more} more: {foldq('engines')}", style="dim")
    return Group(table, more) if n_more > 0 else Group(table)


def scheduler_line(
    holder: "Holder | None", spool: str, n_engines: int, n_busy: int
) -> RenderableType:
    """Say whether a scheduler runs, which, with how many engines, and what troubles it."""
    if holder is None:
        return Text.assemble(("● ", "red"), "no scheduler running on ", (spool, "bold"))
    engines = f"{counted(n_engines, 'engine')}, {n_busy} busy"
    line = Text.assemble(
        ("● ", "yellow" if holder.trouble else "green"),
        "scheduler running on ",
        (spool, "bold"),
        f" · process {holder.pid} on {holder.host} · {engines}",
    )
    if holder.trouble:
        line.append_text(Text.assemble(("\n✗ trouble: ", "bold red"), (holder.trouble, "red")))
    return line


def steering_lines(
    paused: str | None, reached: "Sequence[Reached]", now: datetime
) -> list[RenderableType]:
    """Say what people set that holds jobs up: the pause of the whole queue, limits of tags."""
    lines: list[RenderableType] = []
    if paused is not None:
        since = clock(parse_time(paused), now)
        told = f" since {since}; what runs may finish. To let it go on: {foldq('resume --all')}"
        lines.append(Text.assemble(("‖ the whole queue is paused", "yellow"), told))
    for limit in reached:
        parts = []
        if limit.max_jobs is not None:
            parts.append(f"{limit.n_jobs} of {counted(limit.max_jobs, 'job')} at work")
        if limit.max_engines is not None:
            parts.append(f"on {limit.n_engines} of {counted(limit.max_engines, 'engine')}")
        if limit.n_waiting:
            parts.append(f"{limit.n_waiting} waiting")
        label = ("‖ limit of tag ", "yellow")
        lines.append(Text.assemble(label, (limit.tag, "bold"), f": {', '.join(parts)}"))
    return lines


def limits_table(limits: "Sequence[Listed]") -> Table:
    """Give the limits of tags, with what their jobs use of them."""
    table = plain_table(expendable=("From", "Waiting"))
    table.add_column("Tag", min_width=8)
    for heading in ("max_jobs", "max_engines", "At work", "Waiting"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("From", no_wrap=True)
    for limit in limits:
        table.add_row(
            Text(limit.tag),
            "–" if limit.max_jobs is None else str(limit.max_jobs),
            "–" if limit.max_engines is None else str(limit.max_engines),
            str(limit.n_jobs),
            str(limit.n_waiting),
            "foldq set" if limit.source == "set" else "settings",
        )
    return table


def status_screen(body: RenderableType | None, head: RenderableType, n_more: int) -> Group:
    """Give the whole of `foldq status`; `body` is None when there are no jobs."""
    nothing = f"No jobs. Drop a job file into incoming/, or: {foldq('submit FILE')}"
    parts: list[RenderableType] = [head, "", Text(nothing) if body is None else body]
    if n_more:
        parts += ["", Text(f"{counted(n_more, 'earlier job')}: {foldq('history')}", style="dim")]
    return Group(*parts)


def engines_table(
    engines: Sequence[Engine],
    loads: Mapping[int, Sequence[Load]],
    now: datetime,
    *,
    is_served: bool,
) -> Table:
    """Give engines: where they run, what is at them now, and why they left.

    Parameters
    ----------
    is_served : bool
        Whether a scheduler runs: without one nobody knows whether those that have not left live.
    """
    table = plain_table(expendable=("PID", "Joined", "Done", "Host"))
    table.add_column("ID", justify="right", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Host", min_width=6)
    table.add_column("PID", justify="right", no_wrap=True)
    table.add_column("Joined", no_wrap=True)
    table.add_column("Done", justify="right", no_wrap=True)
    table.add_column("Doing")
    for engine in engines:
        if engine.is_live:
            had = ", ".join(map(load_text, loads.get(engine.id, ())))
            state = Text("live", style="green") if is_served else Text("unknown", style="yellow")
            doing = (had or "idle") if is_served else had and f"was given {had}"
        else:
            state = Text("gone", style="dim")
            left = clock(parse_time(engine.left_at), now)
            doing = f"left {left}: {engine.left_because}"
        table.add_row(
            str(engine.id),
            state,
            cut_text(engine.host),
            str(engine.pid),
            clock(parse_time(engine.joined_at), now),
            str(engine.n_done),
            Text(doing, style="" if engine.is_live else "dim"),
        )
    return table


def load_text(load: Load) -> str:
    """Say what is at an engine: "job 7: 34 folds"."""
    what = counted(load.n_tasks, "fold") if load.kind == "fold" else load.kind
    return f"job {load.job_id}: {what}"

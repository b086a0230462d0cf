"""The commands that look at what goes on: status, watch, engines."""

from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands import completing
from service.commands.options import AsJson, Spool, records_of, settings_of
from service.commands.terminal import ExitCode, foldq, present, print_json, quoted, screen, tell

if TYPE_CHECKING:
    from schemas.settings import Settings
    from service.layout import Refusal

#: Jobs that have ended and still stand in `foldq status`.
RECENT_JOBS = 5
#: Seconds for which a refused file stands in `foldq status`; `foldq watch` looks back a minute.
REFUSALS_SHOWN = 3600.0
REFUSALS_WATCHED = 60.0
#: Seconds for which jobs that have ended are shown where nothing is left to watch.
ENDED_WATCHED = 60.0
#: Refused files that `foldq status` names; the others are counted.
REFUSALS_TOLD = 5
#: Engines that have left and still stand in `foldq engines`.
RECENT_ENGINES = 10


def tell_refusal(refusal: "Refusal") -> None:
    """Say that a file was refused, why, and where the whole of it stands."""
    first = refusal.problems[0]
    where = f"{first['where']}: " if first.get("where") else ""
    more = f" … and {len(refusal.problems) - 1} more" if len(refusal.problems) > 1 else ""
    said = quoted(where + str(first["message"]))
    tell(f"[red]✗[/] {quoted(refusal.file.name)} was refused. {said}{more}")
    tell(f"  [dim]All of it: {quoted(refusal.report)}[/]")


def status(
    ctx: typer.Context,
    spool: Spool = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All jobs, not only recent ones.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether a scheduler runs and how far the jobs are.

    For example:
      foldq status
      foldq status --json | jq '.jobs[] | select(.state == "running")'
    """
    from rich.console import Group

    from schemas.lifecycle import FINAL_JOB_STATES, JobState
    from service import lives
    from service.commands.screen_status import (
        now_screen,
        scheduler_line,
        status_screen,
        steering_lines,
    )
    from service.history import Progress, Query, find_jobs, progress, still_refused
    from service.history import as_json as job_json
    from service.jsontext import document
    from service.layout import refusals
    from service.lock import holder
    from service.pace import pace
    from service.records import NoRecords
    from service.steering import Reached, held_since, limits_reached, tag_limits
    from service.waits import Wait, waits

    settings = settings_of(ctx, spool)
    held = holder(settings.spool)
    now = datetime.now(UTC)
    refused_lately = refusals(settings.spool, now.timestamp() - REFUSALS_SHOWN)
    unfinished = tuple(state for state in JobState if state not in FINAL_JOB_STATES)
    lines: list[Progress] = []
    documents: list[dict[str, Any]] = []
    engines: list[lives.LiveEngine] = []
    loads: dict[int, list[lives.Load]] = {}
    n_jobs = 0
    paused: str | None = None
    reached: list[Reached] = []
    waiting: dict[int, Wait] = {}
    with suppress(NoRecords), records_of(settings) as records:
        refused_lately = still_refused(records, refused_lately)
        jobs = find_jobs(records, Query(states=unfinished), now)
        limit = None if everything else RECENT_JOBS
        ended = Query(states=tuple(FINAL_JOB_STATES), descending=True, limit=limit)
        jobs = sorted(jobs + find_jobs(records, ended, now), key=lambda job: job.id)
        (n_jobs,) = records.execute("SELECT count(*) FROM job").fetchone()
        if held is not None:
            engines, loads = lives.live_engines(records), lives.loads_by_engine(records)
            waiting = waits(records, jobs, settings.tags, loads)
        paused = held_since(records)
        at_engines = {engine: [load.job_id for load in had] for engine, had in loads.items()}
        reached = limits_reached(tag_limits(records, settings.tags), jobs, at_engines)
        lately = pace(records, now)
        if as_json:
            documents = [job_json(records, job, now, lately) for job in jobs]
        else:
            lines = [progress(records, job, now, lately, waiting.get(job.id)) for job in jobs]
    if held is None:  # then no time is left, it stands still
        lines = [replace(line, time_left=None, rate=None) for line in lines]
        still = {"time_left": None, "folds_per_second": None}
        documents = [{**job, **still} for job in documents]
    n_busy = sum(engine.id in loads for engine in engines)

    if as_json:
        scheduler: dict[str, Any] = {
            "running": held is not None,
            "spool": str(settings.spool),
            "trouble": None,
        }
        if held is not None:
            scheduler |= asdict(held)
        scheduler |= {"n_engines": len(engines), "n_busy": n_busy, "paused_since": paused}
        scheduler["limits_reached"] = [asdict(limit) for limit in reached]
        scheduler["waiting"] = [{"job_id": n, **wait.as_json()} for n, wait in waiting.items()]
        refused = [{"file": str(r.file), "problems": r.problems} for r in refused_lately]
        print_json(document(scheduler=scheduler, jobs=documents, n_jobs=n_jobs, refused=refused))
        return
    head = Group(
        scheduler_line(held, str(settings.spool), len(engines), n_busy),
        *steering_lines(paused, reached, now),
    )
    bars = screen().is_terminal
    at_work = now_screen(lines, engines, loads, now, bars=bars, steering_told=True)
    present(status_screen(at_work if lines else None, head, n_jobs - len(lines)))
    for refusal in refused_lately[-REFUSALS_TOLD:]:
        tell_refusal(refusal)
    if (n_older := len(refused_lately) - REFUSALS_TOLD) > 0:
        tell(f"  [dim]and {n_older} more in {quoted(settings.spool / 'rejected')}[/]")
    if held is None:
        tell(f"[dim]To start a scheduler: {quoted(foldq('serve'))}[/]")


def watch(
    ctx: typer.Context,
    job_id: Annotated[
        str | None,
        typer.Argument(
            metavar="ID", help="Only this job, by number or name.", autocompletion=completing.jobs
        ),
    ] = None,
    spool: Spool = None,
) -> None:
    """Follow a job, or all of them, until they have ended.

    Live on a terminal; in a pipe, a line whenever something changed. Ends with 1 if a job failed
    or was cancelled, with 3 if a file was refused.

    For example:
      foldq watch
      foldq watch 7 && foldq results 7
    """
    from service.commands.watching import Follower
    from service.layout import has_waiting, refusals
    from service.lock import holder, trouble_of
    from service.records import find_named

    settings = settings_of(ctx, spool)
    only: list[int] | None = None
    if job_id is not None:
        with records_of(settings) as records:
            only = [find_named(records, job_id).id]
    refused_since = datetime.now(UTC).timestamp() - REFUSALS_WATCHED
    follower = Follower(
        database=settings.database_path,
        job_ids=only,
        console=screen(),
        is_served=lambda: holder(settings.spool) is not None,
        has_waiting=lambda: has_waiting(settings.spool),
        trouble=lambda: trouble_of(settings.spool),
        tags=settings.tags,
    )
    try:
        jobs = follower.follow()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    refused = refusals(settings.spool, refused_since) if job_id is None else []
    for refusal in refused:
        tell_refusal(refusal)
    if not jobs and not refused:
        tell(f"Nothing is running or waiting. Past jobs: {quoted(foldq('history'))}")
        _tell_ended(settings)
    if any(job.state in ("failed", "cancelled") for job in jobs):
        raise typer.Exit(int(ExitCode.JOB_FAILED))
    if refused:
        raise typer.Exit(int(ExitCode.INVALID_JOB_FILE))


def _tell_ended(settings: "Settings") -> None:
    """Show the jobs that ended a moment ago, else the last one: they may have been awaited."""
    from schemas.lifecycle import FINAL_JOB_STATES
    from service.commands.screen_status import jobs_table
    from service.history import Query, find_jobs, progress
    from service.records import NoRecords, seconds_between

    now = datetime.now(UTC)
    query = Query(states=tuple(FINAL_JOB_STATES), descending=True, limit=RECENT_JOBS)
    with suppress(NoRecords), records_of(settings) as records:
        ended = find_jobs(records, query, now)
        ages = [seconds_between(job.finished_at, None, now) or 0.0 for job in ended]
        lately = [job for job, age in zip(ended, ages, strict=True) if age < ENDED_WATCHED]
        if lines := [progress(records, job, now) for job in reversed(lately or ended[:1])]:
            tell("What ended last:")
            present(jobs_table(lines, bars=screen().is_terminal))


def engines(
    ctx: typer.Context,
    spool: Spool = None,
    everything: Annotated[bool, typer.Option("--all", help="All engines that ever were.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the engines: where they run, what is at them, and why the past ones left.

    For example:
      foldq engines
      foldq engines --json | jq '.engines[] | select(.left_at == null)'
    """
    from service import lives
    from service.commands.screen_status import engines_table
    from service.jsontext import document
    from service.lock import holder
    from service.records import NoRecords

    settings = settings_of(ctx, spool)
    now = datetime.now(UTC)
    found: list[lives.Engine] = []
    loads: dict[int, list[lives.Load]] = {}
    is_served = holder(settings.spool) is not None
    with suppress(NoRecords), records_of(settings) as records:
        found = lives.engines(records)
        loads = lives.loads_by_engine(records)
    live = [engine for engine in found if engine.is_live]
    if not everything:
        found = live + [engine for engine in found if not engine.is_live][:RECENT_ENGINES]
    if as_json:
        state = "live" if is_served else "unknown"
        listed = [
            {
                **asdict(engine),
                "state": state if engine.is_live else "left",
                "running": [asdict(load) for load in loads.get(engine.id, ())],
            }
            for engine in found
        ]
        print_json(document(engines=listed))
    elif found:
        present(engines_table(found, loads, now, is_served=is_served))
        if live and not is_served:
            tell(
                f"[yellow]No scheduler is running, so nobody knows whether {len(live)} of them"
                f" still live.[/] The next one finds out: {quoted(foldq('serve'))}"
            )
    else:
        tell("No engine has joined yet.")

"""The commands that only look: status, watch, show, results, history, engines, schema."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.options import AsJson, JobId, Spool, settings_of
from service.commands.terminal import (
    ExitCode,
    present,
    print_json,
    quoted,
    screen,
    stop,
    tell,
)

if TYPE_CHECKING:
    import sqlite3

    from schemas.settings import Settings
    from service.layout import Refusal
    from service.results import CVResults

#: Jobs that have ended and still stand in `foldq status`.
RECENT_JOBS = 5
#: Seconds for which a refused file stands in `foldq status`; `foldq watch` looks back a minute.
REFUSALS_SHOWN = 3600.0
REFUSALS_WATCHED = 60.0
#: Jobs that `foldq history` shows on the screen unless told otherwise: thousands fit nobody's.
LISTED_JOBS = 50
#: Refused files that `foldq status` names; the others are counted.
REFUSALS_TOLD = 5
#: Engines that have left and still stand in `foldq engines`.
RECENT_ENGINES = 10


@contextmanager
def records_of(settings: "Settings") -> "Iterator[sqlite3.Connection]":
    """Open the records of a spool."""
    from service.records import open_records

    with open_records(settings.database_path) as records:
        yield records


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
    from schemas.lifecycle import FINAL_JOB_STATES, JobState
    from service import lives
    from service.commands.screens import scheduler_line, status_screen
    from service.history import Query, find_jobs, progress
    from service.history import as_json as job_json
    from service.jsontext import document
    from service.layout import refusals
    from service.lock import holder
    from service.records import NoRecords

    settings = settings_of(ctx, spool)
    held = holder(settings.spool)
    now = datetime.now(UTC)
    refused_lately = refusals(settings.spool, now.timestamp() - REFUSALS_SHOWN)
    unfinished = tuple(state for state in JobState if state not in FINAL_JOB_STATES)
    try:
        with records_of(settings) as records:
            jobs = find_jobs(records, Query(states=unfinished), now)
            limit = None if everything else RECENT_JOBS
            ended = Query(states=tuple(FINAL_JOB_STATES), descending=True, limit=limit)
            jobs = sorted(jobs + find_jobs(records, ended, now), key=lambda job: job.id)
            (n_jobs,) = records.execute("SELECT count(*) FROM job").fetchone()
            n_live = lives.n_live(records) if held else 0
            busy = {load.engine_id for load in lives.loads(records)} if held else set()
            lines = [] if as_json else [progress(records, job, now) for job in jobs]
            documents = [job_json(records, job, now) for job in jobs] if as_json else []
            if held is None:  # then no time is left, it stands still
                lines = [replace(line, time_left=None) for line in lines]
                documents = [{**job, "time_left": None} for job in documents]
    except NoRecords:
        lines, documents, n_jobs, n_live, busy = [], [], 0, 0, set()

    if as_json:
        scheduler: dict[str, Any] = {
            "running": held is not None,
            "spool": str(settings.spool),
            "trouble": None,
        }
        if held is not None:
            scheduler |= asdict(held)
        scheduler |= {"n_engines": n_live, "n_busy": len(busy)}
        refused = [{"file": str(r.file), "problems": r.problems} for r in refused_lately]
        print_json(document(scheduler=scheduler, jobs=documents, n_jobs=n_jobs, refused=refused))
        return
    head = scheduler_line(held, str(settings.spool), n_live, len(busy))
    n_more = n_jobs - len(lines)
    present(status_screen(lines, head, n_more, bars=screen().is_terminal))
    for refusal in refused_lately[-REFUSALS_TOLD:]:
        tell_refusal(refusal)
    if (n_older := len(refused_lately) - REFUSALS_TOLD) > 0:
        tell(f"  [dim]and {n_older} more in {quoted(settings.spool / 'rejected')}[/]")
    if held is None:
        tell("[dim]To start a scheduler: foldq serve[/]")


def watch(
    ctx: typer.Context,
    job_id: Annotated[int | None, typer.Argument(metavar="[ID]", help="Only this job.")] = None,
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
    from service.records import find_job

    settings = settings_of(ctx, spool)
    if job_id is not None:
        with records_of(settings) as records:
            find_job(records, job_id)
    refused_since = datetime.now(UTC).timestamp() - REFUSALS_WATCHED
    follower = Follower(
        database=settings.database_path,
        job_ids=None if job_id is None else [job_id],
        console=screen(),
        is_served=lambda: holder(settings.spool) is not None,
        has_waiting=lambda: has_waiting(settings.spool),
        trouble=lambda: trouble_of(settings.spool),
    )
    try:
        jobs = follower.follow()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    refused = refusals(settings.spool, refused_since) if job_id is None else []
    for refusal in refused:
        tell_refusal(refusal)
    if not jobs and not refused:
        tell("Nothing is running or waiting. Past jobs: foldq history")
    if any(job.state in ("failed", "cancelled") for job in jobs):
        raise typer.Exit(int(ExitCode.JOB_FAILED))
    if refused:
        raise typer.Exit(int(ExitCode.INVALID_JOB_FILE))


def show(
    ctx: typer.Context,
    job_id: JobId,
    spool: Spool = None,
    all_attempts: Annotated[
        bool, typer.Option("--attempts", help="Every attempt of every task.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell the life of one job: what it is, what happened, what failed and why.

    For example:
      foldq show 7
      foldq show 7 --attempts
      foldq show 7 --json | jq .lost_engines
    """
    from service.commands.screen_show import show_screen
    from service.history import as_json as job_json
    from service.jsontext import document
    from service.lives import life_as_json
    from service.records import find_job

    settings = settings_of(ctx, spool)
    now = datetime.now(UTC)
    with records_of(settings) as records:
        job = find_job(records, job_id)
        if as_json:
            life = life_as_json(records, job.id, all_attempts=all_attempts)
            more = {
                "spec": job.spec,
                "versions": job.versions,
                "n_samples": job.n_samples,
                "n_features": job.n_features,
                "refitted": job.refitted,
            }
            print_json(document(**job_json(records, job, now), **more, **life))
        else:
            present(show_screen(records, job, now, all_attempts=all_attempts))


def results(
    ctx: typer.Context,
    job_id: JobId,
    spool: Spool = None,
    n: Annotated[
        int | None,
        typer.Option("-n", min=1, help="Only the best N candidates. [default: 10 on the screen]"),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV.")] = False,
    as_json: AsJson = False,
    as_parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet; needs -o.")] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to a file.")
    ] = None,
) -> None:
    """Show the table of a search, cv_results_, the best candidates first; partial while it runs.

    The exports hold every candidate in the table's own order, unless -n is given.

    For example:
      foldq results 7
      foldq results 7 --csv -o digits.csv
      foldq results 7 --json -n 1 | jq '.rows[0].params'
    """
    from service import exports
    from service.commands.screens import results_screen
    from service.records import find_job
    from service.results import cv_results, read_folds

    if as_csv + as_json + as_parquet > 1:
        stop(ExitCode.USAGE, "--csv, --json and --parquet exclude each other.", "Give one of them.")
    if as_parquet and output is None:
        stop(ExitCode.USAGE, "Parquet is not for the screen.", "Give a file: -o results.parquet")
    if output is not None and not (as_csv or as_json or as_parquet):
        by_suffix = {".csv": "csv", ".json": "json", ".parquet": "parquet"}.get(output.suffix)
        as_csv, as_json, as_parquet = (by_suffix == kind for kind in ("csv", "json", "parquet"))
        if by_suffix is None:
            stop(
                ExitCode.USAGE, f"{output} has no known suffix.", "Add --csv, --json or --parquet."
            )

    settings = settings_of(ctx, spool)
    with records_of(settings) as records:
        job = find_job(records, job_id)
        folds = read_folds(records, job)
    partial = job.state != "completed"
    if not (as_csv or as_json or as_parquet):
        table = cv_results(folds, folds.candidates, with_param_columns=False)
        present(results_screen(job, table, n or 10, partial=partial))
        return
    table = exports.table(folds)
    if n is not None:
        table = _only(table, exports.top(table, n, job.chosen_metric))
    if as_parquet:
        assert output is not None
        exports.to_dataframe(table).to_parquet(output, index=False)
    else:
        texts = exports.to_csv(table) if as_csv else exports.to_json(job, table, partial=partial)
        if output is None:
            for text in texts:
                typer.echo(text, nl=False)
        else:
            with output.open("w") as file:
                file.writelines(texts)
    if output is not None:
        tell(f"Wrote {len(table['params'])} candidates to {quoted(output)}")
    if partial:
        tell(f"[yellow]Partial:[/] job {job.id} is {job.state}.")


def _only(table: "CVResults", rows: list[int]) -> "CVResults":
    """Give some rows of the table, in that order."""
    return {
        name: [column[row] for row in rows] if isinstance(column, list) else column[rows]
        for name, column in table.items()
    }


def history(
    ctx: typer.Context,
    spool: Spool = None,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="In this state; can be repeated.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Pattern of the name: 'digits-*'.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="With this tag; repeated: with all.")
    ] = None,
    estimator: Annotated[str | None, typer.Option(help="Part or pattern: SVC.")] = None,
    data: Annotated[str | None, typer.Option(help="Part or pattern of the data's name.")] = None,
    since: Annotated[str | None, typer.Option(help="Submitted since: 7d, 12h, 2026-03-01.")] = None,
    until: Annotated[str | None, typer.Option(help="Submitted before, likewise.")] = None,
    min_score: Annotated[float | None, typer.Option(help="Best score at least.")] = None,
    max_score: Annotated[float | None, typer.Option(help="Best score at most.")] = None,
    sort: Annotated[
        str, typer.Option(help="id, name, score, submitted or duration; -score: largest first.")
    ] = "-id",
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", min=1, help="At most N. [default: 50 on the screen]"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find jobs, past and present.

    For example:
      foldq history --since 7d --sort -score -n 5
      foldq history --state failed --state cancelled
      foldq history --estimator SVC --min-score 0.95 --json
    """
    from schemas.lifecycle import JobState
    from schemas.problems import nearest
    from service.commands.screens import history_table
    from service.history import Query, count_jobs, find_jobs, parse_moment, parse_sort
    from service.history import as_json as job_json
    from service.jsontext import document
    from service.records import Job, NoRecords

    now = datetime.now(UTC)
    for given in state or ():
        if given not in list(JobState):
            close = nearest(given, list(JobState))
            stop(
                ExitCode.USAGE,
                f"There is no state {given!r}." + (f" Did you mean {close}?" if close else ""),
                "The states are: " + ", ".join(JobState),
            )
    try:
        key, descending = parse_sort(sort)
        query = Query(
            states=tuple(map(JobState, state or ())),
            name=name,
            tags=tuple(tag or ()),
            estimator=estimator,
            data=data,
            since=None if since is None else parse_moment(since, now),
            until=None if until is None else parse_moment(until, now),
            min_score=min_score,
            max_score=max_score,
            sort=key,
            descending=descending,
            limit=limit if as_json or limit is not None else LISTED_JOBS,
        )
    except ValueError as error:
        stop(ExitCode.USAGE, str(error))
    settings = settings_of(ctx, spool)
    jobs: list[Job] = []
    documents: list[dict[str, Any]] = []
    n_found = 0
    with suppress(NoRecords), records_of(settings) as records:
        jobs = find_jobs(records, query, now)
        documents = [job_json(records, job, now) for job in jobs] if as_json else []
        n_found = len(jobs) if limit is not None else count_jobs(records, query)
    if as_json:
        print_json(document(jobs=documents))
        return
    if jobs:
        present(history_table(jobs, now, wide=screen().width >= 110))
        if n_found > len(jobs):
            tell(f"[dim]{len(jobs)} of {n_found:,} jobs; all: foldq history -n {n_found}[/]")
    else:
        plain = Query(sort=query.sort, descending=query.descending, limit=query.limit)
        narrowed = query != plain
        tell("No job fits." if narrowed else "There are no jobs yet.")


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
    from service.commands.screens import engines_table
    from service.jsontext import document
    from service.records import NoRecords

    settings = settings_of(ctx, spool)
    now = datetime.now(UTC)
    found: list[lives.Engine] = []
    at_engine: dict[int, list[lives.Load]] = defaultdict(list)
    with suppress(NoRecords), records_of(settings) as records:
        found = lives.engines(records)
        for load in lives.loads(records):
            at_engine[load.engine_id].append(load)
    if not everything:
        live = [engine for engine in found if engine.is_live]
        found = live + [engine for engine in found if not engine.is_live][:RECENT_ENGINES]
    if as_json:
        listed = [
            {
                **asdict(engine),
                "state": "live" if engine.is_live else "left",
                "running": [asdict(load) for load in at_engine[engine.id]],
            }
            for engine in found
        ]
        print_json(document(engines=listed))
    elif found:
        present(engines_table(found, at_engine, now))
    else:
        tell("No engine has joined yet.")


def schema() -> None:
    """Print the JSON Schema of job files, for editors.

    For example:
      foldq schema > foldq.schema.json
      # then, in VS Code's settings: "yaml.schemas": {"foldq.schema.json": "spool/incoming/*"}
    """
    from schemas.editor import json_schema

    print_json(json_schema())

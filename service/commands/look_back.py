"""The commands that look back over several jobs: history, compare."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from service.commands import completing
from service.commands.options import AsJson, JobIds, Spool, records_of, settings_of
from service.commands.terminal import (
    ExitCode,
    foldq,
    present,
    print_json,
    quoted,
    screen,
    stop,
    tell,
)

#: Jobs that `foldq history` shows on the screen unless told otherwise: thousands fit nobody's.
LISTED_JOBS = 50


def history(
    ctx: typer.Context,
    spool: Spool = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="In this state; can be repeated.",
            autocompletion=completing.states,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Pattern of the name: 'digits-*'.", autocompletion=completing.names
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TAG",
            help="With this tag; repeated: with all.",
            autocompletion=completing.tags,
        ),
    ] = None,
    estimator: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part or pattern: SVC.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(metavar="NAME", help="Part or pattern of the data's name.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Submitted since: 7d, 12h, 2026-03-01.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Submitted before, likewise.")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="SCORE", help="Best score at least.")
    ] = None,
    max_score: Annotated[
        float | None, typer.Option(metavar="SCORE", help="Best score at most.")
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="KEY",
            help="id, name, score, submitted or duration; -score: largest first.",
            autocompletion=completing.sort_keys,
        ),
    ] = "-id",
    limit: Annotated[
        int | None,
        typer.Option(
            "-n", "--limit", metavar="N", min=1, help="At most N. [default: 50 on the screen]"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find jobs, past and present.

    For example:
      foldq history --since 7d --sort -score -n 5
      foldq history --state failed --state cancelled
      foldq history --estimator SVC --min-score 0.95 --json
    """
    from service.commands.screen_history import history_table
    from service.history import Query, count_jobs, find_jobs, parse_query
    from service.history import as_json as job_json
    from service.jsontext import document
    from service.records import Job, NoRecords

    now = datetime.now(UTC)
    try:
        query = parse_query(
            now,
            states=state or (),
            name=name,
            tags=tag or (),
            estimator=estimator,
            data=data,
            since=since,
            until=until,
            min_score=min_score,
            max_score=max_score,
            sort=sort,
            limit=limit if as_json or limit is not None else LISTED_JOBS,
        )
    except ValueError as error:
        stop(ExitCode.USAGE, *str(error).splitlines())
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
        console = screen()
        wide = console.width >= 110
        present(history_table(jobs, now, wide=wide, bars=console.is_terminal))
        if n_found > len(jobs):
            every = quoted(foldq(f"history -n {n_found}"))
            tell(f"[dim]{len(jobs)} of {n_found:,} jobs; all: {every}[/]")
    else:
        plain = Query(sort=query.sort, descending=query.descending, limit=query.limit)
        narrowed = query != plain
        tell("No job fits." if narrowed else "There are no jobs yet.")


def compare(
    ctx: typer.Context,
    job_ids: JobIds,
    spool: Spool = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC",
            help="Compare by this metric; default: the first job's, if all have it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what differs between searches, and their scores side by side on shared splits.

    Each further job is compared with the first one: where they have the same data and the same
    splits, split by split.

    For example:
      foldq compare 3 7
      foldq compare 3 7 8 --metric roc_auc --json
    """
    from service.commands.screen_compare import compare_screen
    from service.compare import NoSuchMetric
    from service.compare import as_json as comparison_json
    from service.compare import compare as compare_jobs
    from service.jsontext import document
    from service.records import find_named

    settings = settings_of(ctx, spool)
    with records_of(settings) as records:
        named = [find_named(records, job_id) for job_id in job_ids]
        jobs = list({job.id: job for job in named}.values())
        if len(jobs) < 2:
            stop(ExitCode.USAGE, "To compare, it takes two jobs at least.", "Give their numbers.")
        try:
            comparison = compare_jobs(records, jobs, cache=settings.spool / "cache", metric=metric)
        except NoSuchMetric:
            known = "; ".join(f"job {job.id}: {', '.join(job.metrics)}" for job in jobs)
            stop(ExitCode.USAGE, f"Not all of the jobs have the metric {metric!r}.", known)
    if as_json:
        print_json(document(**comparison_json(comparison)))
    else:
        present(compare_screen(comparison))

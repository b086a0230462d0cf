"""The commands that look at one job: show, results, export."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import AsJson, JobId, Spool, records_of, settings_of
from service.commands.terminal import ExitCode, counted, present, print_json, quoted, stop, tell

if TYPE_CHECKING:
    from service.results import CVResults


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
    from service.records import find_named
    from service.waits import wait_of

    settings = settings_of(ctx, spool)
    now = datetime.now(UTC)
    with records_of(settings) as records:
        job = find_named(records, job_id)
        wait = wait_of(records, job, settings)
        if as_json:
            life = life_as_json(records, job.id, all_attempts=all_attempts)
            more = {
                "spec": job.spec,
                "versions": job.versions,
                "n_samples": job.n_samples,
                "n_features": job.n_features,
                "refitted": job.refitted,
                "waits_for": None if wait is None else wait.as_json(),
            }
            print_json(document(**job_json(records, job, now), **more, **life))
        else:
            present(show_screen(records, job, now, all_attempts=all_attempts, wait=wait))


def results(
    ctx: typer.Context,
    job_id: JobId,
    spool: Spool = None,
    n: Annotated[
        int | None,
        typer.Option(
            "-n", metavar="N", min=1, help="Only the best N candidates. [default: 10 on the screen]"
        ),
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
    from service.commands.screen_results import results_screen
    from service.records import find_named
    from service.results import cv_results, read_folds

    if as_csv + as_json + as_parquet > 1:
        stop(ExitCode.USAGE, "--csv, --json and --parquet exclude each other.", "Give one of them.")
    if as_parquet and output is None:
        stop(ExitCode.USAGE, "Parquet is not for the screen.", "Give a file: -o results.parquet")
    if output is not None and not (as_csv or as_json or as_parquet):
        by_suffix = {".csv": "csv", ".json": "json", ".parquet": "parquet"}.get(
            output.suffix.lower()
        )
        as_csv, as_json, as_parquet = (by_suffix == kind for kind in ("csv", "json", "parquet"))
        if by_suffix is None:
            stop(
                ExitCode.USAGE, f"{output} has no known suffix.", "Add --csv, --json or --parquet."
            )

    settings = settings_of(ctx, spool)
    with records_of(settings) as records:
        job = find_named(records, job_id)
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
            with output.open("w", encoding="utf-8") as file:
                file.writelines(texts)
    if output is not None:
        tell(f"Wrote {counted(len(table['params']), 'candidate')} to {quoted(output)}")
    if partial:
        tell(f"[yellow]Partial:[/] job {job.id} is {job.state}.")


def _only(table: "CVResults", rows: list[int]) -> "CVResults":
    """Give some rows of the table, in that order."""
    return {
        name: [column[row] for row in rows] if isinstance(column, list) else column[rows]
        for name, column in table.items()
    }


def export(
    ctx: typer.Context,
    job_id: JobId,
    spool: Spool = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Write to a file.")
    ] = None,
) -> None:
    """Print a script of plain scikit-learn that repeats a search, with the seeds it was given.

    For example:
      foldq export 7
      foldq export 7 -o digits.py && python digits.py
    """
    from service.records import draws_unseeded, find_named
    from service.script import NotListed, script

    settings = settings_of(ctx, spool)
    with records_of(settings) as records:
        job = find_named(records, job_id)
        repeatable = not draws_unseeded(records, job)
    try:
        text = script(
            job,
            data_directory=settings.all_data_roots[0].absolute(),
            names=settings.catalog.estimators,
            repeatable=repeatable,
        )
    except NotListed as error:
        stop(ExitCode.USAGE, f"Job {job.id} cannot be written as a script: {error}.")
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        tell(f"Wrote {quoted(output)}; to run it: python {quoted(output)}")

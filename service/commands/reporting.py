"""The command that writes the page of a search: report."""

from pathlib import Path
from typing import Annotated

import typer

from service.commands.options import AsJson, JobId, Spool, records_of, settings_of
from service.commands.terminal import ExitCode, print_json, quoted, stop, tell


def report(
    ctx: typer.Context,
    job_id: JobId,
    spool: Spool = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write there. [default: beside the results]"
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--open", help="Open it in the browser when it is written.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the page of a search: one HTML file with tables and plots that opens offline.

    The scheduler writes it by itself when a job has ended. Of a job that still runs it shows
    what is there by now.

    For example:
      foldq report 7
      foldq report 7 --open
      foldq report 7 -o digits.html
    """
    from service.jsontext import document
    from service.records import find_named
    from service.reporter import write

    settings = settings_of(ctx, spool)
    with records_of(settings) as records:
        job = find_named(records, job_id)  # before the seconds that it takes
    if output is not None and not output.absolute().parent.is_dir():
        stop(
            ExitCode.USAGE,
            f"There is no directory {output.absolute().parent}.",
            "Make it first, or name another file.",
        )
    written = write(settings, job.id, output)
    if as_json:
        print_json(document(job_id=job.id, file=str(written), bytes=written.stat().st_size))
    else:
        typer.echo(written)
    if not job.state.is_final:
        tell(f"[yellow]Partial:[/] job {job.id} is {job.state}.")
    if show:
        import webbrowser

        if not webbrowser.open(written.absolute().as_uri()):
            tell(f"There is no browser here; the file is {quoted(written)}")

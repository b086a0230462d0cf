"""The command that shows the records in a browser: dashboard."""

import sys
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Annotated

import typer

from service.commands.options import AsJson, Spool, settings_of
from service.commands.terminal import ExitCode, print_json, quoted, stop, tell

#: What the extra brings.
NEEDED = ("datasette", "uvicorn")


def dashboard(
    ctx: typer.Context,
    spool: Spool = None,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            max=65535,
            help="Port on 127.0.0.1; 0: any free one. [default: 8365, or the next that is free]",
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show the jobs and the records in the browser, live, until Ctrl-C.

    Listens on 127.0.0.1 only, changes nothing, and lets in who has the address that it prints:
    there is a token in it. Needs no scheduler.

    For example:
      foldq dashboard --open
      foldq dashboard --port 8500
    """
    settings = settings_of(ctx, spool)
    if any(find_spec(name) is None for name in NEEDED):
        stop(
            ExitCode.USAGE,
            "The dashboard needs Datasette, which is not installed.",
            'To install them: pip install "foldq[dashboard]"',
        )
    from service.dashboard.guard import new_token
    from service.dashboard.server import PortTaken, address, listen, opened, serve
    from service.jsontext import document

    try:
        listening = listen(port)
    except PortTaken as error:
        stop(ExitCode.USAGE, str(error), error.next_step)
    token = new_token()
    url = address(listening, token)
    if as_json:
        print_json(document(url=url, port=listening.getsockname()[1], token=token))
    else:
        typer.echo(url)
    sys.stdout.flush()
    tell(f"The dashboard of {quoted(settings.spool)}: open this address. Ctrl-C ends it.")
    if not settings.database_path.exists():
        tell(f"[yellow]There are no records at {quoted(settings.database_path)} yet.[/]")
    with opened(url) if open_browser else nullcontext():
        serve(settings, listening, token)

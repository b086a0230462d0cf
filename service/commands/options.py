"""Options that several commands share, and the settings that follow from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands import completing, terminal

if TYPE_CHECKING:
    import sqlite3

    from schemas.settings import Settings

Spool = Annotated[
    Path | None,
    typer.Option("--spool", metavar="DIR", help="The spool; else FOLDQ_SPOOL, else ./spool."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]
JobIds = Annotated[
    list[str],
    typer.Argument(
        metavar="ID…", help="Numbers of jobs, or names.", autocompletion=completing.jobs
    ),
]
JobId = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The job's number, or its name: the latest of that name.",
        autocompletion=completing.jobs,
    ),
]


def settings_of(ctx: typer.Context, spool: Path | None, **flags: Any) -> "Settings":
    """Give the settings of the spool named after the command, else before it, else by default.

    Raises
    ------
    schemas.settings.InvalidSettings
    """
    from schemas.settings import Settings

    before: Path | None = ctx.obj
    terminal.named_spool = spool if spool is not None else before
    return Settings.load(terminal.named_spool, **flags)


@contextmanager
def records_of(settings: "Settings") -> "Iterator[sqlite3.Connection]":
    """Open the records of a spool."""
    from service.records import open_records

    with open_records(settings.database_path) as records:
        yield records

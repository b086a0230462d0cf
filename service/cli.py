"""The command `foldq`: its sections, and what it says when something goes wrong.

What each command does stands in `service/commands/`. They import
what they need when they run, so that `foldq --help` is there at once.
"""

import sqlite3
from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from schemas import __version__
from service.commands import look, run, steer, upkeep
from service.commands.options import Spool
from service.commands.terminal import ExitCode, stop
from service.recordfaults import StoppedWaiting

SECTIONS: dict[str, tuple[Callable[..., None], ...]] = {
    "Run searches": (
        run.serve,
        run.run,
        run.submit,
        run.validate,
    ),
    "Look": (
        look.status,
        look.watch,
        look.show,
        look.results,
        look.history,
        look.engines,
    ),
    "Steer": (
        steer.cancel,
        steer.pause,
        steer.resume,
        steer.retry,
    ),
    "Upkeep": (
        upkeep.doctor,
        upkeep.backup,
        upkeep.prune,
    ),
    "Other": (look.schema,),
}


class Commands(TyperGroup):
    """The commands in sections; errors of the usual kinds end them with a sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write one list for each section."""
        for section, functions in SECTIONS.items():
            names = [function.__name__ for function in functions]
            with formatter.section(section):
                formatter.write_dl(
                    [(name, self.commands[name].get_short_help_str(90)) for name in names]
                )

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and turn what goes wrong in everyday use into a sentence."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # whoever read has seen enough: typer ends quietly
        except sqlite3.Error as error:
            stop(ExitCode.USAGE, f"The records cannot be read: {error}.")
        except StoppedWaiting as stopped:
            stop(ExitCode.FAILED, str(stopped), stopped.next_step)
        except OSError as error:
            from service.troubles import reason

            said = reason(error)
            stop(ExitCode.USAGE, f"{said[:1].upper()}{said[1:]}.")
        except Exception as error:
            _explain(error)
            raise


def _explain(error: Exception) -> None:
    """End the command with a sentence, if the error is one that a user can bring about."""
    from schemas.problems import InvalidJob
    from schemas.settings import InvalidSettings
    from service.commands.watching import Unserved
    from service.layout import SpoolUnusable
    from service.lock import SpoolHeld
    from service.recordfaults import NewerDatabase, RecordsDamaged, RecordsUnusable
    from service.records import NoRecords, NoSuchJob

    match error:
        case NoSuchJob():
            stop(ExitCode.NO_SUCH_JOB, str(error), "All jobs: foldq history")
        case NoRecords():
            stop(
                ExitCode.NO_SUCH_JOB,
                f"There are no records at {error.database}: no scheduler has run here yet.",
                "Is it the right spool (--spool, FOLDQ_SPOOL)? To start a scheduler: foldq serve",
            )
        case InvalidSettings():
            stop(ExitCode.USAGE, "The settings cannot be used.", str(error))
        case InvalidJob():
            stop(ExitCode.INVALID_JOB_FILE, "The scheduler refused the file.", str(error))
        case SpoolHeld():
            stop(ExitCode.SPOOL_HELD, str(error), "To see what it does: foldq status")
        case RecordsDamaged():
            stop(ExitCode.FAILED, str(error), error.next_step)
        case NewerDatabase() | RecordsUnusable() | SpoolUnusable():
            stop(ExitCode.USAGE, str(error), error.next_step)
        case Unserved():
            stop(
                ExitCode.NO_SCHEDULER,
                "No scheduler is running, so nothing will change.",
                "To start one, which goes on where the records end: foldq serve",
            )


app = typer.Typer(
    name="foldq",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _help_of(function: Callable[..., None]) -> str:
    """Give a docstring as help text; examples keep their lines."""
    return cleandoc(function.__doc__ or "").replace("For example:", "\b\nFor example:")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"foldq {__version__}")
        raise typer.Exit


def everywhere(
    ctx: typer.Context,
    spool: Spool = None,
    version: Annotated[  # noqa: ARG001
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Grid search that survives: scikit-learn searches from job files, every fold on record.

    For example:
      foldq serve                                   start a scheduler
      cp examples/digits-svc.yaml spool/incoming/   give it a search
      foldq watch                                   see it work
      foldq results 1                               see what came out
    """
    ctx.obj = spool


app.callback(help=_help_of(everywhere))(everywhere)
for _functions in SECTIONS.values():
    for _function in _functions:
        app.command(help=_help_of(_function))(_function)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()

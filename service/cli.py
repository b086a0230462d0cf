"""The command `foldq`: its sections, and what it says when something goes wrong.

What each command does stands in `service/commands/`. They import
what they need when they run, so that `foldq --help` is there at once.
"""

import gc
from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from schemas import __version__
from service.commands import (
    configuring,
    look_back,
    look_job,
    look_now,
    other,
    reporting,
    run,
    setting,
    steer,
    upkeep,
)
from service.commands.dashboard import dashboard
from service.commands.explained import explained
from service.commands.options import Spool

SECTIONS: dict[str, tuple[Callable[..., None], ...]] = {
    "Run searches": (
        run.serve,
        run.run,
        run.submit,
        run.validate,
    ),
    "Look": (
        look_now.status,
        look_now.watch,
        look_job.show,
        look_job.results,
        reporting.report,
        look_job.export,
        look_back.history,
        look_back.compare,
        look_now.engines,
        dashboard,
    ),
    "Steer": (
        steer.cancel,
        steer.pause,
        steer.resume,
        steer.retry,
        setting.set_,
    ),
    "Upkeep": (
        configuring.config,
        upkeep.doctor,
        upkeep.backup,
        upkeep.prune,
    ),
    "Other": (other.schema,),
}


class Argument(TyperArgument):
    """An argument that help shows as its metavar says, without the types of Python."""

    def get_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """Write `ID…`, or `[ID…]` for what may be left out."""
        name = str(self.metavar)
        return [name if self.required else f"[{name}]"]

    def display_type_rich(self, ctx: Any) -> None:
        """Write nothing beside the name."""


class Command(TyperCommand):
    """A command whose arguments are of the kind above."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for param in self.params:
            if isinstance(param, TyperArgument):
                param.__class__ = Argument


class Commands(TyperGroup):
    """The commands in sections; errors of the usual kinds end them with a sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write one list for each section."""
        for section, functions in SECTIONS.items():
            names = [name_of(function) for function in functions]
            with formatter.section(section):
                formatter.write_dl(
                    [(name, self.commands[name].get_short_help_str(90)) for name in names]
                )

    def invoke(self, ctx: Any) -> Any:
        """Run the command, and turn what goes wrong in everyday use into a sentence."""
        with explained():
            return super().invoke(ctx)


app = typer.Typer(
    name="foldq",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def name_of(function: Callable[..., None]) -> str:
    """Give the command's name: the function's, which may not hide a builtin's."""
    return function.__name__.rstrip("_")


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
        app.command(name_of(_function), cls=Command, help=_help_of(_function))(_function)


#: New objects after which Python looks for garbage, and how often it looks at the older ones.
#: Imports make hundreds of thousands, none of them garbage: at 700, as is usual, they take a fifth
#: longer.
_COLLECTION = (50_000, 20, 100)


def main() -> None:
    """Run the command line."""
    gc.set_threshold(*_COLLECTION)
    app(prog_name="foldq")  # by which completion knows it, however it was started


if __name__ == "__main__":
    main()

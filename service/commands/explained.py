"""What goes wrong in everyday use ends a command with a sentence, not with a traceback."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from service.commands.terminal import ExitCode, foldq, stop
from service.recordfaults import StoppedWaiting


@contextmanager
def explained() -> Iterator[None]:
    """Turn what goes wrong in the block into a sentence and an exit code.

    Raises
    ------
    typer.Exit
    """
    try:
        yield
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise  # it has told all there is to tell, or whoever read has seen enough
    except sqlite3.Error as error:
        stop(ExitCode.USAGE, f"The records cannot be read: {error}.")
    except StoppedWaiting as stopped:
        stop(ExitCode.FAILED, str(stopped), _here(stopped.next_step))
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
    from service.recordfaults import NewerDatabase, OlderDatabase, RecordsDamaged, RecordsUnusable
    from service.records import NoRecords, NoSuchJob

    match error:
        case NoSuchJob():
            stop(ExitCode.NO_SUCH_JOB, str(error), f"All jobs: {foldq('history')}")
        case NoRecords():
            stop(
                ExitCode.NO_SUCH_JOB,
                f"There are no records at {error.database}: no scheduler has run here yet.",
                "Is it the right spool (--spool, FOLDQ_SPOOL)?"
                f" To start a scheduler: {foldq('serve')}",
            )
        case InvalidSettings():
            stop(ExitCode.USAGE, "The settings cannot be used.", str(error))
        case InvalidJob():
            stop(ExitCode.INVALID_JOB_FILE, "The scheduler refused the file.", str(error))
        case SpoolHeld():
            stop(ExitCode.SPOOL_HELD, str(error), f"To see what it does: {foldq('status')}")
        case RecordsDamaged():
            stop(ExitCode.FAILED, str(error), _here(error.next_step))
        case NewerDatabase() | OlderDatabase() | RecordsUnusable() | SpoolUnusable():
            stop(ExitCode.USAGE, str(error), _here(error.next_step))
        case Unserved():
            stop(
                ExitCode.NO_SCHEDULER,
                "No scheduler is running, so nothing will change.",
                f"To start one, which goes on where the records end: {foldq('serve')}",
            )


def _here(next_step: str) -> str:
    """Give a next step with the spool in its commands that the command line named."""
    for command in ("serve", "doctor"):
        next_step = next_step.replace(f"foldq {command}", foldq(command))
    return next_step

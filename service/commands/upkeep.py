"""The commands that keep a spool in order: doctor, backup, prune."""

import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.options import AsJson, Spool, settings_of
from service.commands.terminal import (
    ExitCode,
    counted,
    messages,
    present,
    print_json,
    quoted,
    screen,
    stop,
    tell,
)

if TYPE_CHECKING:
    from schemas.lifecycle import JobState
    from service.patient import Finding

#: From this size on a backup shows how far it is, on a terminal.
LARGE = 32 << 20

_MARKS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "critical": ("✘", "red")}


# --- doctor --------------------------------------------------------------------------------------


def doctor(ctx: typer.Context, spool: Spool = None, as_json: AsJson = False) -> None:
    """Look whether this machine and the spool can be relied on, and say what to do if not.

    Changes nothing, and needs no scheduler. Ends with 1 if something has to be put right (✘);
    what somebody should look at (!) does not count.

    For example:
      foldq doctor
      foldq doctor --json | jq '.findings[] | select(.verdict != "ok")'
    """
    from service.doctor import examine
    from service.jsontext import document

    findings = []
    for finding in examine(spool if spool is not None else ctx.obj):
        findings.append(finding)
        if not as_json:
            _show(finding)  # at once: looking through a large database takes a while
    verdicts = [finding.verdict for finding in findings]
    is_well = "critical" not in verdicts
    if as_json:
        listed = [asdict(finding) for finding in findings]
        print_json(document(ok=is_well, findings=listed))
    else:
        tell(_summary(verdicts.count("critical"), verdicts.count("warning")))
    if not is_well:
        raise typer.Exit(int(ExitCode.FAILED))


def _show(finding: "Finding") -> None:
    """Write a finding: a line in a pipe, on a terminal as many as it takes."""
    from rich.table import Table
    from rich.text import Text

    mark, style = _MARKS[finding.verdict]
    told = Text(finding.told)
    if finding.fix:
        told.append("\n" if screen().is_terminal else "  ")
        told.append(f"→ {finding.fix}", style="bold" if finding.verdict == "critical" else "")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=1)
    table.add_column(width=10, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(mark, style=style), finding.subsystem, told)
    present(table)


def _summary(n_critical: int, n_warnings: int) -> str:
    if not n_critical and not n_warnings:
        return "[green]All is well.[/]"
    parts = []
    if n_critical:
        parts.append(f"[red]{counted(n_critical, 'problem')} to put right (✘)[/]")
    if n_warnings:
        parts.append(f"[yellow]{counted(n_warnings, 'thing')} to look at (!)[/]")
    return ", ".join(parts) + "."


# --- backup --------------------------------------------------------------------------------------


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where the copy goes.")],
    spool: Spool = None,
    force: Annotated[
        bool, typer.Option("--force", help="Put it in the place of a file that is there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the records to a file, also while a scheduler writes them.

    The copy is of one moment, and looked through before it gets its name. To put it back: stop the
    scheduler, copy it to SPOOL/foldq.db, and remove foldq.db-wal and foldq.db-shm.

    For example:
      foldq backup ~/foldq-$(date +%F).db
      FOLDQ_DATABASE=~/foldq-2026-11-19.db foldq history
    """
    from service.backup import BackupFailed, UnfitPlace, back_up
    from service.jsontext import document
    from service.records import NoRecords
    from service.sizes import size

    settings = settings_of(ctx, spool)
    database = settings.database_path
    if not database.is_file():
        raise NoRecords(database)
    try:
        with _Progress(database.stat().st_size >= LARGE and messages().is_terminal) as progress:
            made = back_up(database, file, force=force, progress=progress.show)
    except UnfitPlace as error:
        stop(ExitCode.USAGE, str(error), error.next_step)
    except BackupFailed as error:
        stop(ExitCode.FAILED, str(error), error.next_step)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if as_json:
        told = {"n_bytes": made.n_bytes, "n_jobs": made.n_jobs, "n_folds": made.n_folds}
        print_json(document(file=str(made.file), **told))
        return
    jobs, folds = counted(made.n_jobs, "job"), counted(made.n_folds, "fold")
    tell(f"Copied the records to {quoted(file)}: {size(made.n_bytes)}, {jobs}, {folds}.")


class _Progress:
    """A progress bar on stderr; none when it is not wanted."""

    def __init__(self, wanted: bool):
        self._wanted = wanted
        self._bar: Any = None

    def __enter__(self) -> "_Progress":
        if self._wanted:
            from rich.progress import Progress

            self._bar = Progress(console=messages(), transient=True)
            self._bar.start()
            self._task = self._bar.add_task("Copying", total=None)
        return self

    def show(self, done: int, total: int) -> None:
        """Say how far it is."""
        if self._bar is not None:
            said = "Looking it through" if done == total else "Copying"
            self._bar.update(self._task, description=said, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


# --- prune ---------------------------------------------------------------------------------------


def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="TIME", help="How long ago they ended: 90d, 12w.")
    ],
    spool: Spool = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state", metavar="STATE", help="completed, failed or cancelled; can be repeated."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete jobs that ended long ago: their records, results, models and prepared data.

    Jobs that have not ended stay, whatever their age; so do data files, and scores that later jobs
    took over. Says what would go, and asks. Works with and without a scheduler.

    For example:
      foldq prune --older-than 90d --dry-run
      foldq prune --older-than 30d --state failed --state cancelled --yes
    """
    from service.commands import pruning
    from service.outdated import Wanted, plan
    from service.records import open_records

    now = datetime.now(UTC)
    wanted = Wanted(now - timedelta(seconds=_span(older_than)), _final_states(state))
    settings = settings_of(ctx, spool)
    with open_records(settings.database_path) as records:
        found = plan(records, settings.spool, wanted, now)
    must_ask = not (yes or dry_run or found.is_empty)
    if must_ask and not (sys.stdin.isatty() and sys.stderr.isatty()):
        stop(
            ExitCode.USAGE,
            "What is pruned is gone for good, and there is no terminal to ask on.",
            "To delete without being asked: --yes; to see what would go: --dry-run",
        )
    if not as_json:
        pruning.show_plan(found)
    if dry_run or found.is_empty:
        if as_json:
            pruning.print_plan(found, dry_run=dry_run)
        elif found.is_empty:
            tell(f"Nothing to prune: no job ended before {wanted.before.astimezone():%F %H:%M}.")
        return
    if must_ask and not typer.confirm("Delete all this?", err=True):
        tell("Nothing was deleted.")
        return
    returned = pruning.carry_out(settings, wanted, now)
    with open_records(settings.database_path) as records:
        left = plan(records, settings.spool, wanted, now)
    if as_json:
        pruning.print_plan(found, dry_run=False, left=left, database_bytes_returned=returned)
    else:
        pruning.tell_done(found, left, returned)
    if not left.is_empty:
        raise typer.Exit(int(ExitCode.FAILED))


def _span(text: str) -> float:
    from schemas.durations import seconds

    number = text.strip()
    if number.replace(".", "", 1).isdigit():
        stop(
            ExitCode.USAGE,
            f"--older-than {number} has no unit.",
            f"Did you mean {number}d? The units are s, m, h, d and w.",
        )
    try:
        return seconds(text)
    except ValueError as error:
        message = str(error).replace("or a number of seconds", "90d or 12w")
        stop(ExitCode.USAGE, f"--older-than {text}: {message}.")


def _final_states(given: list[str] | None) -> "tuple[JobState, ...]":
    from schemas.lifecycle import FINAL_JOB_STATES, JobState
    from schemas.problems import nearest

    final = sorted(FINAL_JOB_STATES)
    for name in given or ():
        if name in final:
            continue
        if name in list(JobState):
            sentence = f"A job that is {name} has not ended, and is never pruned."
        else:
            close = nearest(name, final)
            sentence = f"There is no state {name!r}." + (f" Did you mean {close}?" if close else "")
        stop(ExitCode.USAGE, sentence, f"The states to prune are: {', '.join(final)}")
    return tuple(map(JobState, dict.fromkeys(given))) if given else tuple(final)

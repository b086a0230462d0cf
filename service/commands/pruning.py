"""How `foldq prune` shows what would go, and how it has it deleted."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from service.commands.terminal import (
    ExitCode,
    clock,
    counted,
    foldq,
    present,
    print_json,
    quoted,
    stop,
    tell,
)

if TYPE_CHECKING:
    from schemas.settings import Settings
    from service.outdated import Plan, Wanted

#: Jobs that are listed; the others are counted.
LISTED = 20

#: A database from which that much was deleted is worth a word (bytes).
MUCH = 32 << 20

#: Seconds between two looks whether the scheduler is done.
POLL = 0.1


def show_plan(found: "Plan") -> None:
    """Say what would go, and what stays though one might think otherwise."""
    from rich.console import Group
    from rich.text import Text

    from schemas.lifecycle import JobState
    from service.commands.screens import cut_text, plain_table, state_text
    from service.records import parse_time
    from service.sizes import size

    if found.is_empty:
        for remark in found.remarks:
            tell(f"[yellow]Note:[/] {quoted(remark)}.")
        return
    parts: list[Any] = []
    if found.jobs:
        table = plain_table()
        table.add_column("ID", justify="right", no_wrap=True)
        table.add_column("Name", min_width=8, max_width=40)
        table.add_column("State", no_wrap=True)
        table.add_column("Ended", no_wrap=True)
        table.add_column("Folds", justify="right", no_wrap=True)
        for job in found.jobs[:LISTED]:
            table.add_row(
                str(job.id),
                cut_text(job.name),
                state_text(JobState(job.state)),
                clock(parse_time(job.finished_at), datetime.now(UTC)),
                f"{job.n_folds:,}",
            )
        parts += [table]
        if (n_more := len(found.jobs) - LISTED) > 0:
            parts.append(Text(f"and {counted(n_more, 'more job')}", style="dim"))
        parts.append("")
    total = f"{counted(len(found.jobs), 'job')} with {counted(found.n_folds, 'fold')}"
    room = f"{size(found.file_bytes)} of files, about {size(found.record_bytes)} of records"
    parts.append(Text(f"To go: {total}; {room}."))
    present(Group(*parts))
    for remark in found.remarks:
        tell(f"[yellow]Note:[/] {quoted(remark)}.")


def print_plan(found: "Plan", *, dry_run: bool, left: "Plan | None" = None, **more: Any) -> None:
    """Write the same as JSON."""
    from service.jsontext import document

    told: dict[str, Any] = {
        "dry_run": dry_run,
        "jobs": [asdict(job) for job in found.jobs],
        "n_folds": found.n_folds,
        "files": list(map(str, found.files)),
        "file_bytes": found.file_bytes,
        "record_bytes": found.record_bytes,
        "remarks": found.remarks,
    }
    if left is not None:
        stays = {"jobs": [job.id for job in left.jobs], "files": list(map(str, left.files))}
        told |= {"left": stays, **more}
    print_json(document(**told))


def carry_out(settings: "Settings", wanted: "Wanted", now: datetime) -> int:
    """Prune, or have the scheduler do it; return how much smaller the database file is."""
    from service.lock import SpoolHeld, hold
    from service.prune import is_worth_vacuum, prune, vacuum
    from service.store import Store

    try:
        with hold(settings.spool):
            store = Store(settings.database_path, synchronous=settings.synchronous)
            try:
                for _ in prune(store, settings.spool, wanted, now):
                    pass
                if is_worth_vacuum(store.connection):
                    return vacuum(store, settings.database_path)
            finally:
                store.close()
    except SpoolHeld:
        _have_it_done(settings, wanted)
    except KeyboardInterrupt:
        _interrupted("The next foldq prune goes on with it.")
    return 0


def _have_it_done(settings: "Settings", wanted: "Wanted") -> None:
    """Ask the scheduler, and wait until it has carried the request out."""
    from service import control
    from service.lock import holder

    file = control.request_prune(settings.spool, wanted.before, wanted.states)
    tell("[dim]The scheduler prunes beside its work …[/]")
    try:
        while file.exists():
            if holder(settings.spool) is None:
                stop(
                    ExitCode.NO_SCHEDULER,
                    "The scheduler stopped before it was done; the next one goes on with it.",
                    f"To start one: {foldq('serve')}",
                )
            time.sleep(POLL)
    except KeyboardInterrupt:
        _interrupted("The scheduler goes on with it.")


def _interrupted(told: str) -> NoReturn:
    tell(told)
    raise typer.Exit(130) from None


def tell_done(found: "Plan", left: "Plan", returned: int) -> None:
    """Say what is gone, and what could not be deleted."""
    from service.sizes import size

    n_jobs, n_folds = len(found.jobs) - len(left.jobs), found.n_folds - left.n_folds
    n_bytes = max(found.file_bytes - left.file_bytes, 0)
    jobs = f"{counted(n_jobs, 'job')} with {counted(n_folds, 'fold')}"
    tell(f"Pruned {jobs}, and {size(n_bytes)} of files.")
    if returned:
        tell(f"The database is {size(returned)} smaller.")
    elif found.record_bytes >= MUCH:
        tell(
            "Later jobs use the room in the database. To give it back to the disk: stop the"
            " scheduler, and prune again."
        )
    if not left.is_empty:
        stay = [f"job {job.id}" for job in left.jobs] + list(map(str, left.files))
        more = f" and {len(stay) - 5} more" if len(stay) > 5 else ""
        tell(f"[yellow]Still there:[/] {quoted(', '.join(stay[:5]))}{more}")
        tell("Why: SPOOL/logs/foldq.log. A further foldq prune goes on with them.")

"""The commands that steer jobs: cancel, pause, resume, retry.

They write nothing but a request; the scheduler carries it out, and the records show it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from schemas.lifecycle import JobState
from service.commands import completing
from service.commands.options import AsJson, JobIds, Spool, settings_of
from service.commands.terminal import ExitCode, foldq, print_json, quoted, stop, tell

if TYPE_CHECKING:
    from schemas.settings import Settings
    from service.records import Job

SomeJobIds = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID…", help="Numbers of jobs, or names.", autocompletion=completing.jobs
    ),
]
WholeQueue = Annotated[bool, typer.Option("--all", help="The whole queue.")]

#: How long a command waits to see its request carried out (seconds).
PATIENCE = 10.0
POLL = 0.1


@dataclass(frozen=True)
class Steering:
    """What one command asks for.

    Attributes
    ----------
    needless : callable
        (job) -> why there is nothing to do, or None.
    impossible : callable
        (job) -> (why it cannot be done, the next step), or None.
    is_done : callable
        (the job before, the job now) -> whether the records show it.
    """

    action: Literal["cancel", "pause", "resume", "retry"]
    needless: Callable[["Job"], str | None]
    impossible: Callable[["Job"], tuple[str, str] | None]
    is_done: Callable[["Job", "Job"], bool]


def _ended(job: "Job", then: str) -> tuple[str, str] | None:
    if not job.state.is_final:
        return None
    return f"Job {job.id} is {job.state} already.", then


CANCEL = Steering(
    "cancel",
    needless=lambda job: (
        f"Job {job.id} is cancelled already." if job.state == JobState.CANCELLED else None
    ),
    impossible=lambda job: _ended(job, "There is nothing to cancel."),
    is_done=lambda _before, now: now.state.is_final,
)
PAUSE = Steering(
    "pause",
    needless=lambda job: (
        f"Job {job.id} is paused already." if job.state == JobState.PAUSED else None
    ),
    impossible=lambda job: _ended(job, "There is nothing to pause."),
    is_done=lambda _before, now: now.state == JobState.PAUSED or now.state.is_final,
)
RESUME = Steering(
    "resume",
    needless=lambda job: (
        None
        if job.state == JobState.PAUSED or job.state.is_final
        else f"Job {job.id} is not paused: it is {job.state}."
    ),
    impossible=lambda job: _ended(job, f"To put back what failed: {foldq(f'retry {job.id}')}"),
    is_done=lambda _before, now: now.state != JobState.PAUSED,
)
RETRY = Steering(
    "retry",
    needless=lambda job: (
        f"Job {job.id} has no failed task."
        if job.n_failed == 0 and job.state not in (JobState.FAILED, JobState.CANCELLED)
        else None
    ),
    impossible=lambda job: (
        (f"Job {job.id} is paused.", f"To let it go on: {foldq(f'resume {job.id}')}")
        if job.state == JobState.PAUSED
        else None
    ),
    is_done=lambda before, now: (
        (now.state, now.finished_at) != (before.state, before.finished_at)
        or now.n_failed < before.n_failed
    ),
)


def _steer(settings: "Settings", steering: Steering, words: list[str], *, as_json: bool) -> None:
    """Ask for all the jobs or, when one of them is impossible, for none."""
    from service import control
    from service.jsontext import document
    from service.records import find_job, find_named, open_records

    with open_records(settings.database_path) as records:
        jobs = {job.id: job for job in [find_named(records, word) for word in words]}
    wanted = []
    for job in jobs.values():
        if needless := steering.needless(job):
            tell(needless)
        elif problem := steering.impossible(job):
            stop(ExitCode.USAGE, *problem)
        else:
            wanted.append(job)
    if wanted:
        not_served(settings, steering.action)
    for job in wanted:
        control.request(settings.spool, steering.action, job.id)
    seen = dict(jobs)
    waiting = {job.id: job for job in wanted}
    deadline = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        time.sleep(POLL)
        with open_records(settings.database_path) as records:
            for job_id, before in list(waiting.items()):
                seen[job_id] = find_job(records, job_id)
                if steering.is_done(before, seen[job_id]):
                    tell(f"Job {job_id} is {seen[job_id].state}.")
                    del waiting[job_id]
    for job_id in waiting:
        tell(
            f"Asked to {steering.action} job {job_id}; the scheduler has not done it yet."
            f" To see when: {quoted(foldq(f'show {job_id}'))}"
        )
    if as_json:
        told = [
            {"id": job.id, "name": job.name, "state": job.state, "asked": job.id in waiting}
            for job in seen.values()
        ]
        print_json(document(jobs=told))


def not_served(settings: "Settings", what: str) -> None:
    """End the command when there is no scheduler to do it."""
    from service.lock import holder

    if holder(settings.spool) is None:
        stop(
            ExitCode.NO_SCHEDULER,
            f"No scheduler is running on {settings.spool}, so nobody could {what}.",
            f"To start one: {foldq('serve')}",
        )


def _hold(settings: "Settings", *, held: bool, as_json: bool) -> None:
    """Ask for the whole queue to be held, or to go on, and wait until the records show it."""
    from service import control
    from service.jsontext import document
    from service.lock import holder
    from service.records import open_records
    from service.steering import held_since

    with open_records(settings.database_path) as records:
        since = held_since(records)
    if held == (since is not None):
        tell("The queue is paused already." if held else "The queue is not paused.")
    elif holder(settings.spool) is None:
        control.request_hold(settings.spool, held=held)
        tell(
            "No scheduler is running: the next one "
            + ("will start nothing." if held else "will let the queue go on.")
        )
    else:
        control.request_hold(settings.spool, held=held)
        deadline = time.monotonic() + PATIENCE
        while held != (since is not None) and time.monotonic() < deadline:
            time.sleep(POLL)
            with open_records(settings.database_path) as records:
                since = held_since(records)
        if held != (since is not None):
            tell("Asked; the scheduler has not done it yet. To see when: foldq status")
        elif held:
            tell("The queue is paused: what runs may finish, nothing else starts.")
            tell("[dim]To let it go on: foldq resume --all[/]")
        else:
            tell("The queue goes on.")
    if as_json:
        print_json(document(queue_paused_since=since))


def _jobs_or_all(job_ids: list[str] | None, *, whole_queue: bool, action: str) -> list[str]:
    example = f"For example: foldq {action} 7"
    if whole_queue and job_ids:
        stop(ExitCode.USAGE, "--all is the whole queue: it goes without jobs.", example)
    if not whole_queue and not job_ids:
        stop(ExitCode.USAGE, "Name the jobs, or give --all for the whole queue.", example)
    return job_ids or []


def cancel(
    ctx: typer.Context, job_ids: JobIds, spool: Spool = None, as_json: AsJson = False
) -> None:
    """Give jobs up. What is recorded stays, and `retry` puts the rest back.

    For example:
      foldq cancel 7
      foldq cancel 7 8 9
    """
    _steer(settings_of(ctx, spool), CANCEL, job_ids, as_json=as_json)


def pause(
    ctx: typer.Context,
    job_ids: SomeJobIds = None,
    spool: Spool = None,
    whole_queue: WholeQueue = False,
    as_json: AsJson = False,
) -> None:
    """Hold jobs: folds that run may finish, no others start until `resume`.

    With --all the whole queue, over restarts too: files are still admitted, nothing is sent.

    For example:
      foldq pause 7
      foldq pause --all
    """
    settings = settings_of(ctx, spool)
    job_ids = _jobs_or_all(job_ids, whole_queue=whole_queue, action="pause")
    if whole_queue:
        _hold(settings, held=True, as_json=as_json)
    else:
        _steer(settings, PAUSE, job_ids, as_json=as_json)


def resume(
    ctx: typer.Context,
    job_ids: SomeJobIds = None,
    spool: Spool = None,
    whole_queue: WholeQueue = False,
    as_json: AsJson = False,
) -> None:
    """Let paused jobs go on, or with --all the queue. Jobs that were paused by number stay so.

    For example:
      foldq resume 7
      foldq resume --all
    """
    settings = settings_of(ctx, spool)
    job_ids = _jobs_or_all(job_ids, whole_queue=whole_queue, action="resume")
    if whole_queue:
        _hold(settings, held=False, as_json=as_json)
    else:
        _steer(settings, RESUME, job_ids, as_json=as_json)


def retry(
    ctx: typer.Context, job_ids: JobIds, spool: Spool = None, as_json: AsJson = False
) -> None:
    """Put the failed and cancelled tasks of jobs back; what is done stays done.

    For example:
      foldq retry 7 && foldq watch 7
    """
    _steer(settings_of(ctx, spool), RETRY, job_ids, as_json=as_json)

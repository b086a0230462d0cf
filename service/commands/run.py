"""The commands that bring searches in: serve, run, submit, validate."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from service.commands.options import AsJson, Spool, settings_of
from service.commands.terminal import ExitCode, foldq, present, print_json, quoted, stop, tell

if TYPE_CHECKING:
    from schemas.settings import Settings
    from service.beginning import Beginning
    from service.commands.own_scheduler import OwnScheduler
    from service.commands.submission import Submission
    from service.commands.validation import Verdict
    from service.records import Job

#: Other jobs in the spool that `foldq run` names; the others are counted.
OTHERS_TOLD = 5

Files = Annotated[list[Path], typer.Argument(metavar="FILE…", help="Job files.")]
Engines = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Local engines; default: one for each CPU.")
]


def serve(
    ctx: typer.Context,
    spool: Spool = None,
    engines: Engines = None,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop when nothing waits and nothing runs.")
    ] = False,
) -> None:
    """Run the scheduler on a spool: take job files, compute, record, until told to stop.

    What an earlier scheduler left unfinished goes on by itself. The first Ctrl-C or SIGTERM lets
    running folds finish, the second stops at once; neither loses what is recorded.

    For example:
      foldq serve
      foldq serve --spool /data/searches --engines 8
      foldq serve --until-idle
    """
    from service.beginning import begin

    settings = settings_of(ctx, spool, engines=engines)
    with begin(settings) as beginning:  # before what follows is imported, which takes a second
        from service import daemon

        daemon.serve(settings, until_idle=until_idle, beginning=beginning)


def _plain_name(name: str | None) -> str | None:
    """Refuse what would not be a job file in `incoming/`: a path, or a name that is passed over."""
    from service.layout import is_meant

    if name is not None and ("/" in name or not is_meant(name)):
        raise typer.BadParameter(
            f"{name!r} is not the name of a job file: no '/', no leading '.', none of the endings"
            " of unfinished files (.tmp, .part, ~)."
        )
    return name


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job file.")],
    spool: Spool = None,
    engines: Engines = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="Submit under another name.", callback=_plain_name
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run one search from its file to its best model, with a scheduler of its own.

    Where a scheduler runs on the spool already, the search is submitted to it. After Ctrl-C
    nothing recorded is lost: run it again, or `foldq serve`, and the search goes on.

    For example:
      foldq run examples/digits-svc.yaml
      foldq run examples/digits-svc.yaml --engines 4 --spool /tmp/spool
    """
    settings = settings_of(ctx, spool, engines=engines)
    with ExitStack() as stack:
        beginning = _begun(stack, settings) if file.is_file() else None
        job = _run(settings, file, name, beginning, as_json=as_json)
    if job.state != "completed":
        raise typer.Exit(int(ExitCode.JOB_FAILED))


def _begun(stack: ExitStack, settings: "Settings") -> "Beginning | None":
    """Hold the spool and have engines come up while the file is checked; None if it is held."""
    from service.beginning import begin
    from service.lock import SpoolHeld, holder

    if holder(settings.spool) is not None:
        return None
    try:
        return stack.enter_context(begin(settings))
    except SpoolHeld:  # this very moment
        return None


def _run(
    settings: "Settings",
    file: Path,
    name: str | None,
    beginning: "Beginning | None",
    *,
    as_json: bool,
) -> "Job":
    (verdict,) = _judged([file], settings, name)
    submission = _handed_in(settings, verdict, name)
    _tell_submission(settings, submission)
    if submission.job is not None and submission.job.state.is_final:
        job = submission.job
        _print_outcome(settings, job, as_json=as_json)
        _tell_report(settings, job)
    elif beginning is None:
        tell(f"A scheduler runs on {quoted(settings.spool)} already; it does the work.")
        job = _follow(settings, submission)
        _print_outcome(settings, job, as_json=as_json)
    else:
        from service.commands.own_scheduler import OwnScheduler

        _tell_others(settings, submission)
        tell("Starting a scheduler and its engines …")
        with OwnScheduler(settings, beginning) as scheduler:
            job = _follow(settings, submission, scheduler)
            # Before the engines are stopped, which takes a moment.
            _print_outcome(settings, job, as_json=as_json)
            _tell_report(settings, job, scheduler)
    return job


def _tell_others(settings: "Settings", submission: "Submission") -> None:
    """Say what else the scheduler will work on, since it works on all that waits in the spool."""
    from contextlib import suppress
    from datetime import UTC, datetime

    from service.commands.watching import MOVING
    from service.history import Query, find_jobs
    from service.layout import waiting_files
    from service.records import NoRecords, open_records

    own = submission.job.id if submission.job is not None else None
    others: list[str] = []
    with suppress(NoRecords), open_records(settings.database_path) as records:
        moving = find_jobs(records, Query(states=MOVING), datetime.now(UTC))
        others += [f"job {job.id} {job.name} ({job.state})" for job in moving if job.id != own]
    others += [name for name in waiting_files(settings.spool) if name != submission.file_name]
    if others:
        more = f" and {len(others) - OTHERS_TOLD} more" if len(others) > OTHERS_TOLD else ""
        told = quoted(", ".join(others[:OTHERS_TOLD]))
        tell(f"[yellow]Note:[/] what waits in the spool runs as well: {told}{more}.")


def submit(
    ctx: typer.Context,
    files: Files,
    spool: Spool = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Submit under another name: a job of its own.",
            callback=_plain_name,
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow until the jobs have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check job files and hand them to the spool; a scheduler need not run yet.

    Nothing is handed in when one of the files is invalid. With --wait the command ends with 1 if
    a job failed or was cancelled.

    For example:
      foldq submit examples/digits-svc.yaml
      foldq submit examples/digits-svc.yaml --as digits-again --wait
    """
    from service.commands.submission import await_job
    from service.jsontext import document
    from service.lock import holder

    if name is not None and len(files) > 1:
        stop(ExitCode.USAGE, "--as names one file, but several are given.", "Submit them in turn.")
    settings = settings_of(ctx, spool)
    verdicts = _judged(files, settings, name)
    is_new = not settings.spool.exists()
    submissions = [_handed_in(settings, verdict, name) for verdict in verdicts]
    is_served = holder(settings.spool) is not None
    if is_served:
        submissions = [await_job(settings, submission) for submission in submissions]
    for submission in submissions:
        _tell_submission(settings, submission)
    if not is_served and any(s.job is None or not s.job.state.is_final for s in submissions):
        where = quoted(settings.spool) + (", a new spool" if is_new else "")
        tell(f"No scheduler is running on {where}. To start one: {quoted(foldq('serve'))}")
    if wait:
        jobs = [_follow(settings, submission) for submission in submissions]
        for job in jobs if not as_json else ():
            _print_outcome(settings, job, as_json=False)
    if as_json:
        submissions = [submission.again(settings) for submission in submissions]
        print_json(document(submitted=[submission.to_dict() for submission in submissions]))
    if wait and any(job.state != "completed" for job in jobs):
        raise typer.Exit(int(ExitCode.JOB_FAILED))


def validate(
    ctx: typer.Context,
    files: Files,
    spool: Spool = None,
    no_data: Annotated[
        bool, typer.Option("--no-data", help="Do not load the data: faster, but sees less.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check job files without running them, and count their fits.

    Ends with 3 if one is invalid, with 2 if one is not there.

    For example:
      foldq validate examples/*.yaml
      foldq validate --no-data job.yaml --json | jq '.files[0].problems'
    """
    from service.commands.validation import exit_code, judge, verdict_screen
    from service.jsontext import document

    settings = settings_of(ctx, spool)
    verdicts = []
    for file in files:
        verdict = judge(file, settings, data=not no_data)
        verdicts.append(verdict)
        if not as_json:
            present(verdict_screen(verdict))
    if as_json:
        print_json(document(files=[verdict.to_dict() for verdict in verdicts]))
    raise typer.Exit(int(exit_code(verdicts)))


def _judged(files: list[Path], settings: "Settings", name: str | None) -> "list[Verdict]":
    """Check the files as `validate --no-data` does; end the command if one is invalid."""
    from service.commands.submission import name_in_spool
    from service.commands.terminal import messages
    from service.commands.validation import exit_code, judge, verdict_screen

    verdicts = [judge(file, settings, name=name_in_spool(file, name), data=False) for file in files]
    invalid = [verdict for verdict in verdicts if not verdict.is_valid]
    for verdict in invalid:
        present(verdict_screen(verdict), messages())
    if invalid:
        tell("Nothing was submitted.")
        raise typer.Exit(int(exit_code(invalid)))
    return verdicts


def _handed_in(settings: "Settings", verdict: "Verdict", name: str | None) -> "Submission":
    from service.commands.submission import hand_in
    from service.spool import AlreadyWaiting

    try:
        return hand_in(settings, verdict, name)
    except AlreadyWaiting as waiting:
        stop(ExitCode.USAGE, f"{waiting}.", "Wait until it is admitted, or use --as NEWNAME.")


def _tell_submission(settings: "Settings", submission: "Submission") -> None:
    job = submission.job
    if submission.already and job is not None:
        known = f"{submission.file_name} is already job {job.id} ({job.state})"
        again = " To run it again: --as NEWNAME" if job.state.is_final else ""
        tell(f"{quoted(known)}; nothing was submitted.{again}")
    elif job is not None:
        tell(f"Submitted {quoted(submission.file_name)} as job {job.id}.")
    else:
        incoming = settings.spool / "incoming"
        tell(f"Submitted {quoted(submission.file_name)} to {quoted(incoming)}.")
    if submission.same_content_as is not None and not submission.already:
        tell(f"Note: job {submission.same_content_as} has the same content under another name.")


def _follow(settings: "Settings", submission: "Submission", scheduler: object = None) -> "Job":
    """Follow a submission until its job has ended."""
    from service.commands.own_scheduler import OwnScheduler
    from service.commands.submission import await_job
    from service.commands.terminal import messages
    from service.commands.watching import Follower, Unserved
    from service.lock import holder, trouble_of

    def is_served() -> bool:
        own = isinstance(scheduler, OwnScheduler) and scheduler.is_alive
        return own or holder(settings.spool) is not None

    try:
        submission = await_job(settings, submission, is_served=is_served)
        assert submission.job is not None
        follower = Follower(
            settings.database_path,
            [submission.job.id],
            messages(),
            is_served,
            trouble=lambda: trouble_of(settings.spool),
            tags=settings.tags,
        )
        (job,) = follower.follow()
    except Unserved:
        if isinstance(scheduler, OwnScheduler) and scheduler.exit_code:
            said = scheduler.last_words() or f"it ended with {scheduler.exit_code}"
            stop(
                ExitCode.FAILED,
                f"The scheduler could not go on: {said}",
                f"Its log: {scheduler.log}",
            )
        raise
    except KeyboardInterrupt:
        go_on = quoted(foldq("serve"))
        tell(f"\nStopping. What is recorded stays; to go on: {go_on}")
        raise typer.Exit(130) from None
    return job


def _tell_report(settings: "Settings", job: "Job", scheduler: "OwnScheduler | None" = None) -> None:
    """Name the page of a job, and wait for it while the command's own scheduler writes it."""
    from service.reporter import report_path

    path = report_path(settings, job.id)
    if scheduler is not None and settings.report.automatic and not path.exists():
        tell("[dim]Writing the report …[/]")
        try:
            while scheduler.is_alive and not path.exists():  # it ends when that is done
                time.sleep(0.05)
        except KeyboardInterrupt:
            tell(f"Not written; later: foldq report {job.id}")
    if path.exists():
        tell(f"report      {quoted(path)}")


def _print_outcome(settings: "Settings", job: "Job", *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from service.commands.screen_life import reason_lines
    from service.commands.screen_show import best_lines
    from service.history import as_json as job_json
    from service.jsontext import document
    from service.records import open_records

    if as_json:
        with open_records(settings.database_path) as records:
            print_json(document(**job_json(records, job, datetime.now(UTC))))
    elif job.state == "completed":
        present(best_lines(job, settings.spool / "results" / str(job.id)))
    else:
        head, *errors = reason_lines(job.reason or "no reason recorded")
        tell(f"Job {job.id} {job.state}: {quoted(head)}")
        for error in errors:
            tell(f"  {quoted(error)}")
        tell(f"To see more: {quoted(foldq(f'show {job.id}'))}")

"""The command `set`: what may be changed of jobs, and of all jobs of a tag, while searches run."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from service.commands.options import AsJson, Spool, settings_of
from service.commands.steer import PATIENCE, POLL, not_served
from service.commands.terminal import ExitCode, present, print_json, quoted, stop, tell

if TYPE_CHECKING:
    import sqlite3

    from schemas.settings import Settings
    from schemas.steering import JobChanges, TagChanges

_TAG = "tag:"


def set_(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID|tag:NAME… KEY=VALUE…]", help="Jobs or tags, and what to set."),
    ] = None,
    spool: Spool = None,
    as_json: AsJson = False,
) -> None:
    """Change jobs while they wait or run, or limit what all jobs of a tag use together.

    Of a job: priority, max_engines, tags. Of a tag: max_jobs (at work at once), max_engines. A
    limit of "none" lifts it. What is set holds until it is set otherwise, over restarts too.
    Without anything to set, the limits of tags are listed.

    For example:
      foldq set
      foldq set 7 priority=10
      foldq set 7 8 max_engines=2 tags=course,lab-3
      foldq set tag:gpu max_jobs=1 max_engines=none
    """
    from schemas.steering import InvalidChange, JobChanges, TagChanges

    settings = settings_of(ctx, spool)
    if not words:
        _list_limits(settings, as_json=as_json)
        return
    jobs, tags, given = _understood(words)
    try:
        job_changes = JobChanges.read(given) if jobs else None
        tag_changes = TagChanges.read(given) if tags else None
    except InvalidChange as error:
        stop(ExitCode.USAGE, "That cannot be set.", str(error))
    told = [
        *_set_jobs(settings, jobs, job_changes),
        *_set_tags(settings, tags, tag_changes),
    ]
    if as_json:
        from service.jsontext import document

        print_json(document(set=told))


def _list_limits(settings: "Settings", *, as_json: bool) -> None:
    from schemas.lifecycle import JobState
    from service.history import Query, find_jobs
    from service.records import NoRecords, open_records
    from service.steering import limits_listed

    unfinished = tuple(state for state in JobState if not state.is_final)
    try:
        with open_records(settings.database_path) as records:
            jobs = find_jobs(records, Query(states=unfinished), datetime.now(UTC))
            found = limits_listed(records, settings.tags, jobs)
    except NoRecords:
        found = limits_listed(None, settings.tags, [])
    if as_json:
        from dataclasses import asdict

        from service.jsontext import document

        print_json(document(limits=[asdict(limit) for limit in found]))
    elif found:
        from service.commands.screen_status import limits_table

        present(limits_table(found))
    else:
        tell("No tag has a limit. To set one: foldq set tag:NAME max_jobs=1")


def _understood(words: list[str]) -> tuple[list[str], list[str], dict[str, Any]]:
    """Tell apart what is to be changed and what it is to become."""
    from schemas.steering import JobChanges, TagChanges

    keys = JobChanges.model_fields | TagChanges.model_fields
    jobs: dict[str, None] = {}
    tags: dict[str, None] = {}
    given: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if word.startswith(_TAG) and word != _TAG:
            tags[word.removeprefix(_TAG)] = None
        elif equals:
            given[key.strip()] = _value(key.strip(), value.strip())
        elif word in keys or word == _TAG:
            stop(
                ExitCode.USAGE,
                f"{word!r} is neither a job, nor tag:NAME, nor KEY=VALUE.",
                "For example: foldq set 7 priority=10",
            )
        else:
            jobs[word] = None
    if not jobs and not tags:
        stop(ExitCode.USAGE, "Which job or tag?", "For example: foldq set 7 priority=10")
    if jobs and tags:
        stop(ExitCode.USAGE, "Jobs and tags have different keys.", "Set them one after the other.")
    return list(jobs), list(tags), given


def _value(key: str, text: str) -> Any:
    if key == "tags":
        return [tag.strip() for tag in text.split(",") if tag.strip()]
    if text.lower() in ("none", "null"):
        return None
    try:
        return int(text)
    except ValueError:
        return text  # the check says what is expected


def _set_jobs(
    settings: "Settings", words: list[str], changes: "JobChanges | None"
) -> list[dict[str, Any]]:
    from service import control
    from service.records import find_job, find_named, open_records

    if changes is None:
        return []
    with open_records(settings.database_path) as records:
        jobs = {job.id: job for job in [find_named(records, word) for word in words]}
    for job in jobs.values():
        if job.state.is_final:
            stop(
                ExitCode.USAGE,
                f"Job {job.id} is {job.state}: there is nothing left to steer.",
                "What waits or runs: foldq status",
            )
    not_served(settings, "set anything")
    for job_id in jobs:
        control.request_set(settings.spool, job_id, changes)

    def is_set(records: "sqlite3.Connection", job_id: int) -> bool:
        job = find_job(records, job_id)
        now = {"priority": job.priority, "max_engines": job.max_engines, "tags": list(job.tags)}
        return job.state.is_final or changes.given.items() <= now.items()

    waiting = _await(settings, list(jobs), is_set)
    return [
        _tell(f"Job {job_id}", changes.given, asked=job_id in waiting) | {"id": job_id}
        for job_id in jobs
    ]


def _set_tags(
    settings: "Settings", tags: list[str], changes: "TagChanges | None"
) -> list[dict[str, Any]]:
    from service import control
    from service.records import select

    if changes is None:
        return []
    not_served(settings, "set anything")
    for tag in tags:
        control.request_limit(settings.spool, tag, changes)

    def is_set(records: "sqlite3.Connection", tag: str) -> bool:
        asked = "SELECT max_jobs, max_engines FROM tag_limit WHERE tag = ?"
        row = select(records, asked, (tag,)).fetchone()
        return row is not None and changes.given.items() <= dict(row).items()

    waiting = _await(settings, tags, is_set)
    told = [_tell(f"Tag {tag}", changes.given, asked=tag in waiting) | {"tag": tag} for tag in tags]
    _tell_unknown(settings, tags)
    return told


def _tell_unknown(settings: "Settings", tags: list[str]) -> None:
    """Say which tags no job has so far: it may be a slip, or be meant for jobs to come."""
    from schemas.problems import nearest
    from service.records import open_records
    from service.steering import known_tags

    with open_records(settings.database_path) as records:
        known = known_tags(records)
    for tag in tags:
        if tag not in known:
            close = nearest(tag, sorted(known))
            hint = f" Did you mean {quoted(close)}?" if close else ""
            tell(f"[yellow]Note:[/] no job has the tag {quoted(tag)} so far.{hint}")


def _await(settings: "Settings", targets: list[Any], is_set: Any) -> list[Any]:
    """Wait until the records show it, for a while; return those that they do not show yet."""
    from service.records import open_records

    waiting = targets
    deadline = time.monotonic() + PATIENCE
    while waiting and time.monotonic() < deadline:
        time.sleep(POLL)
        with open_records(settings.database_path) as records:
            waiting = [target for target in waiting if not is_set(records, target)]
    return waiting


def _tell(what: str, given: dict[str, Any], *, asked: bool) -> dict[str, Any]:
    from service.steering import spelled

    said = ", ".join(f"{key} {spelled(value) or 'none'}" for key, value in given.items())
    if asked:
        tell(f"{what}: asked for {said}; the scheduler has not done it yet.")
    else:
        tell(f"{what}: {said}.")
    return {**given, "asked": asked}

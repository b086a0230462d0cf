"""Requests of the commands to the scheduler: small files in the spool's `control/` directory.

Only the scheduler writes the records, so `foldq cancel` and its like drop a request and watch the
records for what comes of it. A request that is carried out twice does no harm.
"""

import json
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

from schemas.lifecycle import FINAL_JOB_STATES, JobState
from workers.atomic import replacing

log = logging.getLogger("foldq.control")

Action = Literal["cancel", "pause", "resume", "retry"]

#: A request is a few dozen bytes; more than this is not one.
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks the scheduler to do with a job."""

    action: Action
    job_id: int
    path: Path


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """What a person asks the scheduler to forget: jobs that ended so before a moment."""

    before: datetime
    states: tuple[JobState, ...]
    path: Path


def request(spool: Path, action: Action, job_id: int) -> None:
    """Ask the scheduler of this spool to do something with a job."""
    path = spool / "control" / f"{uuid4().hex}.json"
    with replacing(path) as file:
        file.write(json.dumps({"action": action, "job": job_id}).encode())


def request_prune(spool: Path, before: datetime, states: Iterable[JobState]) -> Path:
    """Ask the scheduler of this spool to forget old jobs; return the file that says so.

    The file is there until the request is carried out.
    """
    path = spool / "control" / f"{uuid4().hex}.json"
    asked = {"action": "prune", "before": before.isoformat(), "states": list(states)}
    with replacing(path) as file:
        file.write(json.dumps(asked).encode())
    return path


def requests(spool: Path) -> Iterator[Request | PruneRequest]:
    """Yield the requests that wait; the caller removes each one's file when it is carried out.

    What is not a request is removed and logged: nobody can be told.
    """
    with os.scandir(spool / "control") as entries:
        names = sorted(
            entry.name
            for entry in entries
            if entry.name.endswith(".json") and not entry.name.startswith(".")
        )
    for name in names:
        path = spool / "control" / name
        try:
            yield _read(path)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("control/%s is not a request and was removed: %s", name, error)
            with suppress(OSError):
                path.unlink()


def _read(path: Path) -> Request | PruneRequest:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        asked = json.loads(file.read(_MAX_BYTES))
    if asked["action"] == "prune":
        before = datetime.fromisoformat(asked["before"])
        states = tuple(JobState(state) for state in asked["states"])
        if before.tzinfo is None or not FINAL_JOB_STATES.issuperset(states):
            raise ValueError(f"unknown request: {asked!r}")
        return PruneRequest(before, states, path)
    action, job_id = asked["action"], asked["job"]
    if action not in get_args(Action) or not isinstance(job_id, int):
        raise ValueError(f"unknown request: {asked!r}")
    return Request(action, job_id, path)

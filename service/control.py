"""Requests of the commands to the scheduler: small files in the spool's `control/` directory.

Only the scheduler writes the records, so `foldq cancel` and its like drop a request and watch the
records for what comes of it. A request that is carried out twice does no harm.
"""

import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

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


def request(spool: Path, action: Action, job_id: int) -> None:
    """Ask the scheduler of this spool to do something with a job."""
    path = spool / "control" / f"{uuid4().hex}.json"
    with replacing(path) as file:
        file.write(json.dumps({"action": action, "job": job_id}).encode())


def requests(spool: Path) -> Iterator[Request]:
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


def _read(path: Path) -> Request:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        asked = json.loads(file.read(_MAX_BYTES))
    action, job_id = asked["action"], asked["job"]
    if action not in get_args(Action) or not isinstance(job_id, int):
        raise ValueError(f"unknown request: {asked!r}")
    return Request(action, job_id, path)

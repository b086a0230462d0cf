"""Requests of the commands to the scheduler: small files in the spool's `control/` directory.

Only the scheduler writes the records, so `foldq cancel` and its like drop a request and watch the
records for what comes of it. A request that is carried out twice does no harm.
"""

import errno
import json
import logging
import os
import stat
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, get_args
from uuid import uuid4

from schemas.lifecycle import FINAL_JOB_STATES, JobState
from schemas.steering import JobChanges, TagChanges
from workers.atomic import replacing
from workers.failpoints import failpoint

log = logging.getLogger("foldq.control")

Action = Literal["cancel", "pause", "resume", "retry"]

#: A request is a few dozen bytes; more than this is not one.
_MAX_BYTES = 4096

#: SQLite's integers end below.
_TOO_LARGE = 2**63

#: What keeps a request from being read and is not its own fault.
_MACHINE = frozenset({errno.EMFILE, errno.ENFILE, errno.EACCES, errno.ENOMEM, errno.EIO})


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


@dataclass(frozen=True, slots=True)
class SetRequest:
    """What a person sets of a job."""

    job_id: int
    changes: JobChanges
    path: Path


@dataclass(frozen=True, slots=True)
class LimitRequest:
    """What a person sets for all jobs of a tag."""

    tag: str
    changes: TagChanges
    path: Path


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """A person holds the whole queue, or lets it go on."""

    held: bool
    path: Path


Asked = Request | PruneRequest | SetRequest | LimitRequest | HoldRequest


def request(spool: Path, action: Action, job_id: int) -> None:
    """Ask the scheduler of this spool to do something with a job."""
    _put(spool, {"action": action, "job": job_id})


def request_set(spool: Path, job_id: int, changes: JobChanges) -> None:
    """Ask the scheduler of this spool to set something of a job."""
    _put(spool, {"action": "set", "job": job_id, "changes": changes.given})


def request_limit(spool: Path, tag: str, changes: TagChanges) -> None:
    """Ask the scheduler of this spool to limit what the jobs of a tag use together."""
    _put(spool, {"action": "limit", "tag": tag, "changes": changes.given})


def request_hold(spool: Path, *, held: bool) -> None:
    """Ask the scheduler of this spool to hold the whole queue, or to let it go on."""
    _put(spool, {"action": "hold" if held else "release"})


def request_prune(spool: Path, before: datetime, states: Iterable[JobState]) -> Path:
    """Ask the scheduler of this spool to forget old jobs; return the file that says so.

    The file is there until the request is carried out.
    """
    return _put(spool, {"action": "prune", "before": before.isoformat(), "states": list(states)})


def _put(spool: Path, asked: dict[str, Any]) -> Path:
    # Requests are carried out in the order of their names: pause and resume must not change places.
    path = spool / "control" / f"{time.time_ns():020d}-{uuid4().hex}.json"
    with replacing(path) as file:
        file.write(json.dumps(asked).encode())
    return path


class Desk:
    """Where the scheduler takes the requests of one spool in.

    A request is removed only after what it asked for is on record (one to prune, by the pruner).
    One that cannot be removed is carried out once all the same.

    Parameters
    ----------
    spool : Path

    Attributes
    ----------
    unread : OSError or None
        Why a request could not be read the last time, for want of descriptors or rights. It is
        given out when it can be.
    """

    def __init__(self, spool: Path) -> None:
        self._directory = spool / "control"
        self._taken: set[str] = set()
        self._carried_out: set[str] = set()
        self.unread: OSError | None = None

    def take(self) -> list[Asked]:
        """Give the requests that have come since the last call.

        What is not a request is logged and removed: nobody can be told.

        Raises
        ------
        OSError
            When the directory cannot be read.
        """
        with os.scandir(self._directory) as entries:
            names = {
                entry.name
                for entry in entries
                if entry.name.endswith(".json") and not entry.name.startswith(".")
            }
        self._taken &= names
        self._carried_out &= names
        self.unread = None
        asked: list[Asked] = []
        for name in sorted(names - self._taken):
            path = self._directory / name
            found: Asked | None = None
            try:
                found = _read(path)
                asked.append(found)
            except FileNotFoundError:
                continue
            except (OSError, ValueError, KeyError, TypeError) as error:
                if isinstance(error, OSError) and error.errno in _MACHINE:
                    self.unread = error
                    continue
                log.warning("control/%s is not a request and is removed: %s", ascii(name), error)
            self._taken.add(name)
            if not isinstance(found, PruneRequest):  # it takes long, and removes its file itself
                self._carried_out.add(name)
        return asked

    def clear(self) -> None:
        """Remove the files of the requests given out: what they asked for is on record.

        Raises
        ------
        OSError
            When one cannot be removed: it stays, and is not given out again.
        """
        refused: OSError | None = None
        if self._carried_out:
            failpoint("control.removed.before")
        for name in sorted(self._carried_out):
            try:
                (self._directory / name).unlink(missing_ok=True)
                failpoint("control.removed.after")
            except OSError as error:
                refused = error
            else:
                self._taken.discard(name)
                self._carried_out.discard(name)
        if refused is not None:
            raise refused


def _read(path: Path) -> Asked:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise ValueError("too large")
    try:
        asked = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    unknown = ValueError(f"unknown request: {ascii(asked)[:200]}")
    if asked["action"] == "prune":
        before = datetime.fromisoformat(asked["before"])
        states = tuple(JobState(state) for state in asked["states"])
        if before.tzinfo is None or not FINAL_JOB_STATES.issuperset(states):
            raise unknown
        return PruneRequest(before, states, path)
    action = asked["action"]
    if action in ("hold", "release"):
        return HoldRequest(action == "hold", path)
    if action == "limit":
        tag = asked["tag"]
        if not isinstance(tag, str):
            raise unknown
        return LimitRequest(tag, TagChanges.read(asked["changes"]), path)
    job_id = asked["job"]
    is_number = isinstance(job_id, int) and not isinstance(job_id, bool)
    if not is_number or not 0 < job_id < _TOO_LARGE:
        raise unknown
    if action == "set":
        return SetRequest(job_id, JobChanges.read(asked["changes"]), path)
    if action not in get_args(Action):
        raise unknown
    return Request(action, job_id, path)

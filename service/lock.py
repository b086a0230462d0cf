"""One scheduler per spool: an exclusive lock that the kernel lets go when its holder dies.

The lock is `flock` on `SPOOL/scheduler.lock`; the file says who holds it. The file stays when
the lock is free: removing it would let two schedulers lock two files of the same name.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

LOCK_FILE = "scheduler.lock"

#: A reader that looks who holds the lock takes it, shared, for an instant; a scheduler that
#: starts just then tries again for this long (seconds).
PATIENCE = 0.5


@dataclass(frozen=True, slots=True)
class Holder:
    """The scheduler that holds a spool.

    Attributes
    ----------
    pid : int
        0 when it has only just started and not yet said.
    started_at : str
        ISO-8601, UTC.
    """

    pid: int
    host: str
    started_at: str


class SpoolHeld(RuntimeError):
    """Another scheduler holds the spool."""

    def __init__(self, pid: int, host: str) -> None:
        super().__init__(f"Another scheduler (process {pid} on {host}) holds the spool.")
        self.pid = pid
        self.host = host


@contextmanager
def hold(spool: Path) -> Iterator[Holder]:
    """Hold the spool for the length of the block.

    Raises
    ------
    SpoolHeld
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(spool / LOCK_FILE, flags, 0o600)
    try:
        if not _lock(descriptor):
            other = _read(descriptor)
            raise SpoolHeld(other.pid, other.host)
        holder = Holder(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat())
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(asdict(holder)).encode() + b"\n", 0)
        yield holder
    finally:
        os.close(descriptor)


def holder(spool: Path) -> Holder | None:
    """Tell which scheduler holds the spool; None when there is none. Never waits."""
    try:
        descriptor = os.open(spool / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _read(descriptor: int) -> Holder:
    """Read who holds the lock; of one that is just writing it, nothing is known yet."""
    try:
        fields = json.loads(os.pread(descriptor, 4096, 0))
        return Holder(int(fields["pid"]), str(fields["host"]), str(fields["started_at"]))
    except (ValueError, KeyError, TypeError):
        return Holder(0, "this host", "")

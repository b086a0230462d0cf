"""One scheduler per spool: an exclusive lock that the kernel lets go when its holder dies.

The lock is `flock` on `SPOOL/scheduler.lock`; the file says who holds it, and what troubles it. It
stays when the lock is free: removing it would let two schedulers lock two files of the same name.
"""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from service.layout import SpoolUnusable
from workers.failpoints import failpoint

LOCK_FILE = "scheduler.lock"

#: A reader that looks who holds the lock takes it, shared, for an instant; a scheduler that
#: starts just then tries again for this long (seconds).
PATIENCE = 0.5

#: Bytes of the file, always: what is written in place of them needs no room on a full disk.
SIZE = 4096

#: Seconds between two signs of life in the file's modification time: by the last of them the next
#: scheduler knows since when there was none.
_SIGN_EVERY = 1.0

#: A reader may come while the file is being written; then it reads once more.
_READS = 3


@dataclass(frozen=True, slots=True)
class Holder:
    """The scheduler that holds a spool.

    Attributes
    ----------
    pid : int
        0 when it has only just started and not yet said.
    started_at : str
        ISO-8601, UTC.
    trouble : str or None
        What keeps it from working as it should, for as long as it lasts.
    """

    pid: int
    host: str
    started_at: str
    trouble: str | None = None


class SpoolHeld(RuntimeError):
    """Another scheduler holds the spool."""

    def __init__(self, pid: int, host: str) -> None:
        super().__init__(f"Another scheduler (process {pid} on {host}) holds the spool.")
        self.pid = pid
        self.host = host


class Hold:
    """The spool, held: see `hold`.

    Attributes
    ----------
    holder : Holder
        What readers find.
    last_sign : datetime or None
        When the scheduler before this one was alive for the last time; None for the first one.
    """

    def __init__(self, descriptor: int, holder: Holder, last_sign: datetime | None = None) -> None:
        self._descriptor = descriptor
        self.holder = holder
        self.last_sign = last_sign
        self._next_sign = 0.0

    def give_sign(self) -> None:
        """Show that the scheduler lives. To be called all the time, from when it is on record."""
        if (now := time.monotonic()) >= self._next_sign:
            self._next_sign = now + _SIGN_EVERY
            with suppress(OSError):  # a file system that may not be written
                os.utime(self._descriptor)

    def tell(self, trouble: str | None) -> None:
        """Let everybody who looks know what troubles the scheduler; None when it is over.

        Raises
        ------
        OSError
            The file cannot be written, not even in place.
        """
        self.holder = replace(self.holder, trouble=trouble)
        self.write()

    def take_over(self) -> None:
        """Hold the spool in a process that was forked from the one that took the lock."""
        self.holder = replace(self.holder, pid=os.getpid())
        self.write()

    def release(self) -> None:
        """Let go of the lock; a process that was forked meanwhile keeps it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def write(self) -> None:
        """Write the file over, at the same size: readers find the old text or the new one."""
        os.pwrite(self._descriptor, _block(self.holder), 0)


@contextmanager
def hold(spool: Path) -> Iterator[Hold]:
    """Hold the spool for the length of the block.

    Raises
    ------
    SpoolHeld
    SpoolUnusable
        If the lock file cannot be made or written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(spool / LOCK_FILE, flags, 0o600)
    except OSError as error:
        raise SpoolUnusable(spool, error) from error
    mine = Holder(os.getpid(), socket.gethostname(), datetime.now(UTC).isoformat())
    held = Hold(descriptor, mine)
    try:
        if not _lock(descriptor):
            other = _read(descriptor)
            raise SpoolHeld(other.pid, other.host)
        before = os.fstat(descriptor)
        if before.st_size:
            held.last_sign = datetime.fromtimestamp(before.st_mtime, UTC)
        try:
            held.write()
            os.ftruncate(descriptor, SIZE)
            if before.st_size:  # until this one is on record
                os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
        except OSError as error:
            error.filename = str(spool / LOCK_FILE)
            raise SpoolUnusable(spool, error) from error
        failpoint("lock.taken")
        yield held
    finally:
        held.release()


def holder(spool: Path) -> Holder | None:
    """Tell which scheduler holds the spool; None when there is none. Never waits."""
    try:
        descriptor = os.open(spool / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(descriptor)
    else:
        return None
    finally:
        os.close(descriptor)


def trouble_of(spool: Path) -> str | None:
    """Tell what troubles the scheduler of a spool; None also when there is none."""
    found = holder(spool)
    return None if found is None else found.trouble


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


def _block(holder: Holder) -> bytes:
    """Write a holder as exactly `SIZE` bytes; a trouble too long for them is cut."""
    text = json.dumps(asdict(holder)).encode()
    while len(text) >= SIZE and holder.trouble:
        holder = replace(holder, trouble=holder.trouble[: len(holder.trouble) * 3 // 4] + "…")
        text = json.dumps(asdict(holder)).encode()
    return text.ljust(SIZE - 1) + b"\n"


def _read(descriptor: int) -> Holder:
    """Read who holds the lock; of one that is just writing it, nothing is known yet."""
    for _ in range(_READS):
        try:
            fields = json.loads(os.pread(descriptor, SIZE, 0))
            trouble = fields.get("trouble")
            return Holder(
                int(fields["pid"]),
                str(fields["host"]),
                str(fields["started_at"]),
                None if trouble is None else str(trouble),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return Holder(0, "this host", "")

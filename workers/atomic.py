"""Write files so that a reader sees the old one, or the whole new one, and never a half.

Everything is written beside its place, flushed to the disk, and renamed. Only the owner may
read what is written: data sets and models are private until somebody shares them.
"""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from workers.failpoints import failpoint

OWNER_DIRECTORY = 0o700
OWNER_FILE = 0o600

#: What the machine lacks, or does not allow: room, rights, file descriptors, a disk that works.
_SHORTAGES = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EMFILE,
        errno.ENFILE,
        errno.EIO,
        errno.ENOTDIR,  # somebody put a file in the place of one of foldq's directories
        errno.EEXIST,
    }
)


class CannotWrite(Exception):
    """There is no room or no right for what foldq itself keeps: nobody's job is at fault."""


@contextmanager
def kept_in(directory: Path) -> Iterator[None]:
    """Tell a want of room or rights, in a block that writes foldq's own files, from other errors.

    Raises
    ------
    CannotWrite
        Names the directory and what the system said.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _SHORTAGES:
            raise
        said = (error.strerror or str(error)).lower()
        raise CannotWrite(f"{directory} cannot be written: {said}") from error


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when the block ends without an error.

    Parameters
    ----------
    path : Path
        Its directory must exist. After an error `path` is as it was before.

    Yields
    ------
    BinaryIO
        Open for writing; seekable.
    """
    # Not named after the path: its name may be as long as names can be.
    beside = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with create(beside) as file:
            failpoint("atomic.create.before")
            yield file
        failpoint("atomic.replace.before")
        beside.replace(path)
        failpoint("atomic.replace.after")
    except BaseException:
        with suppress(OSError):  # what went wrong before is what is to be told
            beside.unlink()
        raise
    sync_directory(path.parent)


@contextmanager
def create(path: Path) -> Iterator[BinaryIO]:
    """Open a new file for its owner alone, and see it on the disk before going on.

    Raises
    ------
    FileExistsError
        When there is something at `path` already.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_FILE)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
    except OSError as error:
        if error.filename is None:  # a write does not know where it goes
            error.filename = str(path.parent)
        raise


def sync_directory(directory: Path) -> None:
    """Make the renames within a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private(directory: Path) -> None:
    """Make a directory, and those above it, for their owner alone."""
    if not directory.is_dir():
        if not directory.parent.is_dir():
            make_private(directory.parent)
        directory.mkdir(mode=OWNER_DIRECTORY, exist_ok=True)

"""Open the data files that job files name, and nothing else.

A job file comes from anybody who can write to the spool, so a path in it is only a wish: it
must end, symlinks resolved, in a regular file of bounded size below a directory that the
operator set aside for data.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from schemas.problems import InvalidJob, Problem, nearest

#: Largest data file that is read unless the caller says otherwise, in bytes.
MAX_BYTES = 4 * 2**30

#: Files looked at in a directory to find a name close to a missing one.
_NAMES_COMPARED = 1000

#: Bytes digested in one go.
_CHUNK = 2**20

_KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@contextmanager
def open_data_file(
    name: str, roots: Sequence[Path], *, where: str = "data.file", max_bytes: int = MAX_BYTES
) -> Iterator[BinaryIO]:
    """Open a data file for reading.

    Parameters
    ----------
    name : str
        Path as the job file gives it; a relative one starts at the first root.
    roots : sequence of Path
        Directories below which data may lie.
    where : str
        The job file's field, for messages.
    max_bytes : int
        Largest file that is taken.

    Raises
    ------
    InvalidJob
        When the path leaves the roots, or there is no regular, readable file of at most
        `max_bytes` at its end.
    """
    path = resolve(name, roots, where=where)
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise InvalidJob([_missing(name, path, where)]) from None
    except OSError as error:
        raise InvalidJob(
            [Problem(where, f"the file {name!r} cannot be opened: {_system(error)}", given=name)]
        ) from None
    facts = os.fstat(descriptor)
    problem = (
        _moved_outside(name, descriptor, roots, where)
        or _wrong_kind(name, facts.st_mode, where)
        or _too_big(name, facts.st_size, max_bytes, where)
    )
    if problem:
        os.close(descriptor)
        raise InvalidJob([problem])
    with os.fdopen(descriptor, "rb") as file:
        yield file


def resolve(name: str, roots: Sequence[Path], *, where: str = "data.file") -> Path:
    """Return where a data file's path ends, symlinks resolved; it need not exist.

    Raises
    ------
    InvalidJob
        When that is outside of every root, or not a path at all.
    """
    if "\0" in name or not name.strip():
        raise InvalidJob(
            [Problem(where, "this is not a file name", expected="a path such as train.csv")]
        )
    try:
        path = (Path(roots[0]) / name).resolve()
        allowed = [Path(root).resolve() for root in roots]
    except (OSError, RuntimeError) as error:  # a loop of symlinks, a name too long
        raise InvalidJob(
            [Problem(where, f"the path cannot be followed: {_system(error)}", given=name)]
        ) from None
    if not any(path.is_relative_to(root) for root in allowed):
        raise InvalidJob([_outside(name, where)])
    return path


def content_digest(file: BinaryIO) -> str:
    """Return the SHA-256 of an open file's bytes and go back to its start."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()


def reason(error: BaseException) -> str:
    """Return the first line of an error's own words, without its full stop."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _missing(name: str, path: Path, where: str) -> Problem:
    beside: list[str] = []
    folder = path.parent
    if folder.is_dir():
        with os.scandir(folder) as entries:
            beside = [entry.name for entry, _ in zip(entries, range(_NAMES_COMPARED), strict=False)]
    close = nearest(path.name, beside)
    return Problem(
        where,
        f"there is no file {name!r}",
        given=name,
        nearest=None if close is None else str(Path(name).with_name(close)),
        hint="Relative paths start at the spool's data/ directory.",
    )


def _system(error: OSError | RuntimeError) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else reason(error)


def _outside(name: str, where: str) -> Problem:
    return Problem(
        where,
        f"the path {name!r} leads outside the directories for data",
        given=name,
        expected="a path below the spool's data/ or one of the operator's data_roots",
        hint="Copy the file to the spool's data/ and give its name, or ask the "
        "operator to list its directory under data_roots in foldq.toml.",
    )


def _moved_outside(name: str, descriptor: int, roots: Sequence[Path], where: str) -> Problem | None:
    """Tell whether a directory became a symlink between looking at the path and opening it."""
    try:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        allowed = any(path.is_relative_to(Path(root).resolve()) for root in roots)
    except OSError:  # a system without /proc: then the first look has to do
        return None
    return None if allowed else _outside(name, where)


def _wrong_kind(name: str, mode: int, where: str) -> Problem | None:
    if stat.S_ISREG(mode):
        return None
    kind = next((kind for test, kind in _KINDS if test(mode)), "not a regular file")
    return Problem(where, f"{name!r} is {kind}", given=name, expected="a regular file")


def _too_big(name: str, size: int, max_bytes: int, where: str) -> Problem | None:
    if size <= max_bytes:
        return None
    return Problem(
        where,
        f"the file {name!r} has {size:,} bytes, more than the {max_bytes:,} that are taken",
        given=f"{size:,} bytes",
        expected=f"at most {max_bytes:,} bytes",
        hint="Give the columns or rows that are needed in a smaller file.",
    )


def refuse_unpacked(size: int, name: str, max_bytes: int, where: str = "data.file") -> None:
    """Refuse a file that is small only as long as it is packed."""
    if size > max_bytes:
        raise InvalidJob(
            [
                Problem(
                    where,
                    f"unpacked, {name!r} has {size:,} bytes, more than the {max_bytes:,} "
                    "that are taken",
                    hint="Give the columns or rows that are needed in a smaller file.",
                )
            ]
        )


def no_such(where: str, what: str, name: str, valid: Sequence[str], file: str) -> Problem:
    """Return the problem of a column or array that is not in a file."""
    listed = ", ".join(valid[:12]) + (", …" if len(valid) > 12 else "")
    return Problem(
        where,
        f"there is no {what} {name!r} in {file!r}",
        given=name,
        expected=f"one of {listed}" if valid else None,
        nearest=nearest(name, valid),
    )

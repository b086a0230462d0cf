"""Where things lie in a spool, and what lies there. Light: every command may look here."""

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path

from workers.atomic import make_private

DIRECTORIES = (
    "incoming", "accepted", "rejected", "control", "data", "cache", "results", "logs",
)  # fmt: skip

#: What the report on a refused file is called after the file.
REPORT_SUFFIX = ".error.json"

#: What editors and copying programs call a file that is not finished.
_UNFINISHED = (".tmp", ".part", "~")


def is_meant(name: str) -> bool:
    """Tell whether a file of this name is to be admitted or refused, rather than left alone."""
    return not name.startswith(".") and not name.endswith(_UNFINISHED)


def waiting_files(spool: Path) -> list[str]:
    """Name the files that wait for a scheduler to take them, in alphabetical order."""
    try:
        with os.scandir(spool / "incoming") as entries:
            return sorted(entry.name for entry in entries if is_meant(entry.name))
    except FileNotFoundError:
        return []


def has_waiting(spool: Path) -> bool:
    """Tell whether any file waits for a scheduler to take it."""
    return bool(waiting_files(spool))


class SpoolUnusable(RuntimeError):
    """The spool cannot be made, or not be written."""

    def __init__(self, spool: Path, error: OSError) -> None:
        path = error.filename or spool
        if isinstance(error, FileExistsError | NotADirectoryError):
            said, self.next_step = "not a directory", "Move the file away, or name another spool."
        else:
            said = (error.strerror or str(error)).lower()
            self.next_step = "See to rights and room there, or name another spool: --spool DIR"
        super().__init__(f"The spool {spool} cannot be used: {path}: {said}.")


def make_directories(spool: Path) -> None:
    """Make the spool and its directories, for their owner only.

    Raises
    ------
    SpoolUnusable
    """
    try:
        for directory in (spool, *(spool / name for name in DIRECTORIES)):
            make_private(directory)
    except OSError as error:
        raise SpoolUnusable(spool, error) from error


def check_writable(spool: Path) -> None:
    """See that a scheduler may read and write the spool and its directories.

    Raises
    ------
    SpoolUnusable
    """
    for directory in (spool, *(spool / name for name in DIRECTORIES)):
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            read_only = os.statvfs(directory).f_flag & os.ST_RDONLY
            code = errno.EROFS if read_only else errno.EACCES
            raise SpoolUnusable(spool, OSError(code, os.strerror(code), str(directory)))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was not taken.

    Attributes
    ----------
    name : str
        What it was called in `incoming/`.
    at : float
        When it was refused, in seconds since the epoch.
    file, report : Path
        The file where it lies now, and what is wrong with it.
    problems : list of dict
        As in the report: `where`, `message`, `given`, `expected`, `nearest`, `hint`.
    """

    name: str
    at: float
    file: Path
    report: Path
    problems: list[dict[str, str | None]]


def refusals(spool: Path, since: float) -> list[Refusal]:
    """Give the files refused since a moment, the earliest first; of each name the last one.

    Parameters
    ----------
    since : float
        Seconds since the epoch.
    """
    found: dict[str, Refusal] = {}
    for report in (spool / "rejected").glob(f"*{REPORT_SUFFIX}"):
        try:
            at = report.stat().st_mtime
            if at < since:
                continue
            told = json.loads(report.read_bytes())
            name, problems = str(told["file"]), told["problems"]
        except (OSError, ValueError, KeyError):
            continue
        if name not in found or found[name].at < at:
            file = report.with_name(report.name.removesuffix(REPORT_SUFFIX))
            found[name] = Refusal(name, at, file, report, problems)
    return sorted(found.values(), key=lambda refusal: refusal.at)

"""The spool: directories that people copy job files into, and how a file becomes a job.

Promise: a file is admitted exactly once. The job is committed under its submission (name and
content) first, the file moves to `accepted/` afterwards; after a crash in between the file is only
moved. A file that is refused stays, in `rejected/`, with the reasons beside it. What the disk does
not allow is tried again, at a calmer pace, and no file is lost or admitted twice by it.
"""

import hashlib
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from schemas.job import with_seeds
from schemas.problems import InvalidJob, Problem
from schemas.settings import Settings
from service import jobfile, jsontext
from service.layout import REPORT_SUFFIX, SpoolUnusable, is_meant, make_directories
from service.store import Admission, Store
from service.writers import nobody_writes
from workers.atomic import create, replacing, sync_directory
from workers.catalog import Catalog
from workers.failpoints import failpoint

log = logging.getLogger("foldq.spool")

#: Seconds between two looks at a file that was put into its place, which are enough for it: two
#: ticks of the slowest clock by which file systems date a change.
SECOND_LOOK = 0.02

#: Seconds for each file of a scan until the next one, should the directory change all the time.
_REST = 1e-4

#: How far back the last write of a submitted file is dated (nanoseconds): the clock of a file
#: system may tick a hundred times a second only, and the file is to be seen as put in its place.
_BEFORE = 1_000_000_000

#: Seconds for which a file may have two links: `submit` makes it so for an instant.
_LINK_PATIENCE = 5.0

#: Seconds before a file is tried again that the disk did not let be taken or moved.
_CALM = 5.0

#: Longest file name that Linux file systems take, in bytes.
_MAX_NAME = 255

#: Bytes of a refused file's name that are left for a number, should others be called the same.
_NUMBER_ROOM = 12


class AlreadyWaiting(FileExistsError):
    """Another file of that name waits in `incoming/`."""


def submit(spool: Path, data: bytes, name: str) -> Path:
    """Put a job file into `incoming/` so that it is there whole or not at all.

    Returns
    -------
    Path
        Where it lies now. The same bytes waiting under the same name already are left as they are.

    Raises
    ------
    AlreadyWaiting
        If a file of that name with other content waits: nothing is overwritten.
    """
    make_directories(spool)
    incoming = spool / "incoming"
    target = incoming / name
    beside = incoming / f".{secrets.token_hex(8)}.tmp"
    try:
        with create(beside) as file:
            file.write(data)
        written = time.time_ns() - _BEFORE
        os.utime(beside, ns=(written, written))
        failpoint("spool.submit.link.before")
        # A link, not a rename: it fails where a rename would overwrite.
        os.link(beside, target)
        failpoint("spool.submit.link.after")
    except FileExistsError:
        with suppress(OSError):
            if target.read_bytes() == data:
                return target
        raise AlreadyWaiting(f"{target} is waiting already, with other content") from None
    finally:
        with suppress(OSError):
            beside.unlink()
    failpoint("spool.submit.unlink.after")
    sync_directory(incoming)
    return target


@dataclass(frozen=True, slots=True)
class _Sighting:
    """A file as a scan saw it: unchanged for a while, it is complete.

    Attributes
    ----------
    ctime_ns : int
        When its content, name or rights changed last.
    since, placed_since : float
        When it was first seen with this content, and with this `ctime_ns` (monotonic seconds).
    is_same : bool
        Whether the look before saw the same content.
    """

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = field(compare=False)
    since: float = field(compare=False)
    placed_since: float = field(compare=False)
    is_same: bool = field(default=False, compare=False)

    @property
    def is_placed(self) -> bool:
        """Whether it was renamed, linked, dated or given rights after its last write.

        Who still writes a file changes both times at once; who moves a finished one into its place
        changes the later one only.
        """
        return self.size > 0 and self.ctime_ns > self.mtime_ns


def _sighting(found: os.stat_result, now: float, before: _Sighting | None) -> _Sighting:
    """Say how a file was found, and since when it is so."""
    sighting = _Sighting(
        found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns, now, now
    )
    if before != sighting:
        return sighting
    assert before is not None
    in_place = before.placed_since if before.ctime_ns == sighting.ctime_ns else now
    return replace(sighting, since=before.since, placed_since=in_place, is_same=True)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A file became a job (or was one already).

    Attributes
    ----------
    is_first : bool
        False when the file was met before, as this same job, and could not be moved away then.
    stays : OSError or None
        Why it still lies in `incoming/`. It is tried again by and by.
    """

    name: str
    admission: Admission
    is_first: bool = True
    stays: OSError | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A file was refused and lies in `rejected/` now."""

    name: str
    problems: tuple[Problem, ...]


class Intake:
    """Takes the files of `incoming/` in, in one scheduler.

    Parameters
    ----------
    settings : Settings
    store : Store
    """

    def __init__(self, settings: Settings, store: Store):
        self._settings = settings
        self._spool = settings.spool
        self._incoming = settings.spool / "incoming"
        self._store = store
        self._catalog = Catalog(settings.catalog.estimators)
        self._seen: dict[str, _Sighting] = {}
        self._doubled: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._unmoved: dict[str, int] = {}
        self._directory_seen = 0
        #: When a scan is due, should nothing come or go before (monotonic seconds).
        self.next_scan = 0.0
        self._rest_until = 0.0

    def is_due(self, now: float) -> bool:
        """Tell whether a scan is due: some time has passed, or something has come or gone.

        Parameters
        ----------
        now : float
            Monotonic seconds, as in `ready`.
        """
        if now >= self.next_scan:
            return True
        return now >= self._rest_until and self._directory_changed() != self._directory_seen

    def _directory_changed(self) -> int:
        try:
            return self._incoming.stat().st_mtime_ns
        except OSError:
            return 0  # what is wrong is told by the next scan

    def ready(self, now: float) -> list[str]:
        """Scan `incoming/` and return the names of files that are complete, as they were written.

        Those are the files that stayed the same for the settling time, and, at the second look,
        those that were put into their place after they were written and that nobody has open for
        writing.

        Parameters
        ----------
        now : float
            Monotonic seconds: modification times may lie in the future.

        Raises
        ------
        OSError
            When the directory cannot be read; everything in it stays as it is.
        """
        seen: dict[str, _Sighting] = {}
        ready: list[tuple[int, str]] = []
        self.next_scan = now + self._settings.poll
        self._directory_seen = self._directory_changed()
        try:
            scan = os.scandir(self._incoming)
        except FileNotFoundError:
            self._mend()
            raise
        with scan as entries:
            for entry in entries:
                if not is_meant(entry.name):
                    continue
                try:
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                sighting = _sighting(found, now, self._seen.get(entry.name))
                seen[entry.name] = sighting
                if not self._is_complete(entry.name, sighting, now):
                    if sighting.is_placed:
                        self.next_scan = now + SECOND_LOOK
                    continue
                if now < self._not_before.get(entry.name, now):
                    continue
                if found.st_nlink > 1 and entry.is_file(follow_symlinks=False):
                    since = self._doubled.setdefault(entry.name, now)
                    if now - since < _LINK_PATIENCE:
                        continue
                ready.append((found.st_mtime_ns, entry.name))
        self._seen = seen
        self._rest_until = now + len(seen) * _REST
        self._doubled = {name: at for name, at in self._doubled.items() if name in seen}
        self._not_before = {name: at for name, at in self._not_before.items() if name in seen}
        self._unmoved = {name: job_id for name, job_id in self._unmoved.items() if name in seen}
        return [name for _, name in sorted(ready)]

    def _is_complete(self, name: str, sighting: _Sighting, now: float) -> bool:
        if not sighting.is_same:
            return False  # one look is never enough
        if now - sighting.since >= self._settings.settle:
            return True
        if not sighting.is_placed:
            return False
        if now - sighting.placed_since < SECOND_LOOK:
            return False
        return nobody_writes(self._incoming / name)

    @property
    def has_waiting(self) -> bool:
        """Whether the last scan saw any file that could become a job."""
        return any(name not in self._unmoved for name in self._seen)

    @property
    def waiting(self) -> set[str]:
        """The names that the last scan saw."""
        return set(self._seen)

    def take(self, name: str, now: float) -> Admitted | Refused:
        """Admit or refuse one file, and move it out of `incoming/`.

        Parameters
        ----------
        now : float
            Monotonic seconds, as in `ready`.

        Raises
        ------
        OSError
            When the disk, not the file, is at fault: it stays, and is ready again after a while.
        """
        try:
            taken = self._take(name)
        except OSError:
            self._not_before[name] = now + _CALM
            self._mend()
            raise
        if isinstance(taken, Admitted) and taken.stays is not None:
            self._not_before[name] = now + _CALM
            self._mend()
        else:
            self._seen.pop(name, None)
            self._unmoved.pop(name, None)
        return taken

    def _take(self, name: str) -> Admitted | Refused:
        path = self._incoming / name
        shown = _printable(name)
        try:
            data = jobfile.read_job_file(path, self._settings.limits.file_bytes)
            admission = self._admit(data, shown)
        except InvalidJob as invalid:
            return self._refused(path, shown, invalid.problems)
        except (OSError, MemoryError, sqlite3.Error):
            raise  # the machine's fault, not the file's: it stays and is taken later
        except Exception as error:
            log.exception("%s could not be checked", shown)
            problem = Problem("", f"The file could not be checked: {type(error).__name__}: {error}")
            return self._refused(path, shown, (problem,))
        is_first = self._unmoved.get(name) != admission.job_id
        try:
            failpoint("spool.accepted.before")
            self._move(path, self._spool / "accepted" / _fit(f"{admission.job_id}-{shown}"))
        except OSError as error:
            # It is a job, and recognised as that one when it is met again: only the move is left.
            self._unmoved[name] = admission.job_id
            return Admitted(shown, admission, is_first, stays=error)
        return Admitted(shown, admission, is_first)

    def _mend(self) -> None:
        """Make directories of the spool that somebody took away, for the next try."""
        with suppress(SpoolUnusable):
            make_directories(self._spool)

    def _move(self, path: Path, target: Path) -> None:
        path.rename(target)
        failpoint("spool.moved")
        # It has moved. That this survives a power cut is not worth a second try: it would only
        # be moved again.
        with suppress(OSError):
            sync_directory(target.parent)
            sync_directory(path.parent)

    def _admit(self, data: bytes, name: str) -> Admission:
        digest = hashlib.sha256(data).hexdigest()
        known = self._store.find_submission(name, digest)
        if known is not None:
            return known
        spec, warnings = jobfile.examine(data, name, self._settings)
        return self._store.admit(
            with_seeds(spec, _draw_seed),
            name=name,
            data=data,
            digest=digest,
            estimator=self._catalog.estimator_label(spec.estimator),
            warnings=[str(warning) for warning in warnings],
            now=datetime.now(UTC),
        )

    def _refused(self, path: Path, name: str, problems: tuple[Problem, ...]) -> Refused:
        rejected = self._spool / "rejected"
        target = _free(rejected, _not_a_report(_fit(name, room=len(REPORT_SUFFIX) + _NUMBER_ROOM)))
        report = jsontext.document(
            file=name,
            refused_at=datetime.now(UTC).isoformat(timespec="seconds"),
            problems=[problem.to_dict() for problem in problems],
        )
        beside = target.with_name(f"{target.name}{REPORT_SUFFIX}")
        failpoint("spool.rejected.report.before")
        with replacing(beside) as file:
            file.write(jsontext.dumps(report, indent=2).encode() + b"\n")
        try:
            failpoint("spool.rejected.file.before")
            self._move(path, target)
        except OSError:
            with suppress(OSError):
                beside.unlink()  # nobody is to read of a refusal that has not taken place
            raise
        return Refused(name, problems)


def _draw_seed() -> int:
    return secrets.randbelow(2**31)


def _printable(name: str) -> str:
    """Return the name as text that any record can hold, whatever bytes it was made of."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _fit(name: str, room: int = 0) -> str:
    """Shorten a name at its stem so that it fits a file system, with `room` bytes to spare."""
    stem, dot, suffix = name.rpartition(".")
    if not stem:
        stem, dot, suffix = name, "", ""
    allowed = _MAX_NAME - room - len((dot + suffix).encode())
    return stem.encode()[: max(allowed, 1)].decode("utf-8", "ignore") + dot + suffix


def _not_a_report(name: str) -> str:
    """Keep a refused file from being called as foldq's reports are, which the commands read."""
    stem = name.removesuffix(REPORT_SUFFIX)
    return name if stem == name else f"{stem}.error_.json"


def _free(directory: Path, name: str) -> Path:
    """Return a path in the directory that nothing has: the name, or the name with a number."""

    def tries() -> Iterator[Path]:
        yield directory / name
        stem, dot, suffix = name.rpartition(".")
        number = 2
        while True:
            yield directory / (f"{stem}-{number}{dot}{suffix}" if stem else f"{name}-{number}")
            number += 1

    return next(path for path in tries() if not os.path.lexists(path))

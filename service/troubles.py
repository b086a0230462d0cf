"""What keeps the scheduler from working as it should: collected, told once, and shown.

A trouble lasts until what it stands for works again: a full disk, a directory without the right to
write, no engines. It is logged when it comes, changes or goes, never once for each try, and it
stands in the lock file, where `foldq status` finds it whatever the state of the disk.
"""

import errno
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Literal, get_args

from service import logs

log = logging.getLogger("foldq")

Source = Literal["records", "engines", "results", "files", "metrics"]
SOURCES: tuple[Source, ...] = get_args(Source)

#: Troubles of one source that are shown each; of more, their number.
_SHOWN = 3


class Troubles:
    """The present troubles of one scheduler.

    Parameters
    ----------
    publish : callable
        Takes the text of all troubles together, or None when there is none. An OSError of it
        changes nothing: the log has been told.
    """

    def __init__(self, publish: Callable[[str | None], None]) -> None:
        self._publish = publish
        self._reasons: dict[Source, dict[str, str]] = {}
        self._published: str | None = None

    @property
    def present(self) -> Mapping[Source, Mapping[str, str]]:
        """Return the troubles of each source, by what they are about."""
        return self._reasons

    @property
    def text(self) -> str | None:
        """All troubles in one line; None when there is none."""
        parts: list[str] = []
        for reasons in self._reasons.values():
            told = list(dict.fromkeys(reasons.values()))
            parts += told[:_SHOWN]
            if (n_more := len(told) - _SHOWN) > 0:
                parts.append(f"and {n_more} more of the kind")
        return "; ".join(parts) or None

    def report(self, source: Source, because: str | None, about: str = "") -> None:
        """Say why something does not work, or with None that it works again.

        Parameters
        ----------
        about : str
            Tells the troubles of one source apart, such as those of several files.
        """
        reasons = self._reasons.setdefault(source, {})
        before = reasons.get(about)
        because = None if because is None else " ".join(because.split())
        if because == before:
            return
        if because is None:
            del reasons[about]
            log.info("over: %s", before, extra=logs.about("trouble over", source=source))
        else:
            reasons[about] = because
            log.error("%s", because, extra=logs.about("trouble", source=source))
        self._tell()

    def keep(self, source: Source, prefix: str, names: set[str]) -> None:
        """Forget the troubles whose `about` begins with a prefix, but those of some names."""
        for about in list(self._reasons.get(source, ())):
            if about.startswith(prefix) and about.removeprefix(prefix) not in names:
                self.report(source, None, about)

    @contextmanager
    def noting(self, source: Source, what: str, about: str = "") -> Iterator[None]:
        """Report an OSError of the block, and go on after it; without one the trouble is over.

        Parameters
        ----------
        what : str
            The beginning of the sentence that the error ends: "incoming/ cannot be read".
        """
        try:
            yield
        except OSError as error:
            self.report(source, f"{what}: {reason(error)}", about)
        else:
            self.report(source, None, about)

    def _tell(self) -> None:
        text = self.text
        if text != self._published:
            self._published = text
            with suppress(OSError):
                self._publish(text)


def reason(error: OSError) -> str:
    """Say what the system said, about which file, and what to do about it."""
    said = (error.strerror or str(error)).lower()
    named = error.filename if isinstance(error.filename, (str, bytes)) else ""
    named = os.fsencode(named).decode("utf-8", "replace")
    hint = _HINTS.get(error.errno or 0)
    return said + (f" ({named})" if named else "") + (f": {hint}" if hint else "")


_HINTS = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room, or have the quota raised",
    errno.EFBIG: "the limit on the size of files is reached (ulimit -f)",
    errno.EROFS: "mount it for writing",
    errno.EACCES: "give the scheduler's user the right",
    errno.EPERM: "give the scheduler's user the right",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "raise the system's limit on open files (fs.file-max)",
}

"""The scheduler's log: people read stderr, and `logs/foldq.log` keeps what happened.

A log that cannot be written is no reason to stop, nor to fill stderr with tracebacks.
"""

import io
import logging
import logging.handlers
import os
from pathlib import Path

from service.printable import printable

FILE_NAME = "foldq.log"
_MAX_BYTES = 5_000_000
_KEPT = 5


class _Kept(logging.handlers.RotatingFileHandler):
    """The log's file: opened when there is something to write, tried again with each line."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=_MAX_BYTES, backupCount=_KEPT, encoding="utf-8", delay=True)

    def _open(self) -> io.TextIOWrapper:
        def owners(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, "a", encoding=self.encoding, opener=owners)

    def doRollover(self) -> None:  # noqa: N802
        """Begin a new file; where the old one cannot be renamed, go on with it."""
        try:
            super().doRollover()
        except OSError:
            if self.stream is not None and self.stream.closed:
                self.stream = None  # opened again by what is written next


class _PlainText(logging.Formatter):
    """Records as text that commands no terminal; only the first line of each begins at the left."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record)).replace("\n", "\n    ")


def start_logging(directory: Path) -> None:
    """Send the log of this process to stderr and to a file in `directory`, which is rotated."""
    logging.raiseExceptions = False
    kept = _Kept(directory / FILE_NAME)
    kept.setFormatter(_PlainText("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    shown = logging.StreamHandler()
    shown.setFormatter(_PlainText("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("foldq")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [kept, shown]

"""The scheduler's log: people read stderr and `logs/foldq.log`, programs `logs/foldq.jsonl`.

Both files have the same lines; in the second each is a JSON object that names the event, and the
job, task, batch and engine that it is about. A log that cannot be written is no reason to stop, nor
to fill stderr with tracebacks.
"""

import io
import logging
import logging.handlers
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.operating import LogSettings
from service import jsontext
from service.printable import printable
from service.records import timestamp

FILE_NAME = "foldq.log"
JSON_NAME = "foldq.jsonl"

#: What a line is called that does not say which event it tells of.
_NO_EVENT = "message"


def about(event: str, *, aside: bool = False, **facts: Any) -> dict[str, Any]:
    """Give what a line of the log is about: `log.info(…, extra=about("job moved", job=7))`.

    Parameters
    ----------
    event : str
        Named as in the table `event` of the records, where it stands there too.
    aside : bool
        Only for the files: nobody who looks on at a terminal needs it.
    **facts
        `job`, `task`, `batch`, `engine` (numbers in the records), and whatever else there is to
        know; JSON values. What is None is left out.
    """
    return {"foldq": {"event": event, **facts}, "foldq_aside": aside}


class _Kept(logging.handlers.RotatingFileHandler):
    """A file of the log: opened when there is something to write, tried again with each line."""

    def __init__(self, path: Path, settings: LogSettings) -> None:
        super().__init__(
            path,
            maxBytes=settings.size,
            backupCount=settings.kept,
            encoding="utf-8",
            delay=True,
        )

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


class _JsonLine(logging.Formatter):
    """Records as one line of ASCII each, whatever they tell of."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {"event": _NO_EVENT, **getattr(record, "foldq", {})}
        line = {
            "time": timestamp(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            "event": facts.pop("event"),
            "message": record.getMessage(),
            "logger": record.name,
            **{name: fact for name, fact in facts.items() if fact is not None},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return jsontext.dumps(line)


def start_logging(directory: Path, settings: LogSettings | None = None) -> None:
    """Send the log of this process to stderr and to files in `directory`, which are rotated."""
    settings = settings or LogSettings()
    logging.raiseExceptions = False
    kept = _Kept(directory / FILE_NAME, settings)
    kept.setFormatter(_PlainText("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    shown = logging.StreamHandler()
    shown.setFormatter(_PlainText("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    shown.addFilter(lambda record: not getattr(record, "foldq_aside", False))
    handlers: list[logging.Handler] = [kept, shown]
    if settings.json_lines:
        lines = _Kept(directory / JSON_NAME, settings)
        lines.setFormatter(_JsonLine())
        handlers.append(lines)
    logger = logging.getLogger("foldq")
    logger.setLevel(settings.level.upper())
    logger.propagate = False
    logger.handlers = handlers

"""The scheduler's log: people read stderr, and `logs/foldq.log` keeps what happened."""

import logging
import logging.handlers
from pathlib import Path

FILE_NAME = "foldq.log"
_MAX_BYTES = 5_000_000
_KEPT = 5


def start_logging(directory: Path) -> None:
    """Send the log of this process to stderr and to a file in `directory`, which is rotated."""
    kept = logging.handlers.RotatingFileHandler(
        directory / FILE_NAME, maxBytes=_MAX_BYTES, backupCount=_KEPT, encoding="utf-8"
    )
    (directory / FILE_NAME).chmod(0o600)
    kept.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    shown = logging.StreamHandler()
    shown.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("foldq")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [kept, shown]

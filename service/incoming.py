"""Which files in `incoming/` are meant to become jobs. Kept apart: the commands look there too."""

import os
from pathlib import Path

#: What editors and copying programs call a file that is not finished.
_UNFINISHED = (".tmp", ".part", "~")


def is_meant(name: str) -> bool:
    """Tell whether a file of this name is to be admitted or refused, rather than left alone."""
    return not name.startswith(".") and not name.endswith(_UNFINISHED)


def has_waiting(spool: Path) -> bool:
    """Tell whether any file waits for a scheduler to take it."""
    try:
        with os.scandir(spool / "incoming") as entries:
            return any(is_meant(entry.name) for entry in entries)
    except FileNotFoundError:
        return False

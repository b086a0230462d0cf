"""Load the fitted winner of a search, and trust no more than has to be."""

import os
import stat
from pathlib import Path
from typing import Any

from service.notebook.faults import NotFinished


class UntrustedModel(RuntimeError):
    """The saved model is a pickle that somebody else may have written."""


def load_model(directory: Path, refitted: dict[str, Any]) -> Any:
    """Load a model as the records say it was saved.

    A skops file is opened with the types that were recorded when foldq wrote it: one that holds
    others now is refused by skops. A joblib file is a pickle and could run anything; it is opened
    only if it belongs to the user who opens it and nobody else may write to it.

    Parameters
    ----------
    directory : Path
        `results/<job id>`.
    refitted : dict
        `schemas.task.Refitted`, from the records.

    Raises
    ------
    NotFinished
        The file is gone.
    UntrustedModel
        The pickle is not safely one's own.
    """
    path = directory / str(refitted["file"])
    if not path.is_file():
        raise NotFinished(f"the model is no longer at {path}")
    if refitted["format"] == "skops":
        import skops.io

        return skops.io.load(path, trusted=list(refitted.get("trusted") or []))
    for place in (directory, path):
        facts = place.lstat()
        writable = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if stat.S_ISLNK(facts.st_mode) or facts.st_uid != os.geteuid() or writable:
            raise UntrustedModel(
                f"{place} is a link, belongs to another user, or may be written by others, and "
                f"{path.name} is a pickle, which could run anything. If you trust it: "
                f"joblib.load({str(path)!r})"
            )
    import joblib

    return joblib.load(path)

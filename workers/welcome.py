"""What an engine does when it is welcomed: make itself ready, say what it is."""

import importlib
import importlib.metadata
import os
import platform
import socket

import schemas
from schemas.task import EngineReport

#: Imported before the first task, so that none of its time goes into that.
WARM = (
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "sklearn.svm",
    "workers.fold",
    "workers.orders",
)

#: Packages whose version decides the numbers or the pickles that cross.
_VERSIONED = ("scikit-learn", "numpy", "scipy", "pandas", "joblib", "ipyparallel")


def versions() -> dict[str, str]:
    """Return the versions that have to agree between engines and scheduler."""
    found = {name: importlib.metadata.version(name) for name in _VERSIONED}
    major, minor, _ = platform.python_version_tuple()
    return {"python": f"{major}.{minor}", "foldq": schemas.__version__} | found


def warm_up() -> None:
    """Import what folds need."""
    for module in WARM:
        importlib.import_module(module)


def welcome() -> EngineReport:
    """Import what folds need and report host, process and versions."""
    warm_up()
    return EngineReport(socket.gethostname(), os.getpid(), versions())

"""The figures of all parts, in one file: a part that is measured again takes its old place."""

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

#: Beside these programs.
RESULTS = Path(__file__).with_name("results.json")

_PACKAGES = ("scikit-learn", "numpy", "scipy", "joblib", "ipyparallel", "dask-ml", "distributed")


def machine() -> dict[str, Any]:
    """Say on what was measured: nothing that names the machine."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def load(path: Path = RESULTS) -> dict[str, Any]:
    """Read the figures; none when nothing was measured yet."""
    return json.loads(path.read_text()) if path.exists() else {}


def save(path: Path, part: str, measured: Any, *, rounds: int | None) -> None:
    """Put the figures of one part into the file, with when and on what they were taken."""
    figures = load(path)
    figures[part] = {"machine": machine(), "rounds": rounds, "measured": measured}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=1) + "\n")

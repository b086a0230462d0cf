"""What the torture has found so far, in one file: a run that was broken off goes on from there."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from workers.atomic import replacing


class State:
    """Figures and failures of each part.

    Parameters
    ----------
    directory : Path
        Made if it is not there. Holds `state.json` and, while a part runs, its spools.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._path = directory / "state.json"
        self._parts: dict[str, dict[str, Any]] = {}
        if self._path.exists():
            self._parts = json.loads(self._path.read_bytes())

    def __getitem__(self, part: str) -> dict[str, Any]:
        return self._parts.setdefault(part, {"failures": [], "seconds": 0.0, "complete": False})

    def save(self) -> None:
        """Write it down."""
        with replacing(self._path) as file:
            file.write(json.dumps(self._parts, indent=1).encode())

    def forget(self, part: str) -> None:
        """Begin a part anew."""
        self._parts.pop(part, None)

    def fail(self, part: str, what: object) -> None:
        """Write down a failure; the part goes on."""
        self[part]["failures"].append(str(what))
        say(f"FAILED: {what}")
        self.save()


def say(text: str) -> None:
    """Tell whoever watches."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def spread(values: list[float]) -> dict[str, float]:
    """Median, 95th percentile and largest of some figures."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    return {"n": len(ordered), "median": at(0.5), "p95": at(0.95), "max": ordered[-1]}

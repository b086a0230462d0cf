"""What the processes of a local cluster are started with, as the settings have it."""

import hashlib
import platform
import sys
from pathlib import Path
from typing import Any

import schemas
from schemas.settings import Settings
from service.memory import total_memory

#: Missed heartbeats after which the controller gives an engine up; the period is a setting.
_MAX_MISSES = 40

#: Share of the machine's memory that one engine may use, if the settings do not say.
_MEMORY_SHARE = 0.8


class Blueprint:
    """Orders for the fork server (see `workers.forkserver`).

    Parameters
    ----------
    directory : Path
        The cluster's.
    settings : Settings
    """

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._settings = settings

    @property
    def key(self) -> str:
        """What decides whether processes of an earlier scheduler can be used."""
        settings = self._settings
        parts = (
            *(schemas.__version__, platform.python_version(), sys.executable),
            *(settings.heartbeat, settings.cluster.listen, settings.cluster.uses_curve),
            self.engine_memory,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]

    @property
    def engine_memory(self) -> int:
        """Bytes that one engine may use."""
        return self._settings.engine_memory or int(_MEMORY_SHARE * total_memory())

    def controller(self, cluster_id: str) -> dict[str, Any]:
        """Return the order for a controller."""
        arguments = [
            *self._common_arguments(cluster_id),
            f"--ip={self._settings.cluster.listen}",
            "--nodb",  # the engines keep what a next scheduler may ask for
            "--usethreads",
            f"--HeartMonitor.period={self._settings.heartbeat}",
            f"--HeartMonitor.max_heartmonitor_misses={_MAX_MISSES}",
            f"--IPController.enable_curve={self._settings.cluster.uses_curve}",
        ]
        return {"do": "controller", "cluster": cluster_id, "arguments": arguments}

    def engine(self, cluster_id: str) -> dict[str, Any]:
        """Return the order for one engine."""
        arguments = [
            *self._common_arguments(cluster_id),
            "--IPEngine.enable_nanny=False",
            # The fork server ends it when it is not needed; it need not listen for a controller.
            "--IPEngine.max_heartbeat_misses=0",
        ]
        return {"do": "engine", "arguments": arguments, "memory": self.engine_memory}

    def connection_file(self, cluster_id: str) -> Path:
        """Where a controller writes down how clients reach it."""
        security = self._directory / "profile" / "security"
        return security / f"ipcontroller-{cluster_id}-client.json"

    def _common_arguments(self, cluster_id: str) -> list[str]:
        return [
            f"--profile-dir={self._directory / 'profile'}",
            f"--cluster-id={cluster_id}",
            "--log-level=ERROR",
        ]

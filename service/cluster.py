"""The cluster: started or joined, connected to, replaced when it is lost, left or ended.

What takes time is done one after the other in a thread of its own, beside the loop.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ipyparallel as ipp

from schemas.settings import Settings
from service.calls import ignore_output
from service.facts import ClusterFailed, NeverCame
from service.localcluster import LocalCluster
from service.roll import Roll

log = logging.getLogger("foldq.engines")

#: Seconds that a controller may take to come up.
_CONTROLLER_PATIENCE = 30.0

#: Seconds between two questions to the controller.
_HUB_PERIOD = 1.0


class Cluster:
    """A controller that engines register with, and the client's connection to it.

    Parameters
    ----------
    settings : Settings
    directory : Path
        Where a local cluster keeps its socket, connection files and log (owner only).
    tell : callable
        Takes what goes wrong; called from a thread of its own.
    roll : Roll
        Forgotten with each connection.
    local : LocalCluster, optional
        The local cluster, should it have been started ahead.

    Attributes
    ----------
    local : LocalCluster or None
        None when somebody else started the cluster.
    client : ipyparallel.Client or None
        None when there is no connection.
    is_stopping, is_replacing : bool
    """

    def __init__(
        self,
        settings: Settings,
        directory: Path,
        tell: Callable[[ClusterFailed | NeverCame], None],
        roll: Roll,
        local: LocalCluster | None = None,
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._roll = roll
        self.local: LocalCluster | None = None
        if not settings.cluster.is_running:
            self.local = local or LocalCluster(directory, settings)
        self.client: ipp.Client | None = None
        self.is_stopping = False
        self.is_replacing = False
        self._hub_heard = 0.0
        self._starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starter")

    @property
    def name(self) -> str:
        """What the records call this cluster."""
        if self.local is not None:
            return self.local.name
        cluster = self._settings.cluster
        return str(cluster.connection_file or cluster.cluster_id or cluster.profile)

    # --- start -----------------------------------------------------------------------------

    def attach(self, *, expected: bool) -> bool:
        """Connect to the cluster that an earlier scheduler left; whether that could be done.

        Parameters
        ----------
        expected : bool
            Whether the records know of engines: without, somebody else's cluster is not asked.
        """
        if self.local is not None:
            if not self.local.attach():
                return False
        elif not expected:
            return False
        try:
            self._connect()
        except Exception as error:
            log.warning("the cluster of the last scheduler cannot be reached: %s", error)
            self._give_up()
            return False
        return True

    def start(self) -> None:
        """Begin to start or reach it, and return at once."""
        self._starter.submit(self._start)

    def start_one(self) -> None:
        """Start one more local engine."""
        self._starter.submit(self._start_one)

    def replace(self, n_engines: int) -> None:
        """Have another one in its place, with so many engines (see `claim`)."""
        self._starter.submit(self._replace, n_engines)

    def claim(self) -> bool:
        """Whether it falls to the caller to have it replaced: not if that is done already."""
        with self._roll.lock:
            if self.is_replacing or self.is_stopping:
                return False
            self.is_replacing = True
            return True

    def _start(self) -> None:
        try:
            if self.client is None:
                self._start_all(self._settings.engines)
            elif self.local is not None:
                running = [pid for pid, role in self.local.roles.items() if role == "engine"]
                joined = set(self._roll.pids)
                self.local.starting.update(
                    {pid: time.monotonic() for pid in running if pid not in joined}
                )
                for _ in range(self._settings.engines - self.local.n_engines):
                    self.local.start_engine()
                if len(running) > self._settings.engines:
                    log.info(
                        "%d engines are still there, more than the %d asked for: they stay,"
                        " and those that die are not replaced",
                        len(running),
                        self._settings.engines,
                    )
        except Exception as error:
            self._failed(error)

    def _start_one(self) -> None:
        if self.local is not None and self.client is not None and not self.is_stopping:
            if self.local.n_engines >= self._settings.engines:
                return  # the last scheduler had more of them
            try:
                self.local.start_engine()
            except OSError as error:
                self._tell(NeverCame(f"an engine could not be started: {error}"))

    def _replace(self, n_engines: int) -> None:
        try:
            self._give_up()
            self._start_all(n_engines)
        except Exception as error:
            self._failed(error)
        finally:
            self.is_replacing = False

    def _start_all(self, n_engines: int) -> None:
        if self.local is not None and not self.is_stopping:
            self.local.launch()
            self._await_connection_file(self.local)
            for _ in range(n_engines - self.local.n_engines):
                self.local.start_engine()
        if not self.is_stopping:
            self._connect()

    def _failed(self, error: Exception) -> None:
        if not self.is_stopping:
            self._give_up()
            self._tell(ClusterFailed(f"{type(error).__name__}: {error}"))

    def _await_connection_file(self, local: LocalCluster) -> None:
        deadline = time.monotonic() + _CONTROLLER_PATIENCE
        while not local.is_reachable:
            if self.is_stopping:
                return
            if time.monotonic() > deadline:
                raise TimeoutError("the controller did not come up")
            time.sleep(0.02)

    # --- the connection --------------------------------------------------------------------

    def silent_for(self, now: float) -> float:
        """Seconds since the controller answered."""
        return now - self._hub_heard

    def excuse(self, now: float) -> None:
        """Let the silence until now not count: nobody listened."""
        self._hub_heard = now
        if self.local is not None:
            self.local.excuse()

    def _connect(self) -> None:
        where: dict[str, Any] = {}
        if self.local is not None:
            where["connection_info"] = str(self.local.connection_file)
        else:
            cluster = self._settings.cluster
            if cluster.connection_file is not None:
                where["connection_info"] = str(cluster.connection_file)
            if cluster.profile is not None:
                where["profile"] = cluster.profile
            if cluster.cluster_id is not None:
                where["cluster_id"] = cluster.cluster_id
        client = ipp.Client(**where)
        ignore_output(client)
        self._hub_heard = time.monotonic()
        self.client = client
        threading.Thread(target=self._watch_hub, args=(client,), name="hub", daemon=True).start()

    def _watch_hub(self, client: ipp.Client) -> None:
        """Ask the controller for a sign of life, again and again: only its answer counts."""
        queue_status = client.queue_status
        while client is self.client and not self.is_stopping:
            with contextlib.suppress(Exception):  # an answer that complains is an answer
                queue_status()
            if client is self.client:
                self._hub_heard = time.monotonic()
            time.sleep(_HUB_PERIOD)

    # --- end -------------------------------------------------------------------------------

    def stop(self) -> None:
        """Leave an external cluster; end a local one, whatever state its processes are in."""
        self.is_stopping = True
        self._starter.shutdown(wait=True, cancel_futures=True)
        self._disconnect()
        if self.local is not None:
            self.local.end()

    def _give_up(self) -> None:
        self._disconnect()
        if self.local is not None:
            self.local.end_processes()

    def _disconnect(self) -> None:
        """Let go of the client, which may never come back from closing, and of what it knew."""
        client, self.client = self.client, None
        self._roll.clear()
        if client is not None:
            closing = threading.Thread(target=_close, args=(client,), name="closing", daemon=True)
            closing.start()
            closing.join(timeout=2)


def _close(client: ipp.Client) -> None:
    with contextlib.suppress(Exception):
        client.close(linger=0)

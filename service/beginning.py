"""What a scheduler does first, before it imports what takes seconds.

It takes the spool, and has its engines begin to come up: their imports and its own go on at once.
Light, therefore.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from schemas.settings import Settings
from service import lock
from service.layout import check_writable, make_directories
from service.localcluster import LocalCluster


@dataclass
class Beginning:
    """A spool that is held, and the cluster that comes up for it.

    Attributes
    ----------
    cluster : LocalCluster or None
        None when the engines are those of a cluster that somebody else started.
    """

    held: lock.Hold
    cluster: LocalCluster | None
    is_left: bool = False

    def leave(self) -> None:
        """Leave spool and cluster to a process that was forked: it has them alone from now on."""
        self.is_left = True
        self.held.release()

    def take_over(self) -> None:
        """Have them, in the process that was forked."""
        self.held.take_over()


@contextmanager
def begin(settings: Settings, *, ahead: bool = True) -> Iterator[Beginning]:
    """Hold the spool for the length of the block, with engines that come up meanwhile.

    Parameters
    ----------
    ahead : bool
        False where everything is imported already: the scheduler starts its engines itself, when it
        has put the records right.

    Raises
    ------
    service.lock.SpoolHeld
        If another scheduler holds the spool.
    service.layout.SpoolUnusable
        If there is no room or no right to begin with.
    """
    make_directories(settings.spool)
    check_writable(settings.spool)
    with lock.hold(settings.spool) as held:
        cluster = None
        if not settings.cluster.is_running:
            cluster = LocalCluster(settings.spool / "cluster", settings)
            if ahead:
                cluster.start_ahead()
        beginning = Beginning(held, cluster)
        try:
            yield beginning
        finally:
            if cluster is not None and not beginning.is_left:
                cluster.end_ahead()

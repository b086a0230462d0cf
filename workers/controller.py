"""The controller of a local cluster: ipyparallel's, with two things changed.

Its Hub keeps the id of every message ever completed, some 150 bytes each, to tell late answers from
unknown ones in its log. A search of days has many millions: here they are forgotten.

Its heart monitor tells the Hub of a new engine's first heartbeat when the next one is due, and the
engine is not registered before: here it tells at once.
"""

import os
from collections.abc import Sequence
from typing import Any

from ipyparallel.controller import app, heartmonitor
from ipyparallel.controller.hub import Hub

from workers.deathsignal import die_with

#: Completed messages that are remembered, and then forgotten all at once.
KEPT = 10_000


class ForgetfulHub(Hub):  # type: ignore[misc]
    """A Hub that forgets what is long completed."""

    def save_queue_result(self, idents: Sequence[bytes], msg: dict[str, Any]) -> None:
        """Take note that a message was answered."""
        super().save_queue_result(idents, msg)
        if len(self.all_completed) > KEPT:
            self.all_completed.clear()
            for completed in self.completed.values():
                completed.clear()


class EagerHeartMonitor(heartmonitor.HeartMonitor):  # type: ignore[misc]
    """A heart monitor that tells of a new heart as soon as it beats."""

    def handle_pong(self, msg: Sequence[bytes]) -> None:
        """Take note that a heart beat."""
        super().handle_pong(msg)
        if new := self.responses - self.hearts:
            self.handle_new_hearts(new)


def run(arguments: Sequence[str]) -> None:
    """Be a controller until its end."""
    controller = os.getpid()

    def monitor_hearts(**arguments: Any) -> None:
        die_with(controller)
        heartmonitor.HeartMonitor = EagerHeartMonitor
        heartmonitor.start_heartmonitor(**arguments)

    app.Hub = ForgetfulHub
    app.start_heartmonitor = monitor_hearts  # a process of its own, which would stay behind
    app.IPController.launch_instance(argv=list(arguments))

"""The controller of a local cluster: ipyparallel's, with a memory that does not grow.

Its Hub keeps the id of every message ever completed, some 150 bytes each, to tell late answers from
unknown ones in its log. A search of days has many millions.
"""

import os
from collections.abc import Sequence
from typing import Any

from ipyparallel.controller import app
from ipyparallel.controller.heartmonitor import start_heartmonitor
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


def run(arguments: Sequence[str]) -> None:
    """Be a controller until its end."""
    controller = os.getpid()

    def heartmonitor(**arguments: Any) -> None:
        die_with(controller)
        start_heartmonitor(**arguments)

    app.Hub = ForgetfulHub
    app.start_heartmonitor = heartmonitor  # a process of its own, which would stay behind
    app.IPController.launch_instance(argv=list(arguments))

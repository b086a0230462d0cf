"""The controller of a local cluster: ipyparallel's, with two things changed.

Its Hub keeps the id of every message ever completed, some 150 bytes each, to tell late answers from
unknown ones in its log. A search of days has many millions: here they are forgotten.

Its heart monitor asks a new engine for its first heartbeat when the next one of all is due, and
tells the Hub of it one later; the engine is not registered before. Here it asks as soon as the
engine has connected, and tells at once.
"""

import os
from collections.abc import Sequence
from typing import Any

import zmq
from ipyparallel.controller import app, heartmonitor
from ipyparallel.controller.hub import Hub
from zmq.eventloop.zmqstream import ZMQStream

from workers.deathsignal import die_with

#: Completed messages that are remembered, and then forgotten all at once.
KEPT = 10_000

#: Seconds from an engine's connecting to when it surely listens for a heartbeat.
_LISTENS_AFTER = 0.02


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
    """A heart monitor that asks a new heart at once, and tells of it as soon as it beats."""

    _is_asking = False

    def start(self) -> None:
        """Begin to send heartbeats, and to notice who connects."""
        super().start()
        arrivals = self.ping_stream.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        self._arrivals = ZMQStream(arrivals)
        self._arrivals.on_recv(self._connected)

    def _connected(self, _event: Sequence[bytes]) -> None:
        if not self._is_asking:
            self._is_asking = True
            self.loop.call_later(_LISTENS_AFTER, self._ask_again)

    def _ask_again(self) -> None:
        """Send the last heartbeat once more: nobody's answer is missed, as by one out of turn."""
        self._is_asking = False
        self.ping_stream.send(str(self.lifetime).encode("ascii"))

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

"""Tells a service manager (systemd, `Type=notify`) how far the scheduler is."""

import os
import socket
from contextlib import suppress


def notify(state: str) -> None:
    """Tell whoever started this process as a service: `READY=1`, `STOPPING=1`; else nobody.

    The protocol is that of sd_notify(3): a datagram to the socket that `NOTIFY_SOCKET` names.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(state.encode(), address)

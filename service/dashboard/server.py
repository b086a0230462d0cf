"""Serves the dashboard on 127.0.0.1 until it is told to stop."""

import signal
import socket
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.settings import Settings

HOST = "127.0.0.1"

#: The port where nobody asks for one, and how many after it are tried when it is in use.
PORT = 8365
_NEXT = 20

#: Seconds that open requests have to end.
_PATIENCE = 2


class PortTaken(RuntimeError):
    """Something else listens on the port that was asked for, or it is not for everybody."""

    def __init__(self, port: int, error: OSError) -> None:
        self.next_step = "Give another port, or none: then the next free one is taken."
        said = (error.strerror or str(error)).lower()
        super().__init__(f"Port {port} of {HOST} cannot be had: {said}.")


def listen(port: int | None) -> socket.socket:
    """Listen on that port; without one, on the usual port or the next that is free.

    Parameters
    ----------
    port : int or None
        0: any that is free.

    Raises
    ------
    PortTaken
    """
    tried = [*range(PORT, PORT + _NEXT), 0] if port is None else [port]
    for number in tried:
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # A dashboard that ended a moment ago leaves connections behind, but no listener.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((HOST, number))
            taken.listen(128)
        except OSError as error:
            taken.close()
            if number == tried[-1]:
                raise PortTaken(number, error) from error
        else:
            return taken
    raise AssertionError("some port was tried")


def address(listening: socket.socket, token: str = "") -> str:
    """Give the address of the dashboard; with the token it is the one to open."""
    port = listening.getsockname()[1]
    return f"http://{HOST}:{port}/" + (f"?token={token}" if token else "")


def serve(settings: "Settings", listening: socket.socket, token: str) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    import uvicorn

    from service.dashboard.app import make_app

    config = uvicorn.Config(
        make_app(settings, token),
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=_PATIENCE,
    )
    # uvicorn ends well on either signal, and then sends it once more to whoever had it before.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), listening:
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def opened(url: str) -> Iterator[None]:
    """Open the address in a browser for the length of the block.

    By a file that leads there: the arguments of a browser's process, and so the token, could be
    seen by everybody on the machine.
    """
    with tempfile.TemporaryDirectory(prefix="foldq-") as directory:  # for its owner only
        page = Path(directory) / "dashboard.html"
        page.write_text(f'<meta http-equiv="refresh" content="0; url={escape(url)}">')
        # In a thread: a browser in the terminal would keep us until it is left.
        threading.Thread(target=webbrowser.open, args=(page.as_uri(),), daemon=True).start()
        yield

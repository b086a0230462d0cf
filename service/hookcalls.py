"""One call of a hook: a process that is given the job, watched, and ended in time.

A command is run as it stands in the settings, never by a shell; an address is called by
`service/webhook.py`. Either is a process of its own, so that nothing it does, and no server that is
slow to answer, can hold up the scheduler. It ends with the scheduler.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.operating import Hook
from service import jsontext
from service.printable import printable
from workers import deathsignal

#: What a command inherits of the scheduler's environment: where to find programs, and how to write
#: and tell the time. Nothing that may be secret.
_INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR",
    "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY",
)  # fmt: skip

#: What our own caller of addresses inherits besides.
_INHERITED_BY_CALLER = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
)  # fmt: skip

_CALLER = Path(__file__).with_name("webhook.py")

#: Seconds between asking a call that took too long to end, and ending it.
_LAST_WORDS = 2.0

#: Bytes of its output that are looked at, from the end.
_TAIL = 4000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended.

    Attributes
    ----------
    error : str or None
        Why it failed; None when it went well.
    """

    error: str | None
    seconds: float


class HookCall:
    """A call under way.

    Parameters
    ----------
    hook : Hook
    document : mapping
        The job as JSON, for its standard input or the body of the request.
    variables : mapping of str to str
        What a command finds in its environment besides.
    directory : Path
        Where it runs.
    timeout : float
        Seconds it may take.

    Raises
    ------
    OSError
        If no process can be started.
    """

    def __init__(
        self,
        hook: Hook,
        document: Mapping[str, Any],
        variables: Mapping[str, str],
        directory: Path,
        timeout: float,
    ) -> None:
        body = jsontext.dumps(document)
        inherited: tuple[str, ...] = _INHERITED
        if hook.url is None:
            assert hook.command is not None
            command, given = hook.command, body
        else:
            # By its standard input: arguments can be read by everybody on the machine.
            inherited += _INHERITED_BY_CALLER
            command = [sys.executable, "-I", str(_CALLER)]
            asked = {"url": hook.url, "headers": hook.headers, "body": body, "timeout": timeout}
            given = jsontext.dumps(asked)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in inherited or name.startswith("LC_")
        }
        told = {name: printable(value) for name, value in variables.items()}
        self._began = time.monotonic()
        self._deadline = self._began + timeout
        self._timeout = timeout
        self._was_asked = False
        self._is_ours = hook.url is not None
        self._said = b""
        with _memory(given.encode()) as stdin:
            self._process = subprocess.Popen(
                [sys.executable, "-I", deathsignal.__file__, str(os.getpid()), *command],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env={**environment, **told},
                start_new_session=True,  # its own children end with it
            )
        assert self._process.stdout is not None
        self._output = self._process.stdout.fileno()
        os.set_blocking(self._output, False)

    def look(self) -> Ended | None:
        """Return how it ended; None while it is under way. To be called all the time."""
        self._listen()
        if os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            now = time.monotonic()
            if now >= self._deadline:
                self._signal(signal.SIGKILL if self._was_asked else signal.SIGTERM)
                self._was_asked = True
                self._deadline = now + _LAST_WORDS
            return None
        self._listen()
        self._close()
        seconds = time.monotonic() - self._began
        code = self._process.returncode
        if self._was_asked:
            return Ended(f"it took longer than {self._timeout:g} s", seconds)
        if code == 0:
            return Ended(None, seconds)
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        lines = printable(self._said.decode("utf-8", "replace")).split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        if self._is_ours and code > 0 and last:
            return Ended(last[:300], seconds)
        return Ended(f"{how}: {last[:300]}" if last else how, seconds)

    def end(self) -> None:
        """End it now."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)
        self._close()

    def _listen(self) -> None:
        """Read what it said, so that it need not wait; keep the end of it."""
        with suppress(BlockingIOError):
            for _ in range(16):  # whoever talks without end is read again at the next look
                said = os.read(self._output, 1 << 16)
                if not said:
                    return
                self._said = (self._said + said)[-_TAIL:]

    def _close(self) -> None:
        """End what is left of it, before its number can be given to another process."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def _memory(content: bytes) -> Any:
    """Return an open file in memory: a full disk keeps nobody from being told."""
    file = os.fdopen(os.memfd_create("foldq-hook"), "r+b")
    file.write(content)
    file.flush()
    file.seek(0)
    return file

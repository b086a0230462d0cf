"""Sends one POST, as a process of its own: `python -I webhook.py`, what to send on its stdin.

Only the standard library, and only HTTP: a redirect is not followed, whatever it leads to. What is
printed names no address, because part of it may be secret.
"""

import base64
import json
import sys
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit


def send(url: str, headers: dict[str, str], body: str, timeout: float) -> str | None:
    """Send a POST; return why it failed, or None.

    Parameters
    ----------
    url : str
        http or https. A user's name and password in it are sent as Basic authentication.
    headers : dict of str to str
        Sent besides, or in place of, the usual ones.
    timeout : float
        Seconds for each step of it.
    """
    parts = urlsplit(url)
    usual = {"Content-Type": "application/json", "User-Agent": "foldq"}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        usual["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
    address = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
    request = urllib.request.Request(address, body.encode(), {**usual, **headers}, method="POST")
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    try:
        opener.open(request, timeout=timeout).close()
    except urllib.error.HTTPError as error:
        with error:
            if 300 <= error.code < 400:
                return f"the server answered {error.code}: it wants another address to be called"
            return f"the server answered {error.code} {error.reason}"
    except urllib.error.URLError as error:
        return f"the server cannot be reached: {error.reason}"
    except (OSError, ValueError) as error:
        return f"no answer: {error}"
    return None


def main() -> int:
    """Send what stdin says; the exit code is 0 if the server took it."""
    asked: dict[str, Any] = json.load(sys.stdin)
    error = send(asked["url"], asked["headers"], asked["body"], asked["timeout"])
    if error is not None:
        sys.stdout.write(error + "\n")
    return 0 if error is None else 1


if __name__ == "__main__":
    sys.exit(main())

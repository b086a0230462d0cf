"""Who may ask the dashboard: this machine's browser, by its own name, with the token, to read.

Listening on 127.0.0.1 keeps other machines out, and no more. Still there are

- other people on this machine, who can connect to the port: they lack the token;
- pages of other sites in the same browser, which can send requests here and, by a name of theirs
  that comes to stand for 127.0.0.1 (DNS rebinding), even read the answers: a foreign Host is
  refused, and so is what a browser says another page asked for.
"""

import secrets
from collections.abc import Iterable
from hashlib import sha256
from html import escape
from typing import Any
from urllib.parse import parse_qsl, urlencode

#: An ASGI application's own types are dictionaries and callables without names.
Scope = dict[str, Any]
App = Any

#: Names of this machine as seen from itself. The port is not looked at: through an SSH tunnel it is
#: another one, and no foreign name resolves to these.
OWN_NAMES = frozenset({"127.0.0.1", "localhost"})

_METHODS = frozenset({"GET", "HEAD"})

#: What a browser says of a request's origin: the dashboard's own pages, or the person (address bar,
#: bookmark). "same-site" is any other port of this machine, and as foreign as "cross-site".
_OWN_ORIGINS = frozenset({b"", b"same-origin", b"none"})

#: Datasette's pages have scripts of their own between their lines; but nothing comes from
#: elsewhere, and nothing goes there.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'self'"
)

_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
)

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{head}
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 36rem;
  margin: 15vh auto; padding: 0 1rem }}
</style></head><body><h1>{title}</h1><p>{text}</p></body></html>
"""

_LOCKED = (
    "This dashboard asks for its token. Open the address that <code>foldq dashboard</code> printed"
    " when it was started; it is a new one each time."
)


def new_token() -> str:
    """Return a token that nobody guesses: 32 random bytes, in letters that a URL takes."""
    return secrets.token_urlsafe(32)


class Guard:
    """Lets through what is asked by the right name, from here, with the token, for reading.

    Parameters
    ----------
    app : ASGI application
    token : str
        What the first address carries, and from then on a cookie. Scripts send it as
        `Authorization: Bearer TOKEN`.
    """

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token.encode()
        # Cookies know no ports: two dashboards, each behind its own tunnel, have two names.
        self.cookie = f"foldq-{sha256(self._token).hexdigest()[:8]}"

    async def __call__(self, scope: Scope, receive: App, send: App) -> None:
        """Answer a request, or have it answered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])

        async def send_guarded(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", []) if pair[0] != b"server"]
                message = {**message, "headers": [*kept, *_HEADERS]}
            await send(message)

        if _host(headers.get(b"host", b"")) not in OWN_NAMES:
            text = "This dashboard answers to 127.0.0.1 and localhost only."
            await _answer(send_guarded, 421, "Not this name", text)
        elif scope["method"] not in _METHODS:
            text = "The dashboard only shows; nothing can be changed here."
            await _answer(send_guarded, 405, "Read-only", text, [(b"allow", b"GET, HEAD")])
        elif token := _token_of(scope):
            await self._let_in(scope, send_guarded, token)
        elif headers.get(b"sec-fetch-site", b"") not in _OWN_ORIGINS:
            text = 'Another page led here. To go on by yourself: <a href="/">the dashboard</a>.'
            await _answer(send_guarded, 403, "From elsewhere", text)
        elif not self._knows(headers):
            challenge = [(b"www-authenticate", b'Bearer realm="foldq"')]
            await _answer(send_guarded, 401, "Locked", _LOCKED, challenge)
        else:
            await self._app(scope, receive, send_guarded)

    async def _let_in(self, scope: Scope, send: App, token: bytes) -> None:
        """Put the token into a cookie and go on to the address without it.

        By a page rather than by a redirection: the cookie is `SameSite=Strict`, and would not be
        sent along with one that began in another program's page.
        """
        if not self._is_right(token):
            await _answer(send, 401, "Locked", _LOCKED)
            return
        rest = [(k, v) for k, v in parse_qsl(_query(scope), True) if k != "token"]
        # One slash at the beginning: two would be another machine's address.
        path = "/" + scope["path"].lstrip("/") + (f"?{urlencode(rest)}" if rest else "")
        cookie = f"{self.cookie}={self._token.decode()}; Path=/; HttpOnly; SameSite=Strict"
        text = f'<a href="{escape(path)}">Go on</a>'
        head = f'<meta http-equiv="refresh" content="0; url={escape(path)}">'
        more = [(b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
        await _answer(send, 200, "foldq", text, more, head=head)

    def _knows(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer":
            return self._is_right(token.strip())
        name = self.cookie.encode()
        cookies = (part.strip().partition(b"=") for part in headers.get(b"cookie", b"").split(b";"))
        return any(key == name and self._is_right(value) for key, _, value in cookies)

    def _is_right(self, token: bytes) -> bool:
        return secrets.compare_digest(token, self._token)


def _host(header: bytes) -> str:
    return header.decode("latin-1").rpartition(":")[0].lower() or header.decode("latin-1").lower()


def _query(scope: Scope) -> str:
    return bytes(scope.get("query_string", b"")).decode("latin-1")


def _token_of(scope: Scope) -> bytes | None:
    """Return the token in the address, if there is one."""
    for key, value in parse_qsl(_query(scope), True):
        if key == "token":
            return value.encode()
    return None


async def _answer(
    send: App,
    status: int,
    title: str,
    text: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
    *,
    head: str = "",
) -> None:
    body = _PAGE.format(title=title, text=text, head=head).encode()
    about = [(b"content-type", b"text/html; charset=utf-8"), *headers]
    about.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": about})
    await send({"type": "http.response.body", "body": body})

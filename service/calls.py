"""Calling functions on one engine through ipyparallel's client, without what it does besides.

Its views make half a dozen futures for each call, keep what the engine prints, and hold on to all
of it until the engine has said that it is idle again. Here a call has one future and ends with the
answer; what engines print is not listened to, since nobody reads it here.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import ipyparallel as ipp
import zmq
from ipyparallel.serialize import PrePickled


def ignore_output(client: ipp.Client) -> None:
    """Have the client take in what engines answer, and not what they print."""
    client._io_loop.add_callback(client._iopub_socket.setsockopt, zmq.UNSUBSCRIBE, b"")


def call(
    client: ipp.Client,
    identity: str,
    function: Callable[..., Any],
    *arguments: Any,
    then: Callable[[Callable[[], Any]], None],
) -> None:
    """Have an engine call a function, after all that it was sent before.

    Parameters
    ----------
    client : ipyparallel.Client
        One that ignores output.
    identity : str
        The engine, as ipyparallel knows it.
    then : callable
        Called when the answer is there, from a thread of the client: with a function that returns
        what the engine's returned, or raises ipyparallel's `RemoteError`.

    Raises
    ------
    Exception
        When it cannot be sent.
    """
    future = client.send_apply_request(
        client._mux_stream,
        _pickled(function),
        [PrePickled(argument) for argument in arguments],
        ident=identity.encode(),
    )
    client.history.clear()  # ipyparallel keeps every message id for ever otherwise
    future.add_done_callback(lambda _: then(lambda: _answer(future.result())))
    # With that the client forgets the call.
    future.add_done_callback(lambda _: future.output.done() or future.output.set_result(None))


@cache
def _pickled(function: Callable[..., Any]) -> PrePickled:
    return PrePickled(function)


def _answer(result: Any) -> Any:
    if isinstance(result, Exception):
        raise result
    return result

"""The part of an engine that takes orders and answers them: ipyparallel's, without its detours.

ipyparallel takes up a message in some tasks of its event loop, one after the other, tells whoever
listens that it is busy and idle again, from another thread, and waits for both: 3 ms for each
order, in which nothing is computed. Here an order is carried out where it was received.
"""

from collections.abc import Sequence
from signal import SIGINT, default_int_handler, signal
from typing import Any

import zmq
from ipyparallel.engine.kernel import IPythonParallelKernel


class PromptKernel(IPythonParallelKernel):  # type: ignore[misc]
    """A kernel that begins on the next order as soon as it has answered the last one."""

    def start(self) -> None:
        """Begin to take messages."""
        super().start()
        self._take_otherwise = self.shell_stream._recv_callback
        self.shell_stream.on_recv(self._take, copy=False)

    def _take(self, frames: Sequence[zmq.Frame]) -> Any:
        """Carry out an order; what else an engine may be asked goes the ordinary way."""
        _, parts = self.session.feed_identities(frames, copy=False)
        if self.session.unpack(parts[1].bytes)["msg_type"] != "apply_request":
            return self._take_otherwise(frames)
        idents, parts = self.session.feed_identities(frames, copy=False)
        try:
            message = self.session.deserialize(parts, content=True, copy=False)
        except ValueError:  # not signed by who may give orders
            self.log.error("Invalid Message", exc_info=True)
            return None
        self._answer(idents, message)
        return None

    def _answer(self, idents: Sequence[bytes], message: dict[str, Any]) -> None:
        self.set_parent(idents, message)
        # Without the time at which it was taken up, which the client would read from its spelling.
        metadata: dict[str, Any] = {"dependencies_met": True}
        content, buffers = self._carry_out(message, metadata)
        self.session.send(
            self.shell_stream.socket,  # at once: nothing else is ever sent there
            "apply_reply",
            content,
            parent=message,
            ident=idents,
            buffers=buffers,
            metadata=self.finish_metadata(message, metadata, content),
        )

    def _carry_out(
        self, message: dict[str, Any], metadata: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        """Do what the message says. SIGINT interrupts that, and nothing before or after it."""
        try:
            before = signal(SIGINT, default_int_handler)
            try:
                content, buffers = self.do_apply(
                    message["content"], message["buffers"], message["header"]["msg_id"], metadata
                )
            finally:
                signal(SIGINT, before)
        except KeyboardInterrupt:  # it came just before, or when all was done
            told = {"status": "error", "ename": "KeyboardInterrupt", "evalue": "", "traceback": []}
            return {**told, "engine_info": self.get_engine_info(method="apply")}, []
        return content, buffers

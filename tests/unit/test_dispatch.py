"""How a call reaches an engine and its answer comes back, without the processes in between."""

import asyncio
import logging
import os
import signal
import time
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import zmq
from ipyparallel.client.futures import MessageFuture
from ipyparallel.error import RemoteError
from ipyparallel.serialize import deserialize_object, pack_apply_message, unpack_apply_message
from jupyter_client.session import Session
from zmq.eventloop.zmqstream import ZMQStream

from service.calls import call
from service.daemon import ENGINE_POLL, IDLE_POLL, Daemon
from service.timers import Timers
from workers.kernel import PromptKernel

KEY = b"key"


def double(number):
    return 2 * number


def fail(text):
    raise ValueError(text)


def be_interrupted(_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


class Wires:
    """A kernel as an engine has it, and the other ends of its sockets. In a running loop."""

    def __init__(self, key=KEY):
        self.context = zmq.Context()
        shell, self.client = self._pair(zmq.ROUTER, zmq.DEALER)
        heard, self.listener = self._pair(zmq.PUB, zmq.SUB)
        self.listener.subscribe(b"")
        self.session = Session(key=key)
        PromptKernel.clear_instance()
        self.kernel = PromptKernel(
            session=Session(key=KEY),
            iopub_socket=heard,
            shell_stream=ZMQStream(shell),
            user_ns={},
            log=logging.getLogger("kernel"),
        )
        self.kernel.start()

    def _pair(self, kind, other):
        here, there = self.context.socket(kind), self.context.socket(other)
        there.connect(f"tcp://127.0.0.1:{here.bind_to_random_port('tcp://127.0.0.1')}")
        return here, there

    def ask(self, function, argument):
        buffers = pack_apply_message(function, (argument,), {})
        self.session.send(self.client, "apply_request", {}, buffers=buffers)

    async def answer(self, seconds=10.0):
        deadline = time.monotonic() + seconds
        while not self.client.poll(0):
            assert time.monotonic() < deadline, "nothing was answered"
            await asyncio.sleep(0.005)
        _, parts = self.session.feed_identities(self.client.recv_multipart())
        return self.session.deserialize(parts)

    def heard(self):
        """Return what kinds of messages were published."""
        kinds = []
        while self.listener.poll(0):
            _, parts = self.session.feed_identities(self.listener.recv_multipart())
            kinds.append(self.session.deserialize(parts)["msg_type"])
        return kinds

    def close(self):
        self.context.destroy(linger=0)


def on_wires(story, **options):
    async def told():
        wires = Wires(**options)
        try:
            await story(wires)
        finally:
            wires.close()

    with patch.dict(os.environ):  # the kernel says there that it wants colours
        asyncio.run(told())


class TestTheKernelOfAnEngine:
    def test_orders_that_wait_are_carried_out_in_turn_and_nobody_is_told_of_it(self):
        async def story(wires):
            await asyncio.sleep(0.2)
            wires.heard()
            for number in range(3):
                wires.ask(double, number)
            answers = [await wires.answer() for _ in range(3)]
            results = [deserialize_object(answer["buffers"])[0] for answer in answers]
            assert results == [0, 2, 4]
            await asyncio.sleep(0.2)
            assert wires.heard() == []

        on_wires(story)

    def test_what_an_order_raises_is_its_answer(self):
        async def story(wires):
            wires.ask(fail, "no such thing")
            content = (await wires.answer())["content"]
            assert (content["status"], content["ename"]) == ("error", "ValueError")
            assert content["evalue"] == "no such thing"

        on_wires(story)

    def test_an_interrupt_ends_the_order_that_runs_and_the_next_one_is_carried_out(self):
        async def story(wires):
            before = signal.getsignal(signal.SIGINT)
            wires.ask(be_interrupted, None)
            wires.ask(double, 4)
            content = (await wires.answer())["content"]
            assert (content["status"], content["ename"]) == ("error", "KeyboardInterrupt")
            assert deserialize_object((await wires.answer())["buffers"])[0] == 8
            assert signal.getsignal(signal.SIGINT) is before, "else it would end the engine"

        on_wires(story)

    def test_an_interrupt_that_comes_when_all_is_done_is_answered_as_one(self, monkeypatch):
        async def story(wires):
            def late(*_):
                raise KeyboardInterrupt

            monkeypatch.setattr(wires.kernel, "do_apply", late)
            wires.ask(double, 4)
            assert (await wires.answer())["content"]["ename"] == "KeyboardInterrupt"

        on_wires(story)

    def test_what_is_no_order_goes_the_ordinary_way(self):
        async def story(wires):
            wires.session.send(wires.client, "kernel_info_request", {})
            assert (await wires.answer())["msg_type"] == "kernel_info_reply"

        on_wires(story)

    def test_an_order_that_is_not_signed_is_not_carried_out(self):
        async def story(wires):
            wires.ask(double, 4)
            with pytest.raises(AssertionError, match="nothing was answered"):
                await wires.answer(seconds=0.5)

        on_wires(story, key=b"another key")


class Client:
    """What of ipyparallel's client a call needs."""

    def __init__(self):
        self._mux_stream = "the way to engines"
        self.history = []
        self.sent = []

    def send_apply_request(self, socket, function, arguments, ident):
        assert socket == self._mux_stream
        buffers = pack_apply_message(function, arguments, {})
        future = MessageFuture(f"message {len(self.sent)}")
        future.output = MessageFuture(future.msg_id)
        self.history.append(future.msg_id)
        self.sent.append(SimpleNamespace(ident=ident, buffers=buffers, future=future))
        return future


class TestACall:
    def test_the_function_goes_to_the_engine_with_its_arguments(self):
        client = Client()
        call(client, "engine-1", double, 21, then=lambda _: None)
        (sent,) = client.sent
        function, arguments, _ = unpack_apply_message(sent.buffers)
        assert sent.ident == b"engine-1"
        assert function(*arguments) == 42

    def test_its_answer_comes_back_and_then_the_client_has_nothing_of_it(self):
        client, answers = Client(), []
        call(client, "engine-1", double, 21, then=lambda answer: answers.append(answer()))
        (sent,) = client.sent
        sent.future.set_result(42)
        assert answers == [42]
        assert sent.future.output.done(), "the client keeps a call until its output is there"
        assert client.history == []

    def test_an_error_of_the_engine_is_raised_where_the_answer_is_asked_for(self):
        client, answers = Client(), []
        call(client, "engine-1", double, 21, then=answers.append)
        client.sent[0].future.set_result(RemoteError("EngineError", "died", "", {}))
        with pytest.raises(RemoteError, match="died"):
            answers[0]()


class TestWaiting:
    """How long the scheduler's loop sleeps when no engine has anything to tell."""

    def loop(self, **changed):
        parts = {
            "_searches": SimpleNamespace(is_planning=False),
            "_intake": SimpleNamespace(next_scan=10.2),
            "_pruner": SimpleNamespace(is_at_work=False),
            "_next_look": 10.0 + ENGINE_POLL,
            "_timers": Timers(),
            "_traffic": SimpleNamespace(is_under_way=True),
            "_draining": False,
        }
        return SimpleNamespace(**{**parts, **changed})

    def pause(self, **changed):
        return pytest.approx(Daemon._pause(self.loop(**changed), 10.0))

    def test_while_engines_work_it_sleeps_until_its_next_look_at_them(self):
        assert self.pause() == ENGINE_POLL

    def test_with_idle_engines_or_records_to_forget_it_looks_more_often(self):
        assert self.pause(_traffic=SimpleNamespace(is_under_way=False)) == IDLE_POLL
        assert self.pause(_pruner=SimpleNamespace(is_at_work=True)) == IDLE_POLL

    def test_it_wakes_for_a_second_look_at_a_file_and_for_what_was_put_off(self):
        assert self.pause(_intake=SimpleNamespace(next_scan=10.02)) == 0.02
        assert self.pause(_timers=SimpleNamespace(next_due=10.01)) == 0.01

    def test_it_does_not_sleep_while_candidates_are_left_to_plan(self):
        assert self.pause(_searches=SimpleNamespace(is_planning=True)) == 0.0

    def test_a_scan_that_is_overdue_because_it_is_stopping_keeps_it_awake_no_longer(self):
        overdue = SimpleNamespace(next_scan=9.0)
        assert self.pause(_intake=overdue) == 0.0
        assert self.pause(_intake=overdue, _draining=True) == ENGINE_POLL

"""Limits under which an engine computes: threads, memory, and time for one fold."""

import ctypes
import gc
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from threadpoolctl import threadpool_limits

_threads: int | None = None


class FoldTimeout(BaseException):
    """A fold ran past its time limit.

    Not an `Exception`, so that estimators which catch those of their inner fits let it pass.
    """


def limit_threads(n: int) -> None:
    """Let BLAS and OpenMP use `n` threads in this process from now on."""
    global _threads
    if n != _threads:
        threadpool_limits(limits=n)
        _threads = n


def limit_memory(n_bytes: int | None) -> None:
    """Let this process allocate `n_bytes` at most: beyond that, allocating raises MemoryError.

    Files mapped into memory, such as the prepared data sets, do not count. (RLIMIT_DATA; Linux
    counts private anonymous mappings in it since 4.7, see setrlimit(2).)
    """
    if n_bytes is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        soft = n_bytes if hard == resource.RLIM_INFINITY else min(n_bytes, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def give_back_memory() -> None:
    """Give memory that is free within this process back to the system, where the C library can."""
    gc.collect()  # estimators may refer to themselves in a circle
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _expired(_signal: int, _frame: FrameType | None) -> None:
    raise FoldTimeout


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `FoldTimeout` in the body after `seconds`.

    It reaches Python code; for C code that does not return, the scheduler ends the engine.
    """
    before = signal.signal(signal.SIGALRM, _expired)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

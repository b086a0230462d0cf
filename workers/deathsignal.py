"""A process that does not outlive its parent, however that ends."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Have the kernel end this process when its parent ends (Linux; see prctl(2)).

    A child that this process forks has to ask for itself.

    Parameters
    ----------
    parent : int
        Process id of the parent. If it is gone by now, this process ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def outlive_parent() -> None:
    """Take back what `die_with` asked for: this process goes on when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, 0)

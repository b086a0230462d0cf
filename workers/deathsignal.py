"""A process that does not outlive its parent, however that ends.

`python -I deathsignal.py PARENT PROGRAM ARGUMENT…` becomes that program, and ends with its parent.
"""

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


if __name__ == "__main__":
    die_with(int(sys.argv[1]))
    try:
        os.execvp(sys.argv[2], sys.argv[2:])
    except OSError as error:
        sys.exit(f"{sys.argv[2]} cannot be run: {error.strerror}")

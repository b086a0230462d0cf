"""Whether anybody still writes a file: the kernel knows, and is asked with a lease.

A read lease (fcntl(2), `F_SETLEASE`) is granted on a file that no process has open for writing. It
is given back in the same breath. Linux grants it to the file's owner, on file systems of its own.
"""

import fcntl
import os
import signal
from pathlib import Path

#: fcntl(2); Python's module does not name it.
_F_SETSIG = 10


def nobody_writes(path: Path) -> bool:
    """Tell whether no process has the file open for writing; False where that cannot be known."""
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Should somebody open the file at this instant, the kernel says so with a signal; the
        # usual one would end this process, this one does nothing.
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True

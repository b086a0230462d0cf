"""How much memory there is for this machine's processes: the container's limit, if it has one."""

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def total_memory() -> int:
    """Return the bytes that all processes may use together."""
    limit = _cgroup_limit()
    total = int(psutil.virtual_memory().total)
    return total if limit is None else min(total, limit)


def available_memory() -> int:
    """Return the bytes that can still be used before the machine, or the container, runs out."""
    available = int(psutil.virtual_memory().available)
    limit, used = _cgroup_limit(), _cgroup_used()
    if limit is not None and used is not None:
        available = min(available, max(limit - used, 0))
    return available


def _cgroup_limit() -> int | None:
    text = _read("memory.max")
    return None if text in ("", "max") else int(text)


def _cgroup_used() -> int | None:
    """Bytes in use; file pages that the kernel can drop at any time do not count."""
    text = _read("memory.current")
    if not text:
        return None
    for line in _read("memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return max(int(text) - int(value), 0)
    return int(text)


def _read(name: str) -> str:
    try:
        return (_CGROUP / name).read_text().strip()
    except OSError:
        return ""

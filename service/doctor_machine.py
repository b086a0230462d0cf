"""What `foldq doctor` sees of this machine: processes left behind, memory, open files."""

import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from service.patient import MEBI, Finding, Patient
from service.sizes import size

#: Open files: what the controller and the scheduler need for themselves, and for each engine.
FILES_AT_LEAST = 128
FILES_PER_ENGINE = 8

#: Memory that an engine takes before it has any data.
MEMORY_PER_ENGINE = 150 * MEBI


def processes(patient: Patient) -> Finding | None:
    """Tell what a scheduler that is gone has left running."""
    directory = patient.spool / "cluster"
    if patient.holder is not None or not directory.is_dir():
        return None
    alive = [
        f"{role} {process.pid}"
        for path in sorted(directory.glob("*.json"))
        for role, process in _written_down(path)
    ]
    if not alive:
        return Finding("processes", "ok", "no scheduler, and none of its processes left")
    return Finding(
        "processes",
        "warning",
        f"a scheduler that is gone left {len(alive)} running: {', '.join(alive)}",
        f"foldq serve; without it they end by themselves after {patient.settings.grace:g} s",
    )


def _written_down(path: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the living processes that a file tells of: whatever in it has a `pid` and a time."""
    try:
        found: list[Any] = [json.loads(path.read_bytes())]
    except (OSError, ValueError):
        return
    while found:
        entry = found.pop()
        if isinstance(entry, list):
            found += entry
        elif isinstance(entry, dict):
            found += entry.values()
            pid, created = entry.get("pid"), entry.get("created", entry.get("create_time"))
            if isinstance(pid, int) and isinstance(created, int | float) and is_alive(pid, created):
                yield str(entry.get("role", "process")), psutil.Process(pid)


def is_alive(pid: int, created: float | None = None) -> bool:
    """Tell whether a process of this machine runs, and is the one that was started then."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return created is None or abs(process.create_time() - created) < 1.0
    except psutil.Error:
        return False


def memory(patient: Patient) -> Finding:
    """Tell whether the engines find room beside each other."""
    free = min(psutil.virtual_memory().available, _memory_of_group())
    engines = patient.n_engines
    told = f"{size(free)} available"
    if patient.holder is not None or not engines:  # the engines have theirs already
        if free < MEMORY_PER_ENGINE:
            fix = "fewer engines (engines = N in foldq.toml), or smaller data"
            return Finding("memory", "warning", f"only {told}", fix)
        return Finding("memory", "ok", told)
    each = f"{told}, {size(free / engines)} for each of {engines} engines"
    if free < engines * MEMORY_PER_ENGINE:
        enough = max(1, int(free // MEMORY_PER_ENGINE))
        told = f"only {each}, which take {size(MEMORY_PER_ENGINE)} before they have any data"
        return Finding("memory", "warning", told, f"foldq serve --engines {enough}")
    return Finding("memory", "ok", each)


def _memory_of_group() -> float:
    """Return what is left of the memory that a container or a service may take at most."""
    left = float("inf")
    try:
        (line,) = [
            line
            for line in Path("/proc/self/cgroup").read_text().splitlines()
            if line.startswith("0::")
        ]
        group = Path("/sys/fs/cgroup") / line.removeprefix("0::").lstrip("/")
        for place in (group, *group.parents):
            limit = place / "memory.max"
            if limit.is_file() and (most := limit.read_text().strip()) != "max":
                used = int((place / "memory.current").read_text())
                left = min(left, max(0, int(most) - used))
    except (OSError, ValueError):
        pass
    return left


def open_files(patient: Patient) -> Finding:
    """Tell whether the limit of open files is high enough for the number of engines."""
    limit, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    whose = "here"
    held = patient.holder
    if held is not None and held.host == socket.gethostname() and is_alive(held.pid):
        try:
            limit, highest = psutil.Process(held.pid).rlimit(resource.RLIMIT_NOFILE)
            whose = "of the scheduler"
        except psutil.Error:
            pass
    needed = FILES_AT_LEAST + FILES_PER_ENGINE * patient.n_engines
    told = f"at most {_count(limit)} {whose}, about {needed} needed for {patient.n_engines} engines"
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return Finding("open files", "ok", told)
    can_rise = highest == resource.RLIM_INFINITY or highest >= needed
    fix = f"ulimit -n {needed} before foldq serve" if can_rise else "fewer engines, or ask an admin"
    return Finding("open files", "critical", told, fix)


def _count(limit: int) -> str:
    return "any number" if limit == resource.RLIM_INFINITY else str(limit)

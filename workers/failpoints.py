"""Places where a test may end the scheduler at once, as a power cut or `kill -9` would.

`failpoint("store.plan.commit.before")` does nothing, unless one of two variables was set when this
module was imported:

- `FOLDQ_FAILPOINT`: `name:hit` ends the process without any farewell, with exit code 137, when the
  point is reached for that time (1 is the first). Several, separated by commas: whichever comes
  first. Empty: none yet, `arm` names them later.
- `FOLDQ_FAILPOINT_LOG`: a file to which each point reached adds its name, a line each.

Both are taken out of the environment, so that engines and controller started here do not inherit
them. `POINTS` says of every point what has happened there and what has not.
"""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

#: What a shell reports of a process that `kill -9` ended.
EXIT_CODE = 137

_POINT_VARIABLE = "FOLDQ_FAILPOINT"
_LOG_VARIABLE = "FOLDQ_FAILPOINT_LOG"

#: Every point in the source, and the moment it stands for.
POINTS: Mapping[str, str] = {
    # Starting.
    "lock.taken": "the spool is locked; the records are not open yet",
    "store.migrated": "the tables are there; nothing was read yet",
    "daemon.reattached": "engines that outlived the last scheduler are known; none is on record so",
    "store.recover.commit.before": "what the last scheduler left open is put right, uncommitted",
    "store.recover.commit.after": "what the last scheduler left open is put right",
    "daemon.rejoined": "the core knows those engines and what they had in hand",
    "daemon.engines.started": "the cluster was asked for; no job is taken up yet",
    "cluster.fork_server.started": "the parent of a local cluster was started",
    "cluster.controller.asked": "a local controller was asked for; nobody waits for it",
    "cluster.engine.asked": "a local engine was asked for; it may join without a scheduler",
    "daemon.job.taken_up": "a job of an earlier scheduler is in memory again",
    "daemon.collect.before": "an engine that lived on is about to be asked for what it did",
    "daemon.collected": "engines that lived on were asked for what they did",
    # A file becomes a job, or is refused.
    "store.admit.commit.before": "a new job is written, uncommitted",
    "store.admit.commit.after": "a new job is on record; its file still lies in incoming/",
    "spool.accepted.before": "the file of a job on record, new or known, is about to be moved",
    "spool.rejected.report.before": "a file is found wrong; nothing says so yet",
    "spool.rejected.file.before": "the report lies in rejected/, the file still in incoming/",
    "spool.moved": "the file is in accepted/ or rejected/, its directory not yet synced",
    "spool.submit.link.before": "`foldq submit` wrote the file beside; it is not visible yet",
    "spool.submit.link.after": "the file has two names in incoming/, one of them hidden",
    "spool.submit.unlink.after": "the file is in incoming/, its directory not yet synced",
    # Requests of the commands.
    "control.removed.before": "requests are carried out and on record; their files are still there",
    "control.removed.after": "the file of a request, or of what is none, is removed",
    # A turn.
    "store.record.commit.before": "what a turn changes is written, uncommitted",
    "store.record.commit.after": "what a turn changes is on record; nothing of it is carried out",
    "store.note.commit.before": "an event of its own is written, uncommitted",
    "store.note.commit.after": "an event of its own is on record",
    "store.engine_joined.commit.before": "an engine that was welcomed is written, uncommitted",
    "store.engine_joined.commit.after": "an engine is on record; the core does not know it yet",
    "daemon.dispatch.before": "a batch is on record as sent, and was not sent",
    "daemon.dispatch.after": "a batch was sent",
    "daemon.interrupt.before": "an engine is about to be interrupted",
    "daemon.interrupt.after": "an engine was interrupted",
    "daemon.kill.before": "an engine is about to be ended",
    "daemon.kill.after": "an engine was told to end",
    "store.change.commit.before": "what a person set is written, uncommitted",
    "store.change.commit.after": "what a person set is on record; the core does not know it",
    # The steps of a search.
    "store.expect.commit.before": "how many folds there will be is written, uncommitted",
    "store.expect.commit.after": "how many folds there will be is on record; none is planned",
    "store.plan.commit.before": "candidates and folds are written, uncommitted",
    "store.plan.commit.after": "candidates and folds are on record; the core does not know them",
    "store.choose_best.commit.before": "the winner and its refit are written, uncommitted",
    "store.choose_best.commit.after": "the winner is on record; the core does not know its refit",
    "store.retry.commit.before": "failed and cancelled tasks are put back, uncommitted",
    "store.retry.commit.after": "failed and cancelled tasks are put back; the core does not know",
    "conclusion.begun": "a process that concludes a large search was started beside the scheduler",
    "conclusion.ended": "that process is over; nothing of what it found is on record",
    "exports.write.before": "a search is over; none of its result files is written",
    "exports.file.after": "one more result file is there; the job is not recorded as completed",
    "exports.write.after": "all result files are there; the job is not recorded as completed",
    # Any file that replaces another.
    "atomic.create.before": "the hidden file beside is made, and empty",
    "atomic.replace.before": "the hidden file beside is whole and on the disk; nothing is renamed",
    "atomic.replace.after": "the file is in its place, its directory not yet synced",
    # Ending.
    "daemon.close.before": "the loop is over; engines are still there",
    "cluster.quit.asked": "a local cluster was told to end; some of its processes may live",
    "daemon.close.engines_ended": "engines are left or ended; the records say nothing of it yet",
    "daemon.close.after": "all is on record; the lock is still held",
}

_armed: dict[str, int] = {}
_hits: Counter[str] = Counter()
_log: Path | None = None


def arm(points: Mapping[str, int], log: Path | None = None) -> None:
    """Choose the points at which this process ends, and begin to count hits from nothing.

    Takes effect only where a variable was set at import: a process forked from one that was
    started with an empty `FOLDQ_FAILPOINT`.

    Parameters
    ----------
    points : mapping of str to int
        Name -> at which hit, from 1.
    log : Path, optional
        As `FOLDQ_FAILPOINT_LOG`.

    Raises
    ------
    ValueError
        If there is no such point: a sweep would pass without a crash.
    """
    global _log
    if unknown := sorted(set(points) - set(POINTS)):
        raise ValueError(f"no such failpoint: {', '.join(unknown)}; see workers/failpoints.py")
    _armed.clear()
    _armed.update(points)
    _hits.clear()
    _log = log


def _reach(name: str) -> None:
    _hits[name] += 1
    if _log is not None:
        with _log.open("a") as log:
            log.write(f"{name}\n")
    if _armed.get(name) == _hits[name]:
        os._exit(EXIT_CODE)


def _pass(_name: str) -> None:
    """Do nothing: the ordinary case."""


def _read(text: str) -> dict[str, int]:
    points = {}
    for part in filter(None, text.split(",")):
        name, _, hit = part.strip().rpartition(":")
        if not hit.isdigit() or int(hit) < 1:
            raise ValueError(f"{_POINT_VARIABLE}: {part!r} is not name:hit, with hits from 1")
        points[name] = int(hit)
    return points


_wanted = os.environ.pop(_POINT_VARIABLE, None)
_logged = os.environ.pop(_LOG_VARIABLE, None)
#: Reach a point of `POINTS` by its name.
failpoint: Callable[[str], None] = _pass
if _wanted is not None or _logged is not None:
    failpoint = _reach
    arm(_read(_wanted or ""), Path(_logged) if _logged else None)

"""What is called when a job has ended: commands and addresses that the settings name.

That a call is due is recorded in the transaction that ends the job, and forgotten in the one that
records how it went: so each is made at least once, whoever is killed in between. Calls are
processes beside the loop (`service/hookcalls.py`), a few at a time; what fails is tried again, ever
later.
"""

import hashlib
import json
import logging
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.operating import Hook
from schemas.settings import Settings
from service import history, jsontext
from service.hookcalls import Ended, HookCall
from service.logs import about
from service.recorder import insert_event
from service.records import find_job, select, timestamp
from service.store import Store

log = logging.getLogger("foldq.hooks")

#: Calls at the same time.
MOST = 4

#: Seconds between two looks for calls that are due again, and the longest wait for one.
_LOOK = 1.0
_LONGEST_WAIT = 3600.0


@dataclass(frozen=True, slots=True)
class _Due:
    """A call that is to be made: a row of `hook_call`."""

    id: int
    job_id: int
    hook: Hook
    state: str
    ended_at: str
    n_tries: int


class Hooks:
    """The hooks of one scheduler.

    Parameters
    ----------
    settings : Settings
    store : Store
        It is told which calls to record as due when a job ends.
    count : callable
        Is told how each call went: "ok", "failed" or "given_up".
    """

    def __init__(self, settings: Settings, store: Store, count: Callable[[str], None]) -> None:
        self._store = store
        self._count = count
        self._settings = settings.hooks
        self._spool = settings.spool.absolute()
        self._database = settings.database
        self._hooks = {key_of(hook): hook for hook in settings.hooks.job_ended}
        store.hooks = {key: frozenset(hook.on) for key, hook in self._hooks.items()}
        self._under_way: dict[int, tuple[_Due, HookCall]] = {}
        self._has_due = False
        self._next_look = 0.0

    def begin(self) -> None:
        """Take up what the last scheduler left; calls of hooks that are no more are dropped."""
        at = timestamp(datetime.now(UTC))
        keys = ", ".join(f"'{key}'" for key in self._hooks)  # digests

        def drop(db: sqlite3.Connection) -> int:
            rows = db.execute(
                f"DELETE FROM hook_call WHERE hook NOT IN ({keys}) RETURNING job_id"
            ).fetchall()
            for (job_id,) in rows:
                message = "the hook that was to be called is not in the settings any more"
                insert_event(db, at, "hook dropped", message, job_id=job_id)
            return len(rows)

        if self._store.read(lambda db: db.execute("SELECT 1 FROM hook_call").fetchone()):
            self._store.write(drop)
            self.wake()

    def wake(self) -> None:
        """Look for calls that are due at the next step: a job has ended."""
        if self._hooks:
            self._has_due, self._next_look = True, 0.0

    @property
    def is_busy(self) -> bool:
        """Whether a call is under way, or to be made now."""
        return bool(self._under_way) or self._has_due

    def step(self) -> None:
        """See to the calls under way, and begin those that are due. To be called all the time."""
        if not self._hooks:
            return
        for number, (due, call) in list(self._under_way.items()):
            if (ended := call.look()) is not None:
                del self._under_way[number]
                self._conclude(due, ended)
                self._next_look = 0.0
        now = time.monotonic()
        if now >= self._next_look and len(self._under_way) < MOST:
            self._next_look = now + _LOOK
            self._begin_due()

    def close(self) -> None:
        """End the calls under way; the next scheduler makes them again."""
        for _, call in self._under_way.values():
            call.end()
        self._under_way.clear()

    def _begin_due(self) -> None:
        room = MOST - len(self._under_way)
        now = timestamp(datetime.now(UTC))
        rows = self._store.read(
            lambda db: select(
                db,
                "SELECT * FROM hook_call WHERE due_at <= ? ORDER BY due_at, id LIMIT ?",
                (now, MOST + 1),
            ).fetchall()
        )
        waiting = [row for row in rows if row["id"] not in self._under_way]
        self._has_due = len(waiting) > room
        for row in waiting[:room]:
            due = _Due(
                row["id"],
                row["job_id"],
                self._hooks[row["hook"]],
                row["state"],
                row["ended_at"],
                row["n_tries"],
            )
            try:
                self._under_way[due.id] = due, self._call(due)
            except sqlite3.Error:
                raise
            except Exception as error:  # whatever it is, the searches go on
                self._conclude(due, Ended(f"it cannot be called: {error}", 0.0))

    def _call(self, due: _Due) -> HookCall:
        now = datetime.now(UTC)
        job = self._store.read(lambda db: find_job(db, due.job_id))
        told = self._store.read(lambda db: history.as_json(db, job, now))
        told |= {"state": due.state, "finished_at": due.ended_at}  # it may have been put back since
        results = self._spool / "results" / str(job.id)
        document = jsontext.document(event="job ended", spool=str(self._spool), **told)
        variables = {
            "FOLDQ_SPOOL": str(self._spool),
            "FOLDQ_JOB_ID": str(job.id),
            "FOLDQ_JOB_NAME": job.name,
            "FOLDQ_JOB_STATE": due.state,
            "FOLDQ_JOB_REASON": job.reason or "",
            "FOLDQ_JOB_RESULTS": str(results),
        }
        if self._database is not None:
            variables["FOLDQ_DATABASE"] = str(self._database.absolute())
        timeout = self._settings.timeout if due.hook.timeout is None else due.hook.timeout
        return HookCall(due.hook, document, variables, self._spool, timeout)

    def _conclude(self, due: _Due, ended: Ended) -> None:
        """Record how a call went, and when it is tried again if it failed."""
        label, n_tries = due.hook.label, due.n_tries + 1
        now = datetime.now(UTC)
        again: datetime | None = None
        if ended.error is None:
            kind, told = "hook called", f"{label}, in {ended.seconds:.1f} s"
            self._count("ok")
        elif n_tries < self._settings.attempts:
            wait = min(self._settings.backoff * 2.0 ** min(due.n_tries, 30), _LONGEST_WAIT)
            again = now + timedelta(seconds=wait)
            kind = "hook failed"
            told = f"{label}: {ended.error}; again in {wait:g} s"
            self._count("failed")
        else:
            kind = "hook given up"
            told = f"{label}: {ended.error}; that was try {n_tries}, the last"
            self._count("given_up")

        def change(db: sqlite3.Connection) -> None:
            if again is None:
                db.execute("DELETE FROM hook_call WHERE id = ?", (due.id,))
            else:
                db.execute(
                    "UPDATE hook_call SET n_tries = ?, due_at = ? WHERE id = ?",
                    (n_tries, timestamp(again), due.id),
                )
            # It may have been pruned meanwhile.
            if db.execute("SELECT 1 FROM job WHERE id = ?", (due.job_id,)).fetchone():
                insert_event(db, timestamp(now), kind, told, job_id=due.job_id)

        self._store.write(change)
        facts = about(kind, job=due.job_id, hook=label, seconds=round(ended.seconds, 3))
        level = logging.INFO if ended.error is None else logging.WARNING
        log.log(level, "job %d: %s: %s", due.job_id, kind, told, extra=facts)


def key_of(hook: Hook) -> str:
    """Return what a hook is known by in the records, over changes of its time-out or its headers.

    A digest: an address may hold what is secret.
    """
    text = json.dumps([hook.command, hook.url, sorted(hook.on)])
    return hashlib.sha256(text.encode()).hexdigest()

"""Many processes that drop files at once: each file is admitted or refused, and only once."""

import contextlib
import multiprocessing
import random
import shutil
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

from invariants import check_files, check_orderly, check_records
from proving import Ground
from state import State, say
from workloads import TINY, Phase, Workload, as_file

from service import spool

#: Seconds for all files, on however slow and busy a machine.
_TAKEN_WITHIN = 3600.0

#: Of so many files one is a search; the others are wrong, each in one of several ways.
_ONE_IN = 10


def job_files(submitter: int, n_files: int, seed: int) -> list[tuple[str, bytes]]:
    """The files of one submitter; some are the same, to the letter, as another one's."""
    chance = random.Random(f"{seed}:{submitter}")
    files = []
    for n in range(n_files):
        name = f"{submitter}-{n}.json"
        match chance.randrange(_ONE_IN):
            case 0:
                files.append(
                    (f"{submitter}-{n}-search.json", as_file(TINY, name=name, refit=False))
                )
            case 1:
                files.append((f"shared-{n}.json", as_file(TINY, name=f"shared {n}", cv="five")))
            case 2 | 3:
                files.append((name, b"{not: [json"))
            case 4 | 5:
                files.append((name, as_file(TINY, name=name, estimator=f"Estimator{n}")))
            case _:
                files.append((name, as_file(TINY, name=name, cv=-n)))
    return files


def drop_all(incoming: Path, submitter: int, n_files: int, seed: int) -> None:
    """Be a submitter: every second file as `cp` does it, the others as `foldq submit`."""
    beside = incoming.parent.parent / f"of-{submitter}"
    beside.mkdir(exist_ok=True)
    for n, (name, data) in enumerate(job_files(submitter, n_files, seed)):
        if n % 2:
            (beside / name).write_bytes(data)
            shutil.copy(beside / name, incoming / name)
        else:
            # The same file from somebody else may be half there: it will do.
            with contextlib.suppress(spool.AlreadyWaiting):
                spool.submit(incoming.parent, data, name)


def submitters(ground: Ground, state: State, n_submitters: int, n_files: int, seed: int) -> None:
    """Drop all files while a scheduler runs, then look where each one is."""
    part = state["submitters"]
    part["n_files"] = n_submitters * n_files
    context = multiprocessing.get_context("forkserver")
    with ground.play(Workload("submitters", ())) as play:
        play.begin(Phase())
        started = time.time()
        people = [
            context.Process(target=drop_all, args=(play.spool / "incoming", n, n_files, seed))
            for n in range(n_submitters)
        ]
        for person in people:
            person.start()
        try:
            while any(person.is_alive() for person in people):
                play.run(settle=1.0, within=_TAKEN_WITHIN)
                places = {name: len(list((play.spool / name).iterdir())) for name in _PLACES}
                say(f"submitters: {places}")
        except BaseException:
            for person in people:
                person.kill()
            raise
        for person in people:
            person.join()
        play.run(settle=1.0, within=_TAKEN_WITHIN)
        if any(person.exitcode for person in people):
            state.fail("submitters", f"exit codes {[person.exitcode for person in people]}")
        part["seconds_to_take"] = time.time() - started
        dropped = Counter(
            (name, sha256(data).hexdigest())
            for n in range(n_submitters)
            for name, data in job_files(n, n_files, seed)
        )
        try:
            check_records(play.query)
            check_files(play.spool, play.query, dropped)
            check_orderly(play.spool, play.query)
        except AssertionError as error:
            state.fail("submitters", error)
        jobs = play.query("SELECT state FROM job")
        part["n_admitted"] = len(jobs)
        part["n_refused"] = len(dropped) - len(jobs)
        wanted = sum(name.endswith("search.json") for name, _ in dropped)
        if Counter(job["state"] for job in jobs) != Counter(completed=wanted):
            state.fail("submitters", f"{wanted} searches, but {Counter(j['state'] for j in jobs)}")
    say(f"submitters: {part['n_admitted']} admitted, {part['n_refused']} refused")


_PLACES = ("incoming", "accepted", "rejected")

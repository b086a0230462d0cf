"""What foldq adds to the bare fits: small folds on two engines, every one on record.

The work: SVC on iris, 20 values of C × 20 of gamma × 5 folds, 2,000 fits of a few milliseconds.
The ideal is the sum of all fit and score times over the number of engines; measured is the time
from the first dispatch to the last record. Both come from the records of the same run, so that a
slow or busy machine slows both.

    python benchmarks/overhead.py [rounds]
"""

import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

ENGINES = 2

SEARCH = {
    "data": {"loader": "iris"},
    "estimator": "SVC",
    "search": {
        "space": {"C": {"$logspace": [-2, 3, 20]}, "gamma": {"$logspace": [-4, 1, 20]}},
    },
    "refit": False,
    "reuse": False,
}


def measure(database: Path, job_id: int) -> tuple[float, float]:
    """Return the seconds a search took and the seconds that its fits and scores alone need."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as records:
        first, last = records.execute(
            "SELECT min(attempt.submitted_at), max(attempt.finished_at) FROM attempt"
            " JOIN task ON task.id = attempt.task_id WHERE task.job_id = ? AND kind = 'fold'",
            (job_id,),
        ).fetchone()
        (bare,) = records.execute("SELECT fold_seconds FROM job WHERE id = ?", (job_id,)).fetchone()
    took = datetime.fromisoformat(last) - datetime.fromisoformat(first)
    return took.total_seconds(), bare / ENGINES


def wait(database: Path, job_id: int) -> None:
    """Wait until a search is completed."""
    while True:
        with suppress(sqlite3.OperationalError):  # the records are only being made
            with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as records:
                row = records.execute("SELECT state FROM job WHERE id = ?", (job_id,)).fetchone()
            if row == ("completed",):
                return
            if row in (("failed",), ("cancelled",)):
                sys.exit(f"search {job_id}: {row[0]}")
        time.sleep(0.2)


def main(rounds: int) -> None:
    """Run the search `rounds` times after one that warms the engines up, and print the ratios."""
    spool = Path(tempfile.mkdtemp(prefix="foldq-overhead-"))
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "service.cli", "serve", "--spool", spool, "--engines", f"{ENGINES}"],
        stderr=subprocess.DEVNULL,
    )
    try:
        ratios = []
        (spool / "incoming").mkdir(parents=True, exist_ok=True)
        for job_id in range(1, rounds + 2):
            (spool / "incoming" / f"round-{job_id}.json").write_text(json.dumps(SEARCH))
            wait(spool / "foldq.db", job_id)
            took, ideal = measure(spool / "foldq.db", job_id)
            label = "warm-up" if job_id == 1 else f"round {job_id - 1}"
            print(f"{label:8}  {took:6.2f} s, ideal {ideal:6.2f} s, ratio {took / ideal:.3f}")
            if job_id > 1:
                ratios.append(took / ideal)
        print(f"median of {rounds}: {statistics.median(ratios):.3f} × the bare fits and scores")
    finally:
        scheduler.terminate()
        scheduler.wait()
        shutil.rmtree(spool)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

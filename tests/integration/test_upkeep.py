"""Looking after a spool while its scheduler works: doctor, backup and prune."""

import json
import sqlite3
from contextlib import closing


def search(n: int, **more: object) -> dict[str, object]:
    return {
        "data": {"loader": "iris"},
        "estimator": "SVC",
        "search": {"space": {"C": [2.0**i for i in range(n)]}},
        **more,
    }


def test_a_spool_is_looked_after_while_its_scheduler_works(new_scheduler, tmp_path):
    scheduler = new_scheduler().start()
    foldq = scheduler.foldq

    scheduler.drop(search(4), "first.json")
    first = scheduler.wait("first")
    slow = {
        "data": {"loader": "digits"},
        "estimator": {"$type": "RandomForestClassifier", "n_estimators": 25, "random_state": 0},
        "search": {"space": {"max_depth": list(range(1, 13))}},
    }
    scheduler.drop(slow, "slow.json")
    slow = scheduler.wait("slow", state="running")
    foldq("pause", str(slow["id"]))  # so that it has not ended when the others are pruned

    examined = foldq("doctor", "--json")
    told = {finding["subsystem"]: finding for finding in json.loads(examined.stdout)["findings"]}
    assert examined.returncode == 0, examined.stdout
    for subsystem in ("database", "tables", "scheduler", "engines", "connection"):
        assert told[subsystem]["verdict"] == "ok", told[subsystem]

    copy = tmp_path / "copy.db"
    assert foldq("backup", str(copy)).returncode == 0
    with closing(sqlite3.connect(copy)) as records:
        assert records.execute("SELECT name FROM job ORDER BY id").fetchall() == [
            ("first",), ("slow",),
        ]  # fmt: skip
        assert records.execute("PRAGMA foreign_key_check").fetchall() == []

    pruned = foldq("prune", "--older-than", "0s", "--yes")
    assert pruned.returncode == 0, pruned.stderr
    assert "Pruned 1 job with 20 folds" in pruned.stderr
    assert scheduler.query("SELECT id FROM job") == [{"id": slow["id"]}]
    assert scheduler.query("SELECT id FROM task WHERE job_id = ?", first["id"]) == []
    assert not scheduler.results(first["id"]).exists()
    assert list((scheduler.spool / "control").iterdir()) == []

    foldq("resume", str(slow["id"]))
    # What was pruned can be asked for again, and what ran was not disturbed.
    scheduler.drop(search(4), "first.json")
    assert scheduler.wait("first")["id"] > slow["id"]
    slow = scheduler.wait("slow")
    assert (slow["n_done"], slow["n_failed"]) == (60, 0)
    assert scheduler.query("PRAGMA foreign_key_check") == []

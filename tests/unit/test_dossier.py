"""Orders carry what an engine has to know, of other searches too."""

from dataclasses import replace
from datetime import UTC, datetime

from schemas.job import JobSpec
from schemas.lifecycle import TaskKind
from schemas.settings import Settings
from schemas.task import Prepared
from service import dossier
from service.dossier import Dossiers
from service.stimuli import Batch, RecordPrepared, Task

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SPEC = JobSpec.model_validate(
    {
        "name": "job",
        "data": {"loader": "iris"},
        "estimator": "SVC",
        "search": {"strategy": "grid", "space": {"C": [1, 2]}},
    }
)
PREPARED = Prepared("", "s" * 64, 150, 4, 5, 3, True, 120, {})


def test_an_order_names_the_data_sets_of_all_searches_in_progress(store, place, monkeypatch):
    """Of others an engine lets go; too many to tell are not told."""
    for job_id in (1, 2, 3, 4):
        name = f"{job_id}.json"
        store.admit(SPEC, name=name, data=b"{}", digest=name, estimator="SVC", now=NOW)
    dossiers = Dossiers(Settings.load(place), store)
    for job_id, letter in ((1, "a"), (2, "b"), (3, "b")):
        store.record([RecordPrepared(job_id, replace(PREPARED, fingerprint=64 * letter))], NOW)

    def named() -> list[str] | None:
        batch = Batch(1, 1, 1, TaskKind.FOLD, ((1, Task(1, TaskKind.FOLD, {"C": 1}, 0)),), 0.5)
        in_use = dossiers.order(batch).in_use
        return None if in_use is None else [name[0] for name in in_use]

    for job_id in (1, 2, 3, 4):  # the last is not prepared yet
        dossiers.admission(job_id)
    assert named() == ["a", "b"]
    dossiers.forget(2)  # it is over
    assert named() == ["a", "b"], "the third still uses it"
    dossiers.forget(3)
    assert named() == ["a"]
    monkeypatch.setattr(dossier, "MAX_NAMED", 0)
    assert named() is None

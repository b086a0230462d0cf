"""The script that `foldq export` prints; tests/parity runs it for searches of every kind."""

import json

import pytest
from fabricated import SPEC, Fabricated

from service.pysource import NotListed
from service.records import draws_unseeded, find_job
from service.script import script


@pytest.fixture
def printed(tmp_path):
    """Print the script of a job with that spec."""
    records = Fabricated(tmp_path)

    def of(name: str = "job", names: dict | None = None, **spec: object) -> str:
        job_id = records.job(name, file_name=f"{len(spec)}-{name}", spec={**SPEC, **spec})
        job = find_job(records.db.conn, job_id)
        return script(job, data_directory=tmp_path / "data", names=names)

    return of


def test_names_and_texts_of_anybodys_making_are_only_text(printed):
    evil = '"]; raise SystemExit("ran")  #'
    text = printed(
        name=evil + "\u202e",
        data={"file": f"{evil}.csv", "target": evil, "features": [evil + "x"]},
        scoring={evil: "accuracy", "b": "f1"},
        refit={"one_se": evil},
        search={"strategy": "grid", "space": {evil: [evil]}},
    )
    compile(text, "script.py", "exec")
    assert "\u202e" not in text
    names = {}
    until_data = text[: text.index("frame = ")]
    exec(until_data, names)
    assert evil == names["METRIC"]


def test_long_calls_are_broken_into_lines(printed):
    estimator = {
        "$type": "Pipeline",
        "steps": [[f"step{i}", {"$type": "StandardScaler"}] for i in range(9)],
    }
    text = printed(estimator=estimator)
    assert '        ("step0", StandardScaler()),'.replace('"', "'") in text
    assert max(map(len, text.splitlines())) <= 100


def test_what_scikit_learn_cannot_do_is_said(printed):
    text = printed(timeout=60, max_engines=2)
    assert "# scikit-learn has no word for timeout and max_engines: left out." in text


def test_the_operators_estimators_are_imported(printed):
    text = printed(estimator="Ours", names={"Ours": "our.models.Ours"})
    assert "from our.models import Ours" in text
    with pytest.raises(NotListed, match="Ours"):
        printed(name="unlisted", estimator={"$type": "Ours", "a": 1})


def test_a_search_that_draws_without_a_seed_says_so(tmp_path):
    records = Fabricated(tmp_path)
    job_id = records.job()
    records.candidate(job_id, 0, {}, content_key="k")
    job = find_job(records.db.conn, job_id)
    assert not draws_unseeded(records.db.conn, job)
    records.candidate(job_id, 1, {})
    assert draws_unseeded(records.db.conn, job)
    records.update(job_id, spec=json.dumps({**SPEC, "name": "job", "reuse": False}))
    assert not draws_unseeded(records.db.conn, find_job(records.db.conn, job_id)), "nobody knows"
    text = script(job, data_directory=tmp_path, repeatable=False)
    assert "draw random numbers and have no random_state" in text

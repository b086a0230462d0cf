"""The files of a finished search, and its table for other programs."""

import csv
import json
import math
import stat
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fabricated import Fabricated
from ruamel.yaml import YAML

from service.exports import how_to_load, rows, table, to_dataframe, top, write_results
from service.jsontext import dumps
from service.records import find_job
from service.results import read_folds


def strict(text: str) -> object:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def search(tmp_path):
    """Three candidates of different parameters; the last one never had a score."""
    records = Fabricated(tmp_path)
    job_id = records.job(
        n_splits=2,
        best_index=1,
        best_score=0.75,
        best_params={"C": 10},
        refitted={"file": "best_estimator.skops", "format": "skops", "trusted": ["a.B"]},
        versions={"scikit-learn": "1.9.1"},
        spec={
            "error_score": {"$float": "nan"},
            "search": {"strategy": "grid", "space": {"C": [1, 1e-5, "1e-3", "yes", None]}},
            "tags": ["ünï", "on"],
        },
    )
    params = [{"C": 1}, {"C": {"$tuple": [1, 2]}, "k": "rbf, 2"}, {"C": None, "k": "x"}]
    for number, (candidate, score) in enumerate(zip(params, [0.5, 0.75, None], strict=True)):
        candidate_id = records.candidate(job_id, number, candidate)
        for split in range(2):
            if score is None:
                records.fold(job_id, candidate_id, split, error="ValueError: no")
            else:
                records.fold(job_id, candidate_id, split, {"score": score})
    return find_job(records.db.conn, job_id), read_folds(records.db.conn, job_id)


def test_the_files_of_a_finished_search(search, tmp_path):
    job, folds = search
    directory = tmp_path / "results" / "1"

    paths = write_results(directory, job, folds)

    assert sorted(path.name for path in paths) == [
        "best.json", "cv_results.csv", "cv_results.json", "job.yaml",
    ]  # fmt: skip
    assert sorted(directory.iterdir()) == sorted(paths)  # nothing half-written is left
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}

    document = strict((directory / "cv_results.json").read_text())
    assert document["schema_version"] == 1
    assert [row["mean_test_score"] for row in document["rows"]] == [0.5, 0.75, None]
    assert document["rows"][1]["params"] == {"C": {"$tuple": [1, 2]}, "k": "rbf, 2"}

    with (directory / "cv_results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["mean_test_score"] for line in lines] == ["0.5", "0.75", ""]
    assert [line["param_k"] for line in lines] == ["", "rbf, 2", "x"]
    assert strict(lines[1]["params"]) == document["rows"][1]["params"]

    best = strict((directory / "best.json").read_text())
    assert (best["index"], best["metric"], best["score"], best["std"]) == (1, "score", 0.75, 0.0)
    assert best["params"] == {"C": {"$tuple": [1, 2]}, "k": "rbf, 2"}
    assert best["scores"]["score"] == {"mean": 0.75, "std": 0.0, "rank": 1}
    assert best["estimator"]["load"].endswith(
        'skops.io.load("best_estimator.skops", trusted=["a.B"])'
    )
    assert best["versions"] == {"scikit-learn": "1.9.1"}
    assert best["finished_at"] == job.finished_at


def test_the_job_file_says_the_same_again(search, tmp_path):
    job, folds = search
    write_results(tmp_path / "1", job, folds)
    read = YAML(typ="safe", pure=True).load((tmp_path / "1" / "job.yaml").read_bytes())
    assert read == job.spec
    assert list(read) == list(job.spec)


def test_a_search_without_a_winner_has_its_files_too(search, tmp_path):
    job, folds = search
    write_results(
        tmp_path / "1", replace(job, best_index=None, best_score=None, refitted=None), folds
    )
    best = strict((tmp_path / "1" / "best.json").read_text())
    assert best["params"] is None
    assert best["index"] is None
    assert best["estimator"] is None


def test_writing_again_replaces(search, tmp_path):
    job, folds = search
    write_results(tmp_path / "1", job, folds)
    (tmp_path / "1" / "best.json").write_text("old")
    write_results(tmp_path / "1", job, folds)
    assert strict((tmp_path / "1" / "best.json").read_text())["job_id"] == job.id


def test_parquet_keeps_numbers_and_spells_the_rest(search, tmp_path):
    frame = to_dataframe(table(search[1]))
    frame.to_parquet(tmp_path / "table.parquet")
    back = pd.read_parquet(tmp_path / "table.parquet")
    assert back["mean_test_score"].tolist()[:2] == [0.5, 0.75]
    assert back["rank_test_score"].dtype == np.int32
    assert back["param_C"].tolist()[:2] == ["1", '{"$tuple": [1, 2]}']
    assert strict(back["params"][0]) == {"C": 1}


def test_the_best_rows_come_first(search):
    results = table(search[1])
    assert top(results, 10, "score") == [1, 0, 2]
    assert top(results, 1, "score") == [1]
    assert next(iter(rows(results)))["param_k"] is None


def test_a_joblib_model_is_loaded_with_joblib():
    assert "joblib.load" in how_to_load({"file": "best_estimator.joblib", "format": "joblib"})


def test_json_that_every_reader_takes():
    text = dumps(
        {"a": math.nan, "b": [math.inf, -math.inf], "c": np.float64(0.5), "d": np.arange(2)}
    )
    assert text == '{"a": null, "b": [1e999, -1e999], "c": 0.5, "d": [0, 1]}'
    assert json.loads(text)["b"] == [math.inf, -math.inf]

"""The short ranking of screens is that of the whole table."""

import math

import numpy as np
import pytest
from fabricated import Fabricated, at

from service import ranking
from service.exports import top
from service.ranking import Best, best_over_time, best_so_far, standard_error, standings
from service.records import find_job
from service.results import cv_results, read_folds

#: What finished folds scored; "x" failed.
SEARCHES = {
    "whole": [[0.5, 0.7, 0.6], [0.9, 0.9, 0.8], [0.9, 0.9, 0.8]],
    "partial": [[0.99], [0.5, 0.7, 0.6], [0.9, 0.8], [], [0.5, 0.5, 0.9]],
    "regression": [[-3000.5, -2999.25, -3010.125], [-10.0, -1e6, -5.0]],
    "odd": [[0.9, math.nan, 0.9], [0.2, 0.3, 0.4], ["x", 0.9, 0.9], ["x", "x", "x"]],
    "single": [[0.25]],
}


def search(records: Fabricated, scores: list, **columns) -> int:
    n_splits = columns.pop("n_splits", max(map(len, scores), default=None))
    finished = [score for row in scores for score in row]
    job_id = records.job(
        n_splits=n_splits,
        n_done=sum(score != "x" for score in finished),
        n_failed=sum(score == "x" for score in finished),
        **columns,
    )
    for number, row in enumerate(scores):
        iteration = {"iteration": number % 2} if columns.get("strategy") else {}
        candidate = records.candidate(job_id, number, {"C": number}, n_resources=9, **iteration)
        for split, score in enumerate(row):
            found = {"error": "ValueError: no"} if score == "x" else {"scores": {"score": score}}
            records.fold(job_id, candidate, split, finished_at=at(number + split), **found)
    return job_id


@pytest.mark.parametrize("error_score", ["nan", 0.5])
@pytest.mark.parametrize("strategy", ["grid", "halving_grid"])
@pytest.mark.parametrize("name", SEARCHES)
def test_the_order_and_the_numbers_are_those_of_the_table(tmp_path, name, strategy, error_score):
    records = Fabricated(tmp_path)
    columns = {"strategy": strategy} if strategy != "grid" else {}
    job_id = search(records, SEARCHES[name], spec={"error_score": error_score}, **columns)
    job = find_job(records.db.conn, job_id)
    folds = read_folds(records.db.conn, job)
    table = cv_results(folds, folds.candidates)

    ranked = standings(records.db.conn, job, 100)

    assert ranked is not None
    order = [row for row in top(table, 100, "score") if folds.present[row].any()]
    assert [one.number for one in ranked] == order
    for one in ranked:
        n = one.n_finished
        assert one.params == {"C": one.number}
        np.testing.assert_allclose(one.mean, table["mean_test_score"][one.number])
        if n > 1:
            sem = table["std_test_score"][one.number] / math.sqrt(n - 1)
            np.testing.assert_allclose(one.sem, sem, rtol=1e-6)


def test_a_large_search_is_not_ranked(tmp_path, monkeypatch):
    monkeypatch.setattr(ranking, "MAX_FOLDS", 5)
    records = Fabricated(tmp_path)
    job = find_job(records.db.conn, search(records, SEARCHES["whole"]))
    assert standings(records.db.conn, job, 3) is None
    assert best_over_time(records.db.conn, job) == []


def test_the_best_rises_with_each_candidate_that_is_better(tmp_path):
    records = Fabricated(tmp_path)
    job = find_job(records.db.conn, search(records, [[0.5, 0.7], [0.4, 0.4], [0.9, 0.7], [1.0]]))
    assert best_over_time(records.db.conn, job) == pytest.approx([0.6, 0.6, 0.8])


def test_the_best_so_far_never_sinks_once_a_candidate_has_all_of_its_folds(tmp_path):
    records = Fabricated(tmp_path)
    job_id = search(records, [], state="running", n_splits=2, scoring=["a", "f"])
    candidates = [records.candidate(job_id, number, {"C": number}) for number in range(3)]

    def best_after(candidate: int, split: int, score: float) -> Best:
        records.fold(job_id, candidates[candidate], split, {"a": score, "f": 0.1})
        return best_so_far(records.db.conn, find_job(records.db.conn, job_id))

    records.update(job_id, n_done=1)
    assert best_after(0, 0, 0.9) == Best(partial=0.9)
    assert best_after(1, 0, 0.99) == Best(partial=0.99)
    assert best_after(0, 1, 0.7) == Best(0.8), "one lucky fold is no mean"
    assert best_after(2, 0, 0.95) == Best(0.8)
    assert best_after(2, 1, 0.55) == Best(0.8), "it is 0.75"
    assert best_after(1, 1, 0.91) == Best(0.95)
    records.update(job_id, n_done=ranking.MAX_FOLDS + 1)
    assert best_after(1, 2, 0.5) == Best(), "too many to ask for again and again"


def test_the_best_so_far_of_halving_is_that_of_its_latest_iteration(tmp_path):
    records = Fabricated(tmp_path)
    job_id = search(records, [[0.9, 0.9], [0.6, 0.6], [0.8, 0.8], [0.7]], strategy="halving_grid")
    job = find_job(records.db.conn, job_id)
    assert best_so_far(records.db.conn, job) == Best(0.6), "rows 1 and 3 are of the second one"


def test_one_score_has_no_standard_error():
    assert math.isnan(standard_error([0.5]))
    assert math.isnan(standard_error([0.5, math.inf]))
    assert standard_error([1.0, 3.0]) == 1.0

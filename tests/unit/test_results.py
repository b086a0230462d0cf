"""The table, the best and the failed fits, against scikit-learn's own code."""

import itertools
import math
import random
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from fabricated import Fabricated
from sklearn.datasets import load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.model_selection._search import BaseSearchCV
from sklearn.svm import SVC

from schemas.job import JobSpec
from service.failures import fit_failures
from service.records import NoSuchJob
from service.results import (
    Folds,
    best_index,
    cv_results,
    decode_params,
    read_folds,
)


def assert_same_table(ours: dict, theirs: dict) -> None:
    assert list(ours) == list(theirs)
    for key, expected in theirs.items():
        got = ours[key]
        if key == "params":
            assert got == expected
            continue
        assert got.dtype == expected.dtype, key
        assert got.shape == expected.shape, key
        if key.startswith("param_"):
            assert isinstance(got, np.ma.MaskedArray)
            assert got.mask.tolist() == expected.mask.tolist()
            assert got.compressed().tolist() == expected.compressed().tolist(), key
        else:
            np.testing.assert_array_equal(got, expected, err_msg=key)


def a_spec(refit: object = True, scoring: object = None, strategy: str = "grid") -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "a",
            "data": {"loader": "iris"},
            "estimator": "SVC",
            "search": {"strategy": strategy, "space": {"C": [1, 2]}},
            "scoring": scoring,
            "refit": refit,
        }
    )


PARAMS = [
    lambda i: {"C": 10.0**i, "kernel": "rbf"},
    lambda i: {"C": i} if i % 2 else {"degree": i, "kernel": "poly"},
    lambda i: {"gamma": ["scale", 0.1, None][i % 3]},
    lambda i: {"hidden": [(10,), (5, 5)][i % 2], "flag": bool(i % 2)},
    lambda i: {"hidden": [(10, 2), (5, 5)][i % 2]},
    lambda i: {"weights": {"a": i}},
    lambda i: {"value": [1, 2.5][i % 2]},
    lambda i: {},
]


def draw_scores(rng: random.Random) -> float:
    kind = rng.random()
    if kind < 0.1:
        return math.nan
    if kind < 0.12:
        return rng.choice([math.inf, -math.inf])
    if kind < 0.4:
        return rng.choice([0.5, 0.25, 0.75])  # for ties
    return rng.uniform(-2, 1)


@pytest.mark.parametrize("seed", range(60))
def test_the_table_is_that_of_scikit_learn(seed):
    rng = random.Random(seed)
    n_candidates, n_splits = rng.choice([1, 2, 7, 30]), rng.choice([1, 2, 3, 5, 10])
    metrics = rng.choice([["score"], ["accuracy", "f1_macro"]])
    train, halving = rng.random() < 0.5, rng.random() < 0.3
    all_fail = rng.random() < 0.1
    make = rng.choice(PARAMS)
    params = [make(i) for i in range(n_candidates)]

    def drawn() -> float:
        return math.nan if all_fail else draw_scores(rng)

    out = []
    for _ in range(n_candidates * n_splits):
        scores = {m: drawn() for m in metrics}
        train_scores = {m: drawn() for m in metrics}
        out.append(
            {
                "fit_time": rng.random(),
                "score_time": rng.random(),
                "test_scores": scores if len(metrics) > 1 else scores["score"],
                "train_scores": train_scores if len(metrics) > 1 else train_scores["score"],
            }
        )
    more = {}
    if halving:
        more = {
            "iter": [i // 4 for i in range(n_candidates)],
            "n_resources": [20 * (1 + i // 4) for i in range(n_candidates)],
        }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = BaseSearchCV._format_results(
            SimpleNamespace(return_train_score=train), params, n_splits, out, more
        )

    def table(of) -> np.ndarray:
        return np.array([of(o) for o in out], dtype=float).reshape(n_candidates, n_splits)

    def of_metric(side: str, metric: str):
        return lambda o: o[side][metric] if len(metrics) > 1 else o[side]

    full = np.ones((n_candidates, n_splits), dtype=bool)
    ours = cv_results(
        Folds(
            candidates=params,
            present=full,
            failed=~full,
            fit_time=table(lambda o: o["fit_time"]),
            score_time=table(lambda o: o["score_time"]),
            test_scores={m: table(of_metric("test_scores", m)) for m in metrics},
            train_scores={m: table(of_metric("train_scores", m)) for m in metrics} if train else {},
            iteration=np.array(more["iter"]) if halving else None,
            n_resources=np.array(more["n_resources"]) if halving else None,
        ),
        params,
    )
    assert_same_table(ours, theirs)
    metric = metrics[0]
    if halving and len(metrics) == 1:
        expected = HalvingGridSearchCV._select_best_index(True, None, theirs)
    else:
        expected = GridSearchCV._select_best_index(True, metric, theirs)
    if not (halving and len(metrics) > 1):
        chosen_by = (True, None) if len(metrics) == 1 else (metric, metrics)
        assert best_index(ours, a_spec(*chosen_by)) == expected


def test_a_recorded_grid_search_gives_the_same_table(tmp_path):
    data = load_iris()
    grid = {"C": np.logspace(-2, 2, 5).tolist(), "kernel": ["rbf", "linear"]}
    search = GridSearchCV(
        SVC(), grid, cv=3, scoring=["accuracy", "f1_macro"], refit="f1_macro",
        return_train_score=True,
    )  # fmt: skip
    theirs = search.fit(data.data, data.target).cv_results_
    records = Fabricated(tmp_path)
    metrics = ["accuracy", "f1_macro"]
    job_id = records.job(scoring=metrics, n_splits=3, spec={"return_train_score": True})
    folds = []
    for number, params in enumerate(theirs["params"]):
        candidate_id = records.candidate(job_id, number, params)
        folds += [(number, candidate_id, split) for split in range(3)]
    random.Random(0).shuffle(folds)  # engines finish in any order
    for number, candidate_id, split in folds:
        test = {m: theirs[f"split{split}_test_{m}"][number] for m in metrics}
        train = {m: theirs[f"split{split}_train_{m}"][number] for m in metrics}
        records.fold(job_id, candidate_id, split, test, train)

    ours = cv_results(read_folds(records.db.conn, job_id))

    untimed = [key for key in theirs if not key.endswith("_time")]
    assert list(ours) == list(theirs)
    assert_same_table({k: ours[k] for k in untimed}, {k: theirs[k] for k in untimed})
    assert best_index(ours, a_spec("f1_macro", metrics)) == search.best_index_


def test_failed_folds_count_as_error_score_with_their_fit_time(tmp_path):
    records = Fabricated(tmp_path)
    job_id = records.job(n_splits=3, spec={"error_score": -1.0})
    candidate_id = records.candidate(job_id, 0, {"C": 1})
    records.fold(job_id, candidate_id, 0, {"score": 0.5})
    records.fold(job_id, candidate_id, 1, error="Traceback …\nValueError: no", fit_time=0.25)
    records.fold(job_id, candidate_id, 2, reason="poison", fit_time=None)

    folds = read_folds(records.db.conn, job_id)
    results = cv_results(folds)

    assert folds.failed.tolist() == [[False, True, True]]
    assert [results[f"split{i}_test_score"][0] for i in range(3)] == [0.5, -1.0, -1.0]
    assert folds.fit_time.tolist() == [[0.5, 0.25, 0.0]]
    assert folds.score_time.tolist() == [[0.1, 0.0, 0.0]]
    assert "n_splits_done" not in results


@pytest.mark.parametrize("error_score", ["nan", "raise", {"$float": "nan"}])
def test_failed_folds_are_nan_by_default(tmp_path, error_score):
    records = Fabricated(tmp_path)
    job_id = records.job(n_splits=1, spec={"error_score": error_score})
    records.fold(job_id, records.candidate(job_id, 0, {}), 0, error="ValueError: no")

    results = cv_results(read_folds(records.db.conn, job_id))

    assert np.isnan(results["mean_test_score"][0])
    assert results["rank_test_score"].tolist() == [1]


def test_nan_and_infinite_scores_survive_the_records(tmp_path):
    records = Fabricated(tmp_path)
    job_id = records.job(n_splits=3)
    candidate_id = records.candidate(job_id, 0, {})
    for split, score in enumerate([math.nan, math.inf, -math.inf]):
        records.fold(job_id, candidate_id, split, {"score": score})

    scores = read_folds(records.db.conn, job_id).test_scores["score"]

    np.testing.assert_array_equal(scores, [[np.nan, np.inf, -np.inf]])


class TestPartialResults:
    """The table exists from the first moment on and never raises."""

    def test_before_the_splits_are_known(self, tmp_path):
        records = Fabricated(tmp_path)
        job_id = records.job(state="queued")

        results = cv_results(read_folds(records.db.conn, job_id))

        assert results["params"] == []
        assert results["mean_test_score"].shape == (0,)
        assert best_index(results, a_spec()) is None

    @pytest.mark.filterwarnings("error")
    def test_candidates_without_a_finished_fold(self, tmp_path):
        records = Fabricated(tmp_path)
        job_id = records.job(state="running", n_splits=2)
        for number in range(2):
            candidate_id = records.candidate(job_id, number, {"C": number})
            records.fold(job_id, candidate_id, 0)

        results = cv_results(read_folds(records.db.conn, job_id))

        assert np.isnan(results["mean_test_score"]).all()
        assert results["rank_test_score"].tolist() == [1, 1]
        assert results["n_splits_done"].tolist() == [0, 0]

    @pytest.mark.filterwarnings("error")
    def test_means_are_over_the_folds_there_are(self, tmp_path):
        records = Fabricated(tmp_path)
        job_id = records.job(state="running", n_splits=3)
        scores = [[0.1, 0.2, 0.3], [0.5, None, 0.7], [None, 0.9, None], [None, None, None]]
        for number, row in enumerate(scores):
            candidate_id = records.candidate(job_id, number, {"C": number})
            for split, score in enumerate(row):
                records.fold(
                    job_id, candidate_id, split, None if score is None else {"score": score}
                )

        results = cv_results(read_folds(records.db.conn, job_id))

        assert results["mean_test_score"][:3].tolist() == pytest.approx([0.2, 0.6, 0.9])
        assert results["mean_test_score"][0] == np.average([0.1, 0.2, 0.3])  # as when complete
        assert results["std_test_score"][1:3].tolist() == pytest.approx([0.1, 0.0])
        assert np.isnan(results["mean_test_score"][3])
        assert results["rank_test_score"].tolist() == [3, 2, 1, 4]
        assert results["n_splits_done"].tolist() == [3, 2, 1, 0]
        assert list(results)[-1] == "n_splits_done"

    def test_an_unknown_job_is_named(self, tmp_path):
        with pytest.raises(NoSuchJob, match="no job 7"):
            read_folds(Fabricated(tmp_path).db.conn, 7)


class TestBest:
    def results(self, means, stds=None, n_splits=5, **more) -> dict:
        means = np.array(means, dtype=float)
        filled = np.nan_to_num(means, nan=-1e9)
        return {
            **{key: np.array(value) for key, value in more.items()},
            "params": [{"C": i} for i in range(len(means))],
            **{f"split{i}_test_score": means for i in range(n_splits)},
            "mean_test_score": means,
            "std_test_score": np.array(stds if stds is not None else np.zeros(len(means))),
            "rank_test_score": np.array([1 + (filled > m).sum() for m in filled]),
        }

    def test_the_first_of_equals_wins(self):
        assert best_index(self.results([0.1, 0.9, 0.9]), a_spec()) == 1

    def test_one_standard_error_takes_the_first_within_reach(self):
        # The best mean is 0.90; its standard error 0.04 / sqrt(5 - 1) = 0.02.
        results = self.results([0.85, 0.885, 0.90, 0.89], stds=[0, 0, 0.04, 0])
        assert best_index(results, a_spec("one_se")) == 1
        assert best_index(results, a_spec(True)) == 2

    def test_one_standard_error_without_an_error(self):
        assert best_index(self.results([0.8, 0.9], n_splits=1), a_spec("one_se")) == 1
        assert best_index(self.results([math.nan] * 3), a_spec("one_se")) == 0

    def test_halving_takes_the_best_of_the_last_iteration(self):
        results = self.results([0.99, 0.1, 0.2, math.nan, 0.3], iter=[0, 0, 1, 1, 1])
        assert best_index(results, a_spec()) == 4
        results = self.results([0.99, 0.1, math.nan, math.nan], iter=[0, 0, 1, 1])
        assert best_index(results, a_spec()) == 2

    def test_several_metrics_without_refit_have_no_best(self):
        assert best_index(self.results([1.0]), a_spec(False, ["accuracy", "f1_macro"])) is None
        assert best_index(self.results([1.0]), a_spec(False)) == 0


class TestValues:
    def test_plain_grammar_needs_no_scikit_learn(self):
        (params,) = decode_params(
            [{"a": {"$tuple": [1, {"$tuple": [2]}]}, "b": {"$float": "-inf"}, "c": [None, "x"]}]
        )
        assert params == {"a": (1, (2,)), "b": -math.inf, "c": [None, "x"]}

    def test_estimators_become_what_scikit_learn_is_given(self):
        svc = {"$type": "SVC", "C": 10}
        first, second = decode_params([{"model": svc, "C": 1}, {"model": dict(svc)}])
        assert isinstance(first["model"], SVC)
        assert first["model"].C == 10
        # As in a grid, where every candidate refers to the one object in the list.
        assert first["model"] is second["model"]


class TestFitFailures:
    def search(self, tmp_path, errors: list[str | None]) -> tuple[Fabricated, int]:
        records = Fabricated(tmp_path)
        job_id = records.job(n_splits=1)
        for number, error in enumerate(errors):
            candidate_id = records.candidate(job_id, number, {}, iteration=number // 2)
            if error is None:
                records.fold(job_id, candidate_id, 0, {"score": 1.0})
            else:
                records.fold(job_id, candidate_id, 0, error=error)
        return records, job_id

    def test_all_failed(self, tmp_path):
        records, job_id = self.search(tmp_path, ["T\nValueError: b"] * 2 + ["T\nOSError: a"])
        failures = fit_failures(records.db.conn, job_id)
        assert failures.all_failed
        assert failures.summary == (
            "All the 3 fits failed. The first with: ValueError: b"
            " (2 × ValueError: b; 1 × OSError: a)"
        )

    def test_some_failed(self, tmp_path):
        records, job_id = self.search(tmp_path, ["T\nValueError: b", None, None, None])
        failures = fit_failures(records.db.conn, job_id)
        assert not failures.all_failed
        assert failures.summary == "1 fits failed out of a total of 4: 1 × ValueError: b"

    def test_each_halving_iteration_is_judged_alone(self, tmp_path):
        records, job_id = self.search(tmp_path, [None, None, "T\nValueError: b", "ValueError: b"])
        assert not fit_failures(records.db.conn, job_id).all_failed
        assert not fit_failures(records.db.conn, job_id, iteration=0).all_failed
        failures = fit_failures(records.db.conn, job_id, iteration=1)
        assert failures.all_failed
        assert failures.summary == "All the 2 fits failed. Each with: ValueError: b"

    def test_none_failed(self, tmp_path):
        records, job_id = self.search(tmp_path, [None])
        assert fit_failures(records.db.conn, job_id).summary is None


def test_the_folds_of_a_large_search_are_read_quickly(tmp_path):
    """200,000 folds take about a second; the tenth of them stays far below one."""
    import time

    records = Fabricated(tmp_path)
    job_id = records.job(n_splits=5)
    n = 4000
    with records.db.conn:
        records.db.conn.executemany(
            "INSERT INTO candidate (id, job_id, number, params) VALUES (?, ?, ?, ?)",
            [(i + 1, job_id, i, f'{{"C": {i}, "gamma": 0.1}}') for i in range(n)],
        )
        records.db.conn.executemany(
            "INSERT INTO task (job_id, kind, candidate_id, split, state, test_scores, fit_time,"
            " score_time, finished_at) VALUES (?, 'fold', ?, ?, 'done', ?, 0.1, 0.1, '2026-01-01')",
            [
                (job_id, i + 1, split, f'{{"score": 0.{i}}}')
                for i, split in itertools.product(range(n), range(5))
            ],
        )
    begun = time.perf_counter()
    results = cv_results(read_folds(records.db.conn, job_id))
    assert time.perf_counter() - begun < 1.0
    assert len(results["params"]) == n


def test_a_search_whose_splits_are_known_and_candidates_are_not_has_an_empty_table(tmp_path):
    """The moment between the end of its preparation and the planning of its first candidates."""
    records = Fabricated(tmp_path)
    job_id = records.job("early", state="running", n_splits=3)
    table = cv_results(read_folds(records.db.conn, job_id))
    assert table["params"] == []
    assert table["mean_test_score"].shape == table["rank_test_score"].shape == (0,)

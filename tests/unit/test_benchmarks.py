"""What `make bench` computes from what it measured, and what it does to the page."""

import numpy as np
import pytest

from benchmarks import anatomy, page, rounds
from benchmarks.records import Phases
from benchmarks.rounds import Measured
from benchmarks.workloads import find, workloads

TABLE = {
    "small": {
        "foldq": Measured(seconds=[2.0, 9.0, 2.5], memory=500_000_000, difference=0.0),
        "scikit-learn": Measured(seconds=[5.0, 6.0, 4.0], memory=400_000_000, difference=0.0),
        "dask-ml": Measured(note="not installed (No module named 'dask_ml')"),
    }
}


def test_the_ratio_is_of_medians_and_nothing_without_a_counted_round():
    assert rounds.ratio(TABLE, "small", "foldq") == 5.0 / 2.5
    assert rounds.ratio(TABLE, "small", "foldq", "dask-ml") is None
    assert rounds.ratio(TABLE, "small", "foldq", "ipyparallel") is None


def test_every_peer_is_first_in_turn():
    peers = ["a", "b", "c"]
    assert [rounds.order(peers, step) for step in (1, 2, 3)] == [
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_only_other_peers_that_take_long_are_counted_less():
    assert rounds.counted_rounds("scikit-learn", 100.0, rounds=3) == 3
    assert rounds.counted_rounds("dask-ml", 10.0, rounds=3) == 3
    assert rounds.counted_rounds("dask-ml", 30.0, rounds=3) == 1
    assert rounds.counted_rounds("ipyparallel", 100.0, rounds=3) == 0


def test_scores_are_compared_bit_for_bit():
    scores = np.array([[0.5, np.nan], [0.25, 1.0]])
    assert rounds.difference(scores, scores.copy()) == 0
    assert rounds.difference(np.nextafter(scores[1:], 2), scores[1:]) == np.spacing(1.0)
    assert rounds.difference(scores[:1], scores) == np.inf


def test_overhead_is_the_time_of_the_folds_in_parts_of_the_work_done():
    work = {"computed": 10, "spared": 99, "n_computed": 9}
    phases = Phases(admitted=0, prepared=1, first=10, last=15.5, finished=16, **work)
    assert phases.overhead(engines=2) == 1.1


def test_the_shares_of_the_cores_add_up():
    roles = {1: "scheduler", 2: "fork server", 3: "controller", 4: "engine", 5: "engine"}
    before = dict.fromkeys(roles, 1.0)
    after = {1: 1.5, 2: 1.0, 3: 1.25, 4: 4.0, 5: 4.0, 6: 0.25}
    shares = anatomy.shares(roles, before, after, computed=5.5, seconds=4.0)
    assert shares == {
        "fits": 5.5,
        "engine": 0.5,
        "scheduler": 0.5,
        "controller": 0.25,
        "other": 0.25,
        "idle": 1.0,
    }


def test_a_refined_grid_has_other_candidates_each_round_and_shares_four_fifths():
    first, second = find("refined", quick=False, step=1), find("refined", quick=False, step=2)
    assert not set(first.grid()["C"]) & set(second.grid()["C"])
    job, earlier = first.job(), first.earlier_job()
    spaces = job["search"]["space"], earlier["search"]["space"]
    assert spaces[0]["C"] == spaces[1]["C"] == first.grid()["C"]
    assert set(spaces[1]["gamma"]) < set(spaces[0]["gamma"])
    assert len(spaces[1]["gamma"]) / len(spaces[0]["gamma"]) == 0.8
    assert job["reuse"]
    assert not any(w.job()["reuse"] for w in workloads().values() if w.name != "refined")


def test_the_page_keeps_its_words_and_gets_new_tables():
    text = "Before.\n<!-- table: speed -->\nold\n<!-- end: speed -->\nAfter \\1.\n"
    once = page.rewrite(text, {"speed": "new \\1"})
    assert once == "Before.\n<!-- table: speed -->\nnew \\1\n<!-- end: speed -->\nAfter \\1.\n"
    assert page.rewrite(once, {"speed": "new \\1"}) == once
    with pytest.raises(KeyError, match="growth"):
        page.rewrite(text, {"growth": "new"})


def test_the_page_has_a_place_for_every_table():
    places = {name: "" for part in page.PLACES.values() for name in part}
    page.rewrite(page.PAGE.read_text(), places)


def test_a_peer_that_is_not_there_is_shown_with_the_reason():
    measured = {
        "searches": {"small": {"what": "SVC on iris", "folds": 2000, "target": 1.5}},
        "table": rounds.as_json(TABLE),
        "idle": {"foldq": 0.01},
    }
    table = page.speed(measured)
    assert "| `small` | 2.50 | 5.00 | – <sup>1</sup> | **2.00 ×** | 1.50 × | – |" in table
    assert "<sup>1</sup> dask-ml: not installed (No module named 'dask_ml')" in table
    assert "| `small` | 500 | 400 | – |" in table
    assert "| `small` | equal | equal | – |" in table

"""What an engine keeps between folds never takes more than it is allowed."""

import subprocess
import sys

import pandas as pd
import pytest
import scipy.sparse as sp
from cluster import ROOT
from hypothesis import given
from hypothesis import strategies as st
from inprocess import context
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from schemas.task import FoldBatch, FoldTask, SearchContext
from workers import search as search_module
from workers.fold import run_batch
from workers.kept import Kept, kept, n_bytes

SVC = {"estimator": "SVC", "search": {"strategy": "grid", "space": {"C": [1.0]}}}

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 120)),
        st.tuples(st.just("get"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("forget"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("limit"), st.just(0), st.integers(0, 150)),
        st.tuples(st.just("make_room"), st.just(0), st.integers(0, 150)),
    )
)


@given(STEPS)
def test_it_never_holds_more_than_the_limit_and_nothing_but_what_was_put(steps) -> None:
    kept = Kept(100)
    sizes: dict[int, int] = {}
    for step, key, size in steps:
        match step:
            case "put":
                sizes[key] = size
                assert kept.put(key, f"{key}: {size}", size) == (size <= kept.limit)
            case "get":
                assert kept.get(key) in (None, f"{key}: {sizes.get(key)}")
            case "forget":
                kept.forget(key)
            case "limit":
                kept.limit = size
            case "make_room":
                has_room = kept.make_room(size)
                assert has_room == (size <= kept.limit)
                assert not has_room or kept.n_bytes + size <= kept.limit
        held = {key: size for key, size in sizes.items() if kept.get(key) is not None}
        assert sum(held.values()) == kept.n_bytes <= kept.limit


def test_what_was_not_used_for_longest_goes_first() -> None:
    kept = Kept(30)
    for key in "abc":
        kept.put(key, key, 10)
    kept.get("a")

    kept.put("d", "d", 10)

    assert [key for key in "abcd" if kept.get(key)] == ["a", "c", "d"]


def test_what_is_too_large_moves_nothing_out() -> None:
    kept = Kept(30)
    kept.put("small", "kept", 30)

    assert not kept.put("large", "not kept", 31)

    assert kept.get("small") == "kept"
    assert kept.get("large") is None


def test_sizes_are_those_of_the_data_held() -> None:
    X, y = load_iris(return_X_y=True)
    sparse = sp.csr_array(X)

    assert n_bytes(X) == X.nbytes
    assert n_bytes((X, X)) == X.nbytes + 16
    assert n_bytes(sparse) == sparse.data.nbytes + sparse.indices.nbytes + sparse.indptr.nbytes
    assert n_bytes(pd.DataFrame(X)) >= X.nbytes
    assert n_bytes(StandardScaler().fit(X)) >= 3 * 4 * 8
    few, many = (RandomForestClassifier(n, random_state=0).fit(X, y) for n in (5, 50))
    assert 8 * n_bytes(few) < n_bytes(many) < 12 * n_bytes(few)


class TestDataSetsThatNobodyUses:
    """What an engine holds of a search that is over goes when another one's data come."""

    @pytest.fixture(autouse=True)
    def _nothing_kept(self):
        yield
        kept.clear()
        kept.dataset = None

    def held(self) -> set[str]:
        """The data sets of which rows or searches are kept."""
        rows = {key[2] for key in kept._entries if key[0] == "rows"}
        searches = {made.context.fingerprint for made in search_module._built.values()}
        assert rows <= searches
        return searches

    def batch(self, made: SearchContext, in_use: tuple[str, ...] | None) -> None:
        tasks = tuple(FoldTask(i, i, {"C": 1.0}, i) for i in range(3))
        report = run_batch(FoldBatch(1, made, tasks, 60.0, in_use))
        assert [result.error for result in report.results] == [None] * 3

    def test_they_go_when_a_batch_on_other_data_comes(self, tmp_path):
        search_module._built.clear()
        first = context(tmp_path, SVC)
        second = context(tmp_path, SVC | {"data": {"loader": "wine"}})
        a, b = str(first.fingerprint), str(second.fingerprint)

        self.batch(first, (a,))
        size = kept.n_bytes
        self.batch(first, ())  # the same data: the next search may be a refined one
        assert kept.n_bytes == size > 0
        self.batch(second, (a, b))
        self.batch(first, (a, b))
        assert self.held() == {a, b}, "searches that take turns lose nothing"
        self.batch(second, None)
        assert self.held() == {a, b}, "nobody said that nobody uses them"
        self.batch(first, (a, b))
        self.batch(second, (b,))
        assert self.held() == {b}
        assert 0 < kept.n_bytes < kept.limit

    def test_its_own_data_stay_whatever_is_said(self, tmp_path):
        made = context(tmp_path, SVC)
        self.batch(made, ())
        assert self.held() >= {made.fingerprint}


def test_freed_memory_goes_back_to_the_system():
    """Many small blocks, as trees are made of, which the C library keeps for its next ones."""
    code = (
        "import psutil\n"
        "from workers.limits import give_back_memory\n"
        "rss = lambda: psutil.Process().memory_info().rss >> 20\n"
        "blocks = [bytes(1000) for _ in range(200_000)]\n"
        "last = bytes(1000)\n"
        "del blocks; before = rss(); give_back_memory(); print(before - rss())"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert int(ended.stdout) > 100, ended.stderr

"""What an engine keeps between folds never takes more than it is allowed."""

import pandas as pd
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

from workers.kept import Kept, n_bytes

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

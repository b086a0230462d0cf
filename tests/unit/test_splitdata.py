"""The rows of a split that an engine keeps are those that scikit-learn would give each fold."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from inprocess import search
from sklearn.utils.metaestimators import _safe_split

from schemas.task import Shortcuts
from workers import splitdata
from workers.dataset import Dataset
from workers.kept import kept

RNG = np.random.default_rng(0)
N = 60
X = RNG.normal(size=(N, 5))
y = np.arange(N) % 3
TEXT = np.array([f"word{i % 7} word{i % 3}" for i in range(N)])
LOGISTIC = {"estimator": "LogisticRegression", "search": {"strategy": "grid", "space": {"C": [1]}}}

KINDS = {
    "dense, rows": X,
    "dense, columns": np.asfortranarray(X),
    "float32": X.astype(np.float32),
    "sparse matrix": sp.random(N, 5, 0.4, "csr", random_state=0),
    "sparse array": sp.csr_array(sp.random(N, 5, 0.4, "csr", random_state=0)),
    "table": pd.DataFrame({"a": X[:, 0], "b": list("xyz") * 20, "c": range(N)}),
    "text column": pd.Series(TEXT),
    "text array": TEXT,
}


@pytest.fixture(autouse=True)
def _nothing_kept():
    kept.clear()
    yield
    kept.clear()


def arrays_of(value: Any) -> list[np.ndarray]:
    if sp.issparse(value):
        return [value.data, value.indices, value.indptr]
    return [value] if isinstance(value, np.ndarray) else []


def assert_same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    if isinstance(found, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected)
    elif isinstance(found, pd.Series):
        pd.testing.assert_series_equal(found, expected)
    for a, b in zip(arrays_of(found), arrays_of(expected), strict=True):
        assert (a.dtype, a.strides) == (b.dtype, b.strides)
        assert np.array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_kept_rows_are_those_of_safe_split_aligned_and_read_only(tmp_path, kind: str) -> None:
    made = search(tmp_path, LOGISTIC, dataset=Dataset(KINDS[kind], y))
    prototype = made.prototype({"C": 1})

    for split in range(3):
        part = made.part(split, None)
        train, test = made.split(split, None)
        X_train, y_train = _safe_split(prototype.estimator, made.X, made.y, train)
        X_test, y_test = _safe_split(prototype.estimator, made.X, made.y, test, train)

        assert part.is_shared
        for found, expected in (
            (part.X_train, X_train), (part.y_train, y_train),
            (part.X_test, X_test), (part.y_test, y_test),
        ):  # fmt: skip
            assert_same(found, expected)
            for array in arrays_of(found):
                assert array.ctypes.data % splitdata.ALIGNMENT == 0
                with pytest.raises(ValueError, match="read-only"):
                    array[0] = array[1]
                with pytest.raises(ValueError, match="cannot set WRITEABLE"):
                    array.flags.writeable = True


def test_the_next_fold_of_a_split_gets_the_same_arrays(tmp_path) -> None:
    made = search(tmp_path, LOGISTIC, dataset=Dataset(X, y))
    made.prototype({"C": 1})

    assert made.part(0, None).X_train is made.part(0, None).X_train
    assert made.part(0, None).key == made.part(0, None).key != made.part(1, None).key


def test_a_search_on_the_same_data_and_splits_shares_them(tmp_path) -> None:
    parts = []
    for space in ({"C": [1]}, {"C": [2]}):
        job = LOGISTIC | {"search": {"strategy": "grid", "space": space}}
        made = search(tmp_path, job, dataset=Dataset(X, y))
        made.prototype({})
        parts.append(made.part(0, None))

    assert parts[0].X_train is parts[1].X_train
    assert parts[0].key != parts[1].key


def test_columns_added_to_a_table_are_gone_in_the_next_fold(tmp_path) -> None:
    made = search(tmp_path, LOGISTIC, dataset=Dataset(KINDS["table"], y))
    made.prototype({})

    rows = made.part(0, None).X_train
    rows["new"] = 1.0

    assert list(made.part(0, None).X_train.columns) == ["a", "b", "c"]


def test_weights_go_with_their_rows(tmp_path) -> None:
    weights = RNG.random(N)
    made = search(tmp_path, LOGISTIC, dataset=Dataset(X, y, weights=weights))
    made.prototype({})
    part = made.part(1, None)
    train, test = made.split(1, None)

    assert np.array_equal(part.fit_params["sample_weight"], weights[train])
    assert np.array_equal(part.train_params["sample_weight"], weights[train])
    assert np.array_equal(part.test_params["sample_weight"], weights[test])


@pytest.mark.parametrize(
    ("estimator", "params"),
    [
        ({"$type": "PLSRegression", "copy": False}, {}),
        ({"$type": "LinearRegression", "copy_X": False}, {}),
        ("KMeans", {"copy_x": False}),
        ({"$type": "Pipeline", "steps": [["scale", "StandardScaler"], ["m", "SVC"]]},
         {"scale__copy": False}),
    ],
)  # fmt: skip
def test_estimators_that_may_write_get_copies_of_their_own(tmp_path, estimator, params) -> None:
    job = {"estimator": estimator, "search": {"strategy": "grid", "space": {"any": [1]}}}
    made = search(tmp_path, job, dataset=Dataset(X, y))
    made.prototype(params)

    part = made.part(0, None)
    part.X_train[:] = 0

    assert not part.is_shared
    assert made.part(0, None).X_train.any()
    assert len(kept) == 0


def test_a_precomputed_kernel_is_kept_apart_from_plain_rows(tmp_path) -> None:
    gram = X @ X.T
    job = {
        "estimator": "SVC",
        "search": {"strategy": "grid", "space": {"kernel": ["linear", "precomputed"]}},
    }
    made = search(tmp_path, job, dataset=Dataset(gram, y))
    train, test = made.split(0, None)

    made.prototype({"kernel": "linear"})
    assert made.part(0, None).X_test.shape == (len(test), N)
    made.prototype({"kernel": "precomputed"})
    assert np.array_equal(made.part(0, None).X_test, gram[np.ix_(test, train)])
    assert np.array_equal(made.part(0, None).X_train, gram[np.ix_(train, train)])
    made.prototype({"kernel": "linear"})
    assert made.part(0, None).X_test.shape == (len(test), N)


def test_without_memory_or_without_leave_nothing_is_kept(tmp_path) -> None:
    for shortcuts in (Shortcuts(memory=0), Shortcuts(memory=X.nbytes // 2), Shortcuts(data=False)):
        made = search(tmp_path, LOGISTIC, dataset=Dataset(X, y), shortcuts=shortcuts)
        made.prototype({})

        part = made.part(0, None)

        assert not part.is_shared
        assert part.X_train.flags.writeable
        assert len(kept) == 0


def test_the_split_before_is_gone_before_the_next_one_is_built(tmp_path, monkeypatch) -> None:
    made = search(
        tmp_path, LOGISTIC, dataset=Dataset(X, y), shortcuts=Shortcuts(memory=int(X.nbytes * 1.5))
    )
    made.prototype({})
    held = []
    take = splitdata._aligned_rows
    monkeypatch.setattr(
        splitdata, "_aligned_rows", lambda *a: held.append(kept.n_bytes) or take(*a)
    )

    for split in range(3):
        assert made.part(split, None).is_shared

    assert held == [0] * 6
    assert len(kept) == 1

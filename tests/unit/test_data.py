"""Data sets: read as a scikit-learn user would, kept without loss, damage noticed."""

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn import datasets
from sklearn.model_selection import StratifiedKFold

from schemas.job import JobSpec
from schemas.problems import InvalidJob, Problem
from workers import cache as entries
from workers.cache import DataMissing, open_prepared, store
from workers.catalog import Catalog
from workers.data import examine, load, prepare
from workers.dataset import Dataset
from workers.fingerprint import fingerprint
from workers.splits import Splits

PASSENGERS = Path(__file__).parents[2] / "examples" / "data"


def job(data: dict[str, Any], estimator: Any = "DecisionTreeClassifier", cv: Any = 3) -> JobSpec:
    return JobSpec.model_validate(
        {
            "name": "test",
            "data": data,
            "estimator": estimator,
            "search": {"strategy": "grid", "space": {"max_depth": [1]}},
            "cv": cv,
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "spool" / "data"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "cache"


def read(data: dict[str, Any], *roots: Path) -> Dataset:
    return load(job(data).data, roots or (Path("nowhere"),), Catalog())


def problems(call: Any, *args: Any, **kwargs: Any) -> list[Problem]:
    with pytest.raises(InvalidJob) as caught:
        call(*args, **kwargs)
    return list(caught.value.problems)


def the_problem(call: Any, *args: Any, **kwargs: Any) -> Problem:
    (problem,) = problems(call, *args, **kwargs)
    return problem


def same_layout(one: Any, other: Any) -> bool:
    left, right = np.asarray(one), np.asarray(other)
    return (left.flags.c_contiguous, left.flags.f_contiguous) == (
        right.flags.c_contiguous,
        right.flags.f_contiguous,
    )


def write_table(root: Path, rows: int = 30, **columns: Any) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.normal(40, 10, rows),
            "rooms": rng.integers(1, 9, rows),
            "town": rng.choice(["Bonn", "Köln"], rows),
            "label": np.arange(rows) % 2,
            **columns,
        }
    )
    frame.to_csv(root / "table.csv", index=False)
    return pd.read_csv(root / "table.csv")


# ------------------------------------------------------------------- reading what is named


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits", "diabetes"])
@pytest.mark.parametrize("as_frame", [False, True])
def test_a_loader_gives_what_its_function_gives(name, as_frame, cache):
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True, as_frame=as_frame)
    loaded = read({"loader": name, "params": {"as_frame": as_frame}})
    kept = open_prepared(cache, store(cache, loaded))
    for found in (loaded, kept):
        assert type(found.X) is type(X)
        assert np.array_equal(found.X, X)
        assert np.array_equal(found.y, y)
        assert found.y.dtype == y.dtype
    rows = np.array([3, 1, 4])
    taken, expected = (kept.X.take(rows), X.take(rows)) if as_frame else (kept.X[rows], X[rows])
    assert same_layout(taken, expected), "folds would compute in another order"
    if as_frame:
        assert list(kept.X.columns) == list(X.columns)


def test_a_loader_takes_its_parameters():
    assert len(np.unique(read({"loader": "digits", "params": {"n_class": 3}}).y)) == 3


@pytest.mark.parametrize("name", ["classification", "regression", "blobs", "friedman1", "moons"])
def test_a_generator_gives_what_its_function_gives(name):
    params = {"n_samples": 50, "random_state": 7}
    X, y = getattr(datasets, f"make_{name}")(**params)
    made = read({"make": name, "params": params})
    assert np.array_equal(made.X, X)
    assert np.array_equal(made.y, y)


def test_a_generator_of_x_alone_leaves_no_target():
    made = read({"make": "low_rank_matrix", "params": {"random_state": 0}})
    assert made.y is None


@pytest.mark.parametrize(
    ("data", "where", "word"),
    [
        ({"make": "clasification"}, "data.make", "classification"),
        ({"loader": "dígits"}, "data.loader", "digits"),
        ({"make": "blobs", "params": {"n_sample": 3}}, "data.params", "n_sample"),
        ({"make": "blobs", "params": {"return_centers": True}}, "data.params", "3 arrays"),
        ({"make": "regression", "params": {"n_samples": 10**9}}, "data.params", "bytes"),
    ],
)
def test_a_wrong_source_is_told(data, where, word):
    problem = the_problem(read, data)
    assert problem.where == where
    assert word in str(problem)


def test_a_table_is_what_pandas_reads(root, cache):
    frame = write_table(root, area=np.arange(30), who=np.arange(30) // 3)
    data = {
        "file": "table.csv",
        "target": "label",
        "features": ["town", "age", "rooms"],
        "groups": "who",
        "weights": "area",
    }
    kept = open_prepared(cache, store(cache, read(data, root)))
    pd.testing.assert_frame_equal(kept.X, frame[["town", "age", "rooms"]])
    assert np.array_equal(kept.y, frame["label"])
    assert np.array_equal(kept.groups, frame["who"])
    assert np.array_equal(kept.weights, frame["area"])


def test_features_default_to_all_columns_without_a_role(root):
    frame = write_table(root, who=1)
    found = read({"file": "table.csv", "target": "label", "groups": "who"}, root)
    pd.testing.assert_frame_equal(found.X, frame.drop(columns=["label", "who"]))


def test_a_single_name_is_a_column_of_text(root, cache):
    frame = write_table(root)
    loaded = read({"file": "table.csv", "target": "label", "features": "town"}, root)
    kept = open_prepared(cache, store(cache, loaded))
    pd.testing.assert_series_equal(kept.X, frame["town"])
    assert kept.n_features is None


def test_the_example_with_missing_cells_is_kept_exactly(cache):
    frame = pd.read_csv(PASSENGERS / "passengers.csv")
    loaded = read({"file": "passengers.csv", "target": "rescued"}, PASSENGERS)
    key = store(cache, loaded)
    for mmap in (True, False):
        kept = open_prepared(cache, key, mmap=mmap)
        pd.testing.assert_frame_equal(kept.X, frame.drop(columns="rescued"))
        assert kept.y.tolist() == frame["rescued"].tolist()
        rows = np.arange(0, 1200, 7)
        for numbers in (["age", "fare", "minutes_to_boat"], ["age", "minutes_to_boat"]):
            assert same_layout(kept.X[numbers], frame[numbers])
            assert same_layout(kept.X.take(rows)[numbers], frame.take(rows)[numbers])


def test_parquet_keeps_its_types(root, cache):
    frame = pd.DataFrame(
        {
            "category": pd.Categorical(["u", "v", "u", "w"], categories=["w", "v", "u"]),
            "ranked": pd.Categorical([1, 2, 1, 3], ordered=True),
            "flag": [True, False, True, True],
            "count": pd.array([1, None, 3, 4], dtype="Int64"),
            "maybe": pd.array([True, None, False, True], dtype="boolean"),
            "short": np.array([1, 2, 3, 4], dtype="int8"),
            "single": np.array([1, np.nan, 3, 4], dtype="float32"),
            "text": ["a", None, "", "ü"],
            "when": pd.to_datetime(["2020", "2021", "2022", None]),
            "zoned": pd.to_datetime(["2020", "2021", "2022", None]).tz_localize("Europe/Berlin"),
            "target": [0, 1, 0, 1],
        }
    )
    frame.to_parquet(root / "t.parquet")
    data = {"file": "t.parquet", "target": "target"}
    expected = pd.read_parquet(root / "t.parquet").drop(columns="target")
    key = store(cache, read(data, root))
    for mmap in (True, False):
        pd.testing.assert_frame_equal(open_prepared(cache, key, mmap=mmap).X, expected)


@pytest.mark.parametrize(
    "values",
    [
        [True, float("nan"), False],
        ["a", 1, 2.5],
        ["a", None, "b"],
        [10**30, -1, 0],
        [float("inf"), "x", None],
    ],
)
def test_columns_of_python_objects_are_kept_without_pickle(values, cache):
    frame = pd.DataFrame({"n": [1.0, 2.0, 3.0], "o": pd.Series(values, dtype=object)})
    target = np.array(values, dtype=object)
    key = store(cache, Dataset(frame, target))
    kept = open_prepared(cache, key)
    pd.testing.assert_frame_equal(kept.X, frame)
    assert kept.y.dtype == object
    assert [type(v) for v in kept.y] == [type(v) for v in values]
    assert not list((cache / key).glob("*.pkl"))


def test_values_that_cannot_be_kept_are_told(root, cache):
    frame = pd.DataFrame({"day": pd.to_datetime(["2020", "2021"] * 9).date, "y": [0, 1] * 9})
    frame.to_parquet(root / "t.parquet")
    spec = job({"file": "t.parquet", "target": "y"})
    problem = the_problem(prepare, spec, Catalog(), [root], cache)
    assert "day" in str(problem)
    assert "date" in str(problem)


def test_an_archive_of_arrays(root, cache):
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.normal(size=(12, 3)))
    y, who, w = np.array(["no", "yes"] * 6), np.arange(12) // 4, rng.random(12)
    np.savez(root / "a.npz", X=X, y=y, who=who, w=w, other=X.T)
    loaded = read({"file": "a.npz", "groups": "who", "weights": "w"}, root)
    kept = open_prepared(cache, store(cache, loaded))
    assert kept.X.flags.f_contiguous
    assert kept.y.dtype == y.dtype
    for found, expected in zip(
        (kept.X, kept.y, kept.groups, kept.weights), (X, y, who, w), strict=True
    ):
        assert np.array_equal(found, expected)
    assert read({"file": "a.npz", "x": "other", "y": "w"}, root).X.shape == (3, 12)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("kind", [sp.random, sp.random_array])
def test_a_sparse_matrix_is_csr_as_gridsearchcv_makes_it(layout, kind, root, cache):
    size = (20, 8) if kind is sp.random else ((20, 8),)
    matrix = kind(*size, density=0.3, format=layout, rng=np.random.default_rng(0))
    y = np.arange(20) % 2
    sp.save_npz(root / "m.npz", matrix)
    np.savez(root / "labels.npz", labels=y)
    loaded = read({"file": "m.npz", "y_file": "labels.npz"}, root)
    kept = open_prepared(cache, store(cache, loaded))
    expected = matrix.tocsr()
    assert type(kept.X) is type(expected)
    assert kept.X.indices.dtype == expected.indices.dtype
    for part in ("data", "indices", "indptr"):
        assert np.array_equal(getattr(kept.X, part), getattr(expected, part))
    assert np.array_equal(kept.y, y)
    np.save(root / "labels.npy", y)
    assert np.array_equal(read({"file": "m.npz", "y_file": "labels.npy"}, root).y, y)
    rows = np.array([5, 2])
    assert np.array_equal(kept.X[rows].toarray(), expected[rows].toarray())


def test_a_sparse_matrix_without_entries_is_kept(cache):
    kept = open_prepared(cache, store(cache, Dataset(sp.csr_matrix((4, 3)))))
    assert kept.X.nnz == 0
    assert kept.X.shape == (4, 3)


def test_a_sparse_matrix_that_points_outside_itself_is_refused(root):
    matrix = sp.random(5, 5, density=0.5, format="csr", rng=np.random.default_rng(0))
    matrix.indices[0] = 10**6
    sp.save_npz(root / "m.npz", matrix)
    assert the_problem(read, {"file": "m.npz"}, root).where == "data.file"


def test_an_archive_of_python_objects_is_never_unpickled(root):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(root / "sprung"),))

    np.savez(root / "a.npz", X=np.array([[Trap()]], dtype=object), y=np.zeros(1))
    problem = the_problem(read, {"file": "a.npz"}, root)
    assert "Python objects" in problem.message
    assert not (root / "sprung").exists()


# ---------------------------------------------------------------- files and where they lie


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret.csv"
    file.write_text("a,label\n1,0\n2,1\n")
    return file


def test_paths_stay_inside_the_roots(root, secret):
    (root / "link.csv").symlink_to(secret)
    (root / "dir").symlink_to(secret.parent)
    for name in (str(secret), "link.csv", "dir/secret.csv"):
        problem = the_problem(read, {"file": name, "target": "label"}, root)
        assert problem.where == "data.file"
        assert "outside" in problem.message
        assert "data_roots" in str(problem)


def test_paths_cannot_climb_even_past_the_job_files_own_check(root, secret):
    from workers.datafiles import resolve

    for name in ("../../secret.csv", "x/../../../secret.csv", "", "a\0b"):
        assert the_problem(resolve, name, [root]).where == "data.file"


def test_a_root_of_the_operators_own_is_allowed(root, secret):
    for name in (str(secret),):
        assert read({"file": name, "target": "label"}, root, secret.parent).n_samples == 2


def test_a_link_within_the_roots_is_followed(root):
    frame = write_table(root)
    (root / "latest.csv").symlink_to("table.csv")
    assert read({"file": "latest.csv", "target": "label"}, root).n_samples == len(frame)


def test_what_is_not_a_regular_file_is_refused_at_once(root):
    (root / "d.csv").mkdir()
    os.mkfifo(root / "p.csv")
    for name, kind in (("d.csv", "a directory"), ("p.csv", "a named pipe")):
        assert kind in the_problem(read, {"file": name}, root).message
    device = the_problem(read, {"file": "/dev/zero.csv"}, root, Path("/dev"))
    assert device.where == "data.file"


def test_a_missing_file_names_the_nearest(root):
    (root / "sub").mkdir()
    (root / "sub" / "train.csv").write_text("a\n1\n")
    problem = the_problem(read, {"file": "sub/trian.csv"}, root)
    assert problem.nearest == "sub/train.csv"


def test_a_huge_file_is_refused_packed_and_unpacked(root):
    write_table(root)
    np.savez_compressed(root / "zeros.npz", X=np.zeros((1000, 100)))
    assert (root / "zeros.npz").stat().st_size < 5000
    for name in ("table.csv", "zeros.npz"):
        spec = job({"file": name})
        size = 100 if name == "table.csv" else 5000
        problem = the_problem(load, spec.data, [root], Catalog(), max_bytes=size)
        assert "bytes" in problem.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b""),
        ("t.csv", b"a,b\n1,2\n3,4,5,6\n"),
        ("t.csv", b"a,b\n\xff\xfe,2\n"),
        ("t.csv", b"a,b\n1,2,3\n4,5,6\n"),
        ("t.parquet", b"PAR1 and nothing else"),
        ("t.npz", b"PK\x03\x04 cut off"),
        ("t.npz", b"not an archive"),
        ("t.npz", b""),
    ],
)
def test_a_file_that_is_not_what_its_name_says(name, content, root):
    (root / name).write_bytes(content)
    problem = the_problem(read, {"file": name}, root)
    assert problem.where == "data.file"
    assert name in problem.message


def test_names_that_are_not_there_are_all_told_with_the_nearest(root):
    write_table(root)
    data = {"file": "table.csv", "target": "lable", "groups": "x", "features": ["age", "romos"]}
    found = {p.where: p.nearest for p in problems(read, data, root)}
    assert found == {"data.target": "label", "data.groups": None, "data.features": "rooms"}
    np.savez(root / "a.npz", X=np.zeros((2, 2)), labels=np.zeros(2))
    assert the_problem(read, {"file": "a.npz", "y": "label"}, root).nearest == "labels"


# ------------------------------------------------------------- what only the data can tell


def check(frame: pd.DataFrame, root: Path, **kwargs: Any) -> list[Problem]:
    frame.to_csv(root / "t.csv", index=False)
    data = {"file": "t.csv", "target": "y", **kwargs.pop("data", {})}
    return problems(examine, job(data, **kwargs), Catalog(), [root])


def test_data_that_no_search_can_use(root):
    n = 12
    x, y = np.arange(n, dtype=float), np.arange(n) % 2
    inf = np.where(x == 3, np.inf, x)
    gaps = np.where(x == 3, np.nan, y)
    regressor = {"estimator": "Ridge"}
    cases: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
        ({"x": x[:0], "y": y[:0]}, {}, "data.file", "no rows"),
        ({"x": inf, "y": y}, {}, "data.features", "'x'"),
        ({"x": x, "y": gaps}, {}, "data.target", "missing in 1 of 12"),
        ({"x": x, "y": inf}, regressor, "data.target", "infinite"),
        ({"x": x, "y": ["red", "blue"] * 6}, regressor, "data.target", "numbers"),
        ({"x": x, "y": x + 0.5}, {}, "data.target", "continuous"),
        ({"x": x, "y": y * 0}, {}, "data.target", "single class"),
        ({"x": x, "y": y}, {"cv": 7}, "cv", "largest class has 6"),
        ({"x": x, "y": x}, {**regressor, "cv": 13}, "cv", "12 samples"),
        ({"x": x, "y": y}, {"data": {"target": None}}, "data.target", "needs a target"),
        ({"x": x, "y": y}, {"cv": {"$type": "GroupKFold"}}, "data.groups", "groups"),
        ({"x": x, "y": y, "w": ["a", "b"] * 6}, {"data": {"weights": "w"}}, "data.weights", "num"),
        (
            {"x": x, "y": y, "g": [1, 2] * 6},
            {"cv": {"$type": "GroupKFold", "n_splits": 3}, "data": {"groups": "g"}},
            "cv.n_splits",
            "2 groups",
        ),
        (
            {"x": x, "y": y, "g": gaps},
            {"cv": {"$type": "GroupKFold", "n_splits": 2}, "data": {"groups": "g"}},
            "data.groups",
            "no group",
        ),
        (
            {"x": x, "y": y},
            {"cv": {"$type": "RepeatedStratifiedKFold", "n_splits": 9}},
            "cv.n_splits",
            "largest class",
        ),
        (
            {"x": x, "y": y},
            {"cv": {"$type": "PredefinedSplit", "test_fold": [0, 1]}},
            "cv.test_fold",
            "2 entries",
        ),
        (
            {"x": x, "y": y},
            {"cv": {"$type": "TimeSeriesSplit", "n_splits": 20}},
            "cv.n_splits",
            "12 samples",
        ),
        ({"x": x, "y": y}, {"cv": {"$type": "LeavePOut", "p": 12}}, "cv", "12"),
        (
            {"x": x, "y": [0] * 11 + [1]},
            {"cv": {"$type": "StratifiedShuffleSplit", "n_splits": 2}},
            "cv",
            "least populated",
        ),
        (
            {"t": ["a", None] * 6, "y": y},
            {"data": {"features": "t"}},
            "data.features",
            "missing",
        ),
    ]
    for columns, how, where, word in cases:
        (problem,) = check(pd.DataFrame(columns), root, **how)
        assert (problem.where, word in str(problem)) == (where, True), str(problem)


def test_a_small_class_is_a_warning_as_in_scikit_learn(root, cache):
    frame = pd.DataFrame({"x": np.arange(20.0), "y": [0] * 18 + [1] * 2})
    frame.to_csv(root / "t.csv", index=False)
    spec = job({"file": "t.csv", "target": "y"}, cv=5)
    with pytest.warns(UserWarning, match="least populated"):
        expected = list(StratifiedKFold(5).split(frame[["x"]], frame["y"]))
    examined = examine(spec, Catalog(), [root])
    assert [w.severity for w in examined.warnings] == ["warning"]
    assert np.array_equal(examined.splits[4][1], expected[4][1])
    prepared = prepare(spec, Catalog(), [root], cache)
    assert "least populated" in prepared.warnings[0]


def test_lengths_that_differ(root):
    np.savez(root / "a.npz", X=np.zeros((4, 2)), y=np.zeros(3), g=np.zeros((4, 1)))
    found = problems(examine, job({"file": "a.npz", "groups": "g"}), Catalog(), [root])
    assert [p.where for p in found] == ["data.y", "data.groups"]
    np.savez(root / "b.npz", X=np.zeros(4))
    assert "reshape" in str(the_problem(read, {"file": "b.npz"}, root))


def test_infinities_hide_nowhere(root):
    X = np.ones((4, 2))
    X[3, 1] = -np.inf
    np.savez(root / "d.npz", X=X, y=[0, 1, 0, 1])
    sp.save_npz(root / "s.npz", sp.csr_matrix(X))
    np.savez(root / "y.npz", y=[0, 1, 0, 1])
    for data in ({"file": "d.npz"}, {"file": "s.npz", "y_file": "y.npz"}):
        problem = the_problem(examine, job(data, cv=2), Catalog(), [root])
        assert problem.where == "data.x"


def test_clustering_needs_no_target():
    data = {"make": "low_rank_matrix", "params": {"n_samples": 30, "random_state": 0}}
    examined = examine(job(data, estimator="KMeans"), Catalog(), [])
    assert len(examined.splits) == 3
    assert examined.n_classes is None


# --------------------------------------------------------------------- preparing and keeping


IRIS = {"loader": "iris"}


def test_prepare_tells_what_planning_needs(cache):
    prepared = prepare(job(IRIS, cv=5), Catalog(), [], cache)
    X, y = datasets.load_iris(return_X_y=True)
    assert (prepared.n_samples, prepared.n_features, prepared.n_splits) == (150, 4, 5)
    assert (prepared.n_classes, prepared.is_classifier, prepared.min_train_size) == (3, True, 120)
    assert {"python", "scikit-learn", "numpy", "foldq"} <= set(prepared.versions)
    kept = open_prepared(cache, prepared.fingerprint)
    assert np.array_equal(kept.X, X)
    with Splits(cache, prepared.fingerprint, prepared.splits) as splits:
        for (train, test), (a, b) in zip(splits, StratifiedKFold(5).split(X, y), strict=True):
            assert np.array_equal(train, a)
            assert np.array_equal(test, b)
    json.dumps(prepared.versions)


def test_arrays_are_mapped_read_only_or_ones_own(cache):
    key = store(cache, read(IRIS))
    shared, own = open_prepared(cache, key), open_prepared(cache, key, mmap=False)
    assert type(shared.X) is np.ndarray
    assert isinstance(shared.X.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        shared.X[0, 0] = 1.0
    own.X[0, 0] = -1.0
    assert open_prepared(cache, key).X[0, 0] != -1.0


def test_tables_in_memory_can_be_written_to(cache):
    loaded = read({"file": "passengers.csv", "target": "rescued"}, PASSENGERS)
    own = open_prepared(cache, store(cache, loaded), mmap=False)
    own.X.loc[0, "relatives"] = 99
    own.X.loc[0, "port"] = "Rome"
    assert own.X.loc[0, "relatives"] == 99


def test_only_the_owner_may_read(cache):
    prepared = prepare(job(IRIS), Catalog(), [], cache)
    entry = cache / prepared.fingerprint
    for path in [entry, *entry.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert not [p for p in cache.rglob("*") if p.name.endswith(".tmp")]


def test_the_fingerprint_is_of_the_content_alone(root, tmp_path):
    frame = write_table(root)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "copy.csv").write_bytes((root / "table.csv").read_bytes())
    key = fingerprint(read({"file": "table.csv", "target": "label"}, root))
    assert key == fingerprint(read({"file": "copy.csv", "target": "label"}, elsewhere))
    X, y = frame[["age", "rooms", "town"]], frame["label"].to_numpy()
    assert key == fingerprint(Dataset(X, y))
    changed = X.copy()
    changed.loc[7, "town"] = "Bonn" if X.loc[7, "town"] == "Köln" else "Köln"
    others = [
        Dataset(changed, y),
        Dataset(X[["rooms", "age", "town"]], y),
        Dataset(X.rename(columns={"age": "Age"}), y),
        Dataset(X.astype({"rooms": "int32"}), y),
        Dataset(X.astype({"town": "category"}), y),
        Dataset(X, y.astype(float)),
        Dataset(X, y, groups=y),
        Dataset(X, y, weights=y),
    ]
    keys = {key, *(fingerprint(other) for other in others)}
    assert len(keys) == 1 + len(others)


def test_text_cannot_be_shifted_between_cells_unnoticed():
    pairs = (["ab", "c"], ["a", "bc"], ["abc", None], ["abc", ""])
    keys = {fingerprint(Dataset(pd.Series(texts, name="t", dtype="str"))) for texts in pairs}
    assert len(keys) == len(pairs)


def test_the_order_in_memory_is_content():
    X = np.arange(12.0).reshape(4, 3)
    assert fingerprint(Dataset(X)) != fingerprint(Dataset(np.asfortranarray(X)))
    assert fingerprint(Dataset(X)) == fingerprint(Dataset(np.hstack([X, X])[:, :3]))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-9] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("data", [IRIS, {"file": "passengers.csv", "target": "rescued"}])
def test_damage_is_noticed_and_put_right(data, cache):
    spec = job(data)
    prepared = prepare(spec, Catalog(), [PASSENGERS], cache)
    key = prepared.fingerprint
    entry = cache / key
    files = [p for p in entry.iterdir() if not p.name.startswith("splits")]
    assert len(files) == 3
    for path in files:
        original = path.read_bytes()
        path.unlink()
        with pytest.raises(DataMissing, match=path.name.replace(".", r"\.")):
            open_prepared(cache, key)
        for content in (original[:-1], original + b"x"):
            path.write_bytes(content)
            with pytest.raises(DataMissing):
                open_prepared(cache, key)
        damage(path)
        assert not entries.is_intact(cache, key)
        again = prepare(spec, Catalog(), [PASSENGERS], cache)
        assert again == prepared
        assert entries.is_intact(cache, key)
        assert len(list(entry.glob("splits-*"))) == 1
    (entry / f"splits-{prepared.splits}.npz").write_bytes(b"")
    assert prepare(spec, Catalog(), [PASSENGERS], cache) == prepared
    assert len(Splits(cache, key, prepared.splits)) == 3


def test_a_deleted_cache_is_missing_and_made_again(cache):
    import shutil

    prepared = prepare(job(IRIS), Catalog(), [], cache)
    shutil.rmtree(cache)
    with pytest.raises(DataMissing, match=prepared.fingerprint):
        open_prepared(cache, prepared.fingerprint)
    assert prepare(job(IRIS), Catalog(), [], cache) == prepared


@pytest.mark.parametrize("name", ["../../etc", "", "a" * 63 + "/", "A" * 64])
def test_a_fingerprint_is_never_a_path(name, cache):
    with pytest.raises(DataMissing):
        open_prepared(cache, name)


def test_many_may_prepare_the_same_at_once(cache):
    spec, found = job({"loader": "digits"}), []
    barrier = threading.Barrier(6)

    def run() -> None:
        barrier.wait()
        found.append(prepare(spec, Catalog(), [], cache))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert all(prepared == found[0] for prepared in found)
    assert entries.is_intact(cache, found[0].fingerprint)
    assert [p.name for p in cache.iterdir()] == [found[0].fingerprint]


def test_a_known_file_is_not_parsed_again_unless_it_changed(root, cache, monkeypatch):
    write_table(root)
    spec = job({"file": "table.csv", "target": "label", "features": ["age", "rooms"]})
    parsed = []
    read_csv = pd.read_csv
    monkeypatch.setattr(pd, "read_csv", lambda *a, **k: parsed.append(1) or read_csv(*a, **k))
    first = prepare(spec, Catalog(), [root], cache)
    assert prepare(spec, Catalog(), [root], cache) == first
    assert len(parsed) == 1

    # The same size and times, another content.
    path = root / "table.csv"
    before = path.stat()
    text = path.read_text()  # its last field is 1
    path.write_text(text[:-2] + "0\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    prepare(spec, Catalog(), [root], cache)
    assert len(parsed) == 2

    # Other columns of the same file are another data set.
    other = job({"file": "table.csv", "target": "label", "features": ["age"]})
    assert prepare(other, Catalog(), [root], cache).n_features == 1
    # A damaged entry is not trusted.
    damage(cache / first.fingerprint / "y.npy")
    path.write_text(text)
    assert prepare(spec, Catalog(), [root], cache) == first
    assert entries.is_intact(cache, first.fingerprint)


@pytest.mark.parametrize("message", ["there is no file 'a'", "There is no file 'a'."])
def test_a_problem_reads_as_sentences(message):
    assert str(Problem("data", message, hint="Look.")).endswith("file 'a'. Look.")

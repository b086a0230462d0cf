"""Splits: the ones `cv.split` gives, kept, and drawn down as successive halving does."""

from pathlib import Path

import numpy as np
import pytest
from sklearn import model_selection as ms
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection._search_successive_halving import _SubsampleMetaSplitter

from workers.cache import DataMissing, store
from workers.dataset import Dataset
from workers.splits import (
    Splits,
    TooManySplits,
    digest_of,
    materialise,
    store_splits,
    subsample,
)

RNG = np.random.default_rng(0)
N = 36
CLASSES = Dataset(RNG.normal(size=(N, 3)), np.arange(N) % 3, groups=np.arange(N) // 4)
NUMBERS = Dataset(CLASSES.X, RNG.normal(size=N))

SPLITTERS = [
    ms.GroupKFold(3),
    ms.GroupKFold(3, shuffle=True, random_state=1),
    ms.GroupShuffleSplit(4, random_state=2),
    ms.KFold(4),
    ms.KFold(4, shuffle=True, random_state=3),
    ms.LeaveOneGroupOut(),
    ms.LeaveOneOut(),
    ms.LeavePGroupsOut(2),
    ms.LeavePOut(2),
    ms.PredefinedSplit(np.arange(N) % 5 - 1),
    ms.RepeatedKFold(n_splits=3, n_repeats=2, random_state=4),
    ms.RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=5),
    ms.ShuffleSplit(4, random_state=6),
    ms.StratifiedGroupKFold(3),
    ms.StratifiedKFold(4),
    ms.StratifiedKFold(4, shuffle=True, random_state=7),
    ms.StratifiedShuffleSplit(4, random_state=8),
    ms.TimeSeriesSplit(4),
    ms.TimeSeriesSplit(4, gap=2, max_train_size=10),
]


def assert_same_splits(found, expected):
    found, expected = list(found), list(expected)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for indices, wanted in zip(one, other, strict=True):
            assert indices.dtype == wanted.dtype
            assert np.array_equal(indices, wanted)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_every_splitter_of_scikit_learn_is_tried():
    named = {name for name in ms.__all__ if name.endswith(("Fold", "Split", "Out"))}
    public = {name for name in named if not name.startswith("Base")}
    assert {type(cv).__name__ for cv in SPLITTERS} == public


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
@pytest.mark.parametrize("cv", SPLITTERS, ids=lambda cv: type(cv).__name__)
def test_a_splitters_own_splits_are_kept(cv, cache):
    chosen = materialise(cv, CLASSES, classifier=True)
    assert_same_splits(chosen, cv.split(CLASSES.X, CLASSES.y, CLASSES.groups))
    fingerprint = store(cache, CLASSES)
    digest = store_splits(cache, fingerprint, chosen)
    with Splits(cache, fingerprint, digest) as kept:
        assert len(kept) == cv.get_n_splits(CLASSES.X, CLASSES.y, CLASSES.groups)
        assert_same_splits(kept, chosen)
        assert_same_splits([kept[-1]], [chosen[-1]])
        assert_same_splits(kept[1:3], chosen[1:3])


@pytest.mark.parametrize(
    ("cv", "dataset", "classifier", "meant"),
    [
        (4, CLASSES, True, ms.StratifiedKFold(4)),
        (None, CLASSES, True, ms.StratifiedKFold(5)),
        (4, CLASSES, False, ms.KFold(4)),
        (4, NUMBERS, False, ms.KFold(4)),
        (3, Dataset(CLASSES.X), False, ms.KFold(3)),
        (3, Dataset(CLASSES.X, np.eye(3, dtype=int)[CLASSES.y]), True, ms.KFold(3)),
    ],
)
@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_an_integer_means_what_it_means_in_scikit_learn(cv, dataset, classifier, meant):
    chosen = materialise(cv, dataset, classifier=classifier)
    assert_same_splits(chosen, meant.split(dataset.X, dataset.y))


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
@pytest.mark.parametrize("fraction", [1.0, 0.5, 1 / 3, 20 / 36, 0.12])
@pytest.mark.parametrize("seed", [0, 12345])
def test_halving_draws_the_same_rows_as_scikit_learn(fraction, seed):
    cv = ms.StratifiedKFold(4, shuffle=True, random_state=0)
    expected = _SubsampleMetaSplitter(
        base_cv=cv, fraction=fraction, subsample_test=True, random_state=seed
    ).split(CLASSES.X, CLASSES.y)
    whole = materialise(cv, CLASSES, classifier=True)
    assert_same_splits([subsample(*split, fraction, seed) for split in whole], expected)


def test_too_many_splits_are_refused_before_they_are_made():
    many = Dataset(np.zeros((2000, 1)))
    with pytest.raises(TooManySplits, match=r"1,999,000 splits"):
        materialise(ms.LeavePOut(2), many, classifier=False)
    with pytest.raises(TooManySplits, match=r"10\^15"):
        materialise(ms.LeavePOut(1000), many, classifier=False)
    with pytest.raises(TooManySplits, match="bytes"):
        materialise(ms.LeaveOneOut(), many, classifier=False, max_bytes=10**6)
    with pytest.raises(TooManySplits, match="bytes"):
        materialise(ms.TimeSeriesSplit(500), many, classifier=False, max_bytes=10**6)


def test_the_digest_is_of_the_indices_in_their_order():
    a, b = np.array([0, 1, 2]), np.array([3])
    different = [
        [(a, b)],
        [(a[::-1], b)],
        [(b, a)],
        [(a, b), (a, b)],
        [(np.array([0, 1]), np.array([2, 3]))],
    ]
    assert len({digest_of(splits) for splits in different}) == len(different)
    assert digest_of([(a, b)]) == digest_of([(a.copy(), b.copy())])


@pytest.mark.filterwarnings("ignore:The groups parameter is ignored")
def test_splits_lie_beside_their_data_and_damage_is_noticed(cache):
    fingerprint = store(cache, CLASSES)
    chosen = materialise(3, CLASSES, classifier=True)
    digest = store_splits(cache, fingerprint, chosen)
    path = cache / fingerprint / f"splits-{digest}.npz"
    written = path.read_bytes()

    with pytest.raises(DataMissing, match="not in the cache"):
        Splits(cache, fingerprint, "0" * 64)
    with pytest.raises(DataMissing):
        Splits(cache, fingerprint, "../meta")
    with pytest.raises(DataMissing):
        store_splits(cache, "0" * 64, chosen)

    at = written.index(b"train-2.npy") - 40  # within test-1.npy: before the next one's header
    path.write_bytes(written[:at] + b"\xff" + written[at + 1 :])
    with Splits(cache, fingerprint, digest) as kept:
        assert_same_splits([kept[0]], [chosen[0]])
        with pytest.raises(DataMissing, match="damaged"):
            kept[1]
    path.write_bytes(written[:100])
    with pytest.raises(DataMissing):
        Splits(cache, fingerprint, digest)

    assert store_splits(cache, fingerprint, chosen) == digest
    with Splits(cache, fingerprint, digest) as kept:
        assert_same_splits(kept, chosen)
        with pytest.raises(IndexError):
            kept[3]

"""No room where an engine writes: the task is not at fault, and nothing half-written is left."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from schemas.job import JobSpec
from schemas.task import Prepared, PrepareOrder, RefitOrder, Refitted, SearchContext, TaskFailure
from workers.orders import carry_out


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Let no file be written beyond a size: a full disk that can be had anywhere."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if path.is_file())


@pytest.fixture
def context(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    numbers = np.random.default_rng(0).normal(size=(120, 3))
    table = pd.DataFrame(numbers, columns=["a", "b", "c"])
    table["day"] = pd.date_range("2026-01-01", periods=120)
    table["y"] = (numbers[:, 0] > 0).astype(int)
    table.to_csv(data / "table.csv", index=False)

    def of(
        data: dict[str, Any], estimator: Any = "LogisticRegression", **more: Any
    ) -> SearchContext:
        fields = {
            "name": "job",
            "data": data,
            "estimator": "LogisticRegression",
            "search": {"space": {"C": [1, 2]}},
        }
        spec = JobSpec.model_validate(fields).model_dump(mode="json")
        cache, roots = str(tmp_path / "cache"), (str(tmp_path / "data"),)
        return SearchContext("key", 1, spec, {}, cache, roots, **more)

    return of


DATA = {
    "arrays": {"loader": "breast_cancer"},
    "a table": {"file": "table.csv", "target": "y"},
}


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_a_preparation_without_room_is_not_the_jobs_fault_and_leaves_nothing(
    tmp_path, context, data
):
    order = PrepareOrder(1, context({**data}))
    expected = None
    # From no room at all to room for all but the last file, whichever that is.
    for size in (0, 1, 100, 600, 1000, 2000, 4000, 8000, 20_000):
        with file_size_limit(size):
            outcome = carry_out(order)
        if isinstance(outcome, TaskFailure):
            assert outcome.is_environment, outcome.error or outcome.message
            assert "cache cannot be written: file too large" in outcome.message
            assert not list((tmp_path / "cache").rglob("*.tmp")), "nothing half-written stays"
        else:
            expected = outcome
    outcome = carry_out(order)
    assert isinstance(outcome, Prepared)
    assert expected is None or expected == outcome


def test_a_directory_in_the_way_is_the_machines_fault_too(tmp_path, context):
    (tmp_path / "cache").write_text("a file")
    outcome = carry_out(PrepareOrder(1, context({"loader": "iris"})))
    assert isinstance(outcome, TaskFailure)
    assert outcome.is_environment


def test_the_users_own_file_that_is_missing_is_the_jobs_fault(context):
    outcome = carry_out(PrepareOrder(1, context({"file": "nowhere.csv", "target": "y"})))
    assert isinstance(outcome, TaskFailure)
    assert not outcome.is_environment
    assert "nowhere.csv" in outcome.message


@pytest.fixture
def refit(tmp_path, context):
    prepared = carry_out(PrepareOrder(1, context({"loader": "breast_cancer"})))
    known = {"fingerprint": prepared.fingerprint, "splits": prepared.splits}
    of = context({"loader": "breast_cancer"}, **known)
    return RefitOrder(2, of, {"C": 1.0}, str(tmp_path / "results" / "1"))


def test_a_model_without_room_is_saved_later_and_no_half_of_it_is_seen(tmp_path, refit):
    for size in (0, 100, 2000):
        with file_size_limit(size):
            outcome = carry_out(refit)
        assert isinstance(outcome, TaskFailure)
        assert outcome.is_environment, outcome.error
        assert files(tmp_path / "results") == []
    outcome = carry_out(refit)
    assert isinstance(outcome, Refitted)
    assert [path.name for path in files(tmp_path / "results")] == [outcome.file]


def test_an_estimator_that_finds_no_room_itself_has_failed_itself(refit, monkeypatch):
    def fit(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LogisticRegression, "fit", fit)
    outcome = carry_out(refit)
    assert isinstance(outcome, TaskFailure)
    assert not outcome.is_environment
    assert "OSError" in outcome.error_types

"""The way back: every search that a scikit-learn user would write, spelled as a job file again.

The parity cases are job files beside hand-written searches that mean the same. Here the searches
are spelled, without a fit, and the two job files are compared by what they make.
"""

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import cases_data
import cases_estimators
import cases_metrics
import cases_splitters
import cases_strategies
import pytest
from parity_case import Case
from parity_compare import comparable
from parity_data import make_files
from sklearn.model_selection._search import BaseSearchCV

import foldq
from schemas.job import JobSpec
from service.jobfile import parse
from workers.catalog import Catalog

#: Their `refit` is a function, which foldq spells otherwise.
FUNCTIONS = ("one_standard_error", "one_standard_error_of_a_metric")

#: The job file writes a parameter that the search leaves to its default.
WRITTEN_OUT = {"grid_of_three_spaces": {"probability": False}}


def each_of(*modules: ModuleType) -> pytest.MarkDecorator:
    cases = [case for module in modules for case in module.CASES if case.name not in FUNCTIONS]
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


class Unfitted(Exception):
    """Instead of a fit."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    make_files(directory)
    return directory


def written(case: Case, data: Path) -> BaseSearchCV:
    """Return the search of a case as its author wrote it, not fitted."""

    def stop(self: BaseSearchCV, *_: Any, **__: Any) -> None:
        raise Unfitted(self)

    with patch.object(BaseSearchCV, "fit", stop), pytest.raises(Unfitted) as caught:
        case.search(data)
    return caught.value.args[0]


def meaning(spec: JobSpec) -> list[Any]:
    """Return what a job file makes, comparable."""
    catalog = Catalog()
    spaces = [
        {name: drawn(catalog, name, values) for name, values in space.items()}
        for space in catalog.build_space(spec.search.space)
    ]
    return [
        plain(catalog.build(spec.estimator)),
        plain(catalog.cv(spec)),
        spaces,
        spec.search.model_dump(mode="json", exclude={"space"}),
        (spec.scoring, spec.refit, repr(spec.error_score), spec.return_train_score),
    ]


def drawn(catalog: Catalog, name: str, values: Any) -> Any:
    if hasattr(values, "rvs"):
        return values.dist.name, values.args, values.kwds
    return [plain(catalog.build_params({name: value})[name]) for value in values]


def plain(value: Any) -> Any:
    """As `comparable`, and splitters and column selectors by what they hold."""
    if isinstance(value, tuple | list):
        return type(value), [plain(item) for item in value]
    if hasattr(value, "get_params"):
        return type(value), {n: plain(v) for n, v in value.get_params(deep=False).items()}
    if type(value).__module__.startswith("sklearn."):
        return type(value), repr(sorted(vars(value).items()))
    return comparable(value)


@each_of(cases_strategies, cases_splitters, cases_metrics, cases_estimators, cases_data)
def test_a_search_object_becomes_the_job_file_that_means_the_same(case: Case, data: Path) -> None:
    wanted = parse(case.job.encode(), f"{case.name}.yaml")
    search = written(case, data).set_params(
        **{f"estimator__{name}": v for name, v in WRITTEN_OUT.get(case.name, {}).items()}
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = foldq.job_file(search, data=wanted.data.model_dump(mode="json", exclude_none=True))

    for ours, theirs in zip(meaning(parse(text.encode(), "x.yaml")), meaning(wanted), strict=True):
        assert ours == theirs

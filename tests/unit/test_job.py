"""The job file's model: what it fills in, what it means, and that nothing is lost on the way."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.editor import json_schema
from schemas.job import JobSpec, with_seeds

MINIMAL = {
    "name": "job",
    "data": {"loader": "iris"},
    "estimator": "SVC",
    "search": {"space": {"C": [1, 10]}},
}


def job(**changes):
    return JobSpec.model_validate({**MINIMAL, **changes})


def through_json(spec):
    return JobSpec.model_validate(
        json.loads(json.dumps(spec.model_dump(mode="json"), allow_nan=False))
    )


def test_the_defaults_are_scikit_learns():
    spec = job()
    assert (spec.cv, spec.scoring, spec.refit, spec.return_train_score) == (5, None, True, False)
    assert math.isnan(spec.error_score)
    assert spec.retry.attempts == 3
    assert spec.search.strategy == "grid"
    assert job(search={"strategy": "random", "space": {"C": [1]}}).search.n_iter == 10


def test_the_options_of_halving_have_scikit_learns_defaults():
    grid = job(search={"strategy": "halving_grid", "space": {"C": [1]}}).search
    assert (grid.factor, grid.resource, grid.min_resources) == (3, "n_samples", "exhaust")
    assert (grid.max_resources, grid.aggressive_elimination) == ("auto", False)
    drawn = job(search={"strategy": "halving_random", "space": {"C": [1]}}).search
    assert (drawn.min_resources, drawn.n_candidates) == ("smallest", "exhaust")


error_scores = st.sampled_from(["raise", "nan", 0, -1.5, math.nan, {"$float": "nan"}])
scorings = st.sampled_from(
    [
        (None, True),
        ("accuracy", False),
        ("accuracy", "one_se"),
        (["accuracy", "f1_macro"], "f1_macro"),
        (["accuracy", "f1_macro"], False),
        ({"a": "accuracy", "b": "f1_macro"}, {"one_se": "b"}),
    ]
)
searches = st.sampled_from(
    [
        {"space": {"C": [1, 2.5, "x", None, math.nan, {"$tuple": [1, 2]}]}},
        {"space": [{"C": {"$logspace": [0, 1, 3]}}, {"D": {"$range": 4}}]},
        {"strategy": "random", "space": {"C": {"$uniform": [0, 1]}}, "seed": 3, "n_iter": 7},
        {"strategy": "halving_random", "space": {"C": {"$randint": [0, 9]}}, "n_candidates": 5},
        {"strategy": "halving_random", "space": {"C": [1]}, "min_resources": "exhaust",
         "n_candidates": 9, "factor": 2.5},
    ]
)  # fmt: skip
data = st.sampled_from(
    [
        {"loader": "digits", "params": {"n_class": 5}},
        {"make": "classification", "params": {"weights": [0.1, 0.9]}},
        {"file": "a/train.csv", "target": "y", "features": ["a", "b"], "groups": "g"},
        {"file": "text.parquet", "target": "y", "features": "text", "weights": "w"},
        {"file": "x.npz", "y_file": "y.npz", "y": "labels"},
    ]
)


@given(error_scores, scorings, searches, data, st.sampled_from([None, "10m", 3, "1h30m"]))
def test_a_job_survives_json(error_score, scoring, search, data, timeout):
    if search.get("strategy", "grid").startswith("halving"):
        scoring = ("accuracy", True)
    spec = job(
        error_score=error_score,
        scoring=scoring[0],
        refit=scoring[1],
        search=search,
        data=data,
        timeout=timeout,
    )
    again = through_json(spec)
    assert again.model_dump(mode="json") == spec.model_dump(mode="json")
    assert through_json(again).model_dump_json() == spec.model_dump_json()


def test_metrics_are_named_as_in_the_columns():
    assert job().metrics == ("score",)
    assert job(scoring="accuracy").metrics == ("score",)
    assert job(scoring="accuracy").refit_metric == "score"
    several = job(scoring={"acc": "accuracy", "f": "f1_macro"}, refit="f")
    assert (several.metrics, several.refit_metric) == (("acc", "f"), "f")
    assert job(scoring=["accuracy"], refit=False).refit_metric is None


def test_one_standard_error_in_both_forms():
    short = job(refit="one_se")
    assert short.wants_one_se
    assert short.wants_refit
    assert short.refit_metric == "score"
    long = job(scoring=["accuracy", "f1_macro"], refit={"one_se": "f1_macro"})
    assert long.wants_one_se
    assert long.refit_metric == "f1_macro"
    assert not job(refit=True).wants_one_se
    assert not job(refit=False).wants_refit


@pytest.mark.parametrize(
    ("data", "label"),
    [
        ({"loader": "digits"}, "digits"),
        ({"make": "classification"}, "make_classification"),
        ({"make": "make_moons"}, "make_moons"),
        ({"file": "lab/train.csv", "target": "y"}, "train.csv"),
    ],
)
def test_data_have_a_label(data, label):
    assert job(data=data).data.label == label


def test_candidates_are_counted_without_listing_them():
    space = {"C": {"$logspace": [0, 1, 1000]}, "g": {"$range": 1000}, "k": ["a", "b"]}
    assert job(search={"space": space}).search.grid_size == 2_000_000
    assert job(search={"space": [space, {"C": [1]}]}).search.n_first_candidates == 2_000_001
    drawn = {"strategy": "random", "space": {"C": {"$uniform": [0, 1]}}, "n_iter": 60}
    assert job(search=drawn).search.grid_size is None
    assert job(search=drawn).search.n_first_candidates == 60
    few = {"strategy": "random", "space": {"C": [1, 2]}, "n_iter": 60}
    assert job(search=few).search.n_first_candidates == 2
    assert (
        job(
            search={**drawn, "n_iter": None, "strategy": "halving_random"}
        ).search.n_first_candidates
        is None
    )


class TestSeeds:
    """Randomness that was left open is drawn once, at admission."""

    def seeded(self, **changes):
        numbers = iter(range(100, 200))
        return with_seeds(job(**changes), lambda: next(numbers))

    def test_searches(self):
        drawn = self.seeded(search={"strategy": "random", "space": {"C": [1]}})
        assert drawn.search.seed == 100
        assert self.seeded().search.seed is None  # a grid draws nothing

    def test_splitters_that_draw(self):
        assert self.seeded(cv="ShuffleSplit").cv == {"$type": "ShuffleSplit", "random_state": 100}
        assert self.seeded(cv={"$type": "KFold", "shuffle": True}).cv["random_state"] == 100
        null = {"$type": "RepeatedKFold", "random_state": None}
        assert self.seeded(cv=null).cv["random_state"] == 100

    @pytest.mark.parametrize(
        "cv", [5, "KFold", {"$type": "KFold", "shuffle": False}, "LeaveOneOut", "TimeSeriesSplit"]
    )
    def test_splitters_that_do_not(self, cv):
        assert self.seeded(cv=cv).cv == cv

    def test_what_is_written_stays(self):
        cv = {"$type": "KFold", "shuffle": True, "random_state": 0}
        search = {"strategy": "random", "space": {"C": [1]}, "seed": 0}
        spec = job(cv=cv, search=search)
        assert with_seeds(spec, lambda: pytest.fail("nothing to draw")).cv == cv

    def test_generators_of_data(self):
        made = self.seeded(data={"make": "moons"})
        assert made.data.params == {"random_state": 100}

    def test_the_models_own_randomness_is_left_alone(self):
        assert self.seeded(estimator="RandomForestClassifier").estimator == "RandomForestClassifier"


def test_a_job_cannot_be_changed():
    with pytest.raises(ValidationError):
        job().priority = 3


def test_the_json_schema_describes_every_field():
    schema = json_schema()
    json.dumps(schema, allow_nan=False)
    assert schema["$schema"].endswith("2020-12/schema")
    assert sorted(schema["required"]) == ["data", "estimator", "search"]
    objects = [schema, *(d for d in schema["$defs"].values() if "properties" in d)]
    for definition in objects:
        for name, described in definition["properties"].items():
            referred = schema["$defs"].get(described.get("$ref", "").rpartition("/")[2], {})
            assert described.get("description") or referred.get("description"), name
    assert schema["$defs"]["SearchSpec"]["properties"]["strategy"]["enum"][0] == "grid"


def test_the_json_schema_refers_to_nothing_that_is_not_there():
    schema = json_schema()

    def references(part):
        if isinstance(part, dict):
            if "$ref" in part and isinstance(part["$ref"], str):
                yield part["$ref"]
            for inner in part.values():
                yield from references(inner)
        elif isinstance(part, list):
            for inner in part:
                yield from references(inner)

    assert {ref.removeprefix("#/$defs/") for ref in references(schema)} <= schema["$defs"].keys()

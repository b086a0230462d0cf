"""What folds share, told from the job file's spelling alone."""

import pytest

from schemas.job import JobSpec
from service.sharing import Sharing, sharing


def spec(estimator):
    return JobSpec.model_validate(
        {"name": "j", "data": {"loader": "iris"}, "estimator": estimator,
         "search": {"space": {"a": [1]}}}
    )  # fmt: skip


def pipeline(*steps):
    return spec({"$type": "Pipeline", "steps": list(steps)})


FOREST = {"$type": "RandomForestClassifier", "random_state": 0}


def test_without_a_pipeline_folds_share_the_data_of_their_split():
    known = sharing(spec({"$type": "SVC"}))
    assert known.of({"C": 1}, 0) == known.of({"C": 2}, 0)
    assert known.of({"C": 1}, 0) != known.of({"C": 1}, 1)
    assert known.of({"C": 1}, 0, 50) != known.of({"C": 1}, 0, 100), "halving: other samples"


@pytest.mark.parametrize(
    "scale", [["scale", "StandardScaler"], {"$tuple": ["scale", {"$type": "StandardScaler"}]}]
)
def test_candidates_share_the_steps_they_set_alike_but_for_the_last(scale):
    known = sharing(pipeline(scale, ["pca", {"$type": "PCA"}], ["svc", {"$type": "SVC"}]))
    first = known.of({"pca__n_components": 2, "svc__C": 1}, 0).group
    assert first == known.of({"pca__n_components": 2, "svc__C": 5}, 0).group
    other = known.of({"pca__n_components": 3, "svc__C": 1}, 0).group
    assert first[:2] == other[:2], "the scaler is the same"
    assert first != other


def test_a_step_that_is_replaced_is_another_step():
    known = sharing(pipeline(["scale", "StandardScaler"], ["svc", "SVC"]))
    groups = {
        known.of({"scale": value}, 0).group
        for value in ("passthrough", {"$type": "MinMaxScaler"}, {"$type": "StandardScaler"})
    }
    assert len(groups) == 3


def test_candidates_that_differ_in_the_size_of_an_ensemble_are_a_chain():
    known = sharing(spec(FOREST))
    small, large = (known.of({"max_features": 4, "n_estimators": n}, 0) for n in (50, 400))
    assert small.group == large.group != known.of({"max_features": 8, "n_estimators": 50}, 0).group
    assert small.chained
    assert small.rank < large.rank


def test_an_ensemble_at_the_end_of_a_pipeline_may_grow_too():
    known = sharing(pipeline(["scale", "StandardScaler"], ["forest", FOREST]))
    assert known.of({"forest__n_estimators": 50}, 0).chained


@pytest.mark.parametrize(
    ("estimator", "params", "forests"),
    [
        (FOREST, {"max_features": 4}, True),
        (FOREST, {"n_estimators": 50}, False),
        ({"$type": "RandomForestClassifier"}, {"n_estimators": 50}, True),
        ({"$type": "HistGradientBoostingClassifier"}, {"max_iter": 50}, True),
    ],
    ids=["of one size", "switched off", "drawn without a seed", "of another kind"],
)
def test_what_cannot_grow_is_no_chain(estimator, params, forests):
    assert not sharing(spec(estimator), forests=forests).of(params, 0).chained


def test_what_cannot_be_understood_shares_the_data_alone():
    assert sharing(spec({"$type": "Pipeline", "steps": "what?"})) == Sharing()

"""Which folds count as the same, and which models come out the same each time."""

import numpy as np
import pytest
from sklearn.datasets import load_iris

from schemas.job import JobSpec
from schemas.task import Prepared
from service.reuse import ContentKeys
from workers.catalog import Catalog
from workers.repeatable import _DRAWS_NOTHING, is_repeatable

PREPARED = Prepared("f" * 64, "s" * 64, 150, 4, 5, 3, True, 120, {"numpy": "2.4.6"})


def keys(prepared=PREPARED, **fields):
    job = {
        "name": "job",
        "data": {"loader": "iris"},
        "estimator": "SVC",
        "search": {"space": {"C": [1.0]}},
    }
    return ContentKeys(JobSpec.model_validate(job | fields), prepared, Catalog())


class TestContentKeys:
    def test_what_decides_no_score_changes_no_key(self):
        same = keys().of({"C": 1.0})
        assert same is not None
        assert keys(name="other", tags=["x"], priority=9, max_engines=1).of({"C": 1.0}) == same
        assert keys(search={"space": {"C": [1.0, 2.0, 3.0]}}).of({"C": 1.0}) == same

    @pytest.mark.parametrize(
        "change",
        [
            {"estimator": {"$type": "SVC", "kernel": "linear"}},
            {"scoring": "f1_macro"},
            {"return_train_score": True},
            {"threads": 2},
            {"error_score": 0.0},
            {"prepared": Prepared("e" * 64, "s" * 64, 150, 4, 5, 3, True, 120, {})},
            {"prepared": Prepared("f" * 64, "t" * 64, 150, 4, 5, 3, True, 120, {})},
            {"prepared": Prepared("f" * 64, "s" * 64, 150, 4, 5, 3, True, 120, {"numpy": "3"})},
        ],
    )
    def test_what_decides_a_score_changes_the_key(self, change):
        assert keys(**change).of({"C": 1.0}) != keys().of({"C": 1.0})

    def test_parameters_and_their_kinds_count(self):
        assert keys().of({"C": 2.0}) != keys().of({"C": 1.0})
        assert keys().of({"C": 1}) != keys().of({"C": 1.0}), "1 and 1.0 can mean different things"

    def test_halving_counts_how_much_was_drawn_and_by_which_seed(self):
        search = {"strategy": "halving_grid", "seed": 1, "space": {"C": [1.0]}}
        one = keys(search=search)
        assert one.of({"C": 1.0}, 30) != one.of({"C": 1.0}, 60)
        assert one.of({"C": 1.0}, 30) != keys(search=search | {"seed": 2}).of({"C": 1.0}, 30)

    def test_a_job_can_do_without(self):
        assert keys(reuse=False).of({"C": 1.0}) is None

    def test_what_draws_without_a_seed_has_no_key(self):
        forest = "RandomForestClassifier"
        assert keys(estimator=forest).of({"max_depth": 3}) is None
        assert keys(estimator=forest).of({"max_depth": 3, "random_state": 0}) is not None
        seeded = keys(estimator={"$type": forest, "random_state": 0})
        assert seeded.of({"max_depth": 3}) is not None
        assert seeded.of({"random_state": None}) is None
        assert keys().of({"probability": True}) is None

    def test_objects_among_the_parameters_are_looked_into(self):
        pipe = {"$type": "Pipeline", "steps": [["reduce", "passthrough"], ["model", "SVC"]]}
        assert keys(estimator=pipe).of({"reduce": {"$type": "StandardScaler"}}) is not None
        assert keys(estimator=pipe).of({"reduce": {"$type": "RandomTreesEmbedding"}}) is None


X, y = load_iris(return_X_y=True)


@pytest.mark.parametrize("name", sorted(_DRAWS_NOTHING))
def test_an_estimator_said_to_draw_nothing_gives_the_same_model_from_any_global_state(name):
    options = {
        "PCA": {"svd_solver": "full", "n_components": 2},
        "KernelPCA": {"eigen_solver": "dense"},
    }
    answers = []
    for seed in (1, 2):
        np.random.seed(seed)
        estimator = Catalog().build({"$type": name, **options.get(name, {})})
        assert is_repeatable(estimator)
        estimator.fit(X, y)
        ask = estimator.predict if hasattr(estimator, "predict") else estimator.transform
        answers.append(ask(X))
    np.testing.assert_array_equal(*answers)


@pytest.mark.parametrize(
    ("spelling", "repeatable"),
    [
        ({"$type": "Isomap"}, False),
        ({"$type": "Isomap", "eigen_solver": "dense"}, True),
        ({"$type": "SelectKBest", "score_func": {"$function": "mutual_info_classif"}}, False),
        ({"$type": "SelectKBest", "score_func": {"$function": "f_classif"}}, True),
        ({"$type": "CalibratedClassifierCV", "cv": {"$type": "KFold", "shuffle": True}}, False),
        ({"$type": "CalibratedClassifierCV", "cv": {"$type": "ShuffleSplit"}}, False),
        ({"$type": "CalibratedClassifierCV", "cv": {"$type": "KFold"}}, True),
    ],
    ids=str,
)
def test_what_draws_without_having_a_random_state_is_known(spelling, repeatable):
    assert is_repeatable(Catalog().build(spelling)) is repeatable

"""Names become objects, by look-up only, and what is built is what a scikit-learn user writes."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_selection import SelectKBest, chi2
from sklearn.gaussian_process.kernels import RBF, Sum
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer_names
from sklearn.model_selection import KFold, ParameterGrid
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import all_estimators
from sklearn.utils._param_validation import make_constraint

from schemas.job import RANDOM_SPLITTERS, JobSpec
from schemas.sections import Limits
from workers import names
from workers.catalog import Catalog, UnknownNameError
from workers.constraints import violation
from workers.jobcheck import job_problems
from workers.objectcheck import parameters_of
from workers.spelling import FREE_TEXT_PARAMS, NAMED_LISTS, TUPLE_PARAMS

catalog = Catalog()


def job(**changes):
    return JobSpec.model_validate(
        {
            "name": "job",
            "data": {"loader": "iris"},
            "estimator": "SVC",
            "search": {"space": {"C": [1]}},
            **changes,
        }
    )


def problems_of(known, spec, limits=None):
    return job_problems(known, spec, limits or Limits())


# --- the tables, against scikit-learn itself --------------------------------------------------


def test_the_estimators_are_scikit_learns():
    # Present only where some other test switched the experimental searches on.
    experimental = {"HalvingGridSearchCV", "HalvingRandomSearchCV"}
    theirs = {name: kind for name, kind in all_estimators() if name not in experimental}
    assert set(names.ESTIMATORS) - set(theirs) <= {"IterativeImputer"}
    assert set(theirs) <= set(names.ESTIMATORS)
    for name, kind in theirs.items():
        assert names.listed(name) is kind


def test_the_splitters_are_scikit_learns():
    import inspect

    from sklearn import model_selection

    theirs = {
        name
        for name, kind in vars(model_selection).items()
        if inspect.isclass(kind) and hasattr(kind, "get_n_splits") and not name.startswith("Base")
    }
    assert theirs == set(names.SPLITTERS)


def test_random_splitters_are_those_with_a_seed():
    theirs = {n for n in names.SPLITTERS if "random_state" in parameters_of(names.listed(n))}
    assert theirs == set(RANDOM_SPLITTERS)
    for name, switch in RANDOM_SPLITTERS.items():
        assert ("shuffle" in parameters_of(names.listed(name))) == (switch == "shuffle")


def test_every_listed_name_is_there():
    for name in names.TYPES | names.FUNCTIONS:
        assert callable(names.listed(name))
    for name in names.DTYPES:
        np.dtype(names.dtype(name))


def test_tuples_are_made_where_scikit_learn_takes_nothing_else():
    tuple_only = set()
    for name in names.ESTIMATORS:
        rules = getattr(names.listed(name), "_parameter_constraints", {})
        for param, allowed in rules.items():
            several = [rule for rule in allowed if rule in (tuple, list, "array-like")]
            if not isinstance(allowed, str) and several == [tuple]:
                tuple_only.add(param)
    assert tuple_only == set(TUPLE_PARAMS)


def test_no_word_that_scikit_learn_takes_is_an_estimators_name():
    for name in names.ESTIMATORS:
        rules = getattr(names.listed(name), "_parameter_constraints", {})
        for param, allowed in rules.items():
            if isinstance(allowed, str) or param in FREE_TEXT_PARAMS | NAMED_LISTS:
                continue
            for rule in allowed:
                options = getattr(make_constraint(rule), "options", ())
                assert set(names.ESTIMATORS).isdisjoint(map(str, options)), (name, param)


# --- building ---------------------------------------------------------------------------------


def test_a_pipeline_from_bare_names():
    built = catalog.build(
        {
            "$type": "Pipeline",
            "steps": [["scale", "StandardScaler"], ["svc", {"$type": "SVC", "kernel": "linear"}]],
        }
    )
    assert isinstance(built, Pipeline)
    assert built.steps[0][0] == "scale"
    assert isinstance(built.steps[0], tuple)
    assert isinstance(built["scale"], StandardScaler)
    assert built["svc"].kernel == "linear"


def test_columns_and_what_happens_to_them():
    built = catalog.build(
        {
            "$type": "ColumnTransformer",
            "transformers": [
                ["num", {"$type": "SimpleImputer", "strategy": "mean"}, ["age", "fare"]],
                [
                    "cat",
                    "OneHotEncoder",
                    {"$type": "make_column_selector", "dtype_include": "object"},
                ],
                ["id", "passthrough", ["id"]],
                ["rest", "drop", ["x"]],
            ],
            "remainder": "StandardScaler",
        }
    )
    assert isinstance(built, ColumnTransformer)
    assert built.transformers[0][1].strategy == "mean"
    assert built.transformers[0][2] == ["age", "fare"]
    assert isinstance(built.transformers[1][2], make_column_selector)
    assert built.transformers[2][1] == "passthrough"
    assert isinstance(built.remainder, StandardScaler)


def test_nested_objects_splitters_and_kernels():
    built = catalog.build(
        {
            "$type": "StackingClassifier",
            "estimators": [["a", "SVC"], ["b", "LogisticRegression"]],
            "final_estimator": "LogisticRegression",
            "cv": "KFold",
        }
    )
    assert isinstance(built.final_estimator, LogisticRegression)
    assert isinstance(built.estimators[1][1], LogisticRegression)
    assert isinstance(built.cv, KFold)
    process = catalog.build(
        {
            "$type": "GaussianProcessRegressor",
            "kernel": {"$type": "Sum", "k1": {"$type": "RBF"}, "k2": {"$type": "WhiteKernel"}},
        }
    )
    assert isinstance(process.kernel, Sum)
    assert isinstance(process.kernel.k1, RBF)


def test_words_stay_words():
    built = catalog.build({"$type": "SimpleImputer", "strategy": "constant", "fill_value": "Birch"})
    assert built.fill_value == "Birch"
    assert catalog.build_params({"imputer__fill_value": "Birch"}) == {
        "imputer__fill_value": "Birch"
    }
    assert catalog.build_params({"svc__kernel": "rbf"}) == {"svc__kernel": "rbf"}


def test_values_that_json_lacks():
    built = catalog.build_params(
        {
            "a": {"$tuple": [1, {"$tuple": [2]}]},
            "b": {"$dict": [[0, 1.0], [1, {"$float": "inf"}]]},
            "c": {"$dtype": "float32"},
            "d": {"$function": "chi2"},
            "e": {"$logspace": [0, 1, 2]},
            "f": {"x": {"$float": "nan"}},
        }
    )
    assert built["a"] == (1, (2,))
    assert built["b"] == {0: 1.0, 1: math.inf}
    assert built["c"] is np.float32
    assert built["d"] is chi2
    assert built["e"] == [1.0, 10.0]
    assert math.isnan(built["f"]["x"])


def test_lists_become_tuples_where_nothing_else_is_taken():
    assert catalog.build({"$type": "MinMaxScaler", "feature_range": [-1, 1]}).feature_range == (
        -1,
        1,
    )
    assert isinstance(catalog.build("MinMaxScaler"), MinMaxScaler)
    [space] = catalog.build_space({"vect__ngram_range": [[1, 1], [1, 2]]})
    assert space["vect__ngram_range"] == [{"$tuple": [1, 1]}, {"$tuple": [1, 2]}]
    # Several entries of another kind stay the list that they are.
    assert catalog.build_params({"hidden_layer_sizes": [10, 5]}) == {"hidden_layer_sizes": [10, 5]}


def test_every_build_gives_new_objects():
    params = {"svc": {"$type": "SVC"}}
    assert catalog.build_params(params)["svc"] is not catalog.build_params(params)["svc"]


@pytest.mark.parametrize("name", ["os.system", "sklearn.svm.SVC", "__import__", "eval", "Svc", ""])
def test_other_names_lead_nowhere(name):
    with pytest.raises(UnknownNameError):
        catalog.build({"$type": name})


# --- the operator's names ---------------------------------------------------------------------


def test_the_operators_estimators():
    own = Catalog({"MyScaler": "sklearn.preprocessing.StandardScaler"})
    assert isinstance(own.build("MyScaler"), StandardScaler)
    [space] = own.build_space({"scale": ["MyScaler", "passthrough"]})
    assert space["scale"] == [{"$type": "MyScaler"}, "passthrough"]
    pipeline = {"$type": "Pipeline", "steps": [["scale", "MyScaler"], ["svc", "SVC"]]}
    assert problems_of(own, job(estimator=pipeline, search={"space": {"svc__C": [1]}})) == []


@pytest.mark.parametrize("path", ["no_such_module.A", "sklearn.svm.NoSuch", "math.pi"])
def test_an_operators_path_that_leads_nowhere(path):
    own = Catalog({"Mine": path})
    [problem] = problems_of(own, job(estimator="Mine"))
    assert problem.where == "estimator"
    assert "cannot be imported" in problem.message


# --- the search -------------------------------------------------------------------------------


def test_distributions_say_low_and_high():
    uniform = catalog.distribution({"$uniform": [2, 5]})
    assert uniform.support() == stats.uniform(2, 3).support() == (2, 5)
    log = catalog.distribution({"$loguniform": [1e-3, 10]})
    assert (
        log.rvs(5, random_state=0).tolist()
        == stats.loguniform(1e-3, 10).rvs(5, random_state=0).tolist()
    )
    whole = catalog.distribution({"$randint": [1, 4]})
    assert set(whole.rvs(100, random_state=0)) == {1, 2, 3}


def test_the_space_keeps_canonical_values_in_scikit_learns_order():
    space = {"svc": ["LinearSVC", {"$type": "SVC"}, None], "a": {"$range": [1, 3]}}
    grid = list(ParameterGrid(catalog.build_space(space)))
    assert grid[0] == {"a": 1, "svc": {"$type": "LinearSVC"}}
    assert [point["a"] for point in grid] == [1, 1, 1, 2, 2, 2]
    assert isinstance(catalog.build_params(grid[0])["svc"], LinearSVC)
    assert isinstance(catalog.build_params(grid[1])["svc"], SVC)
    assert catalog.build_params(grid[2])["svc"] is None


def test_labels():
    steps = [
        ["ct", {"$type": "ColumnTransformer", "transformers": [["n", "PCA", [0]]]}],
        ["c", "SVC"],
    ]
    assert catalog.estimator_label("SVC") == "SVC"
    pipeline = {"$type": "Pipeline", "steps": steps}
    assert catalog.estimator_label(pipeline) == "Pipeline(ColumnTransformer(PCA), SVC)"
    search = {"$type": "GridSearchCV", "estimator": "SVC", "param_grid": {}, "cv": "KFold"}
    assert catalog.estimator_label(search) == "GridSearchCV(SVC)"
    many = {"$type": "VotingClassifier", "estimators": [[f"e{i}", "SVC"] for i in range(500)]}
    assert len(catalog.estimator_label(many)) == 200


def test_scoring_and_cv():
    assert catalog.cv(job()) == 5
    assert isinstance(catalog.cv(job(cv="KFold")), KFold)
    assert catalog.scoring(job(scoring=["accuracy"], refit=False)) == ["accuracy"]


# --- checking ---------------------------------------------------------------------------------

GOOD = {
    "a bare name": {},
    "several spaces": {
        "search": {"space": [{"C": [1], "kernel": ["linear"]}, {"gamma": ["scale"]}]},
    },
    "numpy's spacings": {"search": {"space": {"C": {"$geomspace": [0.1, 10, 3]}}}},
    "a random search": {
        "search": {"strategy": "random", "space": {"C": {"$loguniform": [1e-3, 1e3]}}, "seed": 1}
    },
    "a halving search": {"search": {"strategy": "halving_grid", "space": {"C": [1, 2]}}},
    "a halving search over trees": {
        "estimator": "RandomForestClassifier",
        "search": {
            "strategy": "halving_random",
            "space": {"max_depth": {"$randint": [1, 9]}},
            "resource": "n_estimators",
            "max_resources": 20,
            "n_candidates": 6,
        },
    },
    "integer class weights": {"estimator": {"$type": "SVC", "class_weight": {"$dict": [[0, 2]]}}},
    "steps that are replaced": {
        "estimator": {"$type": "Pipeline", "steps": [["pre", "passthrough"], ["clf", "SVC"]]},
        "search": {
            "space": [
                {"pre": ["passthrough", "PCA", None], "clf": ["SVC"], "clf__C": [1]},
                {
                    "clf": ["ExtraTreesClassifier", {"$type": "RandomForestClassifier"}],
                    "clf__max_depth": [3, None],
                },
                {"pre": ["PCA"], "pre__n_components": [2]},
            ]
        },
    },
    "an estimator within another": {
        "estimator": {"$type": "BaggingClassifier", "estimator": "SVC"},
        "search": {"space": {"estimator": ["SVC", "LinearSVC"], "estimator__C": [1, 2]}},
    },
    "text": {
        "data": {"file": "t.csv", "features": "text", "target": "y"},
        "estimator": {
            "$type": "Pipeline",
            "steps": [["vect", "TfidfVectorizer"], ["clf", "LogisticRegression"]],
        },
        "search": {"space": {"vect__ngram_range": [[1, 1], [1, 2]], "vect__min_df": [1, 0.1]}},
    },
    "a choice of features": {
        "estimator": {
            "$type": "Pipeline",
            "steps": [
                ["sel", {"$type": "SelectKBest", "score_func": {"$function": "chi2"}}],
                ["svc", "SVC"],
            ],
        },
        "search": {
            "space": {"sel__k": [1, "all"], "sel__score_func": [{"$function": "f_classif"}]},
        },
    },
    "groups": {
        "data": {"file": "t.csv", "target": "y", "groups": "g"},
        "cv": {"$type": "StratifiedGroupKFold", "n_splits": 3, "shuffle": True},
    },
    "generated data": {
        "data": {"make": "blobs", "params": {"n_samples": [10, 20], "random_state": 0}},
    },
    "data in a frame": {"data": {"loader": "wine", "params": {"as_frame": True}}},
    "a grid without a kernel": {
        "estimator": {"$type": "GaussianProcessClassifier", "kernel": {"$type": "RBF"}},
        "search": {"space": {"kernel__length_scale": [1.0], "n_restarts_optimizer": [0]}},
    },
    "a search within a search": {
        "estimator": {"$type": "GridSearchCV", "estimator": "SVC", "param_grid": {"C": [1, 2]},
                      "n_jobs": 1},
        "search": {"space": {"cv": [3, {"$type": "KFold", "n_splits": 4}]}},
    },
    "steps varied by a search within a search": {
        "estimator": {
            "$type": "GridSearchCV",
            "estimator": {"$type": "Pipeline", "steps": [["pre", "PCA"], ["svc", "SVC"]]},
            "param_grid": [{"pre": ["StandardScaler", "passthrough"]}, {"svc__C": [1, 2]}],
        },
        "search": {"space": {"estimator__svc__gamma": ["scale", "auto"]}},
    },
    "leaving out": {"cv": "LeaveOneOut"},
    "splits of one's own": {"cv": {"$type": "PredefinedSplit", "test_fold": [0, 1, -1]}},
    "warm start": {"estimator": {"$type": "MLPClassifier", "warm_start": True, "verbose": 1,
                                 "hidden_layer_sizes": {"$tuple": [20, 10]}},
                   "search": {"space": {"alpha": [0.1]}}},
    "nothing but the default": {"search": {"space": [{}, {"C": [2]}]}},
}  # fmt: skip


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD.keys())
def test_what_is_good_passes(changes):
    assert problems_of(catalog, job(**changes)) == []


@pytest.mark.parametrize("name", sorted(names.SPLITTERS))
def test_every_splitter_can_be_named(name):
    needs = {
        "LeavePOut": {"p": 2},
        "LeavePGroupsOut": {"n_groups": 2},
        "PredefinedSplit": {"test_fold": [0, 1]},
    }
    data = {"file": "t.csv", "target": "y", "groups": "g"}
    assert problems_of(catalog, job(cv={"$type": name, **needs.get(name, {})}, data=data)) == []


@pytest.mark.parametrize("name", sorted(names.ESTIMATORS))
def test_every_estimator_can_be_checked(name):
    """No default of scikit-learn's own is refused, and nothing blows up."""
    needs = {
        "Pipeline": {"steps": [["a", "SVC"]]},
        "FeatureUnion": {"transformer_list": [["a", "PCA"]]},
        "ColumnTransformer": {"transformers": [["a", "PCA", [0]]]},
        "SparseCoder": {"dictionary": [[1.0]]},
        "GridSearchCV": {"estimator": "SVC", "param_grid": {"C": [1]}},
        "RandomizedSearchCV": {"estimator": "SVC", "param_distributions": {"C": [1]}},
    }  # fmt: skip
    given = dict(needs.get(name, {}))
    kind = names.listed(name)
    for param, spec in parameters_of(kind).items():
        if spec.default is spec.empty and param not in given:
            given[param] = [["a", "SVC"]] if param == "estimators" else "SVC"
    problems = problems_of(catalog, job(estimator={"$type": name, **given}, scoring="accuracy"))
    if name == "FunctionTransformer":
        assert "any function" in problems[0].message
        return
    # Only the space, C, and what has no fit are not of this estimator.
    assert {p.where for p in problems} <= {"search.space.C", "estimator"}
    assert all("cannot be fitted" in p.message for p in problems if p.where == "estimator")


def test_more_processes_where_the_operator_allows():
    spec = job(estimator={"$type": "RandomForestClassifier", "n_jobs": 4},
               search={"space": {"max_depth": [3]}})  # fmt: skip
    [problem] = problems_of(catalog, spec)
    assert problem.where == "estimator.n_jobs"
    assert problems_of(catalog, spec, Limits(n_jobs=4)) == []


def test_every_scorer_can_be_named():
    scorers = get_scorer_names()
    assert problems_of(catalog, job(scoring=list(scorers), refit="accuracy")) == []


def test_scikit_learns_rules_have_the_form_that_is_read():
    """A contract with a private interface: when this fails, `workers.constraints` needs a look."""
    assert violation(SVC(), "C", 1.0) is None
    assert violation(SVC(), "C", -1.0).expected == "a float in the range (0.0, inf]"
    assert violation(SVC(), "kernel", "rfb").nearest == "rbf"
    assert "linear" in violation(SVC(), "kernel", "rfb").expected
    assert violation(SelectKBest(), "score_func", chi2) is None
    assert violation(object(), "C", 1) is None
    assert violation(SVC(), "no_such", 1) is None

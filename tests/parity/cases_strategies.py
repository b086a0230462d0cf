"""Parity over strategies: grid, random and the halving ones, and the options of each."""

from pathlib import Path
from typing import Any

import numpy as np
from parity_case import Cases
from scipy.stats import loguniform, randint, uniform
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_classification,
    make_moons,
    make_regression,
)
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import ElasticNet, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

CASES = Cases()


@CASES.case("""
    data: {loader: iris}
    estimator: SVC
    search: {space: {C: [0.1, 1, 10], gamma: [0.01, scale, auto]}}
""")
def grid_with_every_default(data: Path) -> Any:
    search = GridSearchCV(SVC(), {"C": [0.1, 1, 10], "gamma": [0.01, "scale", "auto"]})
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: {$type: SVC, probability: false, tol: 1.0e-4}
    search:
      strategy: grid
      space:
        - {kernel: [linear], C: {$logspace: [-3, 2, 4]}}
        - {kernel: [rbf], C: {$geomspace: [0.01, 100, 3]}, gamma: {$logspace: [-4, -1, 3]}}
        - {kernel: [poly], degree: {$range: [2, 5]}, coef0: {$linspace: [0, 1, 3]}}
    cv: 3
    return_train_score: true
""")
def grid_of_three_spaces(data: Path) -> Any:
    grid = [
        {"kernel": ["linear"], "C": np.logspace(-3, 2, 4)},
        {"kernel": ["rbf"], "C": np.geomspace(0.01, 100, 3), "gamma": np.logspace(-4, -1, 3)},
        {"kernel": ["poly"], "degree": range(2, 5), "coef0": np.linspace(0, 1, 3)},
    ]
    search = GridSearchCV(SVC(tol=1e-4), grid, cv=3, return_train_score=True)
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: GaussianNB
    search: {space: {var_smoothing: [1.0e-9]}}
""")
def grid_of_one_candidate(data: Path) -> Any:
    return GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9]}).fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: KNeighborsClassifier
    search: {space: {n_neighbors: [5, 5, 6, 5], weights: [uniform, uniform]}}
    cv: 4
""")
def grid_of_ties(data: Path) -> Any:
    grid = {"n_neighbors": [5, 5, 6, 5], "weights": ["uniform", "uniform"]}
    return GridSearchCV(KNeighborsClassifier(), grid, cv=4).fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: digits, params: {n_class: 4}}
    estimator:
      $type: Pipeline
      steps: [[scale, StandardScaler], [svc, SVC]]
    search:
      strategy: random
      n_iter: 8
      seed: 7
      space: {svc__C: {$loguniform: [0.01, 100]}, svc__gamma: {$loguniform: [1.0e-4, 0.1]}}
    cv: 3
""")
def random_from_distributions(data: Path) -> Any:
    pipeline = Pipeline([("scale", StandardScaler()), ("svc", SVC())])
    space = {"svc__C": loguniform(0.01, 100), "svc__gamma": loguniform(1e-4, 0.1)}
    search = RandomizedSearchCV(pipeline, space, n_iter=8, random_state=7, cv=3)
    return search.fit(*load_digits(n_class=4, return_X_y=True))


@CASES.case("""
    data: {make: classification, params: {n_samples: 200, n_features: 8, random_state: 3}}
    estimator: {$type: RandomForestClassifier, n_estimators: 8, random_state: 0}
    search:
      strategy: random
      seed: 11
      n_iter: 7
      space:
        max_depth: {$randint: [2, 9]}
        max_features: {$uniform: [0.2, 0.9]}
        criterion: [gini, entropy]
        min_samples_leaf: {$range: [1, 20, 3]}
        bootstrap: {$choice: [true, false]}
""")
def random_from_everything(data: Path) -> Any:
    space = {
        "max_depth": randint(2, 9),
        "max_features": uniform(0.2, 0.9 - 0.2),
        "criterion": ["gini", "entropy"],
        "min_samples_leaf": list(range(1, 20, 3)),
        "bootstrap": [True, False],
    }
    forest = RandomForestClassifier(n_estimators=8, random_state=0)
    search = RandomizedSearchCV(forest, space, n_iter=7, random_state=11)
    return search.fit(*make_classification(200, 8, random_state=3))


@CASES.case("""
    data: {loader: breast_cancer}
    estimator: {$type: DecisionTreeClassifier, random_state: 1}
    search:
      strategy: random
      seed: 0
      space:
        - {max_depth: [1, 2, 3, null], criterion: [gini]}
        - {min_samples_leaf: [1, 5, 9], splitter: [best, random]}
    cv: 3
""")
def random_from_lists_without_replacement(data: Path) -> Any:
    space = [
        {"max_depth": [1, 2, 3, None], "criterion": ["gini"]},
        {"min_samples_leaf": [1, 5, 9], "splitter": ["best", "random"]},
    ]
    tree = DecisionTreeClassifier(random_state=1)
    search = RandomizedSearchCV(tree, space, random_state=0, cv=3)
    return search.fit(*load_breast_cancer(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: {$type: KNeighborsClassifier, weights: distance}
    search: {strategy: random, n_iter: 40, seed: 5, space: {n_neighbors: [1, 3, 5], p: [1, 2]}}
    cv: 3
""")
def random_that_exhausts_its_lists(data: Path) -> Any:
    space = {"n_neighbors": [1, 3, 5], "p": [1, 2]}
    knn = KNeighborsClassifier(weights="distance")
    search = RandomizedSearchCV(knn, space, n_iter=40, random_state=5, cv=3)
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {make: regression, params: {n_samples: 150, n_features: 10, noise: 5.0, random_state: 1}}
    estimator: {$type: ElasticNet, max_iter: 5000}
    search:
      strategy: random
      seed: 21
      n_iter: 6
      space:
        - {alpha: {$loguniform: [0.001, 10]}, l1_ratio: {$uniform: [0, 1]}}
        - {alpha: {$linspace: [0, 1, 5]}, selection: [random], random_state: [3]}
    cv: {$type: KFold, n_splits: 4, shuffle: true, random_state: 9}
    scoring: [r2, neg_mean_absolute_error]
    refit: neg_mean_absolute_error
""")
def random_of_two_spaces_and_metrics(data: Path) -> Any:
    space = [
        {"alpha": loguniform(0.001, 10), "l1_ratio": uniform(0, 1)},
        {"alpha": np.linspace(0, 1, 5).tolist(), "selection": ["random"], "random_state": [3]},
    ]
    search = RandomizedSearchCV(
        ElasticNet(max_iter=5000),
        space,
        n_iter=6,
        random_state=21,
        cv=KFold(4, shuffle=True, random_state=9),
        scoring=["r2", "neg_mean_absolute_error"],
        refit="neg_mean_absolute_error",
    )
    return search.fit(*make_regression(150, 10, noise=5.0, random_state=1))


# return_train_score: the halving searches of scikit-learn say true, all else there says false.
# A job file says false for every strategy.


@CASES.case("""
    data: {loader: digits, params: {n_class: 5}}
    estimator: SVC
    search:
      strategy: halving_grid
      seed: 0
      space: {C: [0.1, 1, 10], gamma: [0.0001, 0.001, 0.01]}
    cv: 3
""")
def halving_grid_on_samples(data: Path) -> Any:
    search = HalvingGridSearchCV(
        SVC(),
        {"C": [0.1, 1, 10], "gamma": [0.0001, 0.001, 0.01]},
        random_state=0,
        cv=3,
        return_train_score=False,
    )
    return search.fit(*load_digits(n_class=5, return_X_y=True))


@CASES.case("""
    data: {make: classification, params: {n_samples: 400, random_state: 8}}
    estimator: {$type: RandomForestClassifier, random_state: 2}
    search:
      strategy: halving_grid
      seed: 4
      factor: 2
      resource: n_estimators
      max_resources: 16
      space: {max_depth: [2, 4, null], min_samples_leaf: [1, 3]}
    cv: 3
    return_train_score: true
""")
def halving_grid_on_trees(data: Path) -> Any:
    search = HalvingGridSearchCV(
        RandomForestClassifier(random_state=2),
        {"max_depth": [2, 4, None], "min_samples_leaf": [1, 3]},
        random_state=4,
        factor=2,
        resource="n_estimators",
        max_resources=16,
        cv=3,
    )
    return search.fit(*make_classification(400, random_state=8))


@CASES.case("""
    data: {make: moons, params: {n_samples: 300, noise: 0.3, random_state: 6}}
    estimator: KNeighborsClassifier
    search:
      strategy: halving_grid
      seed: 12
      factor: 2
      min_resources: 60
      max_resources: 240
      aggressive_elimination: true
      space: {n_neighbors: {$range: [1, 9]}, weights: [uniform, distance]}
    cv: {$type: StratifiedKFold, n_splits: 3, shuffle: true, random_state: 1}
""")
def halving_grid_with_aggressive_elimination(data: Path) -> Any:
    search = HalvingGridSearchCV(
        KNeighborsClassifier(),
        {"n_neighbors": range(1, 9), "weights": ["uniform", "distance"]},
        random_state=12,
        factor=2,
        min_resources=60,
        max_resources=240,
        aggressive_elimination=True,
        cv=StratifiedKFold(3, shuffle=True, random_state=1),
        return_train_score=False,
    )
    return search.fit(*make_moons(300, noise=0.3, random_state=6))


@CASES.case("""
    data: {make: regression, params: {n_samples: 300, n_features: 12, noise: 20, random_state: 2}}
    estimator: Ridge
    search:
      strategy: halving_grid
      seed: 3
      factor: 1.7
      min_resources: smallest
      space: {alpha: {$logspace: [-3, 3, 9]}}
    scoring: neg_root_mean_squared_error
    cv: {$type: ShuffleSplit, n_splits: 4, test_size: 0.3, random_state: 5}
""")
def halving_grid_with_a_broken_factor(data: Path) -> Any:
    search = HalvingGridSearchCV(
        Ridge(),
        {"alpha": np.logspace(-3, 3, 9)},
        random_state=3,
        factor=1.7,
        min_resources="smallest",
        scoring="neg_root_mean_squared_error",
        cv=ShuffleSplit(4, test_size=0.3, random_state=5),
        return_train_score=False,
    )
    return search.fit(*make_regression(300, 12, noise=20, random_state=2))


@CASES.case("""
    data: {make: moons, params: {n_samples: 200, noise: 0.4, random_state: 3}}
    estimator: {$type: Pipeline, steps: [[scale, StandardScaler], [model, GaussianNB]]}
    search:
      strategy: halving_random
      seed: 9
      space: {model__var_smoothing: {$loguniform: [1.0e-9, 1]}, scale__with_mean: [true, false]}
    cv: 4
    scoring: roc_auc
""")
def halving_random_that_draws_by_the_data(data: Path) -> Any:
    search = HalvingRandomSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", GaussianNB())]),
        {"model__var_smoothing": loguniform(1e-9, 1), "scale__with_mean": [True, False]},
        random_state=9,
        cv=4,
        scoring="roc_auc",
        return_train_score=False,
    )
    return search.fit(*make_moons(200, noise=0.4, random_state=3))


@CASES.case("""
    data: {make: classification, params: {n_samples: 240, n_classes: 3, n_informative: 4,
           random_state: 10}}
    estimator: {$type: GradientBoostingClassifier, random_state: 0, max_depth: 2}
    search:
      strategy: halving_random
      seed: 17
      n_candidates: 7
      min_resources: 2
      max_resources: 12
      resource: n_estimators
      factor: 2.5
      space: {learning_rate: {$loguniform: [0.01, 1]}, subsample: {$uniform: [0.4, 1]}}
    cv: 3
""")
def halving_random_on_boosting_rounds(data: Path) -> Any:
    search = HalvingRandomSearchCV(
        GradientBoostingClassifier(random_state=0, max_depth=2),
        {"learning_rate": loguniform(0.01, 1), "subsample": uniform(0.4, 1 - 0.4)},
        random_state=17,
        n_candidates=7,
        min_resources=2,
        max_resources=12,
        resource="n_estimators",
        factor=2.5,
        cv=3,
        return_train_score=False,
    )
    X, y = make_classification(240, n_classes=3, n_informative=4, random_state=10)
    return search.fit(X, y)


@CASES.case("""
    data: {loader: wine}
    estimator: {$type: DecisionTreeClassifier, random_state: 0}
    search:
      strategy: halving_random
      seed: 2
      n_candidates: 12
      min_resources: exhaust
      factor: 3
      space: {max_depth: [1, 2, 3, 4], min_samples_split: [2, 5, 9], ccp_alpha: [0.0, 0.02]}
    cv: 3
""")
def halving_random_from_lists(data: Path) -> Any:
    search = HalvingRandomSearchCV(
        DecisionTreeClassifier(random_state=0),
        {"max_depth": [1, 2, 3, 4], "min_samples_split": [2, 5, 9], "ccp_alpha": [0.0, 0.02]},
        random_state=2,
        n_candidates=12,
        min_resources="exhaust",
        factor=3,
        cv=3,
        return_train_score=False,
    )
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {make: classification, params: {n_samples: 200, random_state: 4}}
    estimator: SVC
    search: {strategy: halving_grid, seed: 1, factor: 2, min_resources: 40,
             space: {C: [1, -1, 10, 100], kernel: [rbf, linear]}}
    cv: 3
    scoring: accuracy
""")
def halving_grid_with_failing_candidates(data: Path) -> Any:
    search = HalvingGridSearchCV(
        SVC(),
        {"C": [1, -1, 10, 100], "kernel": ["rbf", "linear"]},
        random_state=1,
        factor=2,
        min_resources=40,
        cv=3,
        scoring="accuracy",
        return_train_score=False,
    )
    return search.fit(*make_classification(200, random_state=4))


@CASES.case("""
    data: {make: regression, params: {n_samples: 20, n_features: 2, random_state: 0}}
    estimator: {$type: DummyRegressor, strategy: quantile}
    search: {space: {quantile: {$linspace: [0, 1, 1000]}}}
    cv: {$type: ShuffleSplit, n_splits: 1, random_state: 0}
    scoring: neg_mean_absolute_error
""")
def grid_of_a_thousand(data: Path) -> Any:
    search = GridSearchCV(
        DummyRegressor(strategy="quantile"),
        {"quantile": np.linspace(0, 1, 1000)},
        cv=ShuffleSplit(1, random_state=0),
        scoring="neg_mean_absolute_error",
    )
    return search.fit(*make_regression(20, 2, random_state=0))


@CASES.case("""
    data: {make: regression, params: {n_samples: 20, n_features: 2, random_state: 0}}
    estimator: {$type: DummyRegressor, strategy: constant}
    search: {strategy: random, n_iter: 1050, seed: 14, space: {constant: {$uniform: [-90, 90]}}}
    cv: {$type: ShuffleSplit, n_splits: 1, random_state: 3}
    scoring: neg_mean_squared_error
""")
def random_of_more_than_a_thousand(data: Path) -> Any:
    search = RandomizedSearchCV(
        DummyRegressor(strategy="constant"),
        {"constant": uniform(-90, 180)},
        n_iter=1050,
        random_state=14,
        cv=ShuffleSplit(1, random_state=3),
        scoring="neg_mean_squared_error",
    )
    return search.fit(*make_regression(20, 2, random_state=0))

"""Parity over splitters: each of scikit-learn's, with groups where it needs them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from parity_case import Cases
from sklearn.datasets import load_diabetes, load_iris, load_wine, make_blobs, make_classification
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    HalvingGridSearchCV,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    LeavePGroupsOut,
    LeavePOut,
    PredefinedSplit,
    RandomizedSearchCV,
    RepeatedKFold,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    StratifiedShuffleSplit,
    TimeSeriesSplit,
)
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

CASES = Cases()

MEASUREMENTS = ["pulse", "iron", "sugar", "age"]


@CASES.case("""
    data: {loader: diabetes}
    estimator: Ridge
    search: {space: {alpha: [0.01, 0.1, 1.0]}}
    cv: 7
""")
def whole_number_for_a_regressor(data: Path) -> Any:
    return GridSearchCV(Ridge(), {"alpha": [0.01, 0.1, 1.0]}, cv=7).fit(
        *load_diabetes(return_X_y=True)
    )


@CASES.case("""
    data: {loader: iris}
    estimator: SVC
    search: {space: {C: [0.5, 2]}}
    cv: {$type: KFold, n_splits: 3}
""")
def folds_in_the_order_of_a_sorted_target(data: Path) -> Any:
    # Each fold leaves a whole class out, so every prediction is wrong.
    return GridSearchCV(SVC(), {"C": [0.5, 2]}, cv=KFold(3)).fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: {$type: DecisionTreeClassifier, random_state: 3}
    search: {space: {max_depth: [1, 3, null]}}
    cv: {$type: StratifiedKFold, n_splits: 6, shuffle: true, random_state: 13}
""")
def stratified_and_shuffled(data: Path) -> Any:
    cv = StratifiedKFold(6, shuffle=True, random_state=13)
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=3), {"max_depth": [1, 3, None]}, cv=cv
    )
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {loader: diabetes}
    estimator: {$type: KNeighborsRegressor}
    search: {space: {n_neighbors: [3, 9], weights: [uniform, distance]}}
    cv: {$type: ShuffleSplit, n_splits: 4, test_size: 0.25, train_size: 0.5, random_state: 8}
""")
def shuffle_split_of_shares(data: Path) -> Any:
    cv = ShuffleSplit(4, test_size=0.25, train_size=0.5, random_state=8)
    grid = {"n_neighbors": [3, 9], "weights": ["uniform", "distance"]}
    return GridSearchCV(KNeighborsRegressor(), grid, cv=cv).fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: KNeighborsClassifier
    search: {space: {n_neighbors: {$range: [1, 6, 2]}}}
    cv: {$type: StratifiedShuffleSplit, n_splits: 3, test_size: 30, random_state: 2}
""")
def stratified_shuffle_split_of_counts(data: Path) -> Any:
    cv = StratifiedShuffleSplit(3, test_size=30, random_state=2)
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [1, 3, 5]}, cv=cv)
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: {$type: SVC, kernel: linear}
    search: {space: {C: [0.001, 0.1]}}
    cv: {$type: RepeatedStratifiedKFold, n_splits: 3, n_repeats: 4, random_state: 5}
""")
def repeated_stratified_folds(data: Path) -> Any:
    cv = RepeatedStratifiedKFold(n_splits=3, n_repeats=4, random_state=5)
    search = GridSearchCV(SVC(kernel="linear"), {"C": [0.001, 0.1]}, cv=cv)
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {loader: diabetes}
    estimator: {$type: Lasso}
    search: {strategy: random, seed: 6, n_iter: 4, space: {alpha: {$linspace: [0.01, 1.0, 20]}}}
    cv: {$type: RepeatedKFold, n_splits: 4, n_repeats: 2, random_state: 1}
    scoring: neg_mean_squared_error
""")
def repeated_folds(data: Path) -> Any:
    search = RandomizedSearchCV(
        Lasso(),
        {"alpha": np.linspace(0.01, 1.0, 20)},
        n_iter=4,
        random_state=6,
        cv=RepeatedKFold(n_splits=4, n_repeats=2, random_state=1),
        scoring="neg_mean_squared_error",
    )
    return search.fit(*load_diabetes(return_X_y=True))


def _clinics(data: Path) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    frame = pd.read_csv(data / "clinics.csv")
    return frame[MEASUREMENTS], frame["outcome"], frame["clinic"]


@CASES.case("""
    data: {file: clinics.csv, target: outcome, groups: clinic, features: [pulse, iron, sugar, age]}
    estimator: {$type: LogisticRegression, max_iter: 300}
    search: {space: {C: [0.1, 1.0]}}
    cv: {$type: GroupKFold, n_splits: 4}
""")
def group_folds(data: Path) -> Any:
    X, y, groups = _clinics(data)
    search = GridSearchCV(LogisticRegression(max_iter=300), {"C": [0.1, 1.0]}, cv=GroupKFold(4))
    return search.fit(X, y, groups=groups)


@CASES.case("""
    data: {file: clinics.parquet, target: outcome, groups: clinic,
           features: [pulse, iron, sugar, age]}
    estimator: {$type: SVC}
    search: {space: {C: [0.1, 1.0, 10]}}
    cv: {$type: GroupKFold, n_splits: 3, shuffle: true, random_state: 4}
""")
def group_folds_shuffled(data: Path) -> Any:
    frame = pd.read_parquet(data / "clinics.parquet")
    cv = GroupKFold(3, shuffle=True, random_state=4)
    search = GridSearchCV(SVC(), {"C": [0.1, 1.0, 10]}, cv=cv)
    return search.fit(frame[MEASUREMENTS], frame["outcome"], groups=frame["clinic"])


@CASES.case("""
    data: {file: clinics.csv, target: outcome, groups: clinic, features: [pulse, iron, sugar, age]}
    estimator: {$type: DecisionTreeClassifier, random_state: 0}
    search: {space: {max_depth: [2, 5], criterion: [gini, log_loss]}}
    cv: LeaveOneGroupOut
""")
def leave_one_group_out(data: Path) -> Any:
    X, y, groups = _clinics(data)
    grid = {"max_depth": [2, 5], "criterion": ["gini", "log_loss"]}
    tree = DecisionTreeClassifier(random_state=0)
    return GridSearchCV(tree, grid, cv=LeaveOneGroupOut()).fit(X, y, groups=groups)


@CASES.case("""
    data: {file: clinics.csv, target: outcome, groups: clinic, features: [pulse, iron, sugar, age]}
    estimator: {$type: KNeighborsClassifier}
    search: {space: {n_neighbors: [3, 11]}}
    cv: {$type: LeavePGroupsOut, n_groups: 2}
""")
def leave_two_groups_out(data: Path) -> Any:
    X, y, groups = _clinics(data)
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [3, 11]}, cv=LeavePGroupsOut(2))
    return search.fit(X, y, groups=groups)


@CASES.case("""
    data: {file: sites.npz, x: features, y: amount, groups: site}
    estimator: {$type: SVR, kernel: linear}
    search: {space: {C: [0.1, 10], epsilon: [0.1, 1.0]}}
    cv: {$type: GroupShuffleSplit, n_splits: 3, test_size: 0.4, random_state: 3}
""")
def group_shuffle_split_of_arrays(data: Path) -> Any:
    arrays = np.load(data / "sites.npz")
    cv = GroupShuffleSplit(3, test_size=0.4, random_state=3)
    search = GridSearchCV(SVR(kernel="linear"), {"C": [0.1, 10], "epsilon": [0.1, 1.0]}, cv=cv)
    return search.fit(arrays["features"], arrays["amount"], groups=arrays["site"])


@CASES.case("""
    data: {file: clinics.csv, target: outcome, groups: clinic, features: [pulse, iron, sugar, age]}
    estimator: {$type: ExtraTreesClassifier, n_estimators: 6, random_state: 2}
    search: {space: {max_depth: [3, null]}}
    cv: {$type: StratifiedGroupKFold, n_splits: 3, shuffle: true, random_state: 6}
    scoring: balanced_accuracy
""")
def stratified_group_folds(data: Path) -> Any:
    X, y, groups = _clinics(data)
    search = GridSearchCV(
        ExtraTreesClassifier(n_estimators=6, random_state=2),
        {"max_depth": [3, None]},
        cv=StratifiedGroupKFold(3, shuffle=True, random_state=6),
        scoring="balanced_accuracy",
    )
    return search.fit(X, y, groups=groups)


@CASES.case("""
    data: {file: clinics.csv, target: outcome, groups: clinic, features: [pulse, iron, sugar, age]}
    estimator: {$type: SVC}
    search: {strategy: halving_grid, seed: 5, factor: 2, min_resources: 60,
             space: {C: [0.1, 1.0, 10, 100], gamma: [scale, 0.1]}}
    cv: {$type: GroupKFold, n_splits: 3}
""")
def halving_on_group_folds(data: Path) -> Any:
    X, y, groups = _clinics(data)
    search = HalvingGridSearchCV(
        SVC(),
        {"C": [0.1, 1.0, 10, 100], "gamma": ["scale", 0.1]},
        random_state=5,
        factor=2,
        min_resources=60,
        cv=GroupKFold(3),
        return_train_score=False,
    )
    return search.fit(X, y, groups=groups)


@CASES.case("""
    data: {file: prices.parquet, target: price, features: [size, rooms, height]}
    estimator: LinearRegression
    search: {space: {fit_intercept: [true, false], positive: [false, true]}}
    cv: {$type: TimeSeriesSplit, n_splits: 5, gap: 3, max_train_size: 70}
    scoring: [r2, neg_max_error]
    refit: r2
""")
def time_series(data: Path) -> Any:
    frame = pd.read_parquet(data / "prices.parquet")
    search = GridSearchCV(
        LinearRegression(),
        {"fit_intercept": [True, False], "positive": [False, True]},
        cv=TimeSeriesSplit(5, gap=3, max_train_size=70),
        scoring=["r2", "neg_max_error"],
        refit="r2",
    )
    return search.fit(frame[["size", "rooms", "height"]], frame["price"])


@CASES.case("""
    data: {make: blobs, params: {n_samples: 24, centers: 3, cluster_std: 3.0, random_state: 4}}
    estimator: KNeighborsClassifier
    search: {space: {n_neighbors: [1, 4], metric: [euclidean, manhattan]}}
    cv: LeaveOneOut
""")
def leave_one_out(data: Path) -> Any:
    grid = {"n_neighbors": [1, 4], "metric": ["euclidean", "manhattan"]}
    search = GridSearchCV(KNeighborsClassifier(), grid, cv=LeaveOneOut())
    return search.fit(*make_blobs(24, centers=3, cluster_std=3.0, random_state=4))


@CASES.case("""
    data: {make: classification, params: {n_samples: 9, n_features: 4, random_state: 5}}
    estimator: {$type: DecisionTreeClassifier, random_state: 0}
    search: {space: {max_depth: [1, 2]}}
    cv: {$type: LeavePOut, p: 2}
""")
def leave_two_out(data: Path) -> Any:
    tree = DecisionTreeClassifier(random_state=0)
    search = GridSearchCV(tree, {"max_depth": [1, 2]}, cv=LeavePOut(2))
    return search.fit(*make_classification(9, 4, random_state=5))


@CASES.case("""
    data: {make: blobs, params: {n_samples: 12, centers: 2, random_state: 7}}
    estimator: {$type: SVC, kernel: linear}
    search: {space: {C: [0.1, 1]}}
    cv: {$type: PredefinedSplit, test_fold: [0, 1, 2, -1, 0, 1, 2, -1, 0, 1, 2, -1]}
""")
def predefined_split(data: Path) -> Any:
    cv = PredefinedSplit([0, 1, 2, -1] * 3)
    search = GridSearchCV(SVC(kernel="linear"), {"C": [0.1, 1]}, cv=cv)
    return search.fit(*make_blobs(12, centers=2, random_state=7))

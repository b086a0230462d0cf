"""Parity over metrics, and over what is done with them: refit, train scores, error_score."""

from pathlib import Path
from typing import Any

import numpy as np
from parity_case import Cases
from sklearn.cluster import KMeans
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_iris,
    load_wine,
    make_blobs,
    make_classification,
    make_regression,
)
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut, StratifiedKFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

CASES = Cases()


@CASES.case("""
    data: {loader: breast_cancer}
    estimator: GaussianNB
    search: {space: {var_smoothing: {$logspace: [-10, -2, 5]}}}
    scoring: roc_auc
    return_train_score: true
""")
def roc_auc_with_train_scores(data: Path) -> Any:
    grid = {"var_smoothing": np.logspace(-10, -2, 5)}
    search = GridSearchCV(GaussianNB(), grid, scoring="roc_auc", return_train_score=True)
    return search.fit(*load_breast_cancer(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: {$type: LogisticRegression, max_iter: 400}
    search: {space: {C: [0.01, 1, 100]}}
    scoring: neg_log_loss
    cv: {$type: StratifiedKFold, n_splits: 4, shuffle: true, random_state: 3}
""")
def log_loss(data: Path) -> Any:
    search = GridSearchCV(
        LogisticRegression(max_iter=400),
        {"C": [0.01, 1, 100]},
        scoring="neg_log_loss",
        cv=StratifiedKFold(4, shuffle=True, random_state=3),
    )
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: {$type: RandomForestClassifier, n_estimators: 5, random_state: 7}
    search: {space: {max_depth: [1, 2, 5], class_weight: [null, balanced]}}
    scoring: [accuracy, f1_macro, roc_auc_ovr, neg_log_loss, matthews_corrcoef]
    refit: f1_macro
    return_train_score: true
    cv: 3
""")
def five_metrics_with_train_scores(data: Path) -> Any:
    search = GridSearchCV(
        RandomForestClassifier(n_estimators=5, random_state=7),
        {"max_depth": [1, 2, 5], "class_weight": [None, "balanced"]},
        scoring=["accuracy", "f1_macro", "roc_auc_ovr", "neg_log_loss", "matthews_corrcoef"],
        refit="f1_macro",
        return_train_score=True,
        cv=3,
    )
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {loader: breast_cancer}
    estimator: {$type: DecisionTreeClassifier, random_state: 0}
    search: {space: {max_depth: [1, 3, 5]}}
    scoring: {zebra: precision, apple: recall, middle: average_precision}
    refit: apple
""")
def metrics_under_names_of_ones_own(data: Path) -> Any:
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=0),
        {"max_depth": [1, 3, 5]},
        scoring={"zebra": "precision", "apple": "recall", "middle": "average_precision"},
        refit="apple",
    )
    return search.fit(*load_breast_cancer(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: SVC
    search: {space: {C: [0.1, 1]}}
    scoring: [accuracy]
    refit: accuracy
""")
def one_metric_in_a_list(data: Path) -> Any:
    search = GridSearchCV(SVC(), {"C": [0.1, 1]}, scoring=["accuracy"], refit="accuracy")
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: diabetes}
    estimator: {$type: DecisionTreeRegressor, random_state: 4}
    search: {space: {max_depth: [2, 4], criterion: [squared_error, poisson]}}
    scoring: [neg_mean_squared_error, neg_median_absolute_error, explained_variance, r2]
    refit: false
""")
def several_metrics_and_no_refit(data: Path) -> Any:
    search = GridSearchCV(
        DecisionTreeRegressor(random_state=4),
        {"max_depth": [2, 4], "criterion": ["squared_error", "poisson"]},
        scoring=[
            "neg_mean_squared_error",
            "neg_median_absolute_error",
            "explained_variance",
            "r2",
        ],
        refit=False,
    )
    return search.fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: GaussianNB
    search: {space: {var_smoothing: [1.0e-9, 1.0e-3]}}
    scoring: accuracy
    refit: false
""")
def one_metric_and_no_refit(data: Path) -> Any:
    grid = {"var_smoothing": [1e-9, 1e-3]}
    search = GridSearchCV(GaussianNB(), grid, scoring="accuracy", refit=False)
    return search.fit(*load_wine(return_X_y=True))


def within_one_standard_error(metric: str, n_splits: int) -> Any:
    """The rule of one standard error, as a `refit` for scikit-learn."""

    def choose(results: dict[str, Any]) -> int:
        best = results[f"mean_test_{metric}"].argmax()
        # std_test_* divides by n; the standard error of a mean is s / sqrt(n), s with n - 1.
        error = results[f"std_test_{metric}"][best] / np.sqrt(n_splits - 1)
        least = results[f"mean_test_{metric}"][best] - error
        return int(np.flatnonzero(results[f"mean_test_{metric}"] >= least)[0])

    return choose


@CASES.case("""
    data: {loader: diabetes}
    estimator: {$type: DecisionTreeRegressor, random_state: 0}
    search: {space: {max_depth: {$range: [1, 9]}}}
    refit: one_se
""")
def one_standard_error(data: Path) -> Any:
    search = GridSearchCV(
        DecisionTreeRegressor(random_state=0),
        {"max_depth": range(1, 9)},
        refit=within_one_standard_error("score", 5),
    )
    return search.fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {loader: breast_cancer}
    estimator: KNeighborsClassifier
    search: {space: {n_neighbors: [61, 41, 31, 21, 11, 5, 3]}}
    scoring: [accuracy, roc_auc]
    refit: {one_se: roc_auc}
    cv: 4
""")
def one_standard_error_of_a_metric(data: Path) -> Any:
    search = GridSearchCV(
        KNeighborsClassifier(),
        {"n_neighbors": [61, 41, 31, 21, 11, 5, 3]},
        scoring=["accuracy", "roc_auc"],
        refit=within_one_standard_error("roc_auc", 4),
        cv=4,
    )
    return search.fit(*load_breast_cancer(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: {$type: SVC}
    search: {space: {C: [1, 10]}}
    scoring: [accuracy, roc_auc]
    refit: accuracy
    return_train_score: true
""")
def scorer_that_fails_among_others(data: Path) -> Any:
    # roc_auc without a way to take three classes raises for every fold.
    search = GridSearchCV(
        SVC(),
        {"C": [1, 10]},
        scoring=["accuracy", "roc_auc"],
        refit="accuracy",
        return_train_score=True,
    )
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: {$type: SGDClassifier, random_state: 0}
    search: {space: {loss: [hinge, log_loss], alpha: [0.001, 0.01]}}
    scoring: neg_log_loss
    cv: 3
""")
def scorer_that_fails_for_some_candidates(data: Path) -> Any:
    # With the hinge loss there are no probabilities.
    search = GridSearchCV(
        SGDClassifier(random_state=0),
        {"loss": ["hinge", "log_loss"], "alpha": [0.001, 0.01]},
        scoring="neg_log_loss",
        cv=3,
    )
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: SVC
    search: {space: {C: [1, 10]}}
    scoring: neg_log_loss
    cv: 3
""")
def scorer_that_fails_always(data: Path) -> Any:
    search = GridSearchCV(SVC(), {"C": [1, 10]}, scoring="neg_log_loss", cv=3)
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: {$type: SGDClassifier, random_state: 1}
    search: {space: {loss: [perceptron, modified_huber, log_loss]}}
    scoring: neg_log_loss
    error_score: -3.5
    return_train_score: true
    cv: 3
""")
def scorer_that_fails_with_a_number_for_it(data: Path) -> Any:
    search = GridSearchCV(
        SGDClassifier(random_state=1),
        {"loss": ["perceptron", "modified_huber", "log_loss"]},
        scoring="neg_log_loss",
        error_score=-3.5,
        return_train_score=True,
        cv=3,
    )
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: KNeighborsClassifier
    search: {space: {n_neighbors: [115, 121, 5]}}
    cv: 5
""")
def prediction_that_fails(data: Path) -> Any:
    # 121 neighbours are more than the 120 samples of a training part: fit works, predict does not.
    search = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [115, 121, 5]}, cv=5)
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {make: regression, params: {n_samples: 25, n_features: 3, noise: 9, random_state: 1}}
    estimator: Ridge
    search: {space: {alpha: [0.1, 1.0]}}
    cv: LeaveOneOut
    scoring: [r2, neg_mean_absolute_error]
    refit: neg_mean_absolute_error
""")
def score_that_is_nan_for_one_sample(data: Path) -> Any:
    search = GridSearchCV(
        Ridge(),
        {"alpha": [0.1, 1.0]},
        cv=LeaveOneOut(),
        scoring=["r2", "neg_mean_absolute_error"],
        refit="neg_mean_absolute_error",
    )
    return search.fit(*make_regression(25, 3, noise=9, random_state=1))


@CASES.case("""
    data: {loader: diabetes}
    estimator: {$type: DummyRegressor, strategy: constant}
    search: {space: {constant: [1.0e+200, 150.0, -1.0e+200]}}
    scoring: [neg_mean_squared_error, neg_mean_absolute_error]
    refit: neg_mean_squared_error
""")
def infinite_scores(data: Path) -> Any:
    search = GridSearchCV(
        DummyRegressor(strategy="constant"),
        {"constant": [1e200, 150.0, -1e200]},
        scoring=["neg_mean_squared_error", "neg_mean_absolute_error"],
        refit="neg_mean_squared_error",
    )
    return search.fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: SVC
    search: {space: {C: [-1.0, 1.0, 0.0, 10.0]}}
    return_train_score: true
    scoring: [accuracy, f1_macro]
    refit: accuracy
""")
def failing_candidates(data: Path) -> Any:
    search = GridSearchCV(
        SVC(),
        {"C": [-1.0, 1.0, 0.0, 10.0]},
        return_train_score=True,
        scoring=["accuracy", "f1_macro"],
        refit="accuracy",
    )
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: {$type: Pipeline, steps: [[pca, PCA], [svc, SVC]]}
    search: {space: {pca__n_components: [2, 7, 4], svc__C: [0.01, 1]}}
    error_score: 0.5
    return_train_score: true
    cv: 3
""")
def failing_candidates_with_a_score(data: Path) -> Any:
    search = GridSearchCV(
        Pipeline([("pca", PCA()), ("svc", SVC())]),
        {"pca__n_components": [2, 7, 4], "svc__C": [0.01, 1]},
        error_score=0.5,
        return_train_score=True,
        cv=3,
    )
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {make: classification, params: {n_samples: 60, weights: [0.9], random_state: 14}}
    estimator: {$type: LogisticRegression, max_iter: 300}
    search: {space: {C: [0.01, 1.0]}}
    cv: {$type: KFold, n_splits: 10}
    error_score: .nan
""")
def folds_that_fail_for_want_of_a_class(data: Path) -> Any:
    search = GridSearchCV(
        LogisticRegression(max_iter=300), {"C": [0.01, 1.0]}, cv=KFold(10), error_score=np.nan
    )
    return search.fit(*make_classification(60, weights=[0.9], random_state=14))


@CASES.case("""
    data: {file: sites.npz, x: features, y: site}
    estimator: {$type: PoissonRegressor, max_iter: 200}
    search: {space: {alpha: {$logspace: [-2, 2, 5]}}}
    scoring: {deviance: neg_mean_poisson_deviance, d2: d2_absolute_error_score}
    refit: deviance
    cv: {$type: KFold, n_splits: 3, shuffle: true, random_state: 2}
""")
def deviances(data: Path) -> Any:
    arrays = np.load(data / "sites.npz")
    search = GridSearchCV(
        PoissonRegressor(max_iter=200),
        {"alpha": np.logspace(-2, 2, 5)},
        scoring={"deviance": "neg_mean_poisson_deviance", "d2": "d2_absolute_error_score"},
        refit="deviance",
        cv=KFold(3, shuffle=True, random_state=2),
    )
    return search.fit(arrays["features"], arrays["site"])


@CASES.case("""
    data: {make: blobs, params: {n_samples: 90, centers: 4, random_state: 3}}
    estimator: {$type: KMeans, n_init: 2, random_state: 0}
    search: {space: {n_clusters: [2, 3, 4, 5]}}
    scoring: [adjusted_rand_score, v_measure_score]
    refit: v_measure_score
    cv: 3
""")
def clustering_against_labels(data: Path) -> Any:
    search = GridSearchCV(
        KMeans(n_init=2, random_state=0),
        {"n_clusters": [2, 3, 4, 5]},
        scoring=["adjusted_rand_score", "v_measure_score"],
        refit="v_measure_score",
        cv=3,
    )
    return search.fit(*make_blobs(90, centers=4, random_state=3))

"""Searches that scikit-learn ends with an error: the jobs fail, and say the same."""

from pathlib import Path
from typing import Any

from parity_case import Cases
from sklearn.datasets import load_iris, load_wine
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC

CASES = Cases()


@CASES.case("""
    data: {loader: iris}
    estimator: {$type: Pipeline, steps: [[pca, PCA], [svc, SVC]]}
    search: {space: {pca__n_components: [7, 9]}}
    cv: 3
""")
def every_fit_fails(data: Path) -> Any:
    pipeline = Pipeline([("pca", PCA()), ("svc", SVC())])
    search = GridSearchCV(pipeline, {"pca__n_components": [7, 9]}, cv=3)
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: {$type: Pipeline, steps: [[pca, PCA], [svc, SVC]]}
    search: {space: {pca__n_components: [5]}}
    error_score: 0
    cv: 3
""")
def every_fit_fails_with_a_score_for_it(data: Path) -> Any:
    pipeline = Pipeline([("pca", PCA()), ("svc", SVC())])
    search = GridSearchCV(pipeline, {"pca__n_components": [5]}, cv=3, error_score=0)
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: {$type: Pipeline, steps: [[pca, PCA], [svc, SVC]]}
    search:
      strategy: halving_grid
      seed: 0
      factor: 2
      min_resources: 30
      space: {pca__n_components: [5, 6, 7]}
    cv: 3
""")
def every_fit_of_the_first_iteration_fails(data: Path) -> Any:
    search = HalvingGridSearchCV(
        Pipeline([("pca", PCA()), ("svc", SVC())]),
        {"pca__n_components": [5, 6, 7]},
        random_state=0,
        factor=2,
        min_resources=30,
        cv=3,
    )
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: {$type: Pipeline, steps: [[pca, PCA], [svc, SVC]]}
    search: {space: {pca__n_components: [2, 8]}}
    error_score: raise
    cv: 3
""")
def one_fit_fails_and_is_to_be_raised(data: Path) -> Any:
    pipeline = Pipeline([("pca", PCA()), ("svc", SVC())])
    search = GridSearchCV(pipeline, {"pca__n_components": [2, 8]}, cv=3, error_score="raise")
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator: SVC
    search: {space: {C: [1, 10]}}
    scoring: [accuracy, roc_auc]
    refit: accuracy
    error_score: raise
    cv: 3
""")
def scorer_fails_and_is_to_be_raised(data: Path) -> Any:
    search = GridSearchCV(
        SVC(),
        {"C": [1, 10]},
        scoring=["accuracy", "roc_auc"],
        refit="accuracy",
        error_score="raise",
        cv=3,
    )
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator: SVC
    search: {space: {C: [10, 1]}}
    scoring: [neg_log_loss, accuracy]
    refit: accuracy
    cv: 3
""")
def several_scorers_fail_together(data: Path) -> Any:
    # Several scorers ask the model together; without predict_proba none of them gets an answer.
    search = GridSearchCV(
        SVC(), {"C": [10, 1]}, scoring=["neg_log_loss", "accuracy"], refit="accuracy", cv=3
    )
    return search.fit(*load_wine(return_X_y=True))

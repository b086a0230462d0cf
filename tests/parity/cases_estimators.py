"""Parity over estimators: of every kind, alone and in each other, and as values of a search."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from parity_case import Cases
from scipy.stats import loguniform
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_classification,
    make_friedman1,
    make_hastie_10_2,
    make_moons,
    make_multilabel_classification,
    make_regression,
)
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, SelectKBest, VarianceThreshold, chi2, f_classif
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    RidgeCV,
    SGDRegressor,
)
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    TunedThresholdClassifierCV,
)
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

CASES = Cases()


@CASES.case("""
    data: {make: moons, params: {n_samples: 150, noise: 0.2, random_state: 1}}
    estimator: {$type: MLPClassifier, max_iter: 40, random_state: 5, solver: adam}
    search:
      space:
        hidden_layer_sizes: [{$tuple: [6]}, {$tuple: [8, 4]}]
        activation: [relu, tanh]
    cv: 3
""")
def neural_network(data: Path) -> Any:
    search = GridSearchCV(
        MLPClassifier(max_iter=40, random_state=5),
        {"hidden_layer_sizes": [(6,), (8, 4)], "activation": ["relu", "tanh"]},
        cv=3,
    )
    return search.fit(*make_moons(150, noise=0.2, random_state=1))


@CASES.case("""
    data: {make: friedman1, params: {n_samples: 120, noise: 0.5, random_state: 2}}
    estimator: {$type: GradientBoostingRegressor, n_estimators: 15, random_state: 3}
    search: {space: {max_features: [null, sqrt, 0.5, 2], loss: [squared_error, huber]}}
    cv: 3
    scoring: neg_mean_absolute_percentage_error
""")
def boosted_trees(data: Path) -> Any:
    search = GridSearchCV(
        GradientBoostingRegressor(n_estimators=15, random_state=3),
        {"max_features": [None, "sqrt", 0.5, 2], "loss": ["squared_error", "huber"]},
        cv=3,
        scoring="neg_mean_absolute_percentage_error",
    )
    return search.fit(*make_friedman1(120, noise=0.5, random_state=2))


@CASES.case("""
    data: {make: friedman1, params: {n_samples: 200, random_state: 9}}
    estimator: {$type: HistGradientBoostingRegressor, max_iter: 10, random_state: 0}
    search:
      space:
        max_leaf_nodes: [4, 8]
        interaction_cst: [null, pairwise, [[0, 1], [2, 3, 4]]]
    cv: 3
""")
def histogram_boosting(data: Path) -> Any:
    search = GridSearchCV(
        HistGradientBoostingRegressor(max_iter=10, random_state=0),
        {"max_leaf_nodes": [4, 8], "interaction_cst": [None, "pairwise", [[0, 1], [2, 3, 4]]]},
        cv=3,
    )
    return search.fit(*make_friedman1(200, random_state=9))


@CASES.case("""
    data: {loader: diabetes}
    estimator: {$type: ExtraTreesRegressor, n_estimators: 7, random_state: 11, bootstrap: true}
    search: {space: {max_samples: [0.5, 100, null], min_samples_leaf: [1, 0.05]}}
    cv: 3
""")
def extra_trees_with_shares_and_counts(data: Path) -> Any:
    search = GridSearchCV(
        ExtraTreesRegressor(n_estimators=7, random_state=11, bootstrap=True),
        {"max_samples": [0.5, 100, None], "min_samples_leaf": [1, 0.05]},
        cv=3,
    )
    return search.fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {loader: breast_cancer}
    estimator: {$type: AdaBoostClassifier, n_estimators: 6, random_state: 4,
                estimator: {$type: DecisionTreeClassifier, max_depth: 1}}
    search: {space: {learning_rate: [0.1, 1.0], estimator__max_depth: [1, 2]}}
    cv: 3
""")
def boosted_stumps(data: Path) -> Any:
    search = GridSearchCV(
        AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=6, random_state=4),
        {"learning_rate": [0.1, 1.0], "estimator__max_depth": [1, 2]},
        cv=3,
    )
    return search.fit(*load_breast_cancer(return_X_y=True))


@CASES.case("""
    data: {loader: diabetes}
    estimator: {$type: BaggingRegressor, n_estimators: 4, random_state: 6}
    search: {space: {estimator: [{$type: Ridge, alpha: 0.1}, KNeighborsRegressor, null]}}
    cv: 3
""")
def estimators_as_values(data: Path) -> Any:
    search = GridSearchCV(
        BaggingRegressor(n_estimators=4, random_state=6),
        {"estimator": [Ridge(alpha=0.1), KNeighborsRegressor(), None]},
        cv=3,
    )
    return search.fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {loader: digits, params: {n_class: 4}}
    estimator:
      $type: Pipeline
      steps: [[scale, StandardScaler], [reduce, PCA], [model, SVC]]
    search:
      space:
        - scale: [passthrough, {$type: MinMaxScaler}, RobustScaler]
          reduce: [null, {$type: PCA, n_components: 8, random_state: 0}]
          model: [{$type: SVC, kernel: linear}]
          model__C: [0.01, 1]
        - reduce: [{$type: SelectKBest, score_func: {$function: f_classif}}]
          reduce__k: [5, all]
          model: [{$type: RandomForestClassifier, n_estimators: 4, random_state: 1}, GaussianNB]
    cv: 3
""")
def steps_as_values(data: Path) -> Any:
    grid = [
        {
            "scale": ["passthrough", MinMaxScaler(), RobustScaler()],
            "reduce": [None, PCA(n_components=8, random_state=0)],
            "model": [SVC(kernel="linear")],
            "model__C": [0.01, 1],
        },
        {
            "reduce": [SelectKBest(f_classif)],
            "reduce__k": [5, "all"],
            "model": [RandomForestClassifier(n_estimators=4, random_state=1), GaussianNB()],
        },
    ]
    pipeline = Pipeline([("scale", StandardScaler()), ("reduce", PCA()), ("model", SVC())])
    return GridSearchCV(pipeline, grid, cv=3).fit(*load_digits(n_class=4, return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator:
      $type: Pipeline
      steps:
        - - both
          - $type: FeatureUnion
            transformer_list:
              - [few, {$type: TruncatedSVD, n_components: 2, random_state: 0}]
              - - many
                - $type: Pipeline
                  steps: [[spread, {$type: QuantileTransformer, n_quantiles: 20}],
                          [poly, {$type: PolynomialFeatures, degree: 2}]]
        - [model, {$type: RidgeClassifier}]
    search:
      space:
        both__few: [drop, passthrough, {$type: PCA, n_components: 3}]
        both__many__poly__interaction_only: [true, false]
        both__transformer_weights: [null, {few: 0.5, many: 2.0}]
    cv: {$type: StratifiedKFold, n_splits: 3, shuffle: true, random_state: 0}
""")
def union_in_a_pipeline_in_a_union(data: Path) -> Any:
    spread = QuantileTransformer(n_quantiles=20)
    many = Pipeline([("spread", spread), ("poly", PolynomialFeatures(degree=2))])
    few = TruncatedSVD(n_components=2, random_state=0)
    union = FeatureUnion([("few", few), ("many", many)])
    search = GridSearchCV(
        Pipeline([("both", union), ("model", RidgeClassifier())]),
        {
            "both__few": ["drop", "passthrough", PCA(n_components=3)],
            "both__many__poly__interaction_only": [True, False],
            "both__transformer_weights": [None, {"few": 0.5, "many": 2.0}],
        },
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
    )
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {loader: iris}
    estimator:
      $type: VotingClassifier
      voting: soft
      estimators:
        - [bayes, GaussianNB]
        - [tree, {$type: DecisionTreeClassifier, random_state: 0, max_depth: 2}]
        - [near, KNeighborsClassifier]
    search:
      space:
        weights: [null, [1, 2, 1], [0.5, 0.2, 3]]
        near: [drop, {$type: KNeighborsClassifier, n_neighbors: 9}]
        voting: [soft]
    cv: 3
""")
def voting(data: Path) -> Any:
    tree = DecisionTreeClassifier(random_state=0, max_depth=2)
    search = GridSearchCV(
        VotingClassifier(
            [("bayes", GaussianNB()), ("tree", tree), ("near", KNeighborsClassifier())],
            voting="soft",
        ),
        {
            "weights": [None, [1, 2, 1], [0.5, 0.2, 3]],
            "near": ["drop", KNeighborsClassifier(n_neighbors=9)],
            "voting": ["soft"],
        },
        cv=3,
    )
    return search.fit(*load_iris(return_X_y=True))


@CASES.case("""
    data: {loader: wine}
    estimator:
      $type: StackingClassifier
      estimators: [[bayes, GaussianNB], [tree, {$type: DecisionTreeClassifier, random_state: 2}]]
      final_estimator: {$type: LogisticRegression, max_iter: 200}
      cv: {$type: StratifiedKFold, n_splits: 3}
    search:
      space: {final_estimator__C: [0.1, 1], passthrough: [false, true], tree__max_depth: [2]}
    cv: 3
""")
def stacking(data: Path) -> Any:
    search = GridSearchCV(
        StackingClassifier(
            [("bayes", GaussianNB()), ("tree", DecisionTreeClassifier(random_state=2))],
            final_estimator=LogisticRegression(max_iter=200),
            cv=StratifiedKFold(3),
        ),
        {"final_estimator__C": [0.1, 1], "passthrough": [False, True], "tree__max_depth": [2]},
        cv=3,
    )
    return search.fit(*load_wine(return_X_y=True))


@CASES.case("""
    data: {make: classification, params: {n_samples: 150, random_state: 21}}
    estimator:
      $type: CalibratedClassifierCV
      estimator: {$type: LinearSVC, random_state: 0}
      cv: 3
    search:
      space: {estimator__C: [0.1, 1.0], method: [sigmoid, isotonic], ensemble: [true, false]}
    scoring: neg_brier_score
    cv: 3
""")
def calibration(data: Path) -> Any:
    search = GridSearchCV(
        CalibratedClassifierCV(LinearSVC(random_state=0), cv=3),
        {
            "estimator__C": [0.1, 1.0],
            "method": ["sigmoid", "isotonic"],
            "ensemble": [True, False],
        },
        scoring="neg_brier_score",
        cv=3,
    )
    return search.fit(*make_classification(150, random_state=21))


@CASES.case("""
    data: {make: regression, params: {n_samples: 60, n_features: 2, noise: 4, random_state: 3}}
    estimator: {$type: GaussianProcessRegressor, normalize_y: true, optimizer: null}
    search:
      space:
        kernel:
          - null
          - {$type: Sum, k1: {$type: RBF, length_scale: 2.0}, k2: {$type: WhiteKernel}}
          - {$type: Product, k1: {$type: ConstantKernel, constant_value: 3.0},
             k2: {$type: Matern, length_scale: 0.5, nu: 1.5}}
        alpha: [1.0e-10, 0.1]
    cv: 3
""")
def kernels_as_values(data: Path) -> Any:
    search = GridSearchCV(
        GaussianProcessRegressor(normalize_y=True, optimizer=None),
        {
            "kernel": [
                None,
                RBF(2.0) + WhiteKernel(),
                ConstantKernel(3.0) * Matern(0.5, nu=1.5),
            ],
            "alpha": [1e-10, 0.1],
        },
        cv=3,
    )
    return search.fit(*make_regression(60, 2, noise=4, random_state=3))


@CASES.case("""
    data: {loader: diabetes}
    estimator:
      $type: TransformedTargetRegressor
      regressor: {$type: Ridge}
      transformer: {$type: QuantileTransformer, n_quantiles: 50, output_distribution: normal}
    search: {space: {regressor__alpha: [0.01, 1.0], transformer: [{$type: StandardScaler}, null]}}
    cv: 3
    scoring: [r2, neg_root_mean_squared_error]
    refit: neg_root_mean_squared_error
""")
def transformed_target(data: Path) -> Any:
    search = GridSearchCV(
        TransformedTargetRegressor(
            Ridge(),
            transformer=QuantileTransformer(n_quantiles=50, output_distribution="normal"),
        ),
        {"regressor__alpha": [0.01, 1.0], "transformer": [StandardScaler(), None]},
        cv=3,
        scoring=["r2", "neg_root_mean_squared_error"],
        refit="neg_root_mean_squared_error",
    )
    return search.fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {loader: linnerud}
    estimator: {$type: Pipeline, steps: [[scale, StandardScaler], [model, Ridge]]}
    search: {space: {model__alpha: {$logspace: [-1, 2, 4]}}}
    cv: {$type: KFold, n_splits: 4}
    scoring: [r2, neg_mean_squared_error]
    refit: neg_mean_squared_error
""")
def several_targets(data: Path) -> Any:
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("model", Ridge())]),
        {"model__alpha": np.logspace(-1, 2, 4)},
        cv=KFold(4),
        scoring=["r2", "neg_mean_squared_error"],
        refit="neg_mean_squared_error",
    )
    return search.fit(*load_linnerud(return_X_y=True))


@CASES.case("""
    data: {make: regression, params: {n_samples: 90, n_features: 5, n_targets: 3, noise: 2,
           random_state: 12}}
    estimator: {$type: MultiOutputRegressor, estimator: {$type: SGDRegressor, random_state: 0}}
    search: {space: {estimator__alpha: [0.0001, 0.01], estimator__penalty: [l2, l1, null]}}
    cv: 3
""")
def one_regressor_for_each_target(data: Path) -> Any:
    search = GridSearchCV(
        MultiOutputRegressor(SGDRegressor(random_state=0)),
        {"estimator__alpha": [0.0001, 0.01], "estimator__penalty": ["l2", "l1", None]},
        cv=3,
    )
    return search.fit(*make_regression(90, 5, n_targets=3, noise=2, random_state=12))


@CASES.case("""
    data: {make: multilabel_classification, params: {n_samples: 120, n_classes: 4,
           random_state: 2}}
    estimator: {$type: ClassifierChain, estimator: {$type: LogisticRegression, max_iter: 200}}
    search: {space: {order: [null, [3, 1, 0, 2]], estimator__C: [0.1, 1.0]}}
    scoring: [f1_samples, jaccard_macro, accuracy]
    refit: jaccard_macro
    cv: 3
""")
def several_labels_at_once(data: Path) -> Any:
    search = GridSearchCV(
        ClassifierChain(LogisticRegression(max_iter=200)),
        {"order": [None, [3, 1, 0, 2]], "estimator__C": [0.1, 1.0]},
        scoring=["f1_samples", "jaccard_macro", "accuracy"],
        refit="jaccard_macro",
        cv=3,
    )
    return search.fit(*make_multilabel_classification(120, n_classes=4, random_state=2))


@CASES.case("""
    data: {loader: breast_cancer}
    estimator:
      $type: Pipeline
      steps:
        - [still, {$type: VarianceThreshold}]
        - [pick, {$type: RFE, estimator: {$type: DecisionTreeRegressor, random_state: 0}, step: 8}]
        - [model, {$type: LogisticRegression, solver: liblinear}]
    search: {space: {pick__n_features_to_select: [4, 0.5], model__class_weight:
             [null, balanced, {$dict: [[0, 1.0], [1, 3.0]]}, {0: 2, 1: 1}]}}
    cv: 3
""")
def class_weights_by_number(data: Path) -> Any:
    pick = RFE(DecisionTreeRegressor(random_state=0), step=8)
    model = LogisticRegression(solver="liblinear")
    search = GridSearchCV(
        Pipeline([("still", VarianceThreshold()), ("pick", pick), ("model", model)]),
        {
            "pick__n_features_to_select": [4, 0.5],
            "model__class_weight": [None, "balanced", {0: 1.0, 1: 3.0}, {0: 2, 1: 1}],
        },
        cv=3,
    )
    return search.fit(*load_breast_cancer(return_X_y=True))


@CASES.case("""
    data: {loader: digits, params: {n_class: 3}}
    estimator:
      $type: Pipeline
      steps:
        - [code, {$type: OneHotEncoder, handle_unknown: ignore, dtype: {$dtype: float32}}]
        - [pick, {$type: SelectKBest, score_func: {$function: chi2}, k: 40}]
        - [model, {$type: LinearSVC, random_state: 0}]
    search:
      strategy: random
      seed: 3
      n_iter: 5
      space:
        model__C: {$loguniform: [0.001, 1]}
        pick__score_func: [{$function: chi2}, {$function: f_classif}]
        code__dtype: [{$dtype: float32}, {$dtype: float64}]
    cv: 3
""")
def functions_and_dtypes(data: Path) -> Any:
    search = RandomizedSearchCV(
        Pipeline(
            [
                ("code", OneHotEncoder(handle_unknown="ignore", dtype=np.float32)),
                ("pick", SelectKBest(chi2, k=40)),
                ("model", LinearSVC(random_state=0)),
            ]
        ),
        {
            "model__C": loguniform(0.001, 1),
            "pick__score_func": [chi2, f_classif],
            "code__dtype": [np.float32, np.float64],
        },
        n_iter=5,
        random_state=3,
        cv=3,
    )
    return search.fit(*load_digits(n_class=3, return_X_y=True))


@CASES.case("""
    data: {loader: diabetes}
    estimator: {$type: RidgeCV, alphas: [0.1, 1.0, 10.0]}
    search:
      space:
        alphas: [{$tuple: [0.1, 1.0]}, [0.5, 5.0], [3.0]]
        fit_intercept: [true, false]
    cv: 3
""")
def sequences_of_different_lengths(data: Path) -> Any:
    search = GridSearchCV(
        RidgeCV(alphas=[0.1, 1.0, 10.0]),
        {"alphas": [(0.1, 1.0), [0.5, 5.0], [3.0]], "fit_intercept": [True, False]},
        cv=3,
    )
    return search.fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {file: flowers.csv}
    estimator: {$type: KMeans, n_init: 3, random_state: 1}
    search: {space: {n_clusters: [2, 3, 4], init: [k-means++, random]}}
    cv: {$type: KFold, n_splits: 3, shuffle: true, random_state: 0}
""")
def clustering_without_a_target(data: Path) -> Any:
    search = GridSearchCV(
        KMeans(n_init=3, random_state=1),
        {"n_clusters": [2, 3, 4], "init": ["k-means++", "random"]},
        cv=KFold(3, shuffle=True, random_state=0),
    )
    return search.fit(pd.read_csv(data / "flowers.csv"))


@CASES.case("""
    data: {file: flowers.csv, features: [a, c]}
    estimator: {$type: KernelDensity}
    search: {space: {bandwidth: {$logspace: [-1, 1, 5]}, kernel: [gaussian, tophat]}}
    cv: {$type: KFold, n_splits: 4, shuffle: true, random_state: 3}
    return_train_score: true
""")
def density_that_may_be_minus_infinity(data: Path) -> Any:
    search = GridSearchCV(
        KernelDensity(),
        {"bandwidth": np.logspace(-1, 1, 5), "kernel": ["gaussian", "tophat"]},
        cv=KFold(4, shuffle=True, random_state=3),
        return_train_score=True,
    )
    return search.fit(pd.read_csv(data / "flowers.csv")[["a", "c"]])


@CASES.case("""
    data: {file: sites.npz, x: features}
    estimator:
      $type: Pipeline
      steps: [[pca, PCA], [mix, {$type: GaussianMixture, random_state: 0}]]
    search:
      strategy: halving_grid
      seed: 0
      factor: 2
      min_resources: 30
      space: {mix__n_components: [1, 2, 3], pca__n_components: [2, 4]}
    cv: 3
""")
def halving_without_a_target(data: Path) -> Any:
    search = HalvingGridSearchCV(
        Pipeline([("pca", PCA()), ("mix", GaussianMixture(random_state=0))]),
        {"mix__n_components": [1, 2, 3], "pca__n_components": [2, 4]},
        random_state=0,
        factor=2,
        min_resources=30,
        cv=3,
        return_train_score=False,
    )
    return search.fit(np.load(data / "sites.npz")["features"])


@CASES.case("""
    data: {loader: diabetes}
    estimator:
      $type: Pipeline
      steps: [[poly, PolynomialFeatures], [model, LinearRegression]]
    search: {space: {poly__degree: [1, 2], poly__include_bias: [false], model__fit_intercept:
             [true, false], poly__interaction_only: [true]}}
    cv: {$type: KFold, n_splits: 5, shuffle: true, random_state: 2}
""")
def many_columns_of_least_squares(data: Path) -> Any:
    search = GridSearchCV(
        Pipeline([("poly", PolynomialFeatures()), ("model", LinearRegression())]),
        {
            "poly__degree": [1, 2],
            "poly__include_bias": [False],
            "model__fit_intercept": [True, False],
            "poly__interaction_only": [True],
        },
        cv=KFold(5, shuffle=True, random_state=2),
    )
    return search.fit(*load_diabetes(return_X_y=True))


@CASES.case("""
    data: {loader: breast_cancer}
    estimator:
      $type: GridSearchCV
      estimator: {$type: DecisionTreeClassifier, random_state: 0}
      param_grid: {max_depth: [1, 2, 3]}
      cv: {$type: StratifiedKFold, n_splits: 2}
    search: {space: {estimator__criterion: [gini, entropy], scoring: [accuracy, roc_auc]}}
    cv: 3
""")
def search_within_a_search(data: Path) -> Any:
    inner = GridSearchCV(
        DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2, 3]}, cv=StratifiedKFold(2)
    )
    grid = {"estimator__criterion": ["gini", "entropy"], "scoring": ["accuracy", "roc_auc"]}
    return GridSearchCV(inner, grid, cv=3).fit(*load_breast_cancer(return_X_y=True))


@CASES.case("""
    data: {make: classification, params: {n_samples: 150, weights: [0.8], random_state: 6}}
    estimator:
      $type: TunedThresholdClassifierCV
      estimator: {$type: LogisticRegression, max_iter: 200}
      cv: 3
      random_state: 1
    search: {space: {scoring: [balanced_accuracy, f1], thresholds: [4, 9]}}
    scoring: f1
    cv: 3
""")
def tuned_threshold(data: Path) -> Any:
    search = GridSearchCV(
        TunedThresholdClassifierCV(LogisticRegression(max_iter=200), cv=3, random_state=1),
        {"scoring": ["balanced_accuracy", "f1"], "thresholds": [4, 9]},
        scoring="f1",
        cv=3,
    )
    return search.fit(*make_classification(150, weights=[0.8], random_state=6))


@CASES.case("""
    data: {file: flowers.csv}
    estimator: PCA
    search: {space: {n_components: [1, 2, 0.95, null], whiten: [false, true]}}
    cv: 4
    timeout: 5m
""")
def transformer_that_scores_itself(data: Path) -> Any:
    grid = {"n_components": [1, 2, 0.95, None], "whiten": [False, True]}
    return GridSearchCV(PCA(), grid, cv=4).fit(pd.read_csv(data / "flowers.csv"))


@CASES.case("""
    data: {make: hastie_10_2, params: {n_samples: 120, random_state: 4}}
    estimator: {$type: IsolationForest, n_estimators: 10, random_state: 0}
    search: {space: {max_samples: [20, 0.5, auto], contamination: [auto, 0.2]}}
    scoring: [roc_auc, accuracy]
    refit: roc_auc
    cv: 3
""")
def outliers(data: Path) -> Any:
    search = GridSearchCV(
        IsolationForest(n_estimators=10, random_state=0),
        {"max_samples": [20, 0.5, "auto"], "contamination": ["auto", 0.2]},
        scoring=["roc_auc", "accuracy"],
        refit="roc_auc",
        cv=3,
    )
    return search.fit(*make_hastie_10_2(120, random_state=4))

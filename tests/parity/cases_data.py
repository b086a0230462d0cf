"""Parity over data: tables, text, sparse matrices, weights, and what comes in a bundle."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from parity_case import Cases
from scipy.stats import loguniform, randint
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.datasets import load_breast_cancer, make_circles, make_hastie_10_2
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.experimental import (
    enable_halving_search_cv,  # noqa: F401
    enable_iterative_imputer,  # noqa: F401
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    ShuffleSplit,
    StratifiedKFold,
)
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

CASES = Cases()

NUMBERS = ["age", "relatives", "fare", "minutes_to_boat"]
WORDS = ["cabin", "sex", "port", "deck", "swims"]


@CASES.case("""
    data: {file: passengers.csv, target: rescued}
    estimator:
      $type: Pipeline
      steps:
        - - columns
          - $type: ColumnTransformer
            transformers:
              - - numbers
                - {$type: Pipeline, steps: [[fill, SimpleImputer], [scale, StandardScaler]]}
                - [age, relatives, fare, minutes_to_boat]
              - - words
                - {$type: OneHotEncoder, handle_unknown: ignore}
                - [cabin, sex, port, deck, swims]
        - [model, {$type: LogisticRegression, max_iter: 300}]
    search:
      space:
        columns__numbers__fill__strategy: [mean, median]
        columns__words__min_frequency: [null, 20]
        model__C: [0.1, 1.0]
    cv: {$type: StratifiedKFold, n_splits: 3, shuffle: true, random_state: 0}
    scoring: [accuracy, roc_auc]
    refit: roc_auc
""")
def passengers(data: Path) -> Any:
    frame = pd.read_csv(data / "passengers.csv")
    numbers = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())])
    words = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numbers", numbers, NUMBERS), ("words", words, WORDS)])
    search = GridSearchCV(
        Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=300))]),
        {
            "columns__numbers__fill__strategy": ["mean", "median"],
            "columns__words__min_frequency": [None, 20],
            "model__C": [0.1, 1.0],
        },
        cv=StratifiedKFold(3, shuffle=True, random_state=0),
        scoring=["accuracy", "roc_auc"],
        refit="roc_auc",
    )
    return search.fit(frame.drop(columns="rescued"), frame["rescued"])


@CASES.case("""
    data: {file: passengers.csv, target: rescued, features: [fare, sex, age, deck, cabin]}
    estimator:
      $type: Pipeline
      steps:
        - - columns
          - $type: ColumnTransformer
            remainder: passthrough
            transformers:
              - - words
                - {$type: OrdinalEncoder, handle_unknown: use_encoded_value, unknown_value: -1,
                   encoded_missing_value: -2}
                - {$type: make_column_selector, dtype_exclude: number}
        - [model, {$type: HistGradientBoostingClassifier, max_iter: 12, random_state: 0,
                   early_stopping: false}]
    search:
      strategy: random
      seed: 2
      n_iter: 5
      space: {model__max_leaf_nodes: {$randint: [4, 20]}, columns__remainder: [passthrough, drop]}
    cv: 3
""")
def passengers_by_kind_of_column(data: Path) -> Any:
    frame = pd.read_csv(data / "passengers.csv")
    words = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
    )
    columns = ColumnTransformer(
        [("words", words, make_column_selector(dtype_exclude="number"))], remainder="passthrough"
    )
    model = HistGradientBoostingClassifier(max_iter=12, random_state=0, early_stopping=False)
    search = RandomizedSearchCV(
        Pipeline([("columns", columns), ("model", model)]),
        {
            "model__max_leaf_nodes": randint(4, 20),
            "columns__remainder": ["passthrough", "drop"],
        },
        n_iter=5,
        random_state=2,
        cv=3,
    )
    return search.fit(frame[["fare", "sex", "age", "deck", "cabin"]], frame["rescued"])


@CASES.case("""
    data: {file: reviews.csv, target: verdict, features: text}
    estimator:
      $type: Pipeline
      steps: [[words, TfidfVectorizer], [model, {$type: SGDClassifier, random_state: 0}]]
    search:
      space:
        words__ngram_range: [{$tuple: [1, 1]}, [1, 2]]
        words__sublinear_tf: [false, true]
        model__alpha: [0.0001, 0.01]
    cv: 3
    scoring: f1_macro
""")
def text(data: Path) -> Any:
    frame = pd.read_csv(data / "reviews.csv")
    search = GridSearchCV(
        Pipeline([("words", TfidfVectorizer()), ("model", SGDClassifier(random_state=0))]),
        {
            "words__ngram_range": [(1, 1), (1, 2)],
            "words__sublinear_tf": [False, True],
            "model__alpha": [0.0001, 0.01],
        },
        cv=3,
        scoring="f1_macro",
    )
    return search.fit(frame["text"], frame["verdict"])


@CASES.case("""
    data: {file: reviews.csv, target: verdict}
    estimator:
      $type: Pipeline
      steps:
        - - columns
          - $type: ColumnTransformer
            transformers:
              - [words, {$type: CountVectorizer, binary: true}, text]
              - [size, MinMaxScaler, [length]]
        - [model, {$type: MultinomialNB}]
    search: {space: {model__alpha: [0.1, 1.0], columns__words__min_df: [0.1],
             columns__size: [drop, MinMaxScaler], columns__words__stop_words: [null, english]}}
    cv: 3
""")
def text_beside_a_number(data: Path) -> Any:
    frame = pd.read_csv(data / "reviews.csv")
    columns = ColumnTransformer(
        [
            ("words", CountVectorizer(binary=True), "text"),
            ("size", MinMaxScaler(), ["length"]),
        ]
    )
    search = GridSearchCV(
        Pipeline([("columns", columns), ("model", MultinomialNB())]),
        {
            "model__alpha": [0.1, 1.0],
            "columns__words__min_df": [0.1],
            "columns__size": ["drop", MinMaxScaler()],
            "columns__words__stop_words": [None, "english"],
        },
        cv=3,
    )
    return search.fit(frame[["text", "length"]], frame["verdict"])


@CASES.case("""
    data: {file: counts.npz, y_file: counts_labels.npz}
    estimator: ComplementNB
    search: {space: {alpha: [0.01, 0.5, 2], norm: [true, false]}}
    scoring: [accuracy, average_precision]
    refit: accuracy
""")
def sparse_counts(data: Path) -> Any:
    search = GridSearchCV(
        ComplementNB(),
        {"alpha": [0.01, 0.5, 2], "norm": [True, False]},
        scoring=["accuracy", "average_precision"],
        refit="accuracy",
    )
    return search.fit(sp.load_npz(data / "counts.npz"), np.load(data / "counts_labels.npz")["y"])


@CASES.case("""
    data: {file: counts.npz, y_file: counts_labels.npz}
    estimator: {$type: LinearSVC, random_state: 0}
    search: {strategy: halving_random, seed: 8, n_candidates: 6, min_resources: 40, factor: 2,
             space: {C: {$loguniform: [0.001, 10]}, loss: [hinge, squared_hinge]}}
    cv: 3
""")
def sparse_halving(data: Path) -> Any:
    search = HalvingRandomSearchCV(
        LinearSVC(random_state=0),
        {"C": loguniform(0.001, 10), "loss": ["hinge", "squared_hinge"]},
        random_state=8,
        n_candidates=6,
        min_resources=40,
        factor=2,
        cv=3,
        return_train_score=False,
    )
    return search.fit(sp.load_npz(data / "counts.npz"), np.load(data / "counts_labels.npz")["y"])


MEASUREMENTS = ["pulse", "iron", "sugar", "age", "visits"]


@CASES.case("""
    data: {file: clinics.csv, target: outcome, weights: weight,
           features: [pulse, iron, sugar, age, visits]}
    estimator: {$type: DecisionTreeClassifier, random_state: 5}
    search: {space: {max_depth: [2, 4, null], min_weight_fraction_leaf: [0.0, 0.05]}}
    cv: 4
    return_train_score: true
""")
def weights(data: Path) -> Any:
    frame = pd.read_csv(data / "clinics.csv")
    search = GridSearchCV(
        DecisionTreeClassifier(random_state=5),
        {"max_depth": [2, 4, None], "min_weight_fraction_leaf": [0.0, 0.05]},
        cv=4,
        return_train_score=True,
    )
    return search.fit(frame[MEASUREMENTS], frame["outcome"], sample_weight=frame["weight"])


@CASES.case("""
    data: {file: sites.npz, x: features, y: amount, weights: weight, groups: site}
    estimator: {$type: SVR, C: 10}
    search: {space: {kernel: [linear, rbf], epsilon: [0.1, 5]}}
    cv: {$type: GroupKFold, n_splits: 3}
    scoring: [r2, neg_mean_squared_error, neg_max_error]
    refit: r2
""")
def weights_with_groups_and_metrics(data: Path) -> Any:
    arrays = np.load(data / "sites.npz")
    search = GridSearchCV(
        SVR(C=10),
        {"kernel": ["linear", "rbf"], "epsilon": [0.1, 5]},
        cv=GroupKFold(3),
        scoring=["r2", "neg_mean_squared_error", "neg_max_error"],
        refit="r2",
    )
    return search.fit(
        arrays["features"],
        arrays["amount"],
        sample_weight=arrays["weight"],
        groups=arrays["site"],
    )


@CASES.case("""
    data: {file: clinics.parquet, target: outcome, weights: weight,
           features: [pulse, fever, iron, sugar, age, visits]}
    estimator:
      $type: Pipeline
      steps: [[fill, KNNImputer], [scale, StandardScaler],
              [model, {$type: LogisticRegression, max_iter: 300}]]
    search: {space: {fill__n_neighbors: [2, 5], model__C: [0.1, 1.0]}}
    cv: 3
    scoring: {loss: neg_log_loss, share: accuracy}
    refit: loss
""")
def weights_in_a_pipeline(data: Path) -> Any:
    frame = pd.read_parquet(data / "clinics.parquet")
    search = GridSearchCV(
        Pipeline(
            [
                ("fill", KNNImputer()),
                ("scale", StandardScaler()),
                ("model", LogisticRegression(max_iter=300)),
            ]
        ),
        {"fill__n_neighbors": [2, 5], "model__C": [0.1, 1.0]},
        cv=3,
        scoring={"loss": "neg_log_loss", "share": "accuracy"},
        refit="loss",
    )
    columns = ["pulse", "fever", "iron", "sugar", "age", "visits"]
    return search.fit(frame[columns], frame["outcome"], model__sample_weight=frame["weight"])


@CASES.case("""
    data: {file: sites.npz, x: features, y: amount, weights: weight}
    estimator: Ridge
    search: {strategy: halving_grid, seed: 6, factor: 2, space: {alpha: {$logspace: [-2, 2, 5]}}}
    cv: 3
""")
def weights_in_halving(data: Path) -> Any:
    arrays = np.load(data / "sites.npz")
    search = HalvingGridSearchCV(
        Ridge(),
        {"alpha": np.logspace(-2, 2, 5)},
        random_state=6,
        factor=2,
        cv=3,
        return_train_score=False,
    )
    return search.fit(arrays["features"], arrays["amount"], sample_weight=arrays["weight"])


@CASES.case("""
    data: {file: prices.parquet, target: price,
           features: [size, rooms, height, light, garden, street]}
    estimator:
      $type: Pipeline
      steps:
        - - columns
          - $type: ColumnTransformer
            remainder: passthrough
            sparse_threshold: 0
            transformers:
              - [street, OneHotEncoder, [street]]
              - [light, {$type: SimpleImputer, add_indicator: true}, [light]]
        - [model, {$type: DecisionTreeRegressor, random_state: 0}]
    search: {space: {model__max_depth: [2, 5], columns__light__missing_values: [.nan]}}
    cv: {$type: ShuffleSplit, n_splits: 3, random_state: 4}
""")
def categories_and_booleans_of_parquet(data: Path) -> Any:
    frame = pd.read_parquet(data / "prices.parquet")
    columns = ColumnTransformer(
        [
            ("street", OneHotEncoder(), ["street"]),
            ("light", SimpleImputer(add_indicator=True), ["light"]),
        ],
        remainder="passthrough",
        sparse_threshold=0,
    )
    search = GridSearchCV(
        Pipeline([("columns", columns), ("model", DecisionTreeRegressor(random_state=0))]),
        {"model__max_depth": [2, 5], "columns__light__missing_values": [np.nan]},
        cv=ShuffleSplit(3, random_state=4),
    )
    return search.fit(frame.drop(columns=["price", "storeys", "lift"]), frame["price"])


@CASES.case("""
    data: {file: prices.parquet, target: price, features: [light, rooms, size, garden]}
    estimator: {$type: RandomForestRegressor, n_estimators: 6, random_state: 8}
    search: {space: {max_features: [1.0, 2], monotonic_cst: [null, [0, 1, 0, 0]]}}
    cv: 3
""")
def missing_cells_in_trees(data: Path) -> Any:
    frame = pd.read_parquet(data / "prices.parquet")
    search = GridSearchCV(
        RandomForestRegressor(n_estimators=6, random_state=8),
        {"max_features": [1.0, 2], "monotonic_cst": [None, [0, 1, 0, 0]]},
        cv=3,
    )
    return search.fit(frame[["light", "rooms", "size", "garden"]], frame["price"])


@CASES.case("""
    data: {make: hastie_10_2, params: {n_samples: 200, random_state: 1}}
    estimator: {$type: KNeighborsClassifier}
    search: {space: {n_neighbors: [1, 15], algorithm: [brute, kd_tree], leaf_size: [5]}}
    cv: 3
""")
def generator_with_labels_of_minus_one(data: Path) -> Any:
    grid = {"n_neighbors": [1, 15], "algorithm": ["brute", "kd_tree"], "leaf_size": [5]}
    search = GridSearchCV(KNeighborsClassifier(), grid, cv=3)
    return search.fit(*make_hastie_10_2(200, random_state=1))


@CASES.case("""
    data: {make: make_circles, params: {n_samples: 120, noise: 0.1, factor: 0.4, random_state: 6}}
    estimator: {$type: DecisionTreeClassifier, random_state: 0}
    search: {space: {max_depth: [3, 6]}}
    cv: 3
""")
def generator_by_its_whole_name(data: Path) -> Any:
    tree = DecisionTreeClassifier(random_state=0)
    search = GridSearchCV(tree, {"max_depth": [3, 6]}, cv=3)
    return search.fit(*make_circles(120, noise=0.1, factor=0.4, random_state=6))


@CASES.case("""
    data: {loader: breast_cancer, params: {as_frame: true}}
    estimator:
      $type: Pipeline
      steps:
        - - columns
          - $type: ColumnTransformer
            transformers: [[means, StandardScaler, [mean radius, mean texture, mean area]]]
        - [model, {$type: LogisticRegression, max_iter: 200}]
    search: {space: {model__C: [0.1, 1.0]}}
    cv: 3
""")
def bundled_table(data: Path) -> Any:
    columns = ColumnTransformer(
        [("means", StandardScaler(), ["mean radius", "mean texture", "mean area"])]
    )
    search = GridSearchCV(
        Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=200))]),
        {"model__C": [0.1, 1.0]},
        cv=3,
    )
    return search.fit(*load_breast_cancer(return_X_y=True, as_frame=True))


@CASES.case("""
    data: {file: kernel.npz, x: gram, y: label}
    estimator: {$type: SVC, kernel: precomputed}
    search: {space: {C: [0.01, 1, 100]}}
    cv: {$type: StratifiedKFold, n_splits: 4, shuffle: true, random_state: 1}
""")
def precomputed_kernel(data: Path) -> Any:
    arrays = np.load(data / "kernel.npz")
    cv = StratifiedKFold(4, shuffle=True, random_state=1)
    search = GridSearchCV(SVC(kernel="precomputed"), {"C": [0.01, 1, 100]}, cv=cv)
    return search.fit(arrays["gram"], arrays["label"])


@CASES.case("""
    data: {file: clinics.csv, target: outcome, groups: clinic, weights: weight}
    estimator: {$type: Pipeline, steps: [[fill, SimpleImputer],
                [model, {$type: LogisticRegression, max_iter: 300}]]}
    search:
      space:
        fill: [SimpleImputer, {$type: IterativeImputer, max_iter: 3, random_state: 0},
               {$type: KNNImputer, n_neighbors: 3}]
        model__class_weight: [null, {well: 1, ill: 2.5, unclear: 1}]
    cv: {$type: GroupKFold, n_splits: 3}
    retry: {attempts: 2, on: [ValueError], backoff: 10ms}
""")
def columns_that_are_left(data: Path) -> Any:
    frame = pd.read_csv(data / "clinics.csv")
    fills = [
        SimpleImputer(),
        IterativeImputer(max_iter=3, random_state=0),
        KNNImputer(n_neighbors=3),
    ]
    search = GridSearchCV(
        Pipeline([("fill", SimpleImputer()), ("model", LogisticRegression(max_iter=300))]),
        {"fill": fills, "model__class_weight": [None, {"well": 1, "ill": 2.5, "unclear": 1}]},
        cv=GroupKFold(3),
    )
    return search.fit(
        frame.drop(columns=["outcome", "clinic", "weight"]),
        frame["outcome"],
        groups=frame["clinic"],
        model__sample_weight=frame["weight"],
    )


@CASES.case("""
    data: {file: prices.parquet, target: price, features: [storeys, lift, size, light]}
    estimator: {$type: Pipeline, steps: [[fill, SimpleImputer], [model, KNeighborsRegressor]]}
    search: {space: {fill__strategy: [mean, most_frequent], model__n_neighbors: [2, 7]}}
    cv: 3
""")
def columns_with_pandas_own_missing_value(data: Path) -> Any:
    frame = pd.read_parquet(data / "prices.parquet")
    search = GridSearchCV(
        Pipeline([("fill", SimpleImputer()), ("model", KNeighborsRegressor())]),
        {"fill__strategy": ["mean", "most_frequent"], "model__n_neighbors": [2, 7]},
        cv=3,
    )
    return search.fit(frame[["storeys", "lift", "size", "light"]], frame["price"])

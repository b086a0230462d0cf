"""Which ensembles can be grown through the sizes that are asked for.

A module of its own, because the scheduler asks too, which need not import what growing takes.
`workers/growing.py` says why each of them gives the model that a fit of its own gives.
"""

#: Estimators that can be grown, by the parameter that tells their size.
GROWING: dict[str, str] = {
    "RandomForestClassifier": "n_estimators",
    "RandomForestRegressor": "n_estimators",
    "ExtraTreesClassifier": "n_estimators",
    "ExtraTreesRegressor": "n_estimators",
    "BaggingClassifier": "n_estimators",
    "BaggingRegressor": "n_estimators",
    "IsolationForest": "n_estimators",
    "GradientBoostingClassifier": "n_estimators",
    "GradientBoostingRegressor": "n_estimators",
    "HistGradientBoostingClassifier": "max_iter",
    "HistGradientBoostingRegressor": "max_iter",
}

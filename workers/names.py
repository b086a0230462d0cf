"""The names that a job file may use, and the classes and functions they stand for.

A name is looked up here and nowhere else: nothing that a job file says is ever imported. The
estimators are those of `sklearn.utils.all_estimators()`; they are listed rather than asked for,
because asking imports the whole of scikit-learn (3.5 s on every engine), and a test keeps the
list equal to it.
"""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

_ESTIMATORS = {
    "sklearn.calibration": "CalibratedClassifierCV",
    "sklearn.cluster": """AffinityPropagation AgglomerativeClustering Birch BisectingKMeans DBSCAN
        FeatureAgglomeration HDBSCAN KMeans MeanShift MiniBatchKMeans OPTICS SpectralBiclustering
        SpectralClustering SpectralCoclustering""",
    "sklearn.compose": "ColumnTransformer TransformedTargetRegressor",
    "sklearn.covariance": """EllipticEnvelope EmpiricalCovariance GraphicalLasso GraphicalLassoCV
        LedoitWolf MinCovDet OAS ShrunkCovariance""",
    "sklearn.cross_decomposition": "CCA PLSCanonical PLSRegression PLSSVD",
    "sklearn.decomposition": """DictionaryLearning FactorAnalysis FastICA IncrementalPCA KernelPCA
        LatentDirichletAllocation MiniBatchDictionaryLearning MiniBatchNMF MiniBatchSparsePCA NMF
        PCA SparseCoder SparsePCA TruncatedSVD""",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "sklearn.dummy": "DummyClassifier DummyRegressor",
    "sklearn.ensemble": """AdaBoostClassifier AdaBoostRegressor BaggingClassifier BaggingRegressor
        ExtraTreesClassifier ExtraTreesRegressor GradientBoostingClassifier
        GradientBoostingRegressor HistGradientBoostingClassifier HistGradientBoostingRegressor
        IsolationForest RandomForestClassifier RandomForestRegressor RandomTreesEmbedding
        StackingClassifier StackingRegressor VotingClassifier VotingRegressor""",
    "sklearn.feature_extraction": "DictVectorizer FeatureHasher",
    "sklearn.feature_extraction.image": "PatchExtractor",
    "sklearn.feature_extraction.text": """CountVectorizer HashingVectorizer TfidfTransformer
        TfidfVectorizer""",
    "sklearn.feature_selection": """GenericUnivariateSelect RFE RFECV SelectFdr SelectFpr
        SelectFromModel SelectFwe SelectKBest SelectPercentile SequentialFeatureSelector
        VarianceThreshold""",
    "sklearn.frozen": "FrozenEstimator",
    "sklearn.gaussian_process": "GaussianProcessClassifier GaussianProcessRegressor",
    "sklearn.impute": "KNNImputer MissingIndicator SimpleImputer",
    # Experimental, so its public place refuses it and all_estimators() leaves it out.
    "sklearn.impute._iterative": "IterativeImputer",
    "sklearn.isotonic": "IsotonicRegression",
    "sklearn.kernel_approximation": """AdditiveChi2Sampler Nystroem PolynomialCountSketch
        RBFSampler SkewedChi2Sampler""",
    "sklearn.kernel_ridge": "KernelRidge",
    "sklearn.linear_model": """ARDRegression BayesianRidge ElasticNet ElasticNetCV GammaRegressor
        HuberRegressor Lars LarsCV Lasso LassoCV LassoLars LassoLarsCV LassoLarsIC
        LinearRegression LogisticRegression LogisticRegressionCV MultiTaskElasticNet
        MultiTaskElasticNetCV MultiTaskLasso MultiTaskLassoCV OrthogonalMatchingPursuit
        OrthogonalMatchingPursuitCV PassiveAggressiveClassifier PassiveAggressiveRegressor
        Perceptron PoissonRegressor QuantileRegressor RANSACRegressor Ridge RidgeCV
        RidgeClassifier RidgeClassifierCV SGDClassifier SGDOneClassSVM SGDRegressor
        TheilSenRegressor TweedieRegressor""",
    "sklearn.manifold": """ClassicalMDS Isomap LocallyLinearEmbedding MDS SpectralEmbedding TSNE""",
    "sklearn.mixture": "BayesianGaussianMixture GaussianMixture",
    "sklearn.model_selection": """FixedThresholdClassifier GridSearchCV RandomizedSearchCV
        TunedThresholdClassifierCV""",
    "sklearn.multiclass": "OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier",
    "sklearn.multioutput": """ClassifierChain MultiOutputClassifier MultiOutputRegressor
        RegressorChain""",
    "sklearn.naive_bayes": "BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB",
    "sklearn.neighbors": """KNeighborsClassifier KNeighborsRegressor KNeighborsTransformer
        KernelDensity LocalOutlierFactor NearestCentroid NearestNeighbors
        NeighborhoodComponentsAnalysis RadiusNeighborsClassifier RadiusNeighborsRegressor
        RadiusNeighborsTransformer""",
    "sklearn.neural_network": "BernoulliRBM MLPClassifier MLPRegressor",
    "sklearn.pipeline": "FeatureUnion Pipeline",
    "sklearn.preprocessing": """Binarizer FunctionTransformer KBinsDiscretizer KernelCenterer
        LabelBinarizer LabelEncoder MaxAbsScaler MinMaxScaler MultiLabelBinarizer Normalizer
        OneHotEncoder OrdinalEncoder PolynomialFeatures PowerTransformer QuantileTransformer
        RobustScaler SplineTransformer StandardScaler TargetEncoder""",
    "sklearn.random_projection": "GaussianRandomProjection SparseRandomProjection",
    "sklearn.semi_supervised": "LabelPropagation LabelSpreading SelfTrainingClassifier",
    "sklearn.svm": "LinearSVC LinearSVR NuSVC NuSVR OneClassSVM SVC SVR",
    "sklearn.tree": """DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier
        ExtraTreeRegressor""",
}
_SPLITTERS = {
    "sklearn.model_selection": """GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut
        LeavePGroupsOut LeavePOut PredefinedSplit RepeatedKFold RepeatedStratifiedKFold
        ShuffleSplit StratifiedGroupKFold StratifiedKFold StratifiedShuffleSplit
        TimeSeriesSplit""",
}
_KERNELS = {
    "sklearn.gaussian_process.kernels": """CompoundKernel ConstantKernel DotProduct ExpSineSquared
        Exponentiation Matern PairwiseKernel Product RBF RationalQuadratic Sum WhiteKernel""",
}
_SELECTORS = {"sklearn.compose": "make_column_selector"}
_FUNCTIONS = {
    "sklearn.feature_selection": """chi2 f_classif f_regression mutual_info_classif
        mutual_info_regression r_regression""",
    "numpy": "max mean median min",
}


def _by_name(table: Mapping[str, str]) -> dict[str, str]:
    return {name: module for module, names in table.items() for name in names.split()}


#: Name -> the module it is found in.
ESTIMATORS = _by_name(_ESTIMATORS)
SPLITTERS = _by_name(_SPLITTERS)
KERNELS = _by_name(_KERNELS)
#: Objects that choose columns, for the third entry of a `ColumnTransformer`'s transformers.
SELECTORS = _by_name(_SELECTORS)
#: Functions for `score_func` and `pooling_func`: pure, and without access to anything.
FUNCTIONS = _by_name(_FUNCTIONS)

#: Everything that `$type` may name, the operator's estimators apart.
TYPES = {**ESTIMATORS, **SPLITTERS, **KERNELS, **SELECTORS}

DTYPES = (
    "bool", "float16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "object", "str",
)  # fmt: skip


@cache
def listed(name: str) -> Any:
    """Return the class or function of a name that is listed above.

    Raises
    ------
    KeyError
        For any other name.
    """
    module = TYPES[name] if name in TYPES else FUNCTIONS[name]
    return getattr(importlib.import_module(module), name)


@cache
def from_operator(path: str) -> type:
    """Return the class at a dotted path that the operator's settings name.

    Raises
    ------
    ImportError
        When there is no such class.
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (AttributeError, ValueError) as error:
        raise ImportError(f"there is no {name} in {module}") from error
    if not isinstance(found, type):
        raise ImportError(f"{path} is not a class")
    return found


@cache
def dtype(name: str) -> Any:
    """Return the NumPy scalar type (or `object`, `str`) of a name in `DTYPES`."""
    import numpy as np

    if name not in DTYPES:
        raise KeyError(name)
    return {"object": object, "str": str, "bool": bool}.get(name) or getattr(np, name)

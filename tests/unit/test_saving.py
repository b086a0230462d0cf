"""Saved models: loaded again they answer the same, whichever format they took."""

import stat
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC

from workers import saving
from workers.atomic import CannotWrite
from workers.saving import save_model

IRIS = load_iris(return_X_y=True)
TEXTS = pd.Series(["good film", "bad film", "very good", "so bad"] * 5, name="review")
PASSENGERS = pd.read_csv(Path(__file__).parents[2] / "examples" / "data" / "passengers.csv")


class Stubborn(ClassifierMixin, BaseEstimator):
    """Keeps what neither form of file is glad of."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.generator_ = iter(X.tolist())
        return self

    def predict(self, X):
        return np.repeat(self.classes_[0], len(X))


class Forgetful(Stubborn):
    """Comes back from any file without what it learnt."""

    def fit(self, X, y):
        self.classes_, self.bias_ = np.unique(y), 1
        return self

    def predict(self, X):
        return np.repeat(self.classes_[self.bias_], len(X))

    def __getstate__(self):
        return {**self.__dict__, "bias_": 0}


def load(directory: Path, saved: saving.SavedModel):
    path = directory / saved.file
    if saved.format == "skops":
        return skops.io.load(path, trusted=list(saved.trusted))
    return joblib.load(path)


def table_model():
    numbers, words = ["age", "fare"], ["cabin", "port"]
    columns = ColumnTransformer(
        [
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("w", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
        ]
    )
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0)
    return make_pipeline(columns, model)


MODELS = {
    "pipeline": (make_pipeline(StandardScaler(), SVC()), *IRIS),
    "table": (table_model(), PASSENGERS, PASSENGERS["rescued"]),
    "text": (make_pipeline(TfidfVectorizer(), LogisticRegression()), TEXTS, [1, 0, 1, 0] * 5),
    "forest": (
        RandomForestRegressor(5, random_state=0),
        *load_diabetes(return_X_y=True),
    ),
    "clusters": (KMeans(3, n_init=1, random_state=0), IRIS[0], None),
    "components": (PCA(2), IRIS[0], None),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_of_scikit_learn_are_saved_with_skops(name, tmp_path):
    model, X, y = MODELS[name]
    model.fit(X, y)
    saved = save_model(model, tmp_path / "results" / "7", X[:10])
    assert (saved.format, saved.note) == ("skops", None)
    again = load(tmp_path / "results" / "7", saved)
    answer = "predict" if hasattr(model, "predict") else "transform"
    assert np.array_equal(getattr(again, answer)(X), getattr(model, answer)(X))


def test_only_the_owner_may_read_the_model(tmp_path):
    directory = tmp_path / "results" / "1"
    saved = save_model(SVC().fit(*IRIS), directory, IRIS[0][:5])
    assert [p.name for p in directory.iterdir()] == [saved.file]
    assert stat.S_IMODE((directory / saved.file).stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_model_that_skops_changes_is_saved_with_joblib_and_a_note(tmp_path):
    model = Forgetful().fit(*IRIS)
    saved = save_model(model, tmp_path, IRIS[0][:5])
    assert saved.format == "joblib"
    assert saved.trusted == ()
    assert "predicts otherwise" in saved.note
    assert saved.file == "best_estimator.joblib"


def test_a_model_that_skops_refuses_is_saved_with_joblib_and_a_note(tmp_path):
    model = Stubborn().fit(*IRIS)
    saved = save_model(model, tmp_path, IRIS[0][:5])
    assert (saved.format, saved.trusted) == ("joblib", ())
    assert saved.note.startswith("Saved with joblib: ")
    assert np.array_equal(load(tmp_path, saved).predict(IRIS[0]), model.predict(IRIS[0]))


def test_a_new_model_takes_the_place_of_the_old_one(tmp_path):
    old = save_model(Forgetful().fit(*IRIS), tmp_path, IRIS[0][:5])
    new = save_model(SVC().fit(*IRIS), tmp_path, IRIS[0][:5])
    assert (old.format, new.format) == ("joblib", "skops")
    assert [p.name for p in tmp_path.iterdir()] == [new.file]


def test_a_failure_leaves_the_model_that_was_there(tmp_path, monkeypatch):
    save_model(SVC().fit(*IRIS), tmp_path, IRIS[0][:5])
    before = (tmp_path / "best_estimator.skops").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(CannotWrite, match="no space left"):
        save_model(LogisticRegression(max_iter=1000).fit(*IRIS), tmp_path, IRIS[0][:5])
    assert [p.name for p in tmp_path.iterdir()] == ["best_estimator.skops"]
    assert (tmp_path / "best_estimator.skops").read_bytes() == before

"""Attacks on docs/security.md: whom you trust (S37, S38)."""

import json
import os
import zipfile

import joblib
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.svm import SVC
from troublesome import Troublesome

from schemas.problems import InvalidJob
from schemas.settings import Settings
from service.exports import how_to_load
from service.jobfile import examine
from workers.saving import save_model

X, y = load_iris(return_X_y=True)


def job(**changes):
    good = {"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {}}}
    return json.dumps({**good, **changes}).encode()


def test_s37_what_the_operator_lists_is_there_by_its_name_alone(tmp_path):
    listed = {"Mine": "troublesome.Troublesome"}
    settings = Settings.load(tmp_path / "spool", catalog={"estimators": listed})
    mine = {"$type": "Mine", "directory": "/etc", "trouble": "kill"}
    search = {"space": {"level": [0, 1]}}
    assert examine(job(estimator=mine, search=search), "job.json", settings)[1] == []
    for name in ("troublesome.Troublesome", "Troublesome", "mine", "troublesome"):
        with pytest.raises(InvalidJob, match="no estimator"):
            examine(job(estimator=name, search=search), "job.json", settings)


def test_s37_listing_a_class_does_not_bring_back_what_is_refused(tmp_path):
    listed = {
        "FunctionTransformer": "sklearn.preprocessing.FunctionTransformer",
        "Mine": "sklearn.pipeline.Pipeline",
        "Words": "sklearn.feature_extraction.text.CountVectorizer",
    }
    settings = Settings.load(tmp_path / "spool", catalog={"estimators": listed})
    for model in (
        "FunctionTransformer",
        {"$type": "Mine", "steps": [["a", "SVC"]], "memory": "/"},
        {"$type": "Words", "input": "filename"},
        {"$type": "Words", "tokenizer": {"$function": "chi2"}},
    ):
        with pytest.raises(InvalidJob):
            examine(job(estimator=model), "job.json", settings)


class Trap:
    """Makes a directory when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (self.place,)


class Odd(ClassifierMixin, BaseEstimator):
    """A model that holds what skops does not know."""

    def __init__(self, place=None):
        self.place = place

    def fit(self, X, y):
        self.classes_ = sorted(set(y))
        self.held_ = iter([Trap(self.place)])
        return self

    def predict(self, X):
        return [self.classes_[0]] * len(X)


def test_s38_a_skops_file_runs_nothing_and_refuses_what_the_reader_did_not_name(tmp_path):
    saved = save_model(SVC().fit(X, y), tmp_path / "svc", X[:5])
    assert (saved.format, saved.trusted) == ("skops", ())
    assert skops.io.load(tmp_path / "svc" / saved.file, trusted=[]).predict(X[:1]) == [0]

    saved = save_model(Troublesome().fit(X, y), tmp_path / "mine", X[:5])
    assert saved.trusted == ("troublesome.Troublesome",)
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException):
        skops.io.load(tmp_path / "mine" / saved.file, trusted=[])
    assert "troublesome.Troublesome" in how_to_load(
        {"file": saved.file, "format": saved.format, "trusted": list(saved.trusted)}
    )


def test_s38_a_skops_file_that_somebody_changed_is_refused(tmp_path):
    saved = save_model(SVC().fit(X, y), tmp_path / "svc", X[:5])
    with zipfile.ZipFile(tmp_path / "svc" / saved.file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    call = {
        "__class__": "system", "__module__": "posix", "__loader__": "FunctionNode",
        "__id__": 1, "content": {"module_path": "posix", "function": "system"},
    }  # fmt: skip
    members["schema.json"] = json.dumps({**call, "protocol": schema["protocol"]}).encode()
    with zipfile.ZipFile(tmp_path / "forged.skops", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(skops.io.exceptions.UntrustedTypesFoundException, match="posix"):
        skops.io.load(tmp_path / "forged.skops", trusted=[])


def test_s38_a_joblib_file_runs_what_is_in_it_and_is_said_to(tmp_path):
    sprung = tmp_path / "sprung"
    model = Odd(str(sprung)).fit(X, y)
    saved = save_model(model, tmp_path / "model", X[:5])
    assert saved.format == "joblib"
    assert not sprung.exists(), "saving it ran it"
    told = how_to_load({"file": saved.file, "format": saved.format})
    assert "only if you trust the file" in told
    joblib.load(tmp_path / "model" / saved.file)
    assert sprung.exists(), "the page warns of this; without it the warning is idle"

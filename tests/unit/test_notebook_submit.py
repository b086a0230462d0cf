"""What a notebook hands in: which file it becomes, where its data lie, and what is refused."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.feature_selection import SelectKBest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

import foldq
from schemas.job import JobSpec
from service.jobfile import parse

IRIS = {"loader": "iris"}
X, Y = load_iris(return_X_y=True)


class Own(ClassifierMixin, BaseEstimator):
    """An estimator that nobody listed."""


class OwnSearch(GridSearchCV):
    """May do anything."""


def problems_of(search, *data, **options):
    if not data:
        options.setdefault("data", IRIS)
    with pytest.raises(foldq.NotSubmitted) as refused:
        foldq.submit(search, *data, **options)
    return {problem.where: problem for problem in refused.value.problems}


@pytest.fixture(autouse=True)
def spool(tmp_path, monkeypatch):
    """The spool that is used unless another one is named. It need not exist."""
    monkeypatch.setenv("FOLDQ_SPOOL", str(tmp_path / "spool"))
    return tmp_path / "spool"


# --- what is refused ---------------------------------------------------------------------------

RANDOM = np.random.RandomState(0)
SCALED = make_pipeline(StandardScaler(), SVC())


@pytest.mark.parametrize(
    ("search", "where", "hint"),
    [
        (GridSearchCV(Own(), {}), "estimator", "[catalog.estimators] Own = "),
        (
            GridSearchCV(make_pipeline(FunctionTransformer(np.log1p), SVC()), {"svc__C": [1]}),
            "estimator.steps.functiontransformer",
            "scikit-learn's own",
        ),
        (
            GridSearchCV(make_pipeline(StandardScaler(), SVC(), memory="/tmp"), {"svc__C": [1]}),
            "estimator.memory",
            "Leave it out",
        ),
        (GridSearchCV(SVC(kernel=np.dot), {"C": [1]}), "estimator.kernel", "of your own"),
        (GridSearchCV(SelectKBest(len), {"k": [1]}), "estimator.score_func", "of your own"),
        (
            GridSearchCV(SVC(random_state=np.random.RandomState(0)), {"C": [1]}),
            "estimator.random_state",
            "random_state=0",
        ),
        (GridSearchCV(FrozenEstimator(SVC().fit(X, Y)), {}), "estimator", "unfitted"),
        (
            GridSearchCV(CalibratedClassifierCV(SVC(), cv="prefit"), {"method": ["sigmoid"]}),
            "estimator.cv",
            "leave the parameter out",
        ),
        (
            GridSearchCV(
                make_pipeline(StandardScaler().set_output(transform="pandas"), SVC()),
                {"svc__C": [1]},
            ),
            "estimator.steps.standardscaler",
            "without it",
        ),
        (
            GridSearchCV(SCALED, {"svc": [SVC(), Own()]}),
            "param_grid.svc[1]",
            "[catalog.estimators]",
        ),
        (GridSearchCV(SVC(), {"C": [1], "kernel": "rbf"}), "param_grid.kernel", "['rbf']"),
        (
            RandomizedSearchCV(SVC(), {"C": stats.norm(1, 2)}),
            "param_distributions.C",
            "rvs(size=100",
        ),
        (
            RandomizedSearchCV(SVC(), {"C": stats.loguniform(1, 2, loc=3)}),
            "param_distributions.C",
            "ends",
        ),
        (
            RandomizedSearchCV(SVC(), {"C": stats.uniform(1, 0.001)}),
            "param_distributions.C",
            "last bits",
        ),
        (
            RandomizedSearchCV(SVC(), {"C": [1]}, random_state=np.random.RandomState(0)),
            "random_state",
            "random_state=0",
        ),
        (GridSearchCV(SVC(), {"C": [1]}, cv=[(X, Y)]), "cv", "PredefinedSplit"),
        (
            GridSearchCV(SVC(), {"C": [1]}, cv=KFold(4, shuffle=True, random_state=RANDOM)),
            "cv.random_state",
            "random_state=0",
        ),
        (GridSearchCV(SVC(), {"C": [1]}, scoring=make_scorer(max)), "scoring", "f1_macro"),
        (
            GridSearchCV(SVC(), {}, scoring={"a": "accuracy", "b": accuracy_score}, refit="a"),
            "scoring['b']",
            "get_scorer_names",
        ),
        (GridSearchCV(SVC(), {"C": [1]}, refit=len), "refit", "refit='one_se'"),
        (OwnSearch(SVC(), {"C": [1]}), "", "Subclasses"),
        (SVC(), "", "GridSearchCV(SVC(…), {…})"),
    ],
)
def test_what_a_job_file_cannot_say_is_refused_with_the_parameter_and_the_way_out(
    search, where, hint, spool
):
    told = problems_of(search)

    assert hint in told[where].hint
    assert not spool.exists(), "something was written"


def test_all_problems_are_told_at_once_in_the_terms_of_the_search(spool):
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(np.log1p), SVC(kernel="rbff")),
        {"svc__C": [-1], "svc__gama": [1]},
        scoring="acuracy",
        cv=KFold(1 + 1, shuffle=True),
        refit=len,
    )
    told = problems_of(search)
    assert {"estimator.steps.functiontransformer", "refit", "scoring"} <= set(told)
    assert told["scoring"].nearest == "accuracy"

    told = problems_of(GridSearchCV(SVC(kernel="rbff"), {"gama": [1]}))
    assert told["estimator.kernel"].nearest == "rbf"
    told = problems_of(GridSearchCV(SVC(), {"gama": [1]}))
    assert told["param_grid.gama"].nearest == "gamma"


def test_problems_are_printed_each_with_its_way_out():
    with pytest.raises(foldq.NotSubmitted) as refused:
        foldq.submit(GridSearchCV(SVC(kernel="rb\x1bff"), {"C": [1]}), X, Y)
    (shown,) = refused.value._render_traceback_()
    assert shown.startswith("NotSubmitted: nothing was submitted, for 1 problem:")
    assert "\x1b" not in shown

    (problem,) = problems_of(GridSearchCV(SVC(kernel="rbff"), {"C": [1]})).values()
    assert str(foldq.NotSubmitted([problem])).splitlines()[2:] == [
        '  estimator.kernel: SVC does not take "rbff" for kernel.',
        '      given         "rbff"',
        "      expected      one of linear, poly, precomputed, rbf, sigmoid",
        "      did you mean  rbf?",
    ]


def test_a_setting_of_the_process_that_engines_would_not_know_is_refused():
    from sklearn import config_context

    with config_context(transform_output="pandas"):
        told = problems_of(GridSearchCV(SVC(), {"C": [1]}))
    assert "sklearn.set_config(transform_output=…)" in told


def test_a_search_without_data_and_data_without_a_search_are_refused():
    search = GridSearchCV(SVC(), {"C": [1]})
    assert "data={'loader'" in problems_of(search, data=None)["X"].hint
    assert "one place" in problems_of(search, X, Y, data=IRIS)["data"].message
    assert "no search" in problems_of(3)[""].message


# --- what it becomes ---------------------------------------------------------------------------


def test_the_job_file_names_only_what_differs_from_the_defaults():
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
        {
            "logisticregression__C": np.logspace(-3, 4, 8),
            "standardscaler": [StandardScaler(), None],
        },
        n_jobs=8,
        verbose=3,
    )
    assert foldq.job_file(search, data=IRIS, timeout="10m") == (
        "name: LogisticRegression-grid\n"
        "data: {loader: iris}\n"
        "estimator:\n"
        "  $type: Pipeline\n"
        "  steps:\n"
        "  - [standardscaler, StandardScaler]\n"
        "  - - logisticregression\n"
        "    - {$type: LogisticRegression, max_iter: 500}\n"
        "search:\n"
        "  strategy: grid\n"
        "  space:\n"
        "    logisticregression__C:\n"
        "      $logspace: [-3, 4, 8]\n"
        "    standardscaler: [StandardScaler, null]\n"
        "cv: 5\n"
        "timeout: 10m\n"
    )


def test_options_go_before_what_the_search_says():
    search = GridSearchCV(SVC(), {"C": [1]}, refit=len, cv=[(X, Y)])
    text = foldq.job_file(search, data=IRIS, refit="one_se", cv=3, tags="a")
    spec = parse(text.encode(), "x.yaml")
    assert (spec.refit, spec.cv, spec.tags) == ("one_se", 3, ["a"])
    assert "tiemout" in problems_of(search, refit=True, cv=3, tiemout="1m")


def test_a_job_file_is_handed_in_as_it_is(tmp_path, spool):
    file = tmp_path / "mine.yaml"
    file.write_text("# mine\ndata: {loader: iris}\nestimator: SVC\nsearch: {space: {C: [1]}}\n")

    job = foldq.submit(file)
    assert (job.name, job.state) == ("mine", "waiting")
    assert (spool / "incoming" / "mine.yaml").read_bytes() == file.read_bytes()

    changed = foldq.submit(str(file), name="other", priority=4)
    spec = parse((spool / "incoming" / "other.yaml").read_bytes(), "other.yaml")
    assert (changed.name, spec.name, spec.priority) == ("other", "other", 4)


@pytest.mark.parametrize("form", ["dict", "text", "json", "spec"])
def test_a_job_can_be_a_mapping_a_text_or_a_spec(form, spool):
    document = {"name": "d", "data": IRIS, "estimator": "SVC", "search": {"space": {"C": [1]}}}
    given = {
        "dict": document,
        "text": "name: d\ndata: {loader: iris}\nestimator: SVC\nsearch: {space: {C: [1]}}\n",
        "json": json.dumps(document),
        "spec": JobSpec.model_validate(document),
    }[form]
    foldq.submit(given)
    (file,) = (spool / "incoming").iterdir()
    assert parse(file.read_bytes(), file.name) == JobSpec.model_validate(document)


def test_names_that_would_leave_the_spool_are_refused(spool):
    search = GridSearchCV(SVC(), {"C": [1]})
    for name in ("../x", ".hidden", "a/b", "\x1b[31m"):
        assert "name" in problems_of(search, name=name)
    foldq.submit(search, data=IRIS, name="ü" * 100)
    assert not (spool / "x.yaml").exists()


def test_a_waiting_file_of_the_same_name_is_not_overwritten():
    search = GridSearchCV(SVC(), {"C": [1]})
    foldq.submit(search, data=IRIS, name="one")
    foldq.submit(search, data=IRIS, name="one")
    told = problems_of(search.set_params(cv=3), name="one")
    assert "Give another name" in told["name"].hint


def test_what_is_only_doubtful_is_warned_of():
    with pytest.warns(UserWarning, match="does not take -1"):
        foldq.submit(GridSearchCV(SVC(), {"C": [1, -1]}), data=IRIS)


# --- data --------------------------------------------------------------------------------------


def files(spool):
    return sorted(path.name for path in (spool / "data").iterdir())


def test_a_job_that_waits_for_a_scheduler_says_so_and_names_a_spool_that_is_new(tmp_path, capsys):
    document = {"data": {"loader": "iris"}, "estimator": "SVC", "search": {"space": {"C": [1]}}}
    for name, where in (("a", "typo, a new spool."), ("b", "typo.")):
        foldq.submit(document, name=name, spool=tmp_path / "typo")
        told = capsys.readouterr().out
        assert f"{where} To start one: foldq.serve(spool='{tmp_path / 'typo'}')" in told


def test_the_same_data_are_one_file_and_its_size_is_told(spool, capsys):
    search = GridSearchCV(SVC(), {"C": [1]})
    foldq.submit(search, X, Y, name="a")
    told = capsys.readouterr().out
    foldq.submit(search, X.tolist(), list(Y), name="b")
    (name,) = files(spool)
    assert f"Saved X (150 × 4, float64) and y as {spool / 'data' / name}, 6." in told
    assert "kB" in told
    assert "Saved" not in capsys.readouterr().out
    foldq.submit(search, X + 1, Y, name="c")
    assert len(files(spool)) == 2


def test_tables_sparse_matrices_and_texts_have_files_of_their_kind(spool):
    search = GridSearchCV(SVC(), {"C": [1]})
    frame = pd.DataFrame(X, columns=list("abcd"))
    foldq.submit(search, frame, pd.Series(Y, name="a"), groups=Y, name="table")
    foldq.submit(search, sp.csr_array(X), Y.astype(str), sample_weight=np.ones(150), name="sparse")
    specs = {
        file.stem: parse(file.read_bytes(), file.name).data.model_dump(exclude_none=True)
        for file in (spool / "incoming").iterdir()
    }
    assert specs["table"]["file"].endswith(".parquet")
    assert (specs["table"]["target"], specs["table"]["groups"]) == ("a_", "groups")
    assert specs["sparse"]["y_file"].endswith("-y.npz")
    assert (specs["sparse"]["y"], specs["sparse"]["weights"]) == ("y", "weights")
    assert {file.stat().st_mode & 0o77 for file in (spool / "data").iterdir()} == {0}


@pytest.mark.parametrize(
    ("X", "y", "where", "told"),
    [
        (X, Y[:-1], "y", "one for each row of X"),
        (X, None, "y", "target: COLUMN"),
        (np.where(X > 7, np.inf, X), Y, "X", "infinite"),
        (X, np.array([object()] * 150), "y", "astype(str)"),
        (X.astype(object), Y, "X", "dtype object"),
        (X[:, 0], Y, "X", "reshape"),
        (pd.DataFrame(X), Y, "X", "astype(str)"),
        (pd.DataFrame({"a": [1, "x", None] * 50}), Y, "X", ""),
        (pd.DataFrame({"a": [{1}, {2}, {3}] * 50}), Y, "X", ""),
        (pd.DataFrame(X, columns=list("abcd")), np.eye(3)[Y], "y", "arrays"),
        (X, sp.csr_matrix(np.eye(3)[Y]), "y", "toarray"),
    ],
)
def test_data_that_cannot_be_kept_or_learnt_from_are_refused_before_anything_is_written(
    X, y, where, told, spool
):
    if told or where != "X" or not isinstance(X.iloc[1, 0], str):
        problem = problems_of(GridSearchCV(SVC(), {"C": [1]}), X, y)[where]
        text = str(foldq.NotSubmitted([problem]))
        assert told in text
        assert not (spool / "data").exists()


def test_a_table_of_rows_comes_back_as_a_table_of_rows(spool):
    from service.notebook.keeping import data_files
    from workers.catalog import Catalog
    from workers.data import load
    from workers.fingerprint import frame_layout

    for layout in "CF":
        frame = pd.DataFrame(np.asarray(X, order=layout), columns=list("abcd"), copy=False)
        kept = data_files(frame, Y)
        kept.write(spool)
        spec = JobSpec.model_validate(
            {"name": "x", "data": kept.spec, "estimator": "SVC", "search": {"space": {"C": [1]}}}
        )
        again = load(spec.data, [spool / "data"], Catalog())
        assert frame_layout(again.X) == layout == frame_layout(frame)
        pd.testing.assert_frame_equal(again.X, frame)


def test_a_table_that_claims_to_be_of_rows_and_is_not_is_read_all_the_same(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from schemas.data import FileData
    from workers.tables import LAYOUT_KEY, from_table

    table = pa.table({"a": [1.0, 2.0], "b": ["x", "y"], "t": [0, 1]})
    pq.write_table(table.replace_schema_metadata({LAYOUT_KEY: b"C"}), tmp_path / "t.parquet")
    dataset = from_table(FileData(file="t.parquet", target="t"), [tmp_path])
    assert dataset.X["b"].tolist() == ["x", "y"]


def test_nothing_warns_without_a_cause():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        foldq.submit(GridSearchCV(SVC(), {"C": [1]}), X, Y)

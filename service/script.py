"""A search as a script of plain scikit-learn that repeats it: what `foldq export` prints.

The script holds the seeds that were drawn for the job and computes with as many threads as its
engines did, so that its `cv_results_` is the job's, bit for bit, in every column that is not a
time. What scikit-learn has no word for, it does in a few lines, or says that it leaves it out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas import values
from schemas.data import ARRAY_SUFFIXES, FileData, LoaderData, MakeData
from schemas.job import JobSpec
from service.printable import printable
from service.pysource import Group, NotListed, Source, Writer, lines, mapping
from service.records import Job

__all__ = ["NotListed", "script"]

#: scikit-learn's name of each strategy, and of its space.
SEARCHES = {
    "grid": ("GridSearchCV", "param_grid"),
    "random": ("RandomizedSearchCV", "param_distributions"),
    "halving_grid": ("HalvingGridSearchCV", "param_grid"),
    "halving_random": ("HalvingRandomSearchCV", "param_distributions"),
}
#: Options of the searches that are called in scikit-learn as in a job file.
OPTIONS = (
    "n_iter", "n_candidates", "factor", "resource", "min_resources", "max_resources",
    "aggressive_elimination",
)  # fmt: skip
#: Generators that make X and no target.
_WITHOUT_TARGET = frozenset({"low_rank_matrix", "sparse_spd_matrix", "spd_matrix"})

_ONE_SE = '''
def one_standard_error(results):
    """Return the first candidate within one standard error of the best mean score."""
    mean, std = results[f"mean_test_{METRIC}"], results[f"std_test_{METRIC}"]
    best = results[f"rank_test_{METRIC}"].argmin()
    n_splits = sum(f"split{i}_test_{METRIC}" in results for i in range(len(results)))
    margin = std[best] / np.sqrt(n_splits - 1) if n_splits > 1 else 0.0
    within = np.flatnonzero(mean >= mean[best] - (margin if np.isfinite(margin) else 0.0))
    return int(within[0]) if within.size else int(best)
'''.strip()


def script(
    job: Job,
    *,
    data_directory: Path,
    names: Mapping[str, str] | None = None,
    repeatable: bool = True,
) -> str:
    """Write the script of a job.

    Parameters
    ----------
    data_directory : Path
        Where relative paths of data files begin.
    names : mapping of str to str, optional
        What the operator adds to scikit-learn's names: name -> dotted path.
    repeatable : bool, default=True
        Whether its candidates draw no random numbers without a seed; else the script says so.

    Returns
    -------
    str
        Python source.

    Raises
    ------
    NotListed
        A name of the job file is in neither list any more.
    """
    spec = JobSpec.model_validate(job.spec)
    writer = Writer(names or {})
    data, fit = _data(spec, writer)
    if isinstance(spec.data, FileData):
        data = [f"DATA = Path({str(data_directory)!r})  # where the files of data lie", *data]
        writer.needs_module("from pathlib import Path")
    search = _search(spec, writer)
    writer.needs("threadpoolctl", "threadpool_limits")
    writer.needs_module("import pandas as pd")
    run = [
        f"with threadpool_limits({spec.threads}):"
        "  # as on foldq's engines: more threads add up in another order",
        *lines(Group("search.fit(", tuple(fit), ")"), 4),
    ]
    functions = []
    if spec.wants_one_se:
        writer.needs_module("import numpy as np")
        metric = f"METRIC = {spec.refit_metric!r}  # the one to choose by"
        functions = ["", metric, "", "", *_ONE_SE.splitlines(), "", ""]
    parts = [
        *_preface(job, spec, repeatable=repeatable),
        "",
        *writer.imports(),
        *(functions or [""]),
        *data,
        "",
        *search,
        *run,
        "",
        *_outcome(spec),
    ]
    return "\n".join(parts) + "\n"


def _preface(job: Job, spec: JobSpec, *, repeatable: bool) -> Iterator[str]:
    """Say in comments what the script repeats, and what it leaves out."""
    made = ", ".join(
        f"{name} {job.versions[name]}"
        for name in ("scikit-learn", "numpy", "scipy", "pandas")
        if name in job.versions
    )
    yield f"# foldq job {job.id}, {printable(job.name)}, as a script."
    if made:
        yield f"# It was computed with {made};"
        yield "# the same versions give the same numbers."
    if job.data_fingerprint and isinstance(spec.data, FileData):
        yield f"# The data had the fingerprint {job.data_fingerprint[:12]} then."
    if not repeatable:
        yield "# Some of its estimators draw random numbers and have no random_state, so that their"
        yield "# scores differ from one run to the next."
    left_out = [
        name
        for name, is_set in (
            ("timeout", spec.timeout is not None),
            ("retry", bool(spec.retry.on)),
            ("max_engines", spec.max_engines is not None),
        )
        if is_set
    ]
    if left_out:
        yield f"# scikit-learn has no word for {' and '.join(left_out)}: left out."


# --- data ----------------------------------------------------------------------------------------


def _data(spec: JobSpec, writer: Writer) -> tuple[list[str], list[str]]:
    """Write what loads the data; return it with the arguments of `fit`."""
    data = spec.data
    if isinstance(data, LoaderData):
        return _loaded(f"load_{data.loader.removeprefix('load_')}", data.params, writer)
    if isinstance(data, MakeData):
        return _made(data, writer)
    read = _archive(data, writer) if data.suffix in ARRAY_SUFFIXES else _table(data)
    return read, [
        "X",
        "y",
        *(["groups=groups"] if data.groups else []),
        *([f"{_weights_name(spec)}=weights"] if data.weights else []),
    ]


def _weights_name(spec: JobSpec) -> str:
    """Return the name under which weights go to `fit`: of a pipeline, its last step's."""
    estimator: Any = spec.estimator
    if isinstance(estimator, dict) and estimator.get("$type") == "Pipeline":
        last = estimator["steps"][-1]
        name = last["$tuple"][0] if isinstance(last, dict) else last[0]
        return f"{name}__sample_weight"
    return "sample_weight"


def _loaded(name: str, params: Mapping[str, Any], writer: Writer) -> tuple[list[str], list[str]]:
    arguments = {n: writer.param(n, v) for n, v in params.items() if n != "return_X_y"}
    call = writer.call(_dataset(name, writer), {**arguments, "return_X_y": "True"})
    return lines(_named("X, y", call)), ["X", "y"]


def _made(data: MakeData, writer: Writer) -> tuple[list[str], list[str]]:
    arguments = {name: writer.param(name, value) for name, value in data.params.items()}
    call = writer.call(_dataset(data.label, writer), arguments)
    if data.make.removeprefix("make_") in _WITHOUT_TARGET:
        return lines(_named("X", call)), ["X"]
    return lines(_named("X, y", call)), ["X", "y"]


def _dataset(name: str, writer: Writer) -> str:
    if not name.isidentifier():
        raise NotListed(f"there is no data set {name!r}")
    return writer.needs("sklearn.datasets", name)


def _table(data: FileData) -> list[str]:
    read = "read_csv" if data.suffix == ".csv" else "read_parquet"
    written = [f"frame = pd.{read}(DATA / {data.file!r})"]
    if data.suffix == ".parquet":
        written[0] += ".reset_index(drop=True)"
    roles = [("y", data.target), ("groups", data.groups), ("weights", data.weights)]
    if data.features is None:
        taken = [column for _, column in roles if column is not None]
        features: Source = f"frame.drop(columns={taken!r})" if taken else "frame"
        written += lines(f"X = {features}")
    elif isinstance(data.features, str):
        written.append(f"X = frame[{data.features!r}]")
    else:
        columns = Group("X = frame[[", tuple(map(repr, data.features)), "]]")
        written += lines(columns)
    for role, column in roles:
        if column is not None:
            written.append(f"{role} = frame[{column!r}].to_numpy()")
        elif role == "y":
            written.append("y = None")
    return written


def _archive(data: FileData, writer: Writer) -> list[str]:
    writer.needs_module("import numpy as np")
    written = [f"arrays = np.load(DATA / {data.file!r})"]
    if data.x is not None:
        written.append(f"X = arrays[{data.x!r}]")
    else:
        writer.needs("scipy.sparse", "load_npz")
        sparse = f"load_npz(DATA / {data.file!r}).tocsr()"
        written.append(f'X = arrays["X"] if "X" in arrays else {sparse}')
    if data.y_file is not None:
        written.append(f"labels = np.load(DATA / {data.y_file!r})")
        if data.y is not None:
            written.append(f"y = labels[{data.y!r}]")
        else:
            written += [
                "if isinstance(labels, np.ndarray):",
                "    y = labels",
                "else:",
                '    y = labels[labels.files[0] if len(labels.files) == 1 else "y"]',
            ]
    elif data.y is not None:
        written.append(f"y = arrays[{data.y!r}]")
    else:
        written.append('y = arrays["y"] if "y" in arrays else None')
    for role, name in (("groups", data.groups), ("weights", data.weights)):
        if name is not None:
            chosen = f"(arrays if {name!r} in arrays else labels)" if data.y_file else "arrays"
            written.append(f"{role} = {chosen}[{name!r}]")
    return written


# --- the search ----------------------------------------------------------------------------------


def _search(spec: JobSpec, writer: Writer) -> list[str]:
    name, space_name = SEARCHES[spec.search.strategy]
    if spec.search.is_halving:
        writer.needs("sklearn.experimental", "enable_halving_search_cv")
    writer.needs("sklearn.model_selection", name)
    spaces = [
        mapping((repr(param), _values(param, value, writer)) for param, value in space.items())
        for space in spec.search.spaces
    ]
    space: Source = spaces[0] if len(spaces) == 1 else Group("[", tuple(spaces), "]")
    arguments: dict[str, Source] = {}
    for option in OPTIONS:
        value = getattr(spec.search, option)
        if value is not None:
            is_whole = isinstance(value, float) and value.is_integer()
            arguments[option] = repr(int(value) if is_whole else value)
    if spec.search.seed is not None:
        arguments["random_state"] = repr(spec.search.seed)
    arguments["cv"] = repr(spec.cv) if isinstance(spec.cv, int) else writer.object(spec.cv)
    if spec.scoring is not None:
        arguments["scoring"] = _scoring(spec.scoring)
    arguments["refit"] = _refit(spec)
    arguments["error_score"] = _error_score(spec, writer)
    arguments["return_train_score"] = repr(spec.return_train_score)
    return [
        *lines(_named("estimator", writer.object(spec.estimator))),
        *lines(_named(space_name, space)),
        *lines(_call(name, space_name, arguments)),
    ]


def _call(name: str, space_name: str, arguments: Mapping[str, Source]) -> Group:
    parts: list[Source] = ["estimator", space_name]
    for argument, source in arguments.items():
        parts.append(_named(argument, source, "="))
    return Group(f"search = {name}(", tuple(parts), ")")


def _named(name: str, source: Source, sign: str = " = ") -> Source:
    if isinstance(source, str):
        return f"{name}{sign}{source}"
    return Group(f"{name}{sign}{source.before}", source.parts, source.after, source.is_tuple)


def _values(param: str, value: Any, writer: Writer) -> Source:
    """Write what is tried of one parameter."""
    if values.is_distribution(value):
        return writer.distribution(value)
    if isinstance(value, dict) and "$choice" in value:
        value = value["$choice"]
    if isinstance(value, list):
        return Group("[", tuple(writer.param(param, item) for item in value), "]")
    return writer.listing(value)


def _scoring(scoring: str | list[str] | dict[str, str]) -> Source:
    if isinstance(scoring, str):
        return repr(scoring)
    if isinstance(scoring, list):
        return Group("[", tuple(map(repr, scoring)), "]")
    return mapping((repr(name), repr(scorer)) for name, scorer in scoring.items())


def _refit(spec: JobSpec) -> str:
    if spec.wants_one_se:
        return "one_standard_error"
    if spec.refit is False:
        return "False"
    return repr(spec.refit) if spec.is_multimetric else "True"


def _error_score(spec: JobSpec, writer: Writer) -> str:
    if spec.error_score == "raise" or spec.error_score == spec.error_score:
        return repr(spec.error_score)
    writer.needs_module("import numpy as np")
    return "np.nan"


def _outcome(spec: JobSpec) -> list[str]:
    """Write what shows the result."""
    metric = spec.refit_metric or spec.metrics[0]
    written = ["results = pd.DataFrame(search.cv_results_)"]
    if spec.refit_metric is None:
        columns = ["params", f"mean_test_{metric}", f"rank_test_{metric}"]
        return [*written, f"print(results[{columns!r}])"]
    column = f"mean_test_{metric}"
    return [
        *written,
        'print("best parameters:", search.best_params_)',
        f'print("mean test score:", results.loc[search.best_index_, {column!r}])',
    ]

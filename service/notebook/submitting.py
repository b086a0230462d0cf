"""Hand a search to a spool: a job file, a mapping, or a search object of scikit-learn."""

import io
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from schemas.job import JobSpec
from schemas.problems import InvalidJob, Problem, join
from schemas.settings import Settings
from service.jobfile import SUFFIXES, examine, read_document, read_job_file
from service.layout import is_meant
from service.lock import holder
from service.notebook.faults import NotSubmitted
from service.notebook.jobs import Job
from service.printable import printable

if TYPE_CHECKING:
    from service.notebook.keeping import DataFiles

#: Longest file name in the spool, in bytes, before its suffix: file systems take 255.
_MAX_NAME = 200

#: Where a problem of the data lies, by the place that a check names.
_DATA_PLACES = {
    "data.features": "X", "data.x": "X", "data.file": "X", "data.target": "y", "data.y": "y",
    "data.groups": "groups", "data.weights": "sample_weight",
}  # fmt: skip


def submit(
    search: Any,
    X: Any = None,
    y: Any = None,
    *,
    groups: Any = None,
    sample_weight: Any = None,
    data: Mapping[str, Any] | None = None,
    name: str | None = None,
    tags: str | Sequence[str] = (),
    spool: str | Path | None = None,
    **options: Any,
) -> Job:
    """Hand a search to the spool; a scheduler need not run yet.

    The same search on the same data under the same name is one job: submitted again, the job that
    is there is given back, and nothing is computed twice.

    Parameters
    ----------
    search : search of scikit-learn, dict, path, str or JobSpec
        `GridSearchCV`, `RandomizedSearchCV`, `HalvingGridSearchCV` or `HalvingRandomSearchCV`, not
        fitted; or what a job file holds, as a dict, as a path to the file (`.yaml`, `.json`,
        `.toml`), or as its text.
    X : array-like, sparse matrix or DataFrame of shape (n_samples, n_features), or texts; optional
        Kept in the spool's `data/` under a name that follows from the content.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), optional
    groups, sample_weight : array-like of shape (n_samples,), optional
        As `fit` of the search takes them.
    data : mapping, optional
        `data` of a job file, in place of X and y: ``{"loader": "digits"}``,
        ``{"file": "train.csv", "target": "survived"}``.
    name : str, optional
        Of the job. Default: the file's, else from the estimator, such as `SVC-grid`.
    tags : str or sequence of str
        Words to find the job by.
    spool : path, optional
        Default: `FOLDQ_SPOOL`, else `./spool`.
    **options
        Further keys of the job file: `timeout="10m"`, `priority=5`, `max_engines=2`,
        `refit="one_se"`, `retry={…}`, `reuse=False` … They go before what the search says.

    Returns
    -------
    Job

    Raises
    ------
    NotSubmitted
        With every problem; nothing was submitted and no data were kept.

    Examples
    --------
    >>> search = GridSearchCV(SVC(), {"C": [1, 10]}, cv=5)       # doctest: +SKIP
    >>> job = foldq.submit(search, X, y, name="digits-svc")      # doctest: +SKIP
    >>> foldq.submit("digits-svc.yaml").wait().best_score_       # doctest: +SKIP
    """
    from service.commands.submission import await_job, hand_in
    from service.commands.validation import Verdict
    from service.spool import AlreadyWaiting

    settings = Settings.load(spool)
    asked = {**options, **_tags(tags)}
    files = _files(X, y, groups, sample_weight, data)
    wanted_data = files.spec if files is not None else data
    try:
        file_name, content, spec, cautions = _checked(search, wanted_data, name, asked, settings)
        if files is not None:
            _check_data(files, spec, settings)
    except NotSubmitted:
        raise
    except InvalidJob as invalid:
        raise NotSubmitted(invalid.problems) from None
    for caution in cautions:
        warnings.warn(str(caution), UserWarning, stacklevel=2)
    is_new = not settings.spool.exists()
    if files is not None:
        _keep(files, settings)
    try:
        submission = hand_in(settings, Verdict(file_name, content, spec), None)
    except AlreadyWaiting:
        raise NotSubmitted(
            [
                Problem(
                    "name",
                    "A job of this name, with other content, waits for a scheduler.",
                    given=spec.name,
                    hint="Give another name=…, or start a scheduler: foldq.serve().",
                )
            ]
        ) from None
    if submission.job is None and holder(settings.spool) is None:
        _tell_unserved(settings.spool, spool, is_new=is_new)
    elif submission.job is None:
        try:
            submission = await_job(settings, submission)
        except InvalidJob as invalid:
            raise NotSubmitted(invalid.problems) from None
    return Job(settings, submission.job.id if submission.job else None, submission)


def job_file(
    search: Any,
    *,
    data: Mapping[str, Any] | None = None,
    name: str | None = None,
    tags: str | Sequence[str] = (),
    spool: str | Path | None = None,
    **options: Any,
) -> str:
    """Give the job file that `submit` would hand in, as YAML; nothing is written.

    Parameters
    ----------
    search, data, name, tags, **options
        As in `submit`.
    spool : path, optional
        Whose settings say which names and how much a job may use.

    Raises
    ------
    NotSubmitted
        With every problem.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.svm import SVC
    >>> search = GridSearchCV(SVC(gamma=0.01), {"C": [1, 10]})
    >>> print(job_file(search, data={"loader": "digits"}, tags="course"), end="")
    name: SVC-grid
    data: {loader: digits}
    estimator: {$type: SVC, gamma: 0.01}
    search:
      strategy: grid
      space:
        C: [1, 10]
    cv: 5
    tags: [course]
    """
    asked = {**options, **_tags(tags)}
    try:
        _, content, _, _ = _checked(search, data, name, asked, Settings.load(spool))
    except NotSubmitted:
        raise
    except InvalidJob as invalid:
        raise NotSubmitted(invalid.problems) from None
    return content.decode()


def _checked(
    search: Any,
    data: Mapping[str, Any] | None,
    name: str | None,
    options: dict[str, Any],
    settings: Settings,
) -> tuple[str, bytes, JobSpec, list[Problem]]:
    """Give the job file's name in the spool, its bytes, what it says, and what to warn of."""
    from service.notebook.searches import STRATEGIES, in_search_terms, is_search

    if is_search(search):
        file_name, content, found = _from_search(search, data, name, options, settings)
        try:
            spec, cautions = examine(content, file_name, settings)
        except InvalidJob as invalid:
            # What could not be spelled is missing from the file: that is told already.
            told = {problem.where.split(".")[0].split("[")[0] for problem in found}
            space = STRATEGIES[type(search).__name__][1]
            others = [in_search_terms(problem, space) for problem in invalid.problems]
            found += [p for p in others if p.where.split(".")[0].split("[")[0] not in told]
            raise NotSubmitted(found) from None
        if found:
            raise NotSubmitted(found)
        return file_name, content, spec, cautions
    file_name, content = _from_file(search, data, name, options)
    spec, cautions = examine(content, file_name, settings)
    return file_name, content, spec, cautions


def _from_search(
    search: Any,
    data: Mapping[str, Any] | None,
    name: str | None,
    options: dict[str, Any],
    settings: Settings,
) -> tuple[str, bytes, list[Problem]]:
    from service.notebook.searches import default_name, document
    from workers.catalog import Catalog

    catalog = Catalog(settings.catalog.estimators)
    spelled, problems = document(search, catalog, given=options)
    if not spelled:
        raise NotSubmitted(problems)
    if data is None:
        raise NotSubmitted([*problems, _no_data()])
    name = name or default_name(search)
    made = {"name": name, "data": dict(data), **spelled, **options}
    return _file_name(name), as_yaml(made), problems


def _from_file(
    given: Any,
    data: Mapping[str, Any] | None,
    name: str | None,
    options: dict[str, Any],
) -> tuple[str, bytes]:
    """Give name and bytes of a job file: as it is where nothing is changed, else written anew."""
    changes = {**options, **({"data": dict(data)} if data is not None else {})}
    content: bytes | None = None
    suffix, stem = ".yaml", "job"
    if isinstance(given, JobSpec):
        document: Any = given.model_dump(mode="json")
    elif isinstance(given, Mapping):
        document = dict(given)
    elif isinstance(given, str | Path):
        if isinstance(given, Path) or _is_path(given):
            path = Path(given)
            content, suffix, stem = read_job_file(path), path.suffix, path.stem
        else:
            content = given.encode()
            suffix = ".json" if given.lstrip().startswith("{") else ".yaml"
        document, _ = read_document(content, suffix.lower())
    else:
        raise NotSubmitted(
            [
                Problem(
                    "",
                    f"A {type(given).__name__} is no search.",
                    expected="a search of scikit-learn (GridSearchCV …), a dict, or a path or "
                    "the text of a job file",
                )
            ]
        )
    if isinstance(document, dict):
        if content is not None and stem == "job":
            stem = str(document.get("name") or stem)
        if content is None or changes or (name and document.get("name", name) != name):
            name = name or str(document.get("name") or stem)
            document = {"name": name, **document, **changes} | {"name": name}
            content, suffix = as_yaml(document), ".yaml"
        if "data" not in document and data is None:
            raise NotSubmitted([_no_data()])
    assert content is not None
    return _file_name(name or stem, suffix), content


def _tags(tags: str | Sequence[str]) -> dict[str, Any]:
    return {"tags": [tags] if isinstance(tags, str) else list(tags)} if tags else {}


def _is_path(text: str) -> bool:
    return "\n" not in text and text.lower().endswith(SUFFIXES)


def _no_data() -> Problem:
    return Problem(
        "X",
        "A search needs data.",
        expected="X and y, or data={…} as in a job file",
        hint="For example data={'loader': 'digits'} or data={'file': 'train.csv', 'target': 'y'}.",
    )


def _file_name(name: str, suffix: str = ".yaml") -> str:
    stem = name.encode()[:_MAX_NAME].decode(errors="ignore")
    if "/" in stem or not is_meant(stem + suffix):
        raise NotSubmitted(
            [
                Problem(
                    "name",
                    "The job's name cannot be used.",
                    given=name[:80],
                    expected="1 to 100 printable characters without / and \\, and no dot in front",
                )
            ]
        )
    return stem + suffix


def as_yaml(document: Mapping[str, Any]) -> bytes:
    """Write a job file; what is no plain value is refused.

    Raises
    ------
    NotSubmitted
        Names what stands where.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RepresenterError

    from schemas.values import UnusableValueError, canonical

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None  # small lists and mappings on one line
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.width = 100
    problems = []
    for key, value in document.items():
        try:
            canonical(value)
        except UnusableValueError as error:
            problems.append(error.problem.below(join("", str(key))))
    if problems:
        raise NotSubmitted(problems)
    file = io.BytesIO()
    try:
        yaml.dump(dict(document), file)
    except RepresenterError as error:
        raise NotSubmitted([Problem("", f"This is no plain value: {error}")]) from None
    return file.getvalue()


def _files(
    X: Any, y: Any, groups: Any, weights: Any, data: Mapping[str, Any] | None
) -> "DataFiles | None":
    if X is None:
        if y is not None or groups is not None or weights is not None:
            raise NotSubmitted([Problem("X", "There is no X.", hint="submit(search, X, y)")])
        return None
    if data is not None:
        raise NotSubmitted([Problem("data", "Data come from one place only.", given="X and data")])
    from service.notebook.keeping import data_files

    return data_files(X, y, groups, weights)


def _check_data(files: "DataFiles", spec: JobSpec, settings: Settings) -> None:
    """Refuse at once what an engine would find wrong with the data."""
    from dataclasses import replace

    from workers.catalog import Catalog
    from workers.datachecks import dataset_problems

    estimator = Catalog(settings.catalog.estimators).build(spec.estimator)
    problems = dataset_problems(files.dataset, spec.data, estimator)
    if problems:
        raise NotSubmitted(
            replace(problem, where=_DATA_PLACES.get(problem.where, problem.where))
            for problem in problems
        )


def _keep(files: "DataFiles", settings: Settings) -> None:
    """Write the data into the spool, and say how much that is."""
    from service.layout import make_directories

    make_directories(settings.spool)
    for path, n_bytes in files.write(settings.spool):
        told = f"Saved {files.describe()} as {path}, {_size(n_bytes)}."
        sys.stdout.write(printable(told) + "\n")


def _tell_unserved(place: Path, given: str | Path | None, *, is_new: bool) -> None:
    """Say that the job waits: the spool's name may be a slip of the hand."""
    start = f"foldq.serve(spool={str(given)!r})" if given is not None else "foldq.serve()"
    where = f"{place}, a new spool" if is_new else str(place)
    sys.stdout.write(printable(f"No scheduler is running on {where}. To start one: {start}") + "\n")


def _size(n_bytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"

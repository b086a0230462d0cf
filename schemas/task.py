"""What goes to an engine and what comes back: small, frozen, and free of arrays.

Data sets travel as fingerprints, splits as indices, the estimator as its spelling in the job
file (an engine builds it once per job). These are dataclasses, not pydantic models: both ends
are foldq itself, and a thousand of them a second cross here. What there is one of for each fold is
a tuple with names: it is pickled in a fifth of the time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Shortcuts:
    """What an engine may leave out because an earlier fold did it; none changes a number.

    Attributes
    ----------
    data : bool
        Keep the training and test parts of a split between folds.
    checks : bool
        Check parameters once for a candidate, and that data are finite once for a data set.
    prefixes : bool
        Fit the steps at the head of a pipeline once for the candidates that share them.
    forests : bool
        Grow one ensemble through the sizes that are asked for.
    memory : int
        Bytes one engine may keep for all this.
    """

    data: bool = True
    checks: bool = True
    prefixes: bool = True
    forests: bool = True
    memory: int = 256 << 20


@dataclass(frozen=True, slots=True)
class SearchContext:
    """What all folds of one job share. An engine keeps it built, under `key`.

    Attributes
    ----------
    key : str
        Digest of everything below: equal keys mean equal contexts.
    job_id : int
    spec : dict
        The validated job file, as `JobSpec.model_dump(mode="json")`.
    catalog : dict of str to str
        What the operator adds to scikit-learn's names: name -> dotted path.
    cache : str
        The spool's cache directory, as seen from the engine.
    data_roots : tuple of str
        Directories below which `data.file` may lie, the spool's own `data/` first.
    fingerprint : str or None
        The prepared data set: the directory below `cache`. None before it is prepared.
    splits : str or None
        The materialised splits: the file's stem below the data set's directory.
    shortcuts : Shortcuts
    """

    key: str
    job_id: int
    spec: dict[str, Any]
    catalog: dict[str, str]
    cache: str
    data_roots: tuple[str, ...]
    fingerprint: str | None = None
    splits: str | None = None
    shortcuts: Shortcuts = Shortcuts()


class FoldTask(NamedTuple):
    """One candidate on one split.

    Attributes
    ----------
    task_id : int
    attempt_id : int
        The row in `attempt` that this sending of the task finishes.
    params : dict
        The candidate's parameters in the job file's value grammar.
    split : int
        Index into the materialised splits.
    fraction : float or None
        Successive halving on samples: the share of each split to draw, else None.
    """

    task_id: int
    attempt_id: int
    params: dict[str, JsonValue]
    split: int
    fraction: float | None = None


@dataclass(frozen=True, slots=True)
class FoldBatch:
    """Fold tasks of one job for one engine.

    Attributes
    ----------
    budget : float
        Seconds after which no further fold is started; the rest comes back unstarted.
    in_use : tuple of str or None
        Fingerprints of the data sets of the searches in progress: what an engine keeps of others,
        it may let go of. None where they are too many to tell.
    """

    batch_id: int
    context: SearchContext
    tasks: tuple[FoldTask, ...]
    budget: float
    in_use: tuple[str, ...] | None = None


class FoldResult(NamedTuple):
    """What became of one fold.

    Attributes
    ----------
    test_scores, train_scores : dict of metric name to float
        Under the key `score` for a single metric, as in `cv_results_`. Empty after a failed
        fit; `train_scores` is empty unless the job asks for it.
    fit_time, score_time : float
        Seconds, measured as `cross_validate` does.
    spared_time : float
        Seconds of the fit that were not spent, because an earlier fold of the engine had done that
        part: what it took then. A fit of its own would have taken `fit_time + spared_time`.
    error : str or None
        Traceback of the fit (or, with `error_score: raise`, of the scorer).
    error_types : tuple of str
        Names of the error's class and its bases, most specific first: what `retry.on` matches.
    timed_out : bool
        The fold ran past the job's `timeout`.
    warnings : tuple of str
        A few distinct warnings the fit gave, shortened; for `foldq show`.
    """

    task_id: int
    attempt_id: int
    test_scores: Mapping[str, float] = {}
    train_scores: Mapping[str, float] = {}
    fit_time: float = 0.0
    score_time: float = 0.0
    spared_time: float = 0.0
    error: str | None = None
    error_types: tuple[str, ...] = ()
    timed_out: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What an engine sends back for a `FoldBatch`.

    Attributes
    ----------
    unstarted : tuple of int
        Attempt ids that were not begun (budget spent, or the batch was interrupted).
    seconds : float
        Wall time of the whole batch on the engine.
    missing_data : str or None
        Set when the prepared data set is not in the cache (any more): says what is missing.
    """

    batch_id: int
    results: tuple[FoldResult, ...]
    unstarted: tuple[int, ...] = ()
    seconds: float = 0.0
    missing_data: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a prepare task found out: all that planning needs to know of the data.

    Attributes
    ----------
    fingerprint : str
        SHA-256 over the content of the prepared data set.
    splits : str
        Digest of the materialised splits, the stem of their file.
    n_samples, n_features : int or None
        `n_features` is None for a single text column.
    n_splits : int
    n_classes : int or None
        Distinct values of `y` for a classifier, else None.
    is_classifier : bool
    min_train_size : int
        Samples in the smallest training part.
    versions : dict of str to str
        Package versions on the engine that prepared.
    warnings : tuple of str
        What scikit-learn warned of when it split the data.
    """

    fingerprint: str
    splits: str
    n_samples: int
    n_features: int | None
    n_splits: int
    n_classes: int | None
    is_classifier: bool
    min_train_size: int
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refitted:
    """What a refit task did.

    Attributes
    ----------
    file : str
        Name of the saved model in the job's results directory.
    format : str
        "skops" or "joblib".
    trusted : tuple of str
        For skops: the types outside its own list that `skops.io.load(trusted=…)` must be given.
    note : str or None
        Why the model was not saved with skops.
    refit_time : float
        Seconds.
    """

    file: str
    format: str
    trusted: tuple[str, ...]
    note: str | None
    refit_time: float


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """A prepare or refit task that could not be done: a problem to tell, not a crash.

    Attributes
    ----------
    is_environment : bool
        Neither the job nor the task is at fault: the engine had no room, or no right, on the disk
        where it was to write. The same task goes well once that is put right.
    """

    message: str
    error: str | None = None
    error_types: tuple[str, ...] = ()
    is_environment: bool = False


@dataclass(frozen=True, slots=True)
class PrepareOrder:
    """Load the job's data set, check it, choose the splits, and keep both in the cache."""

    batch_id: int
    context: SearchContext


@dataclass(frozen=True, slots=True)
class RefitOrder:
    """Fit the winner on all the data and save it.

    Attributes
    ----------
    params : dict
        The best candidate's parameters in the job file's value grammar.
    directory : str
        The job's results directory, as seen from the engine.
    """

    batch_id: int
    context: SearchContext
    params: dict[str, JsonValue]
    directory: str


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What an engine says of itself when it is welcomed.

    Attributes
    ----------
    versions : dict of str to str
        Of Python (minor), foldq and the packages that decide the numbers.
    """

    host: str
    pid: int
    versions: dict[str, str]


Order = PrepareOrder | FoldBatch | RefitOrder

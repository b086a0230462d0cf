"""The job file as a model: what is searched, on which data, with which model, and how.

Only the form is checked here. What names mean, and whether scikit-learn knows them, is told
by `workers.jobcheck`.
"""

import math
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from schemas.data import DataSpec, FileData, LoaderData, MakeData
from schemas.durations import Duration
from schemas.explain import complaint
from schemas.judging import (
    OneStandardError,
    as_error_score,
    as_refit,
    as_scoring,
    error_score_to_json,
    refit_problem,
)
from schemas.parts import OBJECT_SCHEMA, ObjectSpec, Part, as_object, refusal
from schemas.problems import shown
from schemas.search import SearchSpec

#: Splitters that draw random numbers, and the parameter that turns drawing on (None: always).
RANDOM_SPLITTERS: dict[str, str | None] = {
    "GroupKFold": "shuffle",
    "GroupShuffleSplit": None,
    "KFold": "shuffle",
    "RepeatedKFold": None,
    "RepeatedStratifiedKFold": None,
    "ShuffleSplit": None,
    "StratifiedGroupKFold": "shuffle",
    "StratifiedKFold": "shuffle",
    "StratifiedShuffleSplit": None,
}


def _as_cv(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 2:
            raise refusal("Cross-validation needs at least 2 folds.", given=shown(value))
        return value
    if isinstance(value, str) and value.strip().isdecimal():
        raise refusal(
            f"{shown(value)} is text, not a number.",
            expected="a number of folds, without quotes",
            nearest=value.strip(),
        )
    if isinstance(value, str | dict):
        return as_object(value, "{$type: KFold, n_splits: 5}: a splitter, with its parameters")
    raise refusal(
        f"{shown(value)} does not fit here.",
        expected="a number of folds, the name of a splitter, or a mapping with $type",
        nearest=str(int(value)) if isinstance(value, float) and value.is_integer() else None,
    )


def _as_names(what: str) -> BeforeValidator:
    """Return a validator for a list of short texts without repetition; one text is a list too."""

    def check(value: object) -> object:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(n, str) for n in names):
            raise refusal(f"{what} are a list of names.", given=shown(value))
        if odd := [n for n in names if not n.strip() or len(n) > 100 or not n.isprintable()]:
            raise refusal(
                f"Each of the {what} has 1 to 100 printable characters.", given=shown(odd[0])
            )
        return list(dict.fromkeys(names))

    return BeforeValidator(check)


def _as_name(value: object) -> object:
    expected = "1 to 100 printable characters without / and \\"
    if not isinstance(value, str):
        raise refusal("A job's name is text.", given=shown(value), expected=expected)
    if (
        not 1 <= len(value.strip()) == len(value) <= 100
        or not value.isprintable()
        or set(value) & set("/\\")
        or value in (".", "..")
    ):
        raise refusal("The job's name cannot be used.", given=shown(value), expected=expected)
    return value


#: What may be set of a job while it is at work, too (`schemas.steering`).
Priority = Annotated[int, Field(strict=True, ge=-1_000_000, le=1_000_000)]
Most = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
Tags = Annotated[list[str], _as_names("tags")]


class Retry(Part):
    """When a fold is tried again."""

    attempts: Annotated[int, Field(strict=True, ge=1, le=100)] = Field(
        default=3,
        description="Most times that a fold is tried when it raises an error of `on`.",
        examples=[5],
    )
    on: Annotated[tuple[str, ...], _as_names("kinds of errors")] = Field(
        default=(),
        description="Names of the error classes that are worth another attempt.",
        examples=[["OSError", "MemoryError"]],
    )
    backoff: Duration = Field(
        default=2.0,
        description="Wait before the second attempt; it doubles with each further one.",
        examples=["2s"],
    )
    engine_losses: Annotated[int, Field(strict=True, ge=1, le=100)] = Field(
        default=3,
        description="A fold that was alone on this many engines when they died is given up.",
        examples=[2],
    )


def _not_zero(value: float) -> float:
    if value == 0:
        raise refusal("A time limit of zero leaves no time to fit.", given="0")
    return value


class JobSpec(Part):
    """One search: a data set, an estimator, the candidates to try, and how to judge them."""

    name: Annotated[
        str,
        BeforeValidator(_as_name),
        WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 100}),
    ] = Field(
        description="Name of the job; default: the file's name without its suffix.",
        examples=["digits-svc"],
    )
    data: DataSpec = Field(description="Where the data come from.", examples=[{"loader": "digits"}])
    estimator: ObjectSpec = Field(
        description="The model to search over, by scikit-learn's names.",
        examples=["SVC", {"$type": "SVC", "kernel": "rbf"}],
    )
    search: SearchSpec = Field(
        description="Which candidates are tried, and in which order.",
        examples=[{"strategy": "grid", "space": {"C": [0.1, 1, 10]}}],
    )
    cv: Annotated[
        int | ObjectSpec,
        BeforeValidator(_as_cv),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 2}, OBJECT_SCHEMA]}),
    ] = Field(
        default=5,
        description="Number of folds, or a splitter of scikit-learn.",
        examples=[5, {"$type": "KFold", "n_splits": 5, "shuffle": True, "random_state": 0}],
    )
    scoring: Annotated[str | list[str] | dict[str, str] | None, BeforeValidator(as_scoring)] = (
        Field(
            default=None,
            description="Name of a scorer, a list of names, or a mapping of names to scorers; "
            "default: the estimator's own score.",
            examples=["accuracy", ["accuracy", "f1_macro"]],
        )
    )
    refit: Annotated[
        bool | str | OneStandardError,
        BeforeValidator(as_refit),
    ] = Field(
        default=True,
        description="Which candidate is fitted on all the data at the end: true (the best), "
        "false (none), the metric to choose by, or one_se: the first candidate whose mean score "
        "lies within one standard error of the best.",
        examples=[False, "accuracy", "one_se", {"one_se": "f1_macro"}],
    )
    priority: Priority = Field(
        default=0, description="Jobs of higher priority are done first.", examples=[10]
    )
    timeout: Annotated[Duration, AfterValidator(_not_zero)] | None = Field(
        default=None,
        description="Time limit for one fold, such as 10m; none by default.",
        examples=["10m", "1h30m"],
    )
    retry: Retry = Field(
        default=Retry(),
        description="When a fold is tried again.",
        examples=[{"attempts": 3, "on": ["OSError", "MemoryError"], "backoff": "2s"}],
    )
    error_score: Annotated[
        Literal["raise"] | float,
        BeforeValidator(as_error_score),
        PlainSerializer(error_score_to_json, when_used="json"),
        WithJsonSchema({"anyOf": [{"enum": ["raise", "nan"]}, {"type": "number"}]}),
    ] = Field(
        default=math.nan,
        description="Score of a fold whose fit fails: nan, a number, or raise (the job fails).",
        json_schema_extra={"default": "nan"},  # JSON has no NaN
        examples=[0, "raise"],
    )
    return_train_score: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="Whether to score on the training parts too.",
        examples=[True],
    )
    reuse: Annotated[bool, Field(strict=True)] = Field(
        default=True,
        description="Take folds that an earlier job computed already.",
        examples=[False],
    )
    max_engines: Most | None = Field(
        default=None, description="Most engines that work for this job at once.", examples=[8]
    )
    threads: Annotated[int, Field(strict=True, ge=1, le=1024)] = Field(
        default=1, description="BLAS and OpenMP threads for each fold.", examples=[4]
    )
    tags: Tags = Field(
        default=[], description="Words to find the job by.", examples=[["course", "lab-3"]]
    )

    @model_validator(mode="after")
    def _refit_fits_scoring(self) -> Self:
        problem = refit_problem(self.scoring, self.refit, halving=self.search.is_halving)
        if problem is not None:
            raise complaint(problem)
        return self

    @property
    def is_multimetric(self) -> bool:
        """Whether scores stand under the metrics' names instead of under `score`."""
        return isinstance(self.scoring, list | dict)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics' names as in the columns of `cv_results_`: `("score",)` for a single one."""
        return tuple(self.scoring) if isinstance(self.scoring, list | dict) else ("score",)

    @property
    def refit_metric(self) -> str | None:
        """The metric that the best candidate is chosen by, as in the columns of `cv_results_`.

        None for several metrics of which none is to choose by (`refit: false`).
        """
        if not self.is_multimetric:
            return "score"
        if isinstance(self.refit, OneStandardError):
            return self.refit.one_se
        return self.refit if isinstance(self.refit, str) else None

    @property
    def wants_refit(self) -> bool:
        """Whether the winner is fitted on all the data."""
        return self.refit is not False

    @property
    def wants_one_se(self) -> bool:
        """Whether the winner is chosen by the rule of one standard error."""
        return isinstance(self.refit, OneStandardError) or self.refit == "one_se"


def with_seeds(spec: JobSpec, draw: Callable[[], int]) -> JobSpec:
    """Return `spec` with an integer wherever randomness was left open around the model.

    Missing seeds of the search, of splitters that draw and of data generators are filled in, so
    that the job can be repeated and resumed. What is written stays; so do the estimators' own
    `random_state`s, written or not: they are part of what is searched.

    Parameters
    ----------
    draw : callable
        Returns an integer from 0 to 2^32 - 1.
    """
    document = spec.model_dump(mode="json")
    if spec.search.strategy != "grid" and spec.search.seed is None:
        document["search"]["seed"] = draw()
    cv: JsonValue = {"$type": spec.cv} if isinstance(spec.cv, str) else spec.cv
    if isinstance(cv, dict) and _draws(cv) and cv.get("random_state") is None:
        document["cv"] = {**cv, "random_state": draw()}
    if isinstance(spec.data, MakeData) and spec.data.params.get("random_state") is None:
        document["data"]["params"] = {**spec.data.params, "random_state": draw()}
    return JobSpec.model_validate(document)


def _draws(splitter: dict[str, JsonValue]) -> bool:
    name = str(splitter["$type"])
    if name not in RANDOM_SPLITTERS:
        return False
    switch = RANDOM_SPLITTERS[name]
    return switch is None or splitter.get(switch) is True


#: Where each model of the job file lies, for messages that name the valid keys.
MODELS: dict[tuple[str, ...], type[BaseModel]] = {
    (): JobSpec,
    ("search",): SearchSpec,
    ("retry",): Retry,
    ("data", "loader"): LoaderData,
    ("data", "make"): MakeData,
    ("data", "file"): FileData,
}
#: The places of `MODELS` whose last part is a branch of a union, not a key of the file.
BRANCHES = (("data", "loader"), ("data", "make"), ("data", "file"))

"""The form of a job file: the whole job, or what is broken and those parts that are not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from schemas.data import DATA_KINDS, FileData
from schemas.explain import explain, unknown_key
from schemas.job import BRANCHES, MODELS, JobSpec, Retry
from schemas.judging import refit_problem
from schemas.meant import ELSEWHERE, meant_key
from schemas.problems import SHOWN, Problem, join
from schemas.search import SearchSpec


@dataclass(frozen=True)
class Form:
    """A job file as far as its form is fine.

    Attributes
    ----------
    job : JobSpec
        Holds only what is not in `unsound`; nothing else of it may be looked at.
    problems : list of Problem
        What is wrong with the form.
    unsound : frozenset of str
        Fields that are broken or missing; of data, search and retry also those within, such as
        `search.space`.
    respelled : tuple of (str, str)
        Places as the job has them, and as the file spells them: a key of another name, of which it
        is plain what was meant, is read as what was meant. Inner places first.
    """

    job: JobSpec
    problems: list[Problem] = field(default_factory=list)
    unsound: frozenset[str] = frozenset()
    respelled: tuple[tuple[str, str], ...] = ()

    def as_written(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return problems of the job with their places as the file spells them."""
        return [_as_written(problem, self.respelled) for problem in problems]


#: What the parts with keys of their own may be.
_PARTS: dict[str, tuple[type[BaseModel], ...]] = {
    "data": tuple(DATA_KINDS.values()),
    "search": (SearchSpec,),
    "retry": (Retry,),
}


def _as_written(problem: Problem, respelled: Iterable[tuple[str, str]]) -> Problem:
    where = problem.where
    for place, written in respelled:
        if where == place or where.startswith((f"{place}.", f"{place}[")):
            where = written + where[len(place) :]
    return replace(problem, where=where)


def read_form(document: Mapping[str, Any]) -> Form:
    """Return the job that a document describes; what is broken keeps no other part from it."""
    keys = _Keys()
    known = keys.of("", document, JobSpec)
    for part in _PARTS.keys() & known.keys():
        if (model := _model_of(part, known[part])) is not None:
            known[part] = keys.of(part, known[part], model)
    keys.respelled.reverse()  # those of the whole file were met first
    problems: list[Problem] = []
    unsound: set[str] = set()
    try:
        job = JobSpec.model_validate(known)
    except ValidationError as error:
        problems = explain(error, MODELS, BRANCHES)
        job, unsound, more = _sound_parts(known)
        problems += [problem for problem in more if problem not in problems]
    form = Form(job, [], frozenset(unsound), tuple(keys.respelled))
    return replace(form, problems=form.as_written([*keys.problems, *problems]))


def _model_of(part: str, value: object) -> type[BaseModel] | None:
    """Return the model of a part that has keys of its own, if the value can be one."""
    if not isinstance(value, dict) or part not in _PARTS:
        return None
    if part != "data":
        return _PARTS[part][0]
    exact = {kind for kind in DATA_KINDS if kind in value}
    kinds = exact or {meant for key in value if (meant := meant_key("data", key, DATA_KINDS))}
    return DATA_KINDS[kinds.pop()] if len(kinds) == 1 else None


class _Keys:
    """Reads the keys of a file's parts: those that there are, and those that were meant."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.respelled: list[tuple[str, str]] = []

    def of(self, part: str, given: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
        """Return the part with its own keys only; what is told of the others is noted."""
        valid = list(model.model_fields)
        known = {key: value for key, value in given.items() if key in valid}
        for key, value in given.items():
            if key in valid:
                continue
            meant = meant_key(part, key, valid)
            where = join(part, str(key)[:100])
            hint = None if meant else _where_it_belongs(part, str(key)[:SHOWN], model)
            self.problems.append(unknown_key(where, key, valid, meant, hint))
            if meant is not None and meant not in known:
                known[meant] = value
                self.respelled.append((join(part, meant), where))
        return known


def _where_it_belongs(part: str, key: str, model: type[BaseModel]) -> str | None:
    """Return the next step for a key that belongs elsewhere."""
    if not part:
        return ELSEWHERE.get(key)
    if part == "search" and key in JobSpec.model_fields:
        return "It is a key of the whole file and stands beside search."
    if part == "search":
        return f"Parameters and the values to try stand in space: {{space: {{{key}: […]}}}}."
    if part == "data" and model is not FileData:
        return f"Parameters stand in params: {{params: {{{key}: …}}}}."
    return None


def _sound_parts(document: Mapping[str, Any]) -> tuple[JobSpec, set[str], list[Problem]]:
    """Return what is fine, which fields are not, and what is wrong between those that are.

    pydantic leaves the rules across fields out as soon as any field is broken.
    """
    problems: list[Problem] = []
    fields, unsound = _sound_fields(JobSpec, document)
    for name in _PARTS.keys() & unsound:
        model = _model_of(name, document.get(name))
        if model is None:
            unsound |= {f"{name}.{key}" for kind in _PARTS[name] for key in kind.model_fields}
            continue
        within, broken = _sound_fields(model, document[name])
        unsound |= {f"{name}.{key}" for key in broken}
        part: Any = model.model_construct(**within)
        fields[name] = part
        if isinstance(part, SearchSpec) and "strategy" not in broken:
            whole = part if "space" in within else part.model_copy(update={"space": {}})
            problems += [problem.below(name) for problem in whole.misfits()]
        elif isinstance(part, FileData) and "file" not in broken:
            problems += [problem.below(name) for problem in part.misfits()]
    job = JobSpec.model_construct(**fields)
    if unsound.isdisjoint({"scoring", "refit"}):
        halving = "search.strategy" not in unsound and job.search.is_halving
        found = refit_problem(job.scoring, job.refit, halving=halving)
        problems += [found] if found is not None else []
    return job, unsound, problems


def _sound_fields(
    model: type[BaseModel], document: Mapping[str, Any]
) -> tuple[dict[str, Any], set[str]]:
    """Return the fields of a model that are fine each by itself, and the names of the others."""
    fields: dict[str, Any] = {}
    unsound: set[str] = set()
    for name, info in model.model_fields.items():
        if name in document:
            adapter: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
            try:
                fields[name] = adapter.validate_python(document[name])
            except ValidationError:
                unsound.add(name)
        elif info.is_required():
            unsound.add(name)
    return fields, unsound

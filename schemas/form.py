"""The form of a job file: the whole job, or what is broken and those parts that are not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from schemas.explain import explain
from schemas.job import BRANCHES, MODELS, JobSpec
from schemas.judging import refit_problem
from schemas.problems import Problem, nearest
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
        Fields that are broken, missing, or perhaps meant by a misspelt key; of the search also
        those within, such as `search.space`.
    """

    job: JobSpec
    problems: list[Problem] = field(default_factory=list)
    unsound: frozenset[str] = frozenset()


def read_form(document: Mapping[str, Any]) -> Form:
    """Return the job that a document describes; what is broken keeps no other part from it."""
    try:
        return Form(JobSpec.model_validate(document))
    except ValidationError as error:
        problems = explain(error, MODELS, BRANCHES)
    fields, unsound = _sound_fields(JobSpec, document)
    if "search" in unsound:
        # Its space is the larger part, and can be looked at by itself.
        search = document.get("search")
        within, broken = _sound_fields(SearchSpec, search if isinstance(search, dict) else {})
        fields["search"] = SearchSpec.model_construct(**within)
        unsound |= {f"search.{name}" for name in broken}
    job = JobSpec.model_construct(**fields)
    if unsound.isdisjoint({"scoring", "refit", "search"}):
        # The one rule across fields, which pydantic leaves out when any field is broken.
        problem = refit_problem(job.scoring, job.refit, halving=job.search.is_halving)
        if problem is not None and problem not in problems:
            problems.append(problem)
    return Form(job, problems, frozenset(unsound))


def _sound_fields(
    model: type[BaseModel], document: Mapping[str, Any]
) -> tuple[dict[str, Any], set[str]]:
    """Return the fields of a model that are fine each by itself, and the names of the others."""
    fields: dict[str, Any] = {}
    unsound: set[str] = set()
    meant = {nearest(key, model.model_fields) for key in document.keys() - model.model_fields}
    for name, info in model.model_fields.items():
        if name in document:
            adapter: TypeAdapter[Any] = TypeAdapter(info.rebuild_annotation())
            try:
                fields[name] = adapter.validate_python(document[name])
            except ValidationError:
                unsound.add(name)
        elif info.is_required() or name in meant:
            unsound.add(name)
    return fields, unsound

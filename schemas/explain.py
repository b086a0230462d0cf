"""Turn pydantic's complaints into problems that a person can act on."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from schemas.problems import Problem, join, nearest, shown

#: Type of the errors that our own validators raise: they carry ready-made problems.
OWN = "foldq"

#: pydantic's error type -> what is expected instead, filled in from the error's context.
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "path_type": "a path",
    "greater_than": "a number above {gt}",
    "greater_than_equal": "a number from {ge} up",
    "less_than": "a number below {lt}",
    "less_than_equal": "a number up to {le}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
    "finite_number": "a finite number",
}


def complaint(*problems: Problem) -> PydanticCustomError:
    """Return the error for a validator to raise; each `where` is told from its field on."""
    return PydanticCustomError(OWN, "{text}", {"text": str(problems[0]), "problems": problems})


def unknown_key(
    where: str, key: object, valid: Sequence[str], near: str | None, hint: str | None = None
) -> Problem:
    """Return the problem of a key that a mapping does not have; `near` was probably meant."""
    return Problem(
        where,
        f"There is no key {shown(key)} here.",
        expected="one of " + ", ".join(valid) if valid else None,
        nearest=near,
        hint=hint,
    )


def explain(
    error: ValidationError,
    models: Mapping[tuple[str, ...], type[BaseModel]],
    tags: Sequence[tuple[str, ...]] = (),
) -> list[Problem]:
    """Return every problem in `error`, in kind words and in the order of the fields.

    Parameters
    ----------
    error : ValidationError
    models : mapping
        The model that lies at each place, `()` for the whole: names the valid keys.
    tags : sequence of places
        Parts of pydantic's places that name a branch of a union, not a key of the file.
    """
    return [
        problem
        for detail in error.errors(include_url=False)
        for problem in _explain_one(detail, models, tags)
    ]


def _explain_one(
    detail: ErrorDetails,
    models: Mapping[tuple[str, ...], type[BaseModel]],
    tags: Sequence[tuple[str, ...]],
) -> list[Problem]:
    context: dict[str, Any] = detail.get("ctx", {})
    place = detail["loc"]
    where = _where(place, tags)
    if detail["type"] == OWN:
        return [problem.below(where) for problem in context["problems"]]
    parent = tuple(str(part) for part in place[:-1])
    if detail["type"] == "extra_forbidden":
        valid = list(models[parent].model_fields) if parent in models else []
        return [unknown_key(where, place[-1], valid, nearest(place[-1], valid))]
    if detail["type"] == "missing":
        name = str(place[-1])
        described = models[parent].model_fields[name].description if parent in models else None
        expected = described.rstrip(".") if described else None
        return [Problem(where, f"{name} is missing.", expected=expected)]
    given = shown(detail["input"])
    template = _EXPECTED.get(detail["type"])
    if template is None:
        text = str(context["error"]) if "error" in context else detail["msg"]
        return [Problem(where, _sentence(text), given=given)]
    expected, close = template.format(**context), None
    if detail["type"] in ("dict_type", "model_type", "model_attributes_type"):
        fields = models[parent].model_fields if place and parent in models else {}
        field = fields.get(str(place[-1])) if place else None
        if field is not None and field.examples:
            expected += f" such as {shown(field.examples[0])}"
    if detail["type"] in ("bool_type", "bool_parsing"):
        close = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(
            str(detail["input"]).casefold()
        )
    if detail["type"] in ("literal_error", "enum"):
        expected = expected.replace(" or ", ", ").replace("'", "")
        close = nearest(detail["input"], expected.removeprefix("one of ").split(", "))
    return [
        Problem(where, f"{given} does not fit here.", given=given, expected=expected, nearest=close)
    ]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def _where(place: tuple[int | str, ...], tags: Sequence[tuple[str, ...]]) -> str:
    where = ""
    for i, part in enumerate(place):
        if tuple(str(p) for p in place[: i + 1]) in tags:
            continue
        where = join(where, f"[{part}]" if isinstance(part, int) else part)
    return where

"""What all parts of a job file have in common."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, WithJsonSchema

from schemas import grammar, values
from schemas.explain import complaint
from schemas.problems import SHOWN, Problem, shown


class Part(BaseModel):
    """What all parts of a job file have in common: nothing unknown, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def refusal(message: str, where: str = "", **facts: Any) -> Exception:
    """Return the error that a field's validator raises; `where` is told from the field on."""
    return complaint(Problem(where, message, **facts))


def as_value(value: object) -> JsonValue:
    """Return any value of the grammar in canonical JSON, or raise what is wrong with it."""
    try:
        result = values.canonical(value)
    except values.UnusableValueError as error:
        raise complaint(error.problem) from None
    if problems := grammar.check_value(result):
        raise complaint(*problems)
    return result


def _as_params(value: object) -> JsonValue:
    if not isinstance(value, dict):
        raise refusal("Parameters are a mapping of names to values.", given=shown(value))
    if other := [key for key in value if not isinstance(key, str) or key.startswith("$")]:
        raise refusal("A parameter's name is text.", given=shown(other[0]))
    return as_value(value)


def as_object(value: object, usage: str = grammar.USAGE["$type"]) -> JsonValue:
    """Return an object's spelling, a name or a mapping with `$type`, in canonical JSON.

    Parameters
    ----------
    usage : str
        How such an object is written, for messages.
    """
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, dict) or "$type" not in value:
        near, hint = None, None
        if isinstance(value, dict):
            near, hint = _meant_object(value)
        elif isinstance(value, list):
            hint = "Steps one after the other are {$type: Pipeline, steps: [[name, estimator], …]}."
        raise refusal(
            "An object is its name, or a mapping with $type and its parameters beside it.",
            given=shown(value),
            expected=usage,
            nearest=near,
            hint=hint,
        )
    return as_value(value)


def _meant_object(value: dict[Any, Any]) -> tuple[str | None, str | None]:
    """Return what was probably meant by a mapping without $type, and what to do."""
    for word in ("type", "Type", "$Type", "class", "name", "estimator"):
        if word in value:
            return "$type", f"Write $type in the place of {word}."
    if len(value) == 1:
        [(name, params)] = value.items()
        if isinstance(name, str) and name[:1].isupper() and isinstance(params, dict | None):
            beside = "".join(f", {param}: {shown(item)}" for param, item in (params or {}).items())
            spelled = f"{{$type: {name}{beside}}}"
            return (spelled if len(spelled) <= SHOWN else "$type"), None
    return None, None


#: Definitions of the grammar, which `schemas.editor` adds to the JSON Schema.
VALUE_SCHEMA = {"$ref": "#/$defs/Value"}
OBJECT_SCHEMA = {"$ref": "#/$defs/Object"}

Params = Annotated[
    dict[str, JsonValue],
    BeforeValidator(_as_params),
    WithJsonSchema({"type": "object", "additionalProperties": VALUE_SCHEMA}),
]
ObjectSpec = Annotated[
    str | dict[str, JsonValue], BeforeValidator(as_object), WithJsonSchema(OBJECT_SCHEMA)
]

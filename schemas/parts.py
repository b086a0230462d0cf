"""What all parts of a job file have in common."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, WithJsonSchema

from schemas import grammar, values
from schemas.explain import complaint
from schemas.problems import Problem, shown


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


def as_object(value: object) -> JsonValue:
    """Return an object's spelling, a name or a mapping with `$type`, in canonical JSON."""
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, dict) or "$type" not in value:
        raise refusal(
            "An object is its name, or a mapping with $type and its parameters beside it.",
            given=shown(value),
            expected=grammar.USAGE["$type"],
            nearest="$type" if isinstance(value, dict) and "type" in value else None,
        )
    return as_value(value)


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

"""The JSON Schema of job files, with the grammar of values, for editors."""

from typing import Any

from pydantic import BaseModel

from schemas.grammar import USAGE
from schemas.parts import DEFINED

_NUMBER = {"type": "number"}
_WHOLE = {"type": "integer"}
_VALUES = {"type": "array", "items": {"$ref": "#/$defs/Value"}}


def _exactly(*items: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "array",
        "prefixItems": list(items),
        "items": False,
        "minItems": len(items),
    }


_ENDS = _exactly(_NUMBER, _NUMBER)
_SPACING = _exactly(_NUMBER, _NUMBER, {**_WHOLE, "minimum": 1})

#: What stands behind each `$` key.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "$logspace": _SPACING,
    "$linspace": _SPACING,
    "$geomspace": _SPACING,
    "$range": {"anyOf": [_WHOLE, {"type": "array", "items": _WHOLE, "minItems": 1, "maxItems": 3}]},
    "$choice": {**_VALUES, "minItems": 1},
    "$uniform": _ENDS,
    "$loguniform": _ENDS,
    "$randint": _exactly(_WHOLE, _WHOLE),
    "$tuple": _VALUES,
    "$dict": {"type": "array", "items": _exactly({}, {"$ref": "#/$defs/Value"})},
    "$float": {"enum": ["nan", "inf", "-inf"]},
    "$dtype": {"type": "string"},
    "$function": {"type": "string"},
    "$null": {"const": True},
}
#: Only a parameter of the search space may be these.
_SPACE_ONLY = ("$choice", "$uniform", "$loguniform", "$randint")


def _grammar(key: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": USAGE[key],
        "properties": {key: _ARGUMENTS[key]},
        "required": [key],
        "additionalProperties": False,
    }


def _definitions() -> dict[str, Any]:
    """Return the grammar of values as definitions that the fields refer to."""
    listing = ("$logspace", "$linspace", "$geomspace", "$range", *_SPACE_ONLY)
    mapping_of_values = {
        "type": "object",
        "propertyNames": {"not": {"pattern": r"^\$"}},
        "additionalProperties": {"$ref": "#/$defs/SpaceValue"},
    }
    return {
        "Value": {
            "description": "Any value; mappings with a $ key say what JSON cannot.",
            "anyOf": [
                {"type": ["null", "boolean", "number", "string"]},
                _VALUES,
                {"$ref": "#/$defs/Object"},
                *(_grammar(key) for key in _ARGUMENTS if key not in _SPACE_ONLY),
                {
                    "type": "object",
                    "propertyNames": {"not": {"pattern": r"^\$"}},
                    "additionalProperties": {"$ref": "#/$defs/Value"},
                },
            ],
        },
        "Object": {
            "description": "An object: its name, or a mapping with $type and its parameters.",
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "object",
                    "description": USAGE["$type"],
                    "properties": {"$type": {"type": "string", "minLength": 1}},
                    "required": ["$type"],
                    "additionalProperties": {"$ref": "#/$defs/Value"},
                },
            ],
        },
        "SpaceValue": {
            "description": "The values to try for one parameter.",
            "anyOf": [{**_VALUES, "minItems": 1}, *(_grammar(key) for key in listing)],
        },
        "Space": {
            "description": "Parameters and the values to try, or a list of such mappings.",
            "anyOf": [
                {**mapping_of_values, "minProperties": 1},
                {"type": "array", "items": mapping_of_values, "minItems": 1},
            ],
        },
    }


def job_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the job file.

    Parameters
    ----------
    model : class
        The model of the whole job file.
    """
    schema: dict[str, Any] = _with_references(model.model_json_schema())
    schema["required"] = [name for name in schema["required"] if name != "name"]
    _drop_unsayable_defaults(schema)
    for name, field in model.model_fields.items():  # pydantic leaves it out beside a default
        schema["properties"][name].setdefault("description", field.description)
    definitions = {**schema.pop("$defs"), **_definitions()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "foldq job file",
        **{key: value for key, value in schema.items() if key != "title"},
        "$defs": definitions,
    }


def _with_references(schema: Any) -> Any:
    """Return the schema with each mention of a definition of the grammar as a `$ref`."""
    if isinstance(schema, list):
        return [_with_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        "$ref" if key == DEFINED else key: f"#/$defs/{item}"
        if key == DEFINED
        else _with_references(item)
        for key, item in schema.items()
    }


def _drop_unsayable_defaults(schema: dict[str, Any]) -> None:
    """Say NaN, which JSON lacks, as the job file does."""
    schema["properties"]["error_score"]["default"] = "nan"

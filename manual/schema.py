"""JSON Schema in words: what type a field has, and between which limits."""

from typing import Any

from manual.markdown import code
from schemas.durations import Duration

_TYPES = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "`true` or `false`",
    "null": "`null`",
    "object": "mapping",
}
_DURATION = Duration.__metadata__[1].json_schema["anyOf"]
_LIMITS = {
    "minimum": "at least {:,}",
    "exclusiveMinimum": "more than {:,}",
    "maximum": "at most {:,}",
    "exclusiveMaximum": "less than {:,}",
    "minLength": "at least {:,} characters",
    "maxLength": "at most {:,} characters",
    "minItems": "at least {:,} entries",
    "maxItems": "at most {:,} entries",
}


def branches(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the alternatives of a schema, itself if it has none."""
    return [
        inner
        for branch in schema.get("anyOf") or schema.get("oneOf") or [schema]
        for inner in (branches(branch) if "anyOf" in branch or "oneOf" in branch else [branch])
    ]


def type_text(schema: dict[str, Any], links: dict[str, str]) -> str:
    """Say what stands in a field.

    Parameters
    ----------
    schema : dict
        Of the field.
    links : dict of str
        For each definition that may be referred to, the Markdown that stands for it.
    """
    if is_duration(schema):
        return "duration" + (" or `null`" if {"type": "null"} in branches(schema) else "")
    if is_size(schema):
        return "size" + (" or `null`" if {"type": "null"} in branches(schema) else "")
    return " or ".join(dict.fromkeys(_one(branch, links) for branch in branches(schema)))


def _one(schema: dict[str, Any], links: dict[str, str]) -> str:
    if "$ref" in schema:
        return links[schema["$ref"].rpartition("/")[2]]
    if "enum" in schema or "const" in schema:
        return " or ".join(code(value) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("format") == "path":
        return "path"
    if schema.get("type") == "array":
        return f"list of {type_text(schema['items'], links)}" if schema.get("items") else "list"
    if isinstance(of := schema.get("additionalProperties"), dict):
        return f"mapping of names to {type_text(of, links)}"
    return _TYPES[schema["type"]]


def limits_text(schema: dict[str, Any]) -> str:
    """Say the limits of a field; nothing when there are none."""
    if is_duration(schema):
        return "up to ten years"
    told = [
        text.format(branch[key])
        for branch in branches(schema)
        for key, text in _LIMITS.items()
        if key in branch and (key, branch[key]) not in (("minLength", 1), ("minItems", 1))
    ]
    told += ["not empty" for branch in branches(schema) if branch.get("minLength") == 1][:1]
    return ", ".join(dict.fromkeys(told))


def is_duration(schema: dict[str, Any]) -> bool:
    """Whether a field takes spans of time."""
    return all(branch in branches(schema) for branch in _DURATION)


def is_size(schema: dict[str, Any]) -> bool:
    """Whether a field takes sizes in bytes, as pydantic's ByteSize does."""
    return any(
        branch.get("type") == "string" and "(\\w+)?" in branch.get("pattern", "")
        for branch in branches(schema)
    )

"""Each setting by itself: its value, its default, how both are written, and where it was said."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any, get_args

from pydantic import BaseModel, ByteSize
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from schemas.durations import seconds
from schemas.operating import Hook
from schemas.problems import nearest
from schemas.sections import TagSettings
from schemas.settings import (
    FILE_NAME,
    PREFIX,
    SECTIONS,
    Settings,
    environment,
    read_text,
    variables_of,
)
from schemas.tomllines import lines_of

#: Stands for what is secret.
MASK = "***"


@dataclass(frozen=True, slots=True)
class Origin:
    """A setting as it is now.

    Attributes
    ----------
    key : str
        `engines`, `limits.n_jobs`, `tags.gpu.max_jobs`.
    value, default : object
        JSON values; durations in seconds, sizes in bytes; secrets are masked. None: not set.
    text : str
        The value as `foldq.toml` has it; empty when there is none.
    source : {"flag", "environment", "file", "default"}
    place : str
        The flag, the variable, or the file and its line; empty for a default.
    """

    key: str
    value: Any
    default: Any
    text: str
    source: str
    place: str
    description: str


def fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting that has one place, by its key; tags' limits have as many as tags."""
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            for inner, inner_field in SECTIONS[name].model_fields.items():
                yield f"{name}.{inner}", inner_field
        elif name != "tags":
            yield name, field


def origins(spool: Path | str | None = None, **flags: Any) -> list[Origin]:
    """Return every setting, in the order of the documentation.

    Parameters
    ----------
    spool, **flags
        As for `Settings.load`.

    Raises
    ------
    InvalidSettings
    """
    settings = Settings.load(spool, **flags)
    path = settings.spool / FILE_NAME
    lines = lines_of(read_text(path))
    said = environment(os.environ)
    given = {name for name, value in {**flags, "spool": spool}.items() if value is not None}
    found = [(key, field, _at(settings, key.split("."))) for key, field in fields()]
    for tag, limits in settings.tags.items():
        for name, field in TagSettings.model_fields.items():
            found.append((f"tags.{tag}.{name}", field, getattr(limits, name)))
    listed = []
    for key, field, value in found:
        keys = tuple(key.split(".", 1)) if not key.startswith("tags.") else _tag_keys(key)
        source, place = "default", ""
        if keys[0] in given:
            source, place = "flag", "--" + keys[0].replace("_", "-")
        elif _says(said, keys):
            variables = variables_of(key)
            source = "environment"
            place = next((name for name in variables if name in _upper(os.environ)), variables[-1])
        elif keys in lines:
            source, place = "file", f"{path}, line {lines[keys]}"
        default = _plain(field.get_default(call_default_factory=True))
        plain = _masked(_plain(value))
        text = spelled(value, field)
        listed.append(
            Origin(key, plain, _masked(default), text, source, place, field.description or "")
        )
    return listed


def set_values(settings: Settings) -> dict[str, tuple[Any, str]]:
    """Return what is set otherwise than by default: JSON values, and how `foldq.toml` has them."""
    found = {}
    for key, field in fields():
        value = _at(settings, key.split("."))
        if value != field.get_default(call_default_factory=True):
            found[key] = (_masked(_plain(value)), spelled(value, field))
    for tag, limits in settings.tags.items():
        found[f"tags.{tag}"] = (_plain(limits), _toml(_plain(limits)))
    return found


def _tag_keys(key: str) -> tuple[str, ...]:
    tag, _, name = key.removeprefix("tags.").rpartition(".")
    return "tags", tag, name


def _upper(names: Mapping[str, str]) -> set[str]:
    return {name.upper() for name in names}


def unknown_variables() -> dict[str, str]:
    """Return variables of the environment that look like a setting's but are not: the nearest."""
    names = [PREFIX + key.upper().replace(".", "__") for key, _ in fields()]
    names += [PREFIX + section.upper() for section in (*SECTIONS, "tags")]
    return {
        variable: close
        for variable in sorted(os.environ)
        if variable.upper().startswith(PREFIX) and variable.upper() not in names
        if (close := nearest(variable, names, cutoff=0.85)) is not None
    }


def _says(said: Any, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(said, dict) or key not in said:
            return False
        said = said[key]
    return True


def _at(settings: BaseModel, keys: list[str]) -> Any:
    value: Any = settings
    for key in keys:
        value = getattr(value, key)
    return value


# --- how values are written ----------------------------------------------------------------------


def spelled(value: Any, field: FieldInfo) -> str:
    """Write a value as `foldq.toml` has it, secrets masked; an empty text for None."""
    if value is None:
        return ""
    if isinstance(value, ByteSize):
        return f'"{_size(value)}"'
    if isinstance(value, float) and _is_duration(field):
        return f'"{_duration(value)}"'
    return _toml(_masked(_plain(value)))


def default_text(key: str, field: FieldInfo) -> str:
    """Write the default of a setting as the documentation does; an empty text for none."""
    if key == "engines":
        return "one for each CPU"
    if key == "spool":
        return "./spool"
    return spelled(field.get_default(call_default_factory=True), field)


def _is_duration(field: FieldInfo) -> bool:
    def reads(validators: Any) -> bool:
        return any(getattr(validator, "func", None) is seconds for validator in validators)

    return reads(field.metadata) or any(
        reads(getattr(option, "__metadata__", ())) for option in get_args(field.annotation)
    )


def _duration(value: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if value >= length and value % length == 0:
            return f"{value / length:g}{unit}"
    return f"{value:g}s"


def _size(value: int) -> str:
    for unit, length in (
        ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 10**9), ("MB", 10**6),
    ):  # fmt: skip
        if value >= length and value % length == 0:
            return f"{value // length}{unit}"
    return f"{value}B"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if value is PydanticUndefined:
        return None
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_defaults=True)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _masked(value: Any) -> Any:
    """Return a plain value without the secrets of its hooks."""
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if not isinstance(value, dict) or "url" not in value:
        return value
    shown = Hook.model_validate({"url": value["url"]}).label
    if shown != value["url"]:
        shown += f"/{MASK}"
    masked = {**value, "url": shown}
    if "headers" in value:
        masked["headers"] = dict.fromkeys(value["headers"], MASK)
    return masked


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{_key(name)} = {_toml(item)}" for name, item in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}" if "." in f"{value:g}" else f"{value:.1f}"
    # TOML's basic strings are JSON's but for DEL, and true and false are the same.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    return name if bare else json.dumps(name)


# --- a file to start from ------------------------------------------------------------------------


def commented_file() -> str:
    """Return a `foldq.toml` in which every setting stands with its default, commented out."""
    said = [
        "# Settings of the scheduler on this spool. A key behind a `#` has its default, or where",
        "# there is none an example: take the `#` away to set it.",
        "# A flag beats the environment (FOLDQ_ENGINES, FOLDQ_LIMITS__N_JOBS), which beats this.",
    ]
    section = ""
    listed = [(key, field) for key, field in fields() if key != "spool"]
    for key, field in sorted(listed, key=lambda item: "." in item[0]):  # tables come last in TOML
        name = key.rpartition(".")[2]
        if "." in key and (table := key.partition(".")[0]) != section:
            section = table
            about = (SECTIONS[section].__doc__ or "").partition("\n")[0]
            about = about.removeprefix(f"`[{section}]`: ")
            said += ["", "", f"# {about[:1].upper()}{about[1:]}", f"[{section}]"]
        said += _shown(name, field)
    said += ["", "", "# What all jobs of one tag may use together.", "#[tags.gpu]"]
    for name, field in TagSettings.model_fields.items():
        said += _shown(name, field)
    return "\n".join(said) + "\n"


def _shown(name: str, field: FieldInfo) -> list[str]:
    default = field.get_default(call_default_factory=True)
    value, remark = default, ""
    if default in (None, [], {}) and field.examples:
        value, remark = field.examples[0], "  # an example; none by default"
        if default is not None:
            remark = "  # an example; empty by default"
    if name == "engines":
        remark = "  # the CPUs of this machine"
    about = wrap(field.description or "", 97, initial_indent="# ", subsequent_indent="# ")
    return ["", *about, f"#{name} = {spelled(value, field)}{remark}"]

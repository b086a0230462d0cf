"""What the operator decides: flags before environment before `SPOOL/foldq.toml` before defaults.

The environment is read here rather than with pydantic-settings, which each command would have to
import: with asyncio, a tenth or more of its processor time.
"""

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from schemas.durations import Duration
from schemas.explain import explain
from schemas.operating import Hook, HookSettings, LogSettings, MetricsSettings, Section
from schemas.problems import Problem
from schemas.sections import (
    CatalogSettings,
    ClusterSettings,
    Limits,
    ReportSettings,
    ShortcutSettings,
    TagSettings,
)
from schemas.tomllines import lines_of

#: Name of the settings file in the spool.
FILE_NAME = "foldq.toml"
#: What environment variables of foldq begin with.
PREFIX = "FOLDQ_"
_MAX_FILE_BYTES = 1 << 20


class InvalidSettings(ValueError):
    """The settings cannot be used; `problems` names each source and key."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Settings(BaseModel):
    """Settings of one scheduler and of the commands that read its spool."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    spool: Path = Field(default=Path("spool"), description="The spool directory.")
    engines: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=10_000,
        description="Engines of the local cluster; default: one for each CPU.",
    )
    poll: Duration = Field(default=0.2, description="Time between two looks at the spool.")
    settle: Duration = Field(
        default=1.0,
        description="Time for which a job file must stay the same before it is taken: a copy over "
        "a slow network pauses. A file that was renamed into its place need not wait.",
    )
    database: Path | None = Field(
        default=None,
        description="The records; default: foldq.db in the spool.",
        examples=["/var/lib/foldq/foldq.db"],
    )
    data_roots: list[Path] = Field(
        default=[],
        description="Directories besides SPOOL/data that job files may read from.",
        examples=[["/data/shared"]],
    )
    heartbeat: Annotated[int, Field(ge=50, le=60_000)] = Field(
        default=250, description="Milliseconds between two signs of life of an engine."
    )
    target_seconds: Duration = Field(default=0.4, description="Running time a batch aims at.")
    grace: Duration = Field(
        default=300.0, description="How long engines outlive a scheduler that died."
    )
    controller_timeout: Duration = Field(
        default=8.0,
        description="How long the controller may be silent before the cluster is replaced.",
    )
    engine_memory: Annotated[ByteSize, Field(ge=256 << 20)] | None = Field(
        default=None,
        description="Most memory that one engine may use, such as '4GB': beyond it a fit fails; "
        "default: 80 % of the machine's.",
        examples=["4GB"],
    )
    copy_stragglers: bool = Field(
        default=True,
        description="Try a fold that runs far longer than its peers on an idle engine too; the "
        "first result counts.",
    )
    shortcuts: ShortcutSettings = ShortcutSettings()
    synchronous: Literal["FULL", "NORMAL"] = Field(
        default="FULL", description="SQLite's care for power cuts."
    )
    catalog: CatalogSettings = CatalogSettings()
    limits: Limits = Limits()
    cluster: ClusterSettings = ClusterSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    hooks: HookSettings = HookSettings()
    tags: dict[str, TagSettings] = Field(
        default={},
        description="Limits that jobs share by a tag.",
        examples=[{"gpu": {"max_jobs": 1, "max_engines": 2}}],
    )
    report: ReportSettings = ReportSettings()

    @field_validator("data_roots", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        # As PATH does it: FOLDQ_DATA_ROOTS=/data:/more
        return (
            [part for part in value.split(os.pathsep) if part] if isinstance(value, str) else value
        )

    @property
    def database_path(self) -> Path:
        """Where the records lie."""
        return self.database if self.database is not None else self.spool / "foldq.db"

    @property
    def all_data_roots(self) -> tuple[Path, ...]:
        """Directories that `data.file` may lie in, the spool's own first."""
        return (self.spool / "data", *self.data_roots)

    @classmethod
    def load(cls, spool: Path | str | None = None, **flags: Any) -> "Settings":
        """Return the settings for a spool.

        Parameters
        ----------
        spool : path, optional
            The flag `--spool`. Default: `FOLDQ_SPOOL`, then `./spool`.
        **flags
            Fields that were given as flags; None means not given.

        Raises
        ------
        InvalidSettings
            Names the flag, the variable, or the file and its key.
        """
        given = {name: value for name, value in flags.items() if value is not None}
        place = spool_of(spool)
        if place.exists() and not place.is_dir():
            source = "--spool" if spool else f"{PREFIX}SPOOL"
            hint = "A spool is a directory, which foldq makes where there is none."
            raise InvalidSettings(
                [Problem(source, f"{place} is a file, not a directory.", hint=hint)]
            )
        text = read_text(place / FILE_NAME)
        written = _parsed(text, place / FILE_NAME)
        try:
            return cls.model_validate(
                _merged(written, environment(os.environ), given, {"spool": place})
            )
        except ValidationError as error:
            lines = lines_of(text)
            problems = explain(error, _models(written))
            raise InvalidSettings(_with_source(p, given, place, lines) for p in problems) from None


def spool_of(flag: Path | str | None) -> Path:
    """Return the spool that a flag names, else the environment; else ./spool."""
    return Path(flag or os.environ.get(PREFIX + "SPOOL") or "spool")


#: The tables of the settings, by name.
SECTIONS: dict[str, type[Section]] = {
    name: type(field.default)
    for name, field in Settings.model_fields.items()
    if isinstance(field.default, Section)
}


def _models(written: Mapping[str, Any]) -> dict[tuple[str, ...], type[BaseModel]]:
    """Return the model at each place of a file."""
    models: dict[tuple[str, ...], type[BaseModel]] = {(): Settings}
    models.update({(name,): model for name, model in SECTIONS.items()})
    tags = written.get("tags")
    models.update({("tags", tag): TagSettings for tag in (tags if isinstance(tags, dict) else ())})
    hooks = written.get("hooks")
    listed = hooks.get("job_ended") if isinstance(hooks, dict) else None
    for number in range(len(listed) if isinstance(listed, list) else 0):
        models["hooks", "job_ended", str(number)] = Hook
    return models


def variables_of(place: str) -> list[str]:
    """Return the environment variables that may set what lies at a place, the nearest first."""
    field = place.split(".")[0].split("[")[0]
    return [PREFIX + place.upper().replace(".", "__"), PREFIX + field.upper()]


def _with_source(
    problem: Problem, flags: Mapping[str, Any], spool: Path, lines: Mapping[tuple[str, ...], int]
) -> Problem:
    """Return the problem with the flag, the variable or the file that said the wrong thing."""
    field = problem.where.split(".")[0].split("[")[0]
    if field in flags:
        return replace(problem, where="--" + field.replace("_", "-"))
    for name in variables_of(problem.where) if field in Settings.model_fields else ():
        if name in os.environ:
            return replace(problem, where=name)
    keys = tuple(problem.where.split("[")[0].split("."))
    line = next((lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in lines), None)
    return replace(problem, where=f"{spool / FILE_NAME}: {problem.where}", line=line)


def environment(variables: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment says.

    `FOLDQ_ENGINES` is a setting, `FOLDQ_LIMITS__N_JOBS` one of a section. Whole sections, and
    settings that map names to values or list tables, are given as JSON.

    Raises
    ------
    InvalidSettings
    """
    found: dict[str, Any] = {}
    for variable, text in sorted(variables.items()):
        if not variable.upper().startswith(PREFIX):
            continue
        name, *inner = variable[len(PREFIX) :].lower().split("__", 1)
        if name not in Settings.model_fields:
            continue
        section = Settings.model_fields[name].default
        value: Any = text
        if isinstance(section, Section):
            is_json = not inner or isinstance(getattr(section, inner[0], None), (dict, list))
        elif is_json := isinstance(section, dict):
            if inner:  # names have letters of either case, and hyphens: no variable has
                message = f"One {name.rstrip('s')} cannot be set by a variable of its own."
                hint = f"All are given as JSON: {PREFIX}{name.upper()}='{{\"gpu\": {{…}}}}'."
                raise InvalidSettings([Problem(variable, message, hint=hint)])
        elif inner:
            continue
        if is_json:
            try:
                value = json.loads(text)
            except ValueError as error:
                message = f"What is set is not valid JSON: {error}."
                raise InvalidSettings([Problem(variable, message)]) from None
        found = _merged(found, {name: {inner[0]: value} if inner else value})
    return found


def _merged(*sources: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that the sources say: of two, the later one counts, in sections key by key."""
    merged: dict[str, Any] = {}
    for source in sources:
        for name, value in source.items():
            earlier = merged.get(name)
            if isinstance(earlier, dict) and isinstance(value, dict):
                value = _merged(earlier, value)
            merged[name] = value
    return merged


def read_text(path: Path) -> str:
    """Return the text of the settings file; nothing when there is none.

    Raises
    ------
    InvalidSettings
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
        if len(data) > _MAX_FILE_BYTES:
            raise ValueError("larger than 1 MiB")
        return data.decode()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        said = f"The file cannot be read: {error.strerror}."
    except ValueError as error:
        said = f"The file is not valid TOML: {error}."
    raise InvalidSettings([Problem(str(path), said)])


def _parsed(text: str, path: Path) -> dict[str, Any]:
    """Return what the settings file says."""
    try:
        written = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidSettings(
            [Problem(str(path), f"The file is not valid TOML: {error}.")]
        ) from None
    if "spool" in written:
        message = "The spool is not named by the file that lies in it."
        raise InvalidSettings([Problem(f"{path}: spool", message, hint="Use --spool.")])
    return written

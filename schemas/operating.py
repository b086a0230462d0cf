"""Settings of those who keep a scheduler running: its log, its metrics, its hooks."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, field_validator, model_validator

from schemas.durations import Duration
from schemas.explain import complaint
from schemas.problems import Problem, shown

Ending = Literal["completed", "failed", "cancelled"]


class Section(BaseModel):
    """A table of `foldq.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LogSettings(Section):
    """`[log]`: what the scheduler writes down of what it does."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is told; debug: every batch, every failed fold."
    )
    json_lines: bool = Field(
        default=True, description="Write logs/foldq.jsonl, a JSON object a line, for programs."
    )
    size: Annotated[ByteSize, Field(ge=10_000)] = Field(
        default=ByteSize(5_000_000), description="Size at which a file of the log is put aside."
    )
    kept: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=5, description="Files put aside that are kept, of each kind."
    )


class MetricsSettings(Section):
    """`[metrics]`: figures for Prometheus."""

    port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        default=None,
        description="Port of 127.0.0.1 at which they are given out; default: they are not.",
        examples=[9464],
    )


class Hook(Section):
    """What is called when a job ends: a command or a URL."""

    command: Annotated[list[str], Field(min_length=1)] | None = Field(
        default=None, description="A program and its arguments."
    )
    url: str | None = Field(default=None, description="An address that is sent the job.")
    headers: dict[str, str] = Field(default={}, description="Headers that a URL is sent.")
    on: Annotated[list[Ending], Field(min_length=1)] = Field(
        default=["completed", "failed", "cancelled"], description="The endings that it is for."
    )
    timeout: Duration | None = Field(default=None, description="How long one call may take.")

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise complaint(
                Problem("", "A hook is a command or a URL.", expected="one of command, url")
            )
        if self.headers and self.url is None:
            raise complaint(Problem("headers", "Only a URL is sent headers."))
        return self

    @field_validator("command")
    @classmethod
    def _is_a_program(cls, command: list[str] | None) -> list[str] | None:
        if command and (not command[0] or any("\0" in argument for argument in command)):
            raise complaint(
                Problem("", "That cannot be run.", given=shown(command), expected="a program first")
            )
        return command

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
            whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            whole = False
        if not whole or any(letter <= " " or letter > "~" for letter in url):
            # What was given is not repeated: it may hold a password.
            message = "This is no address that can be called."
            raise complaint(Problem("", message, expected="http://… or https://…"))
        return url

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        wrong = [
            Problem(name, "This is no header.", expected="a name and one line of text")
            for name, value in headers.items()
            if not name.isascii()
            or not name.replace("-", "").isalnum()
            or not (value.isascii() and value.isprintable())
        ]
        if wrong:
            raise complaint(*wrong)
        return headers

    @property
    def label(self) -> str:
        """What people read of it: nothing that may be secret.

        Of a URL that is the host: passwords stand before it, and tokens behind it. Of a command it
        is the program.
        """
        if self.url is None:
            assert self.command is not None
            return PurePosixPath(self.command[0]).name
        parts = urlsplit(self.url)
        port = "" if parts.port is None else f":{parts.port}"
        return f"{parts.scheme}://{parts.hostname}{port}"


class HookSettings(Section):
    """`[hooks]`: what is called when something has happened."""

    job_ended: list[Hook] = Field(
        default=[],
        description="Commands and URLs that are called when a job has ended.",
        examples=[[{"command": ["/usr/local/bin/job-ended"], "on": ["failed"]}]],
    )
    timeout: Duration = Field(
        default=30.0, description="How long one call may take, unless the hook says otherwise."
    )
    attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=8, description="How often a call is tried before it is given up."
    )
    backoff: Duration = Field(
        default=10.0,
        description="Time before the second try; it doubles with each further one, up to an hour.",
    )

    @field_validator("job_ended", mode="before")
    @classmethod
    def _are_tables(cls, hooks: object) -> object:
        if isinstance(hooks, list):
            for number, hook in enumerate(hooks):
                if not isinstance(hook, (Mapping, Hook)):
                    raise complaint(
                        Problem(
                            f"[{number}]",
                            "A hook is a table.",
                            expected='{command = ["program", "argument"]} or {url = "https://…"}',
                        )
                    )
        return hooks

"""What a person may set while searches run: of a job, and of all jobs of a tag."""

from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.explain import complaint, explain
from schemas.job import Most, Priority, Tags
from schemas.problems import Problem

T = TypeVar("T", bound="_Changes")


class InvalidChange(ValueError):
    """What is to be set cannot be; `problems` names each key."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class _Changes(BaseModel):
    """Keys that are not given stay as they are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set:
            keys = ", ".join(type(self).model_fields)
            raise complaint(Problem("", "Nothing is to be set.", expected=f"one or more of {keys}"))
        return self

    @classmethod
    def read(cls: type[T], given: dict[str, Any]) -> T:
        """Check what is given.

        Raises
        ------
        InvalidChange
        """
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            raise InvalidChange(explain(error, {(): cls})) from None

    @property
    def given(self) -> dict[str, Any]:
        """Return the keys that are to be set, with their values."""
        return self.model_dump(exclude_unset=True)


class JobChanges(_Changes):
    """What may be set of a job that has not ended."""

    priority: Priority = Field(default=0, description="Jobs of higher priority are done first.")
    max_engines: Most | None = Field(
        default=None, description="Most engines that work for this job at once."
    )
    tags: Tags = Field(default=[], description="Words to find the job by, and to limit it.")


class TagChanges(_Changes):
    """What the jobs of one tag may use together."""

    max_jobs: Most | None = Field(
        default=None, description="Most jobs of this tag at work at once; the others wait."
    )
    max_engines: Most | None = Field(
        default=None, description="Most engines that work for jobs of this tag at once."
    )

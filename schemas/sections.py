"""The tables of `foldq.toml` that say how searches run: names, limits, shortcuts, tags, cluster."""

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self

from pydantic import ByteSize, Field, field_validator, model_validator

from schemas.durations import Duration
from schemas.explain import complaint
from schemas.operating import Section
from schemas.problems import Problem, shown

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class CatalogSettings(Section):
    """Names that job files may use besides scikit-learn's own."""

    estimators: dict[str, str] = Field(
        default={},
        description="Estimators by name: where Python finds the class.",
        examples=[{"LGBMClassifier": "lightgbm.LGBMClassifier"}],
    )

    @field_validator("estimators")
    @classmethod
    def _spelled_exactly(cls, estimators: dict[str, str]) -> dict[str, str]:
        problems = [
            Problem(name, message, given=shown(path), expected=expected)
            for name, path in estimators.items()
            for message, expected, fits in (
                ("The name is not an identifier.", "letters, digits and _", name.isidentifier()),
                ("The class is named by module and name.", "module.Class", _DOTTED.fullmatch(path)),
            )
            if not fits
        ]  # fmt: skip
        if problems:
            raise complaint(*problems)
        return estimators


class Limits(Section):
    """How much one job file may ask for."""

    n_jobs: int = Field(default=1, ge=1, description="Largest n_jobs of any object.")
    candidates: int = Field(default=1_000_000, ge=1, description="Most candidates of one search.")
    fits: int = Field(
        default=5_000_000, ge=1, description="Most candidates × splits, where both are known."
    )
    file_bytes: int = Field(default=1 << 20, ge=1024, description="Largest job file, in bytes.")
    made_values: int = Field(
        default=50_000_000, ge=1, description="Most numbers in a data set that make_* makes."
    )


class ShortcutSettings(Section):
    """`[shortcuts]`: what engines leave out because an earlier fold did it. No number changes."""

    data: bool = Field(
        default=True, description="Keep the parts of a split between the folds of a search."
    )
    checks: bool = Field(
        default=True,
        description="Check parameters once for a candidate, finiteness once for a data set.",
    )
    prefixes: bool = Field(
        default=True,
        description="Fit the first steps of a pipeline once for all candidates that share them.",
    )
    forests: bool = Field(
        default=True,
        description="Grow one forest through candidates that differ only in their number of trees.",
    )
    memory: Annotated[ByteSize, Field(ge=0)] = Field(
        default=ByteSize(256 << 20),
        description="Most memory of one engine for all this, such as '1GiB'.",
    )


class TagSettings(Section):
    """`[tags.NAME]`: what the jobs of one tag may use together. `foldq set` goes before it."""

    max_jobs: int | None = Field(
        default=None,
        ge=1,
        description="Most jobs of this tag at work at once; the others wait.",
        examples=[1],
    )
    max_engines: int | None = Field(
        default=None,
        ge=1,
        description="Most engines that work for jobs of this tag at once.",
        examples=[2],
    )


class ReportSettings(Section):
    """`[report]`: the page that each search leaves in its results."""

    automatic: bool = Field(
        default=True, description="Write report.html when a job has ended, at the lowest priority."
    )
    timeout: Duration = Field(default=300.0, description="Most time for one page.")
    catch_up: int = Field(
        default=20,
        ge=0,
        description="Most pages that are missing and written after the start of a scheduler.",
    )


class ClusterSettings(Section):
    """Where engines come from. Empty: local engines of the scheduler's own."""

    connection_file: Path | None = Field(
        default=None,
        description="ipcontroller-client.json of a running cluster.",
        examples=["/home/you/.ipython/profile_default/security/ipcontroller-client.json"],
    )
    profile: str | None = Field(
        default=None, description="IPython profile of a running cluster.", examples=["default"]
    )
    cluster_id: str | None = Field(
        default=None,
        description="Id of a running cluster, within its profile.",
        examples=["tuesday"],
    )
    listen: str = Field(
        default="127.0.0.1",
        description="Address at which the scheduler's own controller listens; 0.0.0.0: all.",
    )
    curve: bool | None = Field(
        default=None,
        description="Encrypt and authenticate the cluster's connections (CurveZMQ); default: when "
        "the controller listens beyond this machine.",
        examples=[True],
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        joins = self.profile is not None or self.cluster_id is not None
        named = {
            "connection_file": self.connection_file is not None,
            "profile or cluster_id": joins,
        }
        if sum(named.values()) > 1:
            raise complaint(
                Problem(
                    "",
                    "Engines come from one source only.",
                    given=" and ".join(name for name, given in named.items() if given),
                    hint="connection_file says where the controller is; so do profile and "
                    "cluster_id.",
                )
            )
        return self

    @property
    def uses_curve(self) -> bool:
        """Whether the scheduler's own cluster encrypts its connections."""
        return self.is_exposed if self.curve is None else self.curve

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can reach the scheduler's own controller."""
        return not _is_loopback(self.listen)

    @property
    def is_running(self) -> bool:
        """Whether a cluster that someone else started is to be joined."""
        return any((self.connection_file, self.profile, self.cluster_id))


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"

"""The spool that `foldq doctor` looks at, and what its checks find."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from schemas.settings import InvalidSettings, Settings
from service.lock import Holder, holder

Verdict = Literal["ok", "warning", "critical"]

MEBI = 1 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    subsystem : str
        What was looked at, in a word or two.
    verdict : {"ok", "warning", "critical"}
    told : str
        What is the case.
    fix : str or None
        What to do about it.
    """

    subsystem: str
    verdict: Verdict
    told: str
    fix: str | None = None


@dataclass
class Notes:
    """Collects what a check sees, and makes one finding of it: the worst decides."""

    troubles: list[tuple[Verdict, str, str | None]] = field(default_factory=list)

    def warn(self, told: str, fix: str | None = None) -> None:
        """Note what somebody should look at."""
        self.troubles.append(("warning", told, fix))

    def fail(self, told: str, fix: str | None = None) -> None:
        """Note what has to be put right."""
        self.troubles.append(("critical", told, fix))

    def finding(self, subsystem: str, otherwise: str) -> Finding:
        """Give the finding; `otherwise` says what is the case when nothing was noted."""
        if not self.troubles:
            return Finding(subsystem, "ok", otherwise)
        # The worst first, each in the order in which it was noted.
        troubles = sorted(self.troubles, key=lambda trouble: trouble[0] != "critical")
        fixes = dict.fromkeys(fix for _, _, fix in troubles if fix)
        told = "; ".join(told for _, told, _ in troubles)
        return Finding(subsystem, troubles[0][0], told, "; ".join(fixes) or None)


class Patient:
    """The spool that is looked at.

    Parameters
    ----------
    spool : Path or None
        As given on the command line.
    """

    def __init__(self, spool: Path | None):
        self.settings_problem: InvalidSettings | None = None
        try:
            self.settings = Settings.load(spool)
        except InvalidSettings as error:
            self.settings_problem = error
            place = Path(spool or os.environ.get("FOLDQ_SPOOL") or "spool")
            self.settings = Settings.model_construct(spool=place)

    @property
    def spool(self) -> Path:
        """Where the spool lies, or would lie."""
        return self.settings.spool

    @property
    def database(self) -> Path:
        """Where the records lie, or would lie."""
        return self.settings.database_path

    @cached_property
    def holder(self) -> Holder | None:
        """Who holds the spool."""
        return holder(self.spool)

    @property
    def n_engines(self) -> int:
        """Engines that a scheduler of these settings starts on this machine."""
        return 0 if self.settings.cluster.is_running else self.settings.engines

"""Files that arrive in `incoming/`, taken in: jobs for the core, and what the log says of each."""

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from service import spool
from service.dossier import Dossiers
from service.logs import about
from service.stimuli import Stimulus
from service.store import Store
from service.troubles import Troubles

log = logging.getLogger("foldq")

#: Seconds of one turn that may go into admitting files.
ADMISSION_SECONDS = 0.25


class Arrivals:
    """Takes files in, a turn's worth at a time.

    Parameters
    ----------
    intake : service.spool.Intake
    store : Store
    dossiers : Dossiers
    troubles : Troubles
    """

    def __init__(
        self, intake: spool.Intake, store: Store, dossiers: Dossiers, troubles: Troubles
    ) -> None:
        self._intake = intake
        self._store = store
        self._dossiers = dossiers
        self._troubles = troubles

    def take(self, now: float) -> Iterator[Stimulus]:
        """Take in the files that are complete, until time is up.

        Parameters
        ----------
        now : float
            When the turn began (monotonic seconds).
        """
        names: list[str] = []
        with self._troubles.noting("files", "incoming/ cannot be read", "incoming"):
            names = self._intake.ready(now)
            self._troubles.keep("files", "incoming/", self._intake.waiting)
        for name in names:
            taken: spool.Admitted | spool.Refused | None = None
            with self._troubles.noting("files", f"incoming/{name} stays", f"incoming/{name}"):
                taken = self._intake.take(name, now)
            if isinstance(taken, spool.Admitted) and taken.stays is not None:
                told = f"{taken.name} is job {taken.admission.job_id}, but stays in incoming/"
                with self._troubles.noting("files", told, f"incoming/{name}"):
                    raise taken.stays
            match taken:
                case spool.Admitted(shown, admission) if admission.is_new:
                    facts = about("job admitted", job=admission.job_id, file=shown)
                    log.info("job %d admitted: %s", admission.job_id, shown, extra=facts)
                    yield self._dossiers.admission(admission.job_id)
                case spool.Admitted(shown, admission) if taken.is_first:
                    facts = about("submitted again", job=admission.job_id, file=shown)
                    log.info("%s is job %d already", shown, admission.job_id, extra=facts)
                    self._store.note(
                        "submitted again",
                        f"{shown} came again, the same to the letter",
                        datetime.now(UTC),
                        job_id=admission.job_id,
                    )
                case spool.Refused(shown, problems):
                    more = f" … and {len(problems) - 1} more" if len(problems) > 1 else ""
                    facts = about("file refused", file=shown, n_problems=len(problems))
                    log.warning("%s refused: %s%s", shown, problems[0], more, extra=facts)
            if time.monotonic() - now > ADMISSION_SECONDS:
                return

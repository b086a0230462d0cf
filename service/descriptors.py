"""File descriptors: as many as the system allows, and a word when those are too few."""

import logging
import resource
from contextlib import suppress

log = logging.getLogger("foldq")

#: Open files of the controller, which has most, and how many more with each engine: 107 and 6 were
#: counted.
_BASE = 160
_EACH_ENGINE = 8


def raise_limit(n_engines: int) -> None:
    """Raise the soft limit on open files to the hard one, for this process and all it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # What is above the system's own bound (fs.nr_open) is refused; then it stays as it was.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    needed = _BASE + _EACH_ENGINE * n_engines
    if soft != resource.RLIM_INFINITY and soft < needed:
        log.warning(
            "%d open files are allowed, and %d engines may need %d: engines may fail to join. "
            "Raise the limit (ulimit -Hn, LimitNOFILE= of systemd), or start fewer: --engines",
            soft,
            n_engines,
            needed,
        )

"""The numbers by which the scheduler core decides."""

from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class Policy:
    """The core's numbers.

    Attributes
    ----------
    batch_seconds : float
        Running time a batch aims at: long enough that dispatch costs little, short enough that
        little is lost with an engine.
    window : int
        Batches in flight per engine: one running, the rest waiting so that it never idles.
    max_batch : int
        Folds in one batch at most.
    ending_folds : float
        So many of the dearest folds each engine has before it when a search begins to end.
    lead_seconds : float
        Then a batch waits only behind one that is over in so many seconds: until that moment it is
        open to whichever engine is free first.
    page : int
        Fold tasks of one job held in memory; more are read when half of them are gone.
    kill_grace : float
        Seconds past a time limit before the engine is ended: the engine's own timer comes first.
    cancel_grace : float
        Seconds an interrupted engine has to stop working for a job that was given up.
    disk_backoff : float
        Seconds before a prepare or refit task is sent again that found no room, or no right, to
        write; doubles up to `disk_backoff_max` while that stays so.
    respawn_backoff : float
        Seconds before a replacement is started when engines keep dying without finishing a batch;
        doubles up to `respawn_backoff_max`. The first replacement starts at once.
    crash_losses : int
        Engines that may die in a row, with nothing finished anywhere, before dispatch stops.
    proof_seconds : float
        Seconds an engine has to stay alive before dispatch goes on after such a stop; doubles with
        each further one, up to `proof_seconds_max`, until something is finished.
    copy_stragglers : bool
        Whether stragglers are tried on idle engines too.
    straggler_factor, straggler_seconds : float
        A batch is a straggler, to be tried on an idle engine too, once it has run for so many times
        what its folds may cost by their peers, and for so many seconds at least.
    straggler_siblings, straggler_peers : int
        Finished folds of the same candidate, or else of the same job, from which that is known.
    straggler_memory : int
        Candidates of one job of which it is kept.
    straggler_share : float
        Copies of one job that may be out at a time, as a share of the engines; one may always be.
    """

    batch_seconds: float = 0.25
    window: int = 2
    max_batch: int = 500
    ending_folds: float = 3.0
    lead_seconds: float = 0.15
    page: int = 4000
    kill_grace: float = 1.0
    cancel_grace: float = 5.0
    disk_backoff: float = 5.0
    disk_backoff_max: float = 60.0
    respawn_backoff: float = 1.0
    respawn_backoff_max: float = 60.0
    crash_losses: int = 3
    proof_seconds: float = 5.0
    proof_seconds_max: float = 60.0
    copy_stragglers: bool = True
    straggler_factor: float = 3.0
    straggler_seconds: float = 2.0
    straggler_siblings: int = 2
    straggler_peers: int = 3
    straggler_memory: int = 1000
    straggler_share: float = 0.1

    def batch_room(self, seconds_left: float | None, n_engines: int) -> float:
        """Return the seconds that the next batch may take; fewer towards the end, to end together.

        Parameters
        ----------
        seconds_left : float or None
            What the job's folds should take that are still to be sent, if that is known.
        n_engines : int
            Engines that the job may use.
        """
        if seconds_left is None:
            return self.batch_seconds
        return min(self.batch_seconds, seconds_left / (self.window * max(n_engines, 1)))

    def is_ending(self, seconds_left: float, dearest: float, n_engines: int) -> bool:
        """Tell whether so little is left of a job that the order of its folds matters.

        From the moment on at which each engine has so many of the dearest folds before it, the
        dearest go first, and the cheap ones fill what gaps there are at the end.
        """
        each = max(self.window * self.batch_seconds, self.ending_folds * dearest)
        return seconds_left <= n_engines * each

    def max_copies(self, n_engines: int) -> int:
        """Return how many copies of stragglers one job may have out at a time."""
        return max(1, int(self.straggler_share * n_engines))

    def respawn_seconds(self, losses_in_a_row: int) -> float:
        """Return how long to wait before another engine is started."""
        if losses_in_a_row <= 1:
            return 0.0
        return _doubled(self.respawn_backoff, losses_in_a_row - 2, self.respawn_backoff_max)

    def disk_seconds(self, n_before: int) -> float:
        """Return how long a task waits for the disk that waited `n_before` times already."""
        return _doubled(self.disk_backoff, n_before, self.disk_backoff_max)

    def proof_wait(self, n_before: int) -> float:
        """Return how long an engine has to live after dispatch stopped `n_before` times already."""
        return _doubled(self.proof_seconds, n_before, self.proof_seconds_max)


def _doubled(seconds: float, times: int, most: float) -> float:
    return float(min(seconds * 2.0 ** min(times, 30), most))


def backoff_seconds(retry_backoff: float, n_attempts: int, task_id: int) -> float:
    """Seconds to wait before attempt `n_attempts + 1`: doubling, with up to 25 % jitter.

    The jitter is drawn from the task's own number, so that tasks that failed together do not come
    back together and the core still gives the same answer every time.
    """
    spread = sha256(f"{task_id}:{n_attempts}".encode()).digest()[0] / 255
    return float(retry_backoff * 2 ** (n_attempts - 1) * (1 + 0.25 * spread))

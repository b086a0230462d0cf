"""What folds cost, learnt from those that came back."""

from collections import OrderedDict
from dataclasses import dataclass, field

from service.policy import Policy
from service.stimuli import Task


@dataclass(slots=True)
class FoldCost:
    """What a fold of a job costs on the whole.

    An exponential mean, so that it follows a search whose later candidates are dearer.
    """

    seconds: float | None = None
    #: Share of the newest batch in the mean.
    weight: float = 0.4

    def learn(self, seconds_per_fold: float) -> None:
        """Take one batch's mean seconds per fold into account."""
        if self.seconds is None:
            self.seconds = seconds_per_fold
        else:
            self.seconds += self.weight * (seconds_per_fold - self.seconds)


@dataclass(slots=True)
class CostClass:
    """Folds that should cost about the same: how many are finished, and the slowest's seconds."""

    n: int = 0
    slowest: float = 0.0

    def learn(self, seconds: float) -> None:
        """Take one more finished fold into account."""
        self.n += 1
        self.slowest = max(self.slowest, seconds)


@dataclass(slots=True)
class Peers:
    """What single folds of a job may cost: as much as the slowest of their class did.

    A class is the folds of one candidate on other splits; until enough of these are finished it is
    all folds of the job on as many resources. Of candidates, only the latest are kept.
    """

    _candidates: OrderedDict[int, CostClass] = field(default_factory=OrderedDict)
    _everyone: dict[int | None, CostClass] = field(default_factory=dict)

    def learn(self, task: Task, seconds: float, policy: Policy) -> None:
        """Take a finished fold into account."""
        self._everyone.setdefault(task.n_resources, CostClass()).learn(seconds)
        if task.candidate_id is not None:
            self._candidates.setdefault(task.candidate_id, CostClass()).learn(seconds)
            self._candidates.move_to_end(task.candidate_id)
            if len(self._candidates) > policy.straggler_memory:
                self._candidates.popitem(last=False)

    def seconds(self, task: Task, policy: Policy) -> float | None:
        """Return what this fold may cost; None while too few of its peers are finished."""
        if task.candidate_id is not None:
            siblings = self._candidates.get(task.candidate_id)
            if siblings is not None and siblings.n >= policy.straggler_siblings:
                return siblings.slowest
        everyone = self._everyone.get(task.n_resources)
        if everyone is not None and everyone.n >= policy.straggler_peers:
            return everyone.slowest
        return None

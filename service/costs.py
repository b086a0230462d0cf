"""What folds cost, learnt from those that came back."""

from collections import OrderedDict
from dataclasses import dataclass, field

from service.policy import Policy
from service.stimuli import Task

#: Share of what came last in a mean: it follows a search whose later candidates are dearer.
_WEIGHT = 0.4

#: Seconds beside its fit and score that any fold may take.
_BESIDE = 0.02

#: First batches of a job of which the cheapest tells the most: in these engines open the data.
_COLD = 3


@dataclass(slots=True)
class CostClass:
    """Folds that should cost about the same.

    Attributes
    ----------
    n : int
        How many are finished.
    slowest : float
        Seconds that the slowest of them takes where nothing of it was done before, with all that
        its batch took beside.
    seconds : float
        What one takes, on the mean. Where engines were spared a part of some of them, of these: the
        others pay for what is shared, once.
    is_spared : bool
        Whether a part of some was spared.
    """

    n: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    is_spared: bool = False

    def learn(self, seconds: float, spared: float, at_most: float) -> None:
        """Take one more finished fold into account, which took `seconds` and was spared more."""
        if at_most > self.slowest:
            self.slowest = at_most
        if self.n == 0 or (spared > 0 and not self.is_spared):
            self.seconds, self.is_spared = seconds, spared > 0
        elif spared > 0 or not self.is_spared:
            self.seconds += _WEIGHT * (seconds - self.seconds)
        self.n += 1


@dataclass(slots=True)
class Costs:
    """What single folds of a job cost: what the same candidate did on other splits, else the mean.

    Of candidates, only the latest are kept.

    Attributes
    ----------
    seconds : float or None
        What a fold takes on the whole, as the newest batches tell.
    dearest : float
        The most that the fit and score of one took.
    start : float
        Seconds of a fold that engines are spared where they did the shared part before.
    """

    seconds: float | None = None
    dearest: float = 0.0
    start: float = 0.0
    n_batches: int = 0
    _candidates: OrderedDict[int, CostClass] = field(default_factory=OrderedDict)
    _everyone: dict[int | None, CostClass] = field(default_factory=dict)

    def learn(self, task: Task, alone: float, beside: float, spared: float, policy: Policy) -> None:
        """Take a finished fold into account.

        Parameters
        ----------
        alone, beside : float
            Seconds of its fit and score, and its share of what its batch took beside.
        spared : float
            Seconds of its fit that were not spent.
        """
        if alone > self.dearest:
            self.dearest = alone
        if spared > 0:
            self.start += _WEIGHT * (spared - self.start)
        seconds = alone + _usual(alone, beside)
        at_most = alone + beside + spared
        everyone = self._everyone.get(task.n_resources)
        if everyone is None:
            everyone = self._everyone[task.n_resources] = CostClass()
        everyone.learn(seconds, spared, at_most)
        if task.candidate_id is not None:
            candidate = self._candidates.pop(task.candidate_id, None) or CostClass()
            candidate.learn(seconds, spared, at_most)
            self._candidates[task.candidate_id] = candidate
            if len(self._candidates) > policy.straggler_memory:
                self._candidates.popitem(last=False)

    def learn_batch(self, alone: float, beside: float) -> None:
        """Take one batch into account: a fold's mean seconds of fit and score, and beside these."""
        self.n_batches += 1
        seconds = alone + _usual(alone, beside)
        if self.seconds is None:
            self.seconds = seconds
        elif self.n_batches <= _COLD:  # what engines do once, at the beginning, costs no fold
            self.seconds = min(self.seconds, seconds)
        else:
            self.seconds += _WEIGHT * (seconds - self.seconds)

    def knows(self, task: Task) -> bool:
        """Whether the same candidate was seen on another split."""
        return task.candidate_id in self._candidates

    def estimate(self, task: Task) -> float | None:
        """Return what this fold should take; None while no fold of the job came back."""
        siblings = self._candidates.get(task.candidate_id or 0)
        return self.seconds if siblings is None else siblings.seconds

    def at_most(self, task: Task, policy: Policy) -> float | None:
        """Return what this fold may take, by its slowest peers; None while too few are finished.

        Its peers are the folds of its candidate on other splits; until enough of these are finished
        they are all folds of the job on as many resources.
        """
        siblings = self._candidates.get(task.candidate_id or 0)
        if siblings is not None and siblings.n >= policy.straggler_siblings:
            return siblings.slowest
        everyone = self._everyone.get(task.n_resources)
        if everyone is not None and everyone.n >= policy.straggler_peers:
            return everyone.slowest
        return None


def _usual(alone: float, beside: float) -> float:
    """Return of what a fold took beside its fit and score as much as others may take too.

    More than that is an engine's beginning: it imports what it needs, and opens the data.
    """
    return beside if beside <= _BESIDE or beside <= alone else max(alone, _BESIDE)

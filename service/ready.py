"""The folds of one job that may go out now, by what they share: which of them an engine gets next.

An engine keeps to its group of folds while that has some and while a batch of the job is out
there. Then it takes a group that nobody has: the one it had last, or the one that shares the most
with it, or else the one with the most work. When all are taken it joins the group with the most
work left for each of its engines, where that takes longer than to begin there anew. Nobody joins a
chain.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice

from service.costs import Costs
from service.sharing import Group, Share, Sharing
from service.stimuli import Task

#: Groups looked at for the one with the most work: estimates move while groups wait.
_LOOKED_AT = 16

#: What goes first: chains of unknown cost, then what has the most work.
_UNKNOWN, _BY_WORK = 0, 1

#: Folds of a long group by which its work is estimated.
_SAMPLE = 8


@dataclass(slots=True, eq=False)
class Folds:
    """Folds that share what can be shared, and the engines that are at them."""

    key: Group
    number: int
    chained: bool
    tasks: deque[Task] = field(default_factory=deque)
    engines: set[int] = field(default_factory=set)
    is_sorted: bool = False
    #: Of its entry in a heap that counts.
    stamp: int = 0

    def heads(self) -> Iterator[Group]:
        """Yield what it shares with neighbours, the most first."""
        return (self.key[:n] for n in range(len(self.key) - 1, 0, -1))


#: A group's place among others: the smaller goes first. Then its number and its entry's stamp.
_Entry = tuple[tuple[int, float], int, int, Folds]


class Ready:
    """The folds of one job that may go out now.

    Parameters
    ----------
    sharing : Sharing
        Tells what folds share.
    costs : Costs
        What they cost.
    """

    def __init__(self, sharing: Sharing, costs: Costs):
        self._sharing = sharing
        self._costs = costs
        self._groups: dict[Group, Folds] = {}
        self._at: dict[int, Folds] = {}
        self._last: dict[int, Group] = {}
        self._free: list[_Entry] = []
        self._taken: list[_Entry] = []
        self._by_head: dict[Group, OrderedDict[Folds, None]] = {}
        self._n_tasks = 0
        self._n_groups = 0
        # Chains begun with a candidate of which nothing is known.
        self._n_tried: dict[int | None, int] = {}

    def __len__(self) -> int:
        return self._n_tasks

    def add(self, tasks: Iterable[Task]) -> None:
        """Take in folds, to go out in their order within their groups."""
        touched: dict[Folds, None] = {}
        for task in tasks:
            share = self._share(task)
            folds = self._group(share)
            if share.chained:
                _insert_by_rank(folds.tasks, task)
            else:
                folds.tasks.append(task)
                folds.is_sorted = False
            touched[folds] = None
            self._n_tasks += 1
        for folds in touched:
            self._file(folds)

    def put_back(self, task: Task) -> None:
        """Take in a fold that was out, to go out before the others of its group."""
        share = self._share(task)
        folds = self._group(share)
        if share.chained:
            _insert_by_rank(folds.tasks, task)
        else:
            folds.tasks.appendleft(task)
        self._n_tasks += 1
        self._file(folds)

    def has_own(self, engine_id: int) -> bool:
        """Whether the group at which this engine is has folds."""
        folds = self._at.get(engine_id)
        return folds is not None and bool(folds.tasks)

    def is_in_chain(self, engine_id: int) -> bool:
        """Whether the next folds for this engine are for no other one."""
        folds = self._at.get(engine_id)
        return folds is not None and folds.chained and bool(folds.tasks)

    @property
    def has_for_anyone(self) -> bool:
        """Whether there is something for an engine that is at none of the groups."""
        if _has_entry(self._free):
            return True
        if self._costs.start <= 0.0:
            return _has_entry(self._taken)
        return self._joinable() is not None

    def take(
        self, engine_id: int, seconds: float, most: int, *, dearest_first: bool = False
    ) -> tuple[list[Task], float | None]:
        """Remove and return the folds of an engine's next batch, and what they should take.

        Parameters
        ----------
        seconds : float
            What they may take together; one goes out in any case, and only one whose cost nobody
            knows.
        most : int
            How many they may be.
        dearest_first : bool
            Whether the order within a group is that of the costs, for engines to end together.

        Returns
        -------
        tasks : list of Task
        seconds : float or None
            None where the cost is not known.
        """
        taken: list[Task] = []
        total = 0.0
        while len(taken) < most:
            folds = self._next_for(engine_id, may_join=not taken)
            if folds is None:
                break
            if dearest_first and not folds.chained and not folds.is_sorted:
                self._sort(folds)
            if taken and not self._fits(folds.tasks[0], total, seconds):
                break
            if self._at.get(engine_id) is not folds:
                self._attach(engine_id, folds)
            while folds.tasks and len(taken) < most:
                if taken and not self._fits(folds.tasks[0], total, seconds):
                    return taken, total
                task = folds.tasks.popleft()
                self._n_tasks -= 1
                taken.append(task)
                if (estimate := self._costs.estimate(task)) is None:
                    return taken, None
                total += estimate
        return taken, total

    def detach(self, engine_id: int) -> None:
        """Take note that nothing of the job is at this engine any more."""
        if (folds := self._at.pop(engine_id, None)) is not None:
            folds.engines.discard(engine_id)
            self._file(folds)

    # --- groups --------------------------------------------------------------------------------

    def _share(self, task: Task) -> Share:
        if task.share is None:
            task.share = self._sharing.of(task.params or {}, task.split, task.n_resources)
        return task.share

    def _group(self, share: Share) -> Folds:
        folds = self._groups.get(share.group)
        if folds is None:
            self._n_groups += 1
            folds = self._groups[share.group] = Folds(share.group, self._n_groups, share.chained)
        return folds

    def _attach(self, engine_id: int, folds: Folds) -> None:
        self.detach(engine_id)
        if not folds.engines:
            self._unlist(folds)
            if folds.chained:
                candidate = folds.tasks[0].candidate_id
                self._n_tried[candidate] = self._n_tried.get(candidate, 0) + 1
        folds.engines.add(engine_id)
        self._at[engine_id] = folds
        self._last[engine_id] = folds.key
        self._file(folds)

    def _file(self, folds: Folds) -> None:
        """Put a group where it is found: among those that are free, or those that can be joined."""
        folds.stamp += 1  # what was filed before counts no more
        if not folds.tasks:
            if not folds.engines:
                self._groups.pop(folds.key, None)
                self._unlist(folds)
            return
        if folds.engines:
            if not folds.chained:
                self._push(self._taken, folds)
            return
        self._push(self._free, folds)
        if not folds.chained:
            for head in folds.heads():
                self._by_head.setdefault(head, OrderedDict())[folds] = None

    def _push(self, heap: list[_Entry], folds: Folds) -> None:
        heappush(heap, (self._place(folds), folds.number, folds.stamp, folds))
        if len(heap) > _LOOKED_AT + 4 * len(self._groups):  # most of it counts no more
            heap[:] = [entry for entry in heap if entry[2] == entry[3].stamp]
            heapify(heap)

    def _unlist(self, folds: Folds) -> None:
        for head in folds.heads():
            if (neighbours := self._by_head.get(head)) is not None:
                neighbours.pop(folds, None)
                if not neighbours:
                    del self._by_head[head]

    def _next_for(self, engine_id: int, *, may_join: bool) -> Folds | None:
        folds = self._at.get(engine_id)
        if folds is not None and folds.tasks:
            return folds
        last = self._last.get(engine_id)
        if last is not None:
            folds = self._groups.get(last)
            if folds is not None and folds.tasks and not (folds.chained and folds.engines):
                return folds
            for n in range(len(last) - 1, 0, -1):
                if (neighbours := self._by_head.get(last[:n])) is not None:
                    return next(iter(neighbours))
        folds = self._most_work(self._free)
        if folds is None and may_join:
            folds = self._joinable()
        return folds

    def _joinable(self) -> Folds | None:
        folds = self._most_work(self._taken)
        if folds is None:
            return None
        # Who joins does once more what its engines share already: worth it if they would need
        # longer for all that is left.
        start = self._costs.start if len(folds.key) > 1 else 0.0
        if start <= 0.0 or self._work(folds) / len(folds.engines) > start:
            return folds
        return None

    # --- work ----------------------------------------------------------------------------------

    def _most_work(self, heap: list[_Entry]) -> Folds | None:
        """Return the group of the heap that goes first, by what is known now."""
        for _ in range(_LOOKED_AT):
            if not _has_entry(heap):
                return None
            place, number, stamp, folds = heap[0]
            now = self._place(folds)
            if now <= place or (now[0] == place[0] == _BY_WORK and now[1] <= 0.9 * place[1]):
                return folds  # still about what it was filed for
            heapreplace(heap, (now, number, stamp, folds))
        return heap[0][3] if _has_entry(heap) else None

    def _place(self, folds: Folds) -> tuple[int, float]:
        """Return its place: chains of unknown cost first, each of another kind; then most work."""
        if folds.chained and not self._costs.knows(folds.tasks[0]):
            return _UNKNOWN, self._n_tried.get(folds.tasks[0].candidate_id, 0)
        return _BY_WORK, -self._work(folds) / (len(folds.engines) + 1)

    def _work(self, folds: Folds) -> float:
        """Return the seconds that a group should take."""
        n_folds = len(folds.tasks)
        if n_folds <= _SAMPLE or folds.chained:
            return sum(map(self._seconds, folds.tasks))
        half = _SAMPLE // 2
        sample = [*islice(folds.tasks, half), *islice(reversed(folds.tasks), half)]
        return n_folds / len(sample) * sum(map(self._seconds, sample))

    def _seconds(self, task: Task) -> float:
        estimate = self._costs.estimate(task)
        return 1.0 if estimate is None else estimate

    def _fits(self, task: Task, total: float, seconds: float) -> bool:
        estimate = self._costs.estimate(task)
        return estimate is not None and total + estimate <= seconds * (1 + 1e-9)

    def _sort(self, folds: Folds) -> None:
        folds.tasks = deque(sorted(folds.tasks, key=self._seconds, reverse=True))
        folds.is_sorted = True


def _insert_by_rank(tasks: deque[Task], task: Task) -> None:
    """Keep a chain in its order; most folds come in it."""
    place = len(tasks)
    while place and _rank(tasks[place - 1]) > _rank(task):
        place -= 1
    tasks.insert(place, task)


def _rank(task: Task) -> float:
    return 0.0 if task.share is None else task.share.rank


def _has_entry(heap: list[_Entry]) -> bool:
    """Leave out what counts no more; say whether anything is left."""
    while heap and (heap[0][2] != heap[0][3].stamp or not heap[0][3].tasks):
        heappop(heap)
    return bool(heap)

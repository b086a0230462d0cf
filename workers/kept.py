"""What an engine keeps between folds: one store for the whole process, bounded in bytes.

Training and test parts, fitted heads of pipelines and growing ensembles share one bound
(`shortcuts.memory`), so that an engine's memory stays what the operator allowed, whichever
searches take turns on it. What was not used for longest goes first; what belongs to a data set that
no search in progress uses goes when a batch on another data set comes (`Kept.let_go`).
"""

from collections import OrderedDict
from collections.abc import Collection, Hashable
from typing import Any

import numpy as np
import pandas as pd

from workers.dataset import is_sparse

#: How deep `n_bytes` looks into objects: a pipeline of ensembles of trees is four deep.
_DEPTH = 6


class Kept:
    """A store bounded in bytes, the least recently used leaving first.

    Parameters
    ----------
    limit : int, default=0
        Most bytes that are kept together. It may be set at any time.

    Attributes
    ----------
    dataset : str or None
        Fingerprint of the data set that what is put from now on is made of.
    """

    def __init__(self, limit: int = 0) -> None:
        self._limit = limit
        self.dataset: str | None = None
        self._entries: OrderedDict[Hashable, tuple[Any, int, str | None]] = OrderedDict()
        self._n_bytes = 0

    @property
    def limit(self) -> int:
        """Most bytes that are kept together."""
        return self._limit

    @limit.setter
    def limit(self, n_bytes: int) -> None:
        if n_bytes != self._limit:
            self._limit = n_bytes
            self.make_room(0)

    @property
    def n_bytes(self) -> int:
        """Bytes kept now."""
        return self._n_bytes

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable) -> Any | None:
        """Return what is kept under `key`, as the one used last; None when nothing is."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: Any, n_bytes: int) -> bool:
        """Keep a value, letting go of the oldest for it.

        Returns
        -------
        bool
            False, with nothing kept under `key`, for what is larger than the limit by itself.
        """
        self.forget(key)
        if not self.make_room(n_bytes):
            return False
        self._entries[key] = (value, n_bytes, self.dataset)
        self._n_bytes += n_bytes
        return True

    def make_room(self, n_bytes: int) -> bool:
        """Let go of the oldest until `n_bytes` more may be kept.

        Called before something large is built, it keeps old and new from being held at once.

        Returns
        -------
        bool
            False, with nothing let go, when they are more than the limit.
        """
        if n_bytes > self._limit:
            return False
        while self._n_bytes + n_bytes > self._limit:
            _, (_, freed, _) = self._entries.popitem(last=False)
            self._n_bytes -= freed
        return True

    def forget(self, key: Hashable) -> None:
        """Let go of what is kept under `key`, if anything is."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._n_bytes -= entry[1]

    def let_go(self, in_use: Collection[str | None]) -> bool:
        """Let go of what is made of other data sets than these; say whether there was any."""
        others = [key for key, (_, _, made_of) in self._entries.items() if made_of not in in_use]
        for key in others:
            self.forget(key)
        return bool(others)

    def clear(self) -> None:
        """Let go of everything."""
        self._entries.clear()
        self._n_bytes = 0


#: The engine's own.
kept = Kept()


def n_bytes(value: Any) -> int:
    """Return about how many bytes of memory a value holds on to.

    Arrays, sparse matrices and tables count by their data; lists, mappings and other objects, such
    as fitted estimators, by what they refer to. Parts that are shared count once. Python objects
    within arrays do not count: they belong to the data set.
    """
    return _n_bytes(value, {}, _DEPTH)


def _n_bytes(value: Any, seen: dict[int, Any], depth: int) -> int:
    if value is None or isinstance(value, bool | int | float | complex | type):
        return 0
    if id(value) in seen:
        return 0
    seen[id(value)] = value  # the object too: another could get the number of one that is gone
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, str | bytes):
        return len(value)
    if is_sparse(value):
        parts = (getattr(value, name, None) for name in ("data", "indices", "indptr", "row", "col"))
        return sum(_n_bytes(part, seen, depth) for part in parts)
    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage(index=True).sum())
    if isinstance(value, pd.Series | pd.Index):
        return int(value.memory_usage())
    if depth == 0:
        return 0
    if isinstance(value, dict):
        return sum(_n_bytes(item, seen, depth - 1) for item in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return 8 * len(value) + sum(_n_bytes(item, seen, depth - 1) for item in value)
    if type(value).__module__ == "sklearn.tree._tree" and hasattr(value, "__getstate__"):
        return _n_bytes(value.__getstate__(), seen, depth - 1)
    return _n_bytes(getattr(value, "__dict__", None), seen, depth)

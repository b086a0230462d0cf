"""Folds that are in the records already: found again by what they are made of.

A fold's score is decided by the data, the split, the estimator with its parameters, the scorers and
the versions that computed it. Candidates that agree in all of these have the same content key, in
whichever job they stand, and their finished folds are taken over instead of computed again.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import JsonValue

from schemas.job import JobSpec
from schemas.task import Prepared
from workers.catalog import Catalog

if TYPE_CHECKING:
    from hashlib import _Hash

#: Whose versions decide the numbers.
_DECIDING_VERSIONS = ("python", "foldq", "scikit-learn", "numpy", "scipy", "pandas")

_sorted_json = json.JSONEncoder(sort_keys=True).encode


class ContentKeys:
    """Makes the content keys of one job's candidates.

    Parameters
    ----------
    spec : JobSpec
        With `reuse: false` no candidate has a key.
    prepared : Prepared
    catalog : Catalog
    """

    def __init__(self, spec: JobSpec, prepared: Prepared, catalog: Catalog):
        self._spec = spec
        self._catalog = catalog
        self._decides: dict[str, bool] = {}
        self._repeatable: dict[str, bool] = {}
        self._begun: dict[int | None, tuple[_Hash, bytes]] = {}
        self._common: dict[str, object] = {
            "data": prepared.fingerprint,
            "splits": prepared.splits,
            "estimator": catalog.spell_out_object(spec.estimator),
            "operator": catalog.extra,
            "scoring": spec.model_dump(mode="json", include={"scoring", "error_score"}),
            "train_scores": spec.return_train_score,
            "threads": spec.threads,
            "versions": {name: prepared.versions.get(name) for name in _DECIDING_VERSIONS},
        }

    def of(self, params: Mapping[str, JsonValue], n_resources: int | None = None) -> str | None:
        """Return the key of a candidate, or None when its folds cannot be taken from elsewhere.

        Parameters
        ----------
        n_resources : int, optional
            Samples that successive halving gives the candidate.
        """
        if not self._spec.reuse or not self._is_repeatable(params):
            return None
        if self._spec.search.resource != "n_samples":
            n_resources = None
        if n_resources not in self._begun:
            self._begun[n_resources] = self._begin(n_resources)
        head, tail = self._begun[n_resources]
        content = head.copy()
        content.update(_sorted_json(params).encode() + tail)
        return content.hexdigest()

    def _begin(self, n_resources: int | None) -> "tuple[_Hash, bytes]":
        """Hash once what is common to all candidates: what stands before `params`, and the rest.

        The key is the hash of one JSON object whose names are sorted.
        """
        content = dict(self._common)
        if n_resources is not None:
            content["drawn"] = [n_resources, self._spec.search.seed]
        head = _sorted_json({name: content[name] for name in content if name < "params"})
        tail = _sorted_json({name: content[name] for name in content if name > "params"})
        begun = hashlib.sha256(f'{head.removesuffix("}")}, "params": '.encode())
        return begun, f", {tail.removeprefix('{')}".encode()

    def _is_repeatable(self, params: Mapping[str, JsonValue]) -> bool:
        deciding = {
            name: value
            for name, value in params.items()
            if isinstance(value, dict | list)
            or value is None
            or value == "passthrough"
            or self._can_decide(name)
        }
        text = _sorted_json(deciding) if deciding else ""
        if text not in self._repeatable:
            from workers.repeatable import is_repeatable

            try:
                estimator = self._catalog.build(self._spec.estimator)
                estimator.set_params(**self._catalog.build_params(deciding))
                self._repeatable[text] = is_repeatable(estimator)
            except Exception:  # a candidate that cannot even be built fails in its folds
                self._repeatable[text] = False
        return self._repeatable[text]

    def _can_decide(self, name: str) -> bool:
        if name not in self._decides:
            from workers.repeatable import DECIDING

            self._decides[name] = name.rpartition("__")[2] in DECIDING
        return self._decides[name]

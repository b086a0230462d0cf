"""Folds that are in the records already: found again by what they are made of.

A fold's score is decided by the data, the split, the estimator with its parameters, the scorers and
the versions that computed it. Candidates that agree in all of these have the same content key, in
whichever job they stand, and their finished folds are taken over instead of computed again.
"""

import hashlib
import json
from collections.abc import Mapping

from pydantic import JsonValue

from schemas.job import JobSpec
from schemas.task import Prepared
from workers.catalog import Catalog

#: Whose versions decide the numbers.
_DECIDING_VERSIONS = ("python", "foldq", "scikit-learn", "numpy", "scipy", "pandas")


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
        self._repeatable: dict[str, bool] = {}
        self._common = {
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
        content: dict[str, object] = {**self._common, "params": dict(params)}
        if n_resources is not None and self._spec.search.resource == "n_samples":
            content["drawn"] = [n_resources, self._spec.search.seed]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _is_repeatable(self, params: Mapping[str, JsonValue]) -> bool:
        from workers.repeatable import DECIDING, is_repeatable

        deciding = {
            name: value
            for name, value in params.items()
            if isinstance(value, dict | list)
            or value is None
            or name.rpartition("__")[2] in DECIDING
            or value == "passthrough"
        }
        text = json.dumps(deciding, sort_keys=True)
        if text not in self._repeatable:
            try:
                estimator = self._catalog.build(self._spec.estimator)
                estimator.set_params(**self._catalog.build_params(deciding))
                self._repeatable[text] = is_repeatable(estimator)
            except Exception:  # a candidate that cannot even be built fails in its folds
                self._repeatable[text] = False
        return self._repeatable[text]

"""What foldq adds to the bare fits, and whether it stays the same as a search grows.

The ideal is the sum of all fit and score times over the number of engines; measured is the time
from the first dispatch to the last record. Both come from the records of the same run, so that a
slow or busy machine slows both.
"""

from collections import defaultdict
from typing import Any

from benchmarks.peers import ENGINES, Foldq, Hosted, Peer, PeerFailed, TooSlow
from benchmarks.rounds import REFERENCE, Say

#: Folds of the dummy search: of foldq, and of scikit-learn as far as it goes.
SIZES = (2_000, 20_000, 200_000)
REFERENCE_SIZES = (1_000, 2_000, 4_000, 8_000, 20_000)

#: Searches from this many folds on are done once.
_ONCE = 100_000
_REFERENCE_ONCE = 8_000

#: Seconds for one search of scikit-learn.
_BEARABLE = 90.0


def measure(*, rounds: int, quick: bool, limit: float, say: Say) -> dict[str, Any]:
    """Time the searches for `overhead` and `growth`.

    Returns
    -------
    dict
        `runs`: by peer, by search, a list of runs: `seconds`, and of foldq `took`, `computed` (sum
        of fit and score times) and `ratio`. `notes`: what was not done, and why.
    """
    sizes = tuple(size // 40 for size in SIZES) if quick else SIZES
    reference_sizes = tuple(n // 40 for n in REFERENCE_SIZES) if quick else REFERENCE_SIZES
    runs: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    notes: dict[str, str] = {}

    def run(peer: Peer, name: str, limit: float, *, counts: bool = True) -> bool:
        try:
            done = peer.run(name, quick=quick, step=0, limit=limit)
        except PeerFailed as error:
            say(f"{name:13} {peer.name:12} {error}")
            if counts:
                notes[f"{peer.name} {name}"] = str(error)
            return not isinstance(error, TooSlow)
        figures = {"seconds": round(done.seconds, 4)}
        if isinstance(peer, Foldq):
            phases = peer.records.phases(peer.last_job)
            figures["took"] = round(phases.last - phases.first, 4)
            figures["computed"] = round(phases.computed, 4)
            figures["ratio"] = round(phases.overhead(ENGINES), 4)
        if counts:
            runs[peer.name][name].append(figures)
            says = ", ".join(f"{key} {value:.3f}" for key, value in figures.items())
            say(f"{name:13} {peer.name:12} {says}")
        return True

    with Foldq() as foldq, Hosted(REFERENCE) as reference:
        for name in ("ten", f"dummy {sizes[0]}"):
            run(foldq, name, limit, counts=False)
        run(reference, f"dummy {reference_sizes[0]}", limit, counts=False)
        for _ in range(rounds):
            run(foldq, "ten", limit)
            for size in sizes:
                if size < _ONCE:
                    run(foldq, f"dummy {size}", limit)
            for size in reference_sizes:
                if size < _REFERENCE_ONCE:
                    run(reference, f"dummy {size}", _BEARABLE)
        for size in reference_sizes:
            if size >= _REFERENCE_ONCE and not run(reference, f"dummy {size}", _BEARABLE):
                break
        for size in sizes:
            if size >= _ONCE:
                run(foldq, f"dummy {size}", limit)
    return {"runs": {peer: dict(searches) for peer, searches in runs.items()}, "notes": notes}

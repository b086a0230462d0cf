"""What is told of a candidate under the pointer."""

import numpy as np

from service.commands.terminal import score
from service.report.drawing import plain
from service.report.material import Material

#: Parameters named there.
_MOST = 8


def hover(material: Material, row: int) -> str:
    """Return what is told of a candidate, in plotly's markup."""
    sem = material.sems[row]
    spread = "" if np.isnan(sem) else f" ± {sem:.2g}"
    told = [f"<b>{score(material.means[row])}</b>{spread}  (candidate {row})"]
    varied = [axis for axis in material.axes if not np.isnan(axis.places[row])]
    told += [f"{plain(a.label)} = {plain(a.spelled(a.places[row]))}" for a in varied[:_MOST]]
    if len(varied) > _MOST:
        told.append("…")
    return "<br>".join(told)

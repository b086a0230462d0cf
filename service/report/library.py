"""plotly's JavaScript, as a page can carry it: packed to a third of its size."""

import base64
import gzip
import hashlib
from functools import cache
from importlib.resources import files


@cache
def packed_plotly() -> str:
    """Return plotly.min.js, gzipped, in base64.

    The same bytes each time, so that equal searches make equal pages.
    """
    script = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(gzip.compress(script, 9, mtime=0)).decode("ascii")


@cache
def plotly_digest() -> str:
    """Return the hash by which the page's policy knows plotly.js."""
    script = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(hashlib.sha256(script).digest()).decode("ascii")

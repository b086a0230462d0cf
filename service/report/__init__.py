"""One page about one search: what was asked, what came out, how it went; and its plots.

`render` makes the page, one HTML file that needs no network; `figures` the plots alone. Both take
searches in any state: what is not known yet is left out.
"""

from service.report.document import render
from service.report.drawing import Figure
from service.report.plots import figures

__all__ = ["Figure", "figures", "render"]

"""The best model as scikit-learn itself shows it, made fit for a page with a ground of its own."""

import logging
import re
from collections.abc import Mapping

from service.records import Job

log = logging.getLogger("foldq.report")

#: Characters of the view beyond which it is left out: a search over hundreds of columns or words.
MAX_LENGTH = 300_000

_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
#: scikit-learn's copy buttons; the page's own script sees to them.
_HANDLER = re.compile(r"""\sonclick=("[^"]*"|'[^']*')""")


def model_view(job: Job, names: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """Return scikit-learn's HTML view of the job's estimator with the best parameters.

    Its scripts are left out: the page's policy would not let them run.

    Parameters
    ----------
    job : Job
    names : mapping of str to str, optional
        What the operator adds to scikit-learn's names: name -> dotted path.

    Returns
    -------
    (style, html) or None
        None when there is no best candidate yet, or the estimator cannot be built here.
    """
    if job.best_params is None:
        return None
    from sklearn.base import clone
    from sklearn.utils import estimator_html_repr

    from workers.catalog import Catalog

    try:
        catalog = Catalog(names)
        estimator = clone(catalog.build(job.spec["estimator"]))
        estimator.set_params(**catalog.build_params(job.best_params))
        view = estimator_html_repr(estimator)
    except Exception:  # the operator's classes may do anything
        log.exception("the best estimator of job %d cannot be shown", job.id)
        return None
    if len(view) > MAX_LENGTH:
        return None
    style = "".join(_STYLE.findall(view))
    html = _HANDLER.sub("", _SCRIPT.sub("", _STYLE.sub("", view)))
    return style, html.replace("<body>", "").replace("</body>", "")

"""foldq for notebooks and programs: hand searches in, follow them, look at what they found.

>>> import foldq                                                         # doctest: +SKIP
>>> with foldq.serve(engines=2):                                         # doctest: +SKIP
...     job = foldq.submit(GridSearchCV(SVC(), {"C": [1, 10]}), X, y)
...     job.wait().best_params_
{'C': 10}

The page docs/python.md tells more. Everything here reads and writes a spool, the same that the
command `foldq` works on.
"""

from schemas.problems import Problem
from service.notebook.faults import JobFailed, NoScheduler, NotFinished, NotPossible, NotSubmitted
from service.notebook.jobs import Job
from service.notebook.looking import engines, history, job
from service.notebook.models import UntrustedModel
from service.notebook.pages import Report
from service.notebook.server import Server, serve
from service.notebook.submitting import job_file, submit
from service.records import NoSuchJob

__all__ = [
    "Job",
    "JobFailed",
    "NoScheduler",
    "NoSuchJob",
    "NotFinished",
    "NotPossible",
    "NotSubmitted",
    "Problem",
    "Report",
    "Server",
    "UntrustedModel",
    "engines",
    "history",
    "job",
    "job_file",
    "serve",
    "submit",
]

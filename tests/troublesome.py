"""An estimator that does what models do on bad days; the operator lists it, no job file can."""

import os
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin


class Troublesome(ClassifierMixin, BaseEstimator):
    """A constant classifier whose fit fails, stalls, or takes its process down, as it is told.

    Parameters
    ----------
    trouble : {"none", "os_error", "value_error", "sleep", "kill", "memory"}
    times : int
        How often the trouble strikes before it is over, counted over processes in `directory`.
    """

    def __init__(self, trouble="none", times=1_000_000, directory="/nonexistent", level=0):
        self.trouble = trouble
        self.times = times
        self.directory = directory
        self.level = level

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        if self.trouble != "none" and self._strikes():
            match self.trouble:
                case "os_error":
                    raise FileNotFoundError("the share is not mounted")
                case "value_error":
                    raise ValueError("no such luck")
                case "sleep":
                    time.sleep(600)
                case "kill":
                    os.kill(os.getpid(), 9)
                case "memory":
                    self.hoard_ = [np.ones(1 << 24) for _ in range(1000)]  # 128 MiB each
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[self.level % len(self.classes_)])

    def _strikes(self) -> bool:
        marks = Path(self.directory)
        if not marks.is_dir():
            return True
        n = len(list(marks.iterdir()))
        if n >= self.times:
            return False
        (marks / f"{time.time_ns()}-{os.getpid()}").touch()
        return True

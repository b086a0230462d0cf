"""An engine of the local cluster: ipyparallel's, but for what fits print."""

import os
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ipyparallel.engine import app
from ipyparallel.engine.app import IPEngine

from workers.kernel import PromptKernel
from workers.limits import limit_memory


class QuietEngine(IPEngine):  # type: ignore[misc]
    """An engine that sends nobody what is printed on it.

    ipyparallel sends it all to the client, which keeps it for ever, and after each order waits
    until it has gone out: 2 to 3 ms. Nobody reads it there.
    """

    def redirect_output(self, iopub_socket: Any) -> None:  # noqa: ARG002
        """Let go of what is printed; complaints go to the cluster's log."""
        # Whatever the locale: a letter that it does not know must not fail a fit.
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8", errors="replace")  # noqa: SIM115


def run(arguments: Sequence[str], memory: int | None) -> None:
    """Be an engine until its end, in a process that was forked for it.

    Parameters
    ----------
    arguments : sequence of str
        For `IPEngine`.
    memory : int or None
        Bytes it may allocate.
    """
    # Forks begin with the same state of the global generators: unseeded models would agree.
    random.seed()
    np.random.seed()
    limit_memory(memory)
    app.Kernel = PromptKernel
    QuietEngine.launch_instance(argv=list(arguments))

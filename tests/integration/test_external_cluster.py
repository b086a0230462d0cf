"""Engines that somebody else started: found by connection file, used, and left running."""

from collections.abc import Iterator
from pathlib import Path

import ipyparallel as ipp
import psutil
import pytest


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ipp.Cluster]:
    """A controller and one engine, as a lab would have them running."""
    cluster = ipp.Cluster(
        n=1,
        profile_dir=str(tmp_path_factory.mktemp("profile")),
        cluster_id="lab",
        controller_args=["--HeartMonitor.period=250"],
        delay=0,
        log_level=40,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        cluster.start_cluster_sync()
    try:
        yield cluster
    finally:
        cluster.stop_cluster_sync()


def test_a_search_runs_on_a_cluster_found_by_its_connection_file(cluster, new_scheduler):
    connection_file = Path(cluster.profile_dir) / "security" / "ipcontroller-lab-client.json"
    scheduler = new_scheduler(cluster__connection_file=connection_file)
    scheduler.start()
    (engine,) = scheduler.wait_for_engines(1)
    scheduler.drop(
        {
            "data": {"loader": "iris"},
            "estimator": "SVC",
            "search": {"space": {"C": [0.1, 1, 10]}},
        },
        "elsewhere.json",
    )
    job = scheduler.wait("elsewhere")
    assert (job["n_done"], job["n_failed"]) == (15, 0)
    (row,) = scheduler.query("SELECT cluster, pid FROM engine")
    assert row == {"cluster": str(connection_file), "pid": engine}
    assert scheduler.stop() == 0
    assert psutil.pid_exists(engine), "an engine of somebody else's is left as it is"

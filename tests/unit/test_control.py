"""Requests of the commands: carried out in the order in which they were made."""

from service import control
from service.layout import make_directories


def test_requests_keep_their_order(tmp_path):
    make_directories(tmp_path)
    for job_id in range(1, 21):
        control.request(tmp_path, "pause", job_id)
        control.request(tmp_path, "resume", job_id)
    asked = [(request.job_id, request.action) for request in control.Desk(tmp_path).take()]
    assert asked == [(n, action) for n in range(1, 21) for action in ("pause", "resume")]

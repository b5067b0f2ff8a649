"""One write or sync that fails: nothing is acknowledged after it, and what was acknowledged before it stays."""

from __future__ import annotations

import errno
import os

import pytest

from injection import failing
from outcomes import check_outcomes, start_writing


@pytest.mark.parametrize("mode, call, error", [("direct", "pwritev2", "EIO"), ("buffered", "fdatasync", "EIO"), ("direct", "pwritev2", "ENOSPC")])
def test_after_one_failed_commit_nothing_is_acknowledged_and_the_process_ends(start_server, log, mode, call, error):
    # Only the 30th call fails: a server that tried it again would get away with it, and must not.
    server = start_server("--engine", "syscalls", "--mode", mode, wrapper=failing(call, error, when="30"))
    outcomes = start_writing(server, log)
    assert server.wait() > 0, f"ended with 0 after a failed commit:\n{server.log}"
    outcomes.join()
    assert outcomes.effects()["unknown"], f"the requests of the failed batch were not told so: {outcomes.refused}"
    assert os.strerror(getattr(errno, error)) in server.log, server.log
    check_outcomes(start_server(), log, outcomes)

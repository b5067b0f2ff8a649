"""One write or sync that fails: nothing is acknowledged after it, and what was acknowledged before it stays."""

from __future__ import annotations

import errno
import os
import threading

import pytest

from client import append, check_appended, check_problem, read_all
from injection import failing
from rawhttp import ConnectionEnded

WRITERS = 8


class Outcomes:
    """What became of the records of all writers."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, bytes] = {}
        self.refused: list = []
        #: Sent, but the connection ended without an answer.
        self.unanswered: set[bytes] = set()

    def write(self, server, log: str, writer: int) -> None:
        """Appends until an answer is no 201 or the connection ends."""
        record = b""
        try:
            with server.connect() as connection:
                for number in range(10_000):
                    record = b"%d/%d" % (writer, number)
                    response = append(connection, log, record)
                    if response.status != 201:
                        self.refused.append((record, response))
                        return
                    self.acknowledged[check_appended(response, log)["first"]] = record
        except (ConnectionEnded, ConnectionError):
            self.unanswered.add(record)


@pytest.mark.parametrize("mode, call, error", [("direct", "pwritev2", "EIO"), ("buffered", "fdatasync", "EIO"), ("direct", "pwritev2", "ENOSPC")])
def test_after_one_failed_commit_nothing_is_acknowledged_and_the_process_ends(start_server, log, mode, call, error):
    # Only the 30th call fails: a server that tried it again would get away with it, and must not.
    server = start_server("--engine", "syscalls", "--mode", mode, wrapper=failing(call, error, when="30"))
    outcomes = Outcomes()
    writers = [threading.Thread(target=outcomes.write, args=(server, log, index), daemon=True) for index in range(WRITERS)]
    for writer in writers:
        writer.start()
    assert server.wait() > 0, f"ended with 0 after a failed commit:\n{server.log}"
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive()

    effects = {"none": set(), "unknown": set()}
    for record, response in outcomes.refused:
        problem = response.json()
        check_problem(response, 503, "log_poisoned", problem["retryable"], problem["side_effects"])
        effects[problem["side_effects"]].add(record)
    assert effects["unknown"], f"the requests of the failed batch were not told so: {outcomes.refused}"
    assert os.strerror(getattr(errno, error)) in server.log, server.log

    with start_server().connect() as connection:
        records = read_all(connection, log)
    assert outcomes.acknowledged == {offset: records[offset] for offset in outcomes.acknowledged}
    others = set(records) - set(outcomes.acknowledged.values())
    assert len(set(records)) == len(records)
    assert others <= effects["unknown"] | outcomes.unanswered, f"there though refused without side effects: {others}"

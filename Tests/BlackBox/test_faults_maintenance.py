"""What the server does beside the commits fails: segments that are made ready, indexes, checkpoints. None of it poisons; each is
tried again or said, and nothing acknowledged depends on it (docs/DURABILITY.md, "Faults of the running machine")."""

from __future__ import annotations

import pytest

from client import append, append_ok, check_problem, read_all, stats
from injection import failing
from server import SMALL_SEGMENT_BYTES, wait_until

#: Seven of them do not fit a segment.
RECORD_BYTES = 700_000


def record(number: int) -> bytes:
    return b"%07d" % number * (RECORD_BYTES // 7)


def append_patiently(connection, log: str, number: int) -> list[int]:
    """Appends once it is taken; gives the statuses of the refusals before, which must be 507 each."""
    refused = []

    def is_taken() -> bool:
        response = append(connection, log, record(number))
        if response.status == 201:
            return True
        check_problem(response, 507, "disk_full", retryable=True)
        refused.append(response.status)
        return False

    wait_until(is_taken, "an append is taken")
    return refused


# In the maintenance thread: the first spare is the first call, then come with each segment the next spare, the index and the
# checkpoint of the one that was sealed. The commits are io_uring's, or use other calls.
@pytest.mark.parametrize("call", ["/^rename", "fdatasync"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_an_index_or_a_checkpoint_that_cannot_be_written_is_said_and_costs_nothing(start_server, directory, log, call, error):
    server = start_server("--mode", "direct", "--engine", "syscalls", wrapper=failing(call, error, when="3..4"))
    with server.connect() as connection:
        for number in range(9):
            append_patiently(connection, log, number)
        wait_until(lambda: "a checkpoint could not be written" in server.log, "the checkpoint's failure is said")
        assert "a segment's index could not be written" in server.log
        assert not stats(connection)["wal"]["poisoned"] and stats(connection)["ready"]
        assert read_all(connection, log) == [record(number) for number in range(9)]
        assert not list((directory / "checkpoint").iterdir()), "what could not be put in place is not left half-made"
        # The next segment's checkpoint goes well again.
        for number in range(9, 16):
            append_patiently(connection, log, number)
        wait_until(lambda: list((directory / "checkpoint").glob("*.ckpt")), "the next checkpoint")
    server.stop()
    with start_server().connect() as connection:
        assert read_all(connection, log) == [record(number) for number in range(16)]


@pytest.mark.parametrize("call, when, error", [("/^rename", "2", "EIO"), ("fdatasync", "2", "EIO"), ("pwrite64", "80", "EIO"), ("pwrite64", "80", "ENOSPC")])
def test_a_segment_that_cannot_be_made_ready_is_tried_again(start_server, directory, log, call, when, error):
    server = start_server("--mode", "direct", "--engine", "syscalls", wrapper=failing(call, error, when=when))
    with server.connect() as connection:
        refused = [status for number in range(15) for status in append_patiently(connection, log, number)]
        assert not stats(connection)["wal"]["poisoned"]
        assert stats(connection)["wal"]["segments"] >= 3
        assert read_all(connection, log) == [record(number) for number in range(15)]
    print(f"{len(refused)} refusals before it was tried again")
    server.stop()
    assert not list((directory / "wal").glob("*.tmp"))
    with start_server().connect() as connection:
        assert read_all(connection, log) == [record(number) for number in range(15)]


def test_where_no_segment_can_be_made_at_all_appends_get_507_and_the_log_says_why(start_server, log):
    server = start_server("--mode", "direct", wrapper=failing("/^rename", "EDQUOT", when="2+"))
    with server.connect() as connection:
        number = 0
        while (response := append(connection, log, record(number))).status == 201:
            number += 1
        check_problem(response, 507, "disk_full", retryable=True)
        assert number * RECORD_BYTES > SMALL_SEGMENT_BYTES, "what was made ready before is used"
        assert stats(connection)["ready"] and not stats(connection)["wal"]["poisoned"]
        assert read_all(connection, log) == [record(index) for index in range(number)]
        assert "no further segment can be made" in server.log and "Disk quota exceeded" in server.log
    server.stop()
    with start_server().connect() as connection:
        append_ok(connection, log, record(number))
        assert len(read_all(connection, log)) == number + 1

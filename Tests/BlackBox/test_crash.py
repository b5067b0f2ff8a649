"""kill -9 under load, again and again over one data directory.

What was acknowledged is there once, at its offsets, unaltered; of the rest only whole requests that were sent may be there.
(This finds what a crash of the process can break. A lost device flush it cannot see: the page cache survives.)
"""

from __future__ import annotations

import os
import random

import pytest

from client import get, ndjson_records, records_target, stats
from server import Server, StartFailed, wait_until
from workload import LOGS, History, check_history, check_log, join, Request, settle, start_writers

SEED = int(os.environ.get("APPENDLOG_CRASH_SEED", "20261122"))
WRITERS = 8


def crash_rounds(start_server, directory, flags_of_rounds: list[tuple[str, ...]], seed: int) -> int:
    """One round: start, check all that went before, write, kill -9 after a random number of answers. Gives the answers."""
    print(f"seed {seed}; repeat with APPENDLOG_CRASH_SEED={SEED}")
    chance = random.Random(seed)
    history, shown, answered = History(), {}, 0
    for number, flags in enumerate(flags_of_rounds):
        if number % 5 == 4:
            kill_during_start(directory, flags)
        server = start_server(*flags)
        shown = check_history(server, history, shown)
        settle(history, shown)
        writers = start_writers(server, history, WRITERS, f"round{number}", seed + number)
        wanted = chance.randint(1, 150)
        wait_until(lambda: done(writers, wanted), f"{wanted} answers in round {number}")
        server.kill()
        join(writers)
        answered += sum(writer.acknowledged for writer in writers)
    server = start_server(*flags_of_rounds[-1])
    shown = check_history(server, history, shown)
    check_sums(server, shown)
    server.stop()
    return answered


def done(writers, wanted: int) -> bool:
    assert not any(writer.fault for writer in writers), next(writer.fault for writer in writers if writer.fault)
    return sum(writer.acknowledged for writer in writers) >= wanted


def kill_during_start(directory, flags: tuple[str, ...]) -> None:
    """A crash while the server recovers or has just begun to listen must do no harm."""
    server = Server(directory, *flags)
    try:
        server.start(ready=False)
    except StartFailed:
        pytest.fail(f"did not start after a crash:\n{server.log}")
    finally:
        server.kill()


def check_sums(server: Server, shown: dict[str, list[bytes]]) -> None:
    """Stats and timestamps agree with what is there."""
    with server.connect() as connection:
        totals = stats(connection)["totals"]
        assert totals["records"] == totals["durable"] == sum(map(len, shown.values()))
        assert totals["bytes"] == sum(len(record) for records in shown.values() for record in records)
        for log in LOGS:
            offset, last = 0, ""
            while offset < len(shown[log]):
                response = get(connection, records_target(log, **{"from": offset, "limit": 10000, "bytes": 4194304}))
                for record in ndjson_records(response.body):
                    assert record.offset == offset and record.data == shown[log][offset]
                    assert record.timestamp >= last, f"{log}/{offset} is older than the record before it"
                    offset, last = offset + 1, record.timestamp


def test_twenty_kills_under_load_lose_and_invent_nothing(start_server, directory):
    answered = crash_rounds(start_server, directory, [()] * 22, SEED)
    assert answered >= 22, "too little was acknowledged to prove anything"


def test_kills_with_the_syscall_engine_lose_and_invent_nothing(start_server, directory):
    crash_rounds(start_server, directory, [("--engine", "syscalls")] * 4, SEED + 100)


def test_kills_in_buffered_mode_lose_and_invent_nothing(start_server, directory):
    crash_rounds(start_server, directory, [("--mode", "buffered")] * 4, SEED + 200)


def test_kills_with_another_engine_or_mode_at_each_start_lose_and_invent_nothing(start_server, directory):
    rounds = [("--mode", mode, "--engine", engine) for mode in ("direct", "buffered") for engine in ("syscalls", "auto")]
    crash_rounds(start_server, directory, rounds * 2, SEED + 300)


def test_the_check_itself_finds_every_kind_of_fault():
    """A check that cannot fail proves nothing: each fault that it is there for, once."""

    def requests() -> list[Request]:
        return [Request("a", [b"1", b"2"], first=0), Request("a", [b"3"], first=2), Request("a", [b"4", b"5"]), Request("a", [b"6"])]

    good = [b"1", b"2", b"3", b"4", b"5"]
    check_log("a", good, requests())
    check_log("a", good[:3], requests())
    check_log("a", good[:3] + [b"6"] + good[3:], requests())
    for bad in (
        good[:2],  # an acknowledged request is lost
        good[:1] + good[2:],  # a record is lost
        good[:4],  # a sent request is cut
        [b"1", b"x", b"3"],  # altered
        [b"2", b"1", b"3"],  # out of order
        [b"6"] + good,  # at another offset than acknowledged
        good + [b"4", b"5"],  # twice
        good + [b"never sent"],
        good[:3] + [b"4", b"6", b"5"],  # torn apart
    ):
        with pytest.raises(AssertionError):
            check_log("a", bad, requests())

"""What is not durable yet: shown to nobody, counted as pending, bounded. The commit is held back by --commit-linger."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from client import append, append_ok, check_appended, check_problem, get_json, log_exists, read_all, records_target, stats
from rawhttp import encode_request
from server import wait_until

#: Long enough to look at what waits, short enough to wait for its end.
LINGER = ("--commit-linger-microseconds", "1500000")


def waiting(connection, count: int) -> dict:
    """The stats once `count` appends wait."""
    return wait_until(lambda: answer if (answer := stats(connection))["requests"]["waiting"] == count else None, f"{count} waiting", 10)


def test_records_that_wait_for_their_commit_are_counted_but_not_shown(start_server, log):
    server = start_server(*LINGER)
    with server.connect() as reader, server.connect() as writer, server.connect() as second:
        append_ok(writer, log, b"durable")
        writer.send(encode_request("POST", records_target(log), {}, b"pending"))
        second.send(encode_request("POST", records_target("other"), {}, b"new log"))
        answer = waiting(reader, 2)
        assert answer["wal"]["pending_records"] == 2
        assert answer["wal"]["pending_bytes"] == answer["wal"]["staged_bytes"] + answer["wal"]["in_flight_bytes"] > 0
        assert answer["wal"]["next_position"] >= answer["wal"]["durable_position"]
        assert answer["requests"]["oldest_waiting_microseconds"] > 0
        assert answer["totals"] == {"logs": 1, "records": 1, "bytes": 7, "next": 1, "durable": 1}
        shown = (read_all(reader, log), get_json(reader, f"/v1/logs/{log}")["next"], log_exists(reader, "other"))
        assert stats(reader)["requests"]["waiting"] == 2, "the commit came too early for this test"
        assert shown == ([b"durable"], 1, False)
        assert check_appended(writer.read_response(), log)["first"] == 1
        check_appended(second.read_response(), "other")
        assert read_all(reader, log) == [b"durable", b"pending"]
        assert read_all(reader, "other") == [b"new log"]


def test_many_that_wait_share_one_commit(start_server, log):
    server = start_server(*LINGER)
    with server.connect() as reader, ThreadPoolExecutor(20) as pool:
        batches = stats(reader)["wal"]["batches"]

        def post(number: int) -> int:
            with server.connect() as connection:
                return append_ok(connection, log, b"%d" % number)["first"]

        offsets = list(pool.map(post, range(20)))
        wal = stats(reader)["wal"]
    assert sorted(offsets) == list(range(20))
    assert wal["records"] == 20
    assert wal["batches"] - batches <= 5, "appends that wait together ought to share a sync"


def test_more_pending_bytes_than_the_limit_are_refused_and_nothing_else(start_server, log):
    small = ("--request-body-bytes-max", "60000", "--pending-bytes-max", "300000")
    server = start_server(*LINGER, *small)

    def post(number: int) -> tuple[int, bytes]:
        body = b"%05d" % number * 10_000
        with server.connect() as connection:
            response = append(connection, log, body)
        if response.status == 503:
            check_problem(response, 503, "overloaded", retryable=True)
            assert response.header("retry-after") == "1"
            return -1, body
        return check_appended(response, log)["first"], body

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(post, range(16)))
    taken = sorted(outcome for outcome in outcomes if outcome[0] >= 0)
    assert 0 < len(taken) < len(outcomes)
    with server.connect() as connection:
        assert read_all(connection, log) == [body for _, body in taken]
        append_ok(connection, log, b"serves on")

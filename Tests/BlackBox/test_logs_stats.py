"""What logs there are, and the numbers of /v1/stats, on a server of their own so that every sum is known."""

from __future__ import annotations

import contextlib
import socket

import pytest

from client import FRAMED, NDJSON, TIMESTAMP, append, append_ok, check_problem, framed, get, get_json, records_target, stats
from livetail import EVENTS
from rawhttp import Connection, encode_request
from server import SMALL_SEGMENT_BYTES, Server, run, wait_until

#: Record counts by name. Names in the order of their bytes are: -d .. in `sorted`.
LOGS = {"alpha": 1, "alpha.1": 2, "alpha-2": 3, "Beta": 4, "beta": 5, "_u": 6, "-d": 7, "0": 8, "z" * 128: 9}
RECORD = b"0123456789"
LOG_KEYS = {
    "log", "id", "first", "next", "durable", "records", "bytes", "created", "closed", "content_type", "retention",
    "appends_per_second_max",
}  # fmt: skip
REQUEST_KEYS = {
    "waiting", "oldest_waiting_microseconds", "reads", "long_polls", "subscribers", "record_streams", "connections",
}  # fmt: skip
WAL_KEYS = {
    "durable_position", "next_position", "pending_records", "pending_bytes", "staged_bytes", "in_flight_bytes",
    "batches", "records", "bytes", "record_bytes", "batch_bytes_mean", "batch_records_mean", "batch_bytes_last",
    "batch_records_last", "sync_latency_microseconds", "segments", "segment_bytes", "disk_bytes", "packed_segments", "packed_bytes",
    "poisoned",
}  # fmt: skip


@pytest.fixture(scope="module")
def filled(workspace):
    """A server with LOGS, one request a log."""
    server = Server(workspace / "logs").start()
    with server.connect() as connection:
        for name, count in LOGS.items():
            append_ok(connection, name, framed([RECORD] * count), FRAMED)
    yield server
    server.stop()


@pytest.fixture
def reader(filled):
    with filled.connect() as connection:
        yield connection


def listed(page: dict) -> list[str]:
    return [log["log"] for log in page["logs"]]


def settled_stats(connection) -> dict:
    """The stats once nothing is pending (the log seals itself after a quiet second)."""
    return wait_until(lambda: nothing_pending(stats(connection)), "nothing pending")


def nothing_pending(answer: dict) -> dict | None:
    wal = answer["wal"]
    return answer if wal["pending_bytes"] == 0 and wal["durable_position"] == wal["next_position"] else None


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/stats"])
@pytest.mark.parametrize("query, names", [
    ("", sorted(LOGS)),
    ("?prefix=", sorted(LOGS)),
    ("?prefix=alpha", ["alpha", "alpha-2", "alpha.1"]),
    ("?prefix=alpha.", ["alpha.1"]),
    ("?prefix=b", ["beta"]),
    ("?prefix=nothing", []),
    ("?after=alpha", ["alpha-2", "alpha.1", "beta", "z" * 128]),
    ("?after=alphabet", ["beta", "z" * 128]),
    ("?after=" + "z" * 128, []),
    ("?prefix=alpha&after=alpha", ["alpha-2", "alpha.1"]),
    ("?after=alpha&prefix=alpha&limit=1", ["alpha-2"]),
])  # fmt: skip
def test_logs_are_listed_by_prefix_and_after(reader, path, query, names):
    assert listed(get_json(reader, path + query)) == names


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/stats"])
@pytest.mark.parametrize("limit", [1, 2, 4, 8, 9, 10, 100])
def test_pages_of_logs_join_to_the_whole_list(reader, path, limit):
    names, after = [], ""
    while after is not None:
        page = get_json(reader, f"{path}?limit={limit}" + (f"&after={after}" if after else ""))
        assert len(page["logs"]) <= limit
        names += listed(page)
        assert page["next_after"] in (None, names[-1])
        after = page["next_after"]
    assert names == sorted(LOGS)


def test_a_last_page_that_is_full_says_that_nothing_follows(reader):
    assert get_json(reader, f"/v1/logs?limit={len(LOGS)}")["next_after"] is None


@pytest.mark.parametrize("path, above", [("/v1/logs", 1001), ("/v1/stats", 101)])
@pytest.mark.parametrize("query", ["limit=0", "limit=", "limit=x", "limit=-1", "limit={above}", "unknown=1", "from=0", "prefix=a&prefix=b"])
def test_a_list_query_that_is_wrong_is_refused(reader, path, above, query):
    check_problem(get(reader, f"{path}?{query.format(above=above)}"), 400, "invalid_query")


def test_largest_page_limits_are_taken(reader):
    assert listed(get_json(reader, "/v1/logs?limit=1000")) == sorted(LOGS)
    assert listed(get_json(reader, "/v1/stats?limit=100")) == sorted(LOGS)


def test_a_log_tells_its_offsets_and_bytes(reader):
    ids = set()
    for name, count in LOGS.items():
        log = get_json(reader, f"/v1/logs/{name}")
        assert set(log) == LOG_KEYS
        assert (log["log"], log["first"], log["next"], log["durable"], log["records"]) == (name, 0, count, count, count)
        assert log["bytes"] == count * len(RECORD)
        assert TIMESTAMP.fullmatch(log["created"])
        ids.add(log["id"])
    assert len(ids) == len(LOGS)


def test_the_list_says_the_same_as_each_log(reader):
    for path in ("/v1/logs", "/v1/stats"):
        for log in get_json(reader, path)["logs"]:
            assert log == get_json(reader, f"/v1/logs/{log['log']}")


def test_totals_are_the_sums_over_all_logs_whatever_page_is_asked(reader):
    count = sum(LOGS.values())
    expected = {"logs": len(LOGS), "records": count, "bytes": count * len(RECORD), "next": count, "durable": count}
    for query in ("", "?limit=1", "?prefix=nothing"):
        assert get_json(reader, "/v1/stats" + query)["totals"] == expected


def test_stats_have_exactly_the_documented_members(reader):
    answer = stats(reader)
    assert set(answer) == {"version", "uptime_seconds", "ready", "engine", "totals", "wal", "requests", "logs", "next_after"}
    assert set(answer["engine"]) == {"name", "mode", "reason"}
    assert set(answer["totals"]) == {"logs", "records", "bytes", "next", "durable"}
    assert set(answer["wal"]) == WAL_KEYS
    assert set(answer["wal"]["sync_latency_microseconds"]) == {"p50", "p99", "max", "count"}
    assert set(answer["requests"]) == REQUEST_KEYS
    assert answer["ready"] is True and answer["wal"]["poisoned"] is False
    assert answer["engine"]["reason"]


def test_uptime_grows_and_the_version_is_that_of_the_binary(reader):
    before = stats(reader)
    wait_until(lambda: stats(reader)["uptime_seconds"] > before["uptime_seconds"], "more uptime")
    assert run("--version").stdout.strip() == before["version"]


def test_counters_of_the_log_add_up(start_server, log):
    server = start_server()
    with server.connect() as connection:
        before = settled_stats(connection)
        assert before["wal"]["records"] == 0 and before["totals"]["records"] == 0
        for _ in range(20):
            append_ok(connection, log, b"r" * 100)
        for _ in range(5):
            append_ok(connection, log, b"123\n45678\n", NDJSON)
        after = settled_stats(connection)
    wal = after["wal"]
    assert wal["records"] == 30
    assert wal["record_bytes"] == 20 * 100 + 5 * 8
    assert wal["pending_records"] == wal["staged_bytes"] == wal["in_flight_bytes"] == 0
    assert wal["bytes"] > before["wal"]["bytes"] and wal["bytes"] % 4096 == 0
    assert wal["bytes"] - before["wal"]["bytes"] == wal["durable_position"] - before["wal"]["durable_position"]
    # One client that waits for each answer gets a commit for each request, neither fewer nor many more.
    assert 25 <= wal["batches"] - before["wal"]["batches"] <= 30
    assert wal["batch_records_mean"] == pytest.approx(wal["records"] / wal["batches"], rel=0.02)
    assert wal["batch_bytes_mean"] == pytest.approx(wal["bytes"] / wal["batches"], rel=0.02)
    assert wal["batch_bytes_last"] > 0 and wal["batch_records_last"] <= 2
    latency = wal["sync_latency_microseconds"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["max"]
    assert latency["count"] == wal["batches"]
    assert after["totals"]["records"] == after["totals"]["next"] == after["totals"]["durable"] == 30
    assert after["requests"]["waiting"] == after["requests"]["oldest_waiting_microseconds"] == 0


def test_refused_requests_change_no_number(start_server, log):
    with start_server().connect() as connection:
        append_ok(connection, log, b"x")
        before = settled_stats(connection)
        assert append(connection, log, b"").status == 400
        assert append(connection, ".hidden", b"x").status == 400
        assert append(connection, log, b"abc", FRAMED).status == 400
        after = settled_stats(connection)
    assert after["totals"] == before["totals"]
    assert after["wal"]["records"] == before["wal"]["records"]


def test_segments_are_counted_as_they_are_on_disk(start_server, directory, log):
    with start_server().connect() as connection:
        assert stats(connection)["wal"]["segment_bytes"] == SMALL_SEGMENT_BYTES
        for _ in range(12):
            append_ok(connection, log, b"x" * 1_000_000)
        answer = wait_until(lambda: nothing_pending(stats(connection)), "nothing pending")["wal"]
        assert answer["segments"] >= 3
        assert answer["disk_bytes"] >= answer["segments"] * SMALL_SEGMENT_BYTES
        files = list((directory / "wal").glob("*.seg"))
        assert len(files) >= answer["segments"]
        assert all(file.stat().st_size == SMALL_SEGMENT_BYTES for file in files)


def request_counts(connection) -> dict:
    """The numbers of requests under way, without the times."""
    counts = stats(connection)["requests"]
    return {name: count for name, count in counts.items() if name != "oldest_waiting_microseconds"}


def test_each_kind_of_request_under_way_is_counted_as_what_it_is(start_server, log):
    """Appends that wait for their commit, long polls, live tails and streams: each in its own number, and in no other."""
    server = start_server("--commit-linger-microseconds", "1500000")
    with contextlib.ExitStack() as stack, server.connect() as reader:

        def requesting(*request):
            connection = stack.enter_context(server.connect())
            connection.send(encode_request(*request))
            return connection

        def expect(**counts):
            wanted = {"waiting": 0, "reads": 0, "long_polls": 0, "subscribers": 0, "record_streams": 0, **counts}
            wait_until(lambda: {name: count for name, count in request_counts(reader).items() if name != "connections"} == wanted, f"{wanted}")

        append_ok(reader, log, b"x" * 1_000_000)
        expect()
        polls = [requesting("GET", records_target(log, **{"from": "now", "wait": 50})) for _ in range(3)]
        expect(long_polls=3)
        assert stats(reader)["requests"]["oldest_waiting_microseconds"] == 0, "a long poll waits for no commit"
        tails = [requesting("GET", records_target(log, **{"from": "now"}), {"Accept": EVENTS}) for _ in range(5)]
        expect(long_polls=3, subscribers=5)
        other = f"{log}.other"
        appends = [requesting("POST", records_target(other), {}, b"x") for _ in range(2)]
        body = b'{"appends":[{"log":"%s","records":["x"]}]}' % other.encode()
        appends += [requesting("POST", "/v1/batch", {}, body), requesting("PUT", f"/v1/logs/{log}.new")]
        expect(long_polls=3, subscribers=5, waiting=4)
        assert 0 < stats(reader)["requests"]["oldest_waiting_microseconds"] < 30_000_000
        assert request_counts(reader)["connections"] == 1 + 3 + 5 + 4
        assert [append.read_response().status for append in appends] == [201] * 4
        expect(long_polls=3, subscribers=5)
        # An append ends the polls and none of the tails; who leaves is not counted any more.
        append_ok(reader, log, b"y")
        assert [poll.read_response().status for poll in polls] == [200] * 3
        expect(subscribers=5)
        for tail in tails:
            tail.reset()
        expect()


def test_streams_of_records_are_counted_while_they_run(start_server, log):
    with start_server().connect() as reader, contextlib.ExitStack() as stack:
        for _ in range(8):
            append_ok(reader, log, b"x" * 1_000_000)
        streams = [stack.enter_context(Connection(reader.socket.getpeername()[1])) for _ in range(2)]
        for stream in streams:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            stream.send(encode_request("GET", records_target(log, stream=1), {"Accept": FRAMED}))
            stream._receive_more()
        wait_until(lambda: stats(reader)["requests"]["record_streams"] == 2, "two streams")
        assert stats(reader)["requests"]["subscribers"] == stats(reader)["requests"]["waiting"] == 0
        for stream in streams:
            stream.reset()
        wait_until(lambda: stats(reader)["requests"]["record_streams"] == 0, "the end of both")


def test_connections_are_counted(start_server):
    server = start_server()
    with server.connect() as one:
        wait_until(lambda: stats(one)["requests"]["connections"] == 1, "one connection")
        others = [server.connect() for _ in range(3)]
        wait_until(lambda: stats(one)["requests"]["connections"] == 4, "four connections")
        for other in others:
            other.close()
        wait_until(lambda: stats(one)["requests"]["connections"] == 1, "one connection again")


@pytest.mark.parametrize("engine, mode", [("io_uring", "direct"), ("io_uring", "buffered"), ("syscalls", "direct"), ("syscalls", "buffered")])
def test_engine_and_mode_are_the_ones_asked_for(start_server, log, engine, mode, io_uring_denial):
    if engine == "io_uring" and io_uring_denial:
        pytest.skip(f"this machine denies io_uring: {io_uring_denial}")
    with start_server("--engine", engine, "--mode", mode).connect() as connection:
        answer = stats(connection)["engine"]
        assert (answer["name"], answer["mode"]) == (engine, mode)
        append_ok(connection, log, b"x")
        assert get(connection, f"/v1/logs/{log}/records/0").body == b"x"

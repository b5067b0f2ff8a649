"""Very many connections that do nothing, or the wrong thing: they cost bounded memory, others are served meanwhile, and
afterwards everything is given back."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import time

import pytest

from abuse import Footprint, check_others_are_served, resident_bytes
from client import append_ok, check_appended, log_exists, read_all, records_target, stats
from rawhttp import Connection, ConnectionEnded, encode_request
from server import Server, wait_until

IDLE_CONNECTIONS = 10_000
#: libmicrohttpd's 8 KiB and what both sides know of a connection.
BYTES_PER_CONNECTION = 14 << 10
#: What a slow client sends after its start. Fewer bytes than the server asks for in a second (HTTPLimits.bodyRateBytesMin),
#: so that they never earn it more time, however fast this machine sends them.
SLOW_BYTES = 500
#: Answers that clients do not read (128 MiB, ServiceLimits.readingBytesMax), and as much again for what encoding a page and
#: the allocator's gaps take; 900 answers of 4 MiB would be 3.5 GiB.
UNREAD_ANSWERS_BYTES = 256 << 20


@pytest.fixture(scope="module")
def crowded(workspace):
    """A server for more connections than that. What the tests before did to it must be gone at the end."""
    deadlines = ("--header-deadline-seconds", "3", "--body-deadline-seconds", "3", "--idle-timeout-seconds", "60")
    server = Server(workspace / "crowded", "--connections-max", str(IDLE_CONNECTIONS + 100), *deadlines).start()
    # The first requests make what stays.
    check_others_are_served(server, "warm", 200)
    footprint = Footprint(server)
    yield server
    footprint.check_returned()
    server.stop()


def connection_count(connection: Connection) -> int:
    return stats(connection)["requests"]["connections"]


def wait_until_alone(server: Server) -> None:
    with server.connect() as watcher:
        wait_until(lambda: connection_count(watcher) == 1, "all the others are gone")


def test_ten_thousand_idle_connections_cost_little_and_hold_up_nobody(start_server, log):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < IDLE_CONNECTIONS + 500:
        pytest.skip(f"the limit of open files is below {IDLE_CONNECTIONS + 500}")
    patience = ("--header-deadline-seconds", "600", "--idle-timeout-seconds", "600")
    server = start_server("--connections-max", str(IDLE_CONNECTIONS + 100), *patience)
    check_others_are_served(server, log, 100)
    footprint = Footprint(server)
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            for number in range(IDLE_CONNECTIONS):
                one = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                # Some have begun a request.
                if number % 10 == 0:
                    one.send(b"POST /v1/logs/x/rec")
            check_others_are_served(server, log, 100)
            with server.connect() as watcher:
                wait_until(lambda: connection_count(watcher) == IDLE_CONNECTIONS + 1, "all are accepted")
            assert resident_bytes(server.pid) < footprint.memory + IDLE_CONNECTIONS * BYTES_PER_CONNECTION
        wait_until_alone(server)
        footprint.check_returned()
    with server.connect() as connection:
        assert len(read_all(connection, log)) == 300


def test_slow_heads_and_bodies_by_the_hundred_are_cut_and_append_nothing(crowded, log):
    starts = [
        b"P", b"POST " + records_target(log).encode(), b"POST / HTTP/1.1\r\nHost: a\r\nX: ",
        encode_request("POST", records_target(log), {"Content-Length": "1000000"}),
        encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}) + b"5\r\n",
        encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n0\r\nX: ",
    ]  # fmt: skip
    slow = [crowded.connect() for _ in range(600)]
    try:
        for number, connection in enumerate(slow):
            connection.send(starts[number % len(starts)])
        open_ones, drops, end = set(slow), SLOW_BYTES, time.monotonic() + 30
        while open_ones and time.monotonic() < end:
            for connection in list(open_ones):
                if drops == 0 and connection.has_ended():
                    open_ones.discard(connection)
                if drops > 0:
                    with contextlib.suppress(OSError):
                        connection.send(b"1")
            drops = max(drops - 1, 0)
            with crowded.connect() as other:
                append_ok(other, log + "-other", b"x")
        assert not open_ones, f"{len(open_ones)} were not cut"
    finally:
        for connection in slow:
            connection.close()
    wait_until_alone(crowded)
    with crowded.connect() as connection:
        assert not log_exists(connection, log)


@pytest.mark.parametrize("how", ["reset", "close", "half_close"])
def test_clients_that_leave_at_any_byte_of_a_request_append_it_whole_or_not_at_all(crowded, log, how):
    data = encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n0\r\n\r\n")
    leavers = [crowded.connect() for _ in range(len(data) + 1)]
    for length, leaver in enumerate(leavers):
        leaver.send(data[:length])
        getattr(leaver, how)()
    check_others_are_served(crowded, log + "-other")
    if how == "half_close":
        answers = [leaver.read_to_end() for leaver in leavers]
        assert [answer.startswith(b"HTTP/1.1 201 ") for answer in answers] == [False] * len(data) + [True]
        for leaver in leavers:
            leaver.close()
    wait_until_alone(crowded)
    with crowded.connect() as connection:
        assert read_all(connection, log) in ([], [b"hello"])


def test_clients_that_never_read_a_large_answer_cost_bounded_memory(crowded, log):
    with crowded.connect() as connection:
        for _ in range(4):
            append_ok(connection, log, b"x" * 1_000_000)
    footprint = Footprint(crowded)
    deaf = []
    try:
        for _ in range(300):
            connection = Connection(crowded.port)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.send(encode_request("GET", records_target(log, bytes=4_194_304)) * 3)
            deaf.append(connection)
        check_others_are_served(crowded, log + "-other", 100)
        assert resident_bytes(crowded.pid) < footprint.memory + UNREAD_ANSWERS_BYTES
    finally:
        for connection in deaf:
            connection.close()
    wait_until_alone(crowded)
    footprint.check_returned()


def test_thousands_of_connects_that_end_at_once_leave_nothing(crowded, log):
    footprint = Footprint(crowded)
    for _ in range(3):
        for number in range(2_000):
            one = socket.create_connection(("127.0.0.1", crowded.port))
            if number % 2:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if number % 4 == 0:
                one.send(encode_request("GET", "/healthz"))
            one.close()
        check_others_are_served(crowded, log)
        wait_until_alone(crowded)
    footprint.check_returned()


def test_heads_that_never_end_cost_no_more_than_their_buffer(crowded, log):
    footprint = Footprint(crowded)
    with contextlib.ExitStack() as stack:
        floods = [stack.enter_context(crowded.connect()) for _ in range(200)]
        for number, flood in enumerate(floods):
            with contextlib.suppress(OSError):
                flood.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
                flood.send((b"X" if number % 2 else b"X: y\r\n") * 50_000)
        check_others_are_served(crowded, log)
        assert resident_bytes(crowded.pid) < footprint.memory + len(floods) * 64 * 1024
        for flood in floods:
            assert flood.read_to_end().startswith((b"HTTP/1.1 431 ", b""))
    wait_until_alone(crowded)


def test_a_pipeline_whose_answers_are_read_late_is_answered_in_full(crowded, log):
    count = 500
    with crowded.connect() as connection:
        connection.send(encode_request("POST", records_target(log), {}, b"x") * count)
        connection.half_close()
        for number in range(count):
            assert check_appended(connection.read_response(), log)["first"] == number
        with pytest.raises(ConnectionEnded):
            connection.read_response()

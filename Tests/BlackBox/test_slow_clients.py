"""Clients that take too long are cut off, those that work are not, and too many at once are told so."""

from __future__ import annotations

import contextlib
import time

import pytest

from client import append_ok, check_problem, get, log_exists, read_all, records_target, stats
from rawhttp import Connection, encode_request
from server import Server, wait_until

DEADLINES = ("--header-deadline-seconds", "1", "--body-deadline-seconds", "2", "--idle-timeout-seconds", "3")
#: Far less than the server's defaults, far more than DEADLINES.
CUT_WITHIN_SECONDS = 12


def trickle_until_cut(connection: Connection, pieces) -> float:
    """Sends a piece every 50 ms until the server ends the connection; gives the seconds that took."""
    start = time.monotonic()
    connection.socket.settimeout(0.05)
    for piece in pieces:
        assert time.monotonic() - start < CUT_WITHIN_SECONDS, "not cut off"
        try:
            connection.send(piece)
            if connection.socket.recv(4096) == b"":
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    else:
        pytest.fail("all was sent")
    return time.monotonic() - start


def silent_until_cut(connection: Connection) -> float:
    """Waits, without sending, until the server ends the connection; gives the seconds that took."""
    start = time.monotonic()
    connection.socket.settimeout(CUT_WITHIN_SECONDS)
    connection.read_to_end()
    return time.monotonic() - start


@pytest.fixture(scope="module")
def impatient(workspace):
    """A server with deadlines of a few seconds."""
    server = Server(workspace / "impatient", *DEADLINES).start()
    yield server
    server.stop()


def test_a_head_that_never_ends_is_cut_off(impatient):
    for start in (b"", b"G", b"POST /v1/logs/a/records HTTP/1.1\r\nHost: a\r\n"):
        with impatient.connect() as connection:
            connection.send(start)
            assert silent_until_cut(connection) > 0.5


def test_a_head_that_trickles_in_is_cut_off(impatient):
    with impatient.connect() as connection:
        connection.send(b"POST /v1/logs/a/records HTTP/1.1\r\nHost: a\r\nSlow: ")
        assert trickle_until_cut(connection, [b"x"] * 1000) > 0.5


@pytest.mark.parametrize("start", [
    lambda log: encode_request("POST", records_target(log), {"Content-Length": "100"}),
    lambda log: encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}) + b"5\r\nhel",
])  # fmt: skip
def test_a_body_that_never_ends_is_cut_off_and_not_appended(impatient, log, start):
    with impatient.connect() as connection:
        connection.send(start(log))
        assert silent_until_cut(connection) > 1
    with impatient.connect() as connection:
        assert not log_exists(connection, log)


def test_a_body_that_trickles_in_is_cut_off_and_not_appended(impatient, log):
    with impatient.connect() as connection:
        connection.send(encode_request("POST", records_target(log), {"Content-Length": "1000"}))
        assert trickle_until_cut(connection, [b"x"] * 999) > 1
    with impatient.connect() as connection:
        assert not log_exists(connection, log)


def test_an_idle_connection_is_closed(impatient, log):
    with impatient.connect() as connection:
        append_ok(connection, log, b"x")
        assert silent_until_cut(connection) > 1


def test_a_connection_in_use_is_kept_beyond_every_deadline(impatient, log):
    with impatient.connect() as connection:
        start, count = time.monotonic(), 0
        while time.monotonic() - start < 4:
            append_ok(connection, log, b"%d" % count)
            count += 1
        assert read_all(connection, log) == [b"%d" % number for number in range(count)]


def test_slow_clients_do_not_hold_up_the_others(impatient, log):
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            slow = stack.enter_context(impatient.connect())
            slow.send(encode_request("POST", records_target(log + "-slow"), {"Content-Length": "10"}) + b"x")
        connection = stack.enter_context(impatient.connect())
        for number in range(20):
            append_ok(connection, log, b"%d" % number)
        assert not log_exists(connection, log + "-slow")


def test_a_client_that_does_not_read_its_answer_does_not_hold_up_the_others(start_server, log):
    server = start_server()
    with server.connect() as deaf, server.connect() as connection:
        for number in range(3):
            append_ok(connection, log, b"%d" % number * 1_000_000)
        for _ in range(20):
            deaf.send(encode_request("GET", records_target(log, bytes=4194304)))
        for number in range(20):
            append_ok(connection, log + "-other", b"%d" % number)
        assert len(read_all(connection, log + "-other")) == 20


def test_more_connections_than_the_limit_are_told_so_and_fit_again_later(start_server, log):
    server = start_server("--connections-max", "5")
    with contextlib.ExitStack() as stack:
        kept = [stack.enter_context(server.connect())]
        wait_until(lambda: stats(kept[0])["requests"]["connections"] == 1, "the connection that asked for readiness is gone")
        kept += [stack.enter_context(server.connect()) for _ in range(4)]
        for connection in kept:
            assert get(connection, "/healthz").status == 200
        with server.connect() as extra:
            extra.send(encode_request("GET", "/healthz"))
            response = extra.read_response()
            check_problem(response, 503, "overloaded", retryable=True)
            assert response.header("retry-after") == "1"
            assert extra.read_to_end() == b""
        append_ok(kept[0], log, b"still served")
        kept[1].close()
        wait_until(lambda: stats(kept[0])["requests"]["connections"] <= 4, "the closed one is gone")
        with server.connect() as again:
            append_ok(again, log, b"fits again")

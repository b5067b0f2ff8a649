"""Pages that wait for a record (`wait`)."""

from __future__ import annotations

import time

from client import append_ok, get, ndjson_records, records_target, stats
from rawhttp import Connection, encode_request
from server import Server, wait_until
from test_live import open_requests


def poll(server: Server, log: str, start: int, wait: int) -> Connection:
    """Sends a long poll; its answer is still to be read."""
    connection = server.connect()
    connection.send(encode_request("GET", records_target(log, **{"from": start, "wait": wait})))
    return connection


def test_an_append_answers_all_long_polls_for_its_offset(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, b"first")
    polls = [poll(server, log, 1 + number % 2, 30) for number in range(20)]
    append_ok(connection, log, b"second")
    for number in range(0, 20, 2):
        page = ndjson_records(polls[number].read_response().body)
        assert [record.data for record in page] == [b"second"]
    append_ok(connection, log, b"third")
    for number in range(1, 20, 2):
        page = ndjson_records(polls[number].read_response().body)
        assert [record.data for record in page] == [b"third"]


def test_a_long_poll_that_need_not_wait_does_not(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, b"first")
    with poll(server, log, 0, 30) as waiting:
        assert len(ndjson_records(waiting.read_response().body)) == 1


def test_a_long_poll_ends_with_an_empty_page(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, b"first")
    started = time.monotonic()
    with poll(server, log, 1, 1) as waiting:
        response = waiting.read_response()
        assert (response.status, response.body, response.header("next-offset")) == (200, b"", "1")
        assert time.monotonic() - started >= 1
        # The connection lives on.
        assert get(waiting, records_target(log)).status == 200


def test_a_stop_answers_long_polls_at_once(start_server, log: str) -> None:
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, log, b"first")
        polls = [poll(server, log, 1, 30) for _ in range(10)]
        wait_until(lambda: open_requests(server) == 11, "all connections")
        wait_until(lambda: stats(connection)["requests"]["long_polls"] == 10, "ten long polls")
    server.stop()
    for waiting in polls:
        response = waiting.read_response()
        assert (response.status, response.body) == (200, b"")


def test_a_long_poll_whose_client_reset_is_noticed(start_server, log: str) -> None:
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, log, b"first")
        polls = [poll(server, log, 1, 30) for _ in range(10)]
        wait_until(lambda: stats(connection)["requests"]["long_polls"] == 10, "ten long polls")
        for waiting in polls:
            waiting.reset()
        wait_until(lambda: open_requests(server) == 1, "the end of those who left")
    server.stop()


def test_a_half_closed_long_poll_is_answered(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, b"first")
    with poll(server, log, 1, 30) as waiting:
        waiting.half_close()
        append_ok(connection, log, b"second")
        assert [record.data for record in ndjson_records(waiting.read_response().body)] == [b"second"]

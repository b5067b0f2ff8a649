"""Live tails over server-sent events, and long polls: what they show, when, and to whom."""

from __future__ import annotations

import socket
import threading
import time

import pytest
from client import (
    FRAMED,
    NDJSON,
    RAW,
    append,
    append_ok,
    check_problem,
    framed,
    get,
    ndjson_records,
    records_target,
    stats,
    unframed,
)
from livetail import LiveTail
from rawhttp import Connection, ConnectionEnded, encode_request
from server import Server, wait_until

KEEP_ALIVE = ("--keep-alive-seconds", "1")


def open_requests(server: Server) -> int:
    """Connections that the server has, without the one that asks."""
    with server.connect() as connection:
        return stats(connection)["requests"]["connections"] - 1


def lines(first: int, count: int) -> bytes:
    return b"".join(b"record %d\n" % number for number in range(first, first + count))


# MARK: What is shown


def test_a_live_tail_shows_what_is_there_and_then_what_comes(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, lines(0, 3), NDJSON)
    with LiveTail(server.port, log) as tail:
        assert tail.response.status == 200
        assert tail.response.header("content-type") == "text/event-stream"
        assert tail.response.header("cache-control") == "no-store"
        assert tail.response.header("x-accel-buffering") == "no"
        assert tail.next().retry is not None
        for number in range(6):
            if number >= 3:
                append_ok(connection, log, b"record %d" % number)
            event = tail.next_record()
            assert (event.offset, event.text) == (number, f"record {number}")
        page = ndjson_records(get(connection, records_target(log)).body)
        assert len(page) == 6


def test_the_data_of_an_event_is_the_line_of_a_page(server: Server, connection: Connection, log: str) -> None:
    for record in (b"text", b"two\nlines\r\n", b"\xff\x00", b""" " \\ """, "ä€𝄞".encode(), b"data: id: 7"):
        append_ok(connection, log, record)
    page = get(connection, records_target(log)).body.decode().splitlines()
    with LiveTail(server.port, log) as tail:
        assert [tail.next_record().data for _ in page] == page


@pytest.mark.parametrize("start", [0, 1, 2, 3, 5])
def test_from_says_where_it_begins(server: Server, connection: Connection, log: str, start: int) -> None:
    append_ok(connection, log, lines(0, 3), NDJSON)
    with LiveTail(server.port, log, **{"from": start}) as tail:
        append_ok(connection, log, lines(3, 5), NDJSON)
        for number in range(start, 8):
            assert tail.next_record().offset == number


def test_last_event_id_wins_over_from_and_resumes_behind_it(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, lines(0, 10), NDJSON)
    with LiveTail(server.port, log, last_event_id=6, **{"from": 2}) as tail:
        assert tail.next_record().offset == 7


@pytest.mark.parametrize("value", ["x", "-1", "1.0", "18446744073709551615", "99999999999999999999", "1 2"])
def test_a_wrong_last_event_id_is_refused(server: Server, connection: Connection, log: str, value: str) -> None:
    append_ok(connection, log, b"x")
    with LiveTail(server.port, log, last_event_id=value) as tail:
        check_problem(tail.response, 400, "invalid_last_event_id")


def test_a_log_that_is_not_there_is_not_found(server: Server, log: str) -> None:
    with LiveTail(server.port, log) as tail:
        check_problem(tail.response, 404, "log_not_found")


def test_head_gives_the_head_alone(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, b"x")
    connection.send(encode_request("HEAD", records_target(log), {"Accept": "text/event-stream"}))
    response = connection.read_response(head=True)
    assert response.status == 200 and response.header("content-type") == "text/event-stream"
    assert connection.read_to_end() == b""


def test_http_1_0_gets_events_without_chunks(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, b"x")
    with server.connect() as old:
        old.send(f"GET {records_target(log)} HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n".encode())
        head = old._read_until(b"\r\n\r\n")
        assert b"chunked" not in head
        assert old._read_until(b"\n\n").startswith(b"retry: ")
        assert old._read_until(b"\n").startswith(b"id: 0")


def test_many_megabytes_are_caught_up_in_order(start_server, log: str) -> None:
    server = start_server()
    with server.connect() as connection:
        records = 0
        body = b"".join(b"%s %d\n" % (b"x" * 900, number) for number in range(1000))
        # More than the batches in memory: most of it comes from the disk, over several segments.
        for _ in range(40):
            records += append_ok(connection, log, body, NDJSON)["count"]
    with LiveTail(server.port, log) as tail:
        for number in range(records):
            event = tail.next_record()
            assert event.id == str(number)
            assert event.data.endswith(f'x {number % 1000}"}}')
    server.stop()


# MARK: Many subscribers


def test_200_subscribers_get_all_of_1000_records_in_order_while_they_are_appended(start_server, log: str) -> None:
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, log, lines(0, 100), NDJSON)
    tails = [LiveTail(server.port, log, **{"from": number % 120}) for number in range(200)]
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with server.connect() as connection:
                for number in range(100, 1000):
                    append_ok(connection, log, b"record %d" % number)
        except BaseException as failure:
            failures.append(failure)

    writer = threading.Thread(target=write)
    writer.start()
    for number, tail in enumerate(tails):
        for offset in range(number % 120, 1000):
            event = tail.next_record()
            assert (event.offset, event.text) == (offset, f"record {offset}")
    writer.join()
    assert not failures
    for tail in tails:
        tail.close()
    wait_until(lambda: open_requests(server) == 0, "the end of all connections")
    server.stop()


def test_a_cut_client_resumes_where_it_was(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, lines(0, 50), NDJSON)
    seen = []
    last = None
    for cut in range(10):
        with LiveTail(server.port, log, last_event_id=last) as tail:
            for _ in range(5 + cut % 3):
                event = tail.next_record()
                seen.append(event.offset)
                last = event.id
                if seen[-1] % 4 == 0:
                    append_ok(connection, log, b"another")
        append_ok(connection, log, b"between")
    assert seen == list(range(len(seen)))


def test_a_log_that_is_followed_beyond_the_limit_of_connections_is_refused_clearly(start_server, log: str) -> None:
    server = start_server("--connections-max", "8")
    with server.connect() as connection:
        append_ok(connection, log, b"x")
        tails = [LiveTail(server.port, log) for _ in range(7)]
        with LiveTail(server.port, log) as refused:
            check_problem(refused.response, 503, "overloaded", retryable=True)
        assert [tail.next_record().offset for tail in tails] == [0] * 7


# MARK: Slow clients and those who left


def resident_mib(server: Server) -> float:
    with open(f"/proc/{server.pid}/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))


def test_a_subscriber_that_is_too_slow_is_told_so_and_costs_bounded_memory(start_server, log: str) -> None:
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, log, b"first")
        slow = [LiveTail(server.port, log, receive_bytes=65536) for _ in range(20)]
        for tail in slow:
            assert tail.next_record().offset == 0
        with LiveTail(server.port, log, **{"from": 1}) as quick:
            before = resident_mib(server)
            body = b"y" * 100_000
            for number in range(1, 401):
                append_ok(connection, log, body)
                assert quick.next_record().offset == number
            # 40 MB went by; the shared events are 4 MiB, the last batches in memory 16 MiB.
            assert resident_mib(server) - before < 100
        for tail in slow:
            events = tail.rest()
            assert tail.ended_whole
            assert events[-1].comment == "too slow, resume with Last-Event-ID"
            offsets = [event.offset for event in events if event.data is not None]
            assert offsets == list(range(1, 1 + len(offsets))) and len(offsets) < 400
        last = len(offsets)
        with LiveTail(server.port, log, last_event_id=last) as again:
            for number in range(last + 1, 401):
                assert again.next_record().offset == number
    server.stop()


def test_a_subscriber_that_reads_nothing_is_cut_after_the_idle_time(start_server, log: str) -> None:
    server = start_server("--idle-timeout-seconds", "1")
    with server.connect() as connection:
        append_ok(connection, log, b"first")
        with LiveTail(server.port, log, receive_bytes=65536) as slow:
            assert slow.next_record().offset == 0
            for _ in range(40):
                append_ok(connection, log, b"y" * 100_000)
            connection.close()
            wait_until(lambda: open_requests(server) == 0, "the cut of the slow one")
    server.stop()


@pytest.mark.parametrize("way", ["reset", "close"])
def test_a_client_that_has_left_is_noticed(start_server, log: str, way: str) -> None:
    # A keep-alive is far away: the end of the client's side is enough to look.
    server = start_server("--keep-alive-seconds", "3600")
    with server.connect() as connection:
        append_ok(connection, log, b"x")
        tails = [LiveTail(server.port, log) for _ in range(10)]
        for tail in tails:
            assert tail.next_record().offset == 0
            tail.connection.reset() if way == "reset" else tail.close()
        wait_until(lambda: open_requests(server) == 1, "the end of those who left")
    server.stop()


def test_a_client_that_only_ends_sending_goes_on(start_server, log: str) -> None:
    server = start_server("--keep-alive-seconds", "3600")
    with server.connect() as connection:
        append_ok(connection, log, b"x")
        with LiveTail(server.port, log) as tail:
            assert tail.next_record().offset == 0
            tail.connection.half_close()
            assert tail.next_comment() == "keep-alive"
            for number in range(1, 4):
                append_ok(connection, log, b"x")
                assert tail.next_record().offset == number
    server.stop()


def test_a_keep_alive_comes_where_nothing_is_appended(start_server, log: str) -> None:
    server = start_server(*KEEP_ALIVE)
    with server.connect() as connection:
        append_ok(connection, log, b"x")
        with LiveTail(server.port, log) as tail:
            assert tail.next_record().offset == 0
            for _ in range(2):
                assert tail.next().comment == "keep-alive"
    server.stop()


# MARK: Stopping and crashes


def test_a_stop_ends_live_tails_with_a_word(start_server, log: str) -> None:
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, log, b"x")
    tails = [LiveTail(server.port, log) for _ in range(100)]
    for tail in tails:
        assert tail.next_record().offset == 0
    server.stop()
    for tail in tails:
        assert [event.comment for event in tail.rest()] == ["draining, resume with Last-Event-ID"]
        assert tail.ended_whole


def test_what_was_shown_before_a_kill_is_there_after_it(start_server, log: str) -> None:
    server = start_server()
    for _ in range(5):
        with server.connect() as connection:
            append_ok(connection, log, b"first of this life")
        tail = LiveTail(server.port, log)
        stop = threading.Event()

        def write() -> None:
            try:
                with server.connect() as connection:
                    number = 0
                    while not stop.is_set():
                        append(connection, log, b"record %d" % number)
                        number += 1
            except (ConnectionError, ConnectionEnded):
                pass  # the kill

        writers = [threading.Thread(target=write) for _ in range(8)]
        for writer in writers:
            writer.start()
        shown = [tail.next_record() for _ in range(300)]
        server.kill()
        stop.set()
        shown += [event for event in tail.rest() if event.data is not None]
        for writer in writers:
            writer.join()
        server.start()
        with LiveTail(server.port, log) as again:
            for event in shown:
                assert again.next_record() == event
    server.stop()

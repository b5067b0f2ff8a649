"""Many connections with a POST in flight at the same moment, around libmicrohttpd's trap at 128 ready sockets."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from client import check_appended, get, read_all, records_target, stats
from rawhttp import encode_request
from server import Server, wait_until


@pytest.fixture
def clients(server):
    """Opens connections; all are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda count: [stack.enter_context(server.connect()) for _ in range(count)]


@contextlib.contextmanager
def stopped(server: Server):
    """Stops the process while the block runs, so that all that is sent in it is ready at once afterwards."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: process_state(server.pid) == "T", "the server stands still")
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


def process_state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def check_all_appended(server: Server, log: str, connections: list, per_connection: int = 1) -> None:
    """Every connection gets its 201, the offsets are dense, and stats and log agree."""
    answers = [check_appended(connection.read_response(), log) for connection in connections for _ in range(per_connection)]
    count = len(connections) * per_connection
    assert sorted(answer["first"] for answer in answers) == list(range(count))
    assert get(connections[0], f"/v1/logs/{log}").json()["records"] == count
    assert sorted(read_all(connections[-1], log)) == sorted(b"record %d" % number for number in range(count))


@pytest.mark.parametrize("count", [1, 127, 128, 129, 255, 256, 500])
def test_all_posts_that_become_ready_at_once_are_answered(server, clients, log, count):
    connections = clients(count)
    for connection in connections:
        assert get(connection, "/healthz").status == 200
    with stopped(server):
        for number, connection in enumerate(connections):
            connection.send(encode_request("POST", records_target(log), {}, b"record %d" % number))
    check_all_appended(server, log, connections)


@pytest.mark.parametrize("count", [127, 128, 129, 500])
def test_all_posts_that_are_completed_by_their_last_byte_are_answered(server, clients, log, count):
    connections = clients(count)
    requests = [encode_request("POST", records_target(log), {}, b"record %d" % number) for number in range(count)]
    for connection, request in zip(connections, requests):
        connection.send(request[:-1])
    with server.connect() as watcher:
        wait_until(lambda: stats(watcher)["requests"]["connections"] > count, "all are connected")
    with stopped(server):
        for connection, request in zip(connections, requests):
            connection.send(request[-1:])
    check_all_appended(server, log, connections)


@pytest.mark.parametrize("count", [11, 128, 500])
def test_connections_that_arrive_at_once_are_all_accepted(server, clients, log, count):
    connections = clients(count)
    for number, connection in enumerate(connections):
        connection.send(encode_request("POST", records_target(log), {}, b"record %d" % number))
    check_all_appended(server, log, connections)


def test_pipelines_on_many_connections_are_all_answered(server, clients, log):
    connections = clients(128)
    with stopped(server):
        for at, connection in enumerate(connections):
            for number in range(4 * at, 4 * at + 4):
                connection.send(encode_request("POST", records_target(log), {}, b"record %d" % number))
    check_all_appended(server, log, connections, per_connection=4)


def test_many_appends_share_syncs(server, clients, log):
    connections = clients(500)
    before = stats(connections[0])["wal"]
    for _ in range(3):
        with stopped(server):
            for connection in connections:
                connection.send(encode_request("POST", records_target(log), {}, b"shared"))
        for connection in connections:
            check_appended(connection.read_response(), log)
    after = stats(connections[0])["wal"]
    records, batches = after["records"] - before["records"], after["batches"] - before["batches"]
    assert records == 1500
    assert records / batches > 10, f"{records} records in {batches} batches"

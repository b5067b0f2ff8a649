"""Ten times what the limits allow: the rest is refused as documented, memory stays bounded, and who was served before is served on.

Nothing here depends on speed; `bench/overload` measures that.
"""

from __future__ import annotations

import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from abuse import resident_bytes
from client import append, append_ok, check_appended, read_all, records_target, stats
from livetail import EVENTS, LiveTail
from rawhttp import Connection, ConnectionEnded, encode_request
from server import Server, wait_until
from test_overload import check_row

#: Memory that small limits leave the server, over what it has without load: 16 MiB of newest batches, as much of staging buffers and
#: what the allocator keeps of connections and bodies.
GROWTH_BYTES_MAX = 48 << 20

#: Memory of a live tail beside the shared events.
SUBSCRIBER_BYTES_MAX = 16 << 10


class MemoryWatch:
    """The most memory that a server had while the block ran."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.before = self.most = resident_bytes(server.pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            self.most = max(self.most, resident_bytes(self.server.pid))

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def growth(self) -> int:
        return max(self.most, resident_bytes(self.server.pid)) - self.before


def wait_until_alone(server: Server) -> None:
    """Waits for the end of connections of before, among them the one that asked for readiness and the one that asks here."""

    def descriptors() -> int:
        return sum(path.resolve().name.startswith("socket:") for path in Path(f"/proc/{server.pid}/fd").iterdir())

    with server.connect() as connection:
        wait_until(lambda: stats(connection)["requests"]["connections"] == 1, "the end of all others")
        sockets = descriptors()
    wait_until(lambda: descriptors() < sockets, "the end of the one that asked")


def test_ten_times_the_pending_limit_is_refused_and_the_server_goes_on(start_server, log):
    """Many more bytes at once than may wait: what is taken is there, the rest is refused, and nothing else suffers."""
    server = start_server("--request-body-bytes-max", "60000", "--pending-bytes-max", "300000")
    taken, refused = [], []

    def post(number: int) -> None:
        with server.connect() as connection:
            for turn in range(20):
                response = append(connection, log, b"%05d%05d" % (number, turn) * 5_000)
                if response.status == 201:
                    taken.append(check_appended(response, log)["first"])
                else:
                    check_row(response, "overloaded", "appends wait for the disk")
                    refused.append(response)

    with MemoryWatch(server) as memory, ThreadPoolExecutor(60) as pool:
        list(pool.map(post, range(60)))
    assert sorted(taken) == list(range(len(taken))) and len(taken) >= 20
    assert len(taken) + len(refused) == 60 * 20
    assert memory.growth < GROWTH_BYTES_MAX
    with server.connect() as connection:
        assert stats(connection)["wal"]["pending_bytes"] == 0
        append_ok(connection, log, b"serves on")


def test_ten_times_the_connections_are_told_so_and_those_that_are_served_notice_nothing(start_server, log):
    """20 connections are served, and 200 clients want to be, again and again."""
    server = start_server("--connections-max", "20", "--request-body-bytes-max", "60000", "--pending-bytes-max", "300000")
    wait_until_alone(server)
    held = [server.connect() for _ in range(10)]
    for connection in held:
        append_ok(connection, log, b"held")
    stop = threading.Event()
    counts = {"taken": 0, "refused": 0, "held": 0}
    lock = threading.Lock()

    def note(what: str) -> None:
        with lock:
            counts[what] += 1

    def attempt(number: int) -> None:
        while not stop.is_set():
            with server.connect() as connection:
                connection.send(encode_request("POST", records_target(log), {}, b"%d" % number))
                response = connection.read_response()
                if response.status == 201:
                    note("taken")
                else:
                    check_row(response, "overloaded", "connections")
                    note("refused")

    def go_on(connection: Connection) -> None:
        """One that was there before: each of its appends is taken."""
        for _ in range(50):
            append_ok(connection, log, b"held")
            note("held")

    with MemoryWatch(server) as memory, ThreadPoolExecutor(220) as pool:
        attempts = [pool.submit(attempt, number) for number in range(200)]
        wait_until(lambda: counts["refused"] >= 100, "refusals")
        for future in [pool.submit(go_on, connection) for connection in held]:
            future.result()
        wait_until(lambda: counts["refused"] >= 300 and counts["taken"] >= 10, "many of both answers")
        stop.set()
        for future in attempts:
            future.result()
    assert memory.growth < GROWTH_BYTES_MAX
    with held[0] as connection:
        assert stats(connection)["wal"]["records"] == counts["taken"] + counts["held"] + 10, "a refused append is there"
        assert len(read_all(connection, log)) == counts["taken"] + counts["held"] + 10
        for other in held[1:]:
            other.close()
        wait_until(lambda: stats(connection)["requests"]["connections"] == 1, "the end of the others")


def test_thousands_of_live_tails_are_served_and_those_beyond_the_limit_refused(start_server, log):
    # As many as the descriptors of this process allow; the server has a table of its own.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(4_000, most - 1_000)
    assert count >= 500, "too few open files are allowed for this test"
    server = start_server("--subscribers-max", str(count), "--connections-max", str(count + 300))
    with server.connect() as connection:
        append_ok(connection, log, b"first")
        memory = MemoryWatch(server)
        with memory:
            tails = [LiveTail(server.port, log) for _ in range(count)]
            assert stats(connection)["requests"]["subscribers"] == count
            for _ in range(200):
                check_row(connection.request("GET", records_target(log), {"Accept": EVENTS}), "overloaded", "live tails")
            for number in range(1, 20):
                append_ok(connection, log, b"%d" % number * 500)
            for tail in tails:
                assert [tail.next_record().offset for _ in range(20)] == list(range(20))
        assert memory.growth < GROWTH_BYTES_MAX + count * SUBSCRIBER_BYTES_MAX
        # Those who leave make room for as many.
        for tail in tails[:100]:
            tail.connection.reset()
        wait_until(lambda: stats(connection)["requests"]["subscribers"] == count - 100, "room")
        tails[:100] = [LiveTail(server.port, log, last_event_id=19) for _ in range(100)]
        check_row(connection.request("GET", records_target(log), {"Accept": EVENTS}), "overloaded", "live tails")
        append_ok(connection, log, b"last")
        for tail in tails:
            assert tail.next_record().offset == 20
            tail.close()
        wait_until(lambda: stats(connection)["requests"]["subscribers"] == 0, "the end of all")
    server.stop()


def test_clients_beyond_the_queue_of_refusals_are_answered_in_the_end(start_server, log):
    """More at once than are accepted to be refused: the rest waits in the kernel's queue, and each gets an answer."""
    server = start_server("--connections-max", "2")
    wait_until_alone(server)
    with server.connect() as one, server.connect() as two:
        append_ok(one, log, b"x")
        append_ok(two, log, b"x")
        crowd = [server.connect() for _ in range(300)]
        refused = 0
        for connection in crowd:
            try:
                connection.send(encode_request("GET", "/healthz"))
                check_row(connection.read_response(), "overloaded", "connections")
                refused += 1
            except (ConnectionError, ConnectionEnded):
                # Refused before it had sent its request.
                pass
            connection.close()
        assert refused > 0
        append_ok(one, log, b"served on")
        append_ok(two, log, b"served on")

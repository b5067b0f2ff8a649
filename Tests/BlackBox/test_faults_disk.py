"""The disk under the running server fails, fills up or stalls: a real ext4 on a disk of ours that does so on command (Tests/PowerCut).

docs/DURABILITY.md, "Faults of the running machine", says for each fault what is promised; these tests hold the server to it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from client import append, append_ok, check_appended, check_problem, get, read_all, records_target, send_json, stats
from outcomes import check_outcomes, start_writing
from rawhttp import Connection, ConnectionEnded, encode_request
from server import REPOSITORY, SMALL_SEGMENT_BYTES, Server, StartFailed, refused_start, wait_until

sys.path.insert(0, str(REPOSITORY / "Tests/PowerCut"))
from disk import MIB, Disk, Unavailable, require  # noqa: E402

#: Each engine with the mode in which it differs most from the other.
WAYS = [("io_uring", "direct"), ("syscalls", "direct"), ("io_uring", "buffered"), ("syscalls", "buffered")]


@pytest.fixture
def disk(workspace):
    """An ext4 that fails on command."""
    # A short path: the name of a socket has 107 bytes at most.
    path = Path(tempfile.mkdtemp(prefix="disk-", dir=workspace))
    try:
        require("ext4")
        with Disk(path, "ext4", size_bytes=64 * MIB) as disk:
            yield disk
    except Unavailable as reason:
        pytest.skip(str(reason))
    finally:
        shutil.rmtree(path)


@pytest.fixture
def serve(disk):
    """Starts servers on that disk, and kills what still runs of them before it is unmounted."""
    started: list[Server] = []

    def start(*flags: str, ready: bool = True) -> Server:
        server = Server(disk.mount_point / "data", *flags)
        started.append(server)
        return server.start(ready)

    yield start
    disk.clear()
    for server in started:
        server.kill()
        sys.stderr.write(server.log)


def restart(disk, serve) -> Server:
    """A healthy disk, mounted anew as after a repair, and a server on it."""
    disk.clear()
    disk.unmount()
    disk.mount()
    return serve()


@pytest.mark.parametrize("engine, mode", WAYS)
@pytest.mark.parametrize("operation, error", [("write", "eio"), ("write", "enospc"), ("flush", "eio")])
def test_a_disk_that_fails_for_good_ends_the_server_without_a_false_answer(disk, serve, log, engine, mode, operation, error):
    server = serve("--engine", engine, "--mode", mode)
    outcomes = start_writing(server, log, filler=b"f" * 500)
    wait_until(lambda: len(outcomes.acknowledged) >= 100, "some answers")
    disk.fail(operation, error)
    assert server.wait() == 1, f"not an orderly end:\n{server.log}"
    outcomes.join()
    assert "poisoned" in server.log and "find out what is wrong with the disk" in server.log
    assert outcomes.effects()["unknown"], "the requests of the failed batch were not told so"
    check_outcomes(restart(disk, serve), log, outcomes)


@pytest.mark.parametrize("engine, mode", WAYS)
@pytest.mark.parametrize("operation", ["write", "flush"])
def test_a_disk_that_fails_once_is_not_asked_again(disk, serve, log, engine, mode, operation):
    server = serve("--engine", engine, "--mode", mode)
    with server.connect() as connection:
        append_ok(connection, log, b"before")
        wait_until(lambda: stats(connection)["wal"]["disk_bytes"] == 2 * SMALL_SEGMENT_BYTES, "nothing but commits writes")
    # Else the one that fails may be the file system's own, of its journal.
    subprocess.run(["sync", "-f", disk.mount_point], check=True)
    disk.fail(operation, "eio", next=1)
    outcomes = start_writing(server, log)
    assert server.wait() == 1, f"not an orderly end:\n{server.log}"
    outcomes.join()
    assert not outcomes.acknowledged, "acknowledged though its write or sync failed: the second try proves nothing"
    assert disk.statistics()[f"failed_{'writes' if operation == 'write' else 'flushes'}"] == 1
    outcomes.acknowledged[0] = b"before"
    check_outcomes(restart(disk, serve), log, outcomes)


@pytest.mark.parametrize("error", ["eio", "enospc"])
def test_a_seal_that_fails_poisons_and_the_stop_says_so(disk, serve, log, error):
    server = serve()
    with server.connect() as connection:
        append_ok(connection, log, b"acknowledged")
        disk.fail("write", error)
        server.signal(signal.SIGTERM)
    assert server.wait() == 1, f"a stop that could not seal ended with 0:\n{server.log}"
    with restart(disk, serve).connect() as connection:
        assert read_all(connection, log) == [b"acknowledged"]


@pytest.mark.parametrize("operation, error", [("write", "eio"), ("write", "enospc"), ("flush", "eio"), ("read", "eio")])
def test_a_start_on_a_failing_disk_is_refused_with_the_cause_and_loses_nothing(disk, serve, log, operation, error):
    first = serve()
    with first.connect() as connection:
        append_ok(connection, log, b"acknowledged")
    first.stop()
    disk.unmount()
    disk.mount()
    disk.fail(operation, error)
    message = refused_start(disk.mount_point / "data", "--segment-bytes", str(SMALL_SEGMENT_BYTES))
    assert "errno" in message, message
    with restart(disk, serve).connect() as connection:
        assert read_all(connection, log) == [b"acknowledged"]


@pytest.mark.parametrize("engine", ["io_uring", "syscalls"])
def test_a_read_that_fails_is_an_error_of_that_read_alone(disk, serve, log, engine):
    record = os.urandom(700_000)
    with (first := serve()).connect() as connection:
        for _ in range(12):
            append_ok(connection, log, record)
    first.stop()
    # A start reads the active segment only; the records before it are nowhere in memory.
    disk.unmount()
    disk.mount()
    server = serve("--engine", engine)
    with server.connect() as connection:
        disk.fail("read", "eio")
        response = get(connection, records_target(log, limit=1))
        check_problem(response, 500, "record_damaged", retryable=True)
        assert append_ok(connection, log, b"appends go on")["first"] == 12
        assert stats(connection)["ready"]
        disk.clear()
        assert read_all(connection, log) == [record] * 12 + [b"appends go on"]
    server.stop()


def fill(disk) -> None:
    """Takes every block of the file system that a file can have."""
    with open(disk.mount_point / "filler", "wb", buffering=0) as filler:
        size = MIB
        while size >= 4096:
            try:
                filler.write(bytes(size))
            except OSError:
                size //= 2
        os.fsync(filler.fileno())


def test_a_full_file_system_gives_507_and_reads_and_takes_appends_again_when_there_is_room(disk, serve, log):
    server = serve()
    record = os.urandom(700_000)
    sent = []
    with server.connect() as connection:
        append_ok(connection, log, record)
        sent.append(record)
        wait_until(lambda: stats(connection)["wal"]["disk_bytes"] == 2 * SMALL_SEGMENT_BYTES, "the spare is there")
        fill(disk)
        while (response := append(connection, log, record)).status == 201:
            sent.append(record)
        check_problem(response, 507, "disk_full", retryable=True)
        assert len(sent) > SMALL_SEGMENT_BYTES // len(record), "the space set aside was not used"
        assert stats(connection)["ready"] and not stats(connection)["wal"]["poisoned"]
        assert read_all(connection, log) == sent
        assert "No space left on device" in server.log, server.log
        (disk.mount_point / "filler").unlink()
        wait_until(lambda: append(connection, log, record).status == 201, "appends again")
        sent.append(record)
        for _ in range(12):
            append_ok(connection, log, record)
            sent.append(record)
        assert read_all(connection, log) == sent
    server.stop()
    with serve().connect() as connection:
        assert read_all(connection, log) == sent


def test_a_trim_frees_a_full_disk_though_a_cold_log_has_records_in_every_segment(disk, serve, log):
    server = serve()
    record = os.urandom(700_000)
    cold = []
    with server.connect() as connection:
        while True:
            response = append(connection, log, record)
            if response.status != 201:
                break
            if append(connection, f"{log}.cold", b"cold %d" % len(cold)).status == 201:
                cold.append(b"cold %d" % len(cold))
        check_problem(response, 507, "disk_full", retryable=True)
        before = stats(connection)["wal"]["disk_bytes"]
        summary = connection.request("GET", f"/v1/logs/{log}").json()
        trimmed = send_json(connection, "POST", f"/v1/logs/{log}/trim", {"before": summary["next"]})
        assert trimmed.status == 200, trimmed.body
        wait_until(lambda: stats(connection)["wal"]["disk_bytes"] <= 3 * SMALL_SEGMENT_BYTES, "the segments to go")
        assert before > 10 * SMALL_SEGMENT_BYTES
        wait_until(lambda: append(connection, log, record).status == 201, "appends again")
        assert read_all(connection, f"{log}.cold") == cold
    server.stop()
    with serve().connect() as connection:
        assert read_all(connection, f"{log}.cold") == cold


def test_a_server_starts_on_a_full_file_system_reads_and_refuses_only_what_has_no_room(disk, serve, log):
    first = serve()
    with first.connect() as connection:
        append_ok(connection, log, b"acknowledged")
        wait_until(lambda: stats(connection)["wal"]["disk_bytes"] == 2 * SMALL_SEGMENT_BYTES, "the spare is there")
    first.stop()
    fill(disk)
    server = serve()
    with server.connect() as connection:
        assert read_all(connection, log) == [b"acknowledged"]
        assert append_ok(connection, log, b"fits what was set aside")["first"] == 1
    server.stop()
    assert "No space left on device" in refused_start(disk.mount_point / "other", "--segment-bytes", str(SMALL_SEGMENT_BYTES))
    with serve().connect() as connection:
        assert len(read_all(connection, log)) == 2


def test_a_read_only_file_system_is_refused_and_not_touched(disk, serve, log):
    first = serve()
    with first.connect() as connection:
        append_ok(connection, log, b"acknowledged")
    first.stop()
    disk.unmount()
    disk.mount(read_only=True)
    for name in ("data", "new"):
        message = refused_start(disk.mount_point / name)
        assert str(disk.mount_point / name) in message and "Read-only file system" in message
    disk.unmount()
    disk.mount()
    with serve().connect() as connection:
        assert read_all(connection, log) == [b"acknowledged"]


def resident_bytes(server: Server) -> int:
    """What the process holds in memory now."""
    with open(f"/proc/{server.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def stalled_append(server: Server, log: str, body: bytes) -> Connection:
    """A connection on which an append waits."""
    connection = server.connect()
    connection.send(encode_request("POST", records_target(log), {}, body))
    return connection


@pytest.mark.parametrize("engine, mode", [("io_uring", "direct"), ("syscalls", "buffered")])
def test_a_stalled_disk_acknowledges_nothing_refuses_what_is_too_much_and_goes_on(disk, serve, log, engine, mode):
    server = serve("--engine", engine, "--mode", mode)
    body = os.urandom(1_000_000)
    with server.connect() as connection:
        append_ok(connection, log, b"before")
        before = resident_bytes(server)
        disk.stall()
        with ThreadPoolExecutor(100) as pool:

            def post(number: int):
                with server.connect() as connection:
                    return append(connection, log, b"%03d" % number + body)

            answers = [pool.submit(post, number) for number in range(100)]
            try:
                # What is over the limit is answered during the stall; nothing else is.
                wait_until(lambda: sum(answer.done() for answer in answers) >= 20, "refusals during the stall")
                for answer in answers:
                    if answer.done():
                        check_problem(answer.result(), 503, "overloaded", retryable=True)
                        assert answer.result().header("retry-after") == "1"
                assert read_all(connection, log) == [b"before"]
                wal = stats(connection)["wal"]
                assert wal["pending_records"] > 0 and wal["records"] == 1
                assert get(connection, "/readyz").status == 200
                grown = resident_bytes(server) - before
                print(f"{grown >> 20} MiB more for what waits")
                assert grown < 110 * MIB, f"{grown >> 20} MiB for what waits, of which bodies are 64 MiB at most"
            finally:
                disk.go()
            taken = sorted(check_appended(answer.result(), log)["first"] for answer in answers if answer.result().status == 201)
        assert taken == list(range(1, len(taken) + 1)) and taken, "after the stall all that waited is acknowledged"
        assert append_ok(connection, log, b"after")["first"] == len(taken) + 1
    server.stop()


@pytest.mark.parametrize("engine, mode", [("io_uring", "direct"), ("syscalls", "direct"), ("io_uring", "buffered")])
def test_a_stop_during_a_stall_ends_at_its_deadline_and_says_what_is_not_durable(disk, serve, log, engine, mode):
    server = serve("--engine", engine, "--mode", mode, "--drain-deadline-seconds", "1")
    with server.connect() as connection:
        append_ok(connection, log, b"acknowledged")
        disk.stall()
        waiting = [stalled_append(server, log, b"waits %d" % number) for number in range(5)]
        wait_until(lambda: stats(connection)["wal"]["pending_records"] == 5, "all wait for the disk")
        server.signal(signal.SIGTERM)
        wait_until(lambda: "not durable and were not acknowledged" in server.log, "the deadline")
        assert "records=5" in server.log, server.log
    # The kernel lets a process go when its calls have ended: of some it waits for the disk.
    disk.go()
    assert server.wait() == 1
    for connection in waiting:
        assert not connection.read_to_end().startswith(b"HTTP/1.1 2"), "acknowledged and then said not to be durable"
    with restart(disk, serve).connect() as connection:
        records = read_all(connection, log)
    assert records[0] == b"acknowledged" and set(records[1:]) <= {b"waits %d" % number for number in range(5)}


def test_a_kill_during_a_stall_loses_nothing_and_the_next_start_waits_for_the_disk(disk, serve, log):
    server = serve()
    with server.connect() as connection:
        for number in range(10):
            append_ok(connection, log, b"%d" % number)
        disk.stall()
        waiting = [stalled_append(server, log, b"waits %d" % number) for number in range(5)]
        wait_until(lambda: stats(connection)["wal"]["pending_records"] == 5, "all wait for the disk")
        wait_until(lambda: disk.statistics()["held"] > 0, "a write is with the disk")
    server.process.kill()
    next_server = Server(server.data_dir)
    starting = threading.Thread(target=lambda: next_server.start(ready=False), daemon=True)
    starting.start()
    try:
        disk.go()
        starting.join(30)
        wait_until(next_server.is_ready, "readiness once the disk goes on")
        with next_server.connect() as connection:
            records = read_all(connection, log)
            assert records[:10] == [b"%d" % number for number in range(10)]
            assert set(records[10:]) <= {b"waits %d" % number for number in range(5)}
            assert append_ok(connection, log, b"after")["first"] == len(records)
    finally:
        next_server.kill()
        server.wait()
        for connection in waiting:
            connection.close()

"""The kernel refuses io_uring, memory or descriptors, at the start and later: the server goes on where it can, and else ends
without having acknowledged anything that is not on the disk (docs/DURABILITY.md, "Faults of the running machine")."""

from __future__ import annotations

import resource
import shutil
import threading

import pytest

from client import append, append_ok, check_problem, get, read_all, records_target, stats
from injection import failing
from outcomes import check_outcomes, start_writing
from rawhttp import ConnectionEnded, encode_request
from server import SMALL_SEGMENT_BYTES, StartFailed, wait_until

DENIALS = ["EPERM", "ENOSYS", "ENOMEM"]


@pytest.fixture(autouse=True)
def needs_io_uring(io_uring_denial):
    if io_uring_denial is not None:
        pytest.skip(f"this machine gives no io_uring: {io_uring_denial}")


@pytest.mark.parametrize("call", ["io_uring_enter", "io_uring_register"])
@pytest.mark.parametrize("error", DENIALS)
def test_a_ring_that_may_be_made_and_not_used_is_replaced_by_system_calls(start_server, log, call, error):
    server = start_server(wrapper=failing(call, error))
    with server.connect() as connection:
        engine = stats(connection)["engine"]
        assert (engine["name"], call in engine["reason"] or "io_uring" in engine["reason"]) == ("syscalls", True), engine
        append_ok(connection, log, b"x")
        assert read_all(connection, log) == [b"x"]
    server.stop()


@pytest.mark.parametrize("call", ["io_uring_enter", "io_uring_register", "io_uring_setup"])
def test_an_engine_that_was_asked_for_and_cannot_be_used_is_refused_by_name(start_server, directory, call):
    with pytest.raises(StartFailed, match="io_uring was asked for and refused"):
        start_server("--engine", "io_uring", wrapper=failing(call, "EPERM"))
    assert not directory.exists(), "a refused start left something behind"


@pytest.mark.parametrize("mode", ["direct", "buffered"])
@pytest.mark.parametrize("error, when", [("EPERM", "150+"), ("ENOSYS", "150+"), ("ENOMEM", "150+"), ("ENOMEM", "150")])
def test_a_ring_that_fails_while_the_server_runs_ends_it_without_a_false_answer(start_server, log, mode, error, when):
    server = start_server("--mode", mode, wrapper=failing("io_uring_enter", error, when=when))
    outcomes = start_writing(server, log)
    assert server.wait() == 1, f"not an orderly end:\n{server.log}"
    outcomes.join()
    assert "Fatal error" not in server.log
    assert "io_uring_enter" in server.log and error in server.log, server.log
    assert "--engine syscalls" in server.log, "the last line does not say what to do"
    assert outcomes.refused or outcomes.unanswered
    check_outcomes(start_server("--engine", "syscalls"), log, outcomes)


@pytest.mark.parametrize("mode", ["direct", "buffered"])
@pytest.mark.parametrize("error", ["EAGAIN", "EBUSY"])
def test_a_kernel_that_has_no_memory_for_requests_for_a_while_is_asked_again(start_server, workspace, log, mode, error):
    trace = workspace / f"strace-{mode}-{error}"
    server = start_server("--mode", mode, wrapper=failing("io_uring_enter", error, trace, when="100..400"))
    with server.connect() as connection:
        records = [b"%d" % number for number in range(50)]
        for number, record in enumerate(records):
            assert append_ok(connection, log, record)["first"] == number
        wait_until(lambda: stats(connection)["ready"] and trace.read_text().count("(INJECTED)") == 301, "the refusals are over")
        append_ok(connection, log, b"after")
        assert read_all(connection, log) == [*records, b"after"]
    server.stop()


def test_reads_under_way_when_the_ring_fails_are_answered_and_not_left_hanging(start_server, log):
    record = b"r" * 900_000
    with (first := start_server()).connect() as connection:
        for _ in range(8):
            append_ok(connection, log, record)
    first.stop()
    # After a start nothing is in memory: every read goes through the ring.
    server = start_server(wrapper=failing("io_uring_enter", "EPERM", when="60+"))
    ended = []

    def read() -> None:
        try:
            with server.connect() as connection:
                while (response := get(connection, records_target(log, bytes=4194304))).status == 200:
                    pass
                ended.append(response)
        except (ConnectionEnded, ConnectionError):
            ended.append(None)

    readers = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    for reader in readers:
        reader.start()
    assert server.wait(20) == 1, f"not an orderly end:\n{server.log}"
    for reader in readers:
        reader.join(20)
    assert len(ended) == len(readers)
    for response in filter(None, ended):
        check_problem(response, 500, "record_damaged", retryable=True)
    with start_server().connect() as connection:
        assert read_all(connection, log) == [record] * 8


@pytest.mark.parametrize("error", DENIALS)
def test_a_ring_whose_file_slot_cannot_be_changed_turns_segments_all_the_same(start_server, workspace, log, error):
    trace = workspace / f"strace-register-{error}"
    # Files, buffers, restrictions, enabling, the first segment; then the slot changes with each segment.
    server = start_server(wrapper=failing("io_uring_register", error, trace, when="6+"))
    records = [b"%05d" % number * 150_000 for number in range(14)]
    assert sum(map(len, records)) > 2 * SMALL_SEGMENT_BYTES
    with server.connect() as connection:
        assert stats(connection)["engine"]["name"] == "io_uring"
        for number, record in enumerate(records):
            assert append_ok(connection, log, record)["first"] == number
        assert stats(connection)["wal"]["segments"] >= 3
        assert read_all(connection, log) == records
    server.stop()
    assert "(INJECTED)" in trace.read_text()
    with start_server().connect() as connection:
        assert read_all(connection, log) == records


@pytest.mark.parametrize("when", ["1", "2"])
def test_a_kernel_that_gives_no_thread_is_named_at_the_start(start_server, when):
    with pytest.raises(StartFailed, match="pthread_create.*Resource temporarily unavailable") as refusal:
        start_server("--engine", "syscalls", wrapper=failing("/^clone", "EAGAIN", when=when))
    assert "ended with 1" in str(refusal.value) and "Fatal error" not in str(refusal.value)


@pytest.fixture
def without_locked_memory() -> list[str]:
    """What to put before a command so that it may lock no memory, root or not."""
    for tool in ("prlimit", "setpriv"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    return ["prlimit", "--memlock=0:0", "setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]


def test_without_locked_memory_it_serves_with_unregistered_buffers_or_system_calls(start_server, without_locked_memory, log):
    server = start_server(wrapper=without_locked_memory)
    with server.connect() as connection:
        assert stats(connection)["engine"]["name"] in ("io_uring", "syscalls")
        append_ok(connection, log, b"x" * 500_000)
        assert read_all(connection, log) == [b"x" * 500_000]
    server.stop()


def test_too_few_descriptors_are_refused_at_the_start_with_the_limit_named(start_server, directory):
    with pytest.raises(StartFailed, match=r"open files|ulimit -n"):
        start_server(wrapper=["prlimit", "--nofile=12:12"])


def test_more_clients_than_descriptors_are_told_so_and_harm_nobody(start_server, log):
    server = start_server(wrapper=["prlimit", "--nofile=300:300"])
    with server.connect() as first:
        append_ok(first, log, b"1")
        crowd = [server.connect() for _ in range(400)]
        assert append_ok(first, log, b"2")["first"] == 1
        for connection in crowd:
            connection.close()
        wait_until(lambda: stats(first)["requests"]["connections"] == 1, "the crowd is gone")
        with server.connect() as other:
            assert append_ok(other, log, b"3")["first"] == 2
    server.stop()


def test_descriptors_that_run_out_while_it_runs_stop_appends_and_come_back(start_server, log):
    server = start_server()
    record = b"x" * 900_000
    with server.connect() as connection:
        append_ok(connection, log, record)
        wait_until(lambda: stats(connection)["wal"]["disk_bytes"] == 2 * SMALL_SEGMENT_BYTES, "the spare is there")
        most = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[1]
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, most))
        statuses = []
        while len(statuses) < 12 and (not statuses or statuses[-1] == 201):
            statuses.append((response := append(connection, log, record)).status)
        check_problem(response, 507, "disk_full", retryable=True)
        assert len(read_all(connection, log)) == len(statuses), "reads of what is in memory go on"
        with server.connect() as waits:
            waits.send(encode_request("GET", "/healthz"))
            resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
            # libmicrohttpd accepts again when a connection has ended.
            connection.close()
            assert waits.read_response().status == 200
    with server.connect() as connection:
        wait_until(lambda: append(connection, log, record).status == 201, "appends again")
    server.stop()

"""Starting and stopping: drain, lock, directories that are refused, environment variables, engines that are denied."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from client import append, append_ok, check_appended, check_problem, get, read_all, records_target, stats
from injection import failing
from rawhttp import Connection, ConnectionEnded, encode_request
from server import BINARY, LISTENING, Server, StartFailed, refused_start, run, wait_until
from workload import History, check_history, join, start_writers


def test_requests_in_flight_at_sigterm_are_answered_before_the_end(start_server, log):
    server = start_server("--commit-linger-microseconds", "1000000")
    connections = [server.connect() for _ in range(40)]
    for number, connection in enumerate(connections):
        connection.send(encode_request("POST", records_target(log), {}, b"%d" % number))
    with server.connect() as watcher:
        wait_until(lambda: stats(watcher)["requests"]["waiting"] == len(connections), "all wait")
        server.signal(signal.SIGTERM)
    offsets = []
    for connection in connections:
        response = connection.read_response()
        offsets.append(check_appended(response, log)["first"])
        assert response.header("connection").lower() == "close"
        assert connection.read_to_end() == b""
        connection.close()
    assert server.wait() == 0, server.log
    assert sorted(offsets) == list(range(len(connections)))
    with start_server().connect() as connection:
        assert read_all(connection, log) == [b"%d" % number for number in sorted(range(40), key=lambda n: offsets[n])]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_under_load_loses_nothing_acknowledged(start_server, number):
    history = History()
    server = start_server()
    writers = start_writers(server, history, 16, "load", 1)
    wait_until(lambda: history.acknowledged() >= 100, "some answers")
    server.signal(number)
    assert server.wait() == 0, server.log
    join(writers)
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    check_history(start_server(), history, {})


def test_a_request_whose_body_is_still_coming_at_sigterm_is_answered_or_closed(start_server, log):
    server = start_server()
    with server.connect() as connection:
        connection.send(encode_request("POST", records_target(log), {"Content-Length": "5"}) + b"he")
        with server.connect() as watcher:
            wait_until(lambda: stats(watcher)["requests"]["connections"] == 2, "both are there")
        server.signal(signal.SIGTERM)
        wait_until(lambda: refuses(server), "no new connection is accepted")
        acknowledged = finish(connection, b"llo", log)
    assert server.wait() == 0, server.log
    with start_server().connect() as connection:
        assert len(read_all(connection, log)) == acknowledged


def finish(connection: Connection, rest: bytes, log: str) -> int:
    """Sends the rest of a request; 1 if it was acknowledged, 0 if it was refused with a problem or the connection closed."""
    try:
        connection.send(rest)
        response = connection.read_response()
    except (ConnectionError, ConnectionEnded):
        return 0
    if response.status == 201:
        return 1
    check_problem(response, 503, "draining", retryable=True)
    return 0


def refuses(server: Server) -> bool:
    """Whether a new connection is refused. A reset says that the listening socket was closed during the handshake."""
    try:
        server.connect().close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


def test_a_second_signal_ends_it_at_once(start_server, log):
    server = start_server("--drain-deadline-seconds", "600", "--body-deadline-seconds", "600")
    with server.connect() as connection:
        connection.send(encode_request("POST", records_target(log), {"Content-Length": "5"}) + b"he")
        with server.connect() as watcher:
            wait_until(lambda: stats(watcher)["requests"]["connections"] == 2, "both are there")
        server.signal(signal.SIGTERM)
        wait_until(lambda: refuses(server), "the drain has begun")
        assert server.is_running(), "the drain did not wait for the request in flight"
        server.signal(signal.SIGTERM)
        server.wait(10)


def test_a_client_that_never_finishes_does_not_hold_up_a_stop_beyond_the_drain_deadline(start_server, log):
    server = start_server("--drain-deadline-seconds", "1", "--body-deadline-seconds", "600")
    with server.connect() as connection:
        connection.send(encode_request("POST", records_target(log), {"Content-Length": "5"}) + b"he")
        with server.connect() as watcher:
            wait_until(lambda: stats(watcher)["requests"]["connections"] == 2, "both are there")
        server.signal(signal.SIGTERM)
        server.wait(15)
        assert not connection.read_to_end().startswith(b"HTTP/1.1 2")


def test_everything_is_there_after_each_of_several_clean_stops(start_server, log):
    for round_number in range(4):
        server = start_server()
        with server.connect() as connection:
            assert read_all(connection, log) == [b"%d" % number for number in range(round_number)]
            assert append_ok(connection, log, b"%d" % round_number)["first"] == round_number
        server.stop()


def test_the_first_log_line_says_what_runs(start_server):
    server = start_server()
    with server.connect() as connection:
        answer = stats(connection)
    first = server.lines[0]
    for part in (answer["version"], answer["engine"]["name"], answer["engine"]["mode"], f"127.0.0.1:{server.port}"):
        assert part in first, f"{part} is missing in {first}"
    assert "recover" in first.lower()


def test_the_log_as_json_is_json_in_every_line(start_server, log):
    server = start_server("--log-format", "json")
    with server.connect() as connection:
        append_ok(connection, log, b"x")
    server.stop()
    lines = [json.loads(line) for line in server.lines]
    assert f"127.0.0.1:{server.port}" in json.dumps(lines[0])


def test_a_locked_directory_is_refused_and_not_touched(start_server, directory, log):
    server = start_server()
    message = refused_start(directory)
    assert str(directory) in message
    assert any(word in message.lower() for word in ("lock", "another process", "in use")), message
    with server.connect() as connection:
        append_ok(connection, log, b"x")
    server.kill()
    with start_server().connect() as connection:
        assert read_all(connection, log) == [b"x"]


@pytest.fixture
def memory_directory():
    """A data directory on tmpfs."""
    path = Path(tempfile.mkdtemp(prefix="appendlog-blackbox-", dir="/dev/shm"))
    yield path / "data"
    shutil.rmtree(path)


def test_a_directory_in_memory_is_refused_unless_allowed(start_server, memory_directory, log):
    message = refused_start(memory_directory)
    assert "tmpfs" in message and "--allow-unsafe-filesystem" in message, message
    server = start_server("--allow-unsafe-filesystem", data_dir=memory_directory)
    with server.connect() as connection:
        append_ok(connection, log, b"x")
    server.stop()


@pytest.mark.parametrize("path", ["/proc/appendlog-data", "/dev/null/data"])
def test_a_path_that_cannot_be_made_is_refused(path):
    assert path in refused_start(Path(path))


def test_a_directory_that_is_not_writable_is_refused(directory):
    directory.mkdir()
    directory.chmod(0o555)
    as_nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        run("--help", **as_nobody)
    except PermissionError:
        pytest.skip(f"{BINARY} cannot be run by another user than root, who may write anywhere")
    assert str(directory) in refused_start(directory, **as_nobody)


def test_an_address_in_use_is_refused(start_server, workspace):
    server = start_server()
    address = f"127.0.0.1:{server.port}"
    ended = run("serve", "--data-dir", str(workspace / "address-in-use"), "--listen", address)
    assert ended.returncode > 0 and address in ended.stderr, ended.stderr


@pytest.mark.parametrize("arguments", [
    ("serve",), ("serve", "--data-dir"), ("serve", "--data-dir", "x", "--engine", "magic"), ("serve", "--data-dir", "x", "--no-such-flag"),
    ("serve", "--data-dir", "x", "--listen", "nowhere"), ("serve", "--data-dir", "x", "--segment-bytes", "-1"), ("nonsense",),
])  # fmt: skip
def test_wrong_arguments_are_refused_with_a_message(directory, arguments):
    directory.mkdir()
    ended = run(*arguments, cwd=directory)
    assert ended.returncode > 0 and ended.stderr.strip()
    assert "Fatal error" not in ended.stderr


def test_environment_variables_are_flags(directory, log):
    environment = {
        "APPENDLOG_DATA_DIR": str(directory),
        "APPENDLOG_LISTEN": "127.0.0.1:0",
        "APPENDLOG_ENGINE": "syscalls",
        "APPENDLOG_MODE": "buffered",
        "APPENDLOG_SEGMENT_BYTES": "8388608",
        "APPENDLOG_RECORD_BYTES_MAX": "10",
    }
    server = Server(directory, environment=environment)
    server.command = [str(BINARY), "serve"]
    try:
        with server.start().connect() as connection:
            answer = stats(connection)
            assert (answer["engine"]["name"], answer["engine"]["mode"]) == ("syscalls", "buffered")
            assert answer["wal"]["segment_bytes"] == 8388608
            check_problem(append(connection, log, b"x" * 11), 413, "record_too_large")
            append_ok(connection, log, b"x" * 10)
        server.stop()
    finally:
        server.kill()


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS", "ENOMEM"])
def test_where_io_uring_is_denied_system_calls_are_used(start_server, workspace, log, error):
    trace = workspace / f"strace-{error}"
    server = start_server(wrapper=failing("io_uring_setup", error, trace))
    with server.connect() as connection:
        engine = stats(connection)["engine"]
        assert engine["name"] == "syscalls"
        assert "io_uring" in engine["reason"]
        append_ok(connection, log, b"x")
        assert get(connection, f"/v1/logs/{log}/records/0").body == b"x"
    server.stop()
    assert "(INJECTED)" in trace.read_text()
    assert LISTENING.search(server.lines[0])


def test_an_engine_that_was_asked_for_and_is_denied_is_not_replaced_in_silence(start_server):
    with pytest.raises(StartFailed):
        start_server("--engine", "io_uring", wrapper=failing("io_uring_setup", "EPERM"))

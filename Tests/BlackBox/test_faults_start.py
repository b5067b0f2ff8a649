"""Starts that are refused: each says what is wrong in the words of the user, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from client import append_ok, read_all
from server import refused_start, run


def left_behind(data_dir: Path) -> list[str]:
    """Everything under a data directory; an empty list if it is not there."""
    return sorted(str(path.relative_to(data_dir)) for path in data_dir.rglob("*")) + ([str(data_dir)] if data_dir.exists() else [])


@pytest.mark.parametrize("flags, message", [
    (("--pending-bytes-max", "1000"), "--pending-bytes-max 1000"),
    (("--record-bytes-max", "2MiB"), "--record-bytes-max 2097152"),
    (("--segment-bytes", "1MiB"), "--segment-bytes 1048576"),
    (("--segment-bytes", "1000000"), "--segment-bytes 1000000 is not a multiple of 1 MiB"),
    (("--request-body-bytes-max", "100MiB"), "--segment-bytes 67108864 cannot hold"),
    (("--request-body-bytes-max", "300MiB"), "--request-body-bytes-max"),
    (("--batch-bytes-max", "100000"), "--batch-bytes-max 100000 cannot hold the largest request"),
    (("--listen", "nowhere"), "cannot listen on 'nowhere'"),
    (("--drain-deadline-seconds", "9223372036854775807"), "--drain-deadline-seconds"),
])  # fmt: skip
def test_flags_that_cannot_work_are_named_and_nothing_is_made(directory, flags, message):
    assert message in refused_start(directory, *flags)
    assert left_behind(directory) == []


def test_a_refusal_of_flags_points_to_the_help_that_lists_them(directory):
    for flags in (("--pending-bytes-max", "1000"), ("--engine", "magic"), ("--no-such-flag",)):
        assert "appendlog serve --help" in refused_start(directory, *flags)
    assert "appendlog serve --help" in run("serve").stderr


def test_limits_that_follow_from_another_are_raised_with_it(start_server, log):
    server = start_server("--request-body-bytes-max", "66MiB", "--record-bytes-max", "66MiB", "--segment-bytes", "80MiB")
    record = os.urandom(1 << 20) * 66
    with server.connect() as connection:
        append_ok(connection, log, record)
        assert connection.request("GET", f"/v1/logs/{log}/records/0").body == record
    server.stop()


@pytest.mark.parametrize("name, nearest", [("APPENDLOG_PENDING_BYTE_MAX", "APPENDLOG_PENDING_BYTES_MAX"), ("APPENDLOG_DATADIR", "APPENDLOG_DATA_DIR")])
def test_a_misspelt_variable_is_refused_with_the_name_that_is_near(directory, name, nearest):
    message = refused_start(directory, environment={name: "1"})
    assert name in message and nearest in message
    assert left_behind(directory) == []


def test_the_variables_that_kubernetes_sets_beside_a_service_are_let_through(start_server):
    names = ("APPENDLOG_PORT", "APPENDLOG_PORT_4437_TCP_ADDR", "APPENDLOG_SERVICE_HOST", "APPENDLOG_SERVICE_PORT_HTTP")
    start_server(environment={name: "tcp://10.0.0.1:4437" for name in names}).stop()


def test_an_address_in_use_is_refused_before_a_store_is_made_or_opened(start_server, workspace):
    server = start_server()
    other = workspace / "not-made"
    ended = run("serve", "--data-dir", str(other), "--listen", f"127.0.0.1:{server.port}")
    assert ended.returncode == 1 and f"127.0.0.1:{server.port}" in ended.stderr
    assert left_behind(other) == []


def test_a_directory_in_memory_is_refused_without_a_trace():
    path = Path(tempfile.mkdtemp(prefix="appendlog-faults-", dir="/dev/shm"))
    try:
        for data_dir in (path / "data", path):
            assert "tmpfs" in refused_start(data_dir)
            assert left_behind(data_dir) == ([str(path)] if data_dir == path else [])
    finally:
        shutil.rmtree(path)


@pytest.fixture
def overlay(directory):
    """An overlay over directories on the disk."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount an overlay")
    folders = {name: directory.parent / name for name in ("lower", "upper", "work", "merged")}
    for folder in folders.values():
        folder.mkdir()
    options = ",".join(f"{name}dir={folders[name]}" for name in ("lower", "upper", "work"))
    mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, folders["merged"]], capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"no overlay can be mounted here: {mounted.stderr.strip()}")
    yield folders["merged"]
    subprocess.run(["umount", folders["merged"]], check=True)


def test_an_overlay_is_refused_unless_allowed_and_without_a_trace(start_server, overlay, log):
    data_dir = overlay / "data"
    message = refused_start(data_dir)
    assert "overlayfs" in message and "--allow-unsafe-filesystem" in message
    assert left_behind(data_dir) == []
    server = start_server("--allow-unsafe-filesystem", data_dir=data_dir)
    with server.connect() as connection:
        append_ok(connection, log, b"x")
        assert read_all(connection, log) == [b"x"]
    server.stop()

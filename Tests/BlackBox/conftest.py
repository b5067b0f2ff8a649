"""Fixtures: one server that most tests share, servers of a test's own, and directories on a real disk."""

from __future__ import annotations

import ctypes
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rawhttp import Connection
from server import BINARY, REPOSITORY, Server


def file_system(path: Path) -> str:
    """The type of the file system that holds a path, as `stat -f` names it."""
    return subprocess.run(["stat", "-f", "-c", "%T", str(path)], capture_output=True, text=True, check=True).stdout.strip()


def real_disk() -> Path:
    """A directory that is on a disk: the build directory, else $TMPDIR."""
    for candidate in (REPOSITORY / ".build", Path(tempfile.gettempdir())):
        candidate.mkdir(exist_ok=True)
        if file_system(candidate) not in ("tmpfs", "ramfs", "overlayfs"):
            return candidate
    pytest.exit("neither .build nor $TMPDIR is on a disk; set TMPDIR to a directory that is", returncode=2)


def pytest_configure() -> None:
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"no binary at {BINARY}; run 'swift build' or set APPENDLOG_BINARY", returncode=2)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest.fixture(scope="session")
def workspace() -> Iterator[Path]:
    """A directory on a disk for everything of this run; removed at the end."""
    path = Path(tempfile.mkdtemp(prefix="blackbox-", dir=real_disk()))
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def io_uring_denial() -> str | None:
    """Why this machine gives no io_uring, asked of the kernel itself; None if it does."""
    libc = ctypes.CDLL(None, use_errno=True)
    io_uring_setup = 425
    descriptor = libc.syscall(io_uring_setup, 1, ctypes.create_string_buffer(120))
    if descriptor < 0:
        return os.strerror(ctypes.get_errno())
    os.close(descriptor)
    return None


@pytest.fixture
def directory(workspace: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A path for a data directory of this test; nothing is there yet. Removed after the test."""
    path = Path(tempfile.mkdtemp(prefix=f"{request.node.originalname}-", dir=workspace))
    yield path / "data"
    shutil.rmtree(path)


@pytest.fixture
def start_server(directory: Path) -> Iterator:
    """Starts servers on the test's directory (or another); whatever still runs is killed after the test."""
    started: list[Server] = []

    def start(*flags: str, data_dir: Path = directory, ready: bool = True, **more) -> Server:
        server = Server(data_dir, *flags, **more)
        started.append(server)
        return server.start(ready)

    yield start
    for server in started:
        server.kill()
        sys.stderr.write(server.log)


@pytest.fixture(scope="session")
def shared_server(workspace: Path) -> Iterator[Server]:
    """The server with default limits that most tests share. It must outlive them all and stop cleanly."""
    server = Server(workspace / "shared", segment_bytes=None).start()
    yield server
    sys.stderr.write(server.log)
    assert server.is_running(), f"ended with {server.process.returncode}"
    server.stop()


@pytest.fixture
def server(shared_server: Server) -> Server:
    """The shared server, which must still run."""
    assert shared_server.is_running(), f"a test before this one ended the server:\n{shared_server.log}"
    return shared_server


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    """A connection to the shared server."""
    with server.connect() as connection:
        yield connection


_numbers = itertools.count()


@pytest.fixture
def log() -> str:
    """A log name that no other test uses."""
    return f"log-{next(_numbers)}"

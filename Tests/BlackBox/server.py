"""Starts, watches and ends the real server. Processes are ended by their id only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rawhttp import Connection, ConnectionEnded

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("APPENDLOG_BINARY", REPOSITORY / ".build/debug/appendlog")).absolute()

#: Longest wait for a start, an end or a state. Far beyond what it takes on a busy machine.
WAIT_SECONDS = 30.0

#: Segments of this size keep a start cheap and make segments turn within a test.
SMALL_SEGMENT_BYTES = 4 << 20

LISTENING = re.compile(r'listening"?[=:]\s*"?127\.0\.0\.1:(\d+)')


class StartFailed(Exception):
    """The server ended, or said nothing, instead of listening."""


def wait_until(condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> object:
    """Asks `condition` until it gives something true, and gives that; fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.005)


class Server:
    """One server process over a data directory. `flags` come after the defaults of the tests, `wrapper` before the binary."""

    def __init__(
        self,
        data_dir: Path,
        *flags: str,
        environment: dict[str, str] | None = None,
        wrapper: Sequence[str] = (),
        segment_bytes: int | None = SMALL_SEGMENT_BYTES,
    ) -> None:
        self.data_dir = data_dir
        command = [*wrapper, str(BINARY), "serve", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0"]
        if segment_bytes is not None and "--segment-bytes" not in flags:
            command += ["--segment-bytes", str(segment_bytes)]
        self.command = [*command, *flags]
        self.environment = environment
        self.process: subprocess.Popen | None = None
        self.port = 0
        self.lines: list[str] = []

    def start(self, ready: bool = True) -> Server:
        """Starts the process, learns its port from the first log line, and waits for readiness."""
        assert self.process is None or self.process.poll() is not None, "runs already"
        self.lines = []
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=plain_environment(self.environment),
        )
        self._reader = threading.Thread(target=self._read_log, args=(self.process.stderr, self.lines), daemon=True)
        self._reader.start()
        wait_until(lambda: self.lines or self.process.poll() is not None, f"a log line of {self.command}")
        found = LISTENING.search(self.lines[0]) if self.lines else None
        if found is None:
            self.kill()
            raise StartFailed(f"{self.command} ended with {self.process.returncode}:\n{self.log}")
        self.port = int(found.group(1))
        if ready:
            wait_until(self.is_ready, "readiness")
        return self

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What the process wrote to its standard error."""
        return "".join(self.lines)

    def connect(self) -> Connection:
        return Connection(self.port)

    def is_ready(self) -> bool:
        """Whether /readyz says so now; a process that ended instead is a failure."""
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
        try:
            with self.connect() as connection:
                return connection.request("GET", "/readyz").status == 200
        except (ConnectionError, ConnectionEnded):
            return False

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = WAIT_SECONDS) -> int:
        """Waits for the end of the process and gives its exit code."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def stop(self) -> None:
        """SIGTERM; the process must end with exit code 0."""
        self.signal(signal.SIGTERM)
        code = self.wait()
        assert code == 0, f"exit code {code} after SIGTERM:\n{self.log}"

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self.is_running():
            self.process.kill()
        if self.process is not None:
            self.wait()

    @staticmethod
    def _read_log(stream, lines: list[str]) -> None:
        with stream:
            for line in stream:
                lines.append(line)


def plain_environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the server's own variables, so that only `more` sets any."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APPENDLOG_")}
    return {**inherited, **(more or {})}


def run(*arguments: str, environment: dict[str, str] | None = None, **more) -> subprocess.CompletedProcess:
    """Runs the binary to its end (a server that ought to refuse: it is ended, and the test fails, if it does not)."""
    return subprocess.run(
        [str(BINARY), *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=WAIT_SECONDS,
        env=plain_environment(environment),
        **more,
    )


def refused_start(data_dir: Path, *flags: str, environment: dict[str, str] | None = None, **more) -> str:
    """Starts a server that must refuse; gives what it wrote to standard error."""
    ended = run("serve", "--data-dir", str(data_dir), "--listen", "127.0.0.1:0", *flags, environment=environment, **more)
    assert ended.returncode > 0, f"exit code {ended.returncode}:\n{ended.stderr}"
    assert ended.stderr.strip(), "refused without a word"
    assert "Fatal error" not in ended.stderr, ended.stderr
    return ended.stderr

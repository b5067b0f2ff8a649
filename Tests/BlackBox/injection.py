"""System calls of the server that fail on purpose, by strace."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

import pytest

from server import WAIT_SECONDS


@functools.cache
def cannot_trace() -> str | None:
    """Why strace cannot be used here, None if it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, timeout=WAIT_SECONDS)
    return None if tried.returncode == 0 else f"strace cannot trace here: {tried.stderr.strip()}"


def failing(call: str, error: str, trace: Path = Path("/dev/null"), when: str = "1+") -> list[str]:
    """What to put before the server's command so that `call` fails; `when` counts the calls of each thread by itself.

    Skips the test, with the reason, where nothing can be traced.
    """
    if (reason := cannot_trace()) is not None:
        pytest.skip(reason)
    # -D makes the server, not strace, our child: signals and the exit code are the server's own.
    # Under a tracer the leak check of AddressSanitizer cannot work, and says so with an exit code.
    return ["strace", "-E", "ASAN_OPTIONS=detect_leaks=0", "-D", "-f", "-o", str(trace), "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={when}"]

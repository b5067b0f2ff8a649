"""What the power cuts take from the black-box tests: the client, and the server process."""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Tests/BlackBox"))

from client import FRAMED, NDJSON, append, framed, get, get_json, records_target, send_json, unframed  # noqa: E402
from rawhttp import Connection, ConnectionEnded, Response  # noqa: E402
from server import Server, StartFailed  # noqa: E402

__all__ = [
    "FRAMED", "NDJSON", "REPOSITORY", "Connection", "ConnectionEnded", "Response", "Server", "StartFailed",
    "append", "framed", "get", "get_json", "records_target", "send_json", "unframed",
]

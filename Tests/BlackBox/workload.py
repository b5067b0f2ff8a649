"""Concurrent writers that remember what they sent and what was acknowledged, and the check of a log against that."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field

from client import FRAMED, NDJSON, TIMESTAMP, append, framed, read_all
from rawhttp import ConnectionEnded
from server import Server

LOGS = ("orders", "events", "audit.trail")


@dataclass(eq=False)
class Request:
    """One append: its records, and its first offset once it was acknowledged."""

    log: str
    records: list[bytes]
    first: int | None = None
    timestamp: str | None = None
    #: The status of an answer that was no 201.
    refused: int | None = None


@dataclass
class History:
    """Every request ever sent, over all rounds. Writers add to it concurrently (list.append is atomic)."""

    requests: list[Request] = field(default_factory=list)

    def acknowledged(self) -> int:
        return sum(request.first is not None for request in self.requests)


class Writer(threading.Thread):
    """Appends to random logs in random forms on one connection until that ends. Every record is unique."""

    def __init__(self, server: Server, history: History, name: str, seed: int) -> None:
        super().__init__(name=name, daemon=True)
        self.server = server
        self.history = history
        self.random = random.Random(seed)
        self.acknowledged = 0
        #: What went wrong other than the end of the connection.
        self.fault: BaseException | None = None
        self.stopping = False

    def run(self) -> None:
        try:
            with self.server.connect() as connection:
                number = 0
                while not self.stopping:
                    self.append_one(connection, number)
                    number += 1
        except (ConnectionEnded, ConnectionError):
            return
        except BaseException as fault:  # noqa: BLE001 — handed to the test, which fails with it
            self.fault = fault

    def append_one(self, connection, number: int) -> None:
        request, body, content_type = self.make_request(number)
        self.history.requests.append(request)
        response = append(connection, request.log, body, content_type)
        if response.status != 201:
            request.refused = response.status
            assert response.status == 503, (response.status, response.body)
            return
        answer = response.json()
        assert answer["log"] == request.log and answer["count"] == len(request.records), answer
        assert answer["next"] == answer["first"] + answer["count"], answer
        assert TIMESTAMP.fullmatch(answer["timestamp"])
        request.timestamp = answer["timestamp"]
        request.first = answer["first"]
        self.acknowledged += 1

    def make_request(self, number: int) -> tuple[Request, bytes, str | None]:
        form = self.random.choice(("single", "ndjson", "framed"))
        count = 1 if form == "single" else self.random.randint(1, 20)
        records = [self.make_record(f"{self.name}/{number}/{index}:", text=form == "ndjson") for index in range(count)]
        request = Request(self.random.choice(LOGS), records)
        if form == "single":
            return request, records[0], None
        if form == "ndjson":
            return request, b"".join(record + b"\n" for record in records), NDJSON
        return request, framed(records), FRAMED

    def make_record(self, start: str, text: bool) -> bytes:
        """A record that no other is equal to: its number, then filler; mostly small, sometimes over many blocks."""
        size = self.random.choice((0, 10, 100, 100, 500, 5_000, 20_000))
        filler = b"t" * size if text else self.random.randbytes(size)
        return start.encode() + filler


def check_log(log: str, records: list[bytes], requests: list[Request]) -> None:
    """Checks what a log holds after a crash against all that was ever sent to it.

    Every acknowledged request is at its offsets, unaltered; every other record belongs to a request that was sent, which is
    there whole and consecutive and once. There are no gaps: every offset belongs to a request.
    """
    acknowledged = {request.first: request for request in requests if request.first is not None}
    sent = {request.records[0]: request for request in requests if request.first is None and request.refused is None}
    offset = 0
    while offset < len(records):
        request = acknowledged.pop(offset, None) or sent.pop(records[offset], None)
        assert request is not None, f"{log}/{offset} was never sent there (or is there twice): {records[offset][:80]!r}"
        found = records[offset : offset + len(request.records)]
        assert found == request.records, f"{log}/{offset}: a request of {len(request.records)} records is altered or cut"
        offset += len(request.records)
    assert not acknowledged, f"{log} has {len(records)} records, acknowledged were also those at {sorted(acknowledged)[:10]}"


def check_history(server: Server, history: History, before: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    """Checks every log; what was there at an earlier check (`before`) must be there still. Gives what is there now."""
    now = {}
    with server.connect() as connection:
        for log in LOGS:
            now[log] = read_all(connection, log)
            seen = before.get(log, [])
            assert now[log][: len(seen)] == seen, f"{log} changed below offset {len(seen)}, which had been shown"
            check_log(log, now[log], [request for request in history.requests if request.log == log])
    return now


def settle(history: History, shown: dict[str, list[bytes]]) -> None:
    """Forgets the unacknowledged requests of the past: those that are there are now as good as acknowledged, the others are gone."""
    for log, records in shown.items():
        at = {record: offset for offset, record in enumerate(records)}
        for request in history.requests:
            if request.log == log and request.first is None:
                request.first = at.get(request.records[0])
    history.requests = [request for request in history.requests if request.first is not None]


def start_writers(server: Server, history: History, count: int, label: str, seed: int) -> list[Writer]:
    """Starts `count` writers whose records carry `label`."""
    writers = [Writer(server, history, f"{label}-{index}", seed * 1000 + index) for index in range(count)]
    for writer in writers:
        writer.start()
    return writers


def join(writers: list[Writer], seconds: float = 30) -> None:
    """Waits for writers that are about to end; fails with what went wrong in one of them."""
    for writer in writers:
        writer.join(seconds)
        assert not writer.is_alive(), f"{writer.name} still waits for an answer"
    for writer in writers:
        if writer.fault is not None:
            raise writer.fault

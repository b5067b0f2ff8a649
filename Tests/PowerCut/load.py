"""The load: requests that follow from their numbers alone, clients that send them, and what they were promised."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from functools import lru_cache

from blackbox import FRAMED, NDJSON, Connection, ConnectionEnded, Server, append, framed, get, records_target, unframed
from disk import Control, Disk

LOGS = ("orders", "events", "audit.trail", "metrics")

#: Sizes of records: mostly small, sometimes over many blocks.
SIZES = (0, 20, 100, 100, 300, 2_000, 12_000)
LARGE_BYTES = 150_000


@dataclass(frozen=True)
class Request:
    """One append. Everything in it follows from the run's seed and its number; every record begins with its name."""

    number: int
    log: str
    form: str
    records: tuple[bytes, ...]

    def body(self) -> tuple[bytes, str | None]:
        """The body and its content type."""
        if self.form == "single":
            return self.records[0], None
        if self.form == "ndjson":
            return b"".join(record + b"\n" for record in self.records), NDJSON
        return framed(list(self.records)), FRAMED


@lru_cache(maxsize=50_000)
def make_request(seed: int, number: int) -> Request:
    """The request of this number."""
    chance = random.Random(f"{seed}/{number}")
    log = chance.choice(LOGS)
    form = chance.choice(("single", "single", "ndjson", "framed"))
    sizes = [chance.choice(SIZES) for _ in range(1 if form == "single" else chance.randint(1, 12))]
    if form == "single" and chance.random() < 0.04:
        sizes = [LARGE_BYTES]
    records = []
    for index, size in enumerate(sizes):
        filler = chance.randbytes(size)
        name = f"{number}/{index}/{len(sizes)};".encode()
        records.append(name + (filler.hex().encode() if form == "ndjson" else filler))
    return Request(number, log, form, tuple(records))


def name_of(record: bytes) -> tuple[int, int, int] | None:
    """The request's number, the index in it and the count of its records; None if this is no record of ours."""
    head, separator, _ = record[:40].partition(b";")
    try:
        number, index, count = map(int, head.split(b"/"))
    except ValueError:
        return None
    return (number, index, count) if separator else None


#: What was promised: log, first offset, request number. The same for an acknowledgement and for a record that a reader saw.
Promise = tuple[str, int, int]


def promise_of(words: list[str]) -> Promise | None:
    """The promise that a mark holds, if it does."""
    return (words[1], int(words[2]), int(words[3])) if words[0] in ("acknowledged", "shown") else None


@dataclass
class Load:
    """Clients and readers of one server. What went wrong other than the end of the server stands in `faults`."""

    disk: Disk
    server: Server
    seed: int
    first_number: int
    bytes_wanted: int
    bytes_acknowledged: int = 0
    #: The server is killed in the middle of it.
    is_killed: bool = False
    faults: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.next_number = self.first_number
        self.promises: list[Promise] = []
        #: Enough was acknowledged, or something went wrong; and: every client ends after its answer.
        self.is_enough = threading.Event()
        self.is_done = threading.Event()
        self._mutex = threading.Lock()

    def run(self, clients: int, readers: int, seconds_max: float) -> None:
        """Appends until enough is acknowledged; then every client ends after its answer, or the server is killed under them.
        The marks are in the log afterwards."""
        bodies = [self._append_all] * clients + [self._read_all] * readers
        threads = [threading.Thread(target=self._guarded, args=(body,), daemon=True) for body in bodies]
        for thread in threads:
            thread.start()
        self.is_enough.wait(seconds_max)
        if self.is_killed:
            self.server.kill()
        self.is_done.set()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive(), "a client still waits for its answer"
        if self.faults:
            raise self.faults[0]

    def _guarded(self, body) -> None:
        control = self.disk.connect()
        try:
            with self.server.connect() as connection:
                body(connection, control)
        except BaseException as fault:  # noqa: BLE001 - raised by run
            is_end = isinstance(fault, (ConnectionEnded, ConnectionError))
            if not (is_end and self.is_killed and self.is_enough.is_set()):
                self.faults.append(fault)
                self.is_enough.set()
        finally:
            # Answered behind all its marks: they are in the log.
            control.command("statistics")
            control.close()

    def _append_all(self, connection: Connection, control: Control) -> None:
        while not self.is_done.is_set():
            with self._mutex:
                number = self.next_number
                self.next_number += 1
            request = make_request(self.seed, number)
            response = append(connection, request.log, *request.body())
            assert response.status == 201, (response.status, response.body)
            answer = response.json()
            self._promised(control, "acknowledged", (request.log, answer["first"], number))
            assert answer["log"] == request.log and answer["count"] == len(request.records), answer
            self._count(sum(map(len, request.records)))

    def _promised(self, control: Control, kind: str, promise: Promise) -> None:
        control.mark(f"{kind} {promise[0]} {promise[1]} {promise[2]}".encode())
        self.promises.append(promise)

    def _count(self, size: int) -> None:
        with self._mutex:
            self.bytes_acknowledged += size
            if self.bytes_acknowledged >= self.bytes_wanted:
                self.is_enough.set()

    def _read_all(self, connection: Connection, control: Control) -> None:
        """Follows the tails: whatever a reader is shown has to survive as well."""
        at = dict.fromkeys(LOGS, 0)
        while not self.is_done.wait(0.002):
            for log in LOGS:
                at[log] = self._read_page(connection, control, log, at[log])

    def _read_page(self, connection: Connection, control: Control, log: str, offset: int) -> int:
        response = get(connection, records_target(log, **{"from": offset, "limit": 100}), FRAMED)
        if response.status == 404:
            return offset
        assert response.status == 200, (response.status, response.body)
        for record in unframed(response.body):
            name = name_of(record)
            assert name is not None, f"{log}/{offset} was shown and is no record of this run: {record[:60]!r}"
            if name[1] == 0:
                self._promised(control, "shown", (log, offset, name[0]))
            offset += 1
        return offset

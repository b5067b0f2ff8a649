"""The load: clients, owners, readers and a client that trims; and what they were promised."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

from blackbox import FRAMED, Connection, ConnectionEnded, Server, get, get_json, records_target, send_json, unframed
from disk import Control, Disk
from owner import Answers, Owner
from script import OWNERS, Script
from shared import LOGS, Promise, is_conditional, make_request, name_of
from told import seen_of

CLIENTS = 5

#: Records of a shared log that are left when it is trimmed, at most.
TRIMMED_TO = 20

#: The shared log whose retention trims it, and the records that it keeps.
RETAINED, RETAINED_RECORDS = "metrics", 30


@dataclass
class Load:
    """Clients and readers of one server. What went wrong other than the end of the server stands in `faults`."""

    disk: Disk
    server: Server
    seed: int
    first_number: int
    #: It goes on until so much was acknowledged, and not faster than in so many seconds.
    bytes_wanted: int
    seconds_min: float
    #: The operations of each owner that are done, and the answers; both go on.
    owned: list[int]
    answers: Answers
    #: Of each shared log the offsets before which it was, perhaps, trimmed. Nothing is if there is no such dictionary.
    trims: dict[str, list[int]] | None
    #: The server is killed in the middle of it.
    is_killed: bool = False
    bytes_acknowledged: int = 0
    repeats: int = 0
    faults: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.next_number = self.first_number
        self._begin = time.monotonic()
        #: What was promised, as the words of the marks.
        self.marks: list[list[str]] = []
        #: Enough was acknowledged, or something went wrong; and: every client ends after its answer.
        self.is_enough = threading.Event()
        self.is_done = threading.Event()
        self._mutex = threading.Lock()

    def run(self, seconds_max: float) -> None:
        """Appends until enough is acknowledged; then every client ends after its answer, or the server is killed under them.
        The marks are in the log afterwards."""
        bodies = [self._append_all] * CLIENTS + [self._read_all]
        bodies += [lambda *place, owner=owner: self._own_all(owner, *place) for owner in range(OWNERS)]
        bodies += [self._trim_all] if self.trims is not None else []
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
        while self._goes_on():
            with self._mutex:
                number = self.next_number
                self.next_number += 1
            condition = self._tail_of(connection, number) if is_conditional(self.seed, number) else None
            request = make_request(self.seed, number, condition)
            response = request.send(connection)
            if response.status == 412 and condition is not None:
                # Whoever is told where a log ends may rely on that, too.
                self._mark(control, f"ends {request.parts[0].log} {response.json()['next']}")
                continue
            assert response.status == 201, (response.status, response.body)
            for promise in request.promises(response.json()):
                assert condition in (None, promise[1]), f"appended at {promise[1]}, but only at {condition} was asked for"
                self._promised(control, "acknowledged", promise)
            self._count(sum(len(record) for part in request.parts for record in part.records))

    def _tail_of(self, connection: Connection, number: int) -> int:
        """Where the log of a request ends, as it is shown."""
        response = get(connection, f"/v1/logs/{make_request(self.seed, number).parts[0].log}")
        assert response.status in (200, 404), (response.status, response.body)
        return response.json()["next"] if response.status == 200 else 0

    def _promised(self, control: Control, kind: str, promise: Promise) -> None:
        log, first, number, part = promise
        self._mark(control, f"{kind} {log} {first} {number} {part}")

    def _mark(self, control: Control, text: str) -> None:
        """Says so in the log of the disk, and here."""
        control.mark(text.encode())
        self.marks.append(text.split())

    def _goes_on(self) -> bool:
        """Whether there is to be another request; waits while the load is ahead of its time."""
        while self.bytes_acknowledged * self.seconds_min > (time.monotonic() - self._begin) * self.bytes_wanted:
            if self.is_done.wait(0.002):
                break
        return not self.is_done.is_set()

    def _count(self, size: int) -> None:
        with self._mutex:
            self.bytes_acknowledged += size
            if self.bytes_acknowledged >= self.bytes_wanted:
                self.is_enough.set()

    def _own_all(self, number: int, connection: Connection, control: Control) -> None:
        """An owner goes on where it was; it does not know whether its last answer came, so it asks again."""
        owner = Owner(connection, Script(self.seed, number, self.trims is not None, self.owned[number]), self.answers)
        owner.repeat_last()
        while self._goes_on():
            byte_count = owner.byte_count
            owner.step()
            self._mark(control, f"did {number} {owner.script.index}")
            # It stands in the log before the next operation begins: so at most one is done that is not marked.
            control.command("statistics")
            self.owned[number] = owner.script.index
            self._count(owner.byte_count - byte_count)
            if owner.script.index % 8 == 0:
                owner.repeat_some(random.Random(owner.script.index), 1)
        with self._mutex:
            self.repeats += owner.repeats

    def _read_all(self, connection: Connection, control: Control) -> None:
        """Follows the tails: whatever a reader is shown has to survive as well."""
        at = dict.fromkeys(LOGS, 0)
        seen: dict[str, list[int]] = {}
        while not self.is_done.wait(0.002):
            for log in LOGS:
                at[log] = self._read_page(connection, control, log, at[log])
            seen = self._look(connection, control, seen)

    def _look(self, connection: Connection, control: Control, before: dict[str, list[int]]) -> dict[str, list[int]]:
        """Marks what has changed of the logs. Gives what they are now."""
        now = {log["log"]: seen_of(log) for log in get_json(connection, "/v1/logs?limit=1000")["logs"]}
        for name, seen in before.items():
            if name not in now or now[name][0] != seen[0]:
                self._mark(control, f"gone {name} {seen[0]}")
            else:
                assert all(one >= other for one, other in zip(now[name], seen, strict=True)), (name, seen, now[name])
        for name, seen in now.items():
            if seen != before.get(name):
                self._mark(control, f"saw {name} {' '.join(map(str, seen))}")
        return now

    def _read_page(self, connection: Connection, control: Control, log: str, offset: int) -> int:
        response = get(connection, records_target(log, **{"from": offset, "limit": 100}), FRAMED)
        if response.status == 404:
            return offset
        if response.status == 410:
            first = response.json()["first"]
            self._mark(control, f"trimmed {log} {first}")
            return first
        assert response.status == 200, (response.status, response.body)
        for record in unframed(response.body):
            name = name_of(record)
            assert name is not None, f"{log}/{offset} was shown and is no record of this run: {record[:60]!r}"
            if name.index == 0:
                self._promised(control, "shown", (log, offset, name.number, name.part))
            offset += 1
        return offset

    def _trim_all(self, connection: Connection, control: Control) -> None:
        """Trims the shared logs again and again, one of them by its retention."""
        chance = random.Random(f"{self.seed}/{self.first_number}")
        settings = {"retention": {"records": RETAINED_RECORDS}}
        if get(connection, f"/v1/logs/{RETAINED}").status == 404:
            # Others may have made it meanwhile: then it has other settings.
            send_json(connection, "PUT", f"/v1/logs/{RETAINED}", settings)
        response = send_json(connection, "PATCH", f"/v1/logs/{RETAINED}", settings)
        assert response.status == 200, (response.status, response.body)
        self._mark(control, f"retained {RETAINED}")
        while not self.is_done.wait(0.05):
            for log in get_json(connection, "/v1/logs?limit=1000")["logs"]:
                if log["log"] in LOGS and log["log"] != RETAINED:
                    self._trim(connection, control, log["log"], max(log["first"], log["next"] - chance.randint(0, TRIMMED_TO)))

    def _trim(self, connection: Connection, control: Control, log: str, before: int) -> None:
        self.trims[log].append(before)
        response = send_json(connection, "POST", f"/v1/logs/{log}/trim", {"before": before})
        assert response.status == 200, (response.status, response.body)
        self._mark(control, f"trimmed {log} {response.json()['first']}")

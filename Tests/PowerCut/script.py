"""What an owner does to logs of its own, one operation after the other, and what they are then.

Nobody else touches them. So every answer is known beforehand, and after a power cut they are as after the last operation
that was acknowledged, or as after the one behind it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from blackbox import FRAMED, NDJSON, records_target
from shared import Part, batch_body

OWNERS = 3

#: The logs of each owner, so many.
NAMES_EACH = 3

SIZES = (0, 10, 100, 100, 1_000, 8_000)
LARGE_BYTES = 60_000

#: Answers of a producer that a repeat can get again.
ANSWERS_KEPT = 64

#: What an append adds to one log: its name, the form, and the sizes of the records.
PartPlan = tuple[str, str, tuple[int, ...]]

NO_SETTINGS = {"content_type": None, "retention": {"records": None}, "appends_per_second_max": None}


def names_of(owner: int) -> list[str]:
    """The logs of an owner."""
    return [f"own.{owner}.{number}" for number in range(NAMES_EACH)]


@dataclass(frozen=True)
class Identity:
    """How long a repeat is known: as long as the log, which is None for a batch; of a producer as long as its epoch."""

    log: str | None
    #: The operation that made the log.
    made: int
    producer: str | None = None
    epoch: int = 0
    #: How many the producer had appended before.
    ordinal: int = 0


@dataclass(frozen=True)
class Operation:
    """One request and the answer that it must get."""

    index: int
    method: str
    target: str
    headers: dict[str, str]
    #: Makes the body: most operations are gone through again and again without being sent.
    body: Callable[[], bytes | None] = field(repr=False)
    status: int
    #: The members of a problem that it must get.
    problem: dict = field(default_factory=dict)
    #: Of the appends: log, first offset and count.
    firsts: tuple[tuple[str, int, int], ...] = ()
    identity: Identity | None = None

    @property
    def is_change(self) -> bool:
        """Whether the answer shows a log."""
        return not self.firsts and self.status in (200, 201)


@dataclass
class OwnedLog:
    """A log as its owner knows it."""

    #: The operation that made it.
    made: int
    settings: dict = field(default_factory=lambda: NO_SETTINGS)
    closed: bool = False
    #: Records by offset, as the operation, its part, the place in it and the size.
    records: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
    next: int = 0
    #: The least and the most that the first offset can be: retention trims when it likes.
    first: int = 0
    first_max: int = 0
    #: Of each producer: its epoch, the operations of that epoch, and how many there were of all.
    producers: dict[str, tuple[int, list[int], int]] = field(default_factory=dict)

    def note_retention(self) -> None:
        kept = self.settings["retention"]["records"]
        if kept is not None:
            self.first_max = max(self.first_max, self.next - kept)


class Script:
    """The operations of an owner so far, and its logs behind them. `step` adds the next one; all follows from the seed."""

    def __init__(self, seed: int, owner: int, is_trimming: bool, index: int = 0) -> None:
        self.seed, self.owner, self.is_trimming = seed, owner, is_trimming
        self.names = names_of(owner)
        self.logs: dict[str, OwnedLog] = {}
        self.operations: list[Operation] = []
        while self.index < index:
            self.step()

    @property
    def index(self) -> int:
        """The number of the next operation."""
        return len(self.operations)

    def step(self) -> Operation:
        """The next operation, as if it had been answered."""
        chance = random.Random(f"{self.seed}/{self.owner}/{self.index}")
        name = chance.choice(self.names)
        operation = chance.choices(*zip(*self._kinds(self.logs.get(name)), strict=True))[0](name, chance)
        self.operations.append(operation)
        for log in self.logs.values():
            log.note_retention()
        return operation

    def repeats(self) -> list[Operation]:
        """Those whose repeats get their first answers again, the oldest first."""
        return [operation for operation in self.operations if self._is_remembered(operation)]

    def refusal(self, chance: random.Random) -> Operation:
        """A request that must be refused and change nothing, for what the logs are now."""
        kinds = [make for name in self.names for make in self._refusals(name)]
        return chance.choice(kinds)()

    def record(self, operation: int, part: int, index: int, size: int) -> bytes:
        """The bytes of a record: its name first, which no other has, then text."""
        name = f"{self.owner}/{operation}/{part}/{index};"
        return (name + random.Random(f"{self.seed}/{name}").randbytes(size // 2).hex()).encode()

    # What comes next.

    def _kinds(self, log: OwnedLog | None) -> list:
        if log is None:
            return [(self._append, 5), (self._create, 3), (self._batch, 2)]
        if log.closed:
            return [(self._delete, 0.7), (self._trim, 2), (self._close, 1), (self._batch, 2)]
        trims = 6 if self.is_trimming else 1
        return [
            (self._append, 12), (self._batch, 4), (self._trim, trims), (self._configure, 1), (self._create, 0.5),
            (self._close, 0.4), (self._delete, 0.8),
        ]  # fmt: skip

    def _append(self, name: str, chance: random.Random) -> Operation:
        log = self.logs.setdefault(name, OwnedLog(self.index))
        headers, identity = self._identify(name, log, chance)
        if chance.random() < 0.35:
            is_new = log.next == 0 and chance.random() < 0.7
            headers |= {"If-None-Match": "*"} if is_new else {"If-Match": f'"{log.next}"'}
        form = chance.choice(("single", "ndjson", "framed"))
        sizes = [chance.choice(SIZES) for _ in range(1 if form == "single" else chance.randint(1, 6))]
        if form == "single" and chance.random() < 0.1:
            sizes = [LARGE_BYTES]
        if form != "single":
            headers["Content-Type"] = NDJSON if form == "ndjson" else FRAMED
        part = (name, form, tuple(sizes))
        firsts = ((name, self._add(log, 0, sizes), len(sizes)),)
        body = partial(self._append_body, self.index, part)
        return Operation(self.index, "POST", records_target(name), headers, body, 201, firsts=firsts, identity=identity)

    def _add(self, log: OwnedLog, part: int, sizes: list[int]) -> int:
        """Adds records to the end of a log; gives the first offset."""
        first = log.next
        for index, size in enumerate(sizes):
            log.records[first + index] = (self.index, part, index, size)
        log.next += len(sizes)
        return first

    def _append_body(self, operation: int, part: PartPlan) -> bytes:
        return self._part(operation, 0, part).body()[0]

    def _batch_body(self, operation: int, parts: list[PartPlan], conditions: dict[int, str]) -> bytes:
        return batch_body(tuple(self._part(operation, index, part) for index, part in enumerate(parts)), conditions)

    def _part(self, operation: int, number: int, part: PartPlan) -> Part:
        name, form, sizes = part
        return Part(name, form, tuple(self.record(operation, number, index, size) for index, size in enumerate(sizes)))

    def _identify(self, name: str, log: OwnedLog, chance: random.Random) -> tuple[dict[str, str], Identity | None]:
        """The headers of the next request of a producer, or a key, or none."""
        kind = chance.random()
        if kind < 0.2:
            return {}, None
        if kind < 0.5:
            headers = {"Idempotency-Key": f"{self.owner}-{self.index}"}
            return headers, Identity(name, log.made)
        producer = f"producer-{self.owner}-{chance.randint(0, 1)}"
        epoch, requests, count = log.producers.get(producer, (-1, [], 0))
        if epoch < 0 or chance.random() < 0.06:
            epoch, requests = epoch + chance.randint(1, 3), []
        headers = producer_headers(producer, epoch, len(requests))
        log.producers[producer] = (epoch, [*requests, self.index], count + 1)
        return headers, Identity(name, log.made, producer, epoch, count)

    def _batch(self, name: str, chance: random.Random) -> Operation:
        """Appends to up to three logs of the owner that are not closed, one of them perhaps twice."""
        parts, firsts, conditions = [], [], {}
        open_names = [name for name in self.names if not self._is_closed(name)]
        for index in range(chance.randint(2, 3)):
            name = chance.choice(open_names or self.names)
            if not open_names:
                break
            log = self.logs.setdefault(name, OwnedLog(self.index))
            if chance.random() < 0.4:
                conditions[index] = str(log.next)
            sizes = [chance.choice(SIZES) for _ in range(chance.randint(1, 3))]
            parts.append((name, "framed", tuple(sizes)))
            firsts.append((name, self._add(log, index, sizes), len(sizes)))
        if not parts:
            return self._delete(name, chance)
        headers, identity = {}, None
        if chance.random() < 0.6:
            headers, identity = {"Idempotency-Key": f"{self.owner}-{self.index}"}, Identity(None, -1)
        body = partial(self._batch_body, self.index, parts, conditions)
        return Operation(self.index, "POST", "/v1/batch", headers, body, 201, firsts=tuple(firsts), identity=identity)

    def _create(self, name: str, chance: random.Random) -> Operation:
        """Makes a log with settings; or asks for one that is there, with its settings or with others."""
        log = self.logs.get(name)
        settings = random_settings(chance)
        if log is None:
            self.logs[name] = OwnedLog(self.index, settings)
            return self._change("PUT", name, "", settings, 201)
        if chance.random() < 0.5 or settings == log.settings:
            return self._change("PUT", name, "", log.settings, 200)
        return self._change("PUT", name, "", settings, 409, {"code": "settings_differ"})

    def _configure(self, name: str, chance: random.Random) -> Operation:
        settings = random_settings(chance)
        self.logs[name].settings = settings
        return self._change("PATCH", name, "", settings, 200)

    def _trim(self, name: str, chance: random.Random) -> Operation:
        """Mostly nearly everything, else anything."""
        log = self.logs[name]
        before = max(log.next - chance.randint(0, 3), 0) if chance.random() < 0.8 else chance.randint(0, log.next)
        log.first, log.first_max = max(log.first, before), max(log.first_max, before)
        for offset in [offset for offset in log.records if offset < log.first]:
            del log.records[offset]
        return self._change("POST", name, "/trim", {"before": before}, 200)

    def _close(self, name: str, chance: random.Random) -> Operation:
        self.logs[name].closed = True
        return self._change("POST", name, "/close", None, 200)

    def _delete(self, name: str, chance: random.Random) -> Operation:
        del self.logs[name]
        return self._change("DELETE", name, "", None, 204)

    def _change(self, method: str, name: str, rest: str, value: object, status: int, problem: dict | None = None) -> Operation:
        body = partial(json_body, value)
        return Operation(self.index, method, f"/v1/logs/{name}{rest}", {}, body, status, problem or {})

    # What was before.

    def _is_remembered(self, operation: Operation) -> bool:
        """A producer is asked by its present epoch only, and for its last answers; a log that is gone has forgotten all."""
        identity = operation.identity
        if identity is None or identity.log is None:
            return identity is not None
        log = self.logs.get(identity.log)
        if log is None or log.made != identity.made:
            return False
        if identity.producer is None:
            return True
        epoch, _, count = log.producers[identity.producer]
        return identity.epoch == epoch and identity.ordinal >= count - ANSWERS_KEPT

    def _is_closed(self, name: str) -> bool:
        return name in self.logs and self.logs[name].closed

    # What is refused.

    def _refusals(self, name: str) -> list:
        log = self.logs.get(name)
        if log is None:
            return [partial(self._refused, name, producer_headers("unknown", 0, 3), 409, code="sequence_gap", expected=0)]
        tail = {"code": "log_closed" if log.closed else "condition_failed", "next": log.next}
        wrong = {"If-Match": f'"{log.next + 1}"'}
        made = [partial(self._refused, name, wrong, 409 if log.closed else 412, **tail)]
        if not all(self._is_closed(other) for other in self.names if other != name):
            made.append(partial(self._refused_batch, name, tail))
        for producer, (epoch, requests, _) in log.producers.items():
            gap = producer_headers(producer, epoch, len(requests) + 1)
            made.append(partial(self._refused, name, gap, 409, code="sequence_gap", expected=len(requests)))
            if epoch > 0:
                zombie = producer_headers(producer, epoch - 1, len(requests))
                made.append(partial(self._refused, name, zombie, 403, code="producer_fenced", epoch=epoch))
        keyed = [one for one in self.repeats() if one.identity.log == name and one.identity.producer is None]
        if keyed:
            key = {"Idempotency-Key": keyed[-1].headers["Idempotency-Key"]}
            made.append(partial(self._refused, name, key, 422, code="key_reused"))
        return made

    def _refused(self, name: str, headers: dict[str, str], status: int, **problem: object) -> Operation:
        return Operation(-1, "POST", records_target(name), headers, lambda: b"refused", status, problem)

    def _refused_batch(self, name: str, problem: dict) -> Operation:
        """Its second append has a condition that does not hold: so the first is not done either."""
        other = next(other for other in self.names if other != name and not self._is_closed(other))
        parts = (Part(other, "framed", (b"refused",)), Part(name, "framed", (b"refused",)))
        status = 409 if problem["code"] == "log_closed" else 412
        body = partial(batch_body, parts, {1: "999999"})
        return Operation(-1, "POST", "/v1/batch", {}, body, status, problem)


def producer_headers(producer: str, epoch: int, sequence: int) -> dict[str, str]:
    """The headers of a request of a producer."""
    return {"Producer-Id": producer, "Producer-Epoch": str(epoch), "Producer-Seq": str(sequence)}


def json_body(value: object) -> bytes | None:
    """A body that is this value, or no body for None."""
    return None if value is None else json.dumps(value).encode()


def random_settings(chance: random.Random) -> dict:
    """Settings with all members, null where nothing is set."""
    return {
        "content_type": chance.choice((None, "text/plain", "application/json")),
        "retention": {"records": chance.choice((None, 1, 5, 40))},
        "appends_per_second_max": chance.choice((None, 1_000_000)),
    }

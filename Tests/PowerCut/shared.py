"""Requests to the shared logs. Each follows from its number alone, but for the offset that a condition names."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass
from functools import lru_cache

from blackbox import FRAMED, NDJSON, Connection, Response, append, framed

LOGS = ("orders", "events", "audit.trail", "metrics")

#: Sizes of records: mostly small, sometimes over many blocks.
SIZES = (0, 20, 100, 100, 300, 2_000, 12_000)
LARGE_BYTES = 150_000

#: A request's records in one log. What is promised of it: the log, its first offset, the request's number and the part's.
Promise = tuple[str, int, int, int]


@dataclass(frozen=True)
class Part:
    """What one request appends to one log. Every record begins with its name."""

    log: str
    form: str
    records: tuple[bytes, ...]

    def body(self) -> tuple[bytes, str | None]:
        """The body of a plain append and its content type."""
        if self.form == "single":
            return self.records[0], None
        if self.form == "ndjson":
            return b"".join(record + b"\n" for record in self.records), NDJSON
        return framed(list(self.records)), FRAMED


@dataclass(frozen=True)
class Request:
    """One append, or one batch of several; with a key, or only where the log ends at `condition`, or neither."""

    number: int
    parts: tuple[Part, ...]
    key: str | None
    condition: int | None

    @property
    def is_batch(self) -> bool:
        return len(self.parts) > 1

    def send(self, connection: Connection) -> Response:
        headers = {} if self.key is None else {"Idempotency-Key": self.key}
        if self.condition is not None:
            headers["If-Match"] = f'"{self.condition}"'
        if self.is_batch:
            return connection.request("POST", "/v1/batch", headers, batch_body(self.parts))
        return append(connection, self.parts[0].log, *self.parts[0].body(), headers)

    def promises(self, answer: dict) -> list[Promise]:
        """What a 201 with this JSON promises."""
        answers = answer["appends"] if self.is_batch else [answer]
        assert len(answers) == len(self.parts), answer
        for part, answered in zip(self.parts, answers, strict=True):
            assert answered["log"] == part.log and answered["count"] == len(part.records), answer
        return [(part.log, found["first"], self.number, index) for index, (part, found) in enumerate(zip(self.parts, answers))]


def batch_body(parts: tuple[Part, ...], conditions: dict[int, str] | None = None) -> bytes:
    """The body of a batch; `conditions` gives parts their `if_match`."""
    appends = []
    for index, part in enumerate(parts):
        appends.append({"log": part.log, "records": [json_record(record) for record in part.records]})
        if conditions is not None and index in conditions:
            appends[-1]["if_match"] = conditions[index]
    return json.dumps({"appends": appends}).encode()


def json_record(record: bytes) -> object:
    """A record as a batch has it: as a string where it is one."""
    return record.decode() if record.isascii() else {"base64": base64.b64encode(record).decode()}


def is_conditional(seed: int, number: int) -> bool:
    """Whether the request of this number is sent with the offset where its log is seen to end."""
    return random.Random(f"{seed}/{number}/kind").random() >= 0.9


@lru_cache(maxsize=20_000)
def make_request(seed: int, number: int, condition: int | None = None) -> Request:
    """The request of this number: half of them plain, the others with a key, a batch, a batch with a key, or a condition."""
    kind = random.Random(f"{seed}/{number}/kind").random()
    chance = random.Random(f"{seed}/{number}")
    is_batch = 0.7 <= kind < 0.9
    has_key = 0.5 <= kind < 0.8
    parts = [make_part(chance, number, index, condition, is_batch) for index in range(chance.randint(2, 4) if is_batch else 1)]
    return Request(number, tuple(parts), f"key-{number}" if has_key else None, condition)


def make_part(chance: random.Random, number: int, part: int, condition: int | None, is_batch: bool) -> Part:
    form = chance.choice(("single", "single", "ndjson", "framed"))
    sizes = [chance.choice(SIZES) for _ in range(1 if form == "single" else chance.randint(1, 6 if is_batch else 12))]
    if form == "single" and not is_batch and chance.random() < 0.04:
        sizes = [LARGE_BYTES]
    records = []
    for index, size in enumerate(sizes):
        filler = chance.randbytes(size)
        name = f"{number}/{part}/{index}/{len(sizes)}" + ("" if condition is None else f"/{condition}")
        records.append(name.encode() + b";" + (filler.hex().encode() if form == "ndjson" else filler))
    return Part(chance.choice(LOGS), form, tuple(records))


@dataclass(frozen=True)
class RecordName:
    """What a record says of itself: its place in its request, and the offset that its request's condition named."""

    number: int
    part: int
    index: int
    count: int
    condition: int | None = None


def name_of(record: bytes) -> RecordName | None:
    """The name with which a record of ours begins; None if this is none."""
    head, separator, _ = record[:60].partition(b";")
    words = head.split(b"/")
    if not separator or len(words) not in (4, 5) or not all(word.isdigit() for word in words):
        return None
    return RecordName(*map(int, words))


def promise_of(words: list[str]) -> Promise | None:
    """The promise that a mark holds, if it does: an acknowledgement, or a record that a reader saw."""
    return (words[1], int(words[2]), int(words[3]), int(words[4])) if words[0] in ("acknowledged", "shown") else None

"""Valid requests with random changes to their bytes. What is not acknowledged is not there, what is acknowledged is, and
the server serves on. ABUSE_SEED and ABUSE_COUNT repeat or lengthen a run."""

from __future__ import annotations

import contextlib
import os
import random
import re

import pytest

from abuse import Footprint, check_others_are_served
from client import FRAMED, NDJSON, framed, get_json, read_all, records_target
from rawhttp import encode_chunks, encode_request
from server import Server

SEED = int(os.environ.get("ABUSE_SEED", "20261123"))
COUNT = int(os.environ.get("ABUSE_COUNT", "2000"))
#: Requests under way at a time.
TOGETHER = 700

#: Bytes that mean something to a parser of HTTP, or end what somebody else parses.
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"/", b"?", b"%", b"%00", b"..", b"0", b"5", b"-1", b"ffffffff", b"18446744073709551616",
    b"\r\n\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
    b"0\r\n\r\n", b"HTTP/1.0", b"\xff", b"\x80", b"\x7f", b"GET", b"POST",
]  # fmt: skip

ACKNOWLEDGED = re.compile(rb'HTTP/1\.[01] 201 .*?\r\n\r\n\{"log":"([^"]+)","first":(\d+),"next":(\d+),"count":(\d+),', re.DOTALL)


@pytest.fixture(scope="module")
def mutated(workspace):
    server = Server(workspace / "mutated", "--body-deadline-seconds", "2", "--header-deadline-seconds", "2").start()
    yield server
    server.stop()


def templates(marker: bytes) -> list[bytes]:
    """Valid requests, each with records that are found nowhere else."""
    target = records_target("mutant")
    return [
        encode_request("POST", target, {}, marker),
        encode_request("POST", target, {"Content-Type": NDJSON}, marker + b"\n" + marker),
        encode_request("POST", target, {"Content-Type": FRAMED}, framed([marker, marker])),
        encode_request("POST", target, {"Transfer-Encoding": "chunked"}) + encode_chunks(marker),
        encode_request("POST", target, {"Expect": "100-continue"}, marker),
        encode_request("GET", target + "?from=0&limit=2", {"Accept": f"{NDJSON};q=0.5, {FRAMED}"}),
        encode_request("GET", target + "/0") + encode_request("HEAD", "/v1/stats?prefix=mut"),
    ]


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to four changes."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0: data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
            case 1: data = data[:at] + chance.choice(TOKENS) + data[at:]
            case 2: data = data[:at] + chance.choice(TOKENS) + data[at + chance.randint(1, 8) :]
            case 3: data = data[:at] + data[at + chance.randint(1, 16) :]
            case 4: data = data[:at] + data[at : at + chance.randint(1, 40)] * 2 + data[at + 40 :]
            case _: data = data[:at]
        data = data or b"\r\n"
    return data  # fmt: skip


def send_all(server: Server, requests: list[tuple[bytes, int]]) -> list[bytes]:
    """Sends each on a connection of its own, cut in two; gives everything that the server answers to each. Together, because
    a connection that was ended in the middle of a request may stay open for a second."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in requests]
        for connection, (data, cut) in zip(connections, requests):
            with contextlib.suppress(OSError):
                connection.send(data[:cut])
        for connection, (data, cut) in zip(connections, requests):
            with contextlib.suppress(OSError):
                connection.send(data[cut:])
                connection.half_close()
        return [connection.read_to_end() for connection in connections]


def changed(number: int, chance: random.Random) -> tuple[bytes, int]:
    """A mutated request, or two, and where to cut it."""
    valid = templates(b"<%d>" % number)
    data = mutate(chance.choice(valid) + chance.choice([b"", chance.choice(valid)]), chance)
    return data, chance.randrange(len(data) + 1)


def test_mutated_requests_append_what_was_acknowledged_and_nothing_else(mutated):
    print(f"ABUSE_SEED={SEED} ABUSE_COUNT={COUNT}")
    chance = random.Random(SEED)
    check_others_are_served(mutated, "others", 200)
    footprint = Footprint(mutated)
    acknowledged: dict[str, list[tuple[int, int, bytes]]] = {}
    for start in range(0, COUNT, TOGETHER):
        requests = [changed(number, chance) for number in range(start, min(COUNT, start + TOGETHER))]
        for (data, _), answers in zip(requests, send_all(mutated, requests)):
            for log, first, following, count in ACKNOWLEDGED.findall(answers):
                assert int(following) - int(first) == int(count)
                acknowledged.setdefault(log.decode(), []).append((int(first), int(count), data))
        check_others_are_served(mutated, "others", 5)
    with mutated.connect() as connection:
        logs = {row["log"] for row in get_json(connection, "/v1/logs?limit=1000")["logs"]} - {"others"}
        assert logs == set(acknowledged), "a log is there that nobody was told of, or not there"
        assert len(acknowledged["mutant"]) > COUNT // 10, "hardly anything was acknowledged: nothing is tested"
        for log in logs:
            records = read_all(connection, log)
            following = 0
            for first, count, data in sorted(acknowledged[log]):
                assert first == following, f"{log}: the records {following} to {first} were never acknowledged"
                following = first + count
                for record in records[first:following]:
                    assert record in data, f"{log}: {record!r} was not sent in {data!r}"
            assert following == len(records), f"{log}: {len(records) - following} records were never acknowledged"
    footprint.check_returned()

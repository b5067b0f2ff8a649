"""What a client of appendlog does, in few words: append, read, ask. And what every answer of it must look like."""

from __future__ import annotations

import base64
import json
import re
import struct
from dataclasses import dataclass

from rawhttp import Connection, Response

NDJSON = "application/x-ndjson"
FRAMED = "application/vnd.appendlog.records"
RAW = "application/octet-stream"

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def framed(records: list[bytes]) -> bytes:
    """The length-framed binary form of records."""
    return b"".join(struct.pack("<I", len(record)) + record for record in records)


def unframed(body: bytes) -> list[bytes]:
    """The records of the length-framed binary form, which must end with a whole one."""
    records, at = [], 0
    while at < len(body):
        (length,) = struct.unpack_from("<I", body, at)
        assert at + 4 + length <= len(body), "a framed page ends within a record"
        records.append(body[at + 4 : at + 4 + length])
        at += 4 + length
    return records


@dataclass
class Record:
    """One line of an NDJSON page."""

    offset: int
    timestamp: str
    data: bytes
    is_text: bool


def ndjson_records(body: bytes) -> list[Record]:
    """The lines of an NDJSON page, each checked for its form."""
    assert body == b"" or body.endswith(b"\n")
    records = []
    for line in body.split(b"\n")[:-1]:
        value = json.loads(line)
        assert TIMESTAMP.fullmatch(value["timestamp"])
        is_text = "data" in value
        assert set(value) == {"offset", "timestamp", "data" if is_text else "data_base64"}
        data = value["data"].encode() if is_text else base64.b64decode(value["data_base64"], validate=True)
        records.append(Record(value["offset"], value["timestamp"], data, is_text))
    return records


def records_target(log: str, **query: object) -> str:
    """The target of a log's records, with a query where one is given."""
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return f"/v1/logs/{log}/records" + (f"?{text}" if text else "")


def append(
    connection: Connection, log: str, body: bytes, content_type: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """POSTs `body` and gives the answer as it is."""
    fields = {} if content_type is None else {"Content-Type": content_type}
    return connection.request("POST", records_target(log), {**fields, **(headers or {})}, body)


def producer(name: str, epoch: int, sequence: int) -> dict[str, str]:
    """The headers of a request of a producer."""
    return {"Producer-Id": name, "Producer-Epoch": str(epoch), "Producer-Seq": str(sequence)}


def send_json(connection: Connection, method: str, target: str, value: object = None) -> Response:
    """Sends a value as JSON; None sends no body."""
    body = None if value is None else json.dumps(value).encode()
    return connection.request(method, target, {} if body is None else {"Content-Type": "application/json"}, body)


def check_log(response: Response, status: int = 200) -> dict:
    """Checks that an answer shows a log, and gives it."""
    assert response.status == status, (response.status, response.body[:500])
    assert response.media_type == "application/json"
    check_common_headers(response)
    log = response.json()
    assert set(log) == {
        "log", "id", "first", "next", "durable", "records", "bytes", "created", "closed", "content_type", "retention",
        "appends_per_second_max",
    }  # fmt: skip
    return log


def check_replayed(repeat: Response, first: Response) -> None:
    """Checks that an answer is the first one again, and says so."""
    assert (repeat.status, repeat.body) == (first.status, first.body)
    assert repeat.header("idempotent-replayed") == "true"
    assert first.header("idempotent-replayed") is None
    assert repeat.header("location") == first.header("location")


def append_ok(connection: Connection, log: str, body: bytes, content_type: str | None = None) -> dict:
    """POSTs `body`, expects 201 in its exact form and gives its JSON."""
    response = append(connection, log, body, content_type)
    return check_appended(response, log)


def check_appended(response: Response, log: str) -> dict:
    """Checks a 201 against the contract and gives its JSON."""
    assert response.status == 201, (response.status, response.body[:500])
    assert response.media_type == "application/json"
    check_common_headers(response)
    answer = response.json()
    assert set(answer) == {"log", "first", "next", "count", "timestamp"}
    assert answer["log"] == log
    assert answer["count"] >= 1 and answer["next"] - answer["first"] == answer["count"]
    assert TIMESTAMP.fullmatch(answer["timestamp"])
    assert response.header("location") == f"/v1/logs/{log}/records/{answer['first']}"
    return answer


def check_common_headers(response: Response, caching: str = "no-store") -> None:
    """What every answer of the service carries."""
    assert response.header("cache-control") == caching
    assert response.header("x-content-type-options") == "nosniff"


def check_problem(
    response: Response, status: int, code: str, retryable: bool = False, side_effects: str = "none", **members: object
) -> dict:
    """Checks that an answer is the problem with this status and code, and with these further members and no others."""
    assert response.status == status, (response.status, response.headers, response.body[:500])
    assert response.media_type == "application/problem+json"
    check_common_headers(response)
    problem = response.json()
    assert set(problem) == {"type", "title", "status", "code", "detail", "retryable", "side_effects", *members}, problem
    assert {name: problem[name] for name in members} == members, problem
    assert problem["code"] == code, problem
    assert problem["type"] == f"https://appendlog.dev/problems/{code}"
    assert problem["status"] == status
    assert problem["retryable"] is retryable, problem
    assert problem["side_effects"] == side_effects
    assert problem["title"] and problem["detail"]
    return problem


def get(connection: Connection, target: str, accept: str | None = None) -> Response:
    """GETs a target."""
    return connection.request("GET", target, {} if accept is None else {"Accept": accept})


def get_json(connection: Connection, target: str) -> dict:
    """GETs a target that must answer 200 with JSON."""
    response = get(connection, target)
    assert response.status == 200, (response.status, response.body[:500])
    assert response.media_type == "application/json"
    check_common_headers(response)
    return response.json()


def stats(connection: Connection) -> dict:
    """The JSON of /v1/stats."""
    return get_json(connection, "/v1/stats")


def log_exists(connection: Connection, log: str) -> bool:
    """Whether anyone is shown a log of this name."""
    response = get(connection, f"/v1/logs/{log}")
    assert response.status in (200, 404), response
    return response.status == 200


def read_all(connection: Connection, log: str, start: int = 0) -> list[bytes]:
    """All records of a log from `start`, page by page; an unknown log has none."""
    records: list[bytes] = []
    while True:
        response = get(connection, records_target(log, **{"from": start, "limit": 10000, "bytes": 4194304}), FRAMED)
        if response.status == 404:
            check_problem(response, 404, "log_not_found")
            return records
        assert response.status == 200, (response.status, response.body[:500])
        page = unframed(response.body)
        assert int(response.header("first-offset")) == start
        assert int(response.header("next-offset")) == start + len(page)
        records += page
        start += len(page)
        if start == int(response.header("tail-offset")):
            return records
        assert page, "an empty page before the tail"

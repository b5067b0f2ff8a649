"""Live tails and long polls of logs that are trimmed, closed and deleted while they are followed."""

from __future__ import annotations

import json

from client import NDJSON, append_ok, get, ndjson_records, records_target
from livetail import LiveTail
from rawhttp import Connection, encode_request
from server import Server


def lines(count: int) -> bytes:
    return b"".join(b"record %d\n" % number for number in range(count))


def close(connection: Connection, log: str) -> None:
    response = connection.request("POST", f"/v1/logs/{log}/close")
    assert response.status == 200, (response.status, response.body)


def delete(connection: Connection, log: str) -> None:
    response = connection.request("DELETE", f"/v1/logs/{log}")
    assert response.status in (200, 204), (response.status, response.body)


def trim(connection: Connection, log: str, before: int) -> None:
    body = json.dumps({"before": before}).encode()
    response = connection.request("POST", f"/v1/logs/{log}/trim", {"Content-Type": "application/json"}, body)
    assert response.status == 200, (response.status, response.body)


def test_a_closed_log_ends_its_live_tails_and_a_reconnect_gets_204(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, lines(3), NDJSON)
    with LiveTail(server.port, log) as tail, LiveTail(server.port, log, **{"from": 3}) as waiting:
        for number in range(3):
            last = tail.next_record()
            assert last.offset == number
        close(connection, log)
        for ending in (tail, waiting):
            assert ending.next_named().event == "closed"
            assert ending.next() is None and ending.ended_whole
    with LiveTail(server.port, log, last_event_id=last.id) as again:
        assert again.response.status == 204
    # Who has not read all gets the rest, and who has no Last-Event-ID gets the end.
    with LiveTail(server.port, log, last_event_id=0) as late:
        assert [late.next_record().offset for _ in range(2)] == [1, 2]
        assert late.next_named().event == "closed"
    with LiveTail(server.port, log, **{"from": 3}) as behind:
        assert behind.next_named().event == "closed"


def test_a_deleted_log_ends_its_live_tails_and_its_name_begins_anew(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, lines(3), NDJSON)
    with LiveTail(server.port, log) as tail:
        for number in range(3):
            assert tail.next_record().offset == number
        delete(connection, log)
        append_ok(connection, log, b"another log")
        assert tail.next_named().event == "deleted"
        assert tail.next() is None and tail.ended_whole
    with LiveTail(server.port, log) as again:
        assert again.next_record().text == "another log"


def test_a_gap_is_told_where_records_were_trimmed(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, lines(10), NDJSON)
    trim(connection, log, 6)
    for tail in (LiveTail(server.port, log, **{"from": 2}), LiveTail(server.port, log, last_event_id=1)):
        with tail:
            gap = tail.next_named()
            assert gap.event == "gap" and json.loads(gap.data) == {"from": 2, "first": 6} and gap.id is None
            assert [tail.next_record().offset for _ in range(4)] == [6, 7, 8, 9]


def test_a_trim_of_what_was_shown_tells_no_gap(server: Server, connection: Connection, log: str) -> None:
    append_ok(connection, log, lines(5), NDJSON)
    with LiveTail(server.port, log) as tail:
        for number in range(5):
            assert tail.next_record().offset == number
        trim(connection, log, 5)
        append_ok(connection, log, b"next")
        assert tail.next_record().offset == 5


def test_closing_and_deleting_answer_long_polls(server: Server, connection: Connection, log: str) -> None:
    for end, status in ((close, 200), (delete, 404)):
        name = f"{log}-{end.__name__}"
        append_ok(connection, name, b"first")
        with server.connect() as waiting:
            waiting.send(encode_request("GET", records_target(name, **{"from": 1, "wait": 30})))
            end(connection, name)
            response = waiting.read_response()
            assert response.status == status
            if status == 200:
                assert ndjson_records(response.body) == []
                assert get(connection, records_target(name)).status == 200

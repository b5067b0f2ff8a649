"""All records of a log in one answer of unknown length (`stream=1`)."""

from __future__ import annotations

import pytest

from abuse import resident_bytes
from client import FRAMED, RAW, append_ok, framed, get, ndjson_records, records_target, unframed
from rawhttp import ConnectionEnded, encode_request
from server import wait_until
from test_live import open_requests


def test_a_stream_has_all_records_up_to_the_tail_in_each_form(start_server, log: str) -> None:
    server = start_server()
    records = [b"%d %s" % (number, b"z" * (number * 37 % 5000)) for number in range(6000)] + [b"m" * (1 << 20)]
    with server.connect() as connection:
        for first in range(0, len(records), 150):
            append_ok(connection, log, framed(records[first : first + 150]), FRAMED)
        for start in (0, 1, 2999, 6000, 6001):
            response = get(connection, records_target(log, **{"from": start, "stream": 1}), FRAMED)
            assert response.status == 200 and response.header("transfer-encoding") == "chunked"
            assert response.header("first-offset") == str(start) and response.header("tail-offset") == "6001"
            assert unframed(response.body) == records[start:]
            connection = server.connect()
        response = get(connection, records_target(log, **{"stream": 1}), RAW)
        assert response.body == b"".join(records)
        response = get(server.connect(), records_target(log, **{"stream": 1}))
        assert [record.data for record in ndjson_records(response.body)] == records
    server.stop()


def test_a_stream_that_is_not_read_costs_bounded_memory_and_is_cut(start_server, log: str) -> None:
    server = start_server("--idle-timeout-seconds", "1")
    with server.connect() as connection:
        for _ in range(40):
            append_ok(connection, log, b"y" * 1_000_000)
        before = resident_bytes(server.pid)
        streams = [server.connect() for _ in range(20)]
        for stream in streams:
            stream.send(encode_request("GET", records_target(log, stream=1), {"Accept": FRAMED}))
        for stream in streams:
            stream._receive_more()
        # Each has a piece and the buffer of a read; a piece has a record of 1 MB here.
        assert resident_bytes(server.pid) - before < 60 << 20
    wait_until(lambda: open_requests(server) == 0, "the cut of all that do not read")
    for stream in streams:
        with pytest.raises(ConnectionEnded):
            stream._read_until(b"\r\n0\r\n\r\n")
    server.stop()

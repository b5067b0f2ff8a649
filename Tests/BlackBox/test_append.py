"""POST /v1/logs/{log}/records: what becomes a record, and what is refused whole."""

from __future__ import annotations

import pytest

from client import (
    FRAMED,
    NDJSON,
    append,
    append_ok,
    check_appended,
    check_log,
    check_problem,
    framed,
    get,
    log_exists,
    read_all,
    records_target,
    send_json,
)
from rawhttp import encode_chunks, encode_request

KIB, MIB = 1 << 10, 1 << 20

#: The server's default limits.
BODY_BYTES_MAX = 1_114_112
RECORD_BYTES_MAX = 1_048_576
RECORDS_MAX = 65_536
DRAIN_BYTES_MAX = 4 * MIB


def test_appends_get_consecutive_offsets_and_are_read_back(connection, log):
    first = append_ok(connection, log, b"one")
    assert (first["first"], first["next"], first["count"]) == (0, 1, 1)
    second = append_ok(connection, log, b"two")
    assert (second["first"], second["next"], second["count"]) == (1, 2, 1)
    assert first["timestamp"] < second["timestamp"]
    assert read_all(connection, log) == [b"one", b"two"]


def test_location_names_the_first_record(connection, log):
    append_ok(connection, log, b"before")
    response = append(connection, log, b"x\ny\n", NDJSON)
    assert get(connection, response.header("location")).body == b"x"


@pytest.mark.parametrize("content_type", [None, "application/json", "text/plain", "application/octet-stream", "application/x-ndjsonx", "?"])
def test_any_other_content_type_makes_the_body_one_record(connection, log, content_type):
    body = b'{"a":1}\n\n{"b":2}\r\n'
    assert append_ok(connection, log, body, content_type)["count"] == 1
    assert read_all(connection, log) == [body]


def test_every_byte_survives(connection, log):
    body = bytes(range(256)) * 3 + b"\0"
    append_ok(connection, log, body)
    assert get(connection, f"/v1/logs/{log}/records/0").body == body
    assert read_all(connection, log) == [body]


@pytest.mark.parametrize(
    "body, records",
    [
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\nb", [b"a", b"b"]),
        (b"a", [b"a"]),
        (b"a\r\nb\r\n", [b"a", b"b"]),
        (b"\n\na\n\n\nb\n\n", [b"a", b"b"]),
        (b"\r\na\r\n\r\n\nb", [b"a", b"b"]),
        (b"a\rb\n", [b"a\rb"]),
        (b"a\r\r\n", [b"a\r"]),
        (b" a \n\t\n", [b" a ", b"\t"]),
        (b"a\0b\n\xff\xfe\n", [b"a\0b", b"\xff\xfe"]),
        ('{"ö":"€"}\nnot json\n'.encode(), ['{"ö":"€"}'.encode(), b"not json"]),
    ],
)
def test_ndjson_is_one_record_a_line(connection, log, body, records):
    assert append_ok(connection, log, body, NDJSON)["count"] == len(records)
    assert read_all(connection, log) == records


@pytest.mark.parametrize("content_type", ["application/x-ndjson; charset=utf-8", "Application/X-NDJSON", "application/x-ndjson;a=b"])
def test_case_and_parameters_of_the_content_type_do_not_matter(connection, log, content_type):
    assert append_ok(connection, log, b"a\nb\n", content_type)["count"] == 2


def test_framed_records_may_hold_anything(connection, log):
    records = [b"plain", b"", b"with\nline\r\nends", b"\0" * 5, bytes(range(256)), b"x" * 70_000, b"end"]
    assert append_ok(connection, log, framed(records), FRAMED)["count"] == len(records)
    assert read_all(connection, log) == records


def test_the_records_of_a_request_share_a_timestamp(connection, log):
    answer = append_ok(connection, log, b"a\nb\n", NDJSON)
    for offset in (0, 1):
        assert get(connection, f"/v1/logs/{log}/records/{offset}").header("timestamp") == answer["timestamp"]


@pytest.mark.parametrize(
    "body, content_type",
    [(b"", None), (b"", "application/json"), (b"", NDJSON), (b"\n\r\n\n", NDJSON), (b"\n", NDJSON), (b"", FRAMED)],
)
def test_a_body_without_a_record_is_refused(connection, log, body, content_type):
    check_problem(append(connection, log, body, content_type), 400, "empty_body")
    assert not log_exists(connection, log)


def test_a_post_without_any_body_is_refused(connection, log):
    check_problem(connection.request("POST", records_target(log)), 400, "empty_body")
    assert not log_exists(connection, log)


def test_an_empty_chunked_body_is_refused(connection, log):
    response = connection.request("POST", records_target(log), {"Transfer-Encoding": "chunked"}, encode_chunks())
    check_problem(response, 400, "empty_body")


def test_every_truncation_of_a_framed_body_is_refused_whole(connection, log):
    body = framed([b"abc", b"", b"de"])
    whole = {7, 11, len(body)}
    for cut in set(range(1, len(body))) - whole:
        check_problem(append(connection, log, body[:cut], FRAMED), 400, "malformed_records")
    assert not log_exists(connection, log)


def test_a_framed_length_beyond_any_body_is_refused(connection, log):
    response = append(connection, log, b"\xff\xff\xff\xffabc", FRAMED)
    check_problem(response, response.status, {400: "malformed_records", 413: "record_too_large"}[response.status])
    assert not log_exists(connection, log)


@pytest.mark.parametrize("content_type, body_of", [(NDJSON, lambda n: b"a\n" * n), (FRAMED, lambda n: framed([b"a"] * n))])
def test_one_record_more_than_the_limit_is_refused_whole(connection, log, content_type, body_of):
    check_problem(append(connection, log, body_of(RECORDS_MAX + 1), content_type), 413, "too_many_records")
    assert not log_exists(connection, log)
    assert append_ok(connection, log, body_of(RECORDS_MAX), content_type)["count"] == RECORDS_MAX
    assert read_all(connection, log) == [b"a"] * RECORDS_MAX


@pytest.mark.parametrize(
    "content_type, body_of",
    [(None, lambda record: record), (NDJSON, lambda record: b"small\n" + record), (FRAMED, lambda record: framed([b"small", record]))],
    ids=["whole", "ndjson", "framed"],
)
def test_one_byte_more_than_a_record_may_have_is_refused_whole(connection, log, content_type, body_of):
    check_problem(append(connection, log, body_of(b"r" * (RECORD_BYTES_MAX + 1)), content_type), 413, "record_too_large")
    assert not log_exists(connection, log)
    largest = b"R" * RECORD_BYTES_MAX
    append_ok(connection, log, body_of(largest), content_type)
    assert read_all(connection, log)[-1] == largest


def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(server, connection, log):
    half = b"h" * (BODY_BYTES_MAX // 2 - 1) + b"\n"
    assert append_ok(connection, log, half * 2, NDJSON)["count"] == 2
    check_problem(append(connection, log, half * 2 + b"x", NDJSON), 413, "body_too_large")
    with server.connect() as other:
        assert read_all(other, log) == [half[:-1]] * 2


def test_a_client_that_expects_to_go_on_is_told_to(connection, log):
    connection.send(encode_request("POST", records_target(log), {"Expect": "100-continue", "Content-Length": "5"}))
    assert connection.read_response().status == 100
    connection.send(b"hello")
    check_appended(connection.read_response(), log)


def test_a_client_that_expects_to_go_on_is_refused_before_it_sends_too_much(server, connection, log):
    headers = {"Expect": "100-continue", "Content-Length": str(BODY_BYTES_MAX + 1)}
    connection.send(encode_request("POST", records_target(log), headers))
    check_problem(connection.read_response(), 413, "body_too_large")
    with server.connect() as other:
        assert not log_exists(other, log)


def test_a_length_beyond_what_would_be_drained_is_refused_before_the_body(server, connection, log):
    connection.send(encode_request("POST", records_target(log), {"Content-Length": str(DRAIN_BYTES_MAX + 1)}))
    check_problem(connection.read_response(), 413, "body_too_large")
    assert connection.read_to_end() == b""
    with server.connect() as other:
        assert not log_exists(other, log)


def test_a_body_over_the_limit_is_drained_so_that_the_client_sees_the_refusal(server, connection, log):
    response = append(connection, log, b"x" * (3 * MIB))
    check_problem(response, 413, "body_too_large")
    with server.connect() as other:
        assert not log_exists(other, log)


def test_chunks_of_any_size_make_one_record(connection, log):
    chunks = [b"a", b"bc" * 1000, b"d" * 70_001, b"\r\n0\r\n\r\n", b"\0"]
    response = connection.request("POST", records_target(log), {"Transfer-Encoding": "chunked"}, encode_chunks(*chunks))
    check_appended(response, log)
    assert read_all(connection, log) == [b"".join(chunks)]


def test_chunked_ndjson_is_cut_at_lines_not_at_chunks(connection, log):
    headers = {"Transfer-Encoding": "chunked", "Content-Type": NDJSON}
    response = connection.request("POST", records_target(log), headers, encode_chunks(b"on", b"e\r", b"\n\ntw", b"o\n", b"\n"))
    assert check_appended(response, log)["count"] == 2
    assert read_all(connection, log) == [b"one", b"two"]


def test_chunk_extensions_and_trailers_are_no_data(connection, log):
    connection.send(encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}))
    connection.send(b"3;name=value\r\nabc\r\n2\r\nde\r\n0\r\nChecksum: 1\r\n\r\n")
    check_appended(connection.read_response(), log)
    assert read_all(connection, log) == [b"abcde"]


def test_a_chunked_body_over_the_limit_is_drained_and_refused(server, connection, log):
    body = encode_chunks(*[b"x" * (64 * KIB)] * 32)
    check_problem(connection.request("POST", records_target(log), {"Transfer-Encoding": "chunked"}, body), 413, "body_too_large")
    with server.connect() as other:
        assert not log_exists(other, log)


def test_a_chunked_body_beyond_the_drain_limit_is_cut_off(server, connection, log):
    connection.send(encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}))
    chunk = b"%x\r\n%s\r\n" % (64 * KIB, b"x" * (64 * KIB))
    sent = 0
    try:
        while sent < 64 * MIB:
            connection.send(chunk)
            sent += len(chunk)
    except ConnectionError:
        pass
    assert sent < 64 * MIB, "the server took everything"
    assert connection.read_to_end() == b""
    with server.connect() as other:
        assert not log_exists(other, log)


def test_smaller_limits_are_kept_exactly(start_server, log):
    server = start_server("--record-bytes-max", "10", "--records-per-request-max", "3", "--request-body-bytes-max", "40")
    with server.connect() as connection:
        check_problem(append(connection, log, b"x" * 11), 413, "record_too_large")
        check_problem(append(connection, log, b"a\nb\nc\nd\n", NDJSON), 413, "too_many_records")
        with server.connect() as other:
            check_problem(append(other, log, b"x" * 41), 413, "body_too_large")
        assert not log_exists(connection, log)
        append_ok(connection, log, b"x" * 10)
        append_ok(connection, log, (b"y" * 10 + b"\n") * 3, NDJSON)
        append_ok(connection, log, framed([b"z" * 10, b"z" * 10]) + framed([b"z" * 8]), FRAMED)
        assert len(read_all(connection, log)) == 7


def test_without_auto_create_an_unknown_log_is_not_made(start_server, log):
    with start_server("--auto-create", "false").connect() as connection:
        check_problem(append(connection, log, b"x"), 404, "log_not_found")
        assert not log_exists(connection, log)


def test_headers_of_an_append_are_looked_at_before_its_body_and_its_rate(connection, log):
    check_log(send_json(connection, "PUT", f"/v1/logs/{log}", {"appends_per_second_max": 1}), 201)
    wrong = {"If-Match": "0", "Content-Type": FRAMED}
    for body in (b"cut off", b"") * 10:
        check_problem(connection.request("POST", records_target(log), wrong, body), 400, "invalid_append_header")
    append_ok(connection, log, b"the first of this second")

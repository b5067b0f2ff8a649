"""Reading back: pages in each form, single records, and every query that is refused."""

from __future__ import annotations

import base64

import pytest

from client import (
    FRAMED,
    NDJSON,
    RAW,
    append_ok,
    check_common_headers,
    check_problem,
    framed,
    get,
    ndjson_records,
    read_all,
    records_target,
    unframed,
)
from rawhttp import encode_request

#: 100 bytes each, so that page sizes can be computed; the last two are not UTF-8.
RECORDS = [b"%099d\n" % number for number in range(20)] + [b"\xff" * 100, b"\0" * 99 + b"\xc3"]
LOG = "read-me"


@pytest.fixture(scope="module")
def filled(shared_server):
    """The shared server with the log LOG of RECORDS, appended in three requests."""
    with shared_server.connect() as connection:
        append_ok(connection, LOG, framed(RECORDS[:7]), FRAMED)
        append_ok(connection, LOG, RECORDS[7])
        append_ok(connection, LOG, framed(RECORDS[8:]), FRAMED)
    return shared_server


@pytest.fixture
def reader(filled):
    with filled.connect() as connection:
        yield connection


def page_headers(response) -> tuple[int, int, int]:
    """First-Offset, Next-Offset and Tail-Offset of a page, whose other headers are checked."""
    assert response.status == 200, (response.status, response.body[:500])
    check_common_headers(response, "private, no-cache")
    assert response.header("vary") == "Accept"
    return tuple(int(response.header(name)) for name in ("first-offset", "next-offset", "tail-offset"))


def test_a_page_without_a_query_begins_at_the_first_record(reader):
    response = get(reader, records_target(LOG))
    assert page_headers(response) == (0, len(RECORDS), len(RECORDS))
    assert response.media_type == NDJSON
    lines = ndjson_records(response.body)
    assert [line.offset for line in lines] == list(range(len(RECORDS)))
    assert [line.data for line in lines] == RECORDS
    assert [line.is_text for line in lines] == [True] * 20 + [False] * 2


def test_timestamps_never_go_back_and_are_shared_within_a_request(reader):
    stamps = [line.timestamp for line in ndjson_records(get(reader, records_target(LOG)).body)]
    assert stamps == sorted(stamps)
    assert len(set(stamps[:7])) == 1 and len(set(stamps[8:])) == 1 and len(set(stamps)) == 3


@pytest.mark.parametrize("query, first, count", [
    ({"from": 5}, 5, 17),
    ({"from": 0, "limit": 1}, 0, 1),
    ({"from": 3, "limit": 7}, 3, 7),
    ({"limit": 10000}, 0, 22),
    ({"from": 20, "limit": 10}, 20, 2),
    ({"bytes": 1}, 0, 1),
    ({"from": 4, "bytes": 99}, 4, 1),
    ({"from": 4, "bytes": 299}, 4, 2),
    ({"from": 4, "bytes": 300}, 4, 3),
    ({"bytes": 4194304}, 0, 22),
    ({"from": 4, "bytes": 300, "limit": 2}, 4, 2),
    ({"limit": 2, "bytes": 300, "from": 4}, 4, 2),
    ({"from": 21}, 21, 1),
    ({"from": 22}, 22, 0),
    ({"from": 23}, 23, 0),
    ({"from": 18446744073709551615}, 18446744073709551615, 0),
])  # fmt: skip
@pytest.mark.parametrize("accept", [NDJSON, FRAMED, RAW])
def test_a_page_holds_what_its_query_says(reader, query, first, count, accept):
    response = get(reader, records_target(LOG, **query), accept)
    assert page_headers(response) == (first, first + count, len(RECORDS))
    assert response.media_type == accept
    expected = RECORDS[first : first + count] if count else []
    if accept == NDJSON:
        lines = ndjson_records(response.body)
        assert [(line.offset, line.data) for line in lines] == list(enumerate(expected, first))
    elif accept == FRAMED:
        assert unframed(response.body) == expected
    else:
        assert response.body == b"".join(expected)


def test_following_next_offset_reads_everything_once(reader):
    offset, records = 0, []
    while True:
        response = get(reader, records_target(LOG, **{"from": offset, "limit": 4}), FRAMED)
        _, offset, tail = page_headers(response)
        records += unframed(response.body)
        if offset == tail:
            break
    assert records == RECORDS


def test_a_record_larger_than_the_page_is_given_alone(connection, log):
    large = b"L" * 1_000_000
    append_ok(connection, log, framed([large, b"small"]), FRAMED)
    response = get(connection, records_target(log, bytes=1000), FRAMED)
    assert page_headers(response) == (0, 1, 2)
    assert unframed(response.body) == [large]


def test_default_page_sizes_are_a_thousand_records_and_a_mebibyte(connection, log):
    append_ok(connection, log, framed([b"%d" % number for number in range(1500)]), FRAMED)
    assert page_headers(get(connection, records_target(log))) == (0, 1000, 1500)
    for _ in range(3):
        append_ok(connection, log + "-large", b"x" * 500_000)
    assert page_headers(get(connection, records_target(log + "-large"))) == (0, 2, 3)


@pytest.mark.parametrize("accept, media_type", [
    (None, NDJSON),
    ("*/*", NDJSON),
    ("application/x-ndjson", NDJSON),
    ("Application/X-NDJSON", NDJSON),
    ("text/html, */*;q=0.1", NDJSON),
    ("text/html, application/vnd.appendlog.records", FRAMED),
    ("application/octet-stream", RAW),
    ("application/octet-stream;q=0.5", RAW),
    ("application/octet-stream; q=0.5, application/x-ndjson", NDJSON),
])  # fmt: skip
def test_accept_chooses_the_form(reader, accept, media_type):
    response = get(reader, records_target(LOG, limit=1), accept)
    page_headers(response)
    assert response.media_type == media_type


@pytest.mark.parametrize("accept", ["text/html", "application/json", "image/*", "application/x-ndjsonx"])
def test_a_form_that_there_is_not_is_refused(reader, accept):
    check_problem(get(reader, records_target(LOG), accept), 406, "not_acceptable")


@pytest.mark.parametrize("text", ['quote " backslash \\ slash /', "\0\x01\x1f\x7f\t\r\n", "ü€😀\u2028", "</script>", ""])
def test_text_is_given_as_text_whatever_is_in_it(connection, log, text):
    append_ok(connection, log, framed([text.encode()]), FRAMED)
    (line,) = ndjson_records(get(connection, records_target(log)).body)
    assert line.is_text and line.data == text.encode()


@pytest.mark.parametrize("data", [
    b"\xff", b"\x80", b"a\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x82", b"ok \xfe",
])  # fmt: skip
def test_what_is_not_utf8_is_given_as_base64(connection, log, data):
    append_ok(connection, log, data)
    body = get(connection, records_target(log)).body
    (line,) = ndjson_records(body)
    assert not line.is_text and line.data == data
    assert base64.b64encode(data) in body


def test_a_single_record_is_given_byte_for_byte_and_cannot_run(reader):
    for offset, record in enumerate(RECORDS):
        response = get(reader, f"/v1/logs/{LOG}/records/{offset}")
        assert (response.status, response.body) == (200, record)
        check_common_headers(response, "private, no-cache")
        assert response.media_type == RAW
        assert response.header("content-security-policy") == "sandbox"
        assert response.header("content-disposition").startswith("attachment")
        assert response.header("offset") == str(offset)
    line = ndjson_records(get(reader, records_target(LOG, limit=1)).body)[0]
    assert get(reader, f"/v1/logs/{LOG}/records/0").header("timestamp") == line.timestamp


@pytest.mark.parametrize("offset", [len(RECORDS), len(RECORDS) + 1, 18446744073709551615])
def test_there_is_no_record_beyond_the_tail(reader, offset):
    check_problem(get(reader, f"/v1/logs/{LOG}/records/{offset}"), 404, "record_not_found")


@pytest.mark.parametrize("offset", ["x", "-1", "+1", "1.0", "1e3", "0x1", "18446744073709551616", "99999999999999999999999", "%30", "1%20", "first"])
def test_an_offset_that_is_no_number_is_refused(reader, offset):
    check_problem(get(reader, f"/v1/logs/{LOG}/records/{offset}"), 400, "invalid_offset")


@pytest.mark.parametrize("query", [
    "from=", "from=x", "from=-", "from=-0", "from=+1", "from=1.5", "from=last", "from=First", "from=2026-11-22",
    "from=2016-12-31T23:59:60Z", "from=2026-02-29T00:00:00Z", "from=2026-11-22T22:05:03", "from=2026-11-22T22:05:03%2002:00",
    "from=2026-11-22T22:05:03+0200", "wait=", "wait=-1", "wait=51", "wait=0.5", "wait=1s", "log_id=", "log_id=0", "log_id=x", "from=18446744073709551616", "from=%31%zz", "from",
    "limit=", "limit=0", "limit=-1", "limit=10001", "limit=x", "limit=99999999999999999999",
    "bytes=", "bytes=0", "bytes=-1", "bytes=4194305", "bytes=1k",
    "unknown=1", "From=1", "from=0&unknown=1", "from=0&limit=0", "from=0&from=1", "=1", "limit=5;bytes=5",
])  # fmt: skip
def test_a_query_that_is_wrong_is_refused(reader, query):
    check_problem(get(reader, f"/v1/logs/{LOG}/records?{query}"), 400, "invalid_query")


@pytest.mark.parametrize("target", ["", "/records", "/records?from=5", "/records/0"])
def test_an_unknown_log_is_not_found(reader, target):
    check_problem(get(reader, f"/v1/logs/never-made{target}"), 404, "log_not_found")


@pytest.mark.parametrize("target", [
    records_target(LOG), records_target(LOG, **{"from": 3, "limit": 2}), f"/v1/logs/{LOG}/records/0", f"/v1/logs/{LOG}", "/v1/logs",
    "/healthz", "/readyz", "/openapi.yaml", "/v1/logs/never-made/records", f"/v1/logs/{LOG}/records?limit=0", "/nowhere",
])  # fmt: skip
def test_head_gives_the_headers_of_get_and_no_body(reader, target):
    get_response = get(reader, target)
    head_response = reader.request("HEAD", target)
    # A body after the answer to HEAD would be taken for the next answer.
    assert get(reader, "/healthz").json() == {"status": "ok"}
    assert head_response.status == get_response.status
    assert head_response.body == b""
    without_date = [[pair for pair in response.headers if pair[0] != "date"] for response in (head_response, get_response)]
    assert without_date[0] == without_date[1]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_body_sent_with_a_read_is_discarded(reader, method):
    for body in (b"x", b"y" * 100_000):
        reader.send(encode_request(method, records_target(LOG, limit=1), {}, body))
        assert page_headers(reader.read_response(head=method == "HEAD")) == (0, 1, len(RECORDS))
    assert read_all(reader, LOG) == RECORDS

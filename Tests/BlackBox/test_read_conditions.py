"""Reads beside plain pages: where they begin, the link to the next page, entity tags, and how long an answer may be kept."""

from __future__ import annotations

import re
import select
from datetime import datetime, timedelta, timezone

import pytest

from client import FRAMED, NDJSON, RAW, append_ok, check_problem, framed, get, ndjson_records, records_target, unframed
from rawhttp import encode_request

IMMUTABLE = "private, max-age=31536000, immutable"
REVALIDATED = "private, no-cache"


def page(response) -> tuple[int, int, int]:
    assert response.status == 200, (response.status, response.body[:500])
    return tuple(int(response.header(name)) for name in ("first-offset", "next-offset", "tail-offset"))


def next_target(response) -> str:
    """The target of the `Link` of a page."""
    match = re.fullmatch(r'<(/v1/logs/[^>]+)>; rel="next"', response.header("link"))
    assert match, response.header("link")
    return match.group(1)


def log_id(connection, log: str) -> int:
    return get(connection, f"/v1/logs/{log}").json()["id"]


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def conditional(connection, target: str, tag: str, accept: str = NDJSON, method: str = "GET"):
    return connection.request(method, target, {"If-None-Match": tag, "Accept": accept})


# Where a page begins


@pytest.mark.parametrize("start, first", [
    (None, 0), ("first", 0), ("0", 0), ("-1", 9), ("-3", 7), ("-10", 0), ("-11", 0), ("-18446744073709551615", 0), ("now", 10), ("9", 9),
])  # fmt: skip
@pytest.mark.parametrize("accept", [NDJSON, FRAMED, RAW])
def test_a_page_begins_where_from_says(connection, log, start, first, accept):
    records = [b"%d" % number for number in range(10)]
    append_ok(connection, log, framed(records), FRAMED)
    response = get(connection, records_target(log, **({} if start is None else {"from": start})), accept)
    assert page(response) == (first, 10, 10)
    if accept == FRAMED:
        assert unframed(response.body) == records[first:]
    elif accept == RAW:
        assert response.body == b"".join(records[first:])
    else:
        assert [(line.offset, line.data) for line in ndjson_records(response.body)] == list(enumerate(records))[first:]


def test_the_last_records_are_cut_by_limit_from_their_front(connection, log):
    append_ok(connection, log, framed([b"%d" % number for number in range(10)]), FRAMED)
    assert page(get(connection, records_target(log, **{"from": "-5", "limit": 2}))) == (5, 7, 10)


def test_a_time_finds_the_first_record_that_is_not_older(connection, log):
    """Every record's own time, the microsecond before it and the one behind it, in each way to write a time."""
    for number in range(12):
        append_ok(connection, log, framed([b"%d" % number, b"and another"]), FRAMED)
        append_ok(connection, log + "-other", b"between")
    lines = ndjson_records(get(connection, records_target(log)).body)
    stamps = [moment(line.timestamp) for line in lines]
    zones = [timezone.utc, timezone(timedelta(hours=5, minutes=45)), timezone(-timedelta(hours=9, minutes=30))]
    for stamp in sorted(set(stamps)):
        for microseconds in (-1, 0, 1):
            wanted = stamp + timedelta(microseconds=microseconds)
            expected = sum(other < wanted for other in stamps)
            texts = [wanted.astimezone(zone).isoformat(timespec="microseconds") for zone in zones]
            texts += [text.replace("+00:00", "Z") for text in texts[:1]]
            texts += [text.replace("+", "%2B").replace(":", "%3A") for text in texts]
            for text in texts:
                response = get(connection, records_target(log, **{"from": text}))
                assert page(response) == (expected, len(lines), len(lines)), text
                assert [line.offset for line in ndjson_records(response.body)] == list(range(expected, len(lines)))
    # A part of a microsecond behind a record's time is behind the record.
    just_behind = lines[0].timestamp.replace("Z", "000001Z")
    assert page(get(connection, records_target(log, **{"from": just_behind, "limit": 1}))) == (2, 3, len(lines))


@pytest.mark.parametrize("time, first", [
    ("0000-01-01T00:00:00Z", 0), ("1970-01-01T00:00:00Z", 0), ("9999-12-31T23:59:59.999999Z", 2), ("9999-12-31T23:59:59-23:59", 2),
])  # fmt: skip
def test_a_time_before_or_behind_all_records_finds_all_or_none(connection, log, time, first):
    append_ok(connection, log, b"one")
    append_ok(connection, log, b"two")
    assert page(get(connection, records_target(log, **{"from": time}))) == (first, 2, 2)


# The link to the next page


@pytest.mark.parametrize("accept", [NDJSON, FRAMED])
@pytest.mark.parametrize("query", [{"limit": 3}, {"bytes": 7}, {"from": "first", "limit": 4}, {"from": "-17", "limit": 5}, {"limit": 100}])
def test_following_the_link_gives_every_record_once(connection, log, query, accept):
    records = [b"%02d" % number for number in range(20)]
    append_ok(connection, log, framed(records), FRAMED)
    target, found = records_target(log, **query), []
    while True:
        response = get(connection, target, accept)
        first, following, _ = page(response)
        given = unframed(response.body) if accept == FRAMED else [line.data for line in ndjson_records(response.body)]
        assert following == first + len(given)
        if not given:
            break
        found += given
        target = next_target(response)
    assert found == (records[3:] if query.get("from") == "-17" else records)
    # The tail's link gives what comes later.
    append_ok(connection, log, b"later")
    assert page(get(connection, next_target(response))) == (20, 21, 21)


def test_the_link_keeps_the_other_parameters(connection, log):
    append_ok(connection, log, framed([b"a", b"b", b"c"]), FRAMED)
    identity = log_id(connection, log)
    response = get(connection, records_target(log, **{"bytes": 9, "from": 1, "limit": 1, "log_id": identity, "wait": 0}))
    assert next_target(response) == f"/v1/logs/{log}/records?from=2&limit=1&bytes=9&wait=0&log_id={identity}"
    assert next_target(get(connection, records_target(log))) == f"/v1/logs/{log}/records?from=3"


# Entity tags


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("accept", [NDJSON, FRAMED, RAW])
def test_a_client_that_has_the_page_gets_304_and_the_same_headers(connection, log, accept, method):
    append_ok(connection, log, framed([b"a", b"b", b"c"]), FRAMED)
    target = records_target(log, **{"from": 1, "limit": 1})
    full = get(connection, target, accept)
    tag = full.header("etag")
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', tag)
    for condition in (tag, f"W/{tag}", "*", f'"other", {tag}', f'"other" ,{tag},"third"'):
        response = conditional(connection, target, condition, accept, method)
        assert (response.status, response.body) == (304, b"")
        for name in ("etag", "vary", "cache-control", "first-offset", "next-offset", "tail-offset", "link", "x-content-type-options"):
            assert response.header(name) == full.header(name), name
        # What a 304 says of its length is that of the page (RFC 9110, 8.6).
        assert response.header("content-length") == str(len(full.body))
        # A body after it would be taken for the next answer.
        assert get(connection, "/healthz").json() == {"status": "ok"}
    for condition in ('"other"', tag[:-1], tag.replace('"', ""), f'"x{tag[1:]}'):
        response = conditional(connection, target, condition, accept, method)
        assert (response.status, response.header("etag")) == (200, tag)
        assert response.body == (full.body if method == "GET" else b"")


def test_several_header_lines_are_one_list(connection, log):
    append_ok(connection, log, b"a")
    tag = get(connection, records_target(log)).header("etag")
    lines = f'If-None-Match: "x"\r\nif-none-match: {tag}\r\n'
    connection.send(f"GET {records_target(log)} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode())
    assert connection.read_response().status == 304


def test_a_page_at_the_tail_gets_another_tag_when_it_grows(connection, log):
    append_ok(connection, log, b"a")
    target, tags = records_target(log), set()
    for number in range(5):
        response = get(connection, target)
        tag = response.header("etag")
        assert tag not in tags
        tags.add(tag)
        assert conditional(connection, target, tag).status == 304
        append_ok(connection, log, b"more")
        grown = conditional(connection, target, tag)
        assert grown.status == 200 and page(grown) == (0, number + 2, number + 2)


def test_a_full_page_keeps_its_tag_when_the_log_grows(connection, log):
    append_ok(connection, log, framed([b"a", b"b"]), FRAMED)
    target = records_target(log, limit=2)
    tag = get(connection, target).header("etag")
    append_ok(connection, log, b"c")
    response = conditional(connection, target, tag)
    assert (response.status, response.header("tail-offset")) == (304, "3")


def test_tags_differ_between_logs_ranges_and_forms(connection, log):
    tags = []
    for name in (log, log + "-2"):
        append_ok(connection, name, framed([b"a", b"b"]), FRAMED)
        targets = [records_target(name), records_target(name, limit=1), records_target(name, **{"from": 1}), records_target(name, **{"from": 2})]
        tags += [get(connection, target, accept).header("etag") for target in targets for accept in (NDJSON, FRAMED, RAW)]
        tags += [get(connection, f"/v1/logs/{name}/records/{offset}").header("etag") for offset in (0, 1)]
    assert len(set(tags)) == len(tags) == 28


def test_a_tag_holds_across_a_restart(server, log):
    with server.connect() as connection:
        append_ok(connection, log, framed([b"a", b"b"]), FRAMED)
        tag = get(connection, records_target(log)).header("etag")
    server.stop()
    server.start()
    with server.connect() as connection:
        assert conditional(connection, records_target(log), tag).status == 304


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_client_that_has_the_record_gets_304(connection, log, method):
    append_ok(connection, log, framed([b"a", b"b"]), FRAMED)
    target = f"/v1/logs/{log}/records/1"
    full = get(connection, target)
    assert full.header("cache-control") == REVALIDATED
    response = conditional(connection, target, full.header("etag"), method=method)
    assert (response.status, response.body) == (304, b"")
    for name in ("etag", "cache-control", "offset", "timestamp", "content-security-policy", "x-content-type-options"):
        assert response.header(name) == full.header(name), name
    assert conditional(connection, target, '"other"').body == b"b"


# How long an answer may be kept


def test_only_a_complete_page_of_a_certain_log_is_kept(connection, log):
    append_ok(connection, log, framed([b"aa", b"bb", b"cc", b"dd"]), FRAMED)
    identity = log_id(connection, log)
    for query, caching in [
        ({}, REVALIDATED), ({"from": "first", "limit": 1}, REVALIDATED), ({"from": 0, "limit": 1}, REVALIDATED),
        ({"from": 0, "limit": 1, "log_id": identity}, IMMUTABLE), ({"from": 1, "bytes": 5, "log_id": identity}, IMMUTABLE),
        # It ends at the tail: it grows, or its Tail-Offset would hide that the log does.
        ({"from": 0, "log_id": identity}, REVALIDATED), ({"from": 3, "limit": 1, "log_id": identity}, REVALIDATED),
        ({"from": 0, "bytes": 8, "log_id": identity}, REVALIDATED), ({"from": 4, "log_id": identity}, REVALIDATED),
        ({"from": 9, "limit": 1, "log_id": identity}, REVALIDATED),
        # The same URL means other records later.
        ({"from": "first", "limit": 1, "log_id": identity}, REVALIDATED), ({"from": "now"}, "no-store"), ({"from": "-2"}, "no-store"),
        ({"from": "-2", "limit": 1, "log_id": identity}, "no-store"), ({"from": "1990-01-01T00:00:00Z"}, "no-store"),
        ({"from": "1990-01-01T00:00:00Z", "limit": 1, "log_id": identity}, "no-store"),
    ]:  # fmt: skip
        response = get(connection, records_target(log, **query))
        assert (response.status, response.header("cache-control")) == (200, caching), query
        assert response.header("vary") == "Accept"


def test_a_log_of_another_id_is_not_the_one_wanted(connection, log):
    append_ok(connection, log, b"a")
    identity = log_id(connection, log)
    assert get(connection, records_target(log, log_id=identity)).status == 200
    problem = check_problem(get(connection, records_target(log, log_id=identity + 1)), 404, "log_replaced", id=identity)
    assert problem["id"] == identity
    check_problem(get(connection, records_target("never-made", log_id=identity)), 404, "log_not_found")


# Slices


@pytest.mark.parametrize("accept", [NDJSON, FRAMED])
def test_pages_longer_than_a_slice_are_whole(connection, log, accept):
    """Many small records in one frame, in many, and large ones: each page takes several turns of the loop."""
    small = [b"%d" % number for number in range(9_000)]
    large = [bytes([number]) * 300_000 for number in range(12)]
    append_ok(connection, log, framed(small), FRAMED)
    for at in range(0, len(large), 3):
        append_ok(connection, log, framed(large[at : at + 3]), FRAMED)
    target, found = records_target(log, limit=10_000, bytes=4_194_304), []
    while len(found) < len(small + large):
        response = get(connection, target, accept)
        found += unframed(response.body) if accept == FRAMED else [line.data for line in ndjson_records(response.body)]
        target = next_target(response)
    assert found == small + large


def test_a_client_that_goes_during_a_slice_harms_nobody(connection, server, log):
    append_ok(connection, log, framed([b"%d" % number for number in range(9_000)]), FRAMED)
    for _ in range(20):
        with server.connect() as other:
            other.send(b"GET " + records_target(log, limit=10_000).encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert page(get(connection, records_target(log, limit=10_000))) == (0, 9_000, 9_000)


# Waiting for a record


def has_answer(connection) -> bool:
    return bool(select.select([connection.socket], [], [], 0)[0])


@pytest.mark.parametrize("start", ["now", "1", "9999-01-01T00:00:00Z"])
def test_a_page_that_would_be_empty_waits_for_the_next_record(connection, server, log, start):
    """Where the request was before the record cannot be seen, so records are appended until it is answered."""
    append_ok(connection, log, b"old")
    with server.connect() as waiting:
        waiting.send(encode_request("GET", records_target(log, **{"from": start, "wait": 50})))
        count = 1
        while not has_answer(waiting):
            append_ok(connection, log, b"new %d" % count)
            count += 1
        response = waiting.read_response()
        first, following, tail = page(response)
        lines = ndjson_records(response.body)
        assert 1 <= first < following <= tail and lines[0].data == b"new %d" % first
        assert next_target(response) == f"/v1/logs/{log}/records?from={following}&wait=50"


@pytest.mark.parametrize("start", ["now", "1", "7", "9999-01-01T00:00:00Z"])
def test_a_wait_ends_with_an_empty_page(connection, log, start):
    append_ok(connection, log, b"old")
    response = get(connection, records_target(log, **{"from": start, "wait": 1}))
    first = 7 if start == "7" else 1
    assert page(response) == (first, first, 1) and response.body == b""


def test_a_page_with_records_does_not_wait(connection, log):
    append_ok(connection, log, b"old")
    assert page(get(connection, records_target(log, wait=50))) == (0, 1, 1)


def test_events_begin_where_from_says(connection, server, log):
    append_ok(connection, log, framed([b"a", b"b"]), FRAMED)
    append_ok(connection, log, framed([b"c", b"d"]), FRAMED)
    stamp = ndjson_records(get(connection, records_target(log, **{"from": 2})).body)[0].timestamp
    for start, first in (("first", 0), ("1", 1), ("-1", 3), (stamp, 2)):
        with server.connect() as follower:
            follower.send(encode_request("GET", records_target(log, **{"from": start}), {"Accept": "text/event-stream, */*;q=0.1"}))
            assert follower.read_head().startswith("HTTP/1.1 200 ")
            assert b"id: " not in follower.read_until(b"id: %d\n" % first)

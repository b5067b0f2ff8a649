"""HTTP itself: methods and paths, requests that could smuggle another, names, pipelining, clients that leave."""

from __future__ import annotations

import pytest

from client import append_ok, check_appended, check_common_headers, check_problem, get, log_exists, read_all, records_target, stats
from rawhttp import Connection, encode_chunks, encode_request, exchange
from server import Server, wait_until

READ = {"GET", "HEAD"}
ROUTES = {
    "/v1/logs/any/records": {"GET", "HEAD", "POST"},
    "/v1/logs/any/records/0": READ,
    "/v1/logs": READ,
    "/v1/logs/any": READ | {"PUT", "PATCH", "DELETE"},
    "/v1/stats": READ,
    "/healthz": READ,
    "/readyz": READ,
    "/openapi.yaml": READ,
}


@pytest.mark.parametrize("target, methods", ROUTES.items())
def test_other_methods_are_refused_with_those_that_there_are(connection, target, methods):
    for method in {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get"} - methods:
        response = connection.request(method, target, {}, b"" if method in ("POST", "PUT", "PATCH") else None)
        check_problem(response, 405, "method_not_allowed")
        assert {allowed.strip() for allowed in response.header("allow").split(",")} == methods


@pytest.mark.parametrize("target", [
    "/", "/v1", "/v1/", "/v2/logs", "/v1/logs/any/other", "/v1/logs/any/records/0/more", "/healthz/", "/HEALTHZ", "/v1/statsx", "//healthz", "/v1/logs/../stats", "*",
])  # fmt: skip
def test_unknown_paths_are_not_found(connection, target):
    check_problem(get(connection, target), 404, "not_found")


def test_liveness_and_readiness(connection):
    for target, status in (("/healthz", "ok"), ("/readyz", "ready")):
        response = get(connection, target)
        assert (response.status, response.json()) == (200, {"status": status})
        assert response.media_type == "application/json"
        check_common_headers(response)


def smuggled(log: str) -> bytes:
    """A request that a server which misjudges the length of the one before it would execute. It ends the connection."""
    return encode_request("POST", records_target(log + "-smuggled"), {"Connection": "close"}, b"smuggled")


@pytest.mark.parametrize("fields, status, code", [
    ("Content-Length: 5\r\nTransfer-Encoding: chunked", 400, "ambiguous_length"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5", 400, "ambiguous_length"),
    ("Content-Length: 5\r\nContent-Length: 6", 400, "ambiguous_length"),
    ("Content-Length: 5\r\ncontent-length: 5", 400, "ambiguous_length"),
    ("Transfer-Encoding: gzip", 501, "unknown_transfer_coding"),
    ("Transfer-Encoding: gzip, chunked", 501, "unknown_transfer_coding"),
    ("Transfer-Encoding: chunked, identity", 501, "unknown_transfer_coding"),
    ("Transfer-Encoding: xchunked", 501, "unknown_transfer_coding"),
])  # fmt: skip
def test_an_ambiguous_length_is_refused_and_ends_the_connection(server, connection, log, fields, status, code):
    body = b"0\r\n\r\n" + smuggled(log)
    connection.send(f"POST {records_target(log)} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode() + body)
    check_problem(connection.read_response(), status, code)
    assert b"HTTP/1.1" not in connection.read_to_end()
    with server.connect() as other:
        assert not log_exists(other, log)
        assert not log_exists(other, log + "-smuggled")


@pytest.mark.parametrize("fields", [
    "Content-Length: 5, 5", "Content-Length: +5", "Content-Length: -5", "Content-Length: 5x", "Content-Length: 0x5", "Content-Length:",
    "Content-Length: 99999999999999999999999", "Transfer-Encoding : chunked", "Content-Length : 5", "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding\0: chunked", "No colon at all", "\x01: x", ": x",
])  # fmt: skip
def test_malformed_headers_append_nothing(server, connection, log, fields):
    connection.send(f"POST {records_target(log)} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nhello".encode() + smuggled(log))
    received = connection.read_to_end()
    assert not received.startswith(b"HTTP/1.1 2"), received
    assert not received.startswith(b"HTTP/1.1 5") or received.startswith(b"HTTP/1.1 501"), received
    with server.connect() as other:
        assert not log_exists(other, log)
        assert not log_exists(other, log + "-smuggled")


@pytest.mark.parametrize("fields", [
    "Transfer-Encoding: chunked\r\n ,gzip", "Transfer-Encoding: gzip\r\n\tfoo", "Transfer-Encoding:\r\n chunked", "Content-Length: 5\r\n 5",
    "Content-Length:\r\n 5", "X: y\r\n Content-Length: 5", "X: y\r\n folded",
])  # fmt: skip
def test_a_folded_header_is_refused_and_ends_the_connection(server, connection, log, fields):
    """RFC 9112, 5.2. A server in front that unfolds the line would see another length of the body."""
    connection.send(f"POST {records_target(log)} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode() + smuggled(log))
    assert connection.read_response().status in (400, 501)
    assert b"HTTP/1.1 2" not in connection.read_to_end()
    with server.connect() as other:
        assert not log_exists(other, log)
        assert not log_exists(other, log + "-smuggled")


@pytest.mark.parametrize("chunks", [
    b"zz\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"ffffffffffffffffff\r\nhello", b"\r\n0\r\n\r\n",
])  # fmt: skip
def test_malformed_chunks_append_nothing(server, connection, log, chunks):
    connection.send(encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}) + chunks + smuggled(log))
    assert not connection.read_to_end().startswith(b"HTTP/1.1 2")
    with server.connect() as other:
        assert not log_exists(other, log)


@pytest.mark.parametrize("hosts", ["", "Host: a\r\nHost: a\r\n", "Host: a\r\nHost: b\r\n"])
def test_a_missing_or_repeated_host_is_refused(server, log, hosts):
    data = f"POST {records_target(log)} HTTP/1.1\r\n{hosts}Content-Length: 1\r\n\r\nx".encode()
    check_problem(exchange(server.port, data), 400, "invalid_host")
    with server.connect() as other:
        assert not log_exists(other, log)


def test_http_1_0_needs_no_host_and_ends_with_its_answer(connection, log):
    connection.send(f"POST {records_target(log)} HTTP/1.0\r\nContent-Length: 1\r\n\r\nx".encode())
    check_appended(connection.read_response(), log)
    assert connection.read_to_end() == b""


@pytest.mark.parametrize("name", [
    "a%2Fb", "a%2fb", "%2e%2e", "a%00b", "a%41", "a%", "a b", "a+b", "a:b", "a~b", "a@b", "a=b", "ä", "a\xffb", ".", "..", ".hidden", "a" * 129, "a" * 1500,
])  # fmt: skip
def test_a_name_with_anything_but_the_allowed_characters_is_refused(server, name):
    for method, tail in (("POST", "/records"), ("GET", "/records"), ("GET", "/records/0"), ("GET", "")):
        data = encode_request(method, f"/v1/logs/{name}{tail}", {}, b"x" if method == "POST" else None)
        if " " in name:
            with Connection(server.port) as connection:
                connection.send(data)
                assert not connection.read_to_end().startswith(b"HTTP/1.1 2")
        else:
            check_problem(exchange(server.port, data), 400, "invalid_log_name")


@pytest.mark.parametrize("name", ["a" * 128, "A.b-c_9", "-", "_", "0", "a..b"])
def test_every_allowed_name_is_taken(connection, name):
    append_ok(connection, name, b"x")
    assert log_exists(connection, name)


@pytest.mark.parametrize("target", [
    "/v1/logs/{log}\0x/records", "/v1/logs/{log}/records\0x", "/v1/logs/{log}/records\0", "/v1/logs/{log}/records?\0",
])  # fmt: skip
def test_a_nul_in_the_target_does_not_cut_it_short(server, connection, log, target):
    connection.send(encode_request("POST", target.format(log=log), {"Connection": "close"}, b"x"))
    assert not connection.read_to_end().startswith(b"HTTP/1.1 2")
    with server.connect() as other:
        assert not log_exists(other, log)


def test_a_long_target_is_refused(server):
    def path(byte_count: int) -> str:
        start = "/v1/logs?prefix="
        return start + "a" * (byte_count - len(start))

    assert exchange(server.port, encode_request("GET", path(2048))).status in (200, 400)
    check_problem(exchange(server.port, encode_request("GET", path(2049))), 414, "target_too_long")
    check_problem(exchange(server.port, encode_request("GET", path(4000))), 414, "target_too_long")


@pytest.mark.parametrize("data, status", [
    (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\nLong: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    (b"GET /healthz HTTP/1.1\r\nHost: a\r\n" + b"Many: 1\r\n" * 5_000 + b"\r\n", 431),
    (b"GET /healthz HTTP/2.0\r\nHost: a\r\n\r\n", 505),
])  # fmt: skip
def test_a_head_that_is_too_large_or_too_new_is_refused(server, data, status):
    with server.connect() as connection:
        connection.send(data)
        assert connection.read_to_end().startswith(b"HTTP/1.1 %d " % status)


def test_a_query_with_a_nul_or_bad_coding_is_refused_not_crashed_on(server):
    for query in ("from=%00", "from=%", "from=%f", "&&&", "?", "=", "%", "from=1&"):
        response = exchange(server.port, encode_request("GET", f"/v1/logs/any/records?{query}"))
        assert response.status in (400, 404), query


def test_pipelined_requests_are_answered_in_order(connection, log):
    count = 50
    connection.send(b"".join(encode_request("POST", records_target(log), {}, b"%d" % number) for number in range(count)))
    for number in range(count):
        assert check_appended(connection.read_response(), log)["first"] == number
    assert read_all(connection, log) == [b"%d" % number for number in range(count)]


def test_a_pipelined_read_sees_the_append_before_it(connection, log):
    connection.send(
        encode_request("POST", records_target(log), {}, b"first")
        + encode_request("GET", records_target(log) + "/0")
        + encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}, encode_chunks(b"sec", b"ond"))
        + encode_request("HEAD", records_target(log) + "/1")
        + encode_request("GET", "/healthz")
    )
    check_appended(connection.read_response(), log)
    assert connection.read_response().body == b"first"
    assert check_appended(connection.read_response(), log)["first"] == 1
    assert connection.read_response(head=True).header("content-length") == "6"
    assert connection.read_response().json() == {"status": "ok"}


def test_a_half_closed_client_gets_its_answer(connection, log):
    connection.send(encode_request("POST", records_target(log), {}, b"x"))
    connection.half_close()
    check_appended(connection.read_response(), log)


def test_connection_close_is_honoured(connection, log):
    connection.send(encode_request("POST", records_target(log), {"Connection": "close"}, b"x"))
    check_appended(connection.read_response(), log)
    assert connection.read_to_end() == b""


#: Far less than any deadline of a server with defaults: a client that has gone is noticed, not waited for.
GONE_WITHIN_SECONDS = 8


@pytest.fixture(scope="module")
def quiet(workspace):
    """A server that no other test connects to, so that connections can be counted."""
    server = Server(workspace / "protocol").start()
    yield server
    server.stop()


def is_alone(connection: Connection) -> bool:
    """Whether this connection is the only one."""
    return stats(connection)["requests"]["connections"] == 1


@pytest.mark.parametrize("how", ["close", "reset", "half_close"])
@pytest.mark.parametrize("start", [
    lambda log: encode_request("POST", records_target(log), {"Content-Length": "100000"}) + b"x" * 50_000,
    lambda log: encode_request("POST", records_target(log), {"Content-Length": "2"}) + b"x",
    lambda log: encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n",
    lambda log: encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}) + b"5\r\nhello\r\n0\r\n",
    lambda log: encode_request("POST", records_target(log), {"Content-Type": "application/x-ndjson", "Content-Length": "9"}) + b"one\ntwo\n",
], ids=["large", "one-byte-short", "between-chunks", "before-the-last-line", "whole-lines"])  # fmt: skip
def test_a_client_that_hangs_up_in_the_middle_of_a_body_appends_nothing(quiet, log, how, start):
    with quiet.connect() as connection, quiet.connect() as leaver:
        before = stats(connection)["totals"]
        leaver.send(start(log))
        getattr(leaver, how)()
        wait_until(lambda: is_alone(connection), "the client is gone", GONE_WITHIN_SECONDS)
        assert not log_exists(connection, log)
        assert stats(connection)["totals"] == before


def test_a_client_that_sends_its_end_together_with_its_request_is_answered_and_gone(quiet, log):
    for number in range(3):
        with quiet.connect() as leaver:
            leaver.send(encode_request("POST", records_target(log), {}, b"%d" % number))
            leaver.half_close()
            leaver.socket.settimeout(GONE_WITHIN_SECONDS)
            assert check_appended(leaver.read_response(), log)["first"] == number
            assert leaver.read_to_end() == b""
    with quiet.connect() as connection:
        wait_until(lambda: is_alone(connection), "all are gone", GONE_WITHIN_SECONDS)


def test_a_client_that_leaves_before_its_answer_harms_nobody(quiet, log):
    for number in range(50):
        leaver = quiet.connect()
        leaver.send(encode_request("POST", records_target(log), {}, b"%d" % number))
        leaver.reset()
    with quiet.connect() as connection:
        append_ok(connection, log, b"end")
        wait_until(lambda: is_alone(connection), "all are gone", GONE_WITHIN_SECONDS)
        records = read_all(connection, log)
    assert len(records) == len(set(records)) and set(records) <= {b"%d" % number for number in range(50)} | {b"end"}

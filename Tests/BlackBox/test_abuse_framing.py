"""Requests cut and joined at every byte, and requests that two readers could end at different places: each is read in one
way only, or refused, and what stands behind a refused one is never executed."""

from __future__ import annotations

import contextlib

import pytest

from abuse import is_asleep
from client import FRAMED, NDJSON, append_ok, check_appended, check_problem, framed, get, log_exists, read_all, records_target, stats
from rawhttp import Connection, encode_chunks, encode_request
from server import Server, wait_until

BODY_RECORDS = [b"one", b"", b"\r\n\r\n", b"POST / HTTP/1.1"]

#: Of each kind of append: its bytes, and the records that it makes.
APPENDS = {
    "length": lambda log: (encode_request("POST", records_target(log), {}, b"hello\r\n\r\n"), [b"hello\r\n\r\n"]),
    "chunked": lambda log: (
        encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked", "Trailer": "x"}) + b'3;a="b"\r\nhel\r\n0002\r\nlo\r\n0\r\nX: y\r\n\r\n',
        [b"hello"],
    ),
    "lines": lambda log: (encode_request("POST", records_target(log), {"Content-Type": NDJSON}, b"one\r\n\ntwo"), [b"one", b"two"]),
    "framed": lambda log: (encode_request("POST", records_target(log), {"Content-Type": FRAMED}, framed(BODY_RECORDS)), BODY_RECORDS),
}  # fmt: skip


@pytest.fixture(scope="module")
def framing(workspace):
    """A server that no other test connects to. It must stop cleanly after all of this."""
    server = Server(workspace / "framing").start()
    yield server
    server.stop()


def is_taken_in(server: Server, watcher: Connection) -> None:
    """Waits until the server has read all that was sent: its loop then sleeps."""
    get(watcher, "/healthz")
    wait_until(lambda: is_asleep(server.pid), "the server has read what there is")


@pytest.mark.parametrize("kind", APPENDS)
def test_an_append_in_two_packets_cut_at_any_byte_is_the_same(framing, log, kind):
    data, records = APPENDS[kind](log)
    with contextlib.ExitStack() as stack:
        watcher = stack.enter_context(framing.connect())
        connections = [stack.enter_context(framing.connect()) for _ in range(1, len(data))]
        for cut, connection in enumerate(connections, 1):
            connection.send(data[:cut])
        is_taken_in(framing, watcher)
        assert not log_exists(watcher, log)
        for cut, connection in enumerate(connections, 1):
            connection.send(data[cut:])
        answers = [check_appended(connection.read_response(), log) for connection in connections]
        assert all(answer["count"] == len(records) for answer in answers)
        assert read_all(watcher, log) == records * len(connections)


@pytest.mark.parametrize("kind", APPENDS)
def test_an_append_byte_by_byte_is_the_same(framing, log, kind):
    data, records = APPENDS[kind](log)
    with framing.connect() as connection:
        for at in range(len(data)):
            connection.send(data[at : at + 1])
        check_appended(connection.read_response(), log)
        assert read_all(connection, log) == records


def test_all_kinds_in_one_packet_or_in_two_cut_anywhere_are_the_same(framing, log):
    appends = [APPENDS[kind](log) for kind in APPENDS]
    reads = encode_request("GET", records_target(log, limit=1)) + encode_request("HEAD", "/healthz") + encode_request("PUT", "/healthz", {}, b"x")
    data = b"".join(data for data, _ in appends) + reads
    records = [record for _, made in appends for record in made]
    cuts = range(0, len(data), 3)
    with contextlib.ExitStack() as stack:
        watcher = stack.enter_context(framing.connect())
        connections = [stack.enter_context(framing.connect()) for _ in cuts]
        for cut, connection in zip(cuts, connections):
            connection.send(data[:cut])
        is_taken_in(framing, watcher)
        for cut, connection in zip(cuts, connections):
            connection.send(data[cut:])
        for connection in connections:
            for _, made in appends:
                assert check_appended(connection.read_response(), log)["count"] == len(made)
            assert connection.read_response().status == 200
            assert connection.read_response(head=True).status == 200
            check_problem(connection.read_response(), 405, "method_not_allowed")
        assert sorted(read_all(watcher, log)) == sorted(records * len(connections))


def smuggled(log: str) -> bytes:
    """A request that a reader which ends the one before it too early would execute."""
    return encode_request("POST", records_target(log + "-smuggled"), {"Connection": "close"}, b"smuggled")


def check_refused(server: Server, log: str, data: bytes) -> bytes:
    """Nothing of the data is executed; gives what the server answered before it closed the connection."""
    with server.connect() as connection:
        with contextlib.suppress(OSError):
            connection.send(data)
            connection.half_close()
        received = connection.read_to_end()
    with server.connect() as other:
        assert not log_exists(other, log), received
        assert not log_exists(other, log + "-smuggled"), received
    assert b"HTTP/1.1 2" not in received
    return received


@pytest.mark.parametrize("fields", [
    # Two lengths, or two ways to say one.
    "Content-Length: 5\r\nTransfer-Encoding: identity, chunked", "Transfer-Encoding: identity", "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "transfer-encoding: chunked\r\nTRANSFER-ENCODING: chunked",
    "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: ,chunked", "Transfer-Encoding: chunked,", "Transfer-Encoding: chunked;q=1",
    'Transfer-Encoding: "chunked"', "Transfer-Encoding: chunked ", "Transfer-Encoding: chunked\t", "Transfer-Encoding: chunked\xa0",
    "Transfer-Encoding:", "Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 0", "Content-Length: 0\r\ncontent-length: 5",
    "Content-Length: 5,5", "Content-Length: 5 5", "Content-Length: +5", "Content-Length: -0", "Content-Length: 5.0", "Content-Length: 5e0",
    "Content-Length: 5;", "Content-Length: 5 ", "Content-Length: \xd9\xa5", "Content-Length: 18446744073709551621", "Content-Length: 4294967301x",
    # White space, line breaks and other bytes where none may be.
    "Content-Length\t: 5", "Content-Length\x0b: 5", "Transfer-Encoding\xa0: chunked", " Content-Length: 5", "\tTransfer-Encoding: chunked",
    "X: y\nContent-Length: 5", "X: y\nTransfer-Encoding: chunked", "X: y\rContent-Length: 5", "X: y\r\r\nTransfer-Encoding: chunked",
    "X: y\n Content-Length: 5", "Content-Length: 5\n", "X: \x0cy", "X: \x7f", "X: \x01", "Transfer-Encoding: chunked\x0c", "X\x80: y",
    # A NUL ends a text for some.
    "Content-Length: 5\0", "Content-Length: 5\0 0", "Content-Length: 5\0\r\nX: y", "Content-Length: 5\r\nX: a\0b", "X: \0", "X: a\0b\r\nContent-Length: 5",
    "Transfer-Encoding: chunked\0", "Content-Length: 5\r\n\0Transfer-Encoding: chunked", "Content-Length: 5\r\n\0", "\0\r\nContent-Length: 5",
    "Transfer-Encoding\0X: chunked", "X\0: y",
])  # fmt: skip
def test_a_head_that_two_readers_could_understand_differently_is_refused(framing, log, fields):
    head = f"POST {records_target(log)} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode("latin-1")
    for body in (b"hello", b"0\r\n\r\n", b""):
        received = check_refused(framing, log, head + body + smuggled(log))
        assert received.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 501 ")), received


@pytest.mark.parametrize("line", [
    "POST\0X {target} HTTP/1.1", "POST  {target} HTTP/1.1", "POST {target}  HTTP/1.1", "POST\t{target} HTTP/1.1", "POST {target} HTTP/1.1\0",
    "POST {target} HTTP/1.1\0x", "POST {target} HTTP/1.1 ", "POST {target}", "POST {target} HTTP/9.9", "POST {target} http/1.1", "\0POST {target} HTTP/1.1",
    "POST {target}\x7f HTTP/1.1", "POST {target} HTTP/1.1\nX: y", "POST {target} HTTP/1.1\rX: y",
])  # fmt: skip
def test_a_request_line_that_two_readers_could_understand_differently_is_refused(framing, log, line):
    data = (line.format(target=records_target(log)) + "\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").encode("latin-1")
    check_refused(framing, log, data + smuggled(log))


@pytest.mark.parametrize("fields, body", [
    ("Content-Length: 0005", b"hello"), ("Content-Length:\t 5", b"hello"), ("Content-Length:5", b"hello"), ("Content-Length: 5\r\nX:", b"hello"),
    ("X: \t\x80\xff y  \r\nContent-Length: 5", b"hello"), ("X:\r\nContent-Length: 5", b"hello"), ("Cookie: a=b; c\r\nContent-Length: 5", b"hello"),
    ("Transfer-Encoding: CHUNKED", encode_chunks(b"hello")), ("Transfer-Encoding:\tchunked", encode_chunks(b"hel", b"lo")),
    ("Transfer_Encoding: chunked\r\nContent-Length: 5", b"hello"), ("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5", b"hello"),
])  # fmt: skip
def test_a_head_that_all_readers_understand_alike_is_read_so(framing, log, fields, body):
    with framing.connect() as connection:
        connection.send(f"POST {records_target(log)} HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n".encode("latin-1") + body + encode_request("GET", records_target(log) + "/0"))
        check_appended(connection.read_response(), log)
        assert connection.read_response().body == b"hello"
        assert read_all(connection, log) == [b"hello"]


@pytest.mark.parametrize("chunks", [
    b"5 \r\nhello\r\n", b"5\t\r\nhello\r\n", b" 5\r\nhello\r\n", b"0x5\r\nhello\r\n", b"+5\r\nhello\r\n", b"-0\r\n", b"5\rhello\r\n", b"5,5\r\nhello\r\n",
    b"5\0\r\nhello\r\n", b"5\r\nhellooo\r\n", b"5\r\nhello0\r\n", b"5\r\nhello\r\n\r\n", b'5;a="\r\n"\r\nhello\r\n', b"\r\n5\r\nhello\r\n", b";\r\n", b"g\r\n",
    b"10000000000000005\r\nhello\r\n", b"100000000000000000000000000000005\r\nhello\r\n", b"FFFFFFFFFFFFFFFF\r\nhello\r\n", b"7fffffffffffffff\r\nhello\r\n",
    b"ffffffff\r\nhello\r\n", b"5\r\nhello\r\n0\r\n folded\r\n", b"5\r\nhello\r\n0\r\nX\0: y\r\n", b"5\r\nhello\r\n0\r\n" + b"T: x\r\n" * 3000,
], ids=lambda chunks: repr(chunks[:24]))  # fmt: skip
def test_chunks_that_two_readers_could_cut_differently_append_nothing(framing, log, chunks):
    head = encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"})
    check_refused(framing, log, head + chunks + b"0\r\n\r\n" + smuggled(log))


def test_trailers_say_nothing_about_the_request(framing, log):
    trailers = b"Content-Length: 9\r\nTransfer-Encoding: gzip\r\nHost: b\r\nContent-Type: application/x-ndjson\r\n"
    with framing.connect() as connection:
        connection.send(encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}) + b"3\r\na\nb\r\n0\r\n" + trailers + b"\r\n")
        check_appended(connection.read_response(), log)
        append_ok(connection, log, b"next")
        assert read_all(connection, log) == [b"a\nb", b"next"]


def test_a_chunk_line_that_never_ends_does_not_keep_the_server_busy(start_server, log):
    # A server of its own: a clean stop would wait for the deadline of the endless body.
    server = start_server()
    with server.connect() as endless, server.connect() as connection:
        endless.send(encode_request("POST", records_target(log), {"Transfer-Encoding": "chunked"}) + b"5;" + b"x" * 20_000)
        wait_until(lambda: stats(connection)["requests"]["connections"] == 2, "both are connected")
        for _ in range(20):
            wait_until(lambda: is_asleep(server.pid), "the server has nothing to do")
            append_ok(connection, log + "-other", b"x")


def test_every_accept_line_counts_and_a_refusal_says_what_it_varies_by(framing, log):
    with framing.connect() as connection:
        append_ok(connection, log, b"x")
        head = f"GET {records_target(log)} HTTP/1.1\r\nHost: a\r\nAccept: text/html;q=0.9\r\n"
        connection.send(f"{head}ACCEPT: {FRAMED}\r\n\r\n".encode())
        assert connection.read_response().media_type == FRAMED
        connection.send(f"{head}Accept: image/*\r\n\r\n".encode())
        refused = connection.read_response()
        check_problem(refused, 406, "not_acceptable")
        assert refused.header("vary") == "Accept"

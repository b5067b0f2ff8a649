"""The overload contract: each row of its table in docs/HTTP.md, as it is promised there."""

from __future__ import annotations

import contextlib
import re
import resource
import signal
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import (
    FRAMED,
    append,
    append_ok,
    check_appended,
    check_log,
    check_problem,
    get,
    producer,
    records_target,
    send_json,
    stats,
)
from injection import failing
from livetail import EVENTS, LiveTail
from outcomes import start_writing
from rawhttp import Response, encode_request
from server import REPOSITORY, SMALL_SEGMENT_BYTES, Server, wait_until
from test_pending import LINGER, waiting

#: A row of the table: its code, and words of its "when" where several rows have the code.
Row = tuple[str, str]

#: (code, when) → (status, Retry-After, retryable, side effects), as the table says.
TABLE = {
    (row[1], row[2]): (int(row[0]), row[3], row[4] == "yes", row[5])
    for row in re.findall(
        r"^\| (\d{3}) \| `(\w+)` \| ([^|]*?) \|[^|]*\| ([^|]*?) \| (yes|no) \| (none|unknown) \|$", (REPOSITORY / "docs/HTTP.md").read_text(), re.M
    )
}

#: The rows that have a test here.
TESTED: set[Row] = set()


def full_row(code: str, when: str) -> Row:
    """The one row of the table with this code and these words."""
    found = [row for row in TABLE if row[0] == code and when in row[1]]
    assert len(found) == 1, (code, when, found)
    return found[0]


def about(*rows: str) -> Callable:
    """Says which rows a test is about: `code` or `code: words of "when"`."""
    for row in rows:
        code, _, when = row.partition(": ")
        TESTED.add(full_row(code, when))
    return lambda test: test


def check_row(response: Response, code: str, when: str = "", side_effects: str | None = None) -> None:
    """An answer is what the table says of this code; with other side effects where the row names a second kind."""
    row = full_row(code, when)
    assert row in TESTED, f"no test says that it is about {row}"
    status, retry_after, retryable, effects = TABLE[row]
    check_problem(response, status, code, retryable, side_effects or effects)
    sent = response.header("retry-after")
    if retry_after == "–":
        assert sent is None
    elif retry_after == "window":
        assert 1 <= int(sent) <= 86_400
    else:
        assert sent == retry_after.removesuffix(" s")


def test_every_row_of_the_table_has_a_test():
    rows = re.findall(r"^\| \d{3} \|.*$", (REPOSITORY / "docs/HTTP.md").read_text(), re.M)
    assert len(rows) == len(TABLE) == 18, "a row is not in the form that these tests read"
    assert TESTED == set(TABLE)


@about("body_too_large", "record_too_large", "too_many_records")
def test_413_bodies_records_and_counts(start_server, log):
    flags = ("--record-bytes-max", "100", "--records-per-request-max", "5", "--request-body-bytes-max", "1000")
    with start_server(*flags).connect() as connection:
        check_row(append(connection, log, b"x" * 1001), "body_too_large")
        check_row(append(connection, log, b"x" * 101), "record_too_large")
        check_row(append(connection, log, b"x\n" * 6, "application/x-ndjson"), "too_many_records")
        append_ok(connection, log, b"serves on")


def test_413_settings_and_trims_beyond_64_kib(connection, log):
    append_ok(connection, log, b"x")
    body = b" " * 65_537
    for method, target in (("PUT", ""), ("PATCH", ""), ("POST", "/trim")):
        check_row(connection.request(method, f"/v1/logs/{log}{target}", {}, body), "body_too_large")
    assert connection.request("POST", f"/v1/logs/{log}/trim", {}, b'{"before":1}'.ljust(65_536)).status == 200


@about("batch_too_large")
def test_413_a_batch_that_fits_no_batch_of_the_write_ahead_log(start_server, log):
    """Many small appends to new logs: their frames take more than their JSON."""
    flags = ("--batch-bytes-max", "65536", "--request-body-bytes-max", "60000", "--records-per-request-max", "500")
    with start_server(*flags).connect() as connection:
        appends = [{"log": f"{log}-{number}".ljust(60, "n"), "records": ["x"]} for number in range(480)]
        check_row(send_json(connection, "POST", "/v1/batch", {"appends": appends}), "batch_too_large")
        assert get(connection, f"/v1/logs/{appends[0]['log']}").status == 404
        assert send_json(connection, "POST", "/v1/batch", {"appends": appends[:200]}).status == 201


@about("target_too_long")
def test_414_targets(connection):
    check_row(get(connection, "/v1/logs/" + "a" * 2048), "target_too_long")


def test_431_heads(server):
    with server.connect() as connection:
        connection.send(encode_request("GET", "/healthz", {"Long": "a" * 20_000}))
        assert connection.read_to_end().startswith(b"HTTP/1.1 431 ")


@about("rate_limited")
def test_429_rates_of_a_log(connection, log):
    check_log(send_json(connection, "PUT", f"/v1/logs/{log}", {"appends_per_second_max": 3}), 201)
    answers = [append(connection, log, b"x") for _ in range(30)]
    refused = [answer for answer in answers if answer.status != 201]
    assert refused, "30 appends took 9 s"
    for answer in refused:
        check_row(answer, "rate_limited")
    append_ok(connection, f"{log}.other", b"not limited")
    wait_until(lambda: append(connection, log, b"x").status == 201, "a second that is not used up")
    assert get(connection, f"/v1/logs/{log}").json()["next"] == len(answers) - len(refused) + 1
    check_log(send_json(connection, "PATCH", f"/v1/logs/{log}", {"appends_per_second_max": None}))
    for _ in range(10):
        append_ok(connection, log, b"x")


def test_429_a_batch_names_the_append_whose_log_is_limited(connection, log):
    check_log(send_json(connection, "PUT", f"/v1/logs/{log}", {"appends_per_second_max": 1}), 201)
    appends = [{"log": f"{log}.free", "records": ["x"]}, {"log": log, "records": ["x"]}, {"log": log, "records": ["x"]}]
    response = send_json(connection, "POST", "/v1/batch", {"appends": appends})
    check_problem(response, 429, "rate_limited", retryable=True, index=2)
    assert response.header("retry-after") == "1"
    assert get(connection, f"/v1/logs/{log}.free").status == 404


def test_429_a_rate_holds_after_a_restart(start_server, log):
    server = start_server()
    with server.connect() as connection:
        check_log(send_json(connection, "PUT", f"/v1/logs/{log}", {"appends_per_second_max": 1}), 201)
    server.stop()
    with start_server().connect() as connection:
        answers = [append(connection, log, b"x").status for _ in range(10)]
    assert 429 in answers and 201 in answers


@about("keys_full")
def test_429_keys(start_server, log):
    with start_server("--keys-max", "3").connect() as connection:
        answers = [append(connection, log, b"x", headers={"Idempotency-Key": f"k{number}"}) for number in range(5)]
        assert [answer.status for answer in answers] == [201] * 3 + [429] * 2
        for answer in answers[3:]:
            check_row(answer, "keys_full")
        assert append(connection, log, b"x", headers={"Idempotency-Key": "k0"}).header("idempotent-replayed") == "true"
        append_ok(connection, log, b"without a key")


@about("producers_full")
def test_429_producers(start_server, log):
    with start_server("--producers-max", "3").connect() as connection:
        answers = [append(connection, log, b"x", headers=producer(f"p{number}", 0, 0)) for number in range(5)]
        assert [answer.status for answer in answers] == [201] * 3 + [429] * 2
        for answer in answers[3:]:
            check_row(answer, "producers_full")
        assert append(connection, log, b"x", headers=producer("p0", 0, 1)).status == 201
        append_ok(connection, log, b"without a producer")


@about("overloaded: appends wait for the disk")
def test_503_pending_bytes(start_server, log):
    server = start_server(*LINGER, "--request-body-bytes-max", "60000", "--pending-bytes-max", "300000")
    with ThreadPoolExecutor(16) as pool:

        def post(number: int):
            with server.connect() as connection:
                return append(connection, log, b"%05d" % number * 10_000)

        answers = list(pool.map(post, range(16)))
    refused = [answer for answer in answers if answer.status != 201]
    assert refused and len(refused) < 16
    for answer in refused:
        check_row(answer, "overloaded", "appends wait for the disk")


@about("overloaded: bodies are being received")
def test_503_bodies_being_received(start_server, log):
    """64 MiB of bodies are promised by Content-Length and do not come: one more is refused, and what was taken is served."""
    server = start_server()
    body = b"x" * 1_000_000
    with contextlib.ExitStack() as stack:
        taken = []
        for _ in range(80):
            connection = stack.enter_context(server.connect())
            connection.send(encode_request("POST", records_target(log), {"Content-Length": str(len(body)), "Expect": "100-continue"}))
            if connection._read_until(b"\r\n").endswith(b" 100 Continue"):
                connection._read_until(b"\r\n")
                taken.append(connection)
            else:
                break
        assert len(taken) == (64 << 20) // len(body)
        with server.connect() as refused:
            check_row(append(refused, log, body), "overloaded", "bodies are being received")
            append_ok(refused, log, b"small ones have room")
            for connection in taken:
                connection.send(body)
                check_appended(connection.read_response(), log)
            append_ok(refused, log, body)


@about("overloaded: answers wait")
def test_503_answers_that_nobody_reads(start_server, log):
    server = start_server()
    with contextlib.ExitStack() as stack, server.connect() as connection:
        for _ in range(4):
            append_ok(connection, log, b"x" * 1_000_000)
        deaf = []
        for _ in range(40):
            deaf.append(stack.enter_context(server.connect()))
            deaf[-1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            # The kernel takes most of one answer, and who is refused asks again.
            deaf[-1].send(encode_request("GET", records_target(log, bytes=4_194_304)) * 40)
        refused = wait_until(lambda: answer if (answer := get(connection, records_target(log))).status != 200 else None, "a refusal")
        check_row(refused, "overloaded", "answers wait")
        check_row(get(connection, f"/v1/logs/{log}/records/0"), "overloaded", "answers wait")
        append_ok(connection, log, b"appends go on")
        for one in deaf:
            one.reset()
        wait_until(lambda: get(connection, records_target(log)).status == 200, "room for reads")


@about("overloaded: stream=1")
def test_503_the_65th_stream_at_once(start_server, log):
    server = start_server()
    with contextlib.ExitStack() as stack, server.connect() as connection:
        for _ in range(20):
            append_ok(connection, log, b"y" * 1_000_000)
        streams = [stack.enter_context(server.connect()) for _ in range(64)]
        for stream in streams:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            stream.send(encode_request("GET", records_target(log, stream=1), {"Accept": FRAMED}))
            stream._receive_more()
        check_row(get(connection, records_target(log, stream=1)), "overloaded", "stream=1")
        assert get(connection, records_target(log, limit=1)).status == 200, "pages are no streams"
        for stream in streams:
            stream.reset()
        wait_until(lambda: get(server.connect(), records_target(log, stream=1)).status == 200, "room for a stream")


@about("overloaded: live tails")
def test_503_live_tails(start_server, log):
    server = start_server("--subscribers-max", "3")
    with contextlib.ExitStack() as stack, server.connect() as connection:
        append_ok(connection, log, b"x")
        tails = [stack.enter_context(LiveTail(server.port, log)) for _ in range(3)]
        for _ in range(3):
            refused = connection.request("GET", records_target(log), {"Accept": EVENTS})
            check_row(refused, "overloaded", "live tails")
        append_ok(connection, log, b"the connection lives on")
        assert [[tail.next_record().offset for _ in range(2)] for tail in tails] == [[0, 1]] * 3
        tails[0].connection.reset()

        def has_room() -> bool:
            with LiveTail(server.port, log) as tail:
                return tail.response.status == 200

        wait_until(has_room, "room for another")


@about("overloaded: connections")
def test_503_connections(start_server, log):
    server = start_server("--connections-max", "2")
    with server.connect() as one:
        append_ok(one, log, b"x")
        wait_until(lambda: stats(one)["requests"]["connections"] == 1, "the end of the connection that asked for readiness")
        two = server.connect()
        append_ok(two, log, b"x")
        with server.connect() as three:
            response = get(three, "/healthz")
            check_row(response, "overloaded", "connections")
            assert response.header("connection") == "close"
        two.close()


@about("draining", "not_ready")
def test_503_draining(start_server, log):
    """What waits is answered; what comes after the signal on an open connection is told to come back."""
    server = start_server(*LINGER)
    with server.connect() as waits, server.connect() as reader, server.connect() as follower:
        append_ok(reader, log, b"x")
        waits.send(encode_request("POST", records_target(log), {}, b"x"))
        waiting(reader, 1)
        # The headers are there before the drain begins, the rest comes behind it: the connection is not cut between requests.
        reader.send(encode_request("GET", "/readyz")[:-2])
        follower.send(encode_request("GET", records_target(log), {"Accept": EVENTS})[:-2])
        server.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in server.log, "the drain")
        reader.send(b"\r\n")
        check_row(reader.read_response(), "not_ready")
        follower.send(b"\r\n")
        check_row(follower.read_response(), "draining")
        check_appended(waits.read_response(), log)
    assert server.wait() == 0


@about("log_poisoned")
def test_503_a_failed_write(start_server, log):
    server = start_server("--engine", "syscalls", "--mode", "direct", wrapper=failing("pwritev2", "EIO", when="30"))
    outcomes = start_writing(server, log)
    assert server.wait() > 0
    outcomes.join()
    assert outcomes.refused
    for _, response in outcomes.refused:
        check_row(response, "log_poisoned", side_effects=response.json()["side_effects"])
    assert "unknown" in {response.json()["side_effects"] for _, response in outcomes.refused}


@about("disk_full")
def test_507_no_further_segment(start_server, log):
    """Without descriptors no segment can be made, as without room."""
    server = start_server()
    record = b"x" * 900_000
    with server.connect() as connection:
        append_ok(connection, log, record)
        wait_until(lambda: stats(connection)["wal"]["disk_bytes"] == 2 * SMALL_SEGMENT_BYTES, "the spare is there")
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        answers = [append(connection, log, record) for _ in range(12)]
        refused = [answer for answer in answers if answer.status != 201]
        assert refused
        for answer in refused:
            check_row(answer, "disk_full")
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        wait_until(lambda: append(connection, log, record).status == 201, "appends again")

"""The overload contract: each row of its table in docs/HTTP.md, as it is promised there."""

from __future__ import annotations

import re
import signal
from concurrent.futures import ThreadPoolExecutor

from client import append, append_ok, check_appended, check_log, check_problem, get, records_target, send_json, stats
from rawhttp import encode_request
from server import REPOSITORY, wait_until
from test_pending import LINGER, waiting

#: code of the row → (status, Retry-After, retryable, side effects), as the table says.
TABLE = {
    row[1]: (int(row[0]), row[2], row[3] == "yes", row[4])
    for row in re.findall(
        r"^\| (\d{3}) \| `(\w+)` \|[^|]*\|[^|]*\| ([^|]*?) \| (yes|no) \| (none|unknown) \|$", (REPOSITORY / "docs/HTTP.md").read_text(), re.M
    )
}


def check_row(response, code: str) -> None:
    """An answer is what the table says of this code."""
    status, retry_after, retryable, side_effects = TABLE[code]
    check_problem(response, status, code, retryable, side_effects)
    sent = response.header("retry-after")
    if retry_after == "–":
        assert sent is None
    elif retry_after == "window":
        assert 1 <= int(sent) <= 86_400
    else:
        assert sent == retry_after.removesuffix(" s")


def test_the_table_has_every_row():
    assert set(TABLE) == {
        "body_too_large", "record_too_large", "too_many_records", "batch_too_large", "target_too_long", "rate_limited", "keys_full",
        "producers_full", "overloaded", "draining", "not_ready", "log_poisoned", "disk_full",
    }  # fmt: skip


def test_413_bodies_records_and_counts(start_server, log):
    flags = ("--record-bytes-max", "100", "--records-per-request-max", "5", "--request-body-bytes-max", "1000")
    with start_server(*flags).connect() as connection:
        check_row(append(connection, log, b"x" * 1001), "body_too_large")
        check_row(append(connection, log, b"x" * 101), "record_too_large")
        check_row(append(connection, log, b"x\n" * 6, "application/x-ndjson"), "too_many_records")
        append_ok(connection, log, b"serves on")


def test_413_a_batch_that_fits_no_batch_of_the_write_ahead_log(start_server, log):
    """Many small appends to new logs: their frames take more than their JSON."""
    flags = ("--batch-bytes-max", "65536", "--request-body-bytes-max", "60000", "--records-per-request-max", "500")
    with start_server(*flags).connect() as connection:
        appends = [{"log": f"{log}-{number}".ljust(60, "n"), "records": ["x"]} for number in range(480)]
        check_row(send_json(connection, "POST", "/v1/batch", {"appends": appends}), "batch_too_large")
        assert get(connection, f"/v1/logs/{appends[0]['log']}").status == 404
        assert send_json(connection, "POST", "/v1/batch", {"appends": appends[:200]}).status == 201


def test_414_targets(connection):
    check_row(get(connection, "/v1/logs/" + "a" * 2048), "target_too_long")


def test_431_heads(server):
    with server.connect() as connection:
        connection.send(encode_request("GET", "/healthz", {"Long": "a" * 20_000}))
        assert connection.read_to_end().startswith(b"HTTP/1.1 431 ")


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
        check_row(answer, "overloaded")


def test_503_connections(start_server, log):
    server = start_server("--connections-max", "2")
    with server.connect() as one:
        append_ok(one, log, b"x")
        wait_until(lambda: stats(one)["requests"]["connections"] == 1, "the end of the connection that asked for readiness")
        two = server.connect()
        append_ok(two, log, b"x")
        with server.connect() as three:
            response = get(three, "/healthz")
            check_row(response, "overloaded")
            assert response.header("connection") == "close"
        two.close()


def test_503_draining(start_server, log):
    """What waits is answered; what comes after the signal on an open connection is told to come back."""
    server = start_server(*LINGER)
    with server.connect() as waits, server.connect() as reader:
        waits.send(encode_request("POST", records_target(log), {}, b"x"))
        waiting(reader, 1)
        # The headers are there before the drain begins, the rest comes behind it: the connection is not cut between requests.
        reader.send(encode_request("GET", "/readyz")[:-2])
        server.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in server.log, "the drain")
        reader.send(b"\r\n")
        check_row(reader.read_response(), "not_ready")
        check_appended(waits.read_response(), log)
    assert server.wait() == 0


def test_ten_times_the_pending_limit_is_refused_quickly_and_the_server_goes_on(start_server, log):
    """Many more bytes at once than may wait: what is taken is there, the rest is refused, and nothing else suffers."""
    server = start_server("--request-body-bytes-max", "60000", "--pending-bytes-max", "300000")
    taken = []

    def post(number: int) -> None:
        with server.connect() as connection:
            for turn in range(20):
                response = append(connection, log, b"%05d%05d" % (number, turn) * 5_000)
                if response.status == 201:
                    taken.append(check_appended(response, log)["first"])
                else:
                    check_row(response, "overloaded")

    with ThreadPoolExecutor(60) as pool:
        list(pool.map(post, range(60)))
    assert sorted(taken) == list(range(len(taken))) and len(taken) >= 20
    with server.connect() as connection:
        assert stats(connection)["wal"]["pending_bytes"] == 0
        append_ok(connection, log, b"serves on")

"""POST /v1/batch: appends to several logs, all or nothing."""

from __future__ import annotations

import base64
import json
import random
import threading

import pytest

from client import TIMESTAMP, append_ok, check_common_headers, check_log, check_problem, check_replayed, get_json, read_all, send_json
from rawhttp import ConnectionEnded
from server import wait_until

BATCH = "/v1/batch"


def batch(connection, *appends: dict, headers: dict[str, str] | None = None):
    return connection.request("POST", BATCH, headers, json.dumps({"appends": appends}).encode())


def check_batched(response) -> list[dict]:
    assert response.status == 201, (response.status, response.body[:500])
    assert response.media_type == "application/json"
    check_common_headers(response)
    answer = response.json()
    assert set(answer) == {"appends"}
    for one in answer["appends"]:
        assert set(one) == {"log", "first", "next", "count", "timestamp"}
        assert one["next"] - one["first"] == one["count"] >= 1
        assert TIMESTAMP.fullmatch(one["timestamp"])
    return answer["appends"]


def test_each_log_gets_its_records(connection, log):
    a, b = f"{log}.a", f"{log}.b"
    answers = check_batched(batch(
        connection,
        {"log": a, "records": ["text", {"base64": base64.b64encode(b"\xff\x00").decode()}, ""]},
        {"log": b, "records": ["é\n\u0000\"\\"]},
    ))  # fmt: skip
    assert [(one["log"], one["first"], one["count"]) for one in answers] == [(a, 0, 3), (b, 0, 1)]
    assert read_all(connection, a) == [b"text", b"\xff\x00", b""]
    assert read_all(connection, b) == ["é\n\u0000\"\\".encode()]


def test_a_log_named_twice_gets_both_appends_in_order(connection, log):
    answers = check_batched(batch(
        connection, {"log": log, "records": ["1", "2"], "if_none_match": "*"}, {"log": log, "records": ["3"], "if_match": "2"}
    ))  # fmt: skip
    assert [(one["first"], one["next"]) for one in answers] == [(0, 2), (2, 3)]
    assert read_all(connection, log) == [b"1", b"2", b"3"]


def test_a_condition_that_fails_keeps_everything_out(connection, log):
    a, b = f"{log}.a", f"{log}.b"
    append_ok(connection, b, b"there")
    for condition in ({"if_match": "0"}, {"if_match": "7"}, {"if_none_match": "*"}, {"if_match": "999999.1"}):
        response = batch(connection, {"log": a, "records": ["x"]}, {"log": b, "records": ["x"], **condition})
        check_problem(response, 412, "condition_failed", next=1, index=1)
        assert response.header("next-offset") == "1"
    assert connection.request("GET", f"/v1/logs/{a}").status == 404
    assert read_all(connection, b) == [b"there"]
    check_batched(batch(connection, {"log": a, "records": ["x"]}, {"log": b, "records": ["y"], "if_match": "1"}))


def test_a_closed_log_keeps_everything_out(connection, log):
    a, b = f"{log}.a", f"{log}.b"
    append_ok(connection, b, b"there")
    assert connection.request("POST", f"/v1/logs/{b}/close").status == 200
    response = batch(connection, {"log": a, "records": ["x"]}, {"log": b, "records": ["x"]})
    check_problem(response, 409, "log_closed", next=1, index=1)
    assert connection.request("GET", f"/v1/logs/{a}").status == 404


def test_a_missing_log_keeps_everything_out_where_logs_are_not_made(start_server, log):
    with start_server("--auto-create", "false").connect() as connection:
        assert send_json(connection, "PUT", f"/v1/logs/{log}").status == 201
        response = batch(connection, {"log": log, "records": ["x"]}, {"log": "missing", "records": ["x"]})
        check_problem(response, 404, "log_not_found", index=1)
        assert read_all(connection, log) == []
        check_batched(batch(connection, {"log": log, "records": ["x"]}))


def test_a_repeat_of_a_keyed_batch_appends_nothing(connection, log):
    key = {"Idempotency-Key": f"batch-{log}"}
    appends = [{"log": f"{log}.{name}", "records": [name, name]} for name in "ab"]
    first = batch(connection, *appends, headers=key)
    check_batched(first)
    check_replayed(batch(connection, *appends, headers=key), first)
    check_problem(batch(connection, *reversed(appends), headers=key), 422, "key_reused")
    check_replayed(batch(connection, *appends, headers=key), first)
    assert [len(read_all(connection, append["log"])) for append in appends] == [2, 2]


@pytest.mark.parametrize("headers", [
    {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}, {"If-Match": '"0"'}, {"If-None-Match": "*"},
    {"Idempotency-Key": "a\r\nIdempotency-Key: b"}, {"Idempotency-Key": "a b"}, {"Idempotency-Key": "k" * 129},
])  # fmt: skip
def test_headers_that_a_batch_cannot_have_are_refused(connection, log, headers):
    check_problem(batch(connection, {"log": log, "records": ["x"]}, headers=headers), 400, "invalid_append_header")
    assert connection.request("GET", f"/v1/logs/{log}").status == 404


@pytest.mark.parametrize("headers", [{"Producer-Id": "p"}, {"If-Match": '"0"'}, {"Idempotency-Key": "a b"}])
def test_headers_are_looked_at_before_the_body_is_parsed(connection, log, headers):
    """A request that is wrong in both is told of its headers: the cheaper refusal comes first."""
    check_problem(connection.request("POST", BATCH, headers, b"{"), 400, "invalid_append_header")
    check_problem(connection.request("POST", BATCH, {"Idempotency-Key": "ok"}, b"{"), 400, "invalid_body")


def test_a_batch_with_wrong_headers_takes_nothing_of_a_rate(connection, log):
    check_log(send_json(connection, "PUT", f"/v1/logs/{log}", {"appends_per_second_max": 1}), 201)
    append = {"log": log, "records": ["x"]}
    for _ in range(20):
        check_problem(batch(connection, append, headers={"If-Match": '"0"'}), 400, "invalid_append_header")
    check_batched(batch(connection, append))


@pytest.mark.parametrize("body, index", [
    (b"", None), (b"{", None), (b"[]", None), (b"{}", None), (b'{"appends":[]}', None), (b'{"appends":[],"x":1}', None),
    (b'{"appends":[1]}', 0), (b'{"appends":[{"log":"a","records":["x"]},{"log":"..","records":["x"]}]}', 1),
    (b'{"appends":[{"log":"a","records":[]}]}', 0), (b'{"appends":[{"log":"a","records":[1]}]}', 0),
    (b'{"appends":[{"log":"a","records":["\xff"]}]}', None), (b'{"appends":[{"log":"a","records":["\\ud800"]}]}', 0),
    (b'{"appends":[{"log":"a","records":[{"base64":"!"}]}]}', 0), (b'{"appends":[{"log":"a","log":"a","records":["x"]}]}', 0),
])  # fmt: skip
def test_a_body_that_is_no_batch_is_refused(connection, body, index):
    response = connection.request("POST", BATCH, {}, body)
    if index is None or b"ud800" in body and "index" not in response.json():
        check_problem(response, 400, "invalid_body")
    else:
        check_problem(response, 400, "invalid_body", index=index)


def test_limits_hold_for_each_append(start_server, log):
    flags = ("--record-bytes-max", "100", "--records-per-request-max", "5", "--request-body-bytes-max", "3000")
    with start_server(*flags).connect() as connection:
        good = {"log": log, "records": ["x"]}
        check_problem(batch(connection, good, {"log": log, "records": ["x" * 101]}), 413, "record_too_large", index=1)
        check_problem(batch(connection, {"log": log, "records": ["x"] * 6}, good), 413, "too_many_records", index=0)
        check_problem(batch(connection, {"log": log, "records": ["x"] * 3}, {"log": log, "records": ["x"] * 3}), 413, "too_many_records", index=1)
        check_problem(connection.request("POST", BATCH, {}, b" " * 3001), 413, "body_too_large")
        assert connection.request("GET", f"/v1/logs/{log}").status == 404
        check_batched(batch(connection, {"log": log, "records": ["x" * 100] * 5}))


def test_kills_under_load_leave_every_batch_whole_or_not_at_all(start_server):
    """Each batch puts the same number into three logs: they are equal after every crash, whatever was acknowledged."""
    seed = 20261123
    chance, logs, acknowledged = random.Random(seed), ["a", "b", "c"], set()
    print(f"seed {seed}")

    def writer(server, label: str) -> None:
        try:
            with server.connect() as connection:
                for number in range(10_000):
                    record = f"{label}/{number}"
                    check_batched(batch(connection, *({"log": log, "records": [record]} for log in logs)))
                    acknowledged.add(record.encode())
        except (ConnectionEnded, ConnectionError):
            pass

    for round_number in range(8):
        server = start_server()
        with server.connect() as connection:
            found = [read_all(connection, log) for log in logs]
        assert found[0] == found[1] == found[2]
        assert acknowledged <= set(found[0]) and len(found[0]) == len(set(found[0]))
        threads = [threading.Thread(target=writer, args=(server, f"{round_number}-{name}")) for name in range(4)]
        for thread in threads:
            thread.start()
        wanted = len(acknowledged) + chance.randint(1, 60)
        wait_until(lambda: len(acknowledged) >= wanted, f"{wanted} acknowledged")
        server.kill()
        for thread in threads:
            thread.join()
    with start_server().connect() as connection:
        assert acknowledged <= set(read_all(connection, "a"))
        assert get_json(connection, "/v1/logs/a")["next"] == get_json(connection, "/v1/logs/c")["next"]

"""Conditional appends: of many that compete for one offset exactly one wins, and a loser learns the tail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from client import append, append_ok, check_appended, check_problem, get_json, producer, read_all, records_target, send_json
from rawhttp import encode_request
from server import wait_until
from test_pending import LINGER, waiting


def at(next_offset: object) -> dict[str, str]:
    return {"If-Match": f'"{next_offset}"'}


ABSENT = {"If-None-Match": "*"}


def check_failed(response, next_offset: int, log_id: int | None) -> None:
    """412 with the tail, in a form that the next try can send."""
    check_problem(response, 412, "condition_failed", next=next_offset)
    assert response.header("next-offset") == str(next_offset)
    assert response.header("etag") == (None if log_id is None else f'"{log_id}.{next_offset}"')


def test_an_append_at_the_tail_is_taken_and_any_other_is_not(connection, log):
    check_appended(append(connection, log, b"a", headers=at(0)), log)
    log_id = get_json(connection, f"/v1/logs/{log}")["id"]
    check_failed(append(connection, log, b"x", headers=at(0)), 1, log_id)
    check_failed(append(connection, log, b"x", headers=at(2)), 1, log_id)
    check_failed(append(connection, log, b"x", headers=at(2**64 - 1)), 1, log_id)
    check_appended(append(connection, log, b"b", headers=at(1)), log)
    check_appended(append(connection, log, b"c", headers=at(f"{log_id}.2")), log)
    check_failed(append(connection, log, b"x", headers=at(f"{log_id + 1}.3")), 3, log_id)
    refused = append(connection, log, b"x", headers=at(f"{log_id}.2"))
    check_failed(refused, 3, log_id)
    check_appended(append(connection, log, b"d", headers={"If-Match": refused.header("etag")}), log)
    assert read_all(connection, log) == [b"a", b"b", b"c", b"d"]


def test_a_missing_log_has_the_next_offset_0(connection, log):
    check_failed(append(connection, log, b"x", headers=at(1)), 0, None)
    check_failed(append(connection, log, b"x", headers=at("1.0")), 0, None)
    assert connection.request("GET", f"/v1/logs/{log}").status == 404, "a refused append made the log"
    check_appended(append(connection, log, b"a", headers=at(0)), log)


def test_an_append_that_wants_no_log_is_taken_once(connection, log):
    check_appended(append(connection, log, b"a", headers=ABSENT), log)
    check_failed(append(connection, log, b"x", headers=ABSENT), 1, get_json(connection, f"/v1/logs/{log}")["id"])
    assert read_all(connection, log) == [b"a"]


def test_a_log_that_was_made_and_is_empty_counts_as_absent(connection, log):
    assert send_json(connection, "PUT", f"/v1/logs/{log}").status == 201
    check_appended(append(connection, log, b"a", headers=ABSENT), log)


@pytest.mark.parametrize("headers", [
    {"If-Match": "0"}, {"If-Match": "*"}, {"If-Match": 'W/"0"'}, {"If-Match": '"0", "1"'}, {"If-Match": '""'},
    {"If-Match": '"-1"'}, {"If-Match": '"x"'}, {"If-Match": '"18446744073709551616"'}, {"If-Match": '"1."'},
    {"If-None-Match": '"0"'}, {"If-None-Match": "**"}, {"If-None-Match": "*", "If-Match": '"0"'},
])  # fmt: skip
def test_a_condition_that_says_nothing_is_refused(connection, log, headers):
    check_problem(append(connection, log, b"x", headers=headers), 400, "invalid_append_header")
    assert connection.request("GET", f"/v1/logs/{log}").status == 404


def test_a_condition_that_is_there_twice_is_refused(connection, log):
    request = encode_request("POST", records_target(log), {"If-Match": '"0"\r\nIf-Match: "0"'}, b"x")
    connection.send(request)
    check_problem(connection.read_response(), 400, "invalid_append_header")


def test_of_many_that_compete_for_each_offset_exactly_one_wins(server, log):
    rivals, rounds = 8, 20

    def rival(name: int) -> list[int]:
        won = []
        with server.connect() as connection:
            for offset in range(rounds):
                response = append(connection, log, b"%d/%d" % (name, offset), headers=at(offset))
                if response.status == 201:
                    won.append(check_appended(response, log)["first"])
                else:
                    assert check_problem(response, 412, "condition_failed", next=response.json()["next"])["next"] > offset
        return won

    # Each asks for offset n only after somebody got n - 1, so nobody is refused for being early.
    with ThreadPoolExecutor(rivals) as pool:
        won = sorted(offset for offsets in pool.map(rival, range(rivals)) for offset in offsets)
    assert won == list(range(rounds))


def test_a_refusal_that_rests_on_what_is_in_flight_waits_for_it(start_server, log):
    server = start_server(*LINGER)
    with server.connect() as reader, server.connect() as writer, server.connect() as loser:
        writer.send(encode_request("POST", records_target(log), at(0), b"wins"))
        waiting(reader, 1)
        loser.send(encode_request("POST", records_target(log), at(0), b"loses"))
        waiting(reader, 2)
        check_problem(loser.read_response(), 412, "condition_failed", next=1)
        # What the refusal rests on is durable, so anybody is shown it.
        assert get_json(reader, f"/v1/logs/{log}")["next"] == 1
        check_appended(writer.read_response(), log)


def test_a_retry_of_a_success_is_a_success_though_its_condition_no_longer_holds(connection, log):
    for headers in (producer("p", 0, 0) | at(0), {"Idempotency-Key": log} | at(1)):
        first = append(connection, log, b"a", headers=headers)
        check_appended(first, log)
        again = append(connection, log, b"a", headers=headers)
        assert (again.status, again.body, again.header("idempotent-replayed")) == (201, first.body, "true")
    assert len(read_all(connection, log)) == 2


def test_a_conditional_append_to_a_log_deleted_and_made_anew_knows_it_by_its_id(connection, log):
    append_ok(connection, log, b"old")
    old = get_json(connection, f"/v1/logs/{log}")["id"]
    assert connection.request("DELETE", f"/v1/logs/{log}").status == 204
    append_ok(connection, log, b"new")
    new = get_json(connection, f"/v1/logs/{log}")["id"]
    assert new != old
    check_failed(append(connection, log, b"x", headers=at(f"{old}.1")), 1, new)
    check_appended(append(connection, log, b"y", headers=at(f"{new}.1")), log)
    wait_until(lambda: read_all(connection, log) == [b"new", b"y"], "both records")

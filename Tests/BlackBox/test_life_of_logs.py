"""Logs are made with settings, changed, closed, trimmed and deleted, durably."""

from __future__ import annotations

import pytest

from client import (
    append,
    append_ok,
    check_appended,
    check_common_headers,
    check_log,
    check_problem,
    get,
    get_json,
    read_all,
    records_target,
    send_json,
    stats,
)
from server import wait_until

SETTINGS = {"content_type": "text/plain", "retention": {"age_seconds": 86400, "bytes": 1 << 40, "records": 1000000}, "appends_per_second_max": 1000}
NOTHING = {"content_type": None, "retention": {"age_seconds": None, "bytes": None, "records": None}, "appends_per_second_max": None}


def target(log: str, more: str = "") -> str:
    return f"/v1/logs/{log}{more}"


def put(connection, log: str, settings: object = None):
    return send_json(connection, "PUT", target(log), settings)


def patch(connection, log: str, settings: object):
    return send_json(connection, "PATCH", target(log), settings)


def trim(connection, log: str, before: object):
    return send_json(connection, "POST", target(log, "/trim"), {"before": before})


def close(connection, log: str):
    return connection.request("POST", target(log, "/close"))


def delete(connection, log: str):
    return connection.request("DELETE", target(log))


def settings_of(log: dict) -> dict:
    return {name: log[name] for name in NOTHING}


# Made and configured


def test_a_log_is_made_once_with_its_settings(connection, log):
    response = put(connection, log, SETTINGS)
    made = check_log(response, 201)
    assert response.header("location") == target(log)
    assert settings_of(made) == SETTINGS
    assert (made["log"], made["first"], made["next"], made["bytes"], made["closed"]) == (log, 0, 0, 0, False)
    again = put(connection, log, SETTINGS)
    assert check_log(again, 200) == made and again.header("location") is None
    assert get_json(connection, target(log)) == made
    check_problem(put(connection, log, {}), 409, "settings_differ")
    check_problem(put(connection, log, {**SETTINGS, "content_type": "text/html"}), 409, "settings_differ")
    assert get_json(connection, target(log)) == made
    assert append_ok(connection, log, b"a")["first"] == 0


def test_a_log_is_made_without_settings_or_a_body(connection, log):
    assert settings_of(check_log(put(connection, log), 201)) == NOTHING
    check_log(put(connection, log, {}), 200)
    check_log(put(connection, log, NOTHING), 200)
    append_ok(connection, f"{log}.auto", b"a")
    assert settings_of(check_log(put(connection, f"{log}.auto", {}), 200)) == NOTHING


def test_logs_are_made_by_hand_where_appends_do_not_make_them(start_server, log):
    with start_server("--auto-create", "false").connect() as connection:
        check_problem(append(connection, log, b"a"), 404, "log_not_found")
        check_log(put(connection, log), 201)
        append_ok(connection, log, b"a")


def test_a_patch_changes_what_it_names(connection, log):
    put(connection, log, SETTINGS)
    changed = check_log(patch(connection, log, {"retention": {"bytes": 5, "age_seconds": None}, "content_type": "a/b"}))
    expected = {**SETTINGS, "content_type": "a/b", "retention": {"age_seconds": None, "bytes": 5, "records": 1000000}}
    assert settings_of(changed) == expected == settings_of(get_json(connection, target(log)))
    assert settings_of(check_log(patch(connection, log, {}))) == expected
    assert settings_of(check_log(patch(connection, log, {"retention": None, "content_type": None, "appends_per_second_max": None}))) == NOTHING
    check_log(put(connection, log, {}), 200)


@pytest.mark.parametrize("body", [
    b"{", b"[]", b"1", b"null", b'"x"', b'{"name":"x"}', b'{"content_type":1}', b'{"content_type":""}', b'{"content_type":"a\\nb"}',
    b'{"content_type":"' + b"a" * 256 + b'"}', b'{"content_type":"\xff"}', b'{"retention":[]}', b'{"retention":{"days":1}}',
    b'{"retention":{"bytes":0}}', b'{"retention":{"bytes":-1}}', b'{"retention":{"bytes":1.5}}', b'{"retention":{"bytes":"1"}}',
    b'{"retention":{"bytes":1,"bytes":1}}', b'{"retention":{"records":9223372036854775808}}',
    b'{"retention":{"age_seconds":31557600001}}', b'{"appends_per_second_max":0}', b'{"appends_per_second_max":1000001}',
    b'{"appends_per_second_max":true}', b"{}{}", b"\xef\xbb\xbf{}",
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(connection, log, body):
    check_problem(connection.request("PUT", target(log), {}, body), 400, "invalid_body")
    check_problem(get(connection, target(log)), 404, "log_not_found")
    made = check_log(put(connection, log, SETTINGS), 201)
    check_problem(connection.request("PATCH", target(log), {}, body), 400, "invalid_body")
    assert get_json(connection, target(log)) == made


def test_bodies_of_settings_are_limited(connection, log):
    for method, where in (("PUT", target(log)), ("PATCH", target(log)), ("POST", target(log, "/trim"))):
        check_problem(connection.request(method, where, {}, b" " * 65_537), 413, "body_too_large")
    assert check_log(connection.request("PUT", target(log), {}, b"{" + b" " * 65_534 + b"}"), 201)


def test_names_are_checked_first(connection):
    for method, more in (("PUT", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/trim"), ("POST", "/close")):
        check_problem(connection.request(method, target(".a", more), {}, b"{}"), 400, "invalid_log_name")


@pytest.mark.parametrize("method, more", [("PATCH", ""), ("DELETE", ""), ("POST", "/trim"), ("POST", "/close")])
def test_a_log_that_is_not_there_cannot_be_changed(connection, log, method, more):
    check_problem(connection.request(method, target(log, more), {}, b'{"before":0}' if more == "/trim" else b"{}"), 404, "log_not_found")
    check_problem(get(connection, target(log)), 404, "log_not_found")


@pytest.mark.parametrize("method, more, allow", [
    ("POST", "", "GET, HEAD, PUT, PATCH, DELETE"), ("GET", "/trim", "POST"), ("PUT", "/close", "POST"), ("DELETE", "/records", "GET, HEAD, POST"),
])  # fmt: skip
def test_other_methods_are_named(connection, log, method, more, allow):
    response = connection.request(method, target(log, more), {}, b"")
    check_problem(response, 405, "method_not_allowed")
    assert response.header("allow") == allow


# Closed


def test_a_closed_log_takes_no_more_records(connection, log):
    append_ok(connection, log, b"a")
    assert check_log(close(connection, log))["closed"] is True
    response = append(connection, log, b"x")
    check_problem(response, 409, "log_closed", next=1)
    assert response.header("next-offset") == "1"
    assert check_log(close(connection, log))["closed"] is True
    assert read_all(connection, log) == [b"a"] and get_json(connection, target(log))["closed"] is True
    check_log(patch(connection, log, {"content_type": "a/b"}))
    check_log(trim(connection, log, 1))
    assert delete(connection, log).status == 204
    assert append_ok(connection, log, b"new")["first"] == 0


# Trimmed


def test_trimmed_records_are_gone_and_offsets_stay(connection, log):
    for number in range(10):
        append_ok(connection, log, b"%d" % number * 10)
    trimmed = check_log(trim(connection, log, 4))
    assert (trimmed["first"], trimmed["next"], trimmed["records"]) == (4, 10, 6)
    assert check_log(trim(connection, log, 2))["first"] == 4, "a trim went back"
    assert check_log(trim(connection, log, 4)) == trimmed
    assert read_all(connection, log, 4) == [b"%d" % number * 10 for number in range(4, 10)]
    for offset in (0, 3):
        assert get(connection, records_target(log, **{"from": offset})).status == 410
        assert get(connection, f"{records_target(log)}/{offset}").status == 410
    everything = check_log(trim(connection, log, 10))
    assert (everything["first"], everything["next"], everything["records"], everything["bytes"]) == (10, 10, 0, 0)
    assert append_ok(connection, log, b"a")["first"] == 10
    assert read_all(connection, log, 10) == [b"a"]


def test_what_is_not_there_yet_cannot_be_trimmed(connection, log):
    append_ok(connection, log, b"a")
    for before in (2, 2**64 - 1):
        response = trim(connection, log, before)
        check_problem(response, 409, "trim_beyond_tail", next=1)
        assert response.header("next-offset") == "1"
    assert read_all(connection, log) == [b"a"]


@pytest.mark.parametrize("body", [
    b"", b"{}", b"[1]", b"1", b'{"before":null}', b'{"before":-1}', b'{"before":0.5}', b'{"before":"1"}', b'{"before":1,"x":1}',
    b'{"before":18446744073709551616}', b'{"before":0,"before":0}',
])  # fmt: skip
def test_a_trim_that_says_nothing_is_refused(connection, log, body):
    append_ok(connection, log, b"a")
    check_problem(connection.request("POST", target(log, "/trim"), {}, body), 400, "invalid_body")
    assert get_json(connection, target(log))["first"] == 0


# Deleted


def test_a_deleted_log_is_gone_and_its_name_is_free(connection, log):
    append_ok(connection, log, b"old")
    old = get_json(connection, target(log))
    before = stats(connection)["totals"]["logs"]
    response = delete(connection, log)
    assert response.status == 204 and response.body == b""
    check_common_headers(response)
    for one in (target(log), records_target(log), records_target(log) + "/0"):
        check_problem(get(connection, one), 404, "log_not_found")
    check_problem(delete(connection, log), 404, "log_not_found")
    assert stats(connection)["totals"]["logs"] == before - 1
    assert log not in [one["log"] for one in get_json(connection, f"/v1/logs?prefix={log}&limit=1000")["logs"]]
    assert append_ok(connection, log, b"new")["first"] == 0
    new = get_json(connection, target(log))
    assert new["id"] > old["id"] and new["created"] > old["created"]
    assert read_all(connection, log) == [b"new"]


def test_a_name_is_deleted_and_taken_again_many_times(connection, log):
    for number in range(20):
        assert check_appended(append(connection, log, b"%d" % number), log)["first"] == 0
        assert delete(connection, log).status == 204
    check_log(put(connection, log, SETTINGS), 201)
    assert read_all(connection, log) == []


def test_everything_about_a_log_survives_a_kill(start_server, log):
    server = start_server()
    with server.connect() as connection:
        put(connection, log, SETTINGS)
        for number in range(5):
            append_ok(connection, log, b"%d" % number)
        check_log(patch(connection, log, {"appends_per_second_max": None}))
        check_log(trim(connection, log, 3))
        closed = check_log(close(connection, log))
        append_ok(connection, "gone", b"old")
        assert delete(connection, "gone").status == 204
        append_ok(connection, "again", b"old")
        assert delete(connection, "again").status == 204
        append_ok(connection, "again", b"new")
        again = get_json(connection, target("again"))
    for how in (server.kill, server.stop):
        how() if how == server.kill else server.stop()
        server = start_server()
        with server.connect() as connection:
            assert get_json(connection, target(log)) == closed
            assert read_all(connection, log, 3) == [b"3", b"4"]
            check_problem(append(connection, log, b"x"), 409, "log_closed", next=5)
            check_problem(get(connection, target("gone")), 404, "log_not_found")
            assert get_json(connection, target("again")) == again and read_all(connection, "again") == [b"new"]


# Retention


def test_retention_by_records_keeps_exactly_so_many(connection, log):
    kept = 3
    put(connection, log, {"retention": {"records": kept}})
    for number in range(20):
        append_ok(connection, log, b"%010d" % number)
    wait_until(lambda: get_json(connection, target(log))["first"] == 20 - kept, "retention")
    assert read_all(connection, log, 20 - kept) == [b"%010d" % number for number in range(20 - kept, 20)]


def test_retention_by_age_drops_what_is_old(connection, log):
    put(connection, log, {"retention": {"age_seconds": 1}})
    append_ok(connection, log, b"a")
    wait_until(lambda: get_json(connection, target(log))["first"] == 1, "retention")
    assert get_json(connection, target(log))["next"] == 1

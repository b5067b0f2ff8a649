"""Disk space comes back when records are trimmed, expire or go with their log; nothing else goes, also across a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
from client import append_ok, check_log, get, get_json, ndjson_records, read_all, records_target, send_json
from server import run, wait_until

SEGMENT_BYTES = 4 << 20
RECORD = b"r" * 400_000


def target(log: str, rest: str = "") -> str:
    return f"/v1/logs/{log}{rest}"


def segment_bytes(data_dir: Path) -> int:
    """Bytes that the segment files have now."""
    total = 0
    for path in (data_dir / "wal").iterdir():
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue
    return total


def fill(connection, log: str, count: int) -> None:
    for number in range(count):
        append_ok(connection, log, b"%08d" % number + RECORD)


def timestamps(connection, log: str) -> list[str]:
    return [record.timestamp for record in ndjson_records(get(connection, records_target(log)).body)]


def put(connection, log: str, settings: dict) -> None:
    assert send_json(connection, "PUT", target(log), settings).status == 201


def test_trimmed_space_comes_back_and_the_rest_outlives_a_kill(start_server, log):
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, f"{log}.cold", b"cold")
        fill(connection, log, 80)
        full = segment_bytes(server.data_dir)
        assert full > 7 * SEGMENT_BYTES
        check_log(send_json(connection, "POST", target(log, "/trim"), {"before": 75}))
        # The cold log pins nothing: the tail, the active segment and a spare.
        wait_until(lambda: segment_bytes(server.data_dir) <= 3 * SEGMENT_BYTES + (1 << 20), "the trimmed segments to go")
    server.kill()
    server.start()
    with server.connect() as connection:
        assert read_all(connection, f"{log}.cold") == [b"cold"]
        assert read_all(connection, log, 75) == [b"%08d" % number + RECORD for number in range(75, 80)]
        assert append_ok(connection, log, b"next")["first"] == 80
        assert get_json(connection, target(log))["first"] == 75


@pytest.mark.parametrize("retention", [{"records": 5}, {"bytes": 2_000_000}, {"age_seconds": 1}])
def test_retention_gives_space_back(start_server, log, retention):
    server = start_server()
    with server.connect() as connection:
        put(connection, log, {"retention": retention})
        fill(connection, log, 60)
        wait_until(lambda: segment_bytes(server.data_dir) <= 4 * SEGMENT_BYTES, f"{retention} to give space back")
        before = get_json(connection, target(log))
        assert before["first"] > 0 and before["next"] == 60
    server.kill()
    server.start()
    with server.connect() as connection:
        after = get_json(connection, target(log))
        assert after["first"] >= before["first"] and after["next"] == 60
        if "records" in retention:
            assert after["first"] == 55
        if after["first"] < 60:
            assert read_all(connection, log, 59) == [b"%08d" % 59 + RECORD]


def test_the_space_of_a_deleted_log_comes_back(start_server, log):
    server = start_server()
    with server.connect() as connection:
        fill(connection, log, 60)
        response = connection.request("DELETE", target(log))
        assert response.status in (200, 204), response.body
        wait_until(lambda: segment_bytes(server.data_dir) <= 3 * SEGMENT_BYTES, "the segments to go")
        assert append_ok(connection, log, b"anew")["first"] == 0
    server.kill()
    server.start()
    with server.connect() as connection:
        assert read_all(connection, log) == [b"anew"]


def test_verify_and_repair_know_what_was_retired(start_server, log, tmp_path):
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, f"{log}.cold", b"cold")
        append_ok(connection, f"{log}.lukewarm", b"0")
        put(connection, f"{log}.settled", {"retention": {"records": 1000}, "content_type": "text/plain"})
        fill(connection, f"{log}.gone", 20)
        fill(connection, log, 57)
        append_ok(connection, f"{log}.lukewarm", b"1")
        fill(connection, log, 3)
        assert connection.request("DELETE", target(f"{log}.gone")).status in (200, 204)
        check_log(send_json(connection, "POST", target(log, "/trim"), {"before": 55}))
        wait_until(lambda: segment_bytes(server.data_dir) <= 3 * SEGMENT_BYTES + (1 << 20), "the segments to go")
        settled = get_json(connection, target(f"{log}.settled"))
    server.stop()
    found = run("verify", str(server.data_dir))
    assert found.returncode == 0 and "no damage" in found.stdout, found.stdout + found.stderr
    copy = tmp_path / "copy"
    repaired = run("repair", str(server.data_dir), "--output", str(copy))
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert run("verify", str(copy)).returncode == 0
    server.data_dir.rename(tmp_path / "old")
    copy.rename(server.data_dir)
    server.start()
    with server.connect() as connection:
        # The segments in which these were appended are gone: the copies are what is there.
        assert read_all(connection, f"{log}.cold") == [b"cold"]
        assert read_all(connection, f"{log}.lukewarm") == [b"0", b"1"]
        assert read_all(connection, log, 55) == [b"%08d" % (number % 57) + RECORD for number in range(55, 60)]
        assert get_json(connection, target(log))["first"] == 55
        assert connection.request("GET", target(f"{log}.gone")).status == 404
        again = get_json(connection, target(f"{log}.settled"))
        assert (again["retention"], again["content_type"]) == (settled["retention"], settled["content_type"])


def test_a_cold_log_keeps_its_records_and_not_the_space_of_hot_ones(start_server, log):
    server = start_server()
    cold = [b"cold %d " % number + b"c" * 3_000 for number in range(40)]
    with server.connect() as connection:
        for number, record in enumerate(cold):
            append_ok(connection, f"{log}.cold", record)
            append_ok(connection, log, b"%08d" % number + RECORD)
            append_ok(connection, log, b"%08d" % number + RECORD)
        full = segment_bytes(server.data_dir)
        times = timestamps(connection, f"{log}.cold")
        check_log(send_json(connection, "POST", target(log, "/trim"), {"before": 80}))
        wait_until(lambda: segment_bytes(server.data_dir) <= 2 * SEGMENT_BYTES + (1 << 20), "the segments to go")
        assert full > 7 * SEGMENT_BYTES
        assert read_all(connection, f"{log}.cold") == cold
    for end in (server.kill, server.stop):
        end()
        found = run("verify", str(server.data_dir))
        assert found.returncode == 0 and "no damage" in found.stdout, found.stdout + found.stderr
        server.start()
        with server.connect() as connection:
            for first in range(0, 40, 7):
                assert read_all(connection, f"{log}.cold", first) == cold[first:]
            assert timestamps(connection, f"{log}.cold") == times
            assert get_json(connection, target(f"{log}.cold"))["next"] == 40


def test_a_repair_keeps_settings_that_only_a_checkpoint_knows(start_server, log, tmp_path):
    first, second, keep = f"{log}.first", f"{log}.second", f"{log}.keep"
    server = start_server()
    with server.connect() as connection:
        # Made in a segment that stays, changed in one that goes.
        put(connection, first, {"retention": {"records": 1}, "content_type": "text/plain"})
        fill(connection, keep, 7)
        fill(connection, log, 10)
        check_log(send_json(connection, "PATCH", target(first), {"retention": {"records": 2}}))
        # Made in one that goes, changed in one that stays, and again in one that goes.
        put(connection, second, {"retention": {"records": 3}})
        fill(connection, log, 10)
        check_log(send_json(connection, "PATCH", target(second), {"retention": {"records": 4}}))
        fill(connection, keep, 9)
        fill(connection, log, 10)
        check_log(send_json(connection, "PATCH", target(second), {"retention": {"records": 5}}))
        fill(connection, log, 40)
        full = segment_bytes(server.data_dir)
        check_log(send_json(connection, "POST", target(log, "/trim"), {"before": 70}))
        wait_until(lambda: segment_bytes(server.data_dir) <= full - 3 * SEGMENT_BYTES, "segments to go")
        before = [get_json(connection, target(name)) for name in (first, second, keep)]
    server.stop()
    copy = tmp_path / "copy"
    repaired = run("repair", str(server.data_dir), "--output", str(copy))
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    server.data_dir.rename(tmp_path / "old")
    copy.rename(server.data_dir)
    server.start()
    with server.connect() as connection:
        after = [get_json(connection, target(name)) for name in (first, second, keep)]
        assert [log["retention"]["records"] for log in after] == [2, 5, None]
        assert [(log["retention"], log["content_type"]) for log in after] == [(log["retention"], log["content_type"]) for log in before]
        assert after[2]["records"] == 16

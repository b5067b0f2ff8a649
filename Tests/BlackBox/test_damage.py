"""`appendlog verify` and `dump`, and what happens when bytes on the disk are not those that were acknowledged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from client import FRAMED, NDJSON, append_ok, check_problem, framed, get, read_all, records_target
from server import StartFailed, refused_start, run

#: Found on disk by its content; small enough to stand within one block.
MARKED = b"this record is going to be damaged"


def fill(server, log: str, after: int = 20) -> None:
    """A few records, the marked one, and `after` more requests behind it, so that it is not the last batch."""
    with server.connect() as connection:
        append_ok(connection, log, b"one\ntwo\n", NDJSON)
        append_ok(connection, log, MARKED)
        for number in range(after):
            append_ok(connection, log, b"after %d" % number)


def find_on_disk(directory: Path, content: bytes) -> tuple[Path, int]:
    """The segment file and the place in it where `content` stands, exactly once in all segments."""
    found = []
    for file in sorted((directory / "wal").glob("*.seg")):
        at = file.read_bytes().find(content)
        if at >= 0:
            found.append((file, at))
    assert len(found) == 1, found
    return found[0]


def flip_a_bit(directory: Path, content: bytes = MARKED) -> tuple[Path, int]:
    """Changes one bit of `content` on disk."""
    file, at = find_on_disk(directory, content)
    descriptor = os.open(file, os.O_RDWR)
    try:
        byte = os.pread(descriptor, 1, at)[0]
        os.pwrite(descriptor, bytes([byte ^ 1]), at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return file, at


def numbers_in(text: str) -> set[int]:
    """Every decimal number in a text (digit groups may be parted by commas or underscores)."""
    plain = "".join(character if character.isdigit() else " " for character in text.replace(",", "").replace("_", ""))
    return {int(word) for word in plain.split()}


def tree(directory: Path) -> dict[str, bytes]:
    """Every file under a directory with its content, but for the lock."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file() and path.name != "LOCK"}


@pytest.mark.parametrize("flags", [("--mode", "direct"), ("--mode", "buffered"), ("--engine", "syscalls")])
def test_verify_and_dump_take_what_a_clean_stop_left(start_server, directory, log, flags):
    server = start_server(*flags)
    fill(server, log)
    with server.connect() as connection:
        append_ok(connection, "other", b"not of this log")
    server.stop()
    before = tree(directory)

    verified = run("verify", str(directory))
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert verified.stdout.strip()

    dumped = run("dump", str(directory))
    assert dumped.returncode == 0, dumped.stderr
    assert log in dumped.stdout and "other" in dumped.stdout

    of_log = run("dump", str(directory), "--log", log)
    assert of_log.returncode == 0, of_log.stderr
    assert MARKED.decode() in of_log.stdout and "not of this log" not in of_log.stdout

    frames = run("dump", str(directory), "--frames")
    assert frames.returncode == 0, frames.stderr
    assert len(frames.stdout.splitlines()) >= 23

    assert tree(directory) == before, "verify or dump wrote to the directory"


def test_verify_takes_what_a_kill_left(start_server, directory, log):
    server = start_server()
    fill(server, log)
    server.kill()
    verified = run("verify", str(directory))
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.parametrize("command", ["verify", "dump"])
def test_a_directory_that_is_none_of_ours_is_refused(workspace, command):
    ended = run(command, str(workspace / "nothing-here"))
    assert ended.returncode > 0 and ended.stderr.strip()


def test_dumping_an_unknown_log_says_so(start_server, directory, log):
    server = start_server()
    fill(server, log, after=0)
    server.stop()
    ended = run("dump", str(directory), "--log", "never-made")
    assert ended.returncode > 0 and "never-made" in ended.stderr


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_flipped_bit_in_an_acknowledged_batch_is_found_and_never_served(start_server, directory, log, end):
    server = start_server()
    fill(server, log)
    getattr(server, end)()
    file, at = flip_a_bit(directory)

    verified = run("verify", str(directory))
    output = verified.stdout + verified.stderr
    assert verified.returncode == 1, output
    assert file.name in output
    assert any(at - 8192 <= number <= at for number in numbers_in(output)), f"no position near {at}: {output}"

    try:
        again = start_server()
    except StartFailed:
        message = refused_start(directory)
        assert file.name in message and "appendlog verify" in message, message
        return
    with again.connect() as connection:
        check_problem(get(connection, f"/v1/logs/{log}/records/2"), 500, "record_damaged")


def test_a_flipped_bit_in_an_earlier_segment_is_found_and_never_served(start_server, directory, log):
    server = start_server()
    fill(server, log)
    with server.connect() as connection:
        for _ in range(15):
            append_ok(connection, log, os.urandom(1_000_000))
    server.stop()
    flip_a_bit(directory)
    assert run("verify", str(directory)).returncode == 1
    try:
        again = start_server()
    except StartFailed:
        return
    with again.connect() as connection:
        check_problem(get(connection, f"/v1/logs/{log}/records/2"), 500, "record_damaged")
        assert get(connection, f"/v1/logs/{log}/records/1").body == b"two"


def test_a_record_that_is_damaged_while_the_server_runs_is_answered_500_and_the_rest_is_served(start_server, directory, log):
    server = start_server()
    fill(server, log)
    server.stop()
    server = start_server()
    flip_a_bit(directory)
    with server.connect() as connection:
        for accept in (NDJSON, FRAMED):
            response = get(connection, records_target(log), accept)
            check_problem(response, 500, "record_damaged")
        check_problem(get(connection, f"/v1/logs/{log}/records/2"), 500, "record_damaged")
        assert get(connection, f"/v1/logs/{log}/records/0").body == b"one"
        assert read_all(connection, log, start=3) == [b"after %d" % number for number in range(20)]
        append_ok(connection, log, b"serves on")


def test_a_flipped_bit_in_each_part_of_the_log_is_never_served_as_data(start_server, directory, log):
    """Flips one bit at places all over the used part of the segment: the server refuses, or shows a true prefix."""
    server = start_server()
    records = [b"record %03d " % number * 8 for number in range(12)]
    with server.connect() as connection:
        for record in records[:-4]:
            append_ok(connection, log, record)
        append_ok(connection, log, framed(records[-4:]), FRAMED)
    server.stop()
    file, start = find_on_disk(directory, records[0][:30])
    _, end = find_on_disk(directory, records[-1][:30])
    content = file.read_bytes()
    files = tree(directory)
    for at in range(start - 300, end + 300, (end - start) // 12):
        restore(directory, files)
        file.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        try:
            damaged = start_server()
        except StartFailed:
            continue
        with damaged.connect() as connection:
            shown = []
            for offset in range(len(records)):
                response = get(connection, f"/v1/logs/{log}/records/{offset}")
                assert response.status in (200, 500), (at, offset, response)
                shown.append(response.body if response.status == 200 else records[offset])
        damaged.kill()
        assert shown == records, f"a bit at {at} of {file.name} changed what is shown"


def restore(directory: Path, files: dict[str, bytes]) -> None:
    """Makes the files of a directory those of an earlier `tree`."""
    for name in tree(directory).keys() - files.keys():
        (directory / name).unlink()
    for name, content in files.items():
        (directory / name).write_bytes(content)

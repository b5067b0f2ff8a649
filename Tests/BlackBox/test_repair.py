"""`appendlog repair`, and verify and dump beyond damage, on directories that the real server wrote and then serves again."""

from __future__ import annotations

import base64
import json
import os
import random
import re
from pathlib import Path

import pytest

from client import NDJSON, append_ok, check_problem, get, read_all, records_target, stats
from server import Server, StartFailed, run, wait_until
from test_damage import tree

SEED = 20261123
LOST = re.compile(r"not kept: records? (\d+)(?:\.\.(\d+))? of log (\S+)")


class Written:
    """A directory with several logs and segments, and everything that was acknowledged in it."""

    def __init__(self, workspace: Path, end: str) -> None:
        self.directory = workspace / f"written-{end}"
        self.records: dict[str, list[bytes]] = {}
        dice = random.Random(SEED)
        server = Server(self.directory).start()
        with server.connect() as connection:
            for number in range(110):
                log = ("orders", "events", "metrics")[number % 3]
                lines = [b"%s %d %d " % (log.encode(), number, line) + b"x" * dice.randrange(60_000) for line in range(1 + number % 3)]
                append_ok(connection, log, b"\n".join(lines), NDJSON)
                self.records.setdefault(log, []).extend(lines)
        getattr(server, end)()
        self.files = tree(self.directory)

    def damaged(self, workspace: Path, name: str, change) -> Path:
        """Another directory with these files, changed."""
        files = {path: bytearray(content) for path, content in self.files.items()}
        change(files)
        directory = workspace / name
        for path, content in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_bytes(content)
        return directory


@pytest.fixture(scope="module")
def written(workspace) -> Written:
    return Written(workspace, "stop")


def used(content: bytes) -> int:
    return len(bytes(content).rstrip(b"\0"))


def segments(files) -> list[str]:
    return sorted(name for name in files if name.endswith(".seg") and used(files[name]) > 4096)


def flip(files, dice):
    name = dice.choice(segments(files))
    files[name][dice.randrange(4096, used(files[name]))] ^= 1 << dice.randrange(8)


def zero(files, dice):
    name = dice.choice(segments(files))
    at = dice.randrange(4096, used(files[name]))
    files[name][at : at + 70_000] = bytes(len(files[name][at : at + 70_000]))


def cut(files, dice):
    name = dice.choice(segments(files))
    del files[name][dice.randrange(4096, used(files[name])) :]


def header(files, dice):
    files[dice.choice(segments(files))][dice.randrange(80)] ^= 0x10


def delete_first(files, dice):
    del files[segments(files)[0]]


def swap(files, dice):
    one, other = segments(files)[:2]
    files[one], files[other] = files[other], files[one]


def checkpoints(files, dice):
    for name in [name for name in files if name.endswith((".ckpt", ".idx"))]:
        files[name][dice.randrange(len(files[name]))] ^= 1


DAMAGES = [flip, flip, flip, zero, cut, header, delete_first, swap, checkpoints]


@pytest.mark.parametrize("number", range(len(DAMAGES)), ids=[f"{number}-{damage.__name__}" for number, damage in enumerate(DAMAGES)])
def test_a_repaired_copy_serves_what_is_kept_and_says_what_is_not(workspace, written, number):
    dice = random.Random(SEED + number)
    directory = written.damaged(workspace, f"damaged-{number}", lambda files: DAMAGES[number](files, dice))
    before = tree(directory)
    verified = run("verify", str(directory))
    assert verified.returncode in (0, 1), verified.stderr
    repaired = run("repair", str(directory))
    assert repaired.returncode in (0, 1), repaired.stderr
    assert tree(directory) == before, "the original was changed"
    assert not Path(f"{directory}.repaired.unfinished").exists()
    lost = {}
    for first, last, log in LOST.findall(repaired.stderr):
        lost.setdefault(log, set()).update(range(int(first), int(last or first) + 1))
    copy = Path(f"{directory}.repaired")
    again = run("verify", str(copy))
    assert again.returncode == 0, again.stdout + again.stderr
    server = Server(copy).start()
    with server.connect() as connection:
        for log, records in written.records.items():
            kept = served(connection, log)
            unsure = "no log could be told of" in repaired.stderr
            for offset, record in enumerate(records):
                if offset in kept:
                    assert kept[offset] == record and offset not in lost.get(log, set()), (log, offset)
                else:
                    assert offset in lost.get(log, set()) or (unsure and offset > max(kept)), f"{log} {offset}: neither kept nor listed"
            appended = append_ok(connection, log, b"goes on")
            assert appended["first"] > max(kept) and appended["first"] > max(lost.get(log, {-1}))
            assert get(connection, f"/v1/logs/{log}/records/{appended['first']}").body == b"goes on"
            for offset in sorted(lost.get(log, set()))[:3]:
                check_problem(get(connection, f"/v1/logs/{log}/records/{offset}"), 410, "records_lost")
    server.stop()
    # What a start says of the damaged directory: it refuses with a damage that verify lists, or it starts.
    damaged = Server(directory)
    try:
        damaged.start().stop()
    except StartFailed as refusal:
        assert verified.returncode == 1
        assert "appendlog verify" in str(refusal) and "appendlog repair" in str(refusal)
        listed = re.findall(r"damage: (\S+?)(?: at position (\d+))?:", verified.stderr)
        assert any(file.split("/")[-1] in str(refusal) for file, _ in listed), (listed, str(refusal))


def served(connection, log: str) -> dict[int, bytes]:
    """Every record that a server gives, by offset: goes on where it says so."""
    found: dict[int, bytes] = {}
    at = 0
    while True:
        response = get(connection, f"{records_target(log)}?from={at}")
        if response.status == 410:
            at = int(response.header("Next-Offset"))
            continue
        assert response.status == 200, response
        for line in response.body.splitlines():
            entry = json.loads(line)
            assert entry["offset"] not in found
            found[entry["offset"]] = entry["data"].encode() if "data" in entry else base64.b64decode(entry["data_base64"])
        at = int(response.header("Next-Offset"))
        if at >= int(response.header("Tail-Offset")):
            return found


def test_a_repair_and_a_server_exclude_each_other(start_server, directory, log):
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, log, b"one")
    for command in ("verify", "repair", "dump"):
        ended = run(command, str(directory))
        assert ended.returncode == 2 and "in use" in ended.stderr, ended.stderr
    assert not Path(f"{directory}.repaired").exists()


def test_a_repair_never_writes_where_something_is(start_server, directory, log, workspace):
    server = start_server()
    with server.connect() as connection:
        append_ok(connection, log, b"one")
    server.stop()
    there = workspace / "is-there-already"
    there.mkdir()
    ended = run("repair", str(directory), "--output", str(there))
    assert ended.returncode == 2 and str(there) in ended.stderr
    assert list(there.iterdir()) == []


def stopped_server(start_server, log: str, records: list[bytes], **more) -> None:
    server = start_server(**more)
    with server.connect() as connection:
        for record in records:
            append_ok(connection, log, record)
    server.stop()


def test_what_an_interrupted_repair_left_is_never_touched(start_server, directory, log):
    """It could be somebody's only store, even the one that is to be repaired."""
    stopped_server(start_server, log, [b"one"])
    unfinished = directory.rename(f"{directory}.unfinished")
    before = tree(unfinished)
    for output in ([], ["--output", str(directory)]):
        ended = run("repair", str(unfinished), *output)
        assert tree(unfinished) == before
        assert ended.returncode == (2 if output else 0), ended.stderr
    assert "remove it first" in ended.stderr and not directory.exists()


def test_the_checkpoint_of_another_store_says_nothing(start_server, directory, log, workspace):
    other = workspace / f"{log}-other"
    for place, names in ((other, ["x", "y", log]), (directory, [log, "b", "c"])):
        server = start_server(data_dir=place)
        with server.connect() as connection:
            for name in names:
                append_ok(connection, name, name.encode())
            for _ in range(12):
                append_ok(connection, names[0], b"z" * 400_000)
            wait_until(lambda place=place: list((place / "checkpoint").glob("*.ckpt")), "a checkpoint")
        server.stop()
    foreign = sorted((other / "checkpoint").glob("*.ckpt"))[-1]
    (directory / "checkpoint" / f"{10**15:020}.ckpt").write_bytes(foreign.read_bytes())
    (directory / "checkpoint" / foreign.name).write_bytes(foreign.read_bytes())
    judged = run("verify", str(directory))
    assert judged.returncode == 1 and "belongs to another store" in judged.stdout + judged.stderr
    assert run("repair", str(directory)).returncode in (0, 1)
    server = start_server(data_dir=Path(f"{directory}.repaired"))
    with server.connect() as connection:
        assert read_all(connection, "b") == [b"b"] and read_all(connection, "c") == [b"c"]
        assert read_all(connection, log)[0] == log.encode()
        assert {entry["log"] for entry in stats(connection)["logs"]} == {log, "b", "c"}


@pytest.mark.parametrize("field", ["checksum", "byte count"])
def test_a_whole_frame_behind_a_damaged_batch_header_is_kept(start_server, directory, log, field):
    """Also where its record ends with blocks of zeros, and where the header's own length is wrong."""
    records = [b"first", b"Z" + bytes(20_000), b"last"]
    stopped_server(start_server, log, records)
    segment = directory / "wal" / f"{0:020}.seg"
    data = bytearray(segment.read_bytes())
    start = data.rindex(b"BTCH", 0, data.index(b"Z" + bytes(20_000)))
    data[start + (4 if field == "checksum" else 9)] ^= 0x10
    segment.write_bytes(data)
    assert run("verify", str(directory)).returncode == 1
    ended = run("repair", str(directory))
    assert "record" not in "".join(line for line in ended.stdout.splitlines() if line.startswith("not kept")), ended.stdout
    with start_server(data_dir=Path(f"{directory}.repaired")).connect() as connection:
        assert read_all(connection, log) == records


def test_a_file_named_by_an_impossible_position_is_damage(start_server, directory, log):
    stopped_server(start_server, log, [b"one"])
    (directory / "wal" / f"{2**64 - 1}.seg").write_bytes(b"x" * 12_000)
    judged = run("verify", str(directory))
    assert judged.returncode == 1, judged.stderr
    assert f"{2**64 - 1}.seg" in judged.stdout + judged.stderr


def test_a_directory_that_is_not_there_is_named(workspace):
    for command in ("verify", "dump", "repair"):
        ended = run(command, "/nothere")
        assert ended.returncode == 2 and "there is no directory /nothere" in ended.stderr
    empty = workspace / "nothing-in-it"
    empty.mkdir()
    assert "is no data directory" in run("verify", str(empty)).stderr


def test_a_full_disk_ends_a_repair_clearly(start_server, directory, log):
    import resource

    server = start_server()
    with server.connect() as connection:
        append_ok(connection, log, b"one")
    server.stop()
    before = tree(directory)
    ended = run("repair", str(directory), preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    # SIGXFSZ ends it: as an interruption does.
    assert ended.returncode != 0
    assert tree(directory) == before and not os.path.exists(f"{directory}.repaired")

"""Power cuts on a real file system (Tests/PowerCut/run), shortly; `make powercut` runs many more.

Skipped, with the reason, where there is no root, no /dev/fuse, no loop device or no mkfs.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from errno import EIO, ENOSPC
from pathlib import Path

import pytest

from server import BINARY, REPOSITORY, WAIT_SECONDS, wait_until

POWER_CUT = REPOSITORY / "Tests/PowerCut"
sys.path.insert(0, str(POWER_CUT))

from disk import Disk, Unavailable, probe  # noqa: E402
from events import COMMAND, FLUSH_BEGIN, FLUSH_END, MARK, WRITE_BEGIN, WRITE_END, Cut, Cutter, EventLog, torn_parts  # noqa: E402

BLOCK = 4096

SEED = int(os.environ.get("APPENDLOG_POWERCUT_SEED", "20261123"))


def power_cuts(workspace: Path, *arguments: str) -> tuple[int, list[dict], str]:
    """Runs the power cuts; gives the exit status, a summary of each combination, and what was said."""
    summary = workspace / "powercut.json"
    summary.unlink(missing_ok=True)
    command = [POWER_CUT / "run", "--binary", BINARY, "--seed", str(SEED), "--summary", summary, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=540, check=False)
    said = f"exit status {ended.returncode}\n{ended.stdout}{ended.stderr}"
    print(said, f"repeat with APPENDLOG_POWERCUT_SEED={SEED}")
    if ended.returncode == 2 and "cannot run here:" in ended.stderr:
        pytest.skip(ended.stderr.strip().splitlines()[-1])
    return ended.returncode, json.loads(summary.read_text()) if summary.exists() else [], said


def test_no_promise_is_broken_by_a_power_cut_on_ext4(workspace):
    status, tallies, said = power_cuts(workspace, "--cuts", "45")
    assert status == 0, said
    combinations = {(tally["engine"], tally["mode"]) for tally in tallies}
    assert combinations == {(engine, mode) for engine in ("io_uring", "syscalls") for mode in ("direct", "buffered")}
    assert all(tally["cuts"] >= 45 for tally in tallies)


def test_no_promise_is_broken_by_a_power_cut_on_xfs(workspace):
    status, tallies, said = power_cuts(workspace, "--cuts", "40", "--fs", "xfs", "--engine", "io_uring", "--mode", "direct")
    assert status == 0, said
    assert [tally["file_system"] for tally in tallies] == ["xfs"]


def test_no_promise_of_the_library_is_broken_by_a_power_cut_on_ext4(workspace):
    if not (BINARY.parent / "wal-power-writer").exists():
        pytest.skip("no wal-power-writer beside the server: run 'swift build'")
    status, tallies, said = power_cuts(workspace, "--library", "--cuts", "45")
    assert status == 0, said
    combinations = {(tally["engine"], tally["mode"]) for tally in tallies}
    assert combinations == {(engine, mode) for engine in ("io_uring", "syscalls") for mode in ("direct", "buffered")}
    assert all(tally["cuts"] >= 45 and tally["cuts_in_second_lives"] > 0 for tally in tallies)


@pytest.mark.parametrize("subject", [(), ("--library",)], ids=["server", "library"])
def test_a_disk_that_ignores_flushes_is_seen_to_lose_what_was_promised(workspace, subject):
    if subject and not (BINARY.parent / "wal-power-writer").exists():
        pytest.skip("no wal-power-writer beside the server: run 'swift build'")
    arguments = ("--cuts", "15", "--engine", "io_uring", "--mode", "direct", "--latency", "none")
    status, tallies, said = power_cuts(workspace, *subject, *arguments, "--lying-disk", "--first", "--keep", "0")
    assert status == 1, said
    kinds = {text.split()[0].rstrip(":") for tally in tallies for texts in tally["failures"] for text in texts}
    assert kinds & {"lost", "refused", "unmountable"}, said


# The disk under the file system.


@pytest.fixture(params=("ext4", "xfs"))
def mounted(request: pytest.FixtureRequest, directory: Path) -> Iterator[Disk]:
    """A file system on a disk that logs."""
    try:
        probe(request.param)
    except Unavailable as reason:
        pytest.skip(str(reason))
    with Disk(directory.parent / "disk", request.param, log=True) as disk:
        yield disk


@pytest.fixture
def write_synced(mounted: Disk) -> Iterator:
    """Writes a block of a file that was written before, as a commit does: O_DIRECT and RWF_DSYNC."""
    path = mounted.mount_point / "file"
    path.write_bytes(bytes(64 * BLOCK))
    os.sync()
    descriptor = os.open(path, os.O_RDWR | os.O_DIRECT)
    block = mmap.mmap(-1, BLOCK)
    yield lambda: os.pwritev(descriptor, [block], 0, os.RWF_DSYNC)
    os.close(descriptor)


def test_a_synced_write_has_reached_the_disk_and_was_flushed_when_it_returns(mounted, write_synced):
    for number in range(20):
        mounted.mark(b"before %d" % number)
        assert write_synced() == BLOCK
        mounted.mark(b"after %d" % number)
    log = EventLog(mounted.log_path)
    marks = [position for position, words in log.marks if words[0] in ("before", "after")]
    assert len(marks) == 40
    for begin, end in zip(marks[::2], marks[1::2], strict=True):
        kinds = [event.kind for event in log.events[begin:end] if event.kind not in (MARK, COMMAND)]
        assert kinds == [WRITE_BEGIN, WRITE_END, FLUSH_BEGIN, FLUSH_END]


FAULTS = [("write", "eio", EIO), ("flush", "eio", EIO), ("write", "enospc", ENOSPC)]


@pytest.mark.parametrize(("operation", "error", "number"), FAULTS)
def test_a_fault_reaches_the_writer_and_ends_when_it_should(mounted, write_synced, operation, error, number):
    mounted.fail(operation, error, nth=2)
    assert write_synced() == BLOCK
    with pytest.raises(OSError) as raised:
        write_synced()
    assert raised.value.errno == number
    assert write_synced() == BLOCK, "only the second one was to fail"
    mounted.fail(operation, error)
    for _ in range(2):
        with pytest.raises(OSError):
            write_synced()
    mounted.clear()
    assert write_synced() == BLOCK
    assert mounted.statistics()[{"write": "failed_writes", "flush": "failed_flushes"}[operation]] == 3


def test_a_stall_holds_a_write_until_it_ends(mounted, write_synced):
    mounted.stall()
    writer = threading.Thread(target=write_synced)
    writer.start()
    wait_until(lambda: mounted.statistics()["held"] == 1, "the write is held")
    assert writer.is_alive()
    mounted.go()
    writer.join(WAIT_SECONDS)
    assert not writer.is_alive()


# The model of what a cut leaves; these need nothing special.


class ModelDisk:
    """A disk of four blocks of zeros, and what happens to it."""

    def __init__(self, directory: Path) -> None:
        self.base, self.events, self.image = directory / "base", directory / "events", directory / "image"
        self.base.write_bytes(bytes(4 * BLOCK))
        self.log = b""

    def add(self, kind: int, operation: int, offset: int = 0, data: bytes = b"", error: int = 0) -> ModelDisk:
        self.log += struct.pack("<IiQQQII", kind, error, operation, offset, 0, len(data), 0) + data
        return self

    def write(self, operation: int, block: int, byte: bytes, error: int = 0) -> ModelDisk:
        return self.add(WRITE_BEGIN, operation, block * BLOCK, byte * BLOCK).add(WRITE_END, operation, error=error)

    def flush(self, operation: int, error: int = 0) -> ModelDisk:
        return self.add(FLUSH_BEGIN, operation).add(FLUSH_END, operation, error=error)

    def after(self, fate: str, seed: int = 0, position: int | None = None, lies_from: int | None = None) -> bytes:
        """The first byte of each block after a cut at the end, or at a position."""
        self.events.write_bytes(self.log)
        log = EventLog(self.events)
        cutter = Cutter(self.base, log, lies_from)
        cutter.write_image(Cut(len(log) if position is None else position, fate, seed), self.image)
        return self.image.read_bytes()[::BLOCK]


@pytest.fixture
def disk(directory: Path) -> ModelDisk:
    return ModelDisk(directory.parent)


def test_a_flush_covers_the_writes_that_ended_before_it_began(disk):
    disk.write(1, 0, b"a").flush(2).write(3, 1, b"b")
    assert disk.after("none") == b"a\0\0\0"
    assert disk.after("all") == b"ab\0\0"
    assert disk.after("none", position=3) == b"\0\0\0\0", "a flush that has not ended covers nothing"


def test_a_flush_does_not_cover_a_write_that_was_open_when_it_began(disk):
    disk.add(WRITE_BEGIN, 1, 0, b"a" * BLOCK).add(FLUSH_BEGIN, 2).add(WRITE_END, 1).add(FLUSH_END, 2)
    assert disk.after("none") == b"\0\0\0\0"
    assert disk.flush(3).after("none") == b"a\0\0\0"


def test_a_failed_flush_covers_nothing_and_a_failed_write_changes_nothing(disk):
    disk.write(1, 0, b"a").flush(2, error=5).write(3, 1, b"b", error=5)
    assert disk.after("none") == b"\0\0\0\0"
    assert disk.after("all") == b"a\0\0\0"


def test_the_later_of_two_writes_to_a_block_wins(disk):
    disk.write(1, 0, b"a").flush(2).write(3, 0, b"b").write(4, 0, b"c").add(COMMAND, 0, data=b"clear")
    assert disk.after("all") == b"c\0\0\0"
    assert disk.after("none") == b"a\0\0\0"
    assert {disk.after("some", seed) for seed in range(50)} == {b"a\0\0\0", b"b\0\0\0", b"c\0\0\0"}
    assert disk.flush(5).after("none") == b"c\0\0\0"


def test_a_disk_that_lies_keeps_only_what_was_flushed_before(disk):
    disk.write(1, 0, b"a").flush(2).write(3, 1, b"b").flush(4)
    assert disk.after("none", lies_from=4) == b"a\0\0\0"
    assert disk.after("none") == b"ab\0\0"


def test_a_torn_write_keeps_any_of_its_sectors_but_never_half_of_a_superblock():
    whole, none, begins, ends, gaps = set(), set(), set(), set(), set()
    for seed in range(2000):
        kept = {start // 512 for start, _ in torn_parts(random.Random(seed), BLOCK, BLOCK)}
        for group, is_member in (
            (whole, kept == set(range(8))),
            (none, not kept),
            (begins, 0 in kept and 7 not in kept),
            (ends, 0 not in kept and 7 in kept),
            (gaps, kept and kept != set(range(min(kept), max(kept) + 1))),
        ):
            if is_member:
                group.add(seed)
        superblock = {start // 512 for start, _ in torn_parts(random.Random(seed), 1024, 2048)} & {0, 1}
        assert superblock in (set(), {0, 1})
    assert all((whole, none, begins, ends, gaps))

"""Power cuts on a real file system (Tests/PowerCut/run), shortly; `make powercut` runs many more.

Skipped, with the reason, where there is no root, no /dev/fuse, no loop device or no mkfs.
"""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from server import BINARY, REPOSITORY

POWER_CUT = REPOSITORY / "Tests/PowerCut"
sys.path.insert(0, str(POWER_CUT))

from events import COMMAND, FLUSH_BEGIN, FLUSH_END, WRITE_BEGIN, WRITE_END, Cut, Cutter, EventLog, torn_parts  # noqa: E402

SEED = int(os.environ.get("APPENDLOG_POWERCUT_SEED", "20261123"))


def power_cuts(workspace: Path, *arguments: str) -> tuple[int, list[dict], str]:
    """Runs the power cuts; gives the exit status, a summary of each combination, and what was said."""
    summary = workspace / "powercut.json"
    summary.unlink(missing_ok=True)
    command = [POWER_CUT / "run", "--binary", BINARY, "--seed", str(SEED), "--summary", summary, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    said = f"exit status {ended.returncode}\n{ended.stdout}{ended.stderr}"
    print(said, f"repeat with APPENDLOG_POWERCUT_SEED={SEED}")
    if ended.returncode == 2 and "cannot run here:" in ended.stderr:
        pytest.skip(ended.stderr.strip().splitlines()[-1])
    return ended.returncode, json.loads(summary.read_text()) if summary.exists() else [], said


def test_no_promise_is_broken_by_a_power_cut_on_ext4(workspace):
    status, tallies, said = power_cuts(workspace, "--cuts", "60")
    assert status == 0, said
    combinations = {(tally["engine"], tally["mode"]) for tally in tallies}
    assert combinations == {(engine, mode) for engine in ("io_uring", "syscalls") for mode in ("direct", "buffered")}
    assert all(tally["cuts"] >= 60 for tally in tallies)


def test_no_promise_is_broken_by_a_power_cut_on_xfs(workspace):
    status, tallies, said = power_cuts(workspace, "--cuts", "40", "--fs", "xfs", "--engine", "io_uring", "--mode", "direct")
    assert status == 0, said
    assert [tally["file_system"] for tally in tallies] == ["xfs"]


def test_a_disk_that_ignores_flushes_is_seen_to_lose_what_was_promised(workspace):
    arguments = ("--cuts", "15", "--engine", "io_uring", "--mode", "direct", "--latency", "none")
    status, tallies, said = power_cuts(workspace, *arguments, "--lying-disk", "--first", "--keep", "0")
    assert status == 1, said
    kinds = {text.split()[0].rstrip(":") for tally in tallies for texts in tally["failures"] for text in texts}
    assert kinds & {"lost", "refused", "unmountable"}, said


# The model of the disk itself; these need nothing special.

BLOCK = 4096


class Disk:
    """A disk of four blocks of zeros, and what happens to it."""

    def __init__(self, directory: Path) -> None:
        self.base, self.events, self.image = directory / "base", directory / "events", directory / "image"
        self.base.write_bytes(bytes(4 * BLOCK))
        self.log = b""

    def add(self, kind: int, operation: int, offset: int = 0, data: bytes = b"", error: int = 0) -> Disk:
        self.log += struct.pack("<IiQQQII", kind, error, operation, offset, 0, len(data), 0) + data
        return self

    def write(self, operation: int, block: int, byte: bytes, error: int = 0) -> Disk:
        return self.add(WRITE_BEGIN, operation, block * BLOCK, byte * BLOCK).add(WRITE_END, operation, error=error)

    def flush(self, operation: int, error: int = 0) -> Disk:
        return self.add(FLUSH_BEGIN, operation).add(FLUSH_END, operation, error=error)

    def after(self, fate: str, seed: int = 0, position: int | None = None, lies_from: int | None = None) -> bytes:
        """The first byte of each block after a cut at the end, or at a position."""
        self.events.write_bytes(self.log)
        log = EventLog(self.events)
        cutter = Cutter(self.base, log, lies_from)
        cutter.write_image(Cut(len(log) if position is None else position, fate, seed), self.image)
        return self.image.read_bytes()[::BLOCK]


@pytest.fixture
def disk(directory: Path) -> Disk:
    return Disk(directory.parent)


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

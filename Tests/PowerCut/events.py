"""The event log of a fusedisk, and the disks that a power cut at a place of it can leave behind."""

from __future__ import annotations

import bisect
import mmap
import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

WRITE_BEGIN, WRITE_END, FLUSH_BEGIN, FLUSH_END, MARK, COMMAND = range(1, 7)

_HEADER = struct.Struct("<IiQQQII")

#: A write is torn at sectors of this size: the smallest that a disk has. But xfs relies on its blocks being written whole:
#: its recovery leaves a block alone whose first sector is new, and then refuses it for its checksum.
SECTOR_BYTES = {"ext4": 512, "xfs": 4096}

#: And ext4 on its superblock: these two sectors hold one checksum, and ext4 relies on their being written together.
SUPERBLOCK_SECTORS = (2, 3)

#: The disk is copied in pieces of this size; a piece that was never written is a hole.
CHUNK_BYTES = 16 << 10


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log. `start` and `length` say where its payload stands in the log file."""

    kind: int
    error: int
    operation: int
    offset: int
    nanoseconds: int
    start: int
    length: int


class EventLog:
    """A whole log file. A cut at `position` means: the first `position` events happened, the others did not."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.events = list(self._parse())

    def __len__(self) -> int:
        return len(self.events)

    def payload(self, event: Event) -> bytes:
        return self._bytes[event.start : event.start + event.length]

    def positions(self, *kinds: int) -> list[int]:
        """The places of all events of these kinds."""
        return [position for position, event in enumerate(self.events) if event.kind in kinds]

    @cached_property
    def marks(self) -> list[tuple[int, list[str]]]:
        """Every mark, as its place and its words."""
        return [(position, self.payload(self.events[position]).decode().split()) for position in self.positions(MARK)]

    def _parse(self) -> Iterator[Event]:
        at = 0
        while at < len(self._bytes):
            kind, error, operation, offset, nanoseconds, length, _ = _HEADER.unpack_from(self._bytes, at)
            at += _HEADER.size
            assert kind in range(1, 7) and at + length <= len(self._bytes), f"the event log is broken at byte {at}"
            yield Event(kind, error, operation, offset, nanoseconds, at, length)
            at += length


@dataclass
class Cut:
    """What the disk looks like after one cut. `image` is written by `Cutter.write_image`."""

    position: int
    #: What becomes of the writes that no flush covers: "none" and "all" are kept, "some", or "torn" at sectors.
    fate: str
    seed: int
    #: Writes that no flush covered, and how many of them were dropped or torn.
    uncertain: int = 0
    lost: int = 0


class Cutter:
    """Goes through a log from its begin on and writes disks as they can look after cuts at rising positions.

    A write is durable once a flush that began after the write had ended has ended itself, without an error. All other writes
    that began before the cut may have reached the disk or not, each by itself, and each of their sectors by itself.
    A write that was answered with an error changed nothing (fusedisk sees to that).

    From `lies_from` on flushes do nothing: so a disk would look that lies about its cache, to see that a loss is noticed.
    """

    def __init__(self, base: Path, log: EventLog, lies_from: int | None = None, file_system: str = "ext4") -> None:
        self._log = log
        self._sector_bytes = SECTOR_BYTES[file_system]
        self._lies_from = len(log) if lies_from is None else lies_from
        self._size = os.path.getsize(base)
        self._disk = mmap.mmap(-1, self._size)
        self._chunks: set[int] = set()
        self._position = 0
        #: Writes that are not durable yet: operation, event; in the order in which they began.
        self._pending: dict[int, Event] = {}
        #: Operations that have ended, and those of them that each open flush covers.
        self._ended: set[int] = set()
        self._flushes: dict[int, frozenset[int]] = {}
        self._load(base)

    def write_image(self, cut: Cut, path: Path) -> None:
        """Writes the disk after `cut` as a sparse file. The positions of the cuts of one Cutter must not go back."""
        self._advance(cut.position)
        with open(path, "wb", buffering=0) as file:
            file.truncate(self._size)
            for start, end in self._extents():
                os.pwrite(file.fileno(), memoryview(self._disk)[start:end], start)
            for offset, data in self._survivors(cut):
                os.pwrite(file.fileno(), data, offset)

    def _load(self, base: Path) -> None:
        with open(base, "rb") as file:
            at = 0
            while at < self._size:
                try:
                    at = os.lseek(file.fileno(), at, os.SEEK_DATA) // CHUNK_BYTES * CHUNK_BYTES
                except OSError:
                    return
                data = os.pread(file.fileno(), CHUNK_BYTES, at)
                if data.count(0) != len(data):
                    self._put(at, data)
                at += len(data)

    def _put(self, offset: int, data: bytes) -> None:
        self._disk[offset : offset + len(data)] = data
        self._chunks.update(range(offset // CHUNK_BYTES, (offset + len(data) - 1) // CHUNK_BYTES + 1))

    def _extents(self) -> Iterator[tuple[int, int]]:
        """The written parts of the disk, joined where they touch."""
        start = end = -1
        for chunk in sorted(self._chunks):
            if chunk != end:
                if end >= 0:
                    yield start * CHUNK_BYTES, end * CHUNK_BYTES
                start = chunk
            end = chunk + 1
        if end >= 0:
            yield start * CHUNK_BYTES, min(end * CHUNK_BYTES, self._size)

    def _advance(self, position: int) -> None:
        assert position >= self._position, "cuts must be made in the order of the log"
        for place in range(self._position, position):
            self._take(self._log.events[place], is_lying=place >= self._lies_from)
        self._position = position

    def _take(self, event: Event, is_lying: bool) -> None:
        if event.kind == WRITE_BEGIN:
            self._pending[event.operation] = event
        elif event.kind == WRITE_END and event.error == 0:
            self._ended.add(event.operation)
        elif event.kind == WRITE_END:
            del self._pending[event.operation]
        elif event.kind == FLUSH_BEGIN:
            self._flushes[event.operation] = frozenset(self._ended)
        elif event.kind == FLUSH_END:
            covered = self._flushes.pop(event.operation)
            if event.error == 0 and not is_lying:
                self._make_durable(covered)

    def _make_durable(self, operations: frozenset[int]) -> None:
        for operation in sorted(operations & self._ended):
            event = self._pending.pop(operation)
            self._put(event.offset, self._log.payload(event))
        self._ended -= operations

    def _survivors(self, cut: Cut) -> Iterator[tuple[int, bytes]]:
        """What reached the disk of the uncertain writes: places and bytes, by chance from the cut's seed."""
        chance = random.Random(cut.seed)
        share = chance.choice((0.1, 0.5, 0.9))
        cut.uncertain, cut.lost = len(self._pending), 0
        for event in self._pending.values():
            data = self._log.payload(event)
            if cut.fate == "all" or (cut.fate == "some" and chance.random() < share):
                yield event.offset, data
                continue
            cut.lost += 1
            if cut.fate == "torn":
                for start, end in torn_parts(chance, event.offset, len(data), self._sector_bytes):
                    yield event.offset + start, data[start:end]


def torn_parts(chance: random.Random, offset: int, length: int, sector_bytes: int = 512) -> list[tuple[int, int]]:
    """The parts of a torn write that are on the disk: its begin, its end, or any of its sectors."""
    sectors = -(-length // sector_bytes)
    at = chance.randint(0, sectors)
    kept = set(
        chance.choice((range(0, at), range(at, sectors), [sector for sector in range(sectors) if chance.random() < 0.5]))
    )
    superblock = {sector - offset // sector_bytes for sector in SUPERBLOCK_SECTORS}
    if sector_bytes == 512 and not superblock <= kept:
        kept -= superblock
    return [(sector * sector_bytes, min((sector + 1) * sector_bytes, length)) for sector in sorted(kept)]


def overtaken_writes(log: EventLog) -> list[int]:
    """The places before the ends of writes that were open while a whole flush passed: where something else became durable
    that may rely on them."""
    begun: dict[int, int] = {}
    flushes = log.positions(FLUSH_BEGIN, FLUSH_END)
    places = []
    for position, event in enumerate(log.events):
        if event.kind == WRITE_BEGIN:
            begun[event.operation] = position
        elif event.kind == WRITE_END:
            within = flushes[bisect.bisect(flushes, begun[event.operation]) : bisect.bisect(flushes, position)]
            operations = [log.events[place].operation for place in within]
            if len(set(operations)) < len(operations):
                places.append(position)
    return places


def choose_cuts(log: EventLog, count: int, chance: random.Random, first: int = 0) -> list[Cut]:
    """`count` cuts at different places from `first` on, in order: half of them right behind an acknowledgement, where a lie
    shows; the others where writes are open and anywhere."""
    anywhere = range(first, len(log) + 1)
    behind_marks = [position + 1 for position in log.positions(MARK) if position >= first]
    within_writes = [position for position in log.positions(WRITE_END, FLUSH_END) if position >= first]
    overtaken = [position for position in overtaken_writes(log) if position >= first]
    chosen: set[int] = set()
    count = min(count, len(anywhere) // 2)
    while len(chosen) < count:
        places = chance.choices((behind_marks, within_writes, overtaken, anywhere), (4, 2, 1, 1))[0]
        chosen.add(chance.choice(places or anywhere))
    fates = ("none", "all", "some", "torn")
    return [Cut(position, chance.choices(fates, (4, 1, 2, 3))[0], chance.getrandbits(32)) for position in sorted(chosen)]

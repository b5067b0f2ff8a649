"""The public library under power cuts: the program that writes with it (Writer), and the oracle of what it shows."""

from __future__ import annotations

import itertools
import json
import os
import random
import struct
import subprocess
import threading
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from blackbox import ConnectionEnded
from disk import MIB, Control, Disk
from episode import SEGMENT_BYTES, Episode, Outcome, mounted
from events import Cut
from violation import Violation

#: How long a writer may take for its bytes, and any other answer.
LOAD_SECONDS_MAX = 40.0

#: What Writer/Content.swift has, too: from that follow the bytes of every record.
POOL_BYTES = 128 << 10
SIZES = (0, 20, 100, 100, 300, 2_000, 2_000, 12_000)
LARGE_BYTES = 60_000
WRITERS = 4

#: Appends of one writer that may wait for their answers.
OUTSTANDING_MAX = 16


def mix(value: int) -> int:
    """The finalizer of SplitMix64."""
    word = (1 << 64) - 1
    mixed = (value + 0x9E37_79B9_7F4A_7C15) & word
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58_476D_1CE4_E5B9) & word
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D0_49BB_1331_11EB) & word
    return mixed ^ (mixed >> 31)


POOL = struct.pack(f"<{POOL_BYTES // 8}Q", *map(mix, range(POOL_BYTES // 8)))


@lru_cache(maxsize=20_000)
def contents(writer: int, number: int) -> tuple[bytes, ...]:
    """The records of one append."""

    def draw(index: int) -> int:
        return mix(writer << 40 | number << 8 | index)

    chosen = draw(255)
    count = 1 if chosen % 2 == 0 else 2 + (chosen >> 8) % 5
    records = []
    for index in range(count):
        drawn = draw(index)
        size = LARGE_BYTES if (drawn >> 56) % 64 == 0 else SIZES[drawn % len(SIZES)]
        start = (drawn >> 8) % (POOL_BYTES - size)
        records.append(b"%d/%d/%d/%d;" % (writer, number, index, count) + POOL[start : start + size])
    return tuple(records)


@dataclass
class Promised:
    """What was promised up to some moment."""

    #: The writer and the number of each append, by the position of its first record.
    appends: dict[int, tuple[int, int]] = field(default_factory=dict)
    #: The log begins there or behind, and ends there or behind.
    first_min: int = 0
    next_min: int = 0

    def take(self, words: list[str]) -> None:
        """Adds what a mark says."""
        numbers = [int(word) for word in words[1:]]
        if words[0] == "acknowledged":
            self.appends[numbers[2]] = (numbers[0], numbers[1])
        elif words[0] == "opened":
            self.first_min, self.next_min = max(self.first_min, numbers[0]), max(self.next_min, numbers[1])
        elif words[0] == "truncated":
            self.first_min = max(self.first_min, numbers[0])
        elif words[0] == "shown":
            self.next_min = max(self.next_min, numbers[0])


@dataclass
class LibraryPlan:
    """What an episode is made of; stands in episode.json."""

    seed: int
    engine: str
    mode: str
    file_system: str
    latency: str
    writer: str
    truncates: bool
    bytes_wanted: int = 4 * MIB
    #: Where the log ended when each life of a writer began, and what truncations were asked for.
    lives: list[int] = field(default_factory=list)
    truncations: list[int] = field(default_factory=list)
    #: The numbers of each writer that may be there are below these.
    numbers_end: dict[int, int] = field(default_factory=dict)
    inherited: Promised = field(default_factory=Promised)
    is_recovery: bool = False

    def command(self, kind: str, mount_point: Path, *rest: object) -> list[str]:
        return [self.writer, kind, str(mount_point / "data"), self.engine, self.mode, *map(str, rest)]


class LibraryEpisode(Episode):
    """As an episode of a server: a disk, what happened to it, and the plan."""

    plan: LibraryPlan

    @staticmethod
    def load(directory: Path) -> LibraryEpisode:
        values = json.loads((directory / "episode.json").read_text())
        promised = values["inherited"]
        appends = {int(position): tuple(names) for position, names in promised["appends"].items()}
        values["inherited"] = Promised(appends, promised["first_min"], promised["next_min"])
        values["numbers_end"] = {int(writer): end for writer, end in values["numbers_end"].items()}
        episode = LibraryEpisode(directory, LibraryPlan(**values))
        episode.read_log()
        return episode

    def told(self, position: int) -> Promised:
        """What was promised before a cut at `position`."""
        told = deepcopy(self.plan.inherited)
        for _, words in itertools.takewhile(lambda mark: mark[0] < position, self.log.marks):
            told.take(words)
        return told

    def second_life(self, cut: Cut, latency: str, bytes_wanted: int) -> LibraryPlan:
        plan = deepcopy(self.plan)
        return replace(
            plan, latency=latency, bytes_wanted=bytes_wanted, inherited=self.told(cut.position), is_recovery=True
        )

    @property
    def recovered_at(self) -> int:
        return next(position for position, words in self.log.marks if words[0] == "opened")

    def check(self, cut: Cut, image: Path, mount_point: Path) -> Outcome:
        promised = self.told(cut.position)
        outcome = Outcome(cut, [], promises=len(promised.appends))
        with mounted(self.plan.file_system, image, mount_point, outcome) as is_mounted:
            if is_mounted:
                shown, outcome.violations = look(self.plan, mount_point, promised)
                outcome.requests_found = outcome.operations = len(shown.appends)
                outcome.trimmed = int(shown.first > 0)
        return outcome

    def _live(self, disk: Disk) -> list[Violation]:
        """In every second episode the writer is killed once, and another goes on, with power on."""
        plan = self.plan
        promised = deepcopy(plan.inherited)
        chance = random.Random(plan.seed)
        kills = chance.random() < 0.5
        try:
            for is_killed in (True, False) if kills else (False,):
                Life(disk, plan, promised).run(plan.bytes_wanted // (1 + kills), is_killed)
                _, violations = look(plan, disk.mount_point, promised)
                if violations:
                    return violations
            names = [int(path.stem) for path in (disk.mount_point / "data/wal").glob("*.seg")]
            self.segments = max(names) // SEGMENT_BYTES + 1
            self.removed = self.segments - len(names)
            self.checkpoints = len(list((disk.mount_point / "data/checkpoint").glob("*.ckpt")))
        except (AssertionError, OSError, ConnectionEnded, subprocess.TimeoutExpired) as failure:
            return [Violation("refused", "", 0, f"under load: {type(failure).__name__}: {failure}")]
        return []


class Life:
    """One process of the writer, from its start to its end."""

    def __init__(self, disk: Disk, plan: LibraryPlan, promised: Promised) -> None:
        self._disk = disk
        self._plan = plan
        self._promised = promised

    def run(self, bytes_wanted: int, is_killed: bool) -> None:
        """Marks in the disk's log what the writer says, until it was acknowledged enough; then it is killed or stopped."""
        kind = "truncates" if self._plan.truncates else "keeps"
        command = self._plan.command("write", self._disk.mount_point, len(self._plan.lives), bytes_wanted, kind)
        control = self._disk.connect()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            timer = threading.Timer(LOAD_SECONDS_MAX, process.kill)
            timer.start()
            try:
                last = self._follow(process, control, is_killed)
            finally:
                timer.cancel()
                process.kill()
        # Answered behind all the marks: they are in the log.
        control.command("statistics")
        control.close()
        assert last == ("enough" if is_killed else "stopped"), f"the writer ended behind {last!r}"

    def _follow(self, process: subprocess.Popen, control: Control, is_killed: bool) -> str:
        """Gives the last thing that it said: `stopped`, or `enough` if it was killed behind that, or why it failed."""
        last = "nothing"
        for line in process.stdout:
            words = line.decode().split()
            if words[0] in ("enough", "stopped", "failed"):
                last = line.decode().strip()
                if words[0] == "enough":
                    process.kill() if is_killed else process.stdin.close()
            elif line.endswith(b"\n"):
                self._take(words)
                if words[0] != "truncating":
                    control.mark(line.strip())
        return last

    def _take(self, words: list[str]) -> None:
        plan = self._plan
        self._promised.take(words)
        if words[0] == "opened":
            begin = len(plan.lives) * WRITERS
            plan.numbers_end |= dict.fromkeys(range(begin, begin + WRITERS), OUTSTANDING_MAX)
            plan.lives.append(int(words[2]))
        elif words[0] == "truncating":
            plan.truncations.append(int(words[1]))
        elif words[0] == "acknowledged":
            plan.numbers_end[int(words[1])] = int(words[2]) + 1 + OUTSTANDING_MAX


@dataclass
class Shown:
    """What a log has: where it begins and ends, its records with their positions, and the appends that begin there."""

    first: int = 0
    next: int = 0
    records: list[tuple[int, bytes]] = field(default_factory=list)
    appends: dict[int, tuple[int, int]] = field(default_factory=dict)


def look(plan: LibraryPlan, mount_point: Path, promised: Promised) -> tuple[Shown, list[Violation]]:
    """Opens the log, reads it whole, and compares."""
    command = plan.command("verify", mount_point)
    ended = subprocess.run(command, capture_output=True, timeout=LOAD_SECONDS_MAX, check=False)
    if ended.returncode != 0:
        said = (ended.stdout[-500:] + ended.stderr[-500:]).decode(errors="replace")
        return Shown(), [Violation("refused", "", 0, f"exit status {ended.returncode}: {said}")]
    head, _, rest = ended.stdout.partition(b"\n")
    shown = Shown(*map(int, head.split()[1:]))
    while rest:
        position, length = struct.unpack_from("<QI", rest)
        shown.records.append((position, rest[12 : 12 + length]))
        rest = memoryview(rest)[12 + length :]
    shown.records = [(position, bytes(record)) for position, record in shown.records]
    violation = check_ends(plan, promised, shown) or check_records(plan, shown) or check_promises(promised, shown)
    return shown, [violation] if violation else []


def check_ends(plan: LibraryPlan, promised: Promised, shown: Shown) -> Violation | None:
    if shown.first < promised.first_min or shown.next < promised.next_min:
        text = f"it was shown to begin at {promised.first_min} and go to {promised.next_min}"
        return Violation("lost", "log", shown.next, f"{text}, and has {shown.first} to {shown.next}")
    if shown.first not in (0, *plan.truncations):
        return Violation("lost", "log", shown.first, "it begins here, where nobody truncated it")
    return None


def check_records(plan: LibraryPlan, shown: Shown) -> Violation | None:
    """Every record lies behind the one before, is what was sent, follows in its writer's order, and its group is whole."""
    place = shown.first
    #: What each writer is to go on with, and the rest of the group that is open.
    expected: dict[int, tuple[int, int]] = {}
    group: tuple[int, int, int] | None = None
    for position, record in shown.records:
        name = name_of(record)
        if position != place or name is None:
            return Violation("altered", "log", position, f"no record is to be here but at {place}: {record[:60]!r}")
        writer, number, index, count = name
        if number >= plan.numbers_end.get(writer, 0) or not is_of_life(plan, writer, position):
            return Violation("invented", "log", position, f"nobody appended this here: {record[:60]!r}")
        if record != contents(writer, number)[index]:
            return Violation("altered", "log", position, f"not as it was sent: {record[:60]!r}")
        # What comes first of a writer may follow on something that was truncated; a group only at the very beginning.
        begins = (number, index) == (0, 0) or (shown.first > 0 and (index == 0 or position == shown.first))
        if (number, index) != expected[writer] if writer in expected else not begins:
            return Violation("lost", "log", position, f"{expected.get(writer)} was to follow: {record[:60]!r}")
        if group not in (None, (writer, number, index)):
            return Violation("lost", "log", position, f"the group goes on with {group}: {record[:60]!r}")
        group = (writer, number, index + 1) if index + 1 < count else None
        expected[writer] = (number, index + 1) if group else (number + 1, 0)
        if index == 0:
            shown.appends[position] = (writer, number)
        place += 4 + len(record)
    if group is not None or place != shown.next:
        return Violation("lost", "log", place, f"the log is to end at {shown.next}, the open group is {group}")
    return None


def check_promises(promised: Promised, shown: Shown) -> Violation | None:
    for position, names in sorted(promised.appends.items()):
        if position >= shown.first and shown.appends.get(position) != names:
            return Violation("lost", "log", position, f"{names} was promised, there is {shown.appends.get(position)}")
    return None


def name_of(record: bytes) -> tuple[int, int, int, int] | None:
    """Writer, number, index and count of a record of ours."""
    words = record[:60].partition(b";")[0].split(b"/")
    if len(words) != 4 or not all(word.isdigit() for word in words):
        return None
    writer, number, index, count = map(int, words)
    return (writer, number, index, count) if count == len(contents(writer, number)) and index < count else None


def is_of_life(plan: LibraryPlan, writer: int, position: int) -> bool:
    """A life appends behind everything that it found, and nothing of it is found behind the end that a later one found."""
    life = writer // WRITERS
    return life < len(plan.lives) and plan.lives[life] <= position and all(position < end for end in plan.lives[life + 1 :])


def writer_binary(server: Path) -> Path:
    """The program stands beside the server."""
    path = server.resolve().parent / "wal-power-writer"
    assert os.access(path, os.X_OK), f"no {path}: run 'swift build'"
    return path

"""One life of a server on a logging disk, and the power cuts that it may have had."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import kernel
from blackbox import ConnectionEnded, Server, StartFailed, get_json
from check import Expectation
from disk import MIB, MOUNT_OPTIONS, Disk, make_image
from events import Cut, EventLog
from load import Load
from owner import Answers, OwnedExpectation
from told import Told
from violation import Violation

#: Small segments turn often, and small limits keep the start of a server quick.
SEGMENT_BYTES = MIB
SERVER_FLAGS = (
    "--segment-bytes", str(SEGMENT_BYTES), "--batch-bytes-max", "524288", "--request-body-bytes-max", "262144",
    "--record-bytes-max", "262144", "--records-per-request-max", "1000",
)  # fmt: skip

#: What the disk does to every write and every flush, in milliseconds and percent.
LATENCIES = {
    "none": {},
    "tail": {"tail_percent": 5, "tail_milliseconds": 20},
    "slow": {"milliseconds": 2, "tail_percent": 5, "tail_milliseconds": 20},
}

LOAD_SECONDS_MAX = 20.0


@dataclass
class Plan:
    """What an episode is made of; stands in episode.json."""

    seed: int
    engine: str
    mode: str
    file_system: str
    latency: str
    #: Numbers of the requests sent in it, and the bytes after which it ends.
    first_number: int = 0
    next_number: int = 0
    bytes_wanted: int = 5 * MIB
    #: It takes so long at least: segments are removed a second or two after they have become useless.
    seconds_min: float = 0
    #: What was promised before it began.
    inherited: Told = field(default_factory=Told)
    #: What each recovery in it showed: promised from the mark `settled INDEX` on.
    settlements: list[Told] = field(default_factory=list)
    #: Its disk is what a cut left, and it begins with a recovery.
    is_recovery: bool = False
    #: The answers to the owners' operations, and the offsets before which shared logs were trimmed; None: no log is.
    answers: Answers = field(default_factory=dict)
    trims: dict[str, list[int]] | None = None

    def server(self, mount_point: Path) -> Server:
        return Server(mount_point / "data", *SERVER_FLAGS, "--engine", self.engine, "--mode", self.mode)


class Episode:
    """A directory with the disk as it was before (base.image), what happened to it (events.log), and the plan."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory = directory
        self.plan = plan
        self.base = directory / "base.image"
        self.segments = self.removed = self.packed = self.checkpoints = self.repeats = 0
        self.statistics: dict[str, int] = {}
        self.log: EventLog

    @staticmethod
    def load(directory: Path) -> Episode:
        """An episode that `save` kept."""
        values = json.loads((directory / "episode.json").read_text())
        values["inherited"] = Told(**values["inherited"])
        values["settlements"] = [Told(**told) for told in values["settlements"]]
        for told in [values["inherited"], *values["settlements"]]:
            told.promises = [tuple(promise) for promise in told.promises]
        episode = Episode(directory, Plan(**values))
        episode.read_log()
        return episode

    def save(self, target: Path) -> None:
        """Keeps what a replay needs."""
        target.mkdir(parents=True)
        subprocess.run(["cp", "--sparse=always", self.base, target / "base.image"], check=True)
        shutil.copy(self.directory / "events.log", target)
        (target / "episode.json").write_text(json.dumps(asdict(self.plan)))

    def record(self, make_base: bool = True) -> list[Violation]:
        """Runs the server under load on a disk that logs. A recovery that shows something wrong is a violation already."""
        plan = self.plan
        self.directory.mkdir(parents=True, exist_ok=True)
        if make_base:
            make_image(self.base, plan.file_system, 64 * MIB)
        live = self.directory / "live.image"
        subprocess.run(["cp", "--sparse=always", self.base, live], check=True)
        with Disk(self.directory, plan.file_system, log=True, image=live) as disk:
            if LATENCIES[plan.latency]:
                disk.slow("both", **LATENCIES[plan.latency])
            violations = self._live(disk)
            self.statistics = disk.statistics()
        live.unlink()
        self.read_log()
        return violations

    def read_log(self) -> None:
        self.log = EventLog(self.directory / "events.log")

    def told(self, position: int) -> Told:
        """What was promised before a cut at `position`."""
        told = deepcopy(self.plan.inherited)
        for place, words in self.log.marks:
            if place >= position:
                break
            if words[0] == "settled":
                told = deepcopy(self.plan.settlements[int(words[1])])
            else:
                told.take(words)
        return replace(told, promises=sorted(set(told.promises)))

    def answers(self, told: Told) -> Answers:
        """The answers to those operations that are done by then."""
        known = {f"{owner}/{index}" for owner, done in enumerate(told.owned) for index in range(done)}
        return {key: answer for key, answer in self.plan.answers.items() if key in known}

    def expectation(self, told: Told) -> Expectation:
        """What a server must and may show of which that was promised."""
        plan = self.plan
        answers = self.answers(told)
        is_trimming = plan.trims is not None
        owners = [OwnedExpectation(plan.seed, owner, is_trimming, done, answers) for owner, done in enumerate(told.owned)]
        return Expectation(plan.seed, plan.next_number, told, plan.trims, owners)

    def second_life(self, cut: Cut, latency: str, bytes_wanted: int) -> Plan:
        """The plan of a life on the disk that a cut left."""
        told = self.told(cut.position)
        return replace(
            self.plan,
            latency=latency,
            first_number=self.plan.next_number,
            bytes_wanted=bytes_wanted,
            seconds_min=0,
            inherited=told,
            settlements=[],
            answers=self.answers(told),
            trims=deepcopy(self.plan.trims),
            is_recovery=True,
        )

    @property
    def recovered_at(self) -> int:
        """The place where a second life's recovery has been looked at."""
        return next(position for position, words in self.log.marks if words == ["settled", "0"])

    def check(self, cut: Cut, image: Path, mount_point: Path) -> Outcome:
        """Mounts the disk that a cut left, starts the server on it and checks what it shows; ends it, by a stop or by a kill."""
        expectation = self.expectation(self.told(cut.position))
        outcome = Outcome(cut, [], promises=len(expectation.told.promises))
        with mounted(self.plan.file_system, image, mount_point, outcome) as is_mounted:
            if not is_mounted:
                return outcome
            outcome.violations = _serve_and_check(self.plan.server(mount_point), expectation, cut)
        outcome.requests_found = len(expectation.found)
        outcome.operations = sum(owner.shown for owner in expectation.owners)
        outcome.repeats = expectation.repeats
        outcome.trimmed = sum(shown.first for shown in expectation.shown.values())
        return outcome

    def _live(self, disk: Disk) -> list[Violation]:
        """The server's life: in every second episode it is killed under load once and started again, with power on."""
        plan = self.plan
        server = plan.server(disk.mount_point)
        chance = random.Random(plan.seed)
        told = plan.inherited
        plan.next_number = plan.first_number
        try:
            server.start()
            removed_before = self._look_at(disk.mount_point / "data")
            if plan.is_recovery:
                told, violations = self._recover(disk, server, told)
                if violations:
                    return violations
            if chance.random() < 0.5:
                told = self._drive(disk, server, told, plan.bytes_wanted // 2, is_killed=True)
                server.start()
                told, violations = self._recover(disk, server, told)
                if violations:
                    return violations
                self._drive(disk, server, told, plan.bytes_wanted // 2)
            else:
                self._drive(disk, server, told, plan.bytes_wanted)
            self.removed = self._look_at(disk.mount_point / "data") - removed_before
            with server.connect() as connection:
                self.packed = get_json(connection, "/v1/stats")["wal"]["packed_segments"]
            if chance.random() < 0.5:
                server.stop()
            return []
        except (AssertionError, OSError, ConnectionEnded, StartFailed) as failure:
            return [Violation("refused", "", 0, f"under load: {type(failure).__name__}: {failure}\n{server.log}")]
        finally:
            server.kill()

    def _recover(self, disk: Disk, server: Server, told: Told) -> tuple[Told, list[Violation]]:
        """Checks what a start shows, and from then on takes all of it for promised, and what is missing for gone."""
        expectation = self.expectation(told)
        with server.connect() as connection:
            violations = expectation.check(connection)
        settled = Told(
            sorted({*told.promises, *expectation.found}),
            self.plan.next_number,
            [owner.shown for owner in expectation.owners],
            {log: shown.first for log, shown in expectation.shown.items()},
            {log: shown.next for log, shown in expectation.shown.items()},
            told.is_retained,
            deepcopy(told.seen),
            dict(told.gone),
        )
        disk.mark(b"settled %d" % len(self.plan.settlements))
        self.plan.settlements.append(settled)
        return settled, violations

    def _drive(self, disk: Disk, server: Server, told: Told, bytes_wanted: int, is_killed: bool = False) -> Told:
        """Puts load on the server, to its death or not. Gives what was promised so far."""
        plan = self.plan
        load = Load(
            disk, server, plan.seed, plan.next_number, bytes_wanted, plan.seconds_min * bytes_wanted / plan.bytes_wanted,
            list(told.owned), plan.answers, plan.trims, is_killed,
        )  # fmt: skip
        # The numbers stay known if the load fails: its disk may still be looked at.
        try:
            load.run(LOAD_SECONDS_MAX)
        finally:
            plan.next_number = load.next_number
        self.repeats += load.repeats
        after = deepcopy(told)
        for words in load.marks:
            after.take(words)
        return after

    def _look_at(self, data: Path) -> int:
        """Counts segments and checkpoints; gives how many segments are gone again."""
        names = [path.stem for path in (data / "wal").glob("*.seg")]
        self.segments = max(map(int, names)) // SEGMENT_BYTES + 1
        self.checkpoints = len(list((data / "checkpoint").glob("*.ckpt")))
        return self.segments - len(names)


@dataclass
class Outcome:
    """What one cut came to."""

    cut: Cut
    violations: list[Violation]
    promises: int = 0
    requests_found: int = 0
    #: Operations of owners that are there, requests that were answered again, records that were trimmed.
    operations: int = 0
    repeats: int = 0
    trimmed: int = 0


@contextmanager
def mounted(file_system: str, image: Path, mount_point: Path, outcome: Outcome) -> Iterator[bool]:
    """Mounts the disk that a cut left; False, with the violation in the outcome, if that is impossible."""
    loop = kernel.Loop(image)
    try:
        try:
            kernel.mount(loop.path, mount_point, file_system, options=MOUNT_OPTIONS[file_system])
        except OSError as error:
            outcome.violations = [Violation("unmountable", "", 0, str(error))]
            yield False
            return
        try:
            yield True
        finally:
            kernel.unmount(mount_point)
    finally:
        loop.close()


def _serve_and_check(server: Server, expectation: Expectation, cut: Cut) -> list[Violation]:
    try:
        server.start()
        with server.connect() as connection:
            violations = expectation.check(connection) or expectation.check_repeats(connection, cut.seed)
        if cut.seed % 2 and not violations:
            server.stop()
        return violations
    except (AssertionError, OSError, ConnectionEnded, StartFailed) as failure:
        return [Violation("refused", "", 0, f"{type(failure).__name__}: {failure}\n{server.log}")]
    finally:
        server.kill()


def scratch_directory() -> Path:
    """Where disks live while they are used: memory, if there is room for them."""
    memory = Path("/dev/shm")
    if memory.is_dir():
        room = os.statvfs(memory)
        if room.f_bavail * room.f_frsize > 2 << 30:
            return memory
    return Path(os.environ.get("TMPDIR", "/var/tmp"))

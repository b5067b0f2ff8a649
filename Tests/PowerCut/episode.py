"""One life of a server on a logging disk, and the power cuts that it may have had."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path

import kernel
from blackbox import ConnectionEnded, Server, StartFailed
from check import Expectation, Violation
from disk import MIB, MOUNT_OPTIONS, Disk, make_image
from events import Cut, EventLog
from load import Load, Promise, promise_of

#: Small segments turn often, and small limits keep the start of a server quick.
SERVER_FLAGS = (
    "--segment-bytes", "1MiB", "--batch-bytes-max", "524288", "--request-body-bytes-max", "262144",
    "--record-bytes-max", "262144", "--records-per-request-max", "1000",
)  # fmt: skip

#: What the disk does to every write and every flush, in milliseconds and percent.
LATENCIES = {
    "none": {},
    "tail": {"tail_percent": 5, "tail_milliseconds": 20},
    "slow": {"milliseconds": 2, "tail_percent": 5, "tail_milliseconds": 20},
}

CLIENTS, READERS = 6, 1
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
    #: Promises from before it began. Not empty: its disk is what a cut left, and it begins with a recovery.
    inherited: list[Promise] = field(default_factory=list)
    #: What each recovery in it showed, and the numbers that were sent before: promises from the mark `settled INDEX` on.
    settlements: list[tuple[int, list[Promise]]] = field(default_factory=list)
    is_recovery: bool = False

    def server(self, mount_point: Path) -> Server:
        return Server(mount_point / "data", *SERVER_FLAGS, "--engine", self.engine, "--mode", self.mode)


class Episode:
    """A directory with the disk as it was before (base.image), what happened to it (events.log), and the plan."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory = directory
        self.plan = plan
        self.base = directory / "base.image"
        self.segments = self.checkpoints = 0
        self.statistics: dict[str, int] = {}
        self.log: EventLog

    @staticmethod
    def load(directory: Path) -> Episode:
        """An episode that `save` kept."""
        values = json.loads((directory / "episode.json").read_text())
        values["inherited"] = [tuple(promise) for promise in values["inherited"]]
        values["settlements"] = [(end, [tuple(promise) for promise in shown]) for end, shown in values["settlements"]]
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

    def expectation(self, position: int) -> Expectation:
        """What a server must and may show after a cut at `position`."""
        plan = self.plan
        promises, settled_end = set(plan.inherited), 0
        for place, words in self.log.marks:
            if place >= position:
                break
            promise = promise_of(words)
            if promise is not None:
                promises.add(promise)
            elif words[0] == "settled":
                settled_end, shown = plan.settlements[int(words[1])]
                promises.update(shown)
        return Expectation(plan.seed, plan.next_number, sorted(promises), settled_end)

    def _live(self, disk: Disk) -> list[Violation]:
        """The server's life: in every second episode it is killed under load once and started again, with power on."""
        plan = self.plan
        server = plan.server(disk.mount_point)
        chance = random.Random(plan.seed)
        promises = plan.inherited
        plan.next_number = plan.first_number
        try:
            server.start()
            if plan.is_recovery and (violations := self._recover(disk, server, promises)):
                return violations
            if chance.random() < 0.5:
                shown = plan.settlements[-1][1] if plan.settlements else []
                promises = shown + self._drive(disk, server, plan.bytes_wanted // 2, is_killed=True)
                server.start()
                if violations := self._recover(disk, server, promises):
                    return violations
                self._drive(disk, server, plan.bytes_wanted // 2)
            else:
                self._drive(disk, server, plan.bytes_wanted)
            self._look_at(disk.mount_point / "data")
            if chance.random() < 0.5:
                server.stop()
            return []
        except (AssertionError, OSError, ConnectionEnded, StartFailed) as failure:
            return [Violation("refused", "", 0, f"under load: {type(failure).__name__}: {failure}\n{server.log}")]
        finally:
            server.kill()

    def _recover(self, disk: Disk, server: Server, promises: list[Promise]) -> list[Violation]:
        """Checks what a start shows, and from then on takes all of it for promised, and what is missing for gone."""
        settled_end = self.plan.settlements[-1][0] if self.plan.settlements else 0
        expectation = Expectation(self.plan.seed, self.plan.next_number, promises, settled_end)
        with server.connect() as connection:
            violations = expectation.check(connection)
        disk.mark(b"settled %d" % len(self.plan.settlements))
        self.plan.settlements.append((self.plan.next_number, expectation.found))
        return violations

    def _drive(self, disk: Disk, server: Server, bytes_wanted: int, is_killed: bool = False) -> list[Promise]:
        """Puts load on the server, to its death or not. Gives what was promised meanwhile."""
        plan = self.plan
        load = Load(disk, server, plan.seed, plan.next_number, bytes_wanted, is_killed=is_killed)
        # The numbers stay known if the load fails: its disk may still be looked at.
        try:
            load.run(CLIENTS, READERS, LOAD_SECONDS_MAX)
        finally:
            plan.next_number = load.next_number
        return load.promises

    def _look_at(self, data: Path) -> None:
        self.segments = len(list((data / "wal").glob("*.seg")))
        self.checkpoints = len(list((data / "checkpoint").glob("*.ckpt")))


@dataclass
class Outcome:
    """What one cut came to."""

    cut: Cut
    violations: list[Violation]
    promises: int = 0
    requests_found: int = 0


def mounted_check(episode: Episode, cut: Cut, image: Path, mount_point: Path) -> Outcome:
    """Mounts the disk that a cut left, starts the server on it and checks what it shows; ends it, by a stop or by a kill."""
    expectation = episode.expectation(cut.position)
    outcome = Outcome(cut, [], promises=len(expectation.promises))
    loop = kernel.Loop(image)
    try:
        try:
            file_system = episode.plan.file_system
            kernel.mount(loop.path, mount_point, file_system, options=MOUNT_OPTIONS[file_system])
        except OSError as error:
            outcome.violations = [Violation("unmountable", "", 0, str(error))]
            return outcome
        try:
            outcome.violations = _serve_and_check(episode.plan.server(mount_point), expectation, cut)
        finally:
            kernel.unmount(mount_point)
    finally:
        loop.close()
    outcome.requests_found = len(expectation.found)
    return outcome


def _serve_and_check(server: Server, expectation: Expectation, cut: Cut) -> list[Violation]:
    try:
        server.start()
        with server.connect() as connection:
            violations = expectation.check(connection)
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

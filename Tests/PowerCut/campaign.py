"""Many cuts of one combination of engine, mode and file system; and what makes their result believable."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from blackbox import REPOSITORY
from episode import Episode, Outcome, Plan, scratch_directory
from events import Cut, Cutter, choose_cuts
from library import LibraryEpisode, LibraryPlan, writer_binary
from shared import LOGS

#: Cuts of one episode; more episodes are recorded for more cuts.
CUTS_PER_EPISODE = 100

#: One cut in so many is followed by a second life, of which these many cuts are made (some of them in the recovery).
SECOND_LIFE_EVERY = 15
SECOND_LIFE_CUTS = 3
SECOND_LIFE_BYTES = 400_000

#: Of so many episodes those in which logs are trimmed, so that segments are removed; in the others nothing ever goes.
TRIMMING_CYCLE, TRIMMING_NUMBERS = 5, (0, 1, 3)
TRIMMING_BYTES = 10 << 20

#: How long such an episode takes at least, but in short campaigns: a removal needs two checkpoints, half a second apart.
TRIMMING_SECONDS = 5.0

FAILURES = REPOSITORY / ".build/powercut/failures"


class Unproven(Exception):
    """The run saw too little to prove anything."""


@dataclass
class Failure:
    """A violation with the command that makes it again. No command: it happened under load, before any cut."""

    cut: Cut | None
    violations: list
    command: str


@dataclass
class Tally:
    """What a campaign did and found."""

    engine: str
    mode: str
    file_system: str
    cuts: int = 0
    cuts_in_second_lives: int = 0
    cuts_with_losses: int = 0
    writes_lost: int = 0
    episodes: int = 0
    acknowledgements: int = 0
    promises_checked: int = 0
    requests_found: int = 0
    flushes: int = 0
    operations_found: int = 0
    repeats: int = 0
    records_trimmed: int = 0
    segments: int = 0
    segments_removed: int = 0
    segments_packed: int = 0
    checkpoints: int = 0
    seconds: float = 0
    fates: Counter = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.engine:9} {self.mode:8} {self.file_system:4}  {self.cuts} cuts"
            f" ({self.cuts_in_second_lives} in second lives) of {self.episodes} episodes,"
            f" {self.cuts_with_losses} lost open writes, {self.acknowledgements} acknowledgements,"
            f" {self.promises_checked} promises checked, {self.operations_found} operations found, {self.repeats} repeats,"
            f" {self.records_trimmed} records trimmed, {self.segments} segments, {self.segments_removed} of them removed,"
            f" {self.segments_packed} packed,"
            f" {self.checkpoints} checkpoints,"
            f" {self.seconds:.0f} s: {len(self.failures)} with violations"
        )

    def summary(self) -> dict:
        """For a file: the figures, and the violations as text."""
        values = {name: value for name, value in vars(self).items() if name != "failures"}
        values["failures"] = [[str(violation) for violation in failure.violations] for failure in self.failures]
        return values


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    cuts: int
    latencies: tuple[str, ...]
    seed: int
    #: Cuts that are checked at a time.
    jobs: int
    #: The command that replays, but for its arguments.
    command: str
    #: Episodes with violations that are kept for a replay.
    kept_max: int
    #: Ends at the first violation.
    ends_early: bool
    #: The rebuilt disks ignored every flush from the middle of each episode on.
    is_disk_lying: bool


class Campaign:
    """`run` makes `cuts` cuts and gives the tally; raises Unproven if that proves nothing."""

    def __init__(self, tally: Tally, settings: Settings) -> None:
        self.tally = tally
        self.settings = settings
        self._chance = random.Random(f"{settings.seed}/{tally.engine}/{tally.mode}/{tally.file_system}")
        self._mutex = threading.Lock()
        self._kept: dict[Path, Path] = {}

    def run(self) -> Tally:
        begin = time.monotonic()
        episodes = max(len(self.settings.latencies), -(-self.settings.cuts // CUTS_PER_EPISODE))
        for number in range(episodes):
            wanted = (self.settings.cuts - self.tally.cuts) // (episodes - number)
            latency = self.settings.latencies[number % len(self.settings.latencies)]
            with tempfile.TemporaryDirectory(prefix="powercut-", dir=scratch_directory()) as directory:
                self._run_episode(Path(directory), number, latency, wanted)
            if self._is_over():
                break
        self.tally.seconds = time.monotonic() - begin
        if not self.tally.failures:
            self._believe()
        return self.tally

    def _is_over(self) -> bool:
        """A server that fails under load, or a first violation if one is enough."""
        failures = self.tally.failures
        return bool(failures) and (self.settings.ends_early or failures[-1].cut is None)

    def _run_episode(self, directory: Path, number: int, latency: str, wanted: int) -> None:
        tally = self.tally
        episode = self._make_episode(directory / "first", number, latency)
        violations = episode.record()
        self._count_episode(episode)
        if violations:
            self._fail(episode, None, violations)
            return
        cuts = choose_cuts(episode.log, wanted - wanted // SECOND_LIFE_EVERY * SECOND_LIFE_CUTS, self._chance)
        second_lives = set(self._chance.sample(range(len(cuts)), wanted // SECOND_LIFE_EVERY))
        self._make_cuts(episode, [(cut, number in second_lives) for number, cut in enumerate(cuts)], directory)
        cuts_done = f"{tally.cuts}/{self.settings.cuts} cuts"
        say(f"  {latency}: {len(episode.log)} events, {cuts_done}, {len(tally.failures)} with violations")

    def _make_episode(self, directory: Path, number: int, latency: str) -> Episode:
        tally = self.tally
        plan = Plan(self._chance.getrandbits(32), tally.engine, tally.mode, tally.file_system, latency)
        if number % TRIMMING_CYCLE in TRIMMING_NUMBERS:
            plan.trims = {log: [] for log in LOGS}
            plan.bytes_wanted = TRIMMING_BYTES
            plan.seconds_min = TRIMMING_SECONDS if self.settings.cuts >= CUTS_PER_EPISODE else 0
        return Episode(directory, plan)

    def _count_episode(self, episode: Episode) -> None:
        tally = self.tally
        acknowledged = sum(words[0] in ("acknowledged", "did") for _, words in episode.log.marks)
        with self._mutex:
            tally.episodes += not episode.plan.is_recovery
            tally.acknowledgements += acknowledged
            tally.flushes += episode.statistics["flushes"]
            tally.segments += episode.segments
            tally.segments_removed += episode.removed
            tally.segments_packed += episode.packed
            tally.repeats += episode.repeats
            tally.checkpoints += episode.checkpoints

    def _make_cuts(self, episode: Episode, cuts: list[tuple[Cut, bool]], directory: Path) -> None:
        """Several workers: each takes the next cut, writes its disk and checks it."""
        lies_from = len(episode.log) // 2 if self.settings.is_disk_lying else None
        cutter = Cutter(episode.base, episode.log, lies_from, episode.plan.file_system)
        waiting = iter(cuts)
        faults: list[BaseException] = []

        def work(place: Path) -> None:
            try:
                while not (faults or self._is_over()) and self._make_next_cut(episode, cutter, waiting, place):
                    pass
            except BaseException as fault:  # noqa: BLE001 - raised below
                faults.append(fault)

        places = [directory / f"worker-{number}" for number in range(self.settings.jobs)]
        workers = [threading.Thread(target=work, args=(place,)) for place in places]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if faults:
            raise faults[0]

    def _make_next_cut(self, episode: Episode, cutter: Cutter, waiting: Iterator[tuple[Cut, bool]], place: Path) -> bool:
        mount_point, image = place / "mnt", place / "disk.image"
        mount_point.mkdir(parents=True, exist_ok=True)
        with self._mutex:
            cut, has_second_life = next(waiting, (None, False))
            if cut is None:
                return False
            cutter.write_image(cut, image)
            if has_second_life:
                cutter.write_image(cut, place / "second.image")
        outcome = episode.check(cut, image, mount_point)
        self._count_outcome(episode, outcome)
        if has_second_life and not outcome.violations:
            self._live_again(episode, cut, place)
        return True

    def _live_again(self, episode: Episode, cut: Cut, place: Path) -> None:
        """The server goes on on the cut disk, and the power fails again: in the recovery, or later."""
        plan = episode.second_life(cut, random.Random(cut.seed).choice(self.settings.latencies), SECOND_LIFE_BYTES)
        second = type(episode)(place / "second", plan)
        second.directory.mkdir(exist_ok=True)
        (place / "second.image").rename(second.base)
        violations = second.record(make_base=False)
        self._count_episode(second)
        if violations:
            self._fail(episode, cut, violations)
            return
        chance = random.Random(cut.seed)
        settled = second.recovered_at
        cuts = sorted(
            choose_cuts(second.log, SECOND_LIFE_CUTS - 1, chance, first=settled)
            + [Cut(chance.randint(1, settled), chance.choice(("none", "some", "torn")), chance.getrandbits(32))],
            key=lambda cut: cut.position,
        )
        cutter = Cutter(second.base, second.log, file_system=plan.file_system)
        for again in cuts:
            cutter.write_image(again, place / "disk.image")
            self._count_outcome(second, second.check(again, place / "disk.image", place / "mnt"))

    def _count_outcome(self, episode: Episode, outcome: Outcome) -> None:
        tally, cut = self.tally, outcome.cut
        with self._mutex:
            tally.cuts += 1
            tally.cuts_in_second_lives += episode.plan.is_recovery
            tally.cuts_with_losses += cut.lost > 0
            tally.writes_lost += cut.lost
            tally.promises_checked += outcome.promises
            tally.requests_found += outcome.requests_found
            tally.operations_found += outcome.operations
            tally.repeats += outcome.repeats
            tally.records_trimmed += outcome.trimmed
            tally.fates[cut.fate] += 1
        if outcome.violations:
            self._fail(episode, cut, outcome.violations)

    def _fail(self, episode: Episode, cut: Cut | None, violations: list) -> None:
        with self._mutex:
            command = self._keep(episode)
            if cut is not None:
                command += f" --position {cut.position} --fate {cut.fate} --cut-seed {cut.seed}"
            self.tally.failures.append(Failure(cut, violations, command if cut is not None else ""))
            number = len(self.tally.failures)
        if number <= max(1, self.settings.kept_max):
            plan = episode.plan
            say(f"VIOLATION {number} ({plan.engine}, {plan.mode}, {plan.file_system}, {plan.latency}):")
            for violation in violations:
                say(f"  {violation}")
            say(f"  again: {command}")

    def _keep(self, episode: Episode) -> str:
        """Copies what a replay needs, once an episode and for the first few."""
        if episode.directory not in self._kept and len(self._kept) < self.settings.kept_max:
            FAILURES.mkdir(parents=True, exist_ok=True)
            target = Path(tempfile.mkdtemp(prefix=f"{self.tally.engine}-{self.tally.mode}-", dir=FAILURES)) / "episode"
            episode.save(target)
            self._kept[episode.directory] = target
        kept = self._kept.get(episode.directory)
        return f"{self.settings.command} --replay {kept}" if kept is not None else "(not kept: enough others are)"

    def _believe(self) -> None:
        """A mount that fails in silence, an empty list of acknowledgements or a quiet disk must not look like a pass."""
        tally = self.tally
        wanted = self._wanted()
        missing = [what for what, is_there in wanted.items() if not is_there]
        if missing:
            raise Unproven(f"too little to prove anything; not reached: {', '.join(missing)}; {asdict(tally)}")

    def _wanted(self) -> dict[str, bool]:
        """What must be seen, and whether it was."""
        tally = self.tally
        return {
            f"{self.settings.cuts} cuts": tally.cuts == self.settings.cuts,
            "100 acknowledgements an episode": tally.acknowledgements >= 100 * tally.episodes,
            "100 flushes an episode": tally.flushes >= 100 * tally.episodes,
            "3 segments an episode": tally.segments >= 3 * tally.episodes,
            "a checkpoint an episode": tally.checkpoints >= tally.episodes,
            "a removed segment an episode": tally.segments_removed >= tally.episodes or tally.episodes <= 3,
            "20 promises a cut": tally.promises_checked >= 20 * tally.cuts,
            "20 requests found a cut": tally.requests_found >= 20 * tally.cuts,
            "20 operations of owners found a cut": tally.operations_found >= 20 * tally.cuts,
            "10 repeats a cut": tally.repeats >= 10 * tally.cuts,
            "losses of open writes in a fifth of the cuts": tally.cuts_with_losses * 5 >= tally.cuts,
            "every fate": len(tally.fates) == 4 or self.settings.cuts < 100,
        }


@dataclass
class LibraryTally(Tally):
    """Of the library: requests are appends, and a record trimmed is a log that does not begin at 0."""

    def __str__(self) -> str:
        return (
            f"library {self.engine:9} {self.mode:8} {self.file_system:4}  {self.cuts} cuts"
            f" ({self.cuts_in_second_lives} in second lives) of {self.episodes} episodes,"
            f" {self.cuts_with_losses} lost open writes, {self.acknowledgements} acknowledgements,"
            f" {self.promises_checked} promises checked, {self.requests_found} appends found,"
            f" {self.records_trimmed} logs truncated, {self.segments} segments, {self.segments_removed} of them removed,"
            f" {self.checkpoints} checkpoints, {self.seconds:.0f} s: {len(self.failures)} with violations"
        )


class LibraryCampaign(Campaign):
    """Cuts under the public library; in every third episode nothing is truncated."""

    def _make_episode(self, directory: Path, number: int, latency: str) -> LibraryEpisode:
        tally, writer = self.tally, writer_binary(Path(os.environ["APPENDLOG_BINARY"]))
        seed = self._chance.getrandbits(32)
        return LibraryEpisode(
            directory,
            LibraryPlan(seed, tally.engine, tally.mode, tally.file_system, latency, str(writer), number % 3 != 2),
        )

    def _wanted(self) -> dict[str, bool]:
        tally = self.tally
        kept = ("cuts", "100 ack", "100 flushes", "losses", "every fate")
        wanted = {what: is_there for what, is_there in super()._wanted().items() if any(word in what for word in kept)}
        return wanted | {
            "3 segments an episode": tally.segments >= 3 * tally.episodes,
            "20 promises a cut": tally.promises_checked >= 20 * tally.cuts,
            "20 appends found a cut": tally.requests_found >= 20 * tally.cuts,
            "truncated logs": tally.records_trimmed > 0,
            "a removed segment": tally.segments_removed > 0 or tally.episodes <= 3,
        }


def say(line: str) -> None:
    """Progress and violations, at once."""
    print(line, flush=True, file=sys.stderr)

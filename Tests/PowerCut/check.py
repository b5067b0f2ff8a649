"""The oracle: what a server shows after a power cut, against what was sent and what was promised."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from blackbox import Connection, get_json
from load import RETAINED, RETAINED_RECORDS
from owner import OwnedExpectation, ShownLog, read_log
from script import OWNERS, names_of
from shared import LOGS, Promise, RecordName, make_request, name_of
from told import Told
from violation import Violation

#: Requests with a key, or with a condition, that are sent again after a cut.
REPEATS = 8


@dataclass
class Expectation:
    """What may be there: requests of the run with a number below `numbers_end`. What must: the promised ones.

    Of the numbers below `told.settled_end` only the promised ones may be there: a recovery has decided about the others already.
    """

    seed: int
    numbers_end: int
    told: Told
    #: The offsets of each shared log before which it may have been trimmed; None if nothing is.
    trims: dict[str, list[int]] | None
    owners: list[OwnedExpectation]

    #: Filled by `check`: the shared logs, and which requests are there, as promises for what comes after.
    shown: dict[str, ShownLog] = field(default_factory=dict)
    found: list[Promise] = field(default_factory=list)
    #: The offsets that the found ones with a condition were to have.
    conditions: dict[int, int] = field(default_factory=dict)
    repeats: int = 0

    def check(self, connection: Connection) -> list[Violation]:
        """Reads every log whole."""
        documents = get_json(connection, "/v1/logs?limit=1000")["logs"]
        known = {*LOGS, *(name for owner in range(OWNERS) for name in names_of(owner))}
        strange = [log["log"] for log in documents if log["log"] not in known]
        violations = [Violation("invented", name, 0, "nobody appended to this log") for name in strange]
        violations += self.told.differences(documents)
        self.shown = {log: read_log(connection, log) or ShownLog({}, 0, []) for log in LOGS}
        for log, shown in self.shown.items():
            violations += self._check_log(log, shown)
        violations += self._torn_batches()
        for owner in self.owners:
            violations += owner.check(connection)
        return violations

    def check_repeats(self, connection: Connection, seed: int) -> list[Violation]:
        """Sends again what has a key or a condition: then everything is there still, and no more than once."""
        chance = random.Random(seed)
        try:
            self._repeat(connection, chance)
        except AssertionError as failure:
            return [Violation("repeated", "", 0, str(failure))]
        violations = []
        for owner in self.owners:
            violations += owner.check_repeats(connection, chance)
            self.repeats += owner.repeats
        found, self.found = self.found, []
        for log in LOGS:
            violations += self._check_log(log, read_log(connection, log) or ShownLog({}, 0, []))
        self.found = found
        return violations

    # The shared logs.

    def _check_log(self, log: str, shown: ShownLog) -> Iterable[Violation]:
        """Of the first difference only: what follows is a consequence."""
        if violation := self._check_ends(log, shown):
            yield violation
            return
        promised = {first: (number, part) for name, first, number, part in self.told.promises if name == log}
        settled = {number for number, _ in promised.values()}
        offset, seen = shown.first, set()
        while offset < shown.next:
            record = shown.records[offset - shown.first]
            name = name_of(record)
            # What is left of a request that was trimmed in its middle.
            index = name.index if name is not None and offset == shown.first else 0
            wanted = promised.pop(offset - index, None)
            if wanted is not None and (name is None or (name.number, name.part) != wanted):
                kind = "lost" if name is not None else "altered"
                yield Violation(kind, log, offset, f"request {wanted} was promised, here stands {record[:60]!r}")
                return
            if violation := self._check_request(log, shown, offset, index, name, seen, settled):
                yield violation
                return
            seen.add((name.number, name.part))
            self.found.append((log, offset - index, name.number, name.part))
            offset += name.count - index
        for first, (number, part) in sorted(promised.items()):
            # Its condition is not known, and changes no count.
            if first + len(make_request(self.seed, number).parts[part].records) > shown.first:
                yield Violation("lost", log, first, f"request {number} was promised; the log has {shown.first} to {offset}")

    def _check_ends(self, log: str, shown: ShownLog) -> Violation | None:
        first_min, next_min = self.told.first_min.get(log, 0), self.told.next_min.get(log, 0)
        if shown.first < first_min or shown.next < next_min:
            text = f"it was shown to begin at {first_min} and go to {next_min}, and has {shown.first} to {shown.next}"
            return Violation("lost", log, shown.next, text)
        may_begin = {0, *(self.trims or {}).get(log, ())}
        is_retained = self.trims is not None and log == RETAINED
        if shown.first not in may_begin and not (is_retained and shown.first <= shown.next - RETAINED_RECORDS):
            return Violation("lost", log, shown.first, f"it begins at {shown.first}: nobody trimmed it there")
        if log == RETAINED and self.told.is_retained and shown.document["retention"]["records"] != RETAINED_RECORDS:
            return Violation("lost", log, 0, f"its retention: {shown.document}")
        return None

    def _check_request(
        self, log: str, shown: ShownLog, offset: int, index: int, name: RecordName | None, seen: set, settled: set[int]
    ) -> Violation | None:
        """Whether a request that was sent begins at `offset`, or goes on there with its record `index`."""
        at = offset - shown.first
        if name is None or name.number >= self.numbers_end or name.index != index or (name.number, name.part) in seen:
            text = f"nobody sent this here, or it is there twice: {shown.records[at][:60]!r}"
            return Violation("invented", log, offset, text)
        if name.condition not in (None, offset - index):
            text = f"request {name.number} was to be at {name.condition} or nowhere"
            return Violation("invented", log, offset, text)
        if name.condition is not None:
            self.conditions[name.number] = name.condition
        parts = make_request(self.seed, name.number, name.condition).parts
        part = parts[name.part] if name.part < len(parts) else None
        found = tuple(shown.records[at : at + name.count - index])
        if part is None or part.log != log or found != part.records[index:]:
            return Violation("altered", log, offset, f"request {name.number} is not what was sent, or not whole")
        if name.number < self.told.settled_end and name.number not in settled:
            text = f"request {name.number} was gone after an earlier recovery, and is back"
            return Violation("invented", log, offset, text)
        return None

    def _torn_batches(self) -> Iterable[Violation]:
        """A batch is there with all its parts, but for those that may have been trimmed."""
        found = {(number, part) for _, _, number, part in self.found}
        for number in {number for number, _ in found}:
            for index, part in enumerate(make_request(self.seed, number).parts):
                if (number, index) not in found and self.shown[part.log].first == 0:
                    yield Violation("lost", part.log, 0, f"part {index} of batch {number}; other parts are there")

    def _repeat(self, connection: Connection, chance: random.Random) -> None:
        """What is there gets its first offsets; what is not is appended; a condition that held once does not hold again."""
        # Answers outlive the records: what was promised and trimmed is answered again, too.
        places = {(number, part): (log, first) for log, first, number, part in {*self.found, *self.told.promises}}
        there = sorted({number for number, _ in places})
        keyed = [number for number in there if make_request(self.seed, number).key]
        gone = [number for number in range(self.told.settled_end, self.numbers_end) if number not in there]
        unknown = [number for number in gone[-200:] if make_request(self.seed, number).key]
        for number in chance.sample(keyed, min(REPEATS, len(keyed))) + unknown[-3:]:
            request = make_request(self.seed, number)
            response = request.send(connection)
            assert response.status == 201, (number, response.status, response.body)
            is_repeat = response.header("idempotent-replayed") == "true"
            assert is_repeat or number in unknown, f"request {number} was done again: {response.body}"
            for log, first, _, part in request.promises(response.json()):
                found = places.get((number, part), (log, first))
                assert (log, first) == found, f"request {number} was at {found}: {response.body}"
                # One that is not there may have been trimmed: then its first offsets are before.
                if is_repeat and (number, part) not in places:
                    assert self.trims is not None, f"request {number} is not there and has been answered before: {response.body}"
            self.numbers_end = max(self.numbers_end, number + 1)
            self.repeats += is_repeat
        for number in chance.sample(sorted(self.conditions), min(REPEATS, len(self.conditions))):
            response = make_request(self.seed, number, self.conditions[number]).send(connection)
            assert response.status == 412, (number, response.status, response.body)

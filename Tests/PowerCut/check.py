"""The oracle: what a server shows after a power cut, against what was sent and what was promised."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from blackbox import Connection, get_json, read_all
from load import LOGS, Promise, make_request, name_of


@dataclass(frozen=True)
class Violation:
    """`kind`: lost, altered, invented, refused (the server does not start or serve), unmountable (the file system fails)."""

    kind: str
    log: str
    offset: int
    text: str

    def __str__(self) -> str:
        place = f" {self.log}/{self.offset}" if self.log else ""
        return f"{self.kind}{place}: {self.text}"


@dataclass
class Expectation:
    """What may be there: requests of the run with a number below `numbers_end`. What must: the promised ones.

    Of the numbers below `settled_end` only the promised ones may be there: a recovery has decided about the others already.
    """

    seed: int
    numbers_end: int
    promises: list[Promise]
    settled_end: int = 0

    #: Filled by `check`: which requests are there, as promises for what comes after.
    found: list[Promise] = field(default_factory=list)

    def check(self, connection: Connection) -> list[Violation]:
        """Reads every log whole."""
        names = [log["log"] for log in get_json(connection, "/v1/logs?limit=1000")["logs"]]
        violations = [Violation("invented", name, 0, "nobody appended to this log") for name in names if name not in LOGS]
        for log in LOGS:
            violations += self._check_log(log, read_all(connection, log))
        return violations

    def _check_log(self, log: str, records: list[bytes]) -> Iterable[Violation]:
        promised = {first: number for name, first, number in self.promises if name == log}
        settled = set(promised.values())
        offset, seen = 0, set()
        while offset < len(records):
            name = name_of(records[offset])
            wanted = promised.pop(offset, None)
            if wanted is not None and (name is None or name[0] != wanted):
                kind = "lost" if name is not None else "altered"
                yield Violation(kind, log, offset, f"request {wanted} was promised, here stands {records[offset][:60]!r}")
                return
            if name is None or name[0] >= self.numbers_end or name[1] != 0 or name[0] in seen:
                text = f"nobody sent this here, or it is there twice: {records[offset][:60]!r}"
                yield Violation("invented", log, offset, text)
                return
            request = make_request(self.seed, name[0])
            found = records[offset : offset + len(request.records)]
            if request.log != log or tuple(found) != request.records:
                yield Violation("altered", log, offset, f"request {name[0]} is not what was sent, or not whole")
                return
            if name[0] < self.settled_end and name[0] not in settled:
                text = f"request {name[0]} was gone after an earlier recovery, and is back"
                yield Violation("invented", log, offset, text)
                return
            seen.add(name[0])
            self.found.append((log, offset, name[0]))
            offset += len(request.records)
        for first, number in sorted(promised.items()):
            yield Violation("lost", log, first, f"request {number} was promised; the log ends at {offset}")

"""Who carries out a script: under load, and after a power cut, where the logs are compared with what they must be."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field

from blackbox import FRAMED, Connection, Response, get, records_target, unframed
from script import OwnedLog, Operation, Script, names_of
from violation import Violation

#: The answers to the operations of each owner, as text; only those that were read.
Answers = dict[str, str]


@dataclass
class ShownLog:
    """A log as the server shows it: its document, and its records from `first` on."""

    document: dict
    first: int
    records: list[bytes]

    @property
    def next(self) -> int:
        return self.first + len(self.records)


def read_log(connection: Connection, name: str) -> ShownLog | None:
    """A log and all its records; None if there is none. Retention may trim it meanwhile: then it is read anew."""
    while True:
        response = get(connection, f"/v1/logs/{name}")
        if response.status == 404:
            return None
        assert response.status == 200, (response.status, response.body[:500])
        document = response.json()
        records = read_records(connection, name, document["first"])
        if records is not None:
            return ShownLog(document, document["first"], records)


def read_records(connection: Connection, name: str, first: int) -> list[bytes] | None:
    """All records from an offset on; None if they were trimmed meanwhile."""
    records: list[bytes] = []
    while True:
        query = {"from": first + len(records), "limit": 10000, "bytes": 4194304}
        response = get(connection, records_target(name, **query), FRAMED)
        if response.status == 410:
            return None
        assert response.status == 200, (response.status, response.body[:500])
        page = unframed(response.body)
        records += page
        if first + len(records) == int(response.header("tail-offset")):
            return records
        assert page, "an empty page before the tail"


@dataclass
class Owner:
    """Goes on with a script and checks each answer. `answers` are those of all owners, to which it adds."""

    connection: Connection
    script: Script
    answers: Answers
    #: Bytes of the requests so far, and repeats that were answered.
    byte_count: int = 0
    repeats: int = 0

    def step(self) -> None:
        """The next operation."""
        self._perform(self.script.step())

    def repeat_last(self) -> None:
        """The last request that has an identity again: a client that does not know whether its answer came."""
        for operation in self.script.repeats()[-1:]:
            self._repeat(operation)

    def repeat_some(self, chance: random.Random, count: int) -> None:
        """The last such request again, and some of the others; and one that must be refused."""
        repeats = self.script.repeats()
        for operation in repeats[-1:] + chance.sample(repeats[:-1], min(count, len(repeats[:-1]))):
            self._repeat(operation)
        refusal = self.script.refusal(chance)
        self._check(refusal, self._send(refusal))

    def _perform(self, operation: Operation) -> None:
        response = self._send(operation)
        self._check(operation, response)
        self.answers[f"{self.script.owner}/{operation.index}"] = response.body.decode()

    def _repeat(self, operation: Operation) -> None:
        response = self._send(operation)
        self._check(operation, response)
        assert response.header("idempotent-replayed") == "true", f"{operation} was done again: {response.body}"
        known = self.answers.get(f"{self.script.owner}/{operation.index}")
        assert known is None or known == response.body.decode(), f"{operation} was answered {known}, now {response.body}"
        self.repeats += 1

    def _send(self, operation: Operation) -> Response:
        body = operation.body()
        self.byte_count += len(body or b"")
        return self.connection.request(operation.method, operation.target, operation.headers, body)

    def _check(self, operation: Operation, response: Response) -> None:
        said = f"{operation} was answered {response.status} {response.body[:500]}"
        assert response.status == operation.status, said
        if operation.problem:
            assert operation.problem.items() <= response.json().items(), said
        if operation.firsts:
            answers = response.json().get("appends") or [response.json()]
            assert tuple((one["log"], one["first"], one["count"]) for one in answers) == operation.firsts, said


@dataclass
class OwnedExpectation:
    """What the logs of an owner must be: as behind `acknowledged` operations, or one more."""

    seed: int
    owner: int
    is_trimming: bool
    acknowledged: int
    answers: Answers

    #: Filled by `check`: the operations behind which the logs are, and what was done again.
    shown: int = 0
    repeats: int = 0

    def check(self, connection: Connection) -> list[Violation]:
        """Compares all logs with both states."""
        logs = {name: read_log(connection, name) for name in names_of(self.owner)}
        script = Script(self.seed, self.owner, self.is_trimming, self.acknowledged)
        violations = list(self._differences(script, logs))
        self.shown = self.acknowledged
        if violations:
            script.step()
            if not list(self._differences(script, logs)):
                self.shown += 1
                return []
        return violations

    def check_repeats(self, connection: Connection, chance: random.Random) -> list[Violation]:
        """Sends again what was answered and what was not, goes on, and compares once more. For a server without other load."""
        script = Script(self.seed, self.owner, self.is_trimming, self.shown)
        owner = Owner(connection, script, dict(self.answers))
        try:
            owner.repeat_some(chance, 3)
            for _ in range(2):
                owner.step()
                owner.repeat_last()
        except AssertionError as failure:
            return [Violation("repeated", f"own.{self.owner}", self.shown, str(failure))]
        self.repeats = owner.repeats
        logs = {name: read_log(connection, name) for name in names_of(self.owner)}
        return list(self._differences(script, logs))

    def _differences(self, script: Script, logs: dict[str, ShownLog | None]) -> Iterable[Violation]:
        for name, shown in logs.items():
            wanted = script.logs.get(name)
            if wanted is None and shown is not None:
                text = f"it was deleted or never made, {script.index} operations are done: {shown.document}"
                yield Violation("invented", name, 0, text)
            elif wanted is not None and shown is None:
                yield Violation("lost", name, 0, f"it is not there; {script.index} operations are done")
            elif wanted is not None:
                yield from self._differences_of(script, name, wanted, shown)

    def _differences_of(self, script: Script, name: str, wanted: OwnedLog, shown: ShownLog) -> Iterable[Violation]:
        """Of the first difference only: what follows is a consequence."""
        document = shown.document
        first_min, log_id = self._shown_before(script, name, wanted)
        settings = {key: document[key] for key in ("content_type", "appends_per_second_max")}
        settings["retention"] = {"records": document["retention"]["records"]}
        for what, is_right in {
            f"it goes to {wanted.next}": shown.next == wanted.next == document["next"],
            f"it begins between {first_min} and {wanted.first_max}": first_min <= shown.first <= wanted.first_max,
            f"it has the id {log_id}": log_id in (None, document["id"]),
            f"its settings are {wanted.settings}": settings == wanted.settings,
            f"it is closed: {wanted.closed}": document["closed"] == wanted.closed,
        }.items():
            if not is_right:
                yield Violation("lost", name, shown.next, f"behind {script.index} operations {what}, but it is {document}")
                return
        for offset, record in enumerate(shown.records, shown.first):
            if record != script.record(*wanted.records[offset]):
                kind = "altered" if record.startswith(b"%d/" % self.owner) else "invented"
                text = f"behind {script.index} operations, {wanted.records[offset]} is {record[:60]!r}"
                yield Violation(kind, name, offset, text)
                return

    def _shown_before(self, script: Script, name: str, wanted: OwnedLog) -> tuple[int, int | None]:
        """The first offset and the id that answers have shown of this log."""
        first, log_id = wanted.first, None
        for operation in script.operations[wanted.made : self.acknowledged]:
            answer = self.answers.get(f"{self.owner}/{operation.index}")
            if answer and operation.target.startswith(f"/v1/logs/{name}") and operation.is_change:
                document = json.loads(answer)
                first, log_id = max(first, document["first"]), document["id"]
        return first, log_id



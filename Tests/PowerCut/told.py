"""What was promised up to some moment, as the marks in the log of the disk say it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from script import OWNERS
from shared import Promise, promise_of
from violation import Violation


@dataclass
class Told:
    """Answers to clients, and what readers were shown: who was shown something may rely on it, too."""

    promises: list[Promise] = field(default_factory=list)
    #: Numbers below it are of requests that are there by a promise, or gone for good.
    settled_end: int = 0
    #: The operations of each owner that are done.
    owned: list[int] = field(default_factory=lambda: [0] * OWNERS)
    #: The least first and next offsets of the shared logs.
    first_min: dict[str, int] = field(default_factory=dict)
    next_min: dict[str, int] = field(default_factory=dict)
    #: The shared log that has a retention has it.
    is_retained: bool = False
    #: Of each log that a reader saw its id, first and next offset, and whether it was closed; and the last id that was gone.
    seen: dict[str, list[int]] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)

    def take(self, words: list[str]) -> None:
        """Adds what a mark says, but for `settled`."""
        promise = promise_of(words)
        if promise is not None:
            self.promises.append(promise)
        elif words[0] == "did":
            self.owned[int(words[1])] = int(words[2])
        elif words[0] == "trimmed":
            self.first_min[words[1]] = max(self.first_min.get(words[1], 0), int(words[2]))
        elif words[0] == "ends":
            self.next_min[words[1]] = max(self.next_min.get(words[1], 0), int(words[2]))
        elif words[0] == "retained":
            self.is_retained = True
        elif words[0] == "saw":
            self.seen[words[1]] = [int(word) for word in words[2:]]
        elif words[0] == "gone":
            self.gone[words[1]] = int(words[2])

    def differences(self, documents: Iterable[dict]) -> Iterable[Violation]:
        """Whether logs are less than a reader was shown. That they are there at all others know."""
        for document in documents:
            name, log_id, now = document["log"], document["id"], seen_of(document)
            before = self.seen.get(name, now)
            if log_id < before[0] or log_id <= self.gone.get(name, 0):
                text = f"the log {log_id} is back; a reader saw that {before[0]} had followed, or nothing"
                yield Violation("invented", name, 0, text)
            elif log_id == before[0] and any(one < other for one, other in zip(now, before, strict=True)):
                yield Violation("lost", name, now[2], f"a reader saw (id, first, next, closed) {before}, now it is {now}")


def seen_of(document: dict) -> list[int]:
    """What can only grow of a log."""
    return [document["id"], document["first"], document["next"], int(document["closed"])]

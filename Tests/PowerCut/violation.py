"""What a check finds wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Violation:
    """`kind`: lost, altered, invented, repeated (a request that was sent again got another answer than its first, or was
    done again), refused (the server does not start or serve), unmountable (the file system fails)."""

    kind: str
    log: str
    offset: int
    text: str

    def __str__(self) -> str:
        place = f" {self.log}/{self.offset}" if self.log else ""
        return f"{self.kind}{place}: {self.text}"

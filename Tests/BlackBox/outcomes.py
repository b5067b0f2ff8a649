"""Writers that go on until the server refuses or ends, and the check of what they were told against what is on the disk."""

from __future__ import annotations

import threading

from client import append, check_appended, check_problem, read_all
from rawhttp import ConnectionEnded, Response
from server import WAIT_SECONDS, Server


class Outcomes:
    """What became of the records of all writers. Every record is unique."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, bytes] = {}
        self.refused: list[tuple[bytes, Response]] = []
        #: Sent, but the connection ended without an answer.
        self.unanswered: set[bytes] = set()
        self._threads: list[threading.Thread] = []

    def write(self, server: Server, log: str, writer: int, filler: bytes) -> None:
        """Appends until an answer is no 201 or the connection ends."""
        record = b""
        try:
            with server.connect() as connection:
                for number in range(100_000):
                    record = b"%d/%d/" % (writer, number) + filler
                    response = append(connection, log, record)
                    if response.status != 201:
                        self.refused.append((record, response))
                        return
                    self.acknowledged[check_appended(response, log)["first"]] = record
        except (ConnectionEnded, ConnectionError):
            self.unanswered.add(record)

    def join(self) -> None:
        """Waits for the writers, which are about to end."""
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive(), "a writer still waits for an answer"

    def effects(self) -> dict[str, set[bytes]]:
        """The records of the refusals by the side effects that they were told; every refusal must say that the log is poisoned."""
        effects: dict[str, set[bytes]] = {"none": set(), "unknown": set()}
        for record, response in self.refused:
            problem = response.json()
            check_problem(response, 503, "log_poisoned", problem["retryable"], problem["side_effects"])
            effects[problem["side_effects"]].add(record)
        return effects


def start_writing(server: Server, log: str, writers: int = 8, filler: bytes = b"") -> Outcomes:
    """Starts writers with records of their own."""
    outcomes = Outcomes()
    outcomes._threads = [threading.Thread(target=outcomes.write, args=(server, log, index, filler), daemon=True) for index in range(writers)]
    for thread in outcomes._threads:
        thread.start()
    return outcomes


def check_outcomes(server: Server, log: str, outcomes: Outcomes) -> None:
    """Everything acknowledged is there at its offset, once; of the rest only what nobody was told is not there."""
    effects = outcomes.effects()
    with server.connect() as connection:
        records = read_all(connection, log)
    missing = {offset: record for offset, record in outcomes.acknowledged.items() if records[offset : offset + 1] != [record]}
    assert not missing, f"{len(missing)} acknowledged records are not at their offsets, the first at {min(missing)}"
    assert len(set(records)) == len(records), "a record is there twice"
    others = set(records) - set(outcomes.acknowledged.values())
    allowed = effects["unknown"] | outcomes.unanswered
    assert others <= allowed, f"there though refused without side effects, or never sent: {sorted(others - allowed)[:5]}"

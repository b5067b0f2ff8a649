"""What abuse may cost a server: its memory and descriptors, before and after, and whether others are served meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from client import append_ok
from server import Server, wait_until

#: Memory that the allocator may keep of what a burst needed, in pages that are partly in use: less than 4 KiB a connection, of
#: 10,000. The server gives whole pages back.
KEPT_BYTES = 24 << 20
#: Descriptors that come and go by themselves: a sealed segment being read, an index being written.
KEPT_DESCRIPTORS = 8


def resident_bytes(pid: int) -> int:
    """Memory of the process that is in RAM."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptor_count(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def is_asleep(pid: int) -> bool:
    """Whether every thread of the process waits for something."""
    states = (Path(f"/proc/{pid}/task/{task}/stat").read_text() for task in os.listdir(f"/proc/{pid}/task"))
    return all(state.rpartition(")")[2].split()[0] == "S" for state in states)


class Footprint:
    """Memory and descriptors of a server that has nothing to do; `check_returned` is asked after the abuse."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.memory = resident_bytes(server.pid)
        self.descriptors = descriptor_count(server.pid)

    def check_returned(self, kept_bytes: int = KEPT_BYTES) -> None:
        server = self.server
        wait_until(lambda: descriptor_count(server.pid) <= self.descriptors + KEPT_DESCRIPTORS, "the descriptors are given back")
        wait_until(lambda: resident_bytes(server.pid) <= self.memory + kept_bytes, "the memory is given back")


def check_others_are_served(server: Server, log: str, count: int = 20) -> None:
    """A client that behaves is answered, whatever the others do."""
    with server.connect() as connection:
        for number in range(count):
            append_ok(connection, log, b"%d" % number)

"""A real file system on a disk of ours, which logs what it is told and fails on command (fusedisk.c).

    with Disk(directory, "ext4", size_bytes=128 << 20) as disk:
        ...                              # disk.mount_point holds an empty ext4
        disk.fail("flush", "eio", next=1)
        disk.stall(); ...; disk.go()
        print(disk.statistics()["flushes"])

The chain is: file system - loop device (direct I/O) - FUSE file - image file. Whatever happens, leaving the `with` block
releases what is held, unmounts, detaches and ends everything.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import kernel

HERE = Path(__file__).resolve().parent

MIB = 1 << 20

#: The smallest image that each mkfs takes with its default journal.
SIZE_BYTES_MIN = {"ext4": 16 * MIB, "xfs": 300 * MIB}

#: Everything is written when the file system is made: nothing goes on in the background later.
MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
}

#: Many disks of one origin are mounted at a time: xfs would refuse them for their equal ids.
MOUNT_OPTIONS = {"ext4": "", "xfs": "nouuid"}


class Unavailable(Exception):
    """This machine lacks something that the disk needs; the text says what. Tests skip with it."""


def require(file_system: str = "ext4") -> Path:
    """Gives the path of the fusedisk binary, built if need be; raises Unavailable if something is missing here."""
    if os.geteuid() != 0:
        raise Unavailable("only root can mount; this runs as another user")
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(device, os.R_OK | os.W_OK):
            raise Unavailable(f"no access to {device}")
    if shutil.which(MKFS[file_system][0]) is None:
        raise Unavailable(f"no {MKFS[file_system][0]}")
    for tool in ("cc", "pkg-config"):
        if shutil.which(tool) is None:
            raise Unavailable(f"no {tool}")
    if subprocess.run(["pkg-config", "--exists", "fuse3"], check=False).returncode != 0:
        raise Unavailable("no libfuse3-dev")
    built = subprocess.run([HERE / "build"], capture_output=True, text=True, check=True)
    return Path(built.stdout.strip())


def probe(file_system: str = "ext4") -> None:
    """Mounts a disk once; raises Unavailable with the reason if that is impossible here. What fails later is a fault."""
    require(file_system)
    with tempfile.TemporaryDirectory(prefix="fusedisk-") as directory:
        try:
            with Disk(Path(directory), file_system):
                pass
        except OSError as error:
            raise Unavailable(f"no disk can be mounted: {error}") from error


def make_image(path: Path, file_system: str, size_bytes: int) -> None:
    """Makes a sparse image file with an empty file system."""
    size_bytes = max(size_bytes, SIZE_BYTES_MIN[file_system])
    with open(path, "wb") as image:
        image.truncate(size_bytes)
    made = subprocess.run([*MKFS[file_system], str(path)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise Unavailable(f"{MKFS[file_system][0]} failed: {made.stderr.strip()}")


class Control:
    """One connection to a running disk. Threads that add marks take one each: what one sends stays in order."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(30)
        self._socket.connect(str(path))

    def close(self) -> None:
        self._socket.close()

    def mark(self, payload: bytes) -> None:
        """Adds a mark to the ordered log, at most 4,000 bytes. Returns before it stands there; `command` waits for that."""
        assert len(payload) <= 4000, "a mark is one small packet"
        self._socket.send(b"M" + payload)

    def command(self, line: str) -> dict[str, int]:
        """Carries out one command line (faults.c) and gives the disk's counters."""
        self._socket.send(line.encode())
        answer = self._socket.recv(4096).decode()
        if not answer.startswith("ok "):
            raise ValueError(answer or "the disk has ended")
        return {name: int(value) for name, value in (pair.split("=") for pair in answer.split()[1:])}


class Disk:
    """A mounted file system on a fusedisk. A context manager; `start` and `close` do the same by hand."""

    def __init__(
        self,
        directory: Path,
        file_system: str = "ext4",
        size_bytes: int = 64 * MIB,
        log: bool = False,
        image: Path | None = None,
    ) -> None:
        """`directory` takes the image and the mount points; it is made, and stays. `image` is one that has a file system already.

        `log` writes every event into `log_path` (all written data too: it grows by what is written).
        """
        self.directory = Path(directory)
        self.file_system = file_system
        self.size_bytes = size_bytes
        self.image = image or self.directory / "disk.image"
        self._makes_image = image is None
        self.log_path = self.directory / "events.log" if log else None
        self.mount_point = self.directory / "mnt"
        self._fuse_point = self.directory / "fuse"
        #: In a short place of its own: the path of a socket has 107 bytes at most.
        self._socket_directory: tempfile.TemporaryDirectory | None = None
        self._process: subprocess.Popen | None = None
        self._control: Control | None = None
        self._loop: kernel.Loop | None = None
        self.is_mounted = False

    def __enter__(self) -> Disk:
        return self.start()

    def __exit__(self, *_) -> None:
        self.close()

    def start(self) -> Disk:
        """Makes what is missing and mounts. Raises Unavailable if this machine cannot."""
        binary = require(self.file_system)
        for path in (self.directory, self.mount_point, self._fuse_point):
            path.mkdir(parents=True, exist_ok=True)
        if self._makes_image:
            make_image(self.image, self.file_system, self.size_bytes)
        try:
            self._start_process(binary)
            self.mount()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Ends everything in order; harmless when repeated. An unmount that stays busy is detached and raised at the end."""
        try:
            if self._control is not None and self._process.poll() is None:
                self.clear()
            self.unmount()
        finally:
            self._end_process()

    def connect(self) -> Control:
        """Another connection to the control socket, for another thread."""
        return Control(self._socket_path)

    # What the disk does wrong.

    def fail(self, operation: str, error: str = "eio", *, next: int = 0, nth: int = 0) -> None:
        """`operation`: read, write, flush or both (write and flush). `error`: eio or enospc.

        next=N: the next N of them fail. nth=N: only the Nth from now. Neither: all, until `clear`.
        A failed write changes nothing.
        """
        which = f"next {next}" if next else f"nth {nth}" if nth else "all"
        self._control.command(f"{error} {operation} {which}")

    def slow(
        self,
        operation: str,
        *,
        every: int = 1,
        milliseconds: float = 0,
        tail_percent: float = 0,
        tail_milliseconds: float = 0,
    ) -> None:
        """Every `every`-th one takes so much longer, and a random share of them `tail_milliseconds` more."""
        main, tail = round(milliseconds * 1000), round(tail_milliseconds * 1000)
        self._control.command(f"latency {operation} {every} {main} {round(tail_percent * 10)} {tail}")

    def stall(self) -> None:
        """Holds every write and flush from now on. `statistics()["held"]` says how many wait."""
        self._control.command("stall")

    def go(self) -> None:
        """Ends a stall."""
        self._control.command("go")

    def clear(self) -> None:
        """Ends every fault, latency and stall."""
        self._control.command("clear")

    def statistics(self) -> dict[str, int]:
        """reads, writes, flushes (begun), failed_reads, failed_writes, failed_flushes, held (now), bytes, marks."""
        return self._control.command("statistics")

    def mark(self, payload: bytes) -> None:
        """Adds a mark to the ordered log; it stands there when this returns."""
        self._control.mark(payload)
        self.statistics()

    # The file system on it.

    def mount(self, read_only: bool = False) -> None:
        """Attaches the loop device and mounts. `start` has done so once."""
        assert not self.is_mounted
        self._loop = kernel.Loop(self._fuse_point / "disk", direct=True)
        flags = kernel.MS_RDONLY if read_only else 0
        kernel.mount(self._loop.path, self.mount_point, self.file_system, flags, MOUNT_OPTIONS[self.file_system])
        self.is_mounted = True

    def unmount(self) -> None:
        """Unmounts and detaches the loop device; the disk goes on. Nothing happens if it is not mounted."""
        try:
            if self.is_mounted:
                self.is_mounted = False
                kernel.unmount(self.mount_point)
        finally:
            if self._loop is not None:
                self._loop.close()
                self._loop = None

    def _start_process(self, binary: Path) -> None:
        self._socket_directory = tempfile.TemporaryDirectory(prefix="fusedisk-")
        arguments = [str(self._fuse_point), str(self.image), str(self._socket_path)]
        if self.log_path is not None:
            arguments.append(str(self.log_path))
        # Its standard input ends with this process, however that ends; then it ends too.
        self._process = subprocess.Popen([str(binary), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if self._process.stdout.readline() != b"ready\n":
            raise OSError(f"fusedisk did not start, for the reason on standard error; exit code {self._process.wait()}")
        self._control = self.connect()

    @property
    def _socket_path(self) -> Path:
        return Path(self._socket_directory.name) / "control"

    def _end_process(self) -> None:
        if self._process is None:
            return
        if self._control is not None:
            self._control.close()
            self._control = None
        kernel.detach(self._fuse_point)
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._process = None
        self._socket_directory.cleanup()

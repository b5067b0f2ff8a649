"""The few calls that Python does not have: loop devices and mounts. No tool is started for them, as cuts make thousands."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
import time
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)

LOOP_CTL_GET_FREE = 0x4C82
LOOP_CONFIGURE = 0x4C0A
LOOP_CLR_FD = 0x4C01
LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR, LO_FLAGS_DIRECT_IO = 1, 4, 16

MS_RDONLY, MNT_DETACH = 1, 2

#: A loop device that was found free may be taken by another process before it is configured.
ATTEMPTS = 50

#: How long something may stay busy after its last user has ended.
BUSY_SECONDS = 15.0


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: Path, file_system: str, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    result = _libc.mount(source.encode(), str(target).encode(), file_system.encode(), flags, options.encode() or None)
    _check(result, f"mount {source} at {target} as {file_system}")


def unmount(target: Path, seconds: float = BUSY_SECONDS) -> None:
    """umount(2); waits while it is busy. After that it is detached, so that nothing stays behind, and the error raised."""
    end = time.monotonic() + seconds
    while True:
        try:
            return _check(_libc.umount2(str(target).encode(), 0), f"unmount {target}")
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                detach(target)
                raise
        time.sleep(0.005)


def detach(target: Path) -> None:
    """Takes a mount out of sight at once; it ends with its last user. Nothing happens if there is none."""
    _libc.umount2(str(target).encode(), MNT_DETACH)


class Loop:
    """A loop device over a file, as long as it is held or mounted. It detaches by itself with its last user."""

    def __init__(self, file: Path, direct: bool = False, read_only: bool = False) -> None:
        flags = LO_FLAGS_AUTOCLEAR | (LO_FLAGS_DIRECT_IO if direct else 0) | (LO_FLAGS_READ_ONLY if read_only else 0)
        access = (os.O_RDONLY if read_only else os.O_RDWR) | (os.O_DIRECT if direct else 0)
        backing = os.open(file, access | os.O_CLOEXEC)
        try:
            self.path, self._descriptor = self._attach(backing, flags)
        finally:
            os.close(backing)

    def close(self) -> None:
        """Lets go of the device. Harmless if that was done before."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @staticmethod
    def _attach(backing: int, flags: int) -> tuple[str, int]:
        # struct loop_config: fd, block size, loop_info64 (flags stand at its byte 52), 8 reserved words.
        information = bytearray(232)
        struct.pack_into("<I", information, 52, flags)
        configuration = struct.pack("<II", backing, 0) + bytes(information) + bytes(64)
        control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
        try:
            for _ in range(ATTEMPTS):
                path = f"/dev/loop{fcntl.ioctl(control, LOOP_CTL_GET_FREE)}"
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.ioctl(descriptor, LOOP_CONFIGURE, configuration)
                    return path, descriptor
                except OSError as error:
                    os.close(descriptor)
                    if error.errno != errno.EBUSY:
                        raise
        finally:
            os.close(control)
        raise OSError(errno.EBUSY, "no loop device stayed free long enough")

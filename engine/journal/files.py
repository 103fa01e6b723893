"""The journal's files: private, durable by name, and open in one process only."""

import fcntl
import os
import re
from pathlib import Path
from typing import Final

from engine.journal.errors import JournalLocked, JournalUnsupported

_BLOCK_BYTES: Final = 1 << 20
_MODE: Final = 0o600
_MOUNTS: Final = Path("/proc/mounts")
_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"9p", "afs", "cifs", "fuse.sshfs", "ncpfs", "nfs", "nfs4", "smb2", "smb3", "smbfs"}
)


class FileLock:
    """Holds a sidecar file's lock until it is released or the process ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.read(self._descriptor, 32).decode(errors="replace").strip() or "another"
            os.close(self._descriptor)
            message = f"{file}: is locked by process {owner}; one journal serves one engine"
            raise JournalLocked(message) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another process have it. The file stays, so that all lock the same one."""
        os.close(self._descriptor)


def create_private(file: Path) -> bool:
    """Make an empty file that only its owner may read; False when it exists already.

    Its name is durable before it is used: a file whose directory entry is lost in a power
    failure takes every fsync of its content with it.
    """
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    except FileExistsError:
        return False
    os.close(descriptor)
    sync_directory(file.parent)
    return True


def sync_file(file: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Reserve:
    """Room on the disk that is kept for the story of what exists, once nothing else fits."""

    def __init__(self, file: Path, size_bytes: int) -> None:
        self._file = file
        self._size_bytes = size_bytes

    def make(self) -> bool:
        """Take the room, for good also after a power failure; False when there is none."""
        try:
            descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                # Written, not only allocated: some file systems promise room and have none.
                missing = self._size_bytes - os.fstat(descriptor).st_size
                while missing > 0:
                    done = self._size_bytes - missing
                    missing -= os.pwrite(descriptor, bytes(min(missing, _BLOCK_BYTES)), done)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            self.give()
            return False
        sync_directory(self._file.parent)
        return True

    def give(self) -> bool:
        """Let the journal have the room; False when it was given before."""
        try:
            self._file.unlink()
        except FileNotFoundError:
            return False
        return True


def sync_directory(folder: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_network_file_system(folder: Path, *, mounts: Path = _MOUNTS) -> None:
    """Raise `JournalUnsupported` where locks and shared memory do not hold, as on NFS.

    A system without a table of mounts is not checked.
    """
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return
    kind, longest = "", -1
    real = folder.resolve()
    for line in lines:
        _, point, line_kind, *_ = line.split(" ")
        # The table writes a space in a path as \040.
        place = Path(re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point))
        depth = len(place.parts)
        if real.is_relative_to(place) and depth >= longest:  # a later mount hides an earlier one
            kind, longest = line_kind, depth
    if kind in _NETWORK_FILE_SYSTEMS:
        message = (
            f"{folder}: is on the network file system {kind}, which loses writes and locks; "
            "the journal needs a local disk or block storage"
        )
        raise JournalUnsupported(message)

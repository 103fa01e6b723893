"""Whether a file changed on disk, by looking and not by being told.

Rule 1: looking costs a few microseconds, so it can be done every second. Being told would
cost an inotify instance, of which a node gives 128 to all pods of one user together.

Rule 2: a mounted ConfigMap changes by swapping the link `..data` beside the file, an
editor writes in place or renames a new file over the old one. All of it is seen.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MISSED_LOOKS: Final = 2
"""A file that is gone for as many looks in a row is news; for fewer, it is being replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """What differs when a file was replaced or written."""

    device: int
    inode: int
    modified_ns: int
    size_bytes: int
    link: str


class FileWatch:
    """Watches one file, from what it is when the watch is made.

    Make the watch before the file is read for the first time: then what changes in
    between is seen. `changed()` says that it is time to read the file; that may fail, for
    instance when somebody is still writing. The next change is seen all the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._look()
        self._missed = 0

    def changed(self) -> bool:
        """Return whether the file is another one than at the last look, or is gone."""
        found = self._look()
        if found is None:
            self._missed += 1
            if self._missed == MISSED_LOOKS:
                self._seen = None
                return True
            return False
        self._missed = 0
        if found == self._seen:
            return False
        self._seen = found
        return True

    def _look(self) -> _Identity | None:
        """Return what the file is now, None while there is none to be read."""
        try:
            link = str((self._path.parent / "..data").readlink())
        except OSError:
            link = ""  # a plain folder
        try:
            status = self._path.stat()
        except OSError:
            return None
        return _Identity(
            device=status.st_dev,
            inode=status.st_ino,
            modified_ns=status.st_mtime_ns,
            size_bytes=status.st_size,
            link=link,
        )

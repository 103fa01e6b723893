"""The snapshots beside a journal's file: `<name>.snapshot-<seq>`, the newest and one before.

Rule 1: a snapshot has its name once it is whole and durable. Half of one has another name.

Rule 2: a snapshot is a convenience. It never takes the room that records need.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from engine.journal.errors import JournalError, JournalUnsupported
from engine.journal.files import sync_directory, sync_file
from engine.journal.snapshot import (
    SNAPSHOTS_KEPT,
    Sealed,
    newest_good,
    pass_over,
    seal,
    unseal,
)


class SnapshotFiles:
    """The snapshots of one journal."""

    def __init__(self, journal: Path, *, room_bytes: int) -> None:
        self._journal = journal
        self._prefix = journal.name + ".snapshot-"
        self._draft = journal.with_name(journal.name + ".snapshot.draft")
        self._room_bytes = room_bytes
        self._chosen: Path | None = None
        self._found: Sealed | None = None

    def settle(self, hash_of: Callable[[int], object]) -> Sealed | None:
        """Choose the newest good snapshot for this start; None without one.

        Raises `JournalCorrupt` for a journal that a whole snapshot was not made of.
        """
        kept = [(path, path.read_bytes) for path in reversed(self._paths())]
        self._found = newest_good(kept, hash_of, where=self._journal)
        self._chosen = None if self._found is None else self._path(self._found.seq)
        return self._found

    def take(self) -> Sealed | None:
        """Return the chosen snapshot, or the one that was saved since; None without one."""
        found, self._found = self._found, None  # It may be large, and is wanted once.
        if found is None and self._chosen is not None:
            try:
                found = unseal(self._chosen.read_bytes())
            except (JournalUnsupported, OSError) as error:
                pass_over(self._chosen, error)
        return found

    def save(self, seq: int, record_hash: bytes, body: bytes) -> None:
        """Keep a snapshot, and one before it. Raises `OSError`, or `JournalError` without room."""
        kept = seal(seq, record_hash, body)
        free = shutil.disk_usage(self._journal.parent).free
        if free < len(kept) + self._room_bytes:
            message = (
                f"the snapshot has {len(kept)} bytes and must leave {self._room_bytes} for "
                f"records, the disk has {free}"
            )
            raise JournalError(message)
        self.clear_draft()
        try:
            self._write(self._draft, kept)
        except OSError:
            self.clear_draft()
            raise
        self._draft.replace(self._path(seq))
        sync_directory(self._journal.parent)
        self._chosen, self._found = self._path(seq), None
        for old in self._paths()[:-SNAPSHOTS_KEPT]:
            old.unlink(missing_ok=True)

    def clear_draft(self) -> None:
        """Remove the half of one that a full disk or a crash left; it takes room for nothing."""
        self._draft.unlink(missing_ok=True)

    def _write(self, draft: Path, kept: bytes) -> None:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(kept)
        sync_file(draft)

    def _path(self, seq: int) -> Path:
        return self._journal.with_name(f"{self._prefix}{seq:020d}")

    def _paths(self) -> list[Path]:
        """Return the names that snapshots have, the oldest first."""
        return sorted(self._journal.parent.glob(f"{self._prefix}[0-9]*"))

"""The append-only log that orders are rebuilt from."""

from engine.journal.errors import (
    JournalCorrupt,
    JournalError,
    JournalLocked,
    JournalUnsupported,
)
from engine.journal.open import open_journal
from engine.journal.postgres import PostgresJournal
from engine.journal.sqlite import SqliteJournal

__all__ = [
    "JournalCorrupt",
    "JournalError",
    "JournalLocked",
    "JournalUnsupported",
    "PostgresJournal",
    "SqliteJournal",
    "open_journal",
]

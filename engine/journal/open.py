"""From `journal.url` to an open journal.

Rule: what is said of a URL does not tell its password.
"""

import asyncio
from pathlib import Path
from typing import Final

from engine.config.strict_yaml import ConfigError
from engine.journal.postgres import PostgresJournal
from engine.journal.postgres_server import without_password
from engine.journal.sqlite import SqliteJournal

_SQLITE: Final = "sqlite:///"
_POSTGRES: Final = ("postgresql://", "postgres://")


async def open_journal(url: str, *, state_dir: Path, shard: str) -> SqliteJournal | PostgresJournal:
    """Open `sqlite:///<path>`, relative to `state_dir`, or the shard's in `postgresql://…`.

    The file's folder is made if it is missing. Raises `ConfigError` for any other URL, and
    `JournalError` as the `open` of the two journals does.
    """
    if is_postgres(url):
        return await PostgresJournal.open(url, shard=shard)
    file = sqlite_file(url, state_dir=state_dir)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return await asyncio.to_thread(SqliteJournal.open, file)


def is_postgres(url: str) -> bool:
    """Say whether the journal is in a PostgreSQL database."""
    return url.startswith(_POSTGRES)


def sqlite_file(url: str, *, state_dir: Path) -> Path:
    """Return the journal's file. Raises `ConfigError` when the URL names none."""
    path = url.removeprefix(_SQLITE)
    if path == url or not path:
        message = (
            f"found {without_password(url)!r}, needs {_SQLITE} and a path, or "
            "postgresql://user@host/database"
        )
        raise ConfigError(message, file="engine.yaml", path="journal.url")
    return state_dir / path

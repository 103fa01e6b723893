"""From `journal.url` to an open journal."""

from pathlib import Path
from typing import Final

from engine.config.strict_yaml import ConfigError
from engine.journal.sqlite import SqliteJournal

_SQLITE: Final = "sqlite:///"


def open_journal(url: str, *, state_dir: Path) -> SqliteJournal:
    """Open `sqlite:///<path>`; a relative path starts in `state_dir`, which is made if missing.

    Raises `ConfigError` for any other URL, and `JournalError` as `SqliteJournal.open` does.
    """
    path = url.removeprefix(_SQLITE)
    if path == url or not path:
        message = f"found {url!r}, needs {_SQLITE} and a path"
        if url.startswith("postgres"):
            message += "; postgresql:// is not available in this version"
        raise ConfigError(message, file="engine.yaml", path="journal.url")
    file = state_dir / path
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return SqliteJournal.open(file)

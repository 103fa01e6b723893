import asyncio
import stat
from pathlib import Path

import pytest

from engine.config.strict_yaml import ConfigError
from engine.journal import PostgresJournal, SqliteJournal, open_journal
from tests.journal.postgres import PostgresServer


@pytest.mark.parametrize("url", ["sqlite:///deep/journal.db", "sqlite:///{state}/deep/journal.db"])
def test_a_journal_is_made_in_the_state_folder_or_where_its_path_says(
    tmp_path: Path, url: str
) -> None:
    state = tmp_path / "state"

    async def run() -> None:
        journal = await open_journal(url.format(state=state), state_dir=state, shard="0001")
        assert isinstance(journal, SqliteJournal)
        await journal.close()

    asyncio.run(run())

    assert (state / "deep" / "journal.db").is_file()
    assert stat.S_IMODE((state / "deep").stat().st_mode) == 0o700


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_journal_is_made_in_a_database_for_the_shard_that_is_named(
    tmp_path: Path, postgres: PostgresServer, database: str, scheme: str
) -> None:
    url = postgres.url(database).replace("postgresql", scheme)

    async def run() -> None:
        journal = await open_journal(url, state_dir=tmp_path / "state", shard="AB12")
        assert isinstance(journal, PostgresJournal)
        await journal.close()
        rows = await postgres.run(
            "SELECT shard, epoch FROM engine_journal.shards", database=database
        )
        assert [tuple(row) for row in rows] == [("AB12", 1)]

    asyncio.run(run())

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///", "sqlite:///"),
        ("file.db", "file.db"),
        ("mysql://engine:secret@host/db?password=secret", "mysql://engine@host/db"),
    ],
)
def test_another_url_is_refused_and_makes_nothing(tmp_path: Path, url: str, shown: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asyncio.run(open_journal(url, state_dir=tmp_path / "state", shard="0001"))

    assert str(caught.value) == (
        f"engine.yaml: journal.url: found {shown!r}, needs sqlite:/// and a path, or "
        "postgresql://user@host/database"
    )
    assert list(tmp_path.iterdir()) == []

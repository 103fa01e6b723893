import asyncio
import stat
from pathlib import Path

import pytest

from engine.config.strict_yaml import ConfigError
from engine.journal import open_journal


@pytest.mark.parametrize("url", ["sqlite:///deep/journal.db", "sqlite:///{state}/deep/journal.db"])
def test_a_journal_is_made_in_the_state_folder_or_where_its_path_says(
    tmp_path: Path, url: str
) -> None:
    state = tmp_path / "state"

    async def run() -> None:
        journal = open_journal(url.format(state=state), state_dir=state)
        await journal.close()

    asyncio.run(run())

    assert (state / "deep" / "journal.db").is_file()
    assert stat.S_IMODE((state / "deep").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "postgresql://host/db",
            (
                "engine.yaml: journal.url: found 'postgresql://host/db', needs sqlite:/// and "
                "a path; postgresql:// is not available in this version"
            ),
        ),
        ("sqlite:///", "engine.yaml: journal.url: found 'sqlite:///', needs sqlite:/// and a path"),
        ("file.db", "engine.yaml: journal.url: found 'file.db', needs sqlite:/// and a path"),
    ],
)
def test_another_url_is_refused_and_makes_nothing(tmp_path: Path, url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_journal(url, state_dir=tmp_path / "state")

    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []

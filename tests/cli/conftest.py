"""What the tests of the command line share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.fake_api import TOKEN, FakeApi
from tests.cli.terminal import Terminal


@pytest.fixture
def api() -> Iterator[FakeApi]:
    """An API that listens on a free port and knows no path yet."""
    api = FakeApi()
    api.start()
    yield api
    api.stop()


@pytest.fixture
def terminal(api: FakeApi, tmp_path: Path) -> Terminal:
    """A terminal whose environment leads to the API and its token."""
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    (state_dir / "token").write_text(TOKEN + "\n")
    return Terminal(
        environment={
            "ENGINE_API": api.url,
            "ENGINE_STATE_DIR": str(state_dir),
            "ENGINE_TOKEN": None,
            "COLUMNS": "200",
        }
    )

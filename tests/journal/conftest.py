"""What the journal's tests share: one PostgreSQL server."""

import asyncio
import os
from collections.abc import Iterator

import pytest

from tests.journal.postgres import PostgresMissing, PostgresServer, running_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; without one the test is skipped, in CI it fails."""
    try:
        with running_server() as server:
            yield server
    except PostgresMissing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """An empty database; the same for all tests, emptied after each."""
    name = postgres.shared_database()
    yield name
    asyncio.run(postgres.empty(name))

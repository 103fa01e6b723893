"""What the tests of the simulation share."""

import gc
import logging
from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.day import quiet_logs


@pytest.fixture
def quiet() -> Iterator[None]:
    """Log nothing while days are lived through, and everything again afterwards."""
    before = structlog.get_config()
    level = logging.getLogger("aiohttp").level
    quiet_logs()
    yield
    gc.unfreeze()
    structlog.configure(**before)
    logging.getLogger("aiohttp").setLevel(level)

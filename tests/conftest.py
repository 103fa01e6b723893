"""What holds for every test."""

from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _no_log_configuration_outlives_its_test() -> Iterator[None]:
    """A test that runs a command configures the logs to a stream that is closed afterwards."""
    yield
    structlog.reset_defaults()

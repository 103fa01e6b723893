"""What tests of failing actors share."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture
def quiet_logs() -> Iterator[None]:
    """Keep the tracebacks of failures that are meant to happen out of the way."""
    with capture_logs():
        yield

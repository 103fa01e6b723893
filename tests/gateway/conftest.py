from pathlib import Path

import pytest

from tests.gateway.raw_gateway import Certificate, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A good certificate for 127.0.0.1."""
    return make_certificate(tmp_path_factory.mktemp("tls"), host="127.0.0.1")


@pytest.fixture(scope="session")
def shipped_certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """One like the broker's own: it names no host, and it expired."""
    return make_certificate(tmp_path_factory.mktemp("shipped"), host=None, expired=True)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of recorded answers, ids replaced."""
    return Path(__file__).parent / "data"

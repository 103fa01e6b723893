"""`engine gateway`."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.sim.certificate import load_or_make_certificate
from tests.cli.terminal import Terminal


@pytest.fixture
def shown(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """Serve one TLS handshake; give the port and the certificate's pin."""
    certificate = load_or_make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate_file, certificate.key_file)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with closing(connection), context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(1)

        server = threading.Thread(target=serve)
        server.start()
        yield listening.getsockname()[1], certificate.pin_sha256
        server.join()


def test_a_pin_is_printed_as_it_is_configured(shown: tuple[int, str], terminal: Terminal) -> None:
    port, pin = shown

    ended = terminal.types("gateway", "pin", f"https://127.0.0.1:{port}")

    assert (ended.code, ended.stderr) == (0, "")
    assert f"    gateway: https://127.0.0.1:{port}\n" in ended.stdout
    assert f"    tls: {{verify: pin, pin_sha256: {pin}}}\n" in ended.stdout


def test_a_gateway_that_is_not_there_is_an_error(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    ended = terminal.types("gateway", "pin", f"https://127.0.0.1:{port}")

    assert (ended.code, ended.stdout) == (1, "")
    assert f"no certificate from https://127.0.0.1:{port}" in ended.stderr


def test_an_address_without_tls_is_an_error(terminal: Terminal) -> None:
    ended = terminal.types("gateway", "pin", "http://127.0.0.1:5000")

    assert (ended.code, ended.stdout) == (1, "")
    assert "expected https://host:port" in ended.stderr

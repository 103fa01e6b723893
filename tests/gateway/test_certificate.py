"""The certificate that a gateway shows."""

import asyncio
import socket
from pathlib import Path

import pytest

from engine.gateway.certificate import read_certificate
from engine.sim import SimConfig, SimGateway


def test_the_pin_is_the_one_of_the_certificate_that_is_shown(tmp_path: Path) -> None:
    async def read() -> None:
        async with SimGateway(SimConfig(cert_dir=tmp_path)) as gateway:
            shown = await asyncio.to_thread(read_certificate, gateway.url)

            assert shown.sha256 == gateway.pin_sha256
            assert "127.0.0.1" in shown.names
            assert shown.not_before < shown.not_after

    asyncio.run(read())


def test_nobody_there_is_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    with pytest.raises(OSError, match="refused"):
        read_certificate(f"https://127.0.0.1:{port}")


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000", "127.0.0.1:5000", "https://a:0"])
def test_what_is_no_address_of_a_gateway_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected https://host:port"):
        read_certificate(url)

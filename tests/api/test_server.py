import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.api.server import BindRefused, is_loopback
from engine.domain.values import Mode
from tests.api.fake_engine import QUICK, SECRET, FakeEngine, make_server, raw, serving


def certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context with a certificate for 127.0.0.1, and one that trusts only it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "engine.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    serve = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serve.load_cert_chain(path)
    return serve, ssl.create_default_context(cafile=str(path))


def test_the_api_is_served_over_tls(tmp_path: Path) -> None:
    serve, trust = certificate(tmp_path)

    async def scene() -> None:
        async with serving(tls=serve, trust=trust) as client:
            assert client.server.url.startswith("https://127.0.0.1:")
            assert client.server.metrics_url.startswith("http://127.0.0.1:")
            assert (await client.ask("GET", "/v1/sessions"))[0] == 200
            own = {"Origin": client.server.url}
            assert (await client.ask("GET", "/v1/sessions", headers=own))[0] == 200

    asyncio.run(scene())


def test_an_address_that_others_can_reach_needs_tls() -> None:
    with pytest.raises(BindRefused, match=r"api\.host is '0\.0\.0\.0'.*there is no TLS"):
        make_server(FakeEngine(), host="0.0.0.0")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.evil.test", False),
        ("", False),
    ],
)
def test_loopback_is_told_from_the_rest(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_port_that_is_taken_is_an_error_or_the_next_one_is_used() -> None:
    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            strict = make_server(FakeEngine(), port=port)
            with pytest.raises(BindRefused, match=rf"cannot listen on 127\.0\.0\.1 port {port}"):
                await strict.start()

            lenient = make_server(FakeEngine(), port=port, metrics_port=port, take_next_port=True)
            await lenient.start()
            ports = [int(url.rpartition(":")[2]) for url in (lenient.url, lenient.metrics_url)]
            await lenient.stop()

            assert len({port, *ports}) == 3
            assert all(port < each <= port + 20 for each in ports)

    asyncio.run(scene())


def test_a_host_that_is_no_address_is_an_error() -> None:
    async def scene() -> None:
        with pytest.raises(BindRefused, match=r"metrics\.host is 'no such host'"):
            await make_server(FakeEngine(), metrics_host="no such host").start()

    asyncio.run(scene())


def test_stopping_frees_the_ports_and_may_be_asked_twice() -> None:
    async def scene() -> None:
        server = make_server(FakeEngine())
        await server.start()
        port = int(server.url.rpartition(":")[2])
        await server.stop()
        await server.stop()

        again = make_server(FakeEngine(), port=port)
        await again.start()
        await again.stop()
        assert again.url == server.url

    asyncio.run(scene())


def test_the_page_and_the_document_are_for_paper_mode() -> None:
    async def scene() -> None:
        no_token = {"Authorization": ""}
        async with serving() as paper, aiohttp.ClientSession() as anybody:
            async with anybody.get(paper.server.url + "/docs") as page:
                assert (page.status, page.content_type) == (200, "text/html")
                assert "default-src 'none'" in page.headers["Content-Security-Policy"]
                text = await page.text()
            async with anybody.get(paper.server.url + "/openapi.json") as document:
                assert document.status == 200
        async with serving(mode=Mode.LIVE) as live:
            assert (await live.ask("GET", "/docs"))[0] == 404
            assert (await live.ask("GET", "/openapi.json"))[0] == 200
            assert (await live.ask("GET", "/openapi.json", headers=no_token))[0] == 401

        assert "POST /v1/accounts/{account}/orders" in text
        assert "http://" not in text
        assert "https://" not in text
        assert "<script" not in text

    asyncio.run(scene())


def test_answers_name_no_software_and_are_not_kept() -> None:
    async def scene() -> None:
        async with serving() as client, client.http.get(client.server.url + "/livez") as answer:
            assert answer.headers["Server"] == "engine"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"

    asyncio.run(scene())


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"HELLO\r\n\r\n",
        b"GET / HTTP/9.9 X\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"POST /v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    ],
)
def test_what_is_not_http_or_has_huge_headers_is_a_bad_request(request_bytes: bytes) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await raw(client, request_bytes)

            assert (status, answer["error"]["code"]) == (400, "BAD_REQUEST")
            assert (await client.ask("GET", "/livez"))[0] == 200

    asyncio.run(scene())


@pytest.mark.parametrize("beginning", [b"", b"GET /livez HTTP/1.1\r\nHost: local"])
def test_a_connection_that_asks_nothing_is_closed(beginning: bytes) -> None:
    async def scene() -> None:
        async with serving(patience=QUICK) as client:
            reader, writer = await asyncio.open_connection(*client.address)
            writer.write(beginning)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    asyncio.run(scene())


def test_connections_beyond_the_limit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.api.server._CONNECTIONS_MAX", 2)

    async def scene() -> None:
        async with serving() as client:
            held = [await asyncio.open_connection(*client.address) for _ in range(2)]
            reader, writer = await asyncio.open_connection(*client.address)
            async with asyncio.timeout(5):
                assert await reader.read() == b""
            for _, each in (*held, (reader, writer)):
                each.close()
                await each.wait_closed()

    asyncio.run(scene())


def test_a_stop_does_not_wait_for_idle_connections() -> None:
    async def scene() -> None:
        async with serving() as client:
            reader, writer = await asyncio.open_connection(*client.address)
            request = f"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {SECRET}\r\n\r\n"
            writer.write(request.encode())
            await reader.readuntil(b"}")
            async with asyncio.timeout(1):
                await client.server.stop()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    asyncio.run(scene())

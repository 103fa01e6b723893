"""A gateway made of raw sockets: it records every request and answers exactly as told.

Real TLS, no HTTP library: so a test can count what was written, cut an answer anywhere,
and never answer at all.
"""

import asyncio
import base64
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sized
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.domain.values import SessionName
from engine.gateway.client import GatewayClient, Pacing, TlsPolicy

SESSION = SessionName("main")
QUICK = Pacing(limits={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    file: Path
    key_file: Path
    pin_sha256: str


def make_certificate(folder: Path, *, host: str | None, expired: bool = False) -> Certificate:
    """A self-signed certificate; without a host it is like the one the broker ships."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test gateway")])
    now = datetime.now(UTC)
    ends = now - timedelta(days=1) if expired else now + timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(ends)
    )
    if host is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(host))])
        builder = builder.add_extension(names, critical=False)
    certificate = builder.sign(key, hashes.SHA256())
    folder.mkdir(parents=True, exist_ok=True)
    file, key_file = folder / "cert.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    pin = certificate.fingerprint(hashes.SHA256()).hex()
    return Certificate(file=file, key_file=key_file, pin_sha256=pin)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Script = Callable[[Seen, Stream], Awaitable[bytes | None]]
"""What to write for a request; None closes the connection without a word."""


def http(status: int, body: object, *, content_type: str = "application/json") -> bytes:
    """A whole answer; what is not bytes already is written as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def always(answer: bytes | None) -> Script:
    async def script(_seen: Seen, _stream: Stream) -> bytes | None:
        return answer

    return script


async def never(_seen: Seen, _stream: Stream) -> bytes | None:
    """Hang, as the gateway does when its own upstream is gone."""
    await asyncio.Event().wait()
    return None


def by_path(answers: dict[str, bytes]) -> Script:
    async def script(seen: Seen, _stream: Stream) -> bytes | None:
        path = seen.target.partition("?")[0].removeprefix("/v1/api")
        return answers.get(path, http(404, b"<h1>Resource not found</h1>"))

    return script


def accepted(seen: Seen) -> bytes:
    """The head that opens a WebSocket."""
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    digest = hashlib.sha1((seen.headers["sec-websocket-key"] + guid).encode()).digest()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        f"sec-websocket-accept: {base64.b64encode(digest).decode()}\r\n\r\n"
    ).encode()


def frame(message: object, *, opcode: int = 2) -> bytes:
    """A final, unmasked frame. The gateway sends every message as a binary one."""
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    if len(payload) < 126:
        head = bytes([0x80 | opcode, len(payload)])
    elif len(payload) < 65_536:
        head = bytes([0x80 | opcode, 126]) + len(payload).to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 127]) + len(payload).to_bytes(8, "big")
    return head + payload


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The opcode and unmasked payload of one of the client's short frames."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2), "big")
    assert second & 0x80, "a client masks"
    mask = await reader.readexactly(4)
    masked = await reader.readexactly(length)
    return first & 0x0F, bytes(b ^ mask[i % 4] for i, b in enumerate(masked))


@dataclass(slots=True)
class RawGateway:
    script: Script
    port: int = 0
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.append(writer)
        try:
            while (seen := await _read_request(reader)) is not None:
                self.seen.append(seen)
                answer = await self.script(seen, (reader, writer))
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client is gone or the test is over: nobody is left to answer
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    request, *lines = head.decode().rstrip().split("\r\n")
    method, target, _ = request.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method=method, target=target, headers=headers, body=body)


def server_context(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.file, certificate.key_file)
    return context


@asynccontextmanager
async def raw_gateway(certificate: Certificate, script: Script) -> AsyncIterator[RawGateway]:
    gateway = RawGateway(script)
    context = server_context(certificate)
    server = await asyncio.start_server(gateway.serve, "127.0.0.1", 0, ssl=context)
    gateway.port = server.sockets[0].getsockname()[1]
    try:
        yield gateway
    finally:
        server.close()
        await gateway.stop()
        await server.wait_closed()


@asynccontextmanager
async def client_of(
    url: str,
    certificate: Certificate,
    *,
    pacing: Pacing = QUICK,
    tls: TlsPolicy | None = None,
) -> AsyncIterator[GatewayClient]:
    client = GatewayClient(
        session=SESSION,
        url=url,
        tls=tls or TlsPolicy(verify="pin", pin_sha256=certificate.pin_sha256),
        pacing=pacing,
    )
    await client.start()
    try:
        yield client
    finally:
        await client.close()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something is so; the test's own timeout is the limit."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.001)


async def until_many(items: Sized, count: int) -> None:
    """Let the loop run until there are that many."""
    await until(lambda: len(items) >= count)

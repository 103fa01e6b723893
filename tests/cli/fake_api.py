"""An engine's API that answers what a test tells it to, and remembers what it was asked."""

import json
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "a-secret-nobody-may-see"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a command sent."""

    method: str
    path: str
    query: dict[str, str]
    body: Any
    authorization: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scripted:
    """What one path answers. `cut` ends the connection without an answer."""

    status: int
    content: bytes
    content_type: str = "application/json"
    cut: bool = False
    holds: bool = False


@dataclass(slots=True)
class FakeApi:
    """The scripted API; `url` says where it listens."""

    url: str = ""
    requests: list[Request] = field(default_factory=list)
    scripts: dict[tuple[str, str], Scripted] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    server: ThreadingHTTPServer | None = None

    def answers(self, method: str, path: str, body: object, *, status: int = 200) -> None:
        """Answer with a JSON document, a model's own JSON when it has one."""
        text = body if isinstance(body, str) else json.dumps(body)
        script = Scripted(status=status, content=text.encode())
        self.scripts[method, path] = script

    def refuses(self, method: str, path: str, status: int, code: str, message: str) -> None:
        """Answer with an error of the contract."""
        error = {"code": code, "message": message, "details": {}}
        self.answers(method, path, {"error": error}, status=status)

    def cuts(self, method: str, path: str) -> None:
        """Take the request and close the connection."""
        self.scripts[method, path] = Scripted(status=0, content=b"", cut=True)

    def streams(self, path: str, text: str, *, holds: bool = False) -> None:
        """Send server-sent events; with `holds` the stream stays open and silent."""
        self.scripts["GET", path] = Scripted(
            status=200, content=text.encode(), content_type="text/event-stream", holds=holds
        )

    def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen on a free port, over TLS when there is a context for it."""
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                fake.serve(self)

            do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815 - names that http.server calls

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                """Nothing: a test prints only what fails."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()

    def stop(self) -> None:
        """Close every connection and the port."""
        assert self.server is not None
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Record the request and give the scripted answer."""
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length", "0"))
        content = handler.rfile.read(length)
        self.requests.append(
            Request(
                method=handler.command,
                path=parts.path,
                query=dict(parse_qsl(parts.query)),
                body=json.loads(content) if content else None,
                authorization=handler.headers.get("Authorization"),
            )
        )
        script = self.scripts.get((handler.command, parts.path))
        handler.close_connection = True
        if script is None:
            script = Scripted(
                status=404, content=b'{"error": {"code": "NOT_FOUND", "message": "?"}}'
            )
        if script.cut:
            return
        handler.send_response(script.status)
        handler.send_header("Content-Type", script.content_type)
        if not script.holds:
            handler.send_header("Content-Length", str(len(script.content)))
        handler.end_headers()
        handler.wfile.write(script.content)
        handler.wfile.flush()
        if script.holds:
            self.released.wait()

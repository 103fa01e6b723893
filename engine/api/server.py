"""The API's two listeners: one for clients, one for metrics and health.

Rule 1: the API listens beyond loopback only with TLS. The metrics listener may, without:
it changes nothing and names no account.

Rule 2: stopping ends the event streams, lets requests under way finish for a moment, and
never takes back what the engine was asked to do.
"""

import asyncio
import base64
import errno
import hashlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from engine import log as engine_log
from engine.api import events, feed, health, order, risk, session, strict_json
from engine.api.errors import ApiError
from engine.api.guard import Guard, Observer
from engine.api.openapi import STYLE, docs_page, openapi
from engine.api.route import AnyRoute, Call, Patience, Route, Served, Streams
from engine.api.token import Token
from engine.api.wire import Nothing
from engine.domain.ports import Engine
from engine.domain.values import Mode

log = engine_log.get("api.server")

_NEXT_PORTS: Final = 20
_BACKLOG: Final = 128
_CONNECTIONS_MAX: Final = 1024
_HEADER_BYTES_MAX: Final = 8190
_HEADERS_MAX: Final = 64
_STOP_SECONDS: Final = 2.0
_TLS_HANDSHAKE_SECONDS: Final = 10.0
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
_DOCS_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)


class BindRefused(Exception):  # noqa: N818 - says what happened, as the other results do
    """The address cannot or must not be listened on; the text says why and what would do."""


class ApiServer:
    """Serves an engine over HTTP. Port 0 means any free port; see `url` after `start`."""

    def __init__(
        self,
        *,
        engine: Engine,
        token: Token,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        allowed_hosts: Sequence[str],
        metrics_host: str,
        metrics_port: int,
        mode: Mode,
        take_next_port: bool = False,
        patience: Patience | None = None,
    ) -> None:
        if tls is None and not is_loopback(host):
            message = (
                f"api.host is {host!r}, which others can reach, and there is no TLS; "
                "allowed: 127.0.0.1, ::1, localhost, or any address with a certificate"
            )
            raise BindRefused(message)
        patience = patience or Patience()
        routes = _routes(mode)
        document = openapi(routes)
        self._streams = Streams()
        served = Served(
            engine=engine,
            token=token,
            patience=patience,
            streams=self._streams,
            openapi=strict_json.write(document),
            docs=docs_page(document),
        )
        scheme = "http" if tls is None else "https"
        guard = Guard(token=token, host=host, allowed_hosts=allowed_hosts, scheme=scheme)
        reach = _NEXT_PORTS if take_next_port else 0
        self._api = _Listener(
            name="api", host=host, port=port, tls=tls, reach=reach, patience=patience,
            app=_app(routes, guard, served),
        )  # fmt: skip
        self._metrics = _Listener(
            name="metrics", host=metrics_host, port=metrics_port, tls=None, reach=reach,
            patience=patience, app=_app(health.metrics_routes(), None, served),
        )  # fmt: skip

    @property
    def url(self) -> str:
        """Where clients reach the API, without a slash at the end."""
        return self._api.url

    @property
    def metrics_url(self) -> str:
        """Where the metrics listener is, without a slash at the end."""
        return self._metrics.url

    async def start(self) -> None:
        """Listen on both addresses, or on none.

        Raises:
            BindRefused: when an address cannot be listened on.
        """
        await self._metrics.start()
        try:
            await self._api.start()
        except BaseException:
            await self._metrics.stop()
            raise
        log.info("api_started", url=self.url, metrics_url=self.metrics_url)

    async def stop(self) -> None:
        """Stop listening, end the event streams and let the connections go."""
        self._api.close()
        self._streams.end_all()
        await self._api.stop()
        await self._metrics.stop()
        log.info("api_stopped")


def is_loopback(host: str) -> bool:
    """True when only this machine can reach what listens on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def _openapi(call: Call[Nothing, Nothing]) -> web.Response:
    return web.Response(body=call.served.openapi, content_type="application/json")


async def _docs(call: Call[Nothing, Nothing]) -> web.Response:
    return web.Response(
        text=call.served.docs,
        content_type="text/html",
        headers={"Content-Security-Policy": _DOCS_POLICY},
    )


def _routes(mode: Mode) -> tuple[AnyRoute, ...]:
    """Return the API's table. In live mode the page is off and the document needs a token."""
    paper = mode is Mode.PAPER
    document: AnyRoute = Route(
        method="GET",
        path="/openapi.json",
        summary="This API, described in OpenAPI 3.1",
        query=Nothing,
        body=Nothing,
        answers={200: "application/json"},
        handler=_openapi,
        public=paper,
    )
    page: AnyRoute = Route(
        method="GET",
        path="/docs",
        summary="This API as a page to read; only in paper mode",
        query=Nothing,
        body=Nothing,
        answers={200: "text/html"},
        handler=_docs,
        public=True,
    )
    return (
        *health.ROUTES,
        *session.ROUTES,
        *risk.ROUTES,
        *order.ROUTES,
        *feed.ROUTES,
        *events.ROUTES,
        document,
        *((page,) if paper else ()),
    )


def _app(routes: Sequence[AnyRoute], guard: Guard | None, served: Served) -> web.Application:
    by_key = {(route.method, route.path): route for route in routes}
    observer = Observer(routes=by_key, guard=guard)

    @web.middleware
    async def observe(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        return await observer.handle(request, handler)

    app = web.Application(middlewares=[observe])
    for route in routes:
        app.router.add_route(
            route.method, route.path, _handler(route, served), expect_handler=_expect
        )
    app.on_response_prepare.append(_add_headers)
    return app


def _handler(
    route: AnyRoute, served: Served
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await route.handle(request, served)

    return handle


async def _expect(_request: web.Request) -> None:
    """Promise nothing yet: the body is called for when the headers have passed the checks."""


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "engine"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"


class _Connection(web.RequestHandler):
    """One client's connection: errors below HTTP get our body and our log, too."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let a client in, unless there are too many."""
        super().connection_made(transport)
        assert self._manager is not None
        if len(self._manager.connections) > _CONNECTIONS_MAX:
            log.warning("connection_refused", connections_max=_CONNECTIONS_MAX)
            self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be read, or that nothing else answered."""
        if request.writer.output_size > 0:
            answered = "the answer had begun"
            raise ConnectionError(answered)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("api_failed", exc_info=exc)
            refused = ApiError(status, "INTERNAL", "the engine failed to answer", close=True)
        else:
            log.info("request_unreadable", status=status, kind=type(exc).__name__)
            text = (message or "the request is not HTTP/1.1").splitlines()[0]
            refused = ApiError(status, "BAD_REQUEST", text[:200], close=True)
        return refused.response()

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what went wrong below the handlers."""
        log.error(
            "connection_failed", text=str(args[0]) if args else "", exc_info=kw.get("exc_info")
        )


class _Listener:
    """One bound address with an application behind it."""

    def __init__(
        self,
        *,
        name: str,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        reach: int,
        patience: Patience,
        app: web.Application,
    ) -> None:
        self._name = name
        self._host = host
        self._port = port
        self._tls = tls
        self._reach = reach
        self._patience = patience
        self._runner = web.AppRunner(
            app, handle_signals=False, access_log=None, shutdown_timeout=_STOP_SECONDS
        )
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        host = self._host.strip("[]")
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}"

    async def start(self) -> None:
        listening = self._bind()
        self._port = listening.getsockname()[1]
        loop = asyncio.get_running_loop()
        try:
            await self._runner.setup()
            manager = self._runner.server
            assert manager is not None
            self._server = await loop.create_server(
                lambda: _Connection(
                    manager,
                    loop=loop,
                    keepalive_timeout=self._patience.idle_seconds,
                    lingering_time=self._patience.linger_seconds,
                    max_line_size=_HEADER_BYTES_MAX,
                    max_field_size=_HEADER_BYTES_MAX,
                    max_headers=_HEADERS_MAX,
                    auto_decompress=False,
                    access_log=None,  # type: ignore[arg-type] # None is how aiohttp turns it off
                ),
                sock=listening,
                backlog=_BACKLOG,
                ssl=self._tls,
                ssl_handshake_timeout=None if self._tls is None else _TLS_HANDSHAKE_SECONDS,
            )
        except BaseException:
            listening.close()
            await self._runner.cleanup()
            raise

    def close(self) -> None:
        """Take no new connections."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def stop(self) -> None:
        self.close()
        await self._runner.cleanup()

    def _bind(self) -> socket.socket:
        host = self._host.strip("[]")
        try:
            found = socket.getaddrinfo(host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            message = f"{self._name}.host is {self._host!r}, which is no address: {error.strerror}"
            raise BindRefused(message) from error
        family, address = _prefer_ipv4(found)
        last = min(self._port + self._reach, 65_535) if self._port else 0
        for port in range(self._port, last + 1):
            listening = socket.socket(family, socket.SOCK_STREAM)
            try:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind((address, port))
                listening.listen(_BACKLOG)
            except OSError as error:
                listening.close()
                if error.errno == errno.EADDRINUSE and port < last:
                    continue
                ports = f"port {port}" if not self._reach else f"ports {self._port} to {port}"
                message = f"{self._name}: cannot listen on {host} {ports}: {error.strerror}"
                raise BindRefused(message) from error
            listening.setblocking(False)  # noqa: FBT003 - the socket's own signature
            return listening
        raise AssertionError("the last port returns or raises")  # noqa: EM101, TRY003 - cannot happen


def _prefer_ipv4(found: Sequence[tuple[Any, ...]]) -> tuple[int, str]:
    """Return the family and the address to bind; `localhost` is 127.0.0.1 where it can be."""
    chosen = min(found, key=lambda each: each[0] != socket.AF_INET)
    return chosen[0], chosen[4][0]

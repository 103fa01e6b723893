"""The server: TLS, paths, limits and faults around the world's handlers.

Rule 1: it behaves as the broker's gateway does in front of its upstream: a few
requests at a time, unknown paths redirected, chunked bodies lost, chunked
answers, and no answer at all when the upstream never gave one.

Rule 2: one loop does everything; a handler runs from its checks to its effects
without a pause.
"""

import asyncio
import contextlib
import re
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import structlog
from aiohttp import web

from engine.sim import (
    rest_changes,
    rest_contracts,
    rest_market_data,
    rest_order_reads,
    rest_orders,
    rest_portfolio,
    rest_questions,
    rest_search,
    rest_session,
)
from engine.sim.answers import Answer, Call, Fate, decode, refused, text
from engine.sim.certificate import load_or_make_certificate
from engine.sim.config import SimConfig
from engine.sim.faults import Faults
from engine.sim.pacing import Pacing
from engine.sim.responses import (
    EDGE_PAGE,
    NOT_FOUND,
    PREFLIGHT_HEADERS,
    date_header,
    raw,
    response_to,
)
from engine.sim.routes import Match, Router
from engine.sim.session import NO_BRIDGE, Tier
from engine.sim.stream import ClientSocket
from engine.sim.venue import Venue
from engine.sim.world import World

_log = structlog.get_logger("engine.sim")

GONE_POLL_S: Final = 0.05
LOGIN_PATH: Final = "/sso/Login?forwardTo=22&RL=1&ip2loc=US"
# The real gateway redirects to the broker's host; a name that never resolves
# keeps a client that follows redirects on this machine.
UPSTREAM_URL: Final = "https://upstream.invalid"
_FORWARDED: Final = re.compile(r"^/(?:v1|qa|ci|alpha|local)/(?:portal|am|api|tws)(/.*)$")
_SOCKET_PATH: Final = "/ws"


class SimGateway:
    """A simulated gateway; use it as an async context manager, or start and stop it.

    `url`, `ca_file` and `pin_sha256` are set once it has started. `faults` may
    be changed at any time; `venue` is the truth to compare with.
    """

    def __init__(
        self,
        config: SimConfig,
        *,
        faults: Faults | None = None,
        clock: Callable[[], int] | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a gateway that goes on from `state`, when one is given.

        `clock` tells the time in epoch milliseconds; without one it is the
        machine's.

        Raises:
            StateError: The state cannot be used.
        """
        self.config = config
        self.faults = faults or Faults()
        self.world = World(config, clock or _WallClock(), self.faults, state)
        self.pacing = Pacing()
        self.url = ""
        self.ca_file = Path()
        self.pin_sha256 = ""
        self._router = Router(
            (
                *rest_session.ROUTES,
                *rest_contracts.ROUTES,
                *rest_search.ROUTES,
                *rest_market_data.ROUTES,
                *rest_portfolio.ROUTES,
                *rest_orders.ROUTES,
                *rest_changes.ROUTES,
                *rest_questions.ROUTES,
                *rest_order_reads.ROUTES,
            )
        )
        self.routes = self._router.routes
        self._slots = asyncio.Semaphore(config.upstream_slots)
        self._stopping = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._exit = contextlib.ExitStack()
        self._context: ssl.SSLContext | None = None
        # A dict and no set: connections are cut in the order they came.
        self._transports: dict[asyncio.Transport, None] = {}
        self._under_way: Counter[str] = Counter()

    @property
    def venue(self) -> Venue:
        """The venue behind the gateway."""
        return self.world.venue

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; afterwards `url` says where.

        Raises:
            OSError: The port is taken or the certificate folder cannot be written.
        """
        directory = self.config.cert_dir
        if directory is None:
            directory = Path(
                self._exit.enter_context(tempfile.TemporaryDirectory(prefix="engine-sim-"))
            )
        certificate = load_or_make_certificate(directory)
        self.ca_file, self.pin_sha256 = certificate.certificate_file, certificate.pin_sha256
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.certificate_file, certificate.key_file)
        self._context = context
        self._runner = web.AppRunner(self.app(), access_log=None, shutdown_timeout=1)
        try:
            await self._runner.setup()
            site = web.TCPSite(
                self._runner, self.config.host, self.config.port, ssl_context=context
            )
            await site.start()
        except OSError:
            await self.stop()
            raise
        shown = "127.0.0.1" if self.config.host in {"0.0.0.0", ""} else self.config.host  # noqa: S104 - compared, not bound
        host = f"[{shown}]" if ":" in shown else shown
        self.url = f"https://{host}:{self._runner.addresses[0][1]}"
        self.start_clock()

    def app(self) -> web.Application:
        """All paths as an application, for whoever brings connections of their own.

        Such an owner calls `start_clock` before the first request and
        `stop_clock` at the end, instead of `start` and `stop`.
        """
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    def start_clock(self) -> None:
        """Let the market move; needs a running loop, whose time paces it."""
        self._stopping.clear()
        self._ticker = asyncio.create_task(self._tick())

    async def stop_clock(self) -> None:
        """Close every socket, end every hanging request and let the market stand."""
        self._stopping.set()
        for subscriber in tuple(self.world.subscribers):
            subscriber.close()
        if self._ticker is not None:
            await self._ticker
            self._ticker = None

    async def stop(self) -> None:
        """Close every connection and forget everything but the kept certificate."""
        await self.stop_clock()
        if self._runner is not None:
            server = self._runner.server
            transports = [row.transport for row in server.connections] if server else []
            await self._runner.cleanup()
            self._runner = None
            # A TLS close waits for the client's part of it, which an idle
            # keep-alive client does not send.
            for transport in transports:
                if transport is not None:
                    transport.abort()
            await asyncio.sleep(0)
        self._exit.close()

    async def _tick(self) -> None:
        """Move the world on until the gateway stops."""
        try:
            while not self._stopping.is_set():
                self.world.advance(self.world.clock_ms())
                await asyncio.sleep(self.config.tick_ms / 1000)
        except Exception:
            # Without this line a stopped market would look like a quiet one.
            _log.exception("market_stopped")
            raise

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        forwarded = _FORWARDED.match(request.path)
        self._note(request)
        if self.world.clock_ms() < self.world.down_until_ms:
            return self._hang_up(request)
        if request.method == "OPTIONS":
            headers = {**PREFLIGHT_HEADERS, **date_header(self.world.clock_ms())}
            return web.Response(status=204, headers=headers)
        if forwarded is None:
            return self._serve_locally(request)
        path = forwarded[1].rstrip("/") or "/"
        if path == _SOCKET_PATH and request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve_socket(request)
        try:
            body = await self._read_body(request)
        except ConnectionError:
            return self._hang_up(request)  # Its client left before all of it was said.
        if self.faults.takes("session_resets"):
            self.faults.reset_brokerage()
        if self.faults.takes("certificate_changes") and self.change_certificate():
            return self._hang_up(request)
        if self.faults.takes("gc_pause"):
            pause_ms = self.faults.span_ms("gc_pause_s")
            self.world.paused_until_ms = self.world.clock_ms() + pause_ms
        await self._stand_still()
        if self.world.is_silent:
            return await self._wait_for_the_end(request)
        if path == "/iserver/reauthenticate":
            answer = self._reauthenticate()
            return response_to(answer, self.world.clock_ms())
        match = self._router.match(request.method, path)
        with self._counted(match) as admitted:
            if not admitted:
                return response_to(text("Too Many Requests", 429), self.world.clock_ms())
            return await self._serve_upstream(request, path, body, match)

    async def _stand_still(self) -> None:
        """Wait until a pause of the whole gateway is over."""
        while self.world.is_paused:
            left_ms = self.world.paused_until_ms - self.world.clock_ms()
            if await self._stopped_within(left_ms / 1000):
                return

    async def _stopped_within(self, seconds: float) -> bool:
        """True as soon as the gateway stops, False when it does not in that time."""
        try:
            await asyncio.wait_for(self._stopping.wait(), max(seconds, 0.001))
        except TimeoutError:
            return False
        return True

    async def _serve_upstream(
        self, request: web.Request, path: str, body: object, match: Match | None
    ) -> web.Response:
        async with self._slots:
            if self.faults.extra_latency_ms:
                self.faults.struck["extra_latency_ms"] += 1
                await asyncio.sleep(self.faults.extra_latency_ms / 1000)
            answer = self._answer(
                Call(
                    method=request.method,
                    path=path,
                    query=dict(request.query),
                    body=body,
                    now_ms=self.world.clock_ms(),
                ),
                match,
            )
            return await self._deliver(request, answer)

    def change_certificate(self) -> bool:
        """Show a new certificate from now on; False when no TLS is spoken here.

        The one that is kept in a folder stays there: it is shown again after a restart.
        """
        if self._context is None:
            return False
        directory = self._exit.enter_context(tempfile.TemporaryDirectory(prefix="engine-sim-"))
        certificate = load_or_make_certificate(Path(directory))
        self._context.load_cert_chain(certificate.certificate_file, certificate.key_file)
        self.ca_file, self.pin_sha256 = certificate.certificate_file, certificate.pin_sha256
        self.cut_connections()
        return True

    def cut_connections(self) -> int:
        """Abort every connection, of requests and of sockets, and return how many there were."""
        open_ones = [row for row in self._transports if not row.is_closing()]
        for transport in open_ones:
            transport.abort()
        self._transports.clear()
        return len(open_ones)

    def restart(self, *, down_s: float, logged_in: bool) -> None:
        """Lose all connections and sessions, as a gateway does whose process starts anew.

        Connections are refused for `down_s`; the venue lives on meanwhile.
        """
        now_ms = self.world.clock_ms()
        self.world.down_until_ms = now_ms + int(down_s * 1000)
        self.world.session.forget(now_ms, logged_in=logged_in)
        self.cut_connections()

    def _note(self, request: web.Request) -> None:
        """Remember a connection, and forget those that are gone."""
        self._transports = {row: None for row in self._transports if not row.is_closing()}
        if request.transport is not None:
            self._transports[request.transport] = None

    def _hang_up(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=502, headers=date_header(self.world.clock_ms()))

    @contextlib.contextmanager
    def _counted(self, match: Match | None) -> Iterator[bool]:
        """Count a request that has a limit of concurrent ones; False is one too many."""
        route = match.route if match is not None else None
        if route is None or not route.concurrent_max:
            yield True
            return
        if self._under_way[route.pattern] >= route.concurrent_max:
            yield False
            return
        self._under_way[route.pattern] += 1
        try:
            yield True
        finally:
            self._under_way[route.pattern] -= 1

    def _serve_locally(self, request: web.Request) -> web.Response:
        """What the gateway answers itself: the login pages, and redirects for the rest."""
        now_ms = self.world.clock_ms()
        match request.method, request.path:
            case "GET", "/":
                headers = {"Location": LOGIN_PATH, **date_header(now_ms)}
                return web.Response(status=302, headers=headers)
            case "GET", "/sso/Login":
                page = '<form method="post" action="/sso/Dispatcher"><button>Log in</button></form>'
                return response_to(
                    Answer(body=page, is_text=True, content_type="text/html"), now_ms
                )
            case "POST", "/sso/Dispatcher" if self.world.is_maintained:
                return response_to(text("System maintenance", 503), now_ms)
            case "POST", "/sso/Dispatcher" if self.faults.holds("login_latched"):
                self.faults.struck["login_latched"] += 1
                return response_to(text("Too many failed logins", 403), now_ms)
            case "POST", "/sso/Dispatcher":
                self.world.session.log_in(now_ms)
                _log.info("client_logged_in", username=self.config.username)
                return response_to(text("Client login succeeds"), now_ms)
            case "GET", "/clear":
                return response_to(text("cleared"), now_ms)
            case _:
                location = f"{UPSTREAM_URL}{request.path_qs}"
                headers = {"Location": location, **date_header(now_ms)}
                return web.Response(status=302, headers=headers)

    async def _read_body(self, request: web.Request) -> object:
        payload = await request.read()
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            # The gateway forwards an empty body in this case.
            return None
        return decode(payload) if payload else None

    def _reauthenticate(self) -> Answer:
        """Answered by the gateway itself, at once; the session opens later."""
        session, now_ms = self.world.session, self.world.clock_ms()
        if session.login is None:
            return Answer(body={"error": "not logged in"})
        session.open_brokerage(now_ms)
        return Answer(body={"message": "triggered"})

    def _answer(self, call: Call, match: Match | None) -> Answer:
        """From a call to its answer, with everything that happens in between."""
        world, now_ms = self.world, call.now_ms
        world.apply_faults()
        if self.faults.holds("unauthorized"):
            self.faults.struck["unauthorized"] += 1
            return text("Access Denied", 401)
        if self.faults.takes("edge_403"):
            return EDGE_PAGE
        if not self._admitted(call, match):
            return text("Too Many Requests", 429)
        if match is None:
            login = world.session.missing(Tier.LOGIN, now_ms)
            return NOT_FOUND if login is None else refused(login)
        world.session.touch(now_ms)
        missing = world.session.missing(match.route.tier, now_ms)
        if missing is None and self._has_no_bridge_yet(match.route.tier, now_ms):
            missing = NO_BRIDGE
        if missing is not None:
            return refused(missing)
        if match.route.is_order_request:
            world.session.invalidate_question()
        answer = match.route.handler(
            world,
            Call(
                method=call.method,
                path=call.path,
                query=call.query,
                body=call.body,
                now_ms=now_ms,
                parts=match.parts,
            ),
        )
        world.publish()
        return answer

    def _has_no_bridge_yet(self, tier: Tier, now_ms: int) -> bool:
        """True while a brokerage session whose status is good already cannot be used."""
        brokerage, delay_ms = self.world.session.brokerage, self.faults.no_bridge_ms
        if brokerage is None or tier not in (Tier.BROKERAGE, Tier.PRIMED):
            return False
        too_early = now_ms < brokerage.established_at_ms + delay_ms
        if too_early:
            self.faults.struck["no_bridge_ms"] += 1
        return too_early

    def _admitted(self, call: Call, match: Match | None) -> bool:
        if self.faults.takes("too_many_requests"):
            self.pacing.box(call.now_ms + self.faults.span_ms("penalty_box_s"))
            return False
        if self.pacing.is_boxed(call.now_ms) and self.faults.shows("penalty_extends"):
            self.pacing.box(call.now_ms + self.faults.span_ms("penalty_box_s"))
        if not self.config.enforce_pacing:
            return True
        per_ms = match.route.per_ms if match is not None else 0
        # A read that clears the cache has a pace of its own, because it must be
        # followed by a plain one to be of any use.
        key = f"{match.route.pattern if match else call.path}:{call.flag('force')}"
        return self.pacing.admits(
            key,
            call.now_ms,
            per_ms=per_ms,
            burst=match.route.burst if match is not None else 1,
            box_ms=self.faults.span_ms("penalty_box_s"),
        )

    async def _deliver(self, request: web.Request, answer: Answer) -> web.Response:
        if answer.delay_ms:
            await self._stopped_within(answer.delay_ms / 1000)
        if answer.fate is Fate.SENT:
            return response_to(answer, self.world.clock_ms())
        transport = request.transport
        if answer.fate is Fate.CUT and transport is not None:
            transport.write(raw(answer)[: answer.bytes_max])
            transport.abort()
        return await self._wait_for_the_end(request)

    async def _wait_for_the_end(self, request: web.Request) -> web.Response:
        """Say nothing until the client gives up.

        The upstream slot stays taken meanwhile, as in the real gateway, which
        has no timeout of its own.
        """
        transport = request.transport
        while not self._stopping.is_set() and transport is not None and not transport.is_closing():
            await self._stopped_within(GONE_POLL_S)
            transport = request.transport
        if transport is not None:
            transport.abort()
        return web.Response(status=502)

    async def _serve_socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False, compress=False)
        socket.headers.update(date_header(self.world.clock_ms()))
        await socket.prepare(request)
        await ClientSocket(self.world, socket).run()
        return socket


class _WallClock:
    """Epoch milliseconds that never go backwards."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def __call__(self) -> int:
        return (time.monotonic_ns() + self._offset_ns) // 1_000_000

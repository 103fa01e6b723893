"""One gateway's HTTP: who may send when, over which connection, and for how long.

Rule 1: every request gets its turn from the pacer and has a deadline; every answer has a
limit of bytes. The gateway itself never times out, and loses bodies without a length.

Rule 2: what changes something is written once. aiohttp would repeat a DELETE whose
connection broke, so the write hook refuses the second time.

Rule 3: `NoAnswer.sent` is False only when not one byte was written: the hook runs right
before the first one, after the connection is open, and is where `send_by_ns` counts.

Rule 4: redirects are not followed. They lead to a login page, or off this machine.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final, Literal, TypeVar

import aiohttp
from yarl import URL

from engine import log, metrics
from engine.domain.values import SessionName
from engine.gateway.pacing import Lane, Pacer, Pacing, Waiter
from engine.gateway.tls import TlsPolicy, check_url, verification

__all__ = [
    "Answer",
    "Broken",
    "GatewayClient",
    "Lane",
    "NoAnswer",
    "Pacing",
    "Request",
    "TlsPolicy",
]

T = TypeVar("T")

USER_AGENT: Final = "ibkr-execution-engine"
ORDER_ANSWER_BYTES_MAX: Final = 256 * 1024
LIST_ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024

_NS_PER_MS: Final = 1_000_000
_CONNECT_MS: Final = 5_000
_DEADLINE_MS: Final = 12_000
"""The broker gives up on its own backend after ten seconds; its 503 should still be heard."""
_TURN_WAIT_MS: Final = 30_000
_IDLE_REUSE_S: Final = 4
"""A connection idle for longer may be half gone already."""
_TOO_MANY_REQUESTS: Final = 429
_TOO_LATE: Final = "the moment to send had passed"

_log = log.get("gateway.client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the gateway.

    `path` is below `/v1/api` and may have a query. `endpoint` is the path with its
    variable parts named, for pacing and metrics. `send_by_ns` is monotonic: later than
    that not a byte is written. `changes` marks what must never be written twice.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    endpoint: str
    lane: Lane
    body: bytes | None = None
    changes: bool = False
    send_by_ns: int | None = None
    interval_ms: int = 0
    answer_bytes_max: int = LIST_ANSWER_BYTES_MAX
    deadline_ms: int = _DEADLINE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    body: bytes


class Broken(StrEnum):
    """Why there is no whole answer."""

    LATE = "late"
    RATE_LIMITED = "rate_limited"
    UNREACHABLE = "unreachable"
    TLS_REFUSED = "tls_refused"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    TOO_LARGE = "too_large"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """There is no whole answer. `sent` is False when provably no byte was written."""

    why: Broken
    sent: bool
    message: str


class _TooLate(Exception):  # noqa: N818 - says what happened, is caught in this file
    """The moment to send had passed when the connection was open."""


class _SecondWrite(Exception):  # noqa: N818 - as above
    """The library wanted to write a request again that must be written once."""


@dataclass(slots=True, kw_only=True)
class _Exchange:
    """How far a request has come; the write hook keeps it."""

    request: Request
    timeout: asyncio.Timeout | None = None
    written_at: float | None = None
    is_probe: bool = False

    @property
    def written(self) -> bool:
        return self.written_at is not None


@dataclass(slots=True, eq=False, repr=False)  # the token in it must not get into a log
class GatewayClient:
    """The one way to a gateway. `start` it in the loop that it is used in.

    `url` is `https://host:port`; the API's prefix is added here. Raises `ValueError` when
    the address or the TLS policy cannot be used.
    """

    session: SessionName = field(kw_only=True)
    url: str = field(kw_only=True)
    tls: TlsPolicy = field(kw_only=True)
    pacing: Pacing = field(kw_only=True)
    clock: Callable[[], int] = field(kw_only=True, default=time.monotonic_ns)
    stream_token: str | None = field(init=False, default=None)
    """The token that the broker's stream may ask for; every tickle brings it."""
    _verification: Any = field(init=False)
    _pacer: Pacer = field(init=False)
    _turns: dict[Waiter, asyncio.Future[None]] = field(init=False, default_factory=dict)
    _wake: asyncio.TimerHandle | None = field(init=False, default=None)
    _tasks: set[asyncio.Task[None]] = field(init=False, default_factory=set)
    _kept: aiohttp.ClientSession | None = field(init=False, default=None)
    _fresh: aiohttp.ClientSession | None = field(init=False, default=None)
    _closing: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Check what was configured, before anything runs."""
        self.url = check_url(self.url)
        self._verification = verification(self.tls, self.url)
        self._pacer = Pacer(self.pacing)

    async def start(self) -> None:
        """Make the connection pools. Nothing is connected yet."""
        self._kept = self._pool(force_close=False, keepalive_timeout=_IDLE_REUSE_S)
        self._fresh = self._pool(force_close=True)

    def defer(self, endpoint: str, interval_ms: int) -> None:
        """Let an endpoint rest for its interval, as if it had just answered."""
        self._pacer.note_answer(endpoint, interval_ms, self.clock())

    async def close(self) -> None:
        """End everything; requests under way are answered first, as broken off."""
        self._closing = True
        # A task that never ran would end without its answer: let every one begin.
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._wake is not None:
            self._wake.cancel()
        for pool in (self._kept, self._fresh):
            if pool is not None:
                await pool.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` until it is done or this client is closed."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def answer(
        self, work: Awaitable[T], tell: Callable[[T], None], otherwise: Callable[[Exception], T]
    ) -> None:
        """Run `work` and tell what it returns, or `otherwise` when it fails: exactly once."""

        async def run() -> None:
            try:
                message = await work
            except Exception as error:  # noqa: BLE001 - the caller waits for its one answer
                _log.exception("gateway_call_failed", session=self.session)
                message = otherwise(error)
            tell(message)

        self.spawn(run())

    async def request(self, request: Request) -> Answer | NoAnswer:
        """Make one request and return its answer, or why there is none. It does not raise."""
        exchange = _Exchange(request=request)
        try:
            refusal = await self._turn(request)
            if refusal is not None:
                return refusal
            exchange.is_probe = self._pacer.penalty_ms(self.clock()) is not None
            try:
                result = await self._exchange(exchange)
            finally:
                self._pacer.finish()
                now_ns = self.clock()
                self._pacer.note_answer(request.endpoint, request.interval_ms, now_ns)
                self._pump()
        except asyncio.CancelledError:
            if not self._closing:
                raise
            result = NoAnswer(
                why=Broken.CLOSED, sent=exchange.written, message="the engine is stopping"
            )
        self._count(exchange, result)
        return result

    async def open(self, path: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Begin a GET on a connection of its own, for a protocol that starts as HTTP.

        The caller closes the response. Raises what aiohttp raises.
        """
        assert self._fresh is not None, "start() comes first"
        response = await self._fresh.get(
            self._target(path),
            headers={"Connection": "Upgrade", **headers},
            allow_redirects=False,
            trace_request_ctx=_Exchange(request=_UPGRADE),
        )
        if response.status == _TOO_MANY_REQUESTS:
            self._penalise(_UPGRADE)
        return response

    async def upgrade_turn(self) -> NoAnswer | None:
        """Wait until the stream's handshake may be sent; `upgrade_done` must follow."""
        return await self._turn(_UPGRADE)

    def upgrade_done(self) -> None:
        """Free the place of a handshake that had its turn."""
        self._pacer.finish()
        self._pump()

    async def _exchange(self, exchange: _Exchange) -> Answer | NoAnswer:
        request = exchange.request
        in_flight = metrics.HTTP_IN_FLIGHT.labels(self.session)
        in_flight.inc()
        try:
            async with asyncio.timeout(_CONNECT_MS / 1000) as exchange.timeout:
                return await self._send(exchange)
        except TimeoutError:
            limit_ms = request.deadline_ms if exchange.written else _CONNECT_MS
            what = "no answer" if exchange.written else "no connection"
            why = Broken.TIMEOUT if exchange.written else Broken.UNREACHABLE
            return NoAnswer(why=why, sent=exchange.written, message=f"{what} within {limit_ms} ms")
        except _TooLate:
            return NoAnswer(why=Broken.LATE, sent=False, message=_TOO_LATE)
        except Exception as error:  # noqa: BLE001 - whatever broke, the caller needs an answer
            return _broken(error, written=exchange.written)
        finally:
            in_flight.dec()

    async def _send(self, exchange: _Exchange) -> Answer | NoAnswer:
        request = exchange.request
        pool = self._fresh if request.changes else self._kept
        assert pool is not None, "start() comes first"
        headers = {"Content-Type": "application/json"} if request.body is not None else {}
        async with pool.request(
            request.method,
            self._target(request.path),
            data=request.body,
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=exchange,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > request.answer_bytes_max:
                    response.close()
                    message = f"answer of over {request.answer_bytes_max} bytes, the limit"
                    return NoAnswer(why=Broken.TOO_LARGE, sent=True, message=message)
            answer = Answer(status=response.status, body=bytes(body))
        if answer.status == _TOO_MANY_REQUESTS:
            self._penalise(request)
        elif exchange.is_probe:
            self._pacer.forgive()
        return answer

    def _target(self, path: str) -> URL:
        return URL(f"{self.url}/v1/api{path}", encoded=True)

    def _penalise(self, request: Request) -> None:
        metrics.HTTP_429.labels(self.session).inc()
        self._pacer.penalise(self.clock())
        _log.error(
            "gateway_pace_refused",
            session=self.session,
            endpoint=request.endpoint,
            penalty_ms=self.pacing.penalty_ms,
        )
        for waiter, turn in list(self._turns.items()):
            if waiter.lane is not Lane.CANCEL and not turn.done():
                turn.set_exception(_Penalised)

    async def _turn(self, request: Request) -> NoAnswer | None:
        """Wait for the request's turn; None when it has it."""
        if self._closing:
            return NoAnswer(why=Broken.CLOSED, sent=False, message="the engine is stopping")
        began_ns = self.clock()
        penalty_ms = self._pacer.penalty_ms(began_ns)
        if penalty_ms is not None and request.lane is not Lane.CANCEL:
            return _rate_limited(penalty_ms)
        wait_ms = _TURN_WAIT_MS
        if request.send_by_ns is not None:
            wait_ms = min(wait_ms, (request.send_by_ns - began_ns) // _NS_PER_MS)
        if wait_ms <= 0:
            return NoAnswer(why=Broken.LATE, sent=False, message=_TOO_LATE)
        waiter = Waiter(
            lane=request.lane, endpoint=request.endpoint, interval_ms=request.interval_ms
        )
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns[waiter] = turn
        self._pacer.join(waiter)
        self._pump()
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pacer.finish()
            self._pump()
            if isinstance(error, TimeoutError):
                message = f"no turn within {wait_ms} ms"
                return NoAnswer(why=Broken.LATE, sent=False, message=message)
            if isinstance(error, _Penalised):
                return _rate_limited(self.pacing.penalty_ms)
            raise
        finally:
            self._turns.pop(waiter, None)
            self._pacer.leave(waiter)
        waited_s = (self.clock() - began_ns) / 1e9
        metrics.PACING_WAIT_SECONDS.labels(self.session, request.lane.name.lower()).observe(
            waited_s
        )
        return None

    def _pump(self) -> None:
        """Give turns to all who may have one now, and look again when that changes."""
        now_ns = self.clock()
        for waiter in self._pacer.admit(now_ns):
            turn = self._turns.get(waiter)
            if turn is None or turn.done():
                self._pacer.finish()
            else:
                turn.set_result(None)
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        wake_ns = self._pacer.wake_ns(now_ns)
        if wake_ns is not None:
            # A timer may fire a little early; a millisecond later is never too early.
            delay_s = (wake_ns - now_ns) / 1e9 + 0.001
            self._wake = asyncio.get_running_loop().call_later(delay_s, self._pump)

    def _pool(self, *, force_close: bool, **options: Any) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(self._before_connect)
        trace.on_request_headers_sent.append(self._before_write)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=self._verification, limit=0, force_close=force_close, **options
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(),
            trace_configs=[trace],
            trust_env=False,
        )

    async def _before_connect(
        self, _pool: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object
    ) -> None:
        _refuse_second(context.trace_request_ctx)

    async def _before_write(
        self, _pool: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object
    ) -> None:
        """Run right before the first byte: the connection is open, and nothing was written."""
        exchange: _Exchange = context.trace_request_ctx
        _refuse_second(exchange)
        request = exchange.request
        if request.send_by_ns is not None and self.clock() >= request.send_by_ns:
            raise _TooLate
        loop = asyncio.get_running_loop()
        exchange.written_at = loop.time()
        if exchange.timeout is not None:
            exchange.timeout.reschedule(loop.time() + request.deadline_ms / 1000)

    def _count(self, exchange: _Exchange, result: Answer | NoAnswer) -> None:
        if exchange.written_at is None:
            return
        outcome = f"{result.status // 100}xx" if isinstance(result, Answer) else result.why.value
        seconds = metrics.HTTP_SECONDS.labels(self.session, exchange.request.endpoint, outcome)
        seconds.observe(asyncio.get_running_loop().time() - exchange.written_at)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("gateway_task_failed", session=self.session, exc_info=error)


class _Penalised(Exception):  # noqa: N818 - as above
    """The gateway said HTTP 429 while a request waited for its turn."""


_UPGRADE: Final = Request(method="GET", path="/ws", endpoint="/ws", lane=Lane.STATUS)


def _refuse_second(exchange: _Exchange) -> None:
    if exchange.written and exchange.request.changes:
        raise _SecondWrite


def _rate_limited(penalty_ms: int) -> NoAnswer:
    message = f"HTTP 429 before; nothing is sent for another {penalty_ms} ms"
    return NoAnswer(why=Broken.RATE_LIMITED, sent=False, message=message)


def _broken(error: Exception, *, written: bool) -> NoAnswer:
    match error:
        case (
            aiohttp.ServerFingerprintMismatch()
            | aiohttp.ClientConnectorCertificateError()
            | aiohttp.ClientConnectorSSLError()
        ):
            why = Broken.TLS_REFUSED
        case aiohttp.ClientConnectorError():
            why = Broken.UNREACHABLE
        case _SecondWrite() | aiohttp.ClientError() | OSError():
            why = Broken.DISCONNECTED if written else Broken.UNREACHABLE
        case _:
            _log.error("gateway_request_failed", exc_info=error)
            why = Broken.DISCONNECTED
    message = "the connection was lost before the answer" if written else _words(error)
    return NoAnswer(why=why, sent=written, message=message)


def _words(error: Exception) -> str:
    match error:
        case aiohttp.ServerFingerprintMismatch(got=got):
            return f"the certificate's SHA-256 is {got.hex()}, not the pinned one"
        case _:
            return str(error) or type(error).__name__

"""One gateway's HTTP: who may send when, over which connection, and for how long.

Rule 1: every request gets its turn from the pacer and has a deadline; every answer has a
limit of bytes. The gateway itself never times out, and loses bodies without a length.

Rule 2: a request is written once. aiohttp would repeat a GET or a DELETE whose connection
broke; a repeated order is worse than none, and a repeated read comes sooner than the
broker allows. So the write hook refuses the second time.

Rule 3: `NoAnswer.sent` is False only when not one byte was written: the hook runs right
before the first one, after the connection is open, and is where `send_by_ns` counts.

Rule 4: redirects are not followed. They lead to a login page, or off this machine.

Rule 5: what changes something has connections of its own, which no read has used. One that
was idle under four seconds is used again, where nothing has come over it since.

Rule 6: whoever wants late answers, too, gets "no answer" at the deadline like everybody, and
the answer once more when it still comes. Nothing is written for that.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from types import SimpleNamespace
from typing import Any, Final, Literal, TypeAlias, TypeVar

import aiohttp
from yarl import URL

from engine import log, metrics
from engine.domain.ports import ANSWER_MS_MAX, LATE_ANSWER_MS_MAX
from engine.domain.values import SessionName
from engine.gateway.kept import CheckedRequest, UnusableConnection
from engine.gateway.pacing import Lane, Pacing, Waiter
from engine.gateway.tls import TlsPolicy, check_url, verification
from engine.gateway.turns import TooFast, TooLate, Turns
from engine.gateway.wire.session import refuses_pace

__all__ = [
    "LATE_ANSWER_MS_MAX",
    "SOCKETS",
    "Answer",
    "Broken",
    "Connector",
    "GatewayClient",
    "Lane",
    "NoAnswer",
    "Pacing",
    "Request",
    "TlsPolicy",
]

T = TypeVar("T")

Connector: TypeAlias = Callable[..., aiohttp.BaseConnector]
"""What makes the connections of a pool; it is called as `aiohttp.TCPConnector` is."""
SOCKETS: Final[Connector] = aiohttp.TCPConnector
USER_AGENT: Final = "ibkr-execution-engine"
ORDER_ANSWER_BYTES_MAX: Final = 256 * 1024
LIST_ANSWER_BYTES_MAX: Final = 8 * 1024 * 1024

_CONNECT_MS: Final = 5_000
_IDLE_REUSE_S: Final = 4
"""A connection idle for longer may be half gone already."""

_log = log.get("gateway.client")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to the gateway.

    `path` is below `/v1/api` and may have a query. `endpoint` is the path with its
    variable parts named, for its limit and for metrics. `send_by_ns` is monotonic: later than
    that not a byte is written. What `changes` something goes over connections of its own.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    endpoint: str
    lane: Lane
    body: bytes | None = None
    changes: bool = False
    send_by_ns: int | None = None
    answer_bytes_max: int = LIST_ANSWER_BYTES_MAX
    deadline_ms: int = ANSWER_MS_MAX
    late: "Late | None" = None
    """Told an answer that came after the deadline, if one does within a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer, whatever its status."""

    status: int
    body: bytes


Late: TypeAlias = Callable[[Answer], None]


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


class _SecondWrite(Exception):  # noqa: N818 - says what happened, is caught in this file
    """The library wanted to write a request again."""


@dataclass(slots=True, kw_only=True)
class _Exchange:
    """How far a request has come; the write hook keeps it."""

    request: Request
    turn: Waiter
    began_ns: int
    timeout: asyncio.Timeout | None = None
    written_at: float | None = None
    is_probe: bool = False

    @property
    def written(self) -> bool:
        return self.written_at is not None

    def refuse_second(self) -> None:
        if self.written:
            raise _SecondWrite


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
    connector: Connector = field(kw_only=True, default=SOCKETS)
    stream_token: str | None = field(init=False, default=None)
    """The token that the broker's stream may ask for; every tickle brings it."""
    _verification: Any = field(init=False)
    _turns: Turns = field(init=False)
    _tasks: set[asyncio.Task[Any]] = field(init=False, default_factory=set)
    _reads: aiohttp.ClientSession | None = field(init=False, default=None)
    _changes: aiohttp.ClientSession | None = field(init=False, default=None)
    _fresh: aiohttp.ClientSession | None = field(init=False, default=None)
    _closing: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Check what was configured, before anything runs."""
        self.url = check_url(self.url)
        self._verification = verification(self.tls, self.url)
        self._turns = Turns(self.session, self.pacing, self.clock)

    async def start(self) -> None:
        """Make the connection pools. Nothing is connected yet."""
        self._reads = self._pool(force_close=False, keepalive_timeout=_IDLE_REUSE_S)
        self._changes = self._pool(force_close=False, keepalive_timeout=_IDLE_REUSE_S)
        self._fresh = self._pool(force_close=True)

    def defer(self, endpoint: str) -> None:
        """Let an endpoint rest for the time of its limit, as if it had just answered."""
        self._turns.defer(endpoint)

    def measure(self) -> None:
        """Set the gauges of the pace, which change with time alone; call it every second."""
        self._turns.measure()

    async def close(self) -> None:
        """End everything; requests under way are answered first, as broken off."""
        self._closing = True
        # A task that never ran would end without its answer: let every one begin.
        await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._turns.close()
        for pool in (self._reads, self._changes, self._fresh):
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
        exchange: _Exchange | None = None
        try:
            turn = await self._turn(request)
            if isinstance(turn, NoAnswer):
                return turn
            exchange = self._begin(request, turn)
            result: Answer | NoAnswer | None = None
            try:
                result = await self._exchange(exchange)
            finally:
                lost = isinstance(result, NoAnswer) and result.why is Broken.TIMEOUT
                self._turns.finish(turn, lost=lost)
        except asyncio.CancelledError:
            if not self._closing:
                raise
            result = _stopping(sent=exchange is not None and exchange.written)
        if exchange is not None:
            self._count(exchange, result)
        return result

    async def open(
        self, path: str, headers: dict[str, str], turn: Waiter
    ) -> aiohttp.ClientResponse:
        """Begin a GET on a connection of its own, for a protocol that starts as HTTP.

        The caller closes the response. Raises what aiohttp raises.
        """
        assert self._fresh is not None, "start() comes first"
        exchange = self._begin(_UPGRADE, turn)
        try:
            response = await self._fresh.get(
                self._target(path),
                headers={"Connection": "Upgrade", **headers},
                allow_redirects=False,
                trace_request_ctx=exchange,
            )
        except _SecondWrite as error:
            raise aiohttp.ServerDisconnectedError from error
        except TooFast as error:
            raise aiohttp.ClientConnectionError(str(error)) from error
        self._heard(exchange, response.status, b"")
        return response

    async def upgrade_turn(self) -> Waiter | NoAnswer:
        """Wait for the turn of the stream's handshake; `upgrade_done` must get it back."""
        return await self._turn(_UPGRADE)

    def upgrade_done(self, turn: Waiter) -> None:
        """Free the place of a handshake that had this turn."""
        self._turns.finish(turn)

    def _begin(self, request: Request, turn: Waiter) -> _Exchange:
        is_probe = self._turns.are_refused
        return _Exchange(request=request, turn=turn, began_ns=self.clock(), is_probe=is_probe)

    async def _exchange(self, exchange: _Exchange) -> Answer | NoAnswer:
        request = exchange.request
        in_flight = metrics.HTTP_IN_FLIGHT.labels(self.session)
        in_flight.inc()
        try:
            async with asyncio.timeout(_CONNECT_MS / 1000) as exchange.timeout:
                if request.late is None:
                    return await self._send(exchange)
                return await self._send_and_outlive(exchange, request.late)
        except TimeoutError:
            limit_ms = request.deadline_ms if exchange.written else _CONNECT_MS
            what = "no answer" if exchange.written else "no connection"
            why = Broken.TIMEOUT if exchange.written else Broken.UNREACHABLE
            return NoAnswer(why=why, sent=exchange.written, message=f"{what} within {limit_ms} ms")
        except TooLate as error:
            return NoAnswer(why=Broken.LATE, sent=False, message=str(error))
        except TooFast as error:
            return NoAnswer(why=Broken.RATE_LIMITED, sent=False, message=str(error))
        except Exception as error:  # noqa: BLE001 - whatever broke, the caller needs an answer
            return _broken(error, written=exchange.written)
        finally:
            in_flight.dec()

    async def _send(self, exchange: _Exchange) -> Answer | NoAnswer:
        """Write the request over a connection that can be used, and read its answer."""
        while True:
            try:
                return await self._send_over_one(exchange)
            except UnusableConnection:
                # Not a byte was written: that is no second time.
                assert not exchange.written

    async def _send_over_one(self, exchange: _Exchange) -> Answer | NoAnswer:
        request = exchange.request
        pool = self._changes if request.changes else self._reads
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
        self._heard(exchange, answer.status, answer.body)
        return answer

    async def _send_and_outlive(self, exchange: _Exchange, late: Late) -> Answer | NoAnswer:
        """Send, in a task that goes on reading when nobody waits for its answer any more."""
        loop = asyncio.get_running_loop()
        shown: asyncio.Future[Answer | NoAnswer] = loop.create_future()
        sending = loop.create_task(self._send_and_show(exchange, shown))
        self._tasks.add(sending)
        sending.add_done_callback(self._sent)
        try:
            return await shown
        except asyncio.CancelledError:
            _ = shown.cancelled() or (shown.done() and shown.exception())  # Nobody takes it now.
            if exchange.written and not self._closing:
                self.spawn(self._drain(sending, late))
            else:
                sending.cancel()
            raise

    async def _send_and_show(
        self, exchange: _Exchange, shown: "asyncio.Future[Answer | NoAnswer]"
    ) -> Answer | NoAnswer:
        """Send, and show the result to who still waits: a task's end would tell it later."""
        try:
            result = await self._send(exchange)
        except asyncio.CancelledError:
            shown.cancel()
            raise
        except Exception as error:
            if not shown.done():
                shown.set_exception(error)
            raise
        if not shown.done():
            shown.set_result(result)
        return result

    def _sent(self, task: asyncio.Task[Answer | NoAnswer]) -> None:
        self._tasks.discard(task)
        _ = task.cancelled() or task.exception()  # It was shown; nobody must miss it here.

    async def _drain(self, sending: asyncio.Task[Answer | NoAnswer], late: Late) -> None:
        """Read what comes after the deadline; when the minute is over, the connection ends."""
        try:
            async with asyncio.timeout(LATE_ANSWER_MS_MAX / 1000):
                result = await sending
        except (TimeoutError, aiohttp.ClientError, OSError, _SecondWrite):
            return
        if isinstance(result, Answer):
            late(result)

    def _target(self, path: str) -> URL:
        return URL(f"{self.url}/v1/api{path}", encoded=True)

    def _heard(self, exchange: _Exchange, status: int, body: bytes) -> None:
        """Learn from an answer whether the pace is right."""
        if refuses_pace(status, body):
            self._turns.penalise(
                exchange.request.endpoint, began_ns=exchange.began_ns, is_probe=exchange.is_probe
            )
        elif exchange.is_probe:
            self._turns.forgive()
        # Last: whom it lets go must not slip into a penalty that this answer begins.
        self._turns.answered()

    async def _turn(self, request: Request) -> Waiter | NoAnswer:
        """Wait for the request's turn, which must be finished; or say why it has none."""
        if self._closing:
            return _stopping(sent=False)
        try:
            return await self._turns.take(
                request.lane, request.endpoint, send_by_ns=request.send_by_ns
            )
        except TooLate as error:
            return NoAnswer(why=Broken.LATE, sent=False, message=str(error))
        except TooFast as error:
            return NoAnswer(why=Broken.RATE_LIMITED, sent=False, message=str(error))

    def _pool(self, *, force_close: bool, **options: Any) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(self._before_connect)
        trace.on_request_headers_sent.append(self._before_write)
        return aiohttp.ClientSession(
            connector=self.connector(
                ssl=self._verification, limit=0, force_close=force_close, **options
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(),
            trace_configs=[trace],
            trust_env=False,
            request_class=CheckedRequest,
        )

    async def _before_connect(
        self, _pool: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object
    ) -> None:
        context.trace_request_ctx.refuse_second()

    async def _before_write(
        self, _pool: aiohttp.ClientSession, context: SimpleNamespace, _parameters: object
    ) -> None:
        """Run right before the first byte: the connection is open, and nothing was written."""
        exchange: _Exchange = context.trace_request_ctx
        exchange.refuse_second()
        request = exchange.request
        if request.send_by_ns is not None and self.clock() >= request.send_by_ns:
            message = "the moment to send had passed"
            raise TooLate(message)
        if request.lane is not Lane.CANCEL and self._turns.are_refused:
            message = "the broker refused the pace while the connection was opened"
            raise TooFast(message)
        if exchange.timeout is not None and exchange.timeout.expired():
            message = f"no connection within {_CONNECT_MS} ms"
            raise TooLate(message)
        self._turns.depart(exchange.turn)
        exchange.written_at = asyncio.get_running_loop().time()
        if exchange.timeout is not None:
            exchange.timeout.reschedule(exchange.written_at + request.deadline_ms / 1000)

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


_UPGRADE: Final = Request(method="GET", path="/ws", endpoint="/ws", lane=Lane.STATUS)


def _stopping(*, sent: bool) -> NoAnswer:
    return NoAnswer(why=Broken.CLOSED, sent=sent, message="the engine is stopping")


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
    if written:
        message = "the connection was lost before the answer"
    elif isinstance(error, aiohttp.ServerFingerprintMismatch):
        message = f"the certificate's SHA-256 is {error.got.hex()}, not the pinned one"
    else:
        message = str(error) or type(error).__name__
    return NoAnswer(why=why, sent=written, message=message)

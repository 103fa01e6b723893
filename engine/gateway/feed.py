"""One session's WebSocket: bytes to the Rust decoder, news and bars from it.

Rule 1: a tick makes no Python object. Quotes are pulled from the decoder when somebody
wants one; closed bars and other messages come in batches, one a socket read.

Rule 2: every connection has a decoder of its own, so nothing of an old one is merged
with the new: a bar with a gap in it would look like a quiet market.

Rule 3: the decoder counts from 1970. Its clock is ours, shifted once a connection, so
that a quote's age never jumps with the wall clock.
"""

import asyncio
import struct
import time
from collections import defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from typing import Final, assert_never

from engine import log, metrics
from engine._rust_core import (
    BAR_DTYPE,
    SCALE,
    FeedBatch,
    FeedDecoder,
    encode_close,
    encode_text,
)
from engine.domain.messages import (
    AuthStreamed,
    FeedMessage,
    HeartbeatSeen,
    NewsStreamed,
    NoticeSeen,
    PromptStreamed,
    SendTopic,
    SocketClosed,
    SocketOpened,
    StreamRefused,
    SystemSucceeded,
    Topic,
)
from engine.domain.values import Bar, ConId, Quote, SessionName
from engine.gateway.client import GatewayClient
from engine.gateway.socket import HandshakeRefused, SocketProtocol, open_socket
from engine.gateway.wire import feed as wire

_NS_PER_MS: Final = 1_000_000
_ADVANCE_S: Final = 0.1
_TRADE_DELAY_NS: Final = 750 * _NS_PER_MS
"""The broker conflates trades over 500 ms; a bar stays open for that, and the way here."""
_NORMAL_CLOSE: Final = 1000
_DECIMALS: Final = 8
_BAR: Final = struct.Struct(f"<{len(BAR_DTYPE)}q")
_BAR_NAMES: Final = tuple(name for name, _ in BAR_DTYPE)

_log = log.get("gateway.feed")


class WebSocketFeed:
    """The stream of one session. Bars outlive connections, quotes do not."""

    def __init__(
        self,
        client: GatewayClient,
        *,
        intervals_ms: tuple[int, ...] = (1_000, 60_000),
        message_bytes_max: int = 1_048_576,
        bars_kept: int = 2_000,
        wall_clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._client = client
        self._intervals_ms = intervals_ms
        self._message_bytes_max = message_bytes_max
        self._wall_clock = wall_clock
        self._stream: _Stream | None = None
        self._bars: defaultdict[tuple[int, int], deque[Bar]] = defaultdict(
            lambda: deque(maxlen=bars_kept)
        )

    def connect(self, tell: Callable[[FeedMessage], None]) -> None:
        """Open the WebSocket; everything it brings is told from then on."""
        if self._stream is not None:
            self._stream.end("a new connection was wanted")
        stream = _Stream(
            self._client,
            tell,
            FeedDecoder(message_bytes_max=self._message_bytes_max),
            self._wall_clock() - self._client.clock(),
            self._keep,
        )
        self._stream = stream
        self._client.spawn(stream.run())

    def send(self, effect: SendTopic) -> None:
        """Send one request; silently nothing when the WebSocket is gone."""
        if self._stream is not None:
            self._stream.send(effect, self._intervals_ms)

    def close(self, reason: str) -> None:
        """Close the WebSocket, if there is one."""
        if self._stream is not None:
            self._stream.end(reason)

    async def close_all(self) -> None:
        """Close the WebSocket and wait until its connection is gone."""
        if self._stream is not None:
            await self._stream.finish("the engine is stopping")

    def quote(self, conid: ConId) -> Quote | None:
        """Return the last quote, or None when none came since the last connect."""
        return self._stream.quote(conid) if self._stream is not None else None

    def bars(self, conid: ConId, interval_ms: int, limit: int) -> tuple[Bar, ...]:
        """Return the newest closed bars, oldest first."""
        kept = self._bars.get((conid, interval_ms))
        return tuple(kept)[-limit:] if kept and limit > 0 else ()

    def heartbeat_age_ms(self) -> int | None:
        """Return the age of the last heartbeat, None while there is no WebSocket.

        Until the first one comes, the handshake counts as one.
        """
        return self._stream.heartbeat_age_ms() if self._stream is not None else None

    def _keep(self, bar: Bar) -> None:
        self._bars[bar.conid, bar.interval_ms].append(bar)


class _Stream:
    """One connection, from the handshake to its one `SocketClosed`."""

    def __init__(
        self,
        client: GatewayClient,
        tell: Callable[[FeedMessage], None],
        decoder: FeedDecoder,
        wall_offset_ns: int,
        keep: Callable[[Bar], None],
    ) -> None:
        self._client = client
        self._tell = tell
        self._decoder = decoder
        self._wall_offset_ns = wall_offset_ns
        self._keep = keep
        self._protocol = SocketProtocol(self._take_bytes, self._lost)
        self._heartbeat_ns: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    async def run(self) -> None:
        """Open the WebSocket and tell how that went."""
        try:
            await open_socket(self._client, self._protocol, self._opened)
        except HandshakeRefused as refused:
            self.end(f"no WebSocket: {refused}")
        except asyncio.CancelledError:
            self.end("the engine is stopping")
            raise
        except Exception as error:  # noqa: BLE001 - the feed waits for its one answer
            _log.exception("websocket_failed", session=self._session)
            self.end(f"no WebSocket: {type(error).__name__}: {error}")

    @property
    def _session(self) -> SessionName:
        return self._client.session

    def send(self, effect: SendTopic, intervals_ms: tuple[int, ...]) -> None:
        if self._heartbeat_ns is None or self._ended:
            return
        if effect.conid is not None:
            self._track(effect.conid, intervals_ms if effect.topic is Topic.QUOTES else None)
        self._protocol.write(encode_text(wire.request(effect)))

    def end(self, reason: str, *, frame: bytes | None = None) -> None:
        """Say goodbye, with `frame` unless the decoder already did, and tell why, once."""
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._protocol.write(encode_close(_NORMAL_CLOSE) if frame is None else frame)
        self._protocol.close()
        self._tell(SocketClosed(reason=reason))

    async def finish(self, reason: str) -> None:
        """End, and wait until the connection is gone; one that will not go is dropped."""
        self.end(reason)
        if self._heartbeat_ns is None:
            return
        try:
            async with asyncio.timeout(1):
                await asyncio.shield(self._protocol.ended)
        except TimeoutError:
            self._protocol.abort()
            await self._protocol.ended

    def quote(self, conid: ConId) -> Quote | None:
        found = self._decoder.quote(conid)
        if found is None:
            return None
        return Quote(
            conid=conid,
            bid=_price(found.bid),
            ask=_price(found.ask),
            last=_price(found.last),
            bid_size=_price(found.bid_size),
            ask_size=_price(found.ask_size),
            last_size=_price(found.last_size),
            volume=_price(found.volume),
            prior_close=_price(found.prior_close),
            halted=found.halted,
            availability=found.availability,
            received_ns=found.received_ns - self._wall_offset_ns,
        )

    def heartbeat_age_ms(self) -> int | None:
        if self._heartbeat_ns is None or self._ended:
            return None
        return (self._client.clock() - self._heartbeat_ns) // _NS_PER_MS

    def _now_ns(self) -> int:
        """Return our clock as the decoder counts it, in nanoseconds from 1970."""
        return self._client.clock() + self._wall_offset_ns

    def _track(self, conid: ConId, intervals_ms: tuple[int, ...] | None) -> None:
        """Build the contract's bars, or with None forget it; bars that are open go on."""
        if intervals_ms is None:
            self._decoder.untrack(conid)
            return
        try:
            self._decoder.track(conid, list(intervals_ms))
        except ValueError as error:
            _log.warning("bars_not_built", session=self._session, reason=str(error))

    def _opened(self) -> None:
        """Take note of the handshake, before the first byte of the stream is read."""
        if self._ended:
            message = "it is no longer wanted"
            raise HandshakeRefused(message)
        self._heartbeat_ns = self._client.clock()
        self._tell(SocketOpened())
        self._advance()

    def _lost(self, reason: str) -> None:
        self.end(reason)

    def _advance(self) -> None:
        """Close the bars that the clock ended, and come again soon."""
        self._keep_bars(self._decoder.advance(self._now_ns() - _TRADE_DELAY_NS))
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(_ADVANCE_S, self._advance)

    def _take_bytes(self, data: memoryview) -> None:
        if self._ended:
            return
        try:
            self._take(self._decoder.feed(data, self._now_ns()))
        except Exception as error:  # noqa: BLE001 - a socket callback has nobody to raise to
            _log.exception("stream_failed", session=self._session)
            self.end(f"{type(error).__name__}: {error}")

    def _take(self, batch: FeedBatch) -> None:
        self._count(batch)
        self._keep_bars(batch)
        news: list[wire.StreamNews] = []
        for topic, payload in batch.messages:
            for part in wire.read(topic, payload):
                if isinstance(part, wire.StreamNews):
                    news.append(part)
                else:
                    self._react(part)
        if news:
            self._tell(
                NewsStreamed(
                    rows=tuple(row for part in news for row in part.rows),
                    executions=tuple(e for part in news for e in part.executions),
                    results=tuple(result for part in news for result in part.results),
                )
            )
        if batch.error is not None:
            metrics.WS_PROTOCOL_ERRORS.labels(self._session).inc()
            self.end(f"the gateway broke the protocol: {batch.error}", frame=batch.replies)
        elif batch.closed is not None:
            code, why = batch.closed
            words = f"the gateway closed with {code} {why}".rstrip()
            self.end(words, frame=batch.replies)
        elif batch.replies:
            self._protocol.write(batch.replies)

    def _react(self, part: wire.OtherPart) -> None:
        match part:
            case SystemSucceeded() | HeartbeatSeen():
                self._heartbeat_ns = self._client.clock()
                self._tell(part)
            case AuthStreamed() | PromptStreamed() | StreamRefused():
                self._tell(part)
            case wire.SessionWanted():
                self._introduce()
            case wire.AccountsSent():
                _log.debug("stream_accounts_received", session=self._session)
            case wire.Notice(kind=kind, notice_id=notice_id, text=text):
                self._tell(
                    NoticeSeen(session=self._session, kind=kind, notice_id=notice_id, text=text)
                )
            case wire.Unread(topic=topic, detail=detail):
                metrics.ANOMALIES.labels("feed", "unread").inc()
                _log.warning(
                    "stream_message_unread", session=self._session, topic=topic, detail=detail
                )
            case _:
                assert_never(part)

    def _introduce(self) -> None:
        """Answer "waiting for session", which the gateway's cookies normally do."""
        token = self._client.stream_token
        if token is None:
            _log.warning("stream_wants_session", session=self._session)
        else:
            self._protocol.write(encode_text(wire.session_answer(token)))

    def _keep_bars(self, batch: FeedBatch) -> None:
        if not batch.bars:
            return
        for values in _BAR.iter_unpack(batch.bars):
            self._keep(_bar(dict(zip(_BAR_NAMES, values, strict=True))))
        metrics.BARS_CLOSED.labels(self._session).inc(batch.counters.bars)

    def _count(self, batch: FeedBatch) -> None:
        counters = batch.counters
        for metric, count in (
            (metrics.WS_BYTES, counters.bytes),
            (metrics.WS_FRAMES, counters.frames),
            (metrics.WS_MESSAGES, counters.messages),
            (metrics.TICKS, counters.ticks),
            (metrics.BAD_FIELDS, counters.bad_fields),
            (metrics.LATE_TICKS, counters.late_ticks),
        ):
            if count:
                metric.labels(self._session).inc(count)
        if counters.partials_dropped:
            # What they said is lost: an order's news may have been in it.
            metrics.ANOMALIES.labels("feed", "partial_dropped").inc(counters.partials_dropped)
            _log.warning(
                "stream_pieces_dropped", session=self._session, count=counters.partials_dropped
            )


def _price(units: int | None) -> Decimal | None:
    return None if units is None else _decimal(units)


def _decimal(units: int) -> Decimal:
    """Return a scaled integer as the shortest equal decimal without an exponent."""
    whole, rest = divmod(units, SCALE)
    return Decimal(units).scaleb(-_DECIMALS).normalize() if rest else Decimal(whole)


def _bar(values: dict[str, int]) -> Bar:
    volume = _decimal(values["volume"])
    return Bar(
        conid=ConId(values["conid"]),
        interval_ms=values["interval_ms"],
        start_ms=values["start_ms"],
        open=_decimal(values["open"]),
        high=_decimal(values["high"]),
        low=_decimal(values["low"]),
        close=_decimal(values["close"]),
        volume=volume,
        vwap=_decimal(values["vwap"]) if volume else None,
        trades=values["trades"],
    )

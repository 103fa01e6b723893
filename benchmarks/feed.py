"""From the bytes of the socket to last quotes and one-second bars.

Ours keeps exact prices, reads every field of a quote as a number, counts what is late or
unreadable, and checks for pieces of a split document. The peers are what a good programmer
writes in an afternoon: aiohttp's own frame reader (its compiled one), a JSON decoder, and
bars in a dict. They count in floats, keep the texts of a quote unread until somebody
asks, and trust the stream. So the comparison is in their favour.
"""

import asyncio
import json
import struct
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

import msgspec
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import WebSocketReader

from benchmarks.contest import Clock, Contender, Contest, Digest, timed
from benchmarks.stream import FULLS, MIX, TRADES, Stream, make_stream
from engine._rust_core import BAR_DTYPE, SCALE, FeedDecoder

MESSAGES: Final = 40_000

_BAR_MS: Final = 1_000
_BAR: Final = struct.Struct(f"<{len(BAR_DTYPE)}q")
_MULTIPLIERS: Final = {"K": 1_000, "M": 1_000_000}
_QUEUE_BYTES: Final = 262_144  # what aiohttp's client takes
_MESSAGE_BYTES_MAX: Final = 4_194_304  # the same


def contests(*, messages: int = MESSAGES) -> tuple[Contest, ...]:
    """Return the contests over the usual mix, small messages and large ones."""
    kinds = {
        "mix": ("trades, quotes, full updates", make_stream(MIX, messages=messages)),
        "trades": ("trades alone", make_stream(TRADES, messages=messages)),
        "full": ("full updates alone", make_stream(FULLS, messages=messages)),
    }
    return tuple(
        Contest(
            name=f"feed/{name}",
            what=f"WebSocket bytes to quotes and 1 s bars, 100 instruments: {what}, "
            f"{stream.message_bytes:.0f} bytes each",
            operation="message",
            operations=stream.messages,
            clock=Clock.CPU,
            contenders=contenders(stream),
        )
        for name, (what, stream) in kinds.items()
    )


def contenders(stream: Stream) -> tuple[Contender, ...]:
    """Return everyone who can read the stream."""
    makers: Mapping[str, Callable[[], Engine | Peer]] = {
        "engine FeedDecoder": lambda: Engine(stream),
        "aiohttp + msgspec + dict": lambda: Msgspec(stream),
        "aiohttp + json + dict": lambda: Json(stream),
    }
    return tuple(Contender(name=name, lap=timed(make, Clock.CPU)) for name, make in makers.items())


class Engine:
    """The engine's decoder: one call a read."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._decoder = FeedDecoder()
        for conid in stream.conids:
            self._decoder.track(conid, [_BAR_MS])
        self._bars: list[bytes] = []
        self._others = 0

    def run(self) -> None:
        """Feed every read."""
        now_ns = self._stream.end_ms * 1_000_000
        for read in self._stream.reads:
            batch = self._decoder.feed(read, now_ns)
            assert batch.error is None, batch.error
            self._bars.append(batch.bars)
            self._others += len(batch.messages)
        self._bars.append(self._decoder.advance(now_ns + _BAR_MS * 1_000_000).bars)

    def digest(self) -> Digest:
        """Add up the bars and the quotes."""
        totals = _Totals(self._others)
        for _, _, start, first, high, low, close, volume, _, trades in _BAR.iter_unpack(
            b"".join(self._bars)
        ):
            totals.bar(start, (first, high, low, close), volume, trades)
        for conid in self._stream.conids:
            if quote := self._decoder.quote(conid):
                totals.quote((quote.bid, quote.ask, quote.bid_size, quote.ask_size, quote.last))
        return totals.digest()

    def close(self) -> None:
        """Nothing is open."""


class Peer:
    """aiohttp's frame reader, with bars in a dict. Subclasses decode the messages."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop = asyncio.new_event_loop()
        self._queue = WebSocketDataQueue(BaseProtocol(self._loop), _QUEUE_BYTES, loop=self._loop)
        self._reader = WebSocketReader(
            self._queue, _MESSAGE_BYTES_MAX, compress=False, decode_text=True
        )
        self._open: dict[int, list[float]] = {}
        self._closed: list[tuple[int, list[float]]] = []
        self._others = 0

    async def read_all(self) -> None:
        """Take messages for ever."""
        raise NotImplementedError

    def quotes(self) -> list[Mapping[str, str]]:
        """Return the texts of every quote, by the broker's number of the field."""
        raise NotImplementedError

    def run(self) -> None:
        """Feed every read, and take what came out of it.

        The reader is stepped by hand: it returns here when its queue is empty, without
        the loop's cost between, which a busy connection does not pay either.
        """
        taking: Coroutine[Any, Any, None] = self.read_all()
        taking.send(None)
        feed = self._reader.feed_data
        for read in self._stream.reads:
            failed, _ = feed(read)
            assert not failed, self._queue.exception()
            taking.send(None)
        taking.close()
        self._closed.extend(self._open.items())

    def trade(self, conid: int, at_ms: int, price: float, size: float) -> None:
        """Merge a trade into the bar of its contract."""
        bar = self._open.get(conid)
        start_ms = at_ms - at_ms % _BAR_MS
        if bar is None or bar[0] != start_ms:
            if bar is not None:
                self._closed.append((conid, bar))
            self._open[conid] = [start_ms, price, price, price, price, size, price * size, 1]
            return
        if price > bar[2]:
            bar[2] = price
        elif price < bar[3]:
            bar[3] = price
        bar[4] = price
        bar[5] += size
        bar[6] += price * size
        bar[7] += 1

    def digest(self) -> Digest:
        """Add up the bars and the quotes."""
        totals = _Totals(self._others)
        for _, (start, first, high, low, close, volume, _, trades) in self._closed:
            prices = (_units(first), _units(high), _units(low), _units(close))
            totals.bar(int(start), prices, _units(volume), int(trades))
        for quote in self.quotes():
            fields = [quote.get(field) for field in ("84", "86", "88", "85", "31")]
            totals.quote(
                tuple(
                    None if text is None or text[0] == "C" else _units(number(text))
                    for text in fields
                )
            )
        return totals.digest()

    def close(self) -> None:
        """Close the loop that aiohttp's queue asks for."""
        self._loop.close()


class Json(Peer):
    """With the standard library's decoder."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._quotes: dict[int, dict[str, str]] = {conid: {} for conid in stream.conids}

    def quotes(self) -> list[Mapping[str, str]]:
        """Return what was merged."""
        return [*self._quotes.values()]

    async def read_all(self) -> None:
        """Decode to a dict, and merge that into the quote."""
        read, loads, quotes = self._queue.read, json.loads, self._quotes
        while True:
            message = loads((await read()).data)
            if not message["topic"].startswith("smd+"):
                self._others += 1
                continue
            conid = message["conid"]
            quotes[conid].update(message)
            price = message.get("31")
            if price is not None and price[0] not in "CH":
                size = number(message.get("7059", "0"))
                self.trade(conid, message["_updated"], number(price), size)


class Update(msgspec.Struct, gc=False):
    """The fields of an update that somebody uses."""

    topic: str
    conid: int = 0
    updated_ms: int = msgspec.field(name="_updated", default=0)
    last: str | None = msgspec.field(name="31", default=None)
    last_size: str = msgspec.field(name="7059", default="0")
    bid: str | None = msgspec.field(name="84", default=None)
    ask: str | None = msgspec.field(name="86", default=None)
    bid_size: str | None = msgspec.field(name="88", default=None)
    ask_size: str | None = msgspec.field(name="85", default=None)


class Msgspec(Peer):
    """With msgspec, which skips the fields that nobody asked for: the best Python has."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self._quotes: dict[int, dict[str, str]] = {conid: {} for conid in stream.conids}

    def quotes(self) -> list[Mapping[str, str]]:
        """Return what was merged."""
        return [*self._quotes.values()]

    async def read_all(self) -> None:
        """Decode to a struct, and merge the fields that it has."""
        read, decode = self._queue.read, msgspec.json.Decoder(Update).decode
        while True:
            update = decode((await read()).data)
            if not update.topic.startswith("smd+"):
                self._others += 1
                continue
            quote = self._quotes[update.conid]
            if update.bid is not None:
                quote["84"] = update.bid
            if update.ask is not None:
                quote["86"] = update.ask
            if update.bid_size is not None:
                quote["88"] = update.bid_size
            if update.ask_size is not None:
                quote["85"] = update.ask_size
            if (price := update.last) is not None:
                quote["31"] = price
                if price[0] not in "CH":
                    size = number(update.last_size)
                    self.trade(update.conid, update.updated_ms, number(price), size)


def number(text: str) -> float:
    """Read a price or a size as the broker writes it: `189.25`, `1,300`, `5.66M`."""
    if "," in text:
        text = text.replace(",", "")
    if text[-1] in "KM":
        return float(text[:-1]) * _MULTIPLIERS[text[-1]]
    return float(text)


def _units(value: float) -> int:
    """Return the value as the engine keeps it. These have two digits, so this is exact."""
    return round(value * 100) * (SCALE // 100)


class _Totals:
    """Figures that tell two results apart, whatever the order of the bars."""

    def __init__(self, others: int) -> None:
        self._digest = dict.fromkeys(
            ("bars", "trades", "starts", "prices", "volume", "close_times_volume", "quotes"), 0
        )
        self._digest["others"] = others

    def bar(self, start_ms: int, prices: tuple[int, ...], volume: int, trades: int) -> None:
        self._add(bars=1, trades=trades, starts=start_ms, volume=volume)
        weighted = sum(weight * price for weight, price in enumerate(prices, start=1))
        self._add(prices=weighted, close_times_volume=prices[-1] * volume)

    def quote(self, values: tuple[int | None, ...]) -> None:
        known = (value or 0 for value in values)
        self._add(quotes=sum(weight * value for weight, value in enumerate(known, start=1)))

    def _add(self, **figures: int) -> None:
        for name, figure in figures.items():
            self._digest[name] += figure

    def digest(self) -> Digest:
        return self._digest

"""A slow, obvious decoder to hold the fast one against.

It sees the whole stream at once, parses every message with `json`, counts in
`Decimal` and keeps every trade of a bar until the bar closes. It knows nothing of
abandoned pieces: a split document must be finished.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Final

SCALE: Final = Decimal(10) ** 8
EXACT: Final = Context(prec=200)
NUMBER: Final = re.compile(r"[-+]?(\d+|[1-9]\d{0,2}(,\d{3})+|(?=\.))(\.\d+)?([KMB]|[eE][-+]?\d+)?")
POWERS: Final = {"K": 3, "M": 6, "B": 9}
PRICES: Final = {"84": "bid", "86": "ask", "31": "last", "7741": "prior_close"}
SIZES: Final = {"88": "bid_size", "85": "ask_size", "7059": "last_size"}
CONTROL: Final = {8, 9, 10}
CLOSE_CODES: Final = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
SPACE: Final = " \t\n\r\x0c"


class PeerError(Exception):
    """The peer broke the protocol."""

    def __init__(self, close_code: int) -> None:
        super().__init__(close_code)
        self.close_code = close_code


class Number(str):
    """A JSON number as it is written."""

    __slots__ = ()


def read_frames(stream: bytes, message_bytes_max: int) -> Iterator[tuple[bool, int, bytes]]:
    """Yield final bit, opcode and payload of every whole frame."""
    while len(stream) >= 2:
        first, second = stream[0], stream[1]
        opcode, is_final, length, start = first & 15, first >= 128, second & 127, 2
        if first & 0x70 or opcode in {3, 4, 5, 6, 7, 11, 12, 13, 14, 15} or second >= 128:
            raise PeerError(1002)
        if opcode in CONTROL and not is_final:
            raise PeerError(1002)
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(stream) < start:
                return
            least = 126 if length == 126 else 65536
            length = int.from_bytes(stream[2:start])
            if length < least or length >= 2**63:
                raise PeerError(1002)
        if opcode in CONTROL and length > 125:
            raise PeerError(1002)
        # The payload may be missing: the order of messages and their size count before it.
        yield is_final, opcode | 16, length.to_bytes(8)
        payload = stream[start : start + length]
        if len(payload) < length:
            yield is_final, opcode | 32, payload
            return
        yield is_final, opcode, payload
        stream = stream[start + length :]


def parse(text: str, *, suffix: bool = False) -> Decimal | None:
    """Read a number for people, exactly."""
    match = NUMBER.fullmatch(text)
    if match is None or len(text) > 64 or not text.isascii():
        return None
    _, groups, fraction, tail = match.groups()
    if match[1] == "" and fraction is None:
        return None
    power = POWERS.get(tail or "")
    if power and not suffix:
        return None
    if groups and tail and not power:
        return None
    mantissa = text[:-1] if power else text
    return EXACT.multiply(Decimal(mantissa.replace(",", "")), Decimal(10) ** (power or 0))


def scaled(value: Decimal | None) -> int | None:
    """Turn a number into units of 10⁻⁸ if that is exact and fits."""
    if value is None or abs(value.adjusted()) > 60:
        return 0 if value is not None and not value else None
    units = EXACT.multiply(value, SCALE)
    if units != int(units) or not -(2**63) <= units < 2**63:
        return None
    return int(units)


def reject_constant(text: str) -> None:
    raise ValueError(text)


def loads(payload: bytes) -> Any:
    """Parse strict JSON, numbers as written; anything else raises ValueError."""
    found = json.loads(
        payload.decode(), parse_int=Number, parse_float=Number, parse_constant=reject_constant
    )
    if not isinstance(found, dict | list):
        raise ValueError(payload)  # noqa: TRY004 - a document of the wrong kind is a bad value
    return found


@dataclass
class Series:
    """The bars of one contract and interval, with every trade of the open one."""

    conid: int
    interval_ms: int
    start_ms: int | None = None
    closed_until_ms: int = -1
    prices: list[int] = field(default_factory=list)
    volumes: list[tuple[int, int]] = field(default_factory=list)
    day: tuple[bool, int] | None = None
    ahead: int = 0

    def close(self, now_ms: int) -> list[tuple[int, ...]]:
        if self.start_ms is None or now_ms < self.start_ms + self.interval_ms:
            return []
        total = sum(volume for _, volume in self.volumes)
        notional = sum(price * volume for price, volume in self.volumes)
        mean = Decimal(self.prices[-1])
        if total:
            mean = EXACT.divide(Decimal(notional), Decimal(total))
        bar = (
            self.conid,
            self.interval_ms,
            self.start_ms,
            self.prices[0],
            max(self.prices),
            min(self.prices),
            self.prices[-1],
            total,
            int(mean.quantize(Decimal(1), ROUND_HALF_EVEN, EXACT)),
            len(self.prices),
        )
        self.closed_until_ms = self.start_ms + self.interval_ms
        self.start_ms, self.prices, self.volumes = None, [], []
        return [bar]

    def is_late(self, time_ms: int) -> bool:
        return time_ms < (self.closed_until_ms if self.start_ms is None else self.start_ms)

    def grow(self, day: tuple[bool, int]) -> int | None:
        if self.day is None or self.day[0] != day[0] or self.day[1] > day[1]:
            return None
        growth = day[1] - self.day[1]
        counted = min(growth, self.ahead)
        self.ahead -= counted
        self.day = day
        return growth - counted

    def is_behind(self, day: tuple[bool, int] | None) -> bool:
        """Whether our day volume is known and this one, rounded or none, cannot follow it."""
        return self.day is not None and (day is None or (self.day[0] and not day[0]))

    def trade(self, time_ms: int, price: int, size: int, day: tuple[bool, int] | None) -> None:
        volume = self.grow(day) if day else None
        if volume is None:
            volume = size
            if self.is_behind(day):
                self.ahead += size
            elif day:
                self.day, self.ahead = day, 0
        if self.start_ms is None:
            self.start_ms = time_ms // self.interval_ms * self.interval_ms
        self.prices.append(price)
        self.volumes.append((price, volume))

    def no_trade(self, time_ms: int, day: tuple[bool, int]) -> None:
        if self.is_behind(day):
            return
        if self.day is None or self.day[0] != day[0] or self.day[1] > day[1]:
            self.day, self.ahead = day, 0
        elif self.start_ms is not None and not self.is_late(time_ms):
            self.volumes.append((self.prices[-1], self.grow(day) or 0))


class ReferenceDecoder:
    """Decodes one stream, given at once."""

    def __init__(self, tracked: dict[int, list[int]], message_bytes_max: int = 1 << 20) -> None:
        self.message_bytes_max = message_bytes_max
        self.series = {
            conid: [Series(conid, interval_ms) for interval_ms in sorted(intervals_ms)]
            for conid, intervals_ms in tracked.items()
        }
        self.quotes: dict[int, dict[str, Any]] = {}
        self.exact_volumes: set[int] = set()
        self.bars: list[tuple[int, ...]] = []
        self.messages: list[tuple[str, bytes]] = []
        self.replies: list[tuple[int, bytes]] = []
        self.closed: tuple[int, str] | None = None
        self.error_close_code: int | None = None
        self.counters: Counter[str] = Counter()
        self.pieces: list[bytes] = []

    def feed(self, stream: bytes, now_ns: int) -> None:
        self.counters["bytes"] = len(stream)
        try:
            self.read(stream, now_ns)
        except PeerError as error:
            self.error_close_code = error.close_code
            self.replies.append((8, error.close_code.to_bytes(2)))

    def read(self, stream: bytes, now_ns: int) -> None:
        kept, kind = b"", 0
        for is_final, opcode, payload in read_frames(stream, self.message_bytes_max):
            if opcode & 16:
                self.check_header(opcode & 15, int.from_bytes(payload), len(kept), kind)
                continue
            if opcode & 32:
                if 1 in {opcode & 15, kind} and opcode & 15 not in CONTROL:
                    check_utf8(kept + payload, is_final=False)
                return
            if opcode in CONTROL:
                self.take_control(opcode, payload)
                if self.closed:
                    return
                continue
            kind, kept = kind or opcode, kept + payload
            if kind == 1:
                check_utf8(kept, is_final=is_final)
            self.counters["frames"] += 1
            if is_final:
                self.take_message(kept, now_ns)
                kept, kind = b"", 0

    def check_header(self, opcode: int, length: int, kept_bytes: int, kind: int) -> None:
        if opcode in CONTROL:
            return
        if (opcode == 0) != bool(kind):
            raise PeerError(1002)
        if kept_bytes + length > self.message_bytes_max:
            raise PeerError(1009)

    def take_control(self, opcode: int, payload: bytes) -> None:
        code = int.from_bytes(payload[:2]) if payload else 1005
        if opcode == 8:
            if len(payload) == 1 or (payload and code not in CLOSE_CODES):
                raise PeerError(1002)
            check_utf8(payload[2:], is_final=True)
            self.closed = (code, payload[2:].decode())
            self.replies.append((8, payload[:2]))
        self.counters["frames"] += 1
        if opcode == 9:
            self.counters["pings"] += 1
            if self.counters["pings"] > 20:
                raise PeerError(1008)
            self.replies.append((10, payload))

    def take_message(self, payload: bytes, now_ns: int) -> None:
        self.pieces.append(payload)
        whole = b"".join(self.pieces)
        try:
            found = loads(whole)
        except ValueError:
            if not whole.lstrip().startswith((b"{", b"[")):
                self.pieces = []
                self.hand_out("text", payload)
            return
        self.counters["split_messages"] += len(self.pieces) > 1
        self.pieces = []
        topic = found.get("topic", "") if isinstance(found, dict) else ""
        topic = topic if isinstance(topic, str) and not isinstance(topic, Number) else ""
        if topic.startswith("smd+") and "error" not in found:
            self.counters["messages"] += 1
            self.take_tick(found, now_ns)
        else:
            self.hand_out(topic, whole.strip())

    def hand_out(self, topic: str, payload: bytes) -> None:
        self.counters["messages"] += 1
        self.messages.append((topic, payload))

    def number(self, value: Any, *, suffix: bool = False) -> tuple[bool, int | None]:
        """Return whether the value is bad, and its units if it has any."""
        if value is None:
            return False, None
        if not isinstance(value, str):
            return True, None
        text = str(value) if isinstance(value, Number) else value.strip(SPACE)
        if not text:
            return False, None
        units = scaled(parse(text, suffix=suffix))
        if units is not None and suffix and units < 0:
            units = None
        return units is None, units

    def integer(self, value: Any) -> tuple[bool, int | None]:
        if value is None or (isinstance(value, str) and not value.strip(SPACE)):
            return False, None
        found = parse(value.strip(SPACE)) if isinstance(value, str) else None
        if found is None or "," in value or abs(found.adjusted()) > 60:
            return True, None
        if found != int(found) or not -(2**63) <= found < 2**63:
            return True, None
        return False, int(found)

    def take_tick(self, found: dict[str, Any], now_ns: int) -> None:
        bad_conid, conid = self.integer(found.get("conid"))
        if conid is None or conid <= 0:
            self.counters["ignored"] += 1
            self.counters["bad_fields"] += bad_conid or conid is not None
            return
        self.counters["ticks"] += 1
        change = self.changes(found, now_ns)
        is_late = self.merge_quote(conid, dict(change), now_ns)
        self.counters["late_ticks"] += self.merge_bars(conid, change, now_ns) or is_late

    def changes(self, found: dict[str, Any], now_ns: int) -> dict[str, Any]:
        """Read every field that is there; a value that is None is cleared."""
        change: dict[str, Any] = {}
        names = {**PRICES, **SIZES, "87": "rounded", "7762": "exact"}
        for key, name in names.items():
            if key not in found or key == "31":
                continue
            bad, units = self.number(found[key], suffix=key not in PRICES)
            self.counters["bad_fields"] += bad
            change[name] = units
        if "31" in found:
            self.read_last(found["31"], change)
        if "_updated" in found:
            bad, time_ms = self.integer(found["_updated"])
            if time_ms is not None and not 0 <= time_ms <= now_ns // 10**6 + 60_000:
                bad, time_ms = True, None
            self.counters["bad_fields"] += bad
            if time_ms is not None:
                change["updated_ms"] = time_ms
        if "6509" in found:
            text = found["6509"]
            is_text = isinstance(text, str) and not isinstance(text, Number)
            is_word = is_text and re.fullmatch(r"[!-~]{0,15}", text) is not None
            self.counters["bad_fields"] += not is_word and text is not None
            change["availability"] = text if is_word else ""
        return change

    def read_last(self, value: Any, change: dict[str, Any]) -> None:
        prefix = ""
        is_text = isinstance(value, str) and not isinstance(value, Number)
        if is_text and len(value) > 1 and value[0] in "CH":
            prefix, value = value[0], value[1:]
        bad, price = self.number(value)
        self.counters["bad_fields"] += bad
        change["last"] = price
        if price is None:
            return
        change["halted"] = prefix == "H"
        change["is_trade"] = prefix == ""
        if prefix == "C":
            change["last"] = None
            if change.get("prior_close") is None:
                change["prior_close"] = price

    def merge_quote(self, conid: int, change: dict[str, Any], now_ns: int) -> bool:
        quote = self.quotes.get(conid)
        if quote is None:
            names = [*PRICES.values(), *SIZES.values(), "volume", "updated_ms"]
            quote = dict.fromkeys(names) | {"halted": False, "availability": ""}
        updated_ms = change.get("updated_ms")
        if updated_ms is not None and updated_ms < (quote["updated_ms"] or 0):
            return True
        if "exact" in change:
            quote["volume"] = change["exact"]
            self.exact_volumes.discard(conid)
            if change["exact"] is not None:
                self.exact_volumes.add(conid)
        elif "rounded" in change and conid not in self.exact_volumes:
            quote["volume"] = change["rounded"]
        for name in ("exact", "rounded", "is_trade"):
            change.pop(name, None)
        self.quotes[conid] = quote | change | {"conid": conid, "received_ns": now_ns}
        return False

    def merge_bars(self, conid: int, change: dict[str, Any], now_ns: int) -> bool:
        time_ms = change.get("updated_ms", now_ns // 10**6)
        day = None
        if change.get("exact") is not None:
            day = (True, change["exact"])
        elif change.get("rounded") is not None:
            day = (False, change["rounded"])
        late = False
        for series in self.series.get(conid, []):
            self.bars += series.close(time_ms)
            if change.get("is_trade"):
                if series.is_late(time_ms):
                    late = True
                else:
                    series.trade(time_ms, change["last"], change.get("last_size") or 0, day)
            elif day:
                series.no_trade(time_ms, day)
        return late

    def advance(self, now_ns: int) -> list[tuple[int, ...]]:
        closed = [
            bar
            for all_series in self.series.values()
            for series in all_series
            for bar in series.close(now_ns // 10**6)
        ]
        return sorted(closed, key=lambda bar: (bar[2], bar[0], bar[1]))


def check_utf8(text: bytes, *, is_final: bool) -> None:
    """Raise when the bytes are not UTF-8, or cannot become it."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        if is_final or error.reason != "unexpected end of data":
            raise PeerError(1007) from None

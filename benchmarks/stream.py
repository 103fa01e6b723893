"""A seeded stream of market data as the gateway sends it: binary frames of JSON.

The values look like the broker's: strings, some sizes with a comma or a suffix, a price with
`C` in front where there was no trade yet. An update names only what changed. One message
follows the other by a millisecond, which is 100 instruments at ten updates a second.

Day volumes are left out: how the engine makes a bar's volume of them is more than a peer's
twenty lines would do, and then the two would not do the same work.
"""

import json
import random
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

INSTRUMENTS: Final = 100
READ_BYTES: Final = 65_536
START_MS: Final = 1_750_000_000_000

_SHORT_MAX: Final = 125  # the longest payload whose length fits into a frame's second byte
_BINARY_FINAL: Final = 0x82


class Kind(Enum):
    """What a message tells."""

    TRADE = "trade"
    QUOTE = "quote"
    FULL = "full"
    PRIOR_CLOSE = "prior close"
    HEARTBEAT = "heartbeat"


MIX: Final[Mapping[Kind, int]] = {
    Kind.TRADE: 40,
    Kind.QUOTE: 46,
    Kind.FULL: 10,
    Kind.PRIOR_CLOSE: 2,
    Kind.HEARTBEAT: 2,
}
TRADES: Final[Mapping[Kind, int]] = {Kind.TRADE: 1}
FULLS: Final[Mapping[Kind, int]] = {Kind.FULL: 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The bytes in pieces as a socket is read, and what they say."""

    reads: tuple[bytes, ...]
    conids: tuple[int, ...]
    end_ms: int
    messages: int
    trades: int
    heartbeats: int
    message_bytes: float


def make_stream(shares: Mapping[Kind, int], *, messages: int, seed: int = 1) -> Stream:
    """Draw a stream with these shares of the kinds of messages."""
    chance = random.Random(seed)
    conids = tuple(chance.sample(range(100_000, 800_000_000), INSTRUMENTS))
    cents = {conid: chance.randrange(1_000, 60_000) for conid in conids}
    kinds = chance.choices(list(shares), weights=list(shares.values()), k=messages)
    wire = bytearray()
    payload_bytes = 0
    for number, kind in enumerate(kinds):
        conid = chance.choice(conids)
        cents[conid] = max(100, cents[conid] + chance.randint(-5, 5))
        payload = _payload(chance, kind, conid, cents[conid], START_MS + number)
        payload_bytes += len(payload)
        wire += _header(len(payload)) + payload
    view = bytes(wire)
    return Stream(
        reads=tuple(view[at : at + READ_BYTES] for at in range(0, len(view), READ_BYTES)),
        conids=conids,
        end_ms=START_MS + messages,
        messages=messages,
        trades=sum(kind in {Kind.TRADE, Kind.FULL} for kind in kinds),
        heartbeats=kinds.count(Kind.HEARTBEAT),
        message_bytes=payload_bytes / messages,
    )


def _header(payload_bytes: int) -> bytes:
    if payload_bytes <= _SHORT_MAX:
        return bytes((_BINARY_FINAL, payload_bytes))
    return struct.pack(">BBH", _BINARY_FINAL, _SHORT_MAX + 1, payload_bytes)


def _payload(chance: random.Random, kind: Kind, conid: int, cents: int, at_ms: int) -> bytes:
    if kind is Kind.HEARTBEAT:
        return _compact({"topic": "system", "hb": at_ms})
    topic = {"topic": f"smd+{conid}"}
    head = {"server_id": "q2", "conidEx": str(conid), "conid": conid, "_updated": at_ms}
    parts: list[Mapping[str, object]] = [{**head, **_FIELDS[kind](chance, cents)}]
    parts.insert(chance.randrange(2), topic)  # it is the first or the last key, as it comes
    return _compact({key: value for part in parts for key, value in part.items()})


def _compact(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _price(cents: int) -> str:
    return f"{cents // 100:,}.{cents % 100:02}"


def _size(chance: random.Random) -> str:
    share = chance.random()
    if share < 0.05:  # noqa: PLR2004 - one size in twenty has a suffix
        return f"{chance.randrange(100, 999) / 100:.2f}{chance.choice('KM')}"
    if share < 0.30:  # noqa: PLR2004 - one in four has a comma
        return f"{chance.randrange(1_000, 50_000):,}"
    return str(chance.randrange(1, 1_000))


def _trade(chance: random.Random, cents: int) -> dict[str, str]:
    return {"31": _price(cents), "7059": _size(chance)}


def _quote(chance: random.Random, cents: int) -> dict[str, str]:
    sides = [("84", "88", cents - 1), ("86", "85", cents + 1)]
    price, size, at = chance.choice(sides)
    both = {price: _price(at), size: _size(chance)}
    return both if chance.random() < 0.5 else {size: both[size]}  # noqa: PLR2004 - one or two


def _full(chance: random.Random, cents: int) -> dict[str, str]:
    return {
        "6119": "q2",
        "6509": "RpB",
        "70": _price(cents + 150),
        "71": _price(cents - 50),
        "82": "+1.25",
        "83": "0.66",
        "84": _price(cents - 1),
        "85": _size(chance),
        "86": _price(cents + 1),
        "88": _size(chance),
        **_trade(chance, cents),
    }


def _prior_close(_chance: random.Random, cents: int) -> dict[str, str]:
    return {"31": f"C{_price(cents)}"}


_FIELDS: Final[Mapping[Kind, Callable[[random.Random, int], dict[str, str]]]] = {
    Kind.TRADE: _trade,
    Kind.QUOTE: _quote,
    Kind.FULL: _full,
    Kind.PRIOR_CLOSE: _prior_close,
}

"""Streams as a gateway might send them, for property-based tests."""

import json
from typing import Any

from hypothesis import strategies as st

NOW_MS = 1_712_596_912_000
NOW_NS = NOW_MS * 10**6
CONIDS = (8314, 265598)
INTERVALS_MS = {8314: [1000, 250], 265598: [100]}


class Literal(str):
    """A value that is already JSON."""

    __slots__ = ()


def grouped(units: int) -> str:
    return f"{units:,}"


digits = st.integers(0, 10**9)
decimals = st.tuples(st.integers(-(10**7), 10**7), st.integers(0, 10**8 - 1)).map(
    lambda pair: f"{pair[0]}.{pair[1]:08}".rstrip("0") + "0"
)
nonsense = st.one_of(
    st.text("0123456789,.+-eEKMBCH% ", max_size=8),
    st.sampled_from(
        ["", " ", "NaN", "1,5", "1,300.5", ".5", "5.", "-", "H", "C", "€", "\\", "1e400"]
    ),
    st.sampled_from(
        [Literal(text) for text in ("null", "true", "[1]", '{"a":"}"}', "1e5", "-0.0")]
    ),
)
prices = st.one_of(
    st.integers(18_000, 19_000).map(lambda cents: f"{cents // 100}.{cents % 100:02}"),
    decimals,
    decimals.map(Literal),
    digits.map(grouped),
    nonsense,
)
last_prices = st.one_of(prices, prices.map(lambda price: f"C{price}"), prices.map("H{}".format))
sizes = st.one_of(
    st.integers(0, 2000).map(grouped), digits.map(lambda size: Literal(str(size))), nonsense
)
volumes = st.one_of(
    st.integers(0, 3000).map(str),
    st.integers(0, 999).map(lambda units: f"{units / 100}M"),
    st.integers(0, 999).map(lambda units: f"{units}K"),
    sizes,
)
times = st.one_of(
    st.integers(NOW_MS - 3000, NOW_MS + 3000).map(lambda time_ms: Literal(str(time_ms))),
    st.integers(NOW_MS + 59_999, NOW_MS + 60_002).map(str),
    nonsense,
)
fields: dict[str, st.SearchStrategy[Any]] = {
    "31": last_prices,
    "84": prices,
    "86": prices,
    "7741": prices,
    "85": sizes,
    "88": sizes,
    "7059": sizes,
    "87": volumes,
    "7762": volumes,
    "6509": st.one_of(st.sampled_from(["RpB", "DPB", "S", ""]), st.text(max_size=17), nonsense),
    "_updated": times,
    "83": st.sampled_from(["0.54%", Literal("0.54")]),
    "server_id": st.just("q2"),
}
conids = st.one_of(
    st.sampled_from([Literal("8314"), "8314", Literal("265598"), Literal("5"), "x", Literal("0")]),
    st.sampled_from([Literal("8314"), Literal("265598")]),
)


def to_json(members: list[tuple[str, Any]], comma: str, colon: str, *, ascii_only: bool) -> bytes:
    texts = [
        json.dumps(key)
        + colon
        + (value if isinstance(value, Literal) else encode(value, ascii_only))
        for key, value in members
    ]
    return ("{" + comma.join(texts) + "}").encode()


def encode(value: object, ascii_only: bool) -> str:  # noqa: FBT001 - a positional flag of one use
    return json.dumps(value, ensure_ascii=ascii_only)


@st.composite
def market_messages(draw: st.DrawFn) -> bytes:
    keys = draw(st.lists(st.sampled_from(sorted(fields)), unique=True, max_size=8))
    members = [(key, draw(fields[key])) for key in keys]
    if draw(st.integers(0, 20)):
        members.insert(draw(st.integers(0, len(members))), ("conid", draw(conids)))
    topic = draw(st.sampled_from(["smd+8314"] * 8 + ["smd", "smd+265598@ARCA", 'smd+"€']))
    members.insert(draw(st.sampled_from([0, len(members)])), ("topic", topic))
    if not draw(st.integers(0, 20)):
        members.append(("error", "No accounts"))
    comma, colon = draw(st.sampled_from([(",", ":"), (",", ":"), (", ", ": "), (" ,\n", " : ")]))
    return to_json(members, comma, colon, ascii_only=draw(st.booleans()))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
other_messages = st.one_of(
    st.tuples(st.sampled_from(["sor", "str", "system", "ssd+DU1", "€", ""]), json_values).map(
        lambda pair: json.dumps({"topic": pair[0], "args": pair[1]}).encode()
    ),
    st.lists(json_values, max_size=3).map(lambda values: json.dumps(values).encode()),
    st.just(b'{"message":"waiting for session"}'),
    st.just(b'{"topic":5}'),
    st.just(b"ech+hb"),
    st.just(b""),
    st.just(b'{"topic":"sor","args":"\xff"}x'[:-1].replace(b"\xff", "€".encode())),
)


def frame(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([first, length]) + payload
    if length < 65536:
        return bytes([first, 126]) + length.to_bytes(2) + payload
    return bytes([first, 127]) + length.to_bytes(8) + payload


@st.composite
def framed(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """One message: whole, in fragments with a ping between, or in several final frames."""
    payload = draw(messages)
    how = draw(st.sampled_from(["whole"] * 4 + ["text", "fragments", "pieces"]))
    cut = draw(st.integers(0, len(payload)))
    if how == "fragments":
        middle = draw(st.sampled_from([b"", frame(0x89, b"ping"), frame(0x8A, b""), frame(0, b"")]))
        return frame(0x02, payload[:cut]) + middle + frame(0x80, payload[cut:])
    # Only JSON is put together again, and only once it has begun.
    if how == "pieces" and payload[:cut].strip() and payload.startswith((b"{", b"[")):
        return frame(0x82, payload[:cut]) + frame(0x82, payload[cut:]) * (cut < len(payload))
    return frame(0x81 if how == "text" else 0x82, payload)


messages = st.one_of(market_messages(), market_messages(), market_messages(), other_messages)
closes = st.sampled_from([b"", b"", b"", frame(0x88, b""), frame(0x88, b"\x03\xe8bye")])
streams = st.tuples(st.lists(framed(messages), max_size=12), closes).map(
    lambda pair: b"".join(pair[0]) + pair[1]
)
cuts = st.lists(st.integers(0, 2000), max_size=10).map(sorted)


@st.composite
def trade_messages(draw: st.DrawFn) -> bytes:
    """Trades, quotes and day volumes of two contracts, close together in time."""
    members = [("conid", draw(st.sampled_from([Literal("8314"), "265598"])))]
    choices: list[tuple[str, int, st.SearchStrategy[Any]]] = [
        ("31", 4, st.integers(-300, 300).map(lambda cents: f"{cents / 100:.2f}")),
        ("31", 1, st.sampled_from(["C1.5", "H1.5", ""])),
        ("7059", 3, st.integers(0, 1500).map(grouped)),
        ("7762", 2, st.integers(0, 4000).map(str)),
        ("87", 2, st.sampled_from(["900", "1K", "1.5K", "2K", "3K", "0.1M"])),
        ("_updated", 5, st.integers(NOW_MS - 1500, NOW_MS + 1500).map(str)),
        ("84", 1, st.just("1")),
    ]
    for key, weight, values in choices:
        if draw(st.integers(0, 5)) < weight:
            members.append((key, draw(values)))
    members.append(("topic", "smd+8314"))
    return frame(0x82, to_json(members, ",", ":", ascii_only=True))


trade_streams = st.lists(trade_messages(), min_size=5, max_size=40).map(b"".join)


@st.composite
def broken_streams(draw: st.DrawFn) -> bytes:
    """A stream with some bytes changed, or no stream at all."""
    stream = bytearray(draw(streams))
    for _ in range(draw(st.integers(0, 3))):
        if stream:
            stream[draw(st.integers(0, len(stream) - 1))] = draw(st.integers(0, 255))
    return bytes(stream) + draw(st.binary(max_size=20))


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = [min(cut, len(stream)) for cut in cuts]
    return [stream[start:end] for start, end in zip([0, *ends], [*ends, len(stream)], strict=True)]

"""The decoder against the reference, and against the worst of peers."""

import struct
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine._rust_core import BAR_DTYPE, SCALE, FeedBatch, FeedDecoder, ProtocolError, Quote
from tests.rust_core.reference import ReferenceDecoder
from tests.rust_core.streams import (
    CONIDS,
    INTERVALS_MS,
    NOW_NS,
    broken_streams,
    cuts,
    frame,
    pieces_of,
    streams,
    trade_streams,
)

COUNTERS = [name for name in dir(FeedDecoder().advance(0).counters) if name[0] != "_"]
QUOTE_FIELDS = [name for name in dir(Quote) if name[0] != "_"]
LATER_NS = NOW_NS + 100 * 10**9
TICK = b'{"conid":8314,"_updated":1712596911593,"31":"189.60","7059":"100","topic":"smd+8314"}'


def unpack_bars(packed: bytes) -> list[tuple[int, ...]]:
    return list(struct.iter_unpack("<10q", packed))


def unmask_frames(sent: bytes) -> list[tuple[int, bytes]]:
    frames = []
    while sent:
        length = sent[1] & 0x7F
        key, masked = sent[2:6], sent[6 : 6 + length]
        frames.append((sent[0] & 15, bytes(b ^ key[i % 4] for i, b in enumerate(masked))))
        sent = sent[6 + length :]
    return frames


def quote_fields(quote: Quote | None) -> dict[str, Any] | None:
    return None if quote is None else {name: getattr(quote, name) for name in QUOTE_FIELDS}


def new_decoder(message_bytes_max: int = 1 << 20) -> FeedDecoder:
    decoder = FeedDecoder(message_bytes_max=message_bytes_max)
    for conid, intervals_ms in INTERVALS_MS.items():
        decoder.track(conid, intervals_ms)
    return decoder


def decode(pieces: list[bytes]) -> dict[str, Any]:
    """Feed the pieces one by one and return everything that came out, as if at once."""
    decoder = new_decoder()
    total: dict[str, Any] = {"bars": [], "messages": [], "replies": [], "closed": None}
    counters = Counter(dict.fromkeys(COUNTERS, 0))
    error_close_code = None
    for piece in pieces:
        batch = decoder.feed(piece, NOW_NS)
        total["bars"] += unpack_bars(batch.bars)
        total["messages"] += batch.messages
        total["replies"] += unmask_frames(batch.replies)
        total["closed"] = total["closed"] or batch.closed
        counters.update({name: getattr(batch.counters, name) for name in COUNTERS})
        if batch.error is not None:
            error_close_code = batch.error_close_code
            break
    total["counters"] = {name: count for name, count in counters.items() if name != "bytes"}
    total["error_close_code"] = error_close_code
    total["last_bars"] = unpack_bars(decoder.advance(LATER_NS).bars)
    total["quotes"] = {conid: quote_fields(decoder.quote(conid)) for conid in (*CONIDS, 5)}
    return total


def decode_slowly(stream: bytes) -> dict[str, Any]:
    reference = ReferenceDecoder(INTERVALS_MS)
    reference.feed(stream, NOW_NS)
    counters = {name: reference.counters[name] for name in COUNTERS if name != "bytes"}
    return {
        "bars": list(reference.bars),
        "messages": reference.messages,
        "replies": reference.replies,
        "closed": reference.closed,
        "counters": counters | {"bars": len(reference.bars)},
        "error_close_code": reference.error_close_code,
        "last_bars": reference.advance(LATER_NS),
        "quotes": {conid: reference.quotes.get(conid) for conid in (*CONIDS, 5)},
    }


@settings(max_examples=400, deadline=None)
@given(streams)
def test_the_decoder_says_what_the_reference_says(stream: bytes) -> None:
    assert decode([stream]) == decode_slowly(stream)


@settings(max_examples=200, deadline=None)
@given(trade_streams)
def test_bars_and_quotes_are_those_of_the_reference(stream: bytes) -> None:
    assert decode([stream]) == decode_slowly(stream)


@settings(max_examples=200, deadline=None)
@given(broken_streams(), cuts)
def test_how_a_stream_is_cut_changes_nothing(stream: bytes, cuts: list[int]) -> None:
    whole = decode([stream])

    assert decode(pieces_of(stream, cuts)) == whole
    assert decode([stream[i : i + 1] for i in range(len(stream))]) == whole


@settings(max_examples=400, deadline=None)
@given(broken_streams())
@example(b"\x81\x7f" + (2**63 - 1).to_bytes(8))
@example(b"\x81\x02\xe2\x82")
@example(b"\x01\x02\xe2\x82\x80\x01\xff")
def test_a_broken_stream_fails_where_the_reference_fails(stream: bytes) -> None:
    found, expected = decode([stream]), decode_slowly(stream)

    for name in ("error_close_code", "replies", "closed"):
        assert found[name] == expected[name], name
    assert found["counters"]["frames"] == expected["counters"]["frames"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=10), st.integers(1, 2000))
def test_no_bytes_crash_the_decoder(pieces: list[bytes], message_bytes_max: int) -> None:
    decoder = new_decoder(message_bytes_max)

    for piece in pieces:
        batch = decoder.feed(piece, NOW_NS)
        assert all(len(payload) <= message_bytes_max for _, payload in batch.messages)
        if batch.error is not None:
            break
    else:
        return

    assert batch.error_close_code in {1002, 1007, 1008, 1009}
    with pytest.raises(ProtocolError) as raised:
        decoder.feed(b"", NOW_NS)
    assert (str(raised.value), raised.value.close_code) == (batch.error, batch.error_close_code)


def test_the_error_comes_with_what_came_before_it() -> None:
    sor = b'{"topic":"sor","args":[]}'
    decoder = new_decoder()

    batch = decoder.feed(frame(0x82, sor) + frame(0x82, TICK) + b"\x83\x00", NOW_NS)

    assert batch.messages == [("sor", sor)]
    assert (batch.counters.ticks, batch.counters.frames) == (1, 2)
    assert (batch.error, batch.error_close_code) == ("unknown opcode 0x3", 1002)
    assert unmask_frames(batch.replies) == [(8, b"\x03\xea")]


def test_a_message_over_the_limit_is_refused_by_its_header() -> None:
    decoder = new_decoder(message_bytes_max=1000)

    batch = decoder.feed(b"\x82\x7e\x03\xe9", NOW_NS)

    assert batch.error == "message of 1001 bytes, limit is 1000 bytes"
    assert batch.error_close_code == 1009


def test_split_documents_are_limited_as_a_whole() -> None:
    decoder = new_decoder(message_bytes_max=1000)

    batch = decoder.feed(frame(0x82, b'["' + b"x" * 600) + frame(0x82, b"x" * 600), NOW_NS)

    assert batch.error == "split JSON of 1202 bytes, limit is 1000 bytes"
    assert batch.error_close_code == 1009


def test_a_document_that_never_ends_gives_way() -> None:
    decoder = new_decoder()
    decoder.feed(frame(0x82, b'{"topic":"sor","args":[{"acct'), NOW_NS)

    batch = decoder.feed(frame(0x82, TICK), NOW_NS)

    assert (batch.counters.partials_dropped, batch.counters.ticks) == (1, 1)


def test_bars_are_read_by_numpy_without_parsing() -> None:
    decoder = new_decoder()
    decoder.feed(frame(0x82, TICK), NOW_NS)

    bars = np.frombuffer(decoder.advance(NOW_NS).bars, dtype=np.dtype(BAR_DTYPE))

    assert bars["interval_ms"].tolist() == [1000, 250]
    assert bars["start_ms"].tolist() == [1712596911000, 1712596911500]
    assert bars["close"].tolist() == [18960000000] * 2
    assert bars["volume"].tolist() == [100 * SCALE] * 2
    assert bars["trades"].tolist() == [1, 1]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_of_bytes_is_taken(kind: type[bytes | bytearray | memoryview]) -> None:
    batch: FeedBatch = new_decoder().feed(kind(frame(0x82, TICK)), NOW_NS)

    assert batch.counters.ticks == 1


def test_a_text_is_no_buffer() -> None:
    with pytest.raises((TypeError, BufferError)):
        new_decoder().feed("text", NOW_NS)  # type: ignore[arg-type] # what the test is about


@pytest.mark.parametrize(
    ("conid", "intervals_ms", "message"),
    [
        (0, [1000], "conid 0, allowed are 1 and above"),
        (1, [99], "bar interval of 99 ms, allowed are 100 to 2678400000 ms"),
        (1, list(range(100, 117)), "17 bar intervals for one contract, limit is 16"),
    ],
)
def test_what_cannot_be_tracked_is_refused(
    conid: int, intervals_ms: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        FeedDecoder().track(conid, intervals_ms)


def test_a_time_before_1970_is_refused() -> None:
    with pytest.raises(ValueError, match="time of -1 ns, allowed are 0 and above"):
        FeedDecoder().feed(b"", -1)
    with pytest.raises(ValueError, match="time of -1 ns, allowed are 0 and above"):
        FeedDecoder().advance(-1)


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="message_bytes_max of 0 bytes"):
        FeedDecoder(message_bytes_max=0)


def test_a_reset_begins_a_new_connection_and_keeps_the_quotes() -> None:
    decoder = new_decoder()
    decoder.feed(frame(0x82, TICK) + b"\xff\xff", NOW_NS)

    decoder.reset()
    batch = decoder.feed(frame(0x82, b'{"conid":8314,"84":"1","topic":"smd+8314"}'), NOW_NS)

    quote = decoder.quote(8314)
    assert batch.error is None
    assert quote is not None
    assert (quote.last, quote.bid) == (18960000000, SCALE)


def test_an_untracked_contract_is_forgotten() -> None:
    decoder = new_decoder()
    decoder.feed(frame(0x82, TICK), NOW_NS)

    decoder.untrack(8314)

    assert decoder.quote(8314) is None
    assert decoder.advance(NOW_NS).bars == b""

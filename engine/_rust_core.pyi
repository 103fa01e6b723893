"""The Rust half of the feed: WebSocket bytes in; quotes, bars and messages out.

Prices and sizes are integers in units of 10⁻⁸ (`SCALE` of them are one). Times
are epoch times, with their unit in the name. Nothing here reads a clock or a
socket; the one source of chance are the mask keys, which come from the operating
system.
"""

from typing import Final, final

from typing_extensions import Buffer

__all__ = [
    "BAR_DTYPE",
    "SCALE",
    "FeedBatch",
    "FeedCounters",
    "FeedDecoder",
    "ProtocolError",
    "Quote",
    "accept_key",
    "encode_close",
    "encode_text",
]

BAR_DTYPE: Final[list[tuple[str, str]]]
"""The fields of a packed bar, as `numpy.dtype` takes them.

`conid`, `interval_ms`, `start_ms`; `open`, `high`, `low`, `close`, `volume`,
`vwap` in units of 10⁻⁸; `trades`. Each is a little-endian 64-bit integer.
"""

SCALE: Final[int]
"""Units of a price or size in one: 100,000,000."""

class ProtocolError(ValueError):
    """The peer broke RFC 6455 or a limit; the message says what was found and allowed."""

    close_code: int
    """The code to close with: 1002, 1007 (not UTF-8), 1008 (flood) or 1009 (too long)."""

@final
class FeedCounters:
    """How much of everything was in one batch.

    `messages` is `ticks` + `ignored` + the messages handed out.
    """

    @property
    def bytes(self) -> int:
        """Bytes given to the decoder."""

    @property
    def frames(self) -> int:
        """Whole WebSocket frames, control frames included."""

    @property
    def messages(self) -> int:
        """Whole documents, market data or not."""

    @property
    def ticks(self) -> int:
        """Market data updates of a contract, late ones included."""

    @property
    def bad_fields(self) -> int:
        """Known fields whose value could not be read exactly; they became unknown."""

    @property
    def late_ticks(self) -> int:
        """Updates older than the quote, or trades older than an open or closed bar."""

    @property
    def ignored(self) -> int:
        """Market data messages that belong to no contract, or to one too many."""

    @property
    def split_messages(self) -> int:
        """JSON documents that came in more than one WebSocket message."""

    @property
    def partials_dropped(self) -> int:
        """Beginnings of JSON documents that never ended. What they said is lost."""

    @property
    def bars(self) -> int:
        """Closed bars."""

@final
class FeedBatch:
    """Everything that came out of one call."""

    @property
    def bars(self) -> bytes:
        """Closed bars, packed as `BAR_DTYPE`; empty when none closed."""

    @property
    def messages(self) -> list[tuple[str, bytes]]:
        """Topic and JSON bytes of every document that is not market data, in order.

        The topic is the whole value of the top-level `topic`, such as `sor` or
        `ssd+DU1234567`; `""` when there is none, `"text"` when it is not JSON.
        Errors about market data, such as `{"error": ..., "topic": "smd"}`, are here.
        """

    @property
    def replies(self) -> bytes:
        """Frames to write at once: pongs, the echo of a close, the close after an error."""

    @property
    def closed(self) -> tuple[int, str] | None:
        """Code and reason of the peer's close frame; code 1005 when it gave none."""

    @property
    def error(self) -> str | None:
        """What the peer did wrong after all of the above; the connection is over."""

    @property
    def error_close_code(self) -> int | None:
        """The close code of `error`; `replies` already ends with that close frame."""

    @property
    def counters(self) -> FeedCounters:
        """How much of everything."""

@final
class Quote:
    """What is known of a contract; `None` where the broker has no readable value."""

    @property
    def conid(self) -> int:
        """The contract."""

    @property
    def bid(self) -> int | None:
        """Best bid price (field 84)."""

    @property
    def ask(self) -> int | None:
        """Best ask price (field 86)."""

    @property
    def last(self) -> int | None:
        """Last price (field 31), also while halted; `None` if only a prior close is shown."""

    @property
    def bid_size(self) -> int | None:
        """Size at the best bid (field 88)."""

    @property
    def ask_size(self) -> int | None:
        """Size at the best ask (field 85)."""

    @property
    def last_size(self) -> int | None:
        """Size of the last trade (field 7059)."""

    @property
    def volume(self) -> int | None:
        """Volume of the day: exact (field 7762) once that was seen, else rounded (field 87)."""

    @property
    def prior_close(self) -> int | None:
        """Closing price of the day before (field 7741, or field 31 with prefix C)."""

    @property
    def halted(self) -> bool:
        """Whether the last price had prefix H."""

    @property
    def availability(self) -> str:
        """How the data is delivered (field 6509), such as `RpB`; empty when unknown."""

    @property
    def updated_ms(self) -> int | None:
        """When the broker last changed it (`_updated`)."""

    @property
    def received_ns(self) -> int:
        """The `now_ns` of the call that brought the last update."""

@final
class FeedDecoder:
    """Decodes the WebSocket of one gateway session and keeps its quotes and bars.

    Quotes of up to 16,384 contracts are kept, tracked or not. Updates are merged
    field by field: a field the update does not mention stays, an empty or unreadable
    one becomes unknown, an unreadable one is counted too. An update older than its
    quote is counted as late and not merged.

    Bars are made of trades: updates with field 31 and neither prefix C nor H. They
    are aligned to the epoch by `_updated`, else by `now_ns`; an interval without a
    trade gives no bar. A bar closes with the first later update of its contract or
    by `advance`; a trade that is older than that is counted as late and merged
    nowhere. The volume is the growth of the day volume while it is known, else the
    last size. `vwap` is the close when a bar has no volume.

    The gateway may split one JSON document over several final frames: pieces are
    kept until the document is whole. A piece that cannot go on with what is kept, or
    comes more than 5 s after it, proves the oldest piece abandoned: that one is
    dropped and counted, and the others are read anew.
    """

    def __new__(cls, *, message_bytes_max: int = 1_048_576) -> FeedDecoder:
        """Make a decoder.

        Args:
            message_bytes_max: Limit of a message, and of a split document as a whole.

        Raises:
            ValueError: The limit is zero.
        """

    def track(self, conid: int, intervals_ms: list[int]) -> None:
        """Build bars of exactly these lengths for a contract; an empty list for none.

        Intervals that were tracked before go on; open bars of others are dropped.

        Raises:
            ValueError: The conid is not positive, an interval is not within 100 ms and
                31 days, there are more than 16, or 16,384 contracts are tracked.
        """

    def untrack(self, conid: int) -> None:
        """Forget a contract: its quote and its open bars."""

    def reset(self) -> None:
        """Begin a new connection: no bytes, no pieces, no day volumes of the old one.

        Quotes, tracked contracts and open bars stay.
        """

    def feed(self, data: Buffer, now_ns: int) -> FeedBatch:
        """Take the bytes of one socket read; `bytes` are not copied, other buffers are.

        A mistake of the peer does not raise but is in the batch's `error`, so that
        nothing that came before it is lost.

        Raises:
            ProtocolError: An earlier batch had an error: make a new connection.
            ValueError: `now_ns` is negative.
        """

    def advance(self, now_ns: int) -> FeedBatch:
        """Close the bars that ended by the clock.

        A trade that comes after that is late, so subtract from the clock the delay
        that trades may have (the broker conflates them over 500 ms).

        Raises:
            ValueError: `now_ns` is negative.
        """

    def quote(self, conid: int) -> Quote | None:
        """Return the last quote of a contract, or `None` when nothing came for it."""

def encode_text(payload: bytes) -> bytes:
    """Return one masked text frame.

    Raises:
        ValueError: The payload is not UTF-8.
    """

def encode_close(code: int) -> bytes:
    """Return one masked close frame; 1005 stands for one without a code.

    Raises:
        ValueError: The code must not be sent.
    """

def accept_key(key: str) -> str:
    """Return the `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`."""

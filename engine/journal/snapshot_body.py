"""The history of a journal as bytes, and back: what a snapshot holds.

Rule 1: it is made and read in slices, so that an engine that trades can do it beside.

Rule 2: another version of the engine may make more of the same records. So a snapshot is
of one version only; `SHAPE` names it, and a seal with another shape is not opened.
"""

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from importlib.metadata import version
from types import MappingProxyType
from typing import Final

import msgspec

from engine.domain.history import (
    History,
    LiveOrder,
    Reconciled,
    RestingOrder,
    lay_to_rest,
)
from engine.domain.messages import ExternalOrderSeen, HaltScope, LoginGuarded
from engine.domain.order.image import OrderImage
from engine.domain.values import ApprovedTicket, Execution, Ticket
from engine.journal.errors import JournalUnsupported

FRAME_ORDERS: Final = 50
"""So many orders are a slice of the work."""

_LEVEL: Final = 1
_LENGTH: Final = struct.Struct(">I")


def _plain(value: object) -> object:
    """Turn what has no word of its own into what has one."""
    if isinstance(value, MappingProxyType):
        return dict(value)
    message = f"a {type(value).__name__} cannot be kept in a snapshot"
    raise NotImplementedError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Top:
    """All but the orders."""

    seq: int
    at_ns: int
    skipped: int
    halts: tuple[HaltScope, ...]
    guards: tuple[LoginGuarded, ...]
    reconciled: tuple[Reconciled, ...]
    externals: tuple[ExternalOrderSeen, ...]


def _shape() -> bytes:
    parts = [version("ibkr-execution-engine")]
    parts += [
        f"{one.name}: {one.type}"
        for kind in (_Top, RestingOrder, OrderImage)
        for one in fields(kind)
    ]
    return hashlib.sha256("\n".join(parts).encode()).digest()[:8]


SHAPE: Final = _shape()

_ENCODE: Final = msgspec.msgpack.Encoder(decimal_format="string", enc_hook=_plain).encode
_TOP: Final = msgspec.msgpack.Decoder(_Top)
_ROWS: Final = msgspec.msgpack.Decoder(tuple[RestingOrder, ...])
_IMAGE: Final = msgspec.msgpack.Decoder(OrderImage)


def _like(kind: type, **known: object) -> dict[str, object]:
    """Return the fields of a dataclass, in its order, as bytes are made of it."""
    return {
        one.name: known.get(one.name, None if one.default is MISSING else one.default)
        for one in fields(kind)
    }


def _typical() -> dict[str, object]:
    """Return an order like most: a limit order that filled at once."""
    digits, at_ns = "0" * 64, 1_750_000_000_000_000_000
    account, broker_order_id = "DU1000000", "1000000"
    order_id, coid, conid = "1-1", "EX0000-1-1-00", 265598
    ticket = _like(
        Ticket,
        account=account,
        client_order_id="order-1",
        conid=conid,
        symbol="AAPL",
        side="BUY",
        type="LMT",
        quantity="100",
        limit_price="100.25",
        tif="DAY",
    )
    approved = _like(
        ApprovedTicket,
        ticket=ticket,
        order_id=order_id,
        coid=coid,
        session="main",
        questions={"answers": {}, "default": "decline"},
        policy_hash=digits,
        request_sha256=digits,
    )
    fill = _like(
        Execution,
        execution_id="0000e0d5.00000000.01.01",
        account=account,
        broker_order_id=broker_order_id,
        coid=coid,
        conid=conid,
        side="BUY",
        quantity="100",
        price="100.25",
        commission="1.01",
        at_ms=at_ns // 1_000_000,
    )
    return _like(
        OrderImage,
        approved=approved,
        broker_filled="100",
        created_at_ns=at_ns,
        order_id=order_id,
        request_sha256=digits,
        session="main",
        state="FILLED",
        ticket=ticket,
        updated_at_ns=at_ns,
        attempts=1,
        broker_order_id=broker_order_id,
        fills=(fill,),
        sent_at_ns=at_ns,
        sent_epoch=1,
    )


_TYPICAL: Final = _ENCODE(_typical())
"""What every order is told apart from: only the differences are kept."""


class ImagePacking:
    """Orders at rest as bytes, each a tenth of its size: most of one is like any other."""

    def pack(self, image: OrderImage) -> bytes:
        """Return the image as bytes."""
        squeezed = zlib.compressobj(_LEVEL, zdict=_TYPICAL)
        return squeezed.compress(_ENCODE(image)) + squeezed.flush()

    def unpack(self, packed: bytes) -> OrderImage:
        """Return the image that `pack` was given. Raises `JournalUnsupported` for others."""
        try:
            return _IMAGE.decode(zlib.decompressobj(zdict=_TYPICAL).decompress(packed))
        except (zlib.error, msgspec.DecodeError) as error:
            problem = f"an order that cannot be read: {error}"
            raise JournalUnsupported(problem) from error


PACKING: Final = ImagePacking()


def slices_of(history: History) -> Iterator[bytes]:
    """Return a history as bytes, a slice at a time. Nobody may change it meanwhile."""
    top = _Top(
        seq=history.seq,
        at_ns=history.at_ns,
        skipped=history.skipped,
        halts=tuple(history.halts.values()),
        guards=tuple(history.guards.values()),
        reconciled=tuple(history.reconciled.values()),
        externals=tuple(history.externals.values()),
    )
    yield _framed(top)
    rows: list[RestingOrder] = []
    for found in history.orders.values():
        if isinstance(found, LiveOrder):
            found = lay_to_rest(found.order, found.seq, PACKING)  # noqa: PLW2901 - the same order
        rows.append(found)
        if len(rows) == FRAME_ORDERS:
            yield _framed(rows)
            rows = []
    if rows:
        yield _framed(rows)


def read_slices(body: bytes) -> Iterator[History]:
    """Read a history, a slice at a time; what is yielded is whole once there is no more.

    Raises `JournalUnsupported` for bytes that `slices_of` did not make.
    """
    history = History(PACKING)
    try:
        frames = _frames(body)
        top = _TOP.decode(next(frames, b""))
        history.seq, history.at_ns, history.skipped = top.seq, top.at_ns, top.skipped
        history.halts = {halt.scope: halt for halt in top.halts}
        history.guards = {guard.session: guard for guard in top.guards}
        history.reconciled = {one.record.account: one for one in top.reconciled}
        history.externals = {
            (one.row.account, one.row.broker_order_id): one for one in top.externals
        }
        yield history
        for frame in frames:
            history.orders.update((row.order_id, row) for row in _ROWS.decode(frame))
            yield history
    except (msgspec.DecodeError, struct.error) as error:
        problem = f"a snapshot that cannot be read: {error}"
        raise JournalUnsupported(problem) from error


def _framed(value: object) -> bytes:
    body = _ENCODE(value)
    return _LENGTH.pack(len(body)) + body


def _frames(body: bytes) -> Iterator[memoryview]:
    view, place = memoryview(body), 0
    while place < len(view):
        (size,) = _LENGTH.unpack_from(view, place)
        place += _LENGTH.size
        yield view[place : place + size]
        place += size

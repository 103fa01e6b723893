"""What the records of a journal make: orders, halts, login guards and reconciliations.

Rule 1: the same records make the same history, whether they are applied at once, in parts,
or from a snapshot on. Its digest says whether two are the same.

Rule 2: an order that ended a day ago rests: it is kept as bytes and shown, and nobody acts
for it. News of it wakes it, as the order that it was.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import Final, Protocol, TypeAlias

from engine.domain.messages import (
    AccountReconciled,
    AdoptOrder,
    DenyOrder,
    EngineStarted,
    ExternalOrderSeen,
    HaltScope,
    LimitsLoaded,
    LoginGuarded,
    NoticeSeen,
    OrderRecord,
    ResumeScope,
    SubmitOrder,
)
from engine.domain.order import Order
from engine.domain.order.image import OrderImage, image_of, last_news_ns, order_of
from engine.domain.ports import Recorded
from engine.domain.values import (
    TERMINAL,
    AccountId,
    BrokerOrderId,
    ClientOrderId,
    Coid,
    OrderId,
    OrderState,
    Scope,
    SessionName,
)

REST_NS: Final = 24 * 3600 * 1_000_000_000
"""An order rests once it has ended and nothing was heard of it for so long."""

EXTERNALS_MAX: Final = 10_000
"""Of so many orders of others the last status is kept; the oldest are forgotten first."""

_OF_NO_ORDER: Final = (
    HaltScope,
    ResumeScope,
    LoginGuarded,
    AccountReconciled,
    ExternalOrderSeen,
    EngineStarted,
    LimitsLoaded,
    NoticeSeen,
)

_External: TypeAlias = tuple[AccountId, BrokerOrderId]


class Packing(Protocol):
    """Turns an order's image into bytes and back."""

    def pack(self, image: OrderImage) -> bytes:
        """Return the image as bytes."""
        ...

    def unpack(self, packed: bytes) -> OrderImage:
        """Return the image that `pack` was given."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RestingOrder:
    """An order that is over: what it is found by, and the rest of it in bytes.

    `seq` is its last record.
    """

    order_id: OrderId
    account: AccountId
    client_order_id: ClientOrderId
    coid: Coid | None
    broker_order_ids: tuple[BrokerOrderId, ...]
    state: OrderState
    updated_at_ns: int
    seq: int
    leader: OrderId | None
    """The first order of its group, None without one."""
    unsettled: bool
    """True while something of it goes on at the broker, whatever its state."""
    packed: bytes


@dataclass(slots=True, kw_only=True)
class LiveOrder:
    """An order that somebody acts for, and its last record."""

    order: Order
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """The last comparison of an account with the broker, and when it was written."""

    record: AccountReconciled
    seq: int
    at_ns: int


class History:
    """The state after some records."""

    def __init__(self, packing: Packing | None = None) -> None:
        """Begin with nothing. Without `packing`, no order ever rests."""
        self.packing = packing
        self.seq = 0
        """The last record that was applied."""
        self.at_ns = 0
        """The newest time of a record."""
        self.skipped = 0
        """Records of orders whose first record is missing; nothing can be made of them."""
        self.orders: dict[OrderId, LiveOrder | RestingOrder] = {}
        """All orders, in order of their first records."""
        self.halts: dict[Scope, HaltScope] = {}
        self.guards: dict[SessionName, LoginGuarded] = {}
        self.reconciled: dict[AccountId, Reconciled] = {}
        self.externals: dict[_External, ExternalOrderSeen] = {}
        """The last that was written of orders that are not ours."""

    def apply(self, recorded: Recorded) -> None:
        """Take over the next record."""
        self.seq = recorded.seq
        entry = recorded.entry
        self.at_ns = max(self.at_ns, entry.at_ns)
        message = entry.message
        if entry.order_id is not None:
            assert not isinstance(message, _OF_NO_ORDER), f"record {recorded.seq} is of no order"
            self._apply_to_order(entry.order_id, message, recorded)
            return
        match message:
            case HaltScope() as halt:
                self.latch(halt)
            case ResumeScope(scope=scope):
                self.halts.pop(scope, None)
            case LoginGuarded(session=session) as guard:
                self.guards[session] = guard
            case AccountReconciled(account=account) as record:
                self.reconciled[account] = Reconciled(
                    record=record, seq=recorded.seq, at_ns=entry.at_ns
                )
            case ExternalOrderSeen() as seen:
                self.note_external(seen)
            case EngineStarted() | LimitsLoaded() | NoticeSeen():
                pass
            case _:
                text = f"record {recorded.seq} is of an order, of which?"
                raise AssertionError(text)

    def _apply_to_order(self, order_id: OrderId, message: OrderRecord, recorded: Recorded) -> None:
        found = self._live(order_id)
        if found is None:
            if not isinstance(message, SubmitOrder | DenyOrder | AdoptOrder):
                self.skipped += 1
                return
            found = self.orders[order_id] = LiveOrder(order=Order(), seq=0)
        found.order.replay(message, recorded.entry.at_ns)
        found.seq = recorded.seq

    def latch(self, halt: HaltScope) -> None:
        """Put a halt in force; a milder one never replaces a stricter one."""
        known = self.halts.get(halt.scope)
        if known is None or halt.level.strictness >= known.level.strictness:
            self.halts[halt.scope] = halt

    def live(self) -> Iterator[tuple[Order, int]]:
        """Return the orders that somebody has to act for, each with its last record."""
        for found in self.orders.values():
            if isinstance(found, LiveOrder):
                yield found.order, found.seq

    def rest(self) -> None:
        """Let orders rest that may; call it now and then, it looks at all that do not."""
        if self.packing is None:
            return
        resting, busy = dict[OrderId, LiveOrder](), set[OrderId]()
        for order_id, found in self.orders.items():
            if not isinstance(found, LiveOrder):
                continue
            order, group = found.order, found.order.ticket.group
            rests = self._may_rest(
                order.ticket.account, order.state, last_news_ns(order), found.seq
            )
            if rests and not is_unsettled(order):
                resting[order_id] = found
            elif group is not None:
                busy.add(group.leader)
        for order_id, found in resting.items():
            group = found.order.ticket.group
            if group is None or group.leader not in busy:
                # The key is there already, so the dictionary keeps its order.
                self.orders[order_id] = lay_to_rest(found.order, found.seq, self.packing)

    def wake(self) -> None:
        """Bring back the orders that must not rest, as after a snapshot of all as bytes."""
        resting, busy = list[RestingOrder](), set[OrderId]()
        for found in self.orders.values():
            if not isinstance(found, RestingOrder):
                continue
            rests = self._may_rest(found.account, found.state, found.updated_at_ns, found.seq)
            if rests and not found.unsettled:
                resting.append(found)
            else:
                live = self._live(found.order_id)
                assert live is not None
                if found.leader is not None:
                    busy.add(found.leader)
        for found in resting:
            if found.leader in busy:
                self._live(found.order_id)

    def _may_rest(self, account: AccountId, state: OrderState, news_ns: int, seq: int) -> bool:
        known = self.reconciled.get(account)
        return may_rest(
            state,
            age_ns=self.at_ns - news_ns,
            seq=seq,
            compared_seq=None if known is None else known.seq,
        )

    def _live(self, order_id: OrderId) -> LiveOrder | None:
        found = self.orders.get(order_id)
        if isinstance(found, RestingOrder):
            assert self.packing is not None
            order = order_of(self.packing.unpack(found.packed))
            found = self.orders[order_id] = LiveOrder(order=order, seq=found.seq)
        return found

    def note_external(self, seen: ExternalOrderSeen) -> None:
        """Keep what was written last of an order that is not ours."""
        key = (seen.row.account, seen.row.broker_order_id)
        self.externals.pop(key, None)
        self.externals[key] = seen
        if len(self.externals) > EXTERNALS_MAX:
            del self.externals[next(iter(self.externals))]

    def digest(self) -> str:
        """Return a hash of all that this is, however it came to be."""
        lines = [f"order {canonical(image)} {seq}" for image, seq in self._images()]
        lines += [f"halt {canonical(halt)}" for halt in self.halts.values()]
        lines += [f"guard {canonical(guard)}" for guard in self.guards.values()]
        lines += [f"reconciled {canonical(one)}" for one in self.reconciled.values()]
        lines += [f"external {canonical(one)}" for one in self.externals.values()]
        whole = hashlib.sha256()
        for line in sorted(lines):
            whole.update(hashlib.sha256(line.encode()).digest())
        return whole.hexdigest()

    def _images(self) -> Iterator[tuple[OrderImage, int]]:
        for found in self.orders.values():
            if isinstance(found, LiveOrder):
                yield image_of(found.order), found.seq
            else:
                assert self.packing is not None
                yield self.packing.unpack(found.packed), found.seq


def replay(records: Iterable[Recorded]) -> History:
    """Apply the records, oldest first."""
    history = History()
    for recorded in records:
        history.apply(recorded)
    return history


def is_unsettled(order: Order) -> bool:
    """Say whether something of an order may go on at the broker although it has ended."""
    if order.state not in TERMINAL or order.needs_lookup or order.duplicates_open:
        return True
    # Its exits were replaced: somebody has to notice when those come to nothing.
    return order.was_unprotected and order.fills.quantity > 0


def may_rest(state: OrderState, *, age_ns: int, seq: int, compared_seq: int | None) -> bool:
    """Say whether nobody needs to act for an order whose last record is `seq`.

    `compared_seq` is the record of its account's last comparison with the broker: what was
    filled after it is still needed for the next one.
    """
    compared = compared_seq is None or seq < compared_seq
    return state in TERMINAL and age_ns >= REST_NS and compared


def lay_to_rest(order: Order, seq: int, packing: Packing) -> RestingOrder:
    """Return the order as it is kept."""
    ticket, first = order.ticket, order.broker_order_id
    return RestingOrder(
        order_id=order.order_id,
        account=ticket.account,
        client_order_id=ticket.client_order_id,
        coid=order.coid,
        broker_order_ids=tuple(one for one in (first, *order.other_ids) if one is not None),
        state=order.state,
        updated_at_ns=last_news_ns(order),
        seq=seq,
        leader=None if ticket.group is None else ticket.group.leader,
        unsettled=is_unsettled(order),
        packed=packing.pack(image_of(order)),
    )


def canonical(value: object) -> str:
    """Write a value so that equal values, and only they, give equal texts."""
    match value:
        case None:
            return "-"
        case bool() | int() | Decimal():
            return f"{value}"
        case str():
            return f"{len(value)}'{value}"
        case bytes():
            return f"x{value.hex()}"
        case tuple():
            return f"({' '.join(map(canonical, value))})"
        case Mapping():
            items = sorted((canonical(key), canonical(item)) for key, item in value.items())
            return f"{{{' '.join(f'{key}:{item}' for key, item in items)}}}"
        case _:
            assert is_dataclass(value), f"a {type(value).__name__} has no canonical form"
            told = (f"{one.name}={canonical(getattr(value, one.name))}" for one in fields(value))
            return f"{type(value).__name__}<{' '.join(told)}>"

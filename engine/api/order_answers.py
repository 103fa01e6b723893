"""What clients get about orders: ours, the refused ones, and those of others.

Rule: as in `answers.py`; decimals are strings of plain digits, what never came is null.
"""

import json
from collections.abc import Iterable
from typing import Final, Self

from engine.api.answers import (
    DecimalText,
    ErrorBody,
    EventBody,
    ReasonBody,
    Shown,
    TimeText,
    time_or_none,
    time_text,
)
from engine.api.story import told
from engine.domain.values import (
    Algo,
    Confidence,
    Evidence,
    GroupKind,
    OrderState,
    OrderType,
    ParameterKind,
    Pending,
    Side,
    Terms,
    TimeInForce,
    TrailingType,
)
from engine.domain.views import EventView, ExternalOrderView, OrderView

_NS_PER_MS: Final = 1_000_000


class TermsBody(Shown):
    """All of the terms that a modify can change. `quantity` is null for an amount of money."""

    quantity: DecimalText | None
    limit_price: DecimalText | None
    stop_price: DecimalText | None

    @classmethod
    def of(cls, terms: Terms | None) -> Self | None:
        """Return the terms, None when there are none."""
        if terms is None:
            return None
        return cls(
            quantity=terms.quantity or None,
            limit_price=terms.limit_price,
            stop_price=terms.stop_price,
        )


class AlgoParameterBody(Shown):
    """A parameter of an algorithm; `value` is text whatever its kind."""

    name: str
    value: str
    kind: ParameterKind


class AlgoShown(Shown):
    """The broker's algorithm that works an order."""

    name: str
    parameters: tuple[AlgoParameterBody, ...]

    @classmethod
    def of(cls, algo: Algo | None) -> Self | None:
        """Return the body of an algorithm, None when the order has none."""
        if algo is None:
            return None
        parameters = tuple(
            AlgoParameterBody(name=each.name, value=each.value, kind=each.kind)
            for each in algo.parameters
        )
        return cls(name=algo.name, parameters=parameters)


class EvidenceBody(Shown):
    """What was looked at for an order that nobody could find.

    `list_reads` and `trade_reads` count only reads that prove something. `missing` says
    what a proof of its absence lacks, and is empty when it is one.
    """

    elapsed_ms: int
    healthy_ms: int
    horizon_ms: int
    list_reads: int
    trade_reads: int
    canaries: tuple[str, ...]
    same_login: bool
    positions_agree: bool | None
    missing: tuple[str, ...]

    @classmethod
    def of(cls, evidence: Evidence | None) -> Self | None:
        """Return the body of the evidence, None when there is none."""
        if evidence is None:
            return None
        return cls(
            elapsed_ms=evidence.elapsed_ms,
            healthy_ms=evidence.healthy_ms,
            horizon_ms=evidence.horizon_ms,
            list_reads=evidence.list_reads,
            trade_reads=evidence.trade_reads,
            canaries=evidence.canaries,
            same_login=evidence.same_login,
            positions_agree=evidence.positions_agree,
            missing=evidence.missing,
        )


class OrderBody(Shown):
    """An order as it durably is; `seq` is the event that made it so.

    `quantity` and `remaining_quantity` are null where `cash_quantity` says for how much
    money. The terms are those in force; while `pending` is replace, `wanted` has the new.
    Orders of a group have its `group` and `leader_order_id`, the order that was sent first;
    that one has the others as `legs` where it is shown alone. At `good_till` the engine
    itself cancels; the broker holds the order as GTC. `unprotected` are the exits of this
    entry that the broker does not show. What second orders of the broker under this one's
    id may fill is in `quantity_extra`.
    """

    order_id: str
    client_order_id: str
    account: str
    conid: int
    symbol: str
    side: Side
    type: OrderType
    quantity: DecimalText | None
    filled_quantity: DecimalText
    remaining_quantity: DecimalText | None
    average_price: DecimalText | None
    limit_price: DecimalText | None
    stop_price: DecimalText | None
    tif: TimeInForce
    strategy: str | None
    state: OrderState
    pending: Pending
    confidence: Confidence
    reason: ReasonBody | None
    broker_order_id: str | None
    created_at: TimeText
    updated_at: TimeText
    seq: int
    sec_type: str
    cash_quantity: DecimalText | None
    trailing_type: TrailingType | None
    trailing_amount: DecimalText | None
    cap_price: DecimalText | None
    outside_rth: bool
    wanted: TermsBody | None
    group: GroupKind | None
    leader_order_id: str | None
    legs: "tuple[OrderBody, ...]"
    algo: AlgoShown | None
    good_till: TimeText | None
    adopted: bool
    evidence: EvidenceBody | None
    other_broker_order_ids: tuple[str, ...]
    quantity_extra: DecimalText
    unprotected: tuple[str, ...]

    @classmethod
    def of(cls, view: OrderView, legs: Iterable[OrderView] = ()) -> Self:
        """Return the body of an order, with the other orders of its group as `legs`."""
        counts_units = view.cash_quantity is None
        good_till_ms = view.good_till_ms
        return cls(
            order_id=view.order_id,
            client_order_id=view.client_order_id,
            account=view.account,
            conid=view.conid,
            symbol=view.symbol,
            side=view.side,
            type=view.type,
            quantity=view.quantity if counts_units else None,
            filled_quantity=view.filled_quantity,
            remaining_quantity=view.remaining_quantity if counts_units else None,
            average_price=view.average_price,
            limit_price=view.limit_price,
            stop_price=view.stop_price,
            tif=view.tif,
            strategy=view.strategy,
            state=view.state,
            pending=view.pending,
            confidence=view.confidence,
            reason=ReasonBody.of(view.reason),
            broker_order_id=view.broker_order_id,
            created_at=time_text(view.created_at_ns),
            updated_at=time_text(view.updated_at_ns),
            seq=view.seq,
            sec_type=view.sec_type,
            cash_quantity=view.cash_quantity,
            trailing_type=view.trailing_type,
            trailing_amount=view.trailing_amount,
            cap_price=view.cap_price,
            outside_rth=view.outside_rth,
            wanted=TermsBody.of(view.wanted),
            group=None if view.group is None else view.group.kind,
            leader_order_id=None if view.group is None else view.group.leader,
            legs=tuple(OrderBody.of(leg) for leg in legs),
            algo=AlgoShown.of(view.algo),
            good_till=time_or_none(None if good_till_ms is None else good_till_ms * _NS_PER_MS),
            adopted=view.adopted,
            evidence=EvidenceBody.of(view.evidence),
            other_broker_order_ids=view.other_broker_order_ids,
            quantity_extra=view.quantity_extra,
            unprotected=view.unprotected,
        )


class CancelAnswer(OrderBody):
    """The order that is to be cancelled. `warning` says what did not go as it should."""

    warning: ReasonBody | None

    @classmethod
    def with_warning(cls, view: OrderView, warning: ReasonBody | None) -> Self:
        """Return the body of an order whose cancel was asked for."""
        return cls.model_validate({**OrderBody.of(view).model_dump(), "warning": warning})


class StoryLine(Shown):
    """One record of an order's story, in words."""

    seq: int
    at: TimeText
    text: str


class OrderEventsAnswer(Shown):
    """Everything that the journal holds of an order, oldest first; `story` is for people."""

    order_id: str
    events: tuple[EventBody, ...]
    story: tuple[StoryLine, ...]

    @classmethod
    def of(cls, order_id: str, records: Iterable[EventView]) -> Self:
        """Return the records of an order, each with what it means in words."""
        events = [_event(record) for record in records]
        story = [StoryLine(seq=each.seq, at=each.at, text=told(each)) for each in events]
        return cls(order_id=order_id, events=tuple(events), story=tuple(story))


def _event(record: EventView) -> EventBody:
    return EventBody(
        seq=record.seq,
        at=time_text(record.at_ns),
        type=record.type,
        account=record.account,
        order_id=record.order_id,
        body=json.loads(record.body),
    )


class DeniedAnswer(Shown):
    """An order that the engine refused; it was never sent and never will be."""

    order: OrderBody
    error: ErrorBody


class RefusedChangeAnswer(Shown):
    """New terms that the engine refused; the order stays as it is."""

    order: OrderBody
    error: ErrorBody


class OrdersAnswer(Shown):
    """Orders, newest first. `truncated` says that more pass the filter."""

    orders: tuple[OrderBody, ...]
    truncated: bool


class ExternalOrderBody(Shown):
    """An order at the broker that this engine did not send, in the broker's own words.

    A null is what the broker never told. What of it may still fill counts in the exposure.
    """

    session: str
    broker_order_id: str
    order_ref: str | None
    conid: int | None
    symbol: str | None
    side: Side | None
    type: str | None
    quantity: DecimalText | None
    filled_quantity: DecimalText | None
    average_price: DecimalText | None
    limit_price: DecimalText | None
    stop_price: DecimalText | None
    tif: str | None
    status: str | None
    seen_at: TimeText

    @classmethod
    def of(cls, view: ExternalOrderView) -> Self:
        """Return the body of somebody else's order."""
        row = view.row
        return cls(
            session=view.session,
            broker_order_id=row.broker_order_id,
            order_ref=row.coid,
            conid=row.conid,
            symbol=row.symbol,
            side=row.side,
            type=row.order_type,
            quantity=row.total_quantity,
            filled_quantity=row.filled_quantity,
            average_price=row.average_price,
            limit_price=row.limit_price,
            stop_price=row.stop_price,
            tif=row.tif,
            status=row.status or row.unknown_status,
            seen_at=time_text(view.seen_at_ns),
        )


class ExternalOrdersAnswer(Shown):
    """Orders of an account that this engine did not send."""

    account: str
    orders: tuple[ExternalOrderBody, ...]

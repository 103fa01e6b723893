"""Orders that go out in one request: a bracket, or a one-cancels-all group.

The first of them, the leader, talks to the broker for all; the others are its followers.

Rule 1: an order of ours is told by its id where the broker repeats it. The exits of a bracket
must not carry one on the wire, so they are told by their entry, which their rows name, and by
what they are. Never by their place in an answer, because the broker keeps no order there.

Rule 2: what could be two of ours is neither, until a row tells more.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from engine.domain.values import (
    UNKNOWN,
    AnswerRow,
    ApprovedTicket,
    BrokerOrderId,
    ClientOrderId,
    Coid,
    GroupKind,
    OrderId,
    OrderRow,
    OrderState,
    OrderType,
    Outcome,
    OutcomeKind,
    Reason,
    Ticket,
)
from engine.domain.views import OrderView

MEMBER_REFUSED: Final = "ORDER_FAILED"
"""The code of an order that the broker refused while it took another of the same group."""

UNSEEN: Final = Outcome(kind=OutcomeKind.ACK)
"""The group was taken, and the answer does not say which of its orders this one is."""

_STOP_MOVES: Final = frozenset({OrderType.TRAIL, OrderType.TRAILLMT})
"""Types whose prices follow the market, so a row shows others than the ticket."""

_LOST: Final = frozenset(
    {OrderState.REJECTED, OrderState.EXPIRED, OrderState.NOT_PLACED, OrderState.PARKED}
)
"""States of an exit that nobody took back, and that the broker does not hold."""

_VOID: Final = frozenset(
    {OrderState.DENIED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.NOT_PLACED}
)
"""States of an order in place of an exit that is none: only what it had filled counts."""

_REPLACED: Final = ":replaced"

_SOUGHT: Final = frozenset({OrderState.SUBMITTING, OrderState.IN_DOUBT})
"""States of an exit that may still be found."""


def is_follower(ticket: Ticket) -> bool:
    """Tell whether another order talks to the broker for this one."""
    return ticket.group is not None and not ticket.group.leads


def is_bracket_entry(ticket: Ticket) -> bool:
    """Tell whether this order's exits went out with it."""
    group = ticket.group
    return group is not None and group.leads and group.kind is GroupKind.BRACKET


# --- the answer ------------------------------------------------------------------------------


def outcomes(
    outcome: Outcome, leader: Coid, followers: Sequence[ApprovedTicket]
) -> tuple[tuple[OrderId, Outcome], ...]:
    """Return what the answer to the leader's request means for each of its followers.

    Where it does not tell which is which, that is `UNSEEN` for an acknowledged group.
    """
    rows = [row for row in outcome.rows if not _is_of_leader(row, outcome, leader)]
    by_coid = {row.coid: row for row in rows if row.coid is not None}
    unnamed = [row for row in rows if row.coid is None]
    nameless = [one for one in followers if one.coid not in by_coid]
    told: dict[OrderId, Outcome] = {
        one.order_id: _outcome_of(by_coid[one.coid], outcome)
        for one in followers
        if one.coid in by_coid
    }
    acknowledged = outcome.kind is OutcomeKind.ACK
    if acknowledged and len(unnamed) == len(nameless):
        # As many rows as orders: one of one, or all of them refused, can be told without names.
        failed = all(row.broker_order_id is None for row in unnamed)
        if failed or len(nameless) == 1:
            pairs = zip(nameless, unnamed, strict=True)
            told |= {one.order_id: _outcome_of(row, outcome) for one, row in pairs}
    rest = UNSEEN if acknowledged else replace(outcome, rows=(), broker_order_id=None, status=None)
    return tuple((one.order_id, told.get(one.order_id, rest)) for one in followers)


def unnamed_refusals(outcome: Outcome) -> tuple[Outcome, ...]:
    """Return the refusals of an acknowledged group's orders of which nobody says which they are.

    Once as few orders are left to be found as were refused, these are they.
    """
    if outcome.kind is not OutcomeKind.ACK:
        return ()
    rows = (row for row in outcome.rows if row.coid is None and row.broker_order_id is None)
    return tuple(_outcome_of(row, outcome) for row in rows)


def _is_of_leader(row: AnswerRow, outcome: Outcome, leader: Coid) -> bool:
    if row.coid is not None:
        return row.coid == leader
    ours = outcome.broker_order_id
    return ours is not None and row.broker_order_id == ours


def _outcome_of(row: AnswerRow, outcome: Outcome) -> Outcome:
    """Return the outcome of one row; one without an order of the broker is a refusal."""
    if row.broker_order_id is None:
        text = row.text or "the broker refused this order of the group and gave no reason"
        return Outcome(
            kind=OutcomeKind.REFUSED,
            reason=Reason(code=MEMBER_REFUSED, message=text),
            http_status=outcome.http_status,
            body_sha256=outcome.body_sha256,
        )
    return Outcome(
        kind=OutcomeKind.ACK,
        broker_order_id=row.broker_order_id,
        status=row.status,
        http_status=outcome.http_status,
        body_sha256=outcome.body_sha256,
    )


# --- the rows --------------------------------------------------------------------------------


def entry_named_by(row: OrderRow) -> BrokerOrderId | None:
    """Return the broker's id of the entry that a row says it is an exit of.

    The row of an exit has its entry's id as `parentId`, as the name of its group, or as both.
    """
    if row.parent_id is not None:
        return row.parent_id
    named = row.oca_group
    return BrokerOrderId(named) if named is not None and named.isdigit() else None


def is_of_exit(row: OrderRow, leader: OrderView) -> bool:
    """Tell whether a row that came under the entry's id is one of an exit of its bracket."""
    if leader.group is None or not leader.group.leads or leader.group.kind is GroupKind.OCA:
        return False
    entry = entry_named_by(row)
    if entry is not None and entry != row.broker_order_id:
        return True
    return row.side is not None and row.side is not leader.side


def exit_of(
    row: OrderRow, exits: Iterable[OrderView], leader: BrokerOrderId | None
) -> OrderId | None:
    """Return which exit of one entry a row is, None while that cannot be told.

    `exits` are all exits of the entry, `leader` the broker's id of it. Without that id the row
    must name some entry and tell all that the exit is; then it tells who the entry is as well.
    """
    named = entry_named_by(row)
    if named is None or (leader is not None and named != leader):
        return None
    everyone = tuple(exits)
    fitting = [
        view for view in everyone if view.broker_order_id is None and not _contradicts(row, view)
    ]
    if leader is None or len(fitting) > 1:
        fitting = [view for view in fitting if matches(view, row)]
    elif len(everyone) > 1 and row.order_type is None:
        return None  # It may as well be another exit's that is known under another id.
    if not fitting or any(_kind_of(view) != _kind_of(fitting[0]) for view in fitting):
        return None
    return fitting[0].order_id


def matches(order: OrderView, row: OrderRow) -> bool:
    """Tell whether the row tells all that this order is: nothing is missing, nothing differs."""
    moves = order.type in _STOP_MOVES
    told = (
        (row.conid, order.conid),
        (row.side, order.side),
        (row.order_type, order.type.value),
        (row.total_quantity, order.quantity),
        *(() if moves else ((row.limit_price, order.limit_price),)),
        *(() if moves else ((row.stop_price, order.stop_price),)),
    )
    return row.account == order.account and all(
        found == ours for found, ours in told if ours is not None
    )


def _contradicts(row: OrderRow, order: OrderView) -> bool:
    """Tell whether something that the row tells is not so for this order.

    The quantity is left out: the broker may show what of an exit is at work already.
    """
    if row.account != order.account:
        return True
    moves = order.type in _STOP_MOVES
    told = (
        (row.conid, order.conid),
        (row.side, order.side),
        (row.order_type, order.type.value),
        (None if moves else row.limit_price, order.limit_price),
        (None if moves else row.stop_price, order.stop_price),
    )
    return any(found is not None and found != ours for found, ours in told)


def _kind_of(view: OrderView) -> tuple[object, ...]:
    """Return what tells two exits of one entry apart."""
    return (
        view.side,
        view.type,
        view.quantity,
        view.limit_price,
        view.stop_price,
        view.trailing_type,
        view.trailing_amount,
        view.tif,
    )


# --- what is missing -------------------------------------------------------------------------


def missing(
    exits: Sequence[OrderView],
    *,
    needed: Decimal,
    patient: bool,
    known: Collection[OrderId] = (),
) -> tuple[OrderId, ...]:
    """Return the exits of an entry that the broker does not hold, and nothing replaces.

    `exits` has what was submitted in their place as well; `needed` is what of the entry is
    open. With `patient`, the broker's list was read often enough to have shown one that is
    sought; one that is `known` to be missing is so until it is found. An exit that was
    cancelled is not missing: somebody wanted it gone, or the other one filled.
    """
    return tuple(
        view.order_id
        for view in own_exits(exits)
        if (view.state in _LOST or (view.state in _SOUGHT and (patient or view.order_id in known)))
        and not 0 < needed <= _replaced(view, exits)
    )


def own_exits(exits: Iterable[OrderView]) -> tuple[OrderView, ...]:
    """Return the exits that went out with the entry."""
    return tuple(view for view in exits if view.group is not None and view.group.is_exit)


def sought(exits: Iterable[OrderView]) -> tuple[OrderId, ...]:
    """Return the exits that may still be found."""
    return tuple(view.order_id for view in own_exits(exits) if view.state in _SOUGHT)


# --- what is in their place ------------------------------------------------------------------


def replacement_key(exit_key: ClientOrderId, number: int) -> ClientOrderId:
    """Return the key of the `number`-th order in place of an exit, 1 for the first."""
    more = "" if number == 1 else f".{number}"
    return ClientOrderId(f"{exit_key}{_REPLACED}{more}")


def is_void(view: OrderView) -> bool:
    """Tell whether an order in place of an exit was refused, or came to nothing."""
    return view.state in _VOID


def covers(view: OrderView) -> Decimal:
    """Return how much of an entry an order in place of an exit closes, or has closed."""
    return view.filled_quantity if is_void(view) else view.quantity


def _replaced(exit_view: OrderView, exits: Iterable[OrderView]) -> Decimal:
    """Return how much of an entry is closed in place of an exit, as far as the broker said so.

    One that nobody has seen there protects nobody yet, though it is not sent again: it may live.
    """
    key = f"{exit_view.client_order_id}{_REPLACED}"
    made = (view for view in exits if view.client_order_id.startswith(key))
    closed = (view.filled_quantity if view.state in UNKNOWN else covers(view) for view in made)
    return sum(closed, Decimal(0))

"""How a request is checked: one order, all orders of a group together, or a change of one.

Rule 1: the orders of a group pass together or not at all.

Rule 2: an exit of a bracket is checked as if its entry had filled, because it works no
sooner; so it mostly reduces. It counts as an open order from the beginning.

Rule 3: all exits of a bracket may fill at once, before the broker cancels one for the
other. What the position is then must be within its limits, too.

Rule 4: of a one-cancels-all group each order is checked alone: the largest counts once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal, localcontext
from typing import Final, TypeAlias

from engine.domain.messages import RequestOrder
from engine.domain.risk.checks import check_order, check_position
from engine.domain.risk.exposure import ZERO, Exposure, Reservation
from engine.domain.risk.groups import count_rest, entry_of, exits_of, largest_rest
from engine.domain.risk.inputs import Inputs
from engine.domain.risk.limits import EXACT, format_number
from engine.domain.risk.verdict import Check, Code, Verdict
from engine.domain.values import GroupKind, GroupPlace, Side, Ticket

FOLLOWERS_MAX: Final = {GroupKind.BRACKET: 2, GroupKind.OCA: 4}
"""A bracket has an entry and up to two exits; the other kind up to five orders."""

Verdicts: TypeAlias = tuple[Verdict, ...]

_FAR: Final = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


def check_request(message: RequestOrder, inputs_of: Callable[[Ticket], Inputs]) -> Verdicts:
    """Return the verdicts up to the first refusal, which then is the last of them."""
    leader = inputs_of(message.ticket)
    verdicts = check_order(leader)
    if not verdicts[-1].passed or not (message.followers or message.ticket.group):
        return verdicts
    if needs := next(_misfits(message), None):
        return (*verdicts, leader.refuse(Check.GROUP, Code.GROUP_INVALID, needs=needs))
    for index, follower in enumerate(message.followers, start=1):
        ticket = follower.ticket
        inputs = replace(inputs_of(ticket), exposure=_exposure_of_leg(message, index, leader))
        found = (*check_order(inputs), *_oversize(inputs, message))
        verdicts = (*verdicts, *(_of_leg(index, verdict) for verdict in found))
        if not verdicts[-1].passed:
            return verdicts
    return (*verdicts, *_all_exits_of(message, inputs_of, leader))


def check_change(inputs: Inputs, order: Reservation, members: Sequence[Reservation]) -> Verdicts:
    """Return the verdicts of new terms; `members` are all orders of the order's group.

    The exposure of `inputs` is without the order itself.
    """
    if order.group is None:
        return check_order(inputs)
    if needs := _misfit_of_change(inputs.ticket, order, members):
        return (inputs.refuse(Check.GROUP, Code.GROUP_INVALID, needs=needs),)
    side, order_id = order.side, order.order_id
    rest = count_rest(members, side, without=order_id)
    exposure = _working_more(inputs.exposure, side, -rest)
    entry = entry_of(members)
    if order.group.is_exit and entry is not None:
        exposure = _moved(exposure, entry.side, entry.open_quantity)
    beside = largest_rest(members, side, without=order_id)
    changed = replace(inputs, exposure=exposure, beside=beside)
    verdicts = check_order(changed)
    if not verdicts[-1].passed or changed.easing or entry is None:
        return verdicts
    exits = [one.open_quantity for one in exits_of(members) if one.order_id != order_id]
    units = inputs.open_units
    assert isinstance(units, Decimal), "a change without a quantity passed its checks"
    if order.group.is_exit:
        exits.append(units)
    else:
        far = _FAR[entry.side]
        closing = count_rest(members, far)
        exposure = _moved(_working_more(inputs.exposure, far, -closing), entry.side, units)
    return (*verdicts, *_at_once(inputs, exposure, _FAR[entry.side], exits))


def _misfits(message: RequestOrder) -> Iterator[str]:
    """Yield what is wrong with the shape of a group."""
    leader, followers = message.ticket, message.followers
    place = leader.group
    if place is None:
        yield "a group for orders that go out together"
        return
    if not 1 <= len(followers) <= FOLLOWERS_MAX[place.kind]:
        yield f"1 to {FOLLOWERS_MAX[place.kind]} more orders in a group of kind {place.kind}"
        return
    size = 1 + len(followers)
    tickets = (leader, *(follower.ticket for follower in followers))
    for index, ticket in enumerate(tickets):
        right = GroupPlace(kind=place.kind, leader=message.order_id, index=index, size=size)
        if ticket.group != right:
            yield f"place {index} of {size} in the group of order {message.order_id}"
        if (ticket.account, ticket.conid) != (leader.account, leader.conid):
            yield "the same account and contract in all orders of a group"
        if ticket.cash_quantity is not None:
            yield "a quantity in every order of a group, no cash_quantity"
        if place.kind is GroupKind.BRACKET and index and ticket.side is leader.side:
            yield f"exits on the other side than the entry's {leader.side}"
    if len({ticket.client_order_id for ticket in tickets}) < size:
        yield "a client_order_id of its own for every order of a group"


def _misfit_of_change(
    ticket: Ticket, order: Reservation, members: Sequence[Reservation]
) -> str | None:
    """Return what is wrong with the new quantity of an order of a bracket."""
    entry = entry_of(members)
    if entry is None or not ticket.quantity.is_finite():
        return None
    if order.group is not None and order.group.is_exit:
        if ticket.quantity > entry.quantity:
            return f"at most the entry's {format_number(entry.quantity)} units"
        return None
    largest = max((one.quantity for one in exits_of(members)), default=ZERO)
    if ticket.quantity < largest:
        return f"at least the {format_number(largest)} units of its largest exit; change it first"
    return None


def _oversize(inputs: Inputs, message: RequestOrder) -> Iterator[Verdict]:
    """Refuse an exit that is larger than its entry; its quantity is one, by now."""
    ticket = inputs.ticket
    if ticket.group is None or not ticket.group.is_exit:
        return
    if ticket.quantity.is_finite() and ticket.quantity > message.ticket.quantity:
        needs = f"at most the entry's {format_number(message.ticket.quantity)} units"
        shown = {"quantity": ticket.quantity}
        yield inputs.refuse(Check.GROUP, Code.GROUP_INVALID, needs=needs, **shown)


def _exposure_of_leg(message: RequestOrder, index: int, leader: Inputs) -> Exposure:
    """Return the account's standing that a leg meets: the orders before it count."""
    side = message.followers[index - 1].ticket.side
    before = (message.ticket, *(one.ticket for one in message.followers[: index - 1]))
    exposure = leader.exposure
    buys = sum(ticket.side is Side.BUY for ticket in before)
    exposure = replace(
        exposure,
        orders_total=exposure.orders_total + index,
        orders_buy=exposure.orders_buy + buys,
        orders_sell=exposure.orders_sell + index - buys,
    )
    if _is_bracket(message):
        assert side is not message.ticket.side
        exposure = _moved(exposure, message.ticket.side, message.ticket.quantity)
    return exposure


def _all_exits_of(
    message: RequestOrder, inputs_of: Callable[[Ticket], Inputs], leader: Inputs
) -> Verdicts:
    if not _is_bracket(message):
        return ()
    exits = [follower.ticket for follower in message.followers]
    largest = max(exits, key=lambda ticket: ticket.quantity)
    exposure = _moved(leader.exposure, message.ticket.side, message.ticket.quantity)
    return _at_once(
        inputs_of(largest), exposure, largest.side, [ticket.quantity for ticket in exits]
    )


def _at_once(
    inputs: Inputs, exposure: Exposure, side: Side, quantities: Sequence[Decimal]
) -> Verdicts:
    """Check the position once all exits of a bracket have filled."""
    if len(quantities) < 2:  # noqa: PLR2004 - one alone was checked before
        return ()
    largest, *others = sorted(quantities, reverse=True)
    all_at_once = replace(
        inputs,
        ticket=replace(inputs.ticket, side=side, quantity=largest),
        exposure=_working_more(exposure, side, sum(others, ZERO)),
        former=None,
        beside=ZERO,
    )
    with localcontext(EXACT):
        return (check_position(all_at_once),)


def _moved(exposure: Exposure, side: Side, quantity: Decimal) -> Exposure:
    """Return the standing after a fill; an unknown position stays unknown."""
    if exposure.position is None:
        return exposure
    signed = quantity if side is Side.BUY else -quantity
    return replace(exposure, position=exposure.position + signed)


def _working_more(exposure: Exposure, side: Side, quantity: Decimal) -> Exposure:
    if side is Side.BUY:
        return replace(exposure, working_buy=exposure.working_buy + quantity)
    return replace(exposure, working_sell=exposure.working_sell + quantity)


def _is_bracket(message: RequestOrder) -> bool:
    group = message.ticket.group
    return group is not None and group.kind is GroupKind.BRACKET


def _of_leg(index: int, verdict: Verdict) -> Verdict:
    """Say in a refusal which order of the group it is about."""
    if verdict.reason is None:
        return verdict
    reason = replace(verdict.reason, message=f"leg {index}: {verdict.reason.message}")
    return replace(verdict, reason=reason)

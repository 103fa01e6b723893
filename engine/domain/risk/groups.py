"""What the orders of a group reserve together: some of them exclude each other.

Rule 1: of a one-cancels-all group, the largest of each side counts, once: the broker
cancels the others when one fills. What has filled counts in any case.

Rule 2: the exits of a bracket close what its entry has filled. They count once, and no
further than that: before the entry fills they cannot, and hold no room of a position.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from engine.domain.risk.exposure import NO_DOUBT, ZERO, Doubt, Exposure, Reservation
from engine.domain.values import ConId, GroupKind, OrderId, Side


def measure(
    conid: ConId,
    position: Decimal | None,
    reservations: Iterable[Reservation],
    *,
    doubt: Doubt = NO_DOUBT,
    without: OrderId | None = None,
    members: Callable[[OrderId], Sequence[Reservation]] = lambda _leader: (),
) -> Exposure:
    """Add up what the reservations of an account mean for one contract.

    `without` is an order to leave out. `members` gives all orders of a group by its
    leader, those that are over among them.
    """
    working = {Side.BUY: ZERO, Side.SELL: ZERO}
    orders = {Side.BUY: 0, Side.SELL: 0}
    orders_total = 0
    leaders: dict[OrderId, None] = {}
    for reservation in reservations:
        if reservation.order_id == without:
            continue
        orders_total += not reservation.terminal
        if reservation.conid != conid:
            continue
        orders[reservation.side] += not reservation.terminal
        if reservation.group is None:
            working[reservation.side] += reservation.open_quantity
        else:
            leaders[reservation.group.leader] = None
    for leader in leaders:
        for side, quantity in count_together(members(leader), without=without).items():
            working[side] += quantity
    return Exposure(
        position=position,
        doubt=doubt,
        working_buy=working[Side.BUY],
        working_sell=working[Side.SELL],
        orders_total=orders_total,
        orders_buy=orders[Side.BUY],
        orders_sell=orders[Side.SELL],
    )


def count_together(
    members: Sequence[Reservation], *, without: OrderId | None = None
) -> dict[Side, Decimal]:
    """Return what the members of a group can add on each side, one of them left out."""
    counted = {Side.BUY: ZERO, Side.SELL: ZERO}
    for member in members:
        if member.order_id == without:
            continue
        if _is_entry(member):
            counted[member.side] += member.open_quantity
        else:
            counted[member.side] += _missing(member)
    for side in counted:
        counted[side] += count_rest(members, side, without=without)
    return counted


def count_rest(
    members: Sequence[Reservation], side: Side, *, without: OrderId | None = None
) -> Decimal:
    """Return what the members that exclude each other may still fill on a side, once."""
    rest = (
        member
        for member in members
        if member.side is side and member.order_id != without and not _is_entry(member)
    )
    return min(_largest(rest), _closable(members))


def entry_of(members: Iterable[Reservation]) -> Reservation | None:
    """Return the entry of a bracket, None when the group has none."""
    return next((member for member in members if _is_entry(member)), None)


def exits_of(members: Iterable[Reservation]) -> tuple[Reservation, ...]:
    """Return the exits of a bracket that may still fill something."""
    return tuple(
        member
        for member in members
        if member.group is not None and member.group.is_exit and member.open_quantity
    )


def largest_rest(
    members: Iterable[Reservation], side: Side, *, without: OrderId | None = None
) -> Decimal:
    """Return the largest that another member may fill, as if every entry had filled."""
    return _largest(
        member
        for member in members
        if member.side is side and member.order_id != without and not _is_entry(member)
    )


def _largest(members: Iterable[Reservation]) -> Decimal:
    return max((member.open_quantity - _missing(member) for member in members), default=ZERO)


def _closable(members: Sequence[Reservation]) -> Decimal:
    """Return how much of an entry has filled and is not closed by its exits."""
    entry = entry_of(members)
    if entry is None:
        # No bracket, or one whose entry nobody knows: then nothing bounds its exits.
        return Decimal("Infinity")
    closed = sum((_filled(member) for member in members if not _is_entry(member)), ZERO)
    return max(_filled(entry) - closed, ZERO)


def _filled(member: Reservation) -> Decimal:
    return max(member.filled_quantity, member.told_quantity)


def _missing(member: Reservation) -> Decimal:
    """Return what has filled and is not in the position yet."""
    return max(member.filled_quantity - member.held_quantity, ZERO)


def _is_entry(member: Reservation) -> bool:
    group = member.group
    return group is not None and group.kind is GroupKind.BRACKET and group.leads

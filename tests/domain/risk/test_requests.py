"""Groups pass together or not at all, and a change of one looks at all of them."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    FollowerRequest,
    OrderChanged,
    OrderForgotten,
    RequestAnswer,
    RequestChange,
    RequestOrder,
    RequestVerdict,
)
from engine.domain.risk import AccountRisk, Code, ObserveChecks, StartDenied, StartOrder
from engine.domain.risk.exposure import Exposure
from engine.domain.risk.limits import LimitValue
from engine.domain.values import (
    ClientOrderId,
    Coid,
    ConId,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderState,
    OrderType,
    Reason,
    Side,
    Terms,
    Ticket,
    TradingState,
)
from tests.domain.risk.samples import (
    ANYTHING,
    BUY,
    CASH_BUY,
    CONID,
    MINE,
    NOW_NS,
    QUOTE,
    filled,
    halt,
    limits,
    position,
    ready_risk,
    refusal,
    request,
    view,
)

ENTRY = replace(BUY, quantity=Decimal(100), limit_price=Decimal(100))
PROFIT = replace(BUY, side=Side.SELL, quantity=Decimal(100), limit_price=Decimal(110))
STOP = replace(PROFIT, type=OrderType.STP, limit_price=None, stop_price=Decimal(90))


def group(
    kind: GroupKind, *tickets: Ticket, number: int = 1, size: int | None = None
) -> RequestOrder:
    """Make a request whose orders are `number`, `number` + 1 and so on."""
    leader = OrderId(f"order-{number}")
    placed = [
        replace(
            ticket,
            client_order_id=ClientOrderId(f"key-{number + index}"),
            group=GroupPlace(kind=kind, leader=leader, index=index, size=size or len(tickets)),
        )
        for index, ticket in enumerate(tickets)
    ]
    followers = tuple(
        FollowerRequest(
            ticket=ticket,
            order_id=OrderId(f"order-{number + index}"),
            coid=Coid(f"coid-{number + index}"),
        )
        for index, ticket in enumerate(placed[1:], start=1)
    )
    first = replace(request(number), ticket=placed[0], instrument=ANYTHING)
    return replace(first, followers=followers)


def bracket(*exits: Ticket, entry: Ticket = ENTRY, number: int = 1) -> RequestOrder:
    return group(GroupKind.BRACKET, entry, *(exits or (PROFIT, STOP)), number=number)


def reason_of(risk: AccountRisk, message: RequestOrder) -> Reason | None:
    _, effects = risk.request(message)
    return next((one.denied.reason for one in effects if isinstance(one, StartDenied)), None)


def roomy(values: Mapping[str, LimitValue | int] | None = None) -> AccountRisk:
    return ready_risk(within=limits(values))


def enter(risk: AccountRisk, message: RequestOrder) -> None:
    """Approve a bracket, and let its entry fill."""
    assert refusal(risk, message) is None
    risk.handle(filled("entry.01", 100, number=1, second=60))
    entry = view(1, message.ticket, seq=10, state=OrderState.FILLED, filled=100)
    risk.handle(OrderChanged(view=replace(entry, group=message.ticket.group)))


# --- brackets -----------------------------------------------------------------------------------


def test_a_bracket_is_one_approval_of_all_its_orders() -> None:
    risk, message = ready_risk(), bracket()

    answer, effects = risk.request(message)

    assert answer == RequestAnswer(verdict=RequestVerdict.APPROVED, order_id=message.order_id)
    observe, start = effects
    assert isinstance(observe, ObserveChecks)
    assert isinstance(start, StartOrder)
    assert start.approved.ticket == message.ticket
    assert [one.ticket for one in start.followers] == [one.ticket for one in message.followers]
    assert [one.order_id for one in start.followers] == ["order-2", "order-3"]
    assert {one.request_sha256 for one in start.followers} == {message.request_sha256}


def test_exits_take_places_but_no_room_until_their_entry_fills() -> None:
    risk = ready_risk()
    message = bracket()
    assert refusal(risk, message) is None
    waiting = risk.exposure(CONID)

    risk.handle(filled("entry.01", 30, number=1, second=60))
    partly = risk.exposure(CONID)

    assert waiting == Exposure(
        position=Decimal(0),
        working_buy=Decimal(100),
        orders_total=3,
        orders_buy=1,
        orders_sell=2,
    )
    assert [partly.position, partly.working_buy, partly.working_sell] == [30, 70, 30]


def test_what_exits_may_close_is_not_there_for_another_order_to_reduce() -> None:
    risk = ready_risk()
    enter(risk, bracket())
    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))

    assert refusal(risk, request(9, replace(PROFIT, quantity=Decimal(1)))) == (
        Code.TRADING_REDUCE_ONLY
    )


def test_an_exit_that_fills_frees_what_the_other_one_held() -> None:
    risk = ready_risk()
    enter(risk, bracket())

    risk.handle(filled("exit.01", 100, number=2, second=70, side=Side.SELL))

    exposure = risk.exposure(CONID)
    assert [exposure.position, exposure.working_sell, exposure.orders_sell] == [0, 0, 2]


@pytest.mark.parametrize(
    ("values", "code", "leg"),
    [
        ({"order.max_qty.STK": 99}, Code.QTY_EXCEEDS_MAX, ""),
        ({"order.max_notional.abs": 10_050}, Code.NOTIONAL_EXCEEDS_MAX, "leg 1: "),
        ({"working.max_total": 2}, Code.MAX_OPEN_ORDERS, "leg 2: "),
        ({"working.max_per_conid_side": 1}, Code.MAX_OPEN_ORDERS, "leg 2: "),
        ({"position.max_qty": 99}, Code.POSITION_LIMIT, ""),
    ],
)
def test_one_that_does_not_pass_denies_all(
    values: dict[str, LimitValue | int], code: Code, leg: str
) -> None:
    risk, message = roomy(values), bracket()

    answer, effects = risk.request(message)

    denials = [effect.denied for effect in effects if isinstance(effect, StartDenied)]
    assert answer == RequestAnswer(verdict=RequestVerdict.DENIED, order_id=message.order_id)
    assert [denied.order_id for denied in denials] == ["order-1", "order-2", "order-3"]
    (reason,) = {denied.reason for denied in denials}
    assert reason.code == code
    assert reason.message.startswith(f"{leg}account=")
    assert len(effects) == 4, "nothing is started"
    assert risk.exposure(CONID) == Exposure(position=Decimal(0))


def test_all_exits_at_once_must_stay_within_the_limits_of_the_far_side() -> None:
    """Short 50 and long 100 are allowed; both exits at once would make it short 100."""
    small = limits({"position.max_qty": 100})
    one = ready_risk(position(-50), within=small)
    two = ready_risk(position(-50), within=small)

    assert refusal(one, bracket(STOP)) is None
    reason = reason_of(two, bracket(PROFIT, STOP))
    assert reason is not None
    assert reason.code == Code.POSITION_LIMIT
    assert "worst_short=150 units limit=100 units" in reason.message


def test_an_exit_that_opens_again_what_its_entry_closed_is_checked_as_opening() -> None:
    short = limits({"position.max_qty": 100})
    risk = ready_risk(position(-100), within=short)
    message = bracket(replace(PROFIT, type=OrderType.MKT, limit_price=None))

    assert refusal(risk, message) is None
    risk = ready_risk(position(-100), within=short)
    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))
    reason = reason_of(risk, message)
    assert reason is not None
    assert reason.code == Code.TRADING_REDUCE_ONLY
    assert reason.message.startswith("leg 1: ")


@pytest.mark.parametrize(
    ("message", "needs"),
    [
        (bracket(replace(STOP, quantity=Decimal(101))), "at most the entry's 100 units"),
        (bracket(replace(PROFIT, side=Side.BUY)), "exits on the other side than the entry's BUY"),
        (bracket(PROFIT, STOP, STOP), "1 to 2 more orders in a group of kind bracket"),
        (
            bracket(replace(STOP, conid=ConId(8314))),
            "the same account and contract in all orders of a group",
        ),
        (bracket(entry=CASH_BUY), "a quantity in every order of a group, no cash_quantity"),
        (group(GroupKind.BRACKET, ENTRY), "1 to 2 more orders in a group of kind bracket"),
        (
            group(GroupKind.OCA, *[ENTRY] * 6),
            "1 to 4 more orders in a group of kind oca",
        ),
        (group(GroupKind.OCA, ENTRY, PROFIT, size=3), "place 0 of 2 in the group of order order-1"),
        (
            replace(bracket(), ticket=replace(ENTRY, client_order_id=ClientOrderId("key-1"))),
            "a group for orders that go out together",
        ),
    ],
)
def test_a_group_of_another_shape_is_refused(message: RequestOrder, needs: str) -> None:
    reason = reason_of(ready_risk(), message)

    assert reason is not None
    assert reason.code == Code.GROUP_INVALID
    assert needs in reason.message


def test_two_orders_of_a_group_cannot_have_one_key() -> None:
    risk, message = ready_risk(), bracket(PROFIT)
    (follower,) = message.followers
    ticket = replace(follower.ticket, client_order_id=message.ticket.client_order_id)
    twice = replace(message, followers=(replace(follower, ticket=ticket),))

    _, effects = risk.request(twice)

    denials = [effect.denied for effect in effects if isinstance(effect, StartDenied)]
    assert [denied.order_id for denied in denials] == ["order-1"], "the key is one order's"
    assert denials[0].reason.code == Code.GROUP_INVALID


def test_the_key_of_any_order_of_a_group_is_taken() -> None:
    risk, message = ready_risk(), bracket()
    risk.request(message)
    alone = replace(request(9), ticket=replace(BUY, client_order_id=ClientOrderId("key-3")))
    other = bracket(number=2)

    repeated = risk.request(message)
    conflicts = (
        risk.request(replace(alone, request_sha256="other")),
        risk.request(
            replace(other, ticket=replace(other.ticket, client_order_id=ClientOrderId("key-0")))
        ),
    )

    assert repeated == (
        RequestAnswer(verdict=RequestVerdict.REPEATED, order_id=OrderId("order-1")),
        (),
    )
    assert conflicts == (
        (RequestAnswer(verdict=RequestVerdict.CONFLICT, order_id=OrderId("order-3")), ()),
        (RequestAnswer(verdict=RequestVerdict.CONFLICT, order_id=OrderId("order-3")), ()),
    )


def test_a_group_that_never_was_frees_all_it_held() -> None:
    risk, message = ready_risk(), bracket()
    risk.request(message)

    for number in (1, 2, 3):
        risk.handle(OrderForgotten(order_id=OrderId(f"order-{number}")))

    assert risk.exposure(CONID) == Exposure(position=Decimal(0))
    assert refusal(risk, message) is None


# --- one cancels all ----------------------------------------------------------------------------


def test_of_orders_that_cancel_each_other_the_largest_counts_once() -> None:
    risk = ready_risk(within=limits({"position.max_qty": 100}))
    message = group(GroupKind.OCA, ENTRY, replace(ENTRY, limit_price=Decimal(95)))

    assert refusal(risk, message) is None
    exposure = risk.exposure(CONID)
    assert [exposure.working_buy, exposure.orders_buy] == [100, 2]
    assert refusal(risk, request(9, replace(BUY, quantity=Decimal(1)))) == Code.POSITION_LIMIT


def test_each_of_them_is_checked_like_an_order_of_its_own() -> None:
    risk = ready_risk()
    message = group(GroupKind.OCA, ENTRY, replace(ENTRY, limit_price=Decimal("95.001")))

    reason = reason_of(risk, message)

    assert reason is not None
    assert reason.code == Code.PRICE_INVALID_TICK
    assert reason.message.startswith("leg 1: ")


def test_two_ways_out_pass_where_only_reducing_orders_do() -> None:
    risk = ready_risk(position(100))
    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))

    assert refusal(risk, group(GroupKind.OCA, PROFIT, STOP)) is None


# --- changes ------------------------------------------------------------------------------------


def change(
    risk: AccountRisk, message: RequestOrder, index: int, quantity: int, price: int = 110
) -> str | None:
    """Ask for a new quantity of an order of a group; return why not."""
    ticket = (message.ticket, *(one.ticket for one in message.followers))[index]
    limited = ticket.limit_price is not None
    terms = Terms(
        quantity=Decimal(quantity),
        limit_price=Decimal(price) if limited else None,
        stop_price=ticket.stop_price,
    )
    shown = replace(view(1 + index, ticket, seq=20), group=ticket.group)
    asked = RequestChange(
        view=shown,
        ticket=ticket,
        terms=terms,
        by="ops",
        instrument=ANYTHING,
        quote=QUOTE,
        now_ns=NOW_NS,
    )
    answer, _ = risk.change(asked)
    return None if answer.refused is None else answer.refused.code


def test_one_of_them_can_be_changed_within_the_room_that_they_share() -> None:
    message = group(GroupKind.OCA, ENTRY, replace(ENTRY, limit_price=Decimal(95)))

    found = []
    for quantity in (90, 100, 101):
        risk = ready_risk(within=limits({"position.max_qty": 100}))
        assert refusal(risk, message) is None
        found.append(change(risk, message, 1, quantity, 101))

    assert found == [None, None, Code.POSITION_LIMIT]


@pytest.mark.parametrize("entered", [False, True])
def test_an_exit_can_be_changed_up_to_the_size_of_its_entry(*, entered: bool) -> None:
    message = bracket(replace(PROFIT, quantity=Decimal(50)), STOP)
    found = []
    for quantity in (60, 100, 101):
        risk = ready_risk()
        if entered:
            enter(risk, message)
        else:
            assert refusal(risk, message) is None
        found.append(change(risk, message, 1, quantity))

    assert found == [None, None, Code.GROUP_INVALID]


def test_an_exit_can_be_changed_where_only_reducing_orders_pass() -> None:
    risk, message = ready_risk(), bracket(replace(PROFIT, quantity=Decimal(50)), STOP)
    enter(risk, message)
    risk.handle(halt(MINE, TradingState.REDUCE_ONLY))

    assert change(risk, message, 1, 100) is None


@pytest.mark.parametrize(
    ("quantity", "code"),
    [(99, Code.GROUP_INVALID), (100, None), (150, None), (151, Code.POSITION_LIMIT)],
)
def test_an_entry_stays_as_large_as_its_exits(quantity: int, code: Code | None) -> None:
    risk, message = roomy({"position.max_qty": 150}), bracket()
    assert refusal(risk, message) is None

    assert change(risk, message, 0, quantity, 101) == code


def test_a_smaller_entry_must_leave_room_for_all_exits_at_once() -> None:
    half = replace(PROFIT, quantity=Decimal(50)), replace(STOP, quantity=Decimal(50))
    message = bracket(*half)
    found = []
    for held in (0, -60):
        risk = ready_risk(position(held), within=limits({"position.max_qty": 100}))
        assert refusal(risk, message) is None
        found.append(change(risk, message, 0, 50, 101))

    assert found == [None, Code.POSITION_LIMIT], "-60 + 50 - 50 - 50 is below -100"

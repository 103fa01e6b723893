from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from engine.sim.book import COID_MEMORY_MS, Pace
from engine.sim.catalogue import catalogue
from engine.sim.market import Market
from engine.sim.orders import CommissionKnown, News, Order, OrderChanged, OrderStatus, Traded
from engine.sim.tickets import Ticket
from engine.sim.venue import Venue

AAPL = 265598
ACCOUNT = "DU1"


def venue(**changes: Any) -> Venue:
    """A venue on a market that stands still unless it is advanced."""
    market = Market(catalogue(), seed=1, interval_ms=(100, 500), now_ms=0)
    options: dict[str, Any] = {
        "market": market,
        "accounts": (ACCOUNT, "DU2"),
        "seed": 1,
        "commission_delay_ms": lambda: 10,
    }
    pace: dict[str, Any] = {"fill_delay_ms": (20, 20), "cancel_delay_ms": 50}
    own = {name: changes.pop(name) for name in tuple(changes) if hasattr(Pace, name)}
    return Venue(**(options | {"pace": Pace(**(pace | own))} | changes))


def ticket(**changes: Any) -> Ticket:
    values: dict[str, Any] = {
        "account": ACCOUNT,
        "conid": AAPL,
        "order_type": "MKT",
        "side": "BUY",
        "quantity": Decimal(10),
        "tif": "DAY",
        "coid": None,
    }
    return Ticket(**(values | changes))


def limit(price: str, **changes: Any) -> Ticket:
    return ticket(order_type="LMT", limit_price=Decimal(price), **changes)


def statuses(news: tuple[News, ...]) -> list[str]:
    return [row.order.status.value for row in news if isinstance(row, OrderChanged)]


def run(of: Venue, until_ms: int, *, from_ms: int = 0) -> tuple[News, ...]:
    for now_ms in range(from_ms, until_ms + 1):
        of.advance(now_ms)
    return of.take_news()


def market_until(of: Venue, reached: Callable[[], bool]) -> int:
    """Move the market until something is so, and return the time."""
    for now_ms in range(0, 3_600_000, 50):
        of.market.advance(now_ms)
        if reached():
            return now_ms
    raise AssertionError


def test_a_market_order_passes_its_states_and_fills_in_two_to_four_pieces() -> None:
    busy = venue()

    order = busy.accept(ticket(), 0)
    news = run(busy, 100)

    seen = statuses(news)
    assert seen[:3] == ["Inactive", "PreSubmitted", "Submitted"]
    assert seen[-1] == "Filled"
    assert set(seen[3:-1]) == {"Submitted"}
    pieces = [row.execution.quantity for row in news if isinstance(row, Traded)]
    assert 2 <= len(pieces) <= 4
    assert sum(pieces) == order.filled_quantity == 10


def test_every_execution_is_followed_by_its_commission() -> None:
    busy = venue()
    busy.accept(ticket(), 0)

    news = run(busy, 100)

    traded = [row.execution for row in news if isinstance(row, Traded)]
    known = [row.execution for row in news if isinstance(row, CommissionKnown)]
    assert traded == known
    assert sum(row.commission for row in known) == 1


def test_news_holds_the_order_as_it_was_and_not_as_it_became() -> None:
    busy = venue()
    busy.accept(ticket(), 0)

    first = run(busy, 100)[0]

    assert isinstance(first, OrderChanged)
    assert first.order.status is OrderStatus.INACTIVE
    assert first.order.filled_quantity == 0


def test_one_share_fills_in_one_piece() -> None:
    busy = venue()
    busy.accept(ticket(quantity=Decimal(1)), 0)

    run(busy, 100)

    assert [row.quantity for row in busy.executions] == [Decimal(1)]


def test_a_buy_pays_the_ask_and_a_sale_gets_the_bid() -> None:
    busy = venue()
    quote = busy.market.quote(AAPL)
    busy.accept(ticket(), 0)
    busy.accept(ticket(side="SELL"), 0)

    run(busy, 100)

    prices = {row.ticket.side: row.price for row in busy.executions}
    assert prices == {"BUY": quote.ask, "SELL": quote.bid}


def test_a_limit_order_rests_until_the_market_touches_it() -> None:
    resting = venue()
    wanted = resting.market.quote(AAPL).bid - Decimal("0.05")
    order = resting.accept(limit(str(wanted)), 0)

    assert statuses(run(resting, 100)) == ["Inactive", "PreSubmitted", "Submitted"]
    touched_ms = market_until(resting, lambda: resting.market.quote(AAPL).ask <= wanted)
    run(resting, touched_ms + 100, from_ms=touched_ms)

    assert order.status is OrderStatus.FILLED
    assert all(row.price <= wanted for row in resting.executions)


def test_an_immediate_or_cancel_order_that_cannot_trade_is_cancelled() -> None:
    busy = venue()
    order = busy.accept(limit("1.00", tif="IOC"), 0)

    news = run(busy, 100)

    assert statuses(news) == ["Inactive", "PreSubmitted", "Submitted", "Cancelled"]
    assert order.filled_quantity == 0


def test_a_marketable_immediate_or_cancel_order_fills() -> None:
    busy = venue()
    order = busy.accept(limit("900.00", tif="IOC"), 0)

    run(busy, 100)

    assert order.status is OrderStatus.FILLED


@pytest.mark.parametrize(("side", "offset"), [("BUY", "0.10"), ("SELL", "-0.10")])
def test_a_stop_waits_for_its_price_and_then_trades_at_the_market(side: str, offset: str) -> None:
    waiting = venue()
    stop = waiting.market.quote(AAPL).ask + Decimal(offset)
    order = waiting.accept(ticket(order_type="STP", side=side, stop_price=stop), 0)
    assert statuses(run(waiting, 100)) == ["Inactive", "PreSubmitted"]

    def reached() -> bool:
        last = waiting.market.quote(AAPL).last
        return last is not None and (last >= stop if side == "BUY" else last <= stop)

    reached_ms = market_until(waiting, reached)
    run(waiting, reached_ms + 100, from_ms=reached_ms)

    assert order.status is OrderStatus.FILLED


def test_a_triggered_stop_limit_still_keeps_its_limit() -> None:
    waiting = venue()
    market_until(waiting, lambda: waiting.market.quote(AAPL).last is not None)
    order = waiting.accept(
        ticket(order_type="STOP_LIMIT", stop_price=Decimal(1), limit_price=Decimal("1.00")), 0
    )

    run(waiting, 100)

    assert order.status is OrderStatus.SUBMITTED
    assert order.filled_quantity == 0


def test_a_cancel_is_taken_first_and_effective_later() -> None:
    resting = venue()
    order = resting.accept(limit("1.00"), 0)
    run(resting, 20)

    assert resting.cancel(order.order_id, 20) is None
    assert statuses(run(resting, 69, from_ms=20)) == ["PendingCancel"]
    assert statuses(run(resting, 70, from_ms=70)) == ["Cancelled"]


def test_an_order_can_fill_while_its_cancel_is_on_the_way() -> None:
    racing = venue(cancel_delay_ms=1000)
    order = racing.accept(ticket(), 0)
    run(racing, 9)

    racing.cancel(order.order_id, 9)
    news = run(racing, 2000, from_ms=10)

    assert order.status is OrderStatus.FILLED
    assert statuses(news)[-1] == "Filled"


def test_a_cancel_can_leave_a_partly_filled_order_behind() -> None:
    racing = venue(fill_delay_ms=(1000, 1000), cancel_delay_ms=0)
    order = racing.accept(ticket(quantity=Decimal(100)), 0)

    for now_ms in range(2000):
        racing.advance(now_ms)
        if order.filled_quantity:
            racing.cancel(order.order_id, now_ms)
            break
    run(racing, 3000)

    assert order.status is OrderStatus.CANCELLED
    assert 0 < order.filled_quantity < 100
    assert sum(row.quantity for row in racing.executions) == order.filled_quantity


@pytest.mark.parametrize("ended", ["filled", "cancelled", "unknown"])
def test_what_is_over_cannot_be_cancelled(ended: str) -> None:
    busy = venue(cancel_delay_ms=0)
    order = busy.accept(ticket() if ended == "filled" else limit("1.00"), 0)
    run(busy, 100)
    if ended == "cancelled":
        busy.cancel(order.order_id, 100)
    target = 1 if ended == "unknown" else order.order_id

    refusal = busy.cancel(target, 101)

    assert refusal is not None
    assert (refusal.status, refusal.text) == (400, f"OrderID {target} doesn't exist")


def test_a_rejected_order_stays_inactive_and_cannot_be_cancelled() -> None:
    busy = venue()
    order = busy.accept(ticket(), 0, rejected_because="No trading permission.")

    assert statuses(run(busy, 1000)) == ["Inactive"]
    refusal = busy.cancel(order.order_id, 1000)
    assert refusal is not None
    assert refusal.text == "Order is inactive"


def test_a_modify_keeps_the_id_and_can_make_an_order_trade() -> None:
    resting = venue()
    order = resting.accept(limit("1.00", coid="c-1"), 0)
    run(resting, 50)

    assert resting.modify(order.order_id, limit("900.00"), 50) is None
    run(resting, 200, from_ms=50)

    assert order.status is OrderStatus.FILLED
    assert order.ticket.coid == "c-1"


def test_a_modify_may_not_ask_for_less_than_was_filled() -> None:
    racing = venue(fill_delay_ms=(1000, 1000))
    order = racing.accept(ticket(quantity=Decimal(100)), 0)
    for now_ms in range(2000):
        racing.advance(now_ms)
        if order.filled_quantity:
            break

    refusal = racing.modify(order.order_id, ticket(quantity=order.filled_quantity), 2000)

    assert refusal is not None
    assert "must be above the filled quantity" in refusal.text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"side": "SELL"}, "may not change account, contract or side"),
        ({"conid": 8314}, "may not change account, contract or side"),
    ],
)
def test_a_modify_may_not_turn_the_order_round(change: dict[str, Any], text: str) -> None:
    resting = venue()
    order = resting.accept(limit("1.00"), 0)
    run(resting, 50)

    refusal = resting.modify(order.order_id, limit("1.00", **change), 50)

    assert refusal is not None
    assert text in refusal.text


def test_a_client_order_id_is_registered_for_a_day() -> None:
    busy = venue()
    busy.accept(limit("1.00", coid="c-1"), 0)

    refusal = busy.refusal(limit("1.00", coid="c-1"), COID_MEMORY_MS - 1)

    assert refusal is not None
    assert refusal.text == (
        "Order couldn't be submitted: Local order ID=c-1 is already registered."
    )
    assert busy.refusal(limit("1.00", coid="c-1"), COID_MEMORY_MS) is None


def test_the_sixteenth_working_order_on_one_side_is_refused() -> None:
    busy = venue()
    for _ in range(15):
        assert busy.refusal(limit("1.00"), 0) is None
        busy.accept(limit("1.00"), 0)

    refusal = busy.refusal(limit("1.00"), 0)

    assert refusal is not None
    assert "at most 15 working orders per side" in refusal.text
    assert busy.refusal(limit("1.00", conid=8314), 0) is None
    assert busy.refusal(limit("900.00", side="SELL"), 0) is None
    assert busy.refusal(limit("1.00", account="DU2"), 0) is None


def test_an_order_beyond_the_margin_is_refused_but_one_that_reduces_is_not() -> None:
    busy = venue()
    busy.accept(ticket(quantity=Decimal(1000)), 0)
    run(busy, 100)

    refusal = busy.refusal(ticket(quantity=Decimal(100_000)), 100)

    assert refusal is not None
    assert "INITIAL MARGIN" in refusal.text
    assert busy.refusal(ticket(side="SELL", quantity=Decimal(1000)), 100) is None


def test_positions_and_cash_follow_the_fills_of_their_own_account_only() -> None:
    busy = venue()
    order = busy.accept(ticket(), 0)

    run(busy, 100)

    position = busy.accounts[ACCOUNT].positions[AAPL]
    assert (position.quantity, position.average_price) == (Decimal(10), order.average_price)
    assert busy.accounts[ACCOUNT].cash == 1_000_000 - order.average_price * 10 - 1
    assert busy.accounts["DU2"].positions == {}


def test_the_same_seed_trades_the_same_way() -> None:
    def fills() -> list[tuple[int, Decimal, Decimal, int]]:
        busy = venue()
        for quantity in (10, 250, 3):
            busy.accept(ticket(quantity=Decimal(quantity)), 0)
        run(busy, 200)
        return [(row.order_id, row.quantity, row.price, row.at_ms) for row in busy.executions]

    assert fills() == fills()


def test_an_order_rejected_by_the_exchange_is_cancelled_with_the_reason() -> None:
    busy = venue()
    order: Order = busy.accept(ticket(), 0)

    busy.cancel_by_system(order.order_id, "Price too far away.", 1)
    run(busy, 100)

    assert (order.status, order.reason) == (OrderStatus.CANCELLED, "Price too far away.")
    assert busy.executions == []


@pytest.mark.parametrize(("tif", "status"), [("DAY", "Submitted"), ("IOC", "Cancelled")])
def test_what_the_market_left_behind_rests_or_is_cancelled(tif: str, status: str) -> None:
    slow = venue(fill_delay_ms=(60_000, 60_000))
    wanted = slow.market.quote(AAPL).ask
    order = slow.accept(limit(str(wanted), tif=tif, quantity=Decimal(1)), 0)
    run(slow, 20)

    left_ms = market_until(slow, lambda: slow.market.quote(AAPL).ask > wanted)
    slow.advance(max(left_ms, 61_000))

    assert order.status.value == status
    assert order.filled_quantity == 0


def test_a_stop_that_the_market_reached_at_once_stays_triggered() -> None:
    busy = venue()
    busy.market.trade_at(AAPL, Decimal("228.00"), 0)
    order = busy.accept(ticket(order_type="STP", stop_price=Decimal("240.00")), 0)

    busy.advance(5)
    busy.market.trade_at(AAPL, Decimal("241.00"), 6)
    busy.advance(7)
    busy.market.trade_at(AAPL, Decimal("228.00"), 7)
    news = run(busy, 200, from_ms=8)

    assert order.status is OrderStatus.FILLED
    assert statuses(news)[:3] == ["Inactive", "PreSubmitted", "Submitted"]
    assert statuses(news).count("PreSubmitted") == 1


def test_a_trailing_stop_starts_from_the_market_at_which_the_order_came() -> None:
    busy = venue()
    busy.market.trade_at(AAPL, Decimal("228.00"), 0)
    trailing = ticket(order_type="TRAIL", trailing_type="amt", trailing_amount=Decimal(10))

    order = busy.accept(trailing, 0)
    busy.market.trade_at(AAPL, Decimal("235.00"), 1)
    run(busy, 20)

    assert order.stop_price == Decimal("238.00")


def test_more_is_bought_when_a_change_asks_for_it_while_it_fills() -> None:
    busy = venue(fill_delay_ms=(40, 40))
    order = busy.accept(ticket(), 0)
    run(busy, 30)

    refusal = busy.modify(order.order_id, ticket(quantity=Decimal(25)), 31)
    run(busy, 400, from_ms=32)

    assert refusal is None
    assert (order.status.value, int(order.filled_quantity)) == ("Filled", 25)

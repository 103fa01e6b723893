"""Every order type and time in force, placed, changed and cancelled at the simulated venue."""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.ports import AmbiguousSymbol, ContractQuery
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Instrument,
    OrderRow,
    OrderType,
    OutcomeKind,
    Reason,
    Side,
    Terms,
    Ticket,
    TifRule,
    TimeInForce,
    TrailingType,
)
from engine.gateway.instrument import HttpInstrumentGateway
from engine.gateway.wire import Operator
from tests.gateway.desk import AAPL, BUY, Desk, at_a_desk, code

T, F = OrderType, TimeInForce
OPERATOR = Operator(ext_operator="DESK1", manual=False)
LOW, LOWER = Decimal("2.00"), Decimal("1.00")
HIGH, HIGHER = Decimal("901.00"), Decimal("900.00")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """An order that nothing fills, and other terms that do not fill it either."""

    ticket: Ticket
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None

    @property
    def terms(self) -> Terms:
        return Terms(quantity=Decimal(20), limit_price=self.limit_price, stop_price=self.stop_price)


def resting(kind: OrderType, **prices: Any) -> Ticket:
    return replace(BUY, type=kind, **prices)


TRAIL: dict[str, Any] = {"trailing_type": TrailingType.AMOUNT, "trailing_amount": Decimal(100)}
RESTING = {
    T.LMT: Resting(ticket=resting(T.LMT, limit_price=LOWER), limit_price=LOW),
    T.STP: Resting(ticket=resting(T.STP, stop_price=HIGHER), stop_price=HIGH),
    T.STOP_LIMIT: Resting(
        ticket=resting(T.STOP_LIMIT, stop_price=HIGHER, limit_price=HIGH),
        stop_price=HIGH,
        limit_price=HIGHER,
    ),
    T.TRAIL: Resting(ticket=resting(T.TRAIL, stop_price=HIGHER, **TRAIL), stop_price=HIGH),
    T.TRAILLMT: Resting(
        ticket=resting(T.TRAILLMT, stop_price=HIGHER, limit_price=HIGH, **TRAIL),
        stop_price=HIGHER,
        limit_price=HIGHER,
    ),
    T.MIDPRICE: Resting(ticket=resting(T.MIDPRICE, cap_price=LOWER)),
    T.MOC: Resting(ticket=resting(T.MOC)),
    T.LOC: Resting(ticket=resting(T.LOC, limit_price=LOWER), limit_price=LOW),
    T.MIT: Resting(ticket=resting(T.MIT, stop_price=LOWER), stop_price=LOW),
    T.LIT: Resting(
        ticket=resting(T.LIT, stop_price=LOWER, limit_price=LOWER),
        stop_price=LOW,
        limit_price=LOW,
    ),
    T.REL: Resting(ticket=resting(T.REL, cap_price=LOWER)),
}
"""Every type but the one that never rests."""
TRAILED = frozenset({T.TRAIL, T.TRAILLMT})


def is_offered(rule: TifRule, kind: OrderType) -> bool:
    return rule.order_types is None or kind in rule.order_types


async def rules_of(one: Desk, query: ContractQuery) -> Instrument:
    found = await HttpInstrumentGateway(one.client).find(query)
    assert isinstance(found, Instrument), found
    return found


async def live(one: Desk, ticket: Ticket, coid: str) -> BrokerOrderId:
    outcome = await one.place(ticket, coid)
    assert outcome.kind is OutcomeKind.ACK, (ticket.type, ticket.tif, outcome)
    assert outcome.broker_order_id is not None
    return outcome.broker_order_id


async def cancelled(one: Desk, order: BrokerOrderId, *, sec_type: str = "STK") -> OrderRow:
    receipt = await one.cancel(order, sec_type=sec_type)
    assert receipt.kind is OutcomeKind.ACK
    while True:
        row = await one.row(order)
        if row.status is BrokerStatus.CANCELLED:
            return row


def test_every_type_is_placed_changed_and_cancelled_with_every_time_in_force_of_the_contract() -> (
    None
):
    async def work(one: Desk) -> set[tuple[OrderType, TimeInForce]]:
        await one.warm_up()
        apple = await rules_of(one, ContractQuery(symbol="AAPL"))
        assert set(apple.order_types) == set(T)
        done: set[tuple[OrderType, TimeInForce]] = set()
        for rule in apple.tifs:
            for kind, order in RESTING.items():
                if is_offered(rule, kind) and rule.tif not in (F.GTD, F.IOC):
                    await through(one, order, rule.tif, f"EXab-1-{len(done)}-ZZ")
                    done.add((kind, rule.tif))
        return done

    done = at_a_desk(work)

    assert done == {(kind, tif) for kind in RESTING for tif in (F.DAY, F.GTC)} | {
        (T.LMT, tif) for tif in (F.OPG, F.OVT, F.OND)
    }


async def through(one: Desk, order: Resting, tif: TimeInForce, coid: str) -> None:
    """Place, change and cancel one order, and read its terms from the list each time."""
    ticket = replace(order.ticket, tif=tif)
    order_id = await live(one, ticket, coid)
    row = await one.row(order_id)
    assert (row.order_type, row.tif, row.symbol) == (ticket.type.value, tif.value, "AAPL")
    assert row.total_quantity == ticket.quantity
    if ticket.type not in TRAILED:
        assert (row.limit_price, row.stop_price) == (ticket.limit_price, ticket.stop_price)

    changed = await one.modify(ticket, order_id, order.terms)

    assert (changed.kind, changed.broker_order_id) == (OutcomeKind.ACK, order_id), ticket.type
    row = await one.row(order_id)
    assert (row.total_quantity, row.coid) == (order.terms.quantity, coid)
    if ticket.type not in TRAILED:
        assert (row.limit_price, row.stop_price) == (order.limit_price, order.stop_price)
    assert (await cancelled(one, order_id)).filled_quantity == 0


@pytest.mark.parametrize("tif", [F.DAY, F.GTC, F.IOC])
def test_a_market_order_fills_and_cannot_be_changed_any_more(tif: TimeInForce) -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        order_id = await live(one, replace(BUY, tif=tif), "EXab-1-1-ZZ")
        while (await one.row(order_id)).status is not BrokerStatus.FILLED:
            pass
        terms = Terms(quantity=Decimal(20), limit_price=None, stop_price=None)

        changed = await one.modify(BUY, order_id, terms)
        gone = await one.cancel(order_id)

        assert (changed.kind, code(changed)) == (OutcomeKind.REFUSED, "ORDER_UNKNOWN")
        assert (gone.kind, code(gone)) == (OutcomeKind.REFUSED, "ORDER_UNKNOWN")

    at_a_desk(work)


def test_a_market_order_on_open_waits_and_can_be_changed() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        order = Resting(ticket=BUY)
        await through(one, order, F.OPG, "EXab-1-1-ZZ")

    at_a_desk(work)


def test_an_immediate_order_that_finds_nobody_is_cancelled_by_the_broker() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        order_id = await live(one, replace(RESTING[T.LMT].ticket, tif=F.IOC), "EXab-1-1-ZZ")

        while (await one.row(order_id)).status is not BrokerStatus.CANCELLED:
            pass

    at_a_desk(work)


def test_what_the_rules_do_not_offer_is_refused_in_known_words() -> None:
    async def work(one: Desk) -> int:
        await one.warm_up()
        ibm = await rules_of(one, ContractQuery(symbol="IBM"))
        offered = {rule.tif: rule for rule in ibm.tifs}
        refused = 0
        for kind, order in {**RESTING, T.MKT: Resting(ticket=BUY)}.items():
            for tif in set(F) - {F.GTD}:
                if tif in offered and is_offered(offered[tif], kind):
                    continue
                ticket = replace(order.ticket, conid=ibm.conid, tif=tif)
                outcome = await one.place(ticket, f"EXab-1-{refused}-ZZ")
                assert (outcome.kind, code(outcome)) == (OutcomeKind.REFUSED, "TIF_UNSUPPORTED")
                refused += 1
        return refused

    # Of 12 types each, OVT, OND and PAX; of 10 each, what only MKT and LMT may be: IOC and OPG.
    assert at_a_desk(work) == 3 * 12 + 2 * 10


def test_a_type_that_a_contract_does_not_take_is_refused_in_known_words() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        euro = await rules_of(one, ContractQuery(symbol="EUR.USD", sec_type="CASH"))
        refused = set(RESTING) - set(euro.order_types)
        assert refused == {T.MIDPRICE, T.MOC, T.LOC, T.REL}
        for kind in refused:
            ticket = replace(RESTING[kind].ticket, conid=euro.conid, sec_type="CASH")
            outcome = await one.place(ticket, f"EXab-{kind}-ZZ")
            assert (outcome.kind, code(outcome)) == (
                OutcomeKind.REFUSED,
                "ORDER_TYPE_UNSUPPORTED",
            )

    at_a_desk(work)


def test_a_change_below_what_was_filled_or_while_being_cancelled_is_not_taken_for_done() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        order = RESTING[T.LMT]
        order_id = await live(one, order.ticket, "EXab-1-1-ZZ")
        await one.cancel(order_id)

        changed = await one.modify(order.ticket, order_id, order.terms)

        assert (changed.kind, code(changed)) == (OutcomeKind.REFUSED, "NOT_MODIFIABLE")

    at_a_desk(work, cancel_delay_ms=60_000)


def test_a_question_about_a_change_is_answered_like_one_about_an_order() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        order = RESTING[T.LMT]
        order_id = await live(one, order.ticket, "EXab-1-1-ZZ")

        declined = await one.modify(order.ticket, order_id, order.terms)
        assert declined.kind is OutcomeKind.QUESTION
        no = await one.reply(declined, confirmed=False)
        assert (no.kind, code(no)) == (OutcomeKind.REFUSED, "NOT_CONFIRMED")
        assert (await one.row(order_id)).total_quantity == order.ticket.quantity
        yes = await one.reply(await one.modify(order.ticket, order_id, order.terms), confirmed=True)

        assert (yes.kind, yes.broker_order_id) == (OutcomeKind.ACK, order_id)
        assert (await one.row(order_id)).total_quantity == order.terms.quantity

    at_a_desk(work, questions={"MODIFY": ("o10138",)})


@pytest.mark.parametrize(
    ("query", "price", "better", "tif"),
    [
        (
            ContractQuery(
                symbol="AAPL", sec_type="OPT", expiry="202612", strike=Decimal(230), right="C"
            ),
            Decimal("0.01"),
            Decimal("0.02"),
            F.DAY,
        ),
        (
            ContractQuery(symbol="ES", sec_type="FUT", expiry="20261218"),
            Decimal("100.25"),
            Decimal("100.50"),
            F.GTC,
        ),
        (
            ContractQuery(symbol="EUR.USD", sec_type="CASH"),
            Decimal("0.50005"),
            Decimal("0.50010"),
            F.DAY,
        ),
        (
            ContractQuery(symbol="BTC", sec_type="CRYPTO"),
            Decimal("100.25"),
            Decimal("100.50"),
            F.PAX,
        ),
    ],
    ids=["option", "future", "pair", "coin"],
)
def test_a_contract_of_every_kind_is_found_and_ordered(
    query: ContractQuery, price: Decimal, better: Decimal, tif: TimeInForce
) -> None:
    async def work(one: Desk) -> None:
        one.operator = OPERATOR
        await one.warm_up()
        contract = await rules_of(one, query)
        assert contract.sec_type == query.sec_type
        ticket = replace(
            BUY,
            type=T.LMT,
            limit_price=price,
            conid=contract.conid,
            sec_type=contract.sec_type,
            tif=tif,
            quantity=Decimal(1),
        )
        order_id = await live(one, ticket, "EXab-1-1-ZZ")
        terms = Terms(quantity=Decimal(2), limit_price=better, stop_price=None)

        changed = await one.modify(ticket, order_id, terms)

        assert changed.kind is OutcomeKind.ACK
        row = await one.row(order_id)
        assert (row.limit_price, row.total_quantity) == (better, Decimal(2))
        await cancelled(one, order_id, sec_type=contract.sec_type)

    at_a_desk(work)


def test_an_amount_of_money_buys_a_coin() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        coin = await rules_of(one, ContractQuery(symbol="BTC", sec_type="CRYPTO"))
        assert (coin.cash_types, coin.cash_increment) == ((T.MKT, T.LMT), Decimal("0.01"))
        ticket = replace(
            BUY,
            conid=coin.conid,
            sec_type="CRYPTO",
            tif=F.IOC,
            quantity=Decimal(0),
            cash_quantity=Decimal("250.50"),
        )

        order_id = await live(one, ticket, "EXab-1-1-ZZ")

        row = await one.row(order_id)
        while row.status is not BrokerStatus.FILLED:
            row = await one.row(order_id)
        assert row.filled_quantity is not None
        assert 0 < row.filled_quantity < 1

    at_a_desk(work)


def test_a_symbol_with_several_listings_is_the_clients_choice_and_can_be_said_exactly() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        instruments = HttpInstrumentGateway(one.client)

        euro = await instruments.find(ContractQuery(symbol="SIMDUAL", currency="EUR"))
        abroad = await instruments.find(ContractQuery(symbol="SIMDUAL", currency="JPY"))
        dollars = await instruments.find(ContractQuery(symbol="SIMDUAL"))
        futures = await instruments.find(ContractQuery(symbol="ES", sec_type="FUT"))
        index = await instruments.find(ContractQuery(symbol="SPX", sec_type="IND"))

        assert isinstance(euro, Instrument)
        assert euro.currency == "EUR"
        assert isinstance(abroad, Reason)
        assert abroad.code == "INSTRUMENT_UNKNOWN"
        assert isinstance(dollars, Instrument)
        assert dollars.currency == "USD"
        assert isinstance(futures, AmbiguousSymbol)
        expiries = [one.expiry for one in futures.candidates]
        assert expiries == sorted(filter(None, expiries))
        assert {one.currency for one in futures.candidates} == {"USD"}
        assert isinstance(index, Reason)
        assert index.code == "SEC_TYPE_UNSUPPORTED"

    at_a_desk(work)


def test_an_option_is_found_step_by_step() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        instruments = HttpInstrumentGateway(one.client)
        query = ContractQuery(symbol="AAPL", sec_type="OPT")

        months = await instruments.find(query)
        assert isinstance(months, AmbiguousSymbol)
        query = replace(query, expiry=months.candidates[0].expiry)
        strikes = await instruments.find(query)
        assert isinstance(strikes, AmbiguousSymbol)
        query = replace(query, strike=strikes.candidates[0].strike)
        rights = await instruments.find(query)
        assert isinstance(rights, AmbiguousSymbol)
        option = await instruments.find(replace(query, right="P"))

        assert {one.conid for one in months.candidates + strikes.candidates} == {0}
        assert {one.right for one in rights.candidates} == {"C", "P"}
        assert isinstance(option, Instrument)
        assert (option.strike, option.right, option.underlying_conid) == (query.strike, "P", AAPL)
        assert option.multiplier == 100

    at_a_desk(work)


def test_selling_is_written_as_buying_is() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        ticket = replace(BUY, side=Side.SELL, type=T.STP, stop_price=Decimal("1.00"))
        order_id = await live(one, ticket, "EXab-1-1-ZZ")

        row = await one.row(order_id)

        assert (row.side, row.stop_price) == (Side.SELL, Decimal(1))

    at_a_desk(work)

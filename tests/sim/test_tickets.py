from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sim.catalogue import catalogue
from engine.sim.tickets import Refusal, Ticket, parse_ticket, tickets_in

TRAIL: dict[str, Any] = {"orderType": "TRAIL", "trailingType": "amt", "trailingAmt": 1}
BTC: dict[str, Any] = {"conid": 479624278, "tif": "IOC", "price": Decimal("90000.25")}
INSTRUMENTS = {row.conid: row for row in catalogue()}
LIMIT: dict[str, Any] = {
    "acctId": "DU1",
    "conid": 265598,
    "orderType": "LMT",
    "price": Decimal("228.40"),
    "side": "BUY",
    "quantity": 10,
    "tif": "DAY",
    "cOID": "c-1",
}


def parsed(**changes: Any) -> Ticket | Refusal:
    return parse_ticket(LIMIT | changes, account="DU1", instruments=INSTRUMENTS)


def test_a_limit_order_keeps_its_exact_numbers() -> None:
    assert parsed() == Ticket(
        account="DU1",
        conid=265598,
        order_type="LMT",
        side="BUY",
        quantity=Decimal(10),
        tif="DAY",
        limit_price=Decimal("228.40"),
        coid="c-1",
    )


def test_a_stop_is_in_price_and_a_stop_limit_has_its_stop_in_aux_price() -> None:
    stop = parsed(orderType="STP", price=Decimal(230))
    stop_limit = parsed(orderType="STOP_LIMIT", price=Decimal(231), auxPrice=Decimal(230))

    assert isinstance(stop, Ticket)
    assert (stop.limit_price, stop.stop_price) == (None, Decimal(230))
    assert isinstance(stop_limit, Ticket)
    assert (stop_limit.limit_price, stop_limit.stop_price) == (Decimal(231), Decimal(230))


def test_a_market_order_has_no_price_even_when_one_is_sent() -> None:
    ticket = parsed(orderType="MKT")

    assert isinstance(ticket, Ticket)
    assert (ticket.limit_price, ticket.stop_price) == (None, None)


@pytest.mark.parametrize(
    ("change", "limit", "stop"),
    [
        ({"orderType": "MOC"}, None, None),
        ({"orderType": "LOC", "price": 7}, 7, None),
        ({"orderType": "MIT", "price": 7}, None, 7),
        ({"orderType": "LIT", "price": 7, "auxPrice": 8}, 7, 8),
        ({"orderType": "REL", "price": 7}, 7, None),
        ({"orderType": "REL", "price": None}, None, None),
        ({"orderType": "MIDPRICE", "price": None}, None, None),
        ({"orderType": "MIDPRICE", "price": 7}, 7, None),
        ({**TRAIL, "price": 7}, None, 7),
        ({**TRAIL, "price": None}, None, None),
        ({**TRAIL, "orderType": "TRAILLMT", "price": 7, "auxPrice": 8}, 7, 8),
    ],
)
def test_each_type_has_its_prices_where_the_broker_looks_for_them(
    change: dict[str, Any], limit: object, stop: object
) -> None:
    ticket = parsed(**change)

    assert isinstance(ticket, Ticket)
    assert (ticket.limit_price, ticket.stop_price) == (limit, stop)


def test_a_trailing_order_keeps_its_distance_and_its_unit() -> None:
    ticket = parsed(**{**TRAIL, "trailingType": "%", "trailingAmt": Decimal("1.5")})

    assert isinstance(ticket, Ticket)
    assert (ticket.trailing_type, ticket.trailing_amount) == ("%", Decimal("1.5"))


def test_an_amount_of_money_buys_crypto_and_leaves_the_quantity_to_the_venue() -> None:
    ticket = parsed(**{**BTC, "quantity": None, "cashQty": 250})

    assert isinstance(ticket, Ticket)
    assert (ticket.quantity, ticket.cash_quantity) == (Decimal(0), Decimal(250))


def test_a_fraction_of_a_coin_is_a_quantity() -> None:
    ticket = parsed(**{**BTC, "quantity": Decimal("0.00000001")})

    assert isinstance(ticket, Ticket)
    assert ticket.quantity == Decimal("0.00000001")


@pytest.mark.parametrize("sec_type", ["265598:STK", "STK"])
def test_the_kind_of_contract_may_be_said(sec_type: str) -> None:
    assert isinstance(parsed(secType=sec_type), Ticket)


@pytest.mark.parametrize("conid", [265598, "265598"])
def test_a_conid_may_be_a_number_or_a_text(conid: object) -> None:
    ticket = parsed(conid=conid)

    assert isinstance(ticket, Ticket)
    assert ticket.conid == 265598


def test_conidex_routes_when_there_is_no_conid() -> None:
    ticket = parsed(conid=None, conidex="265598@NYSE")

    assert isinstance(ticket, Ticket)
    assert ticket.conid == 265598


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"acctId": "DU9"}, 400, "accountId is not valid: DU9"),
        ({"conid": 1}, 400, "conid is not valid: 1"),
        ({"conid": True}, 400, "conid is not valid: True"),
        ({"side": "Buy"}, 400, "side is not valid: Buy"),
        ({"orderType": "VWAP"}, 200, "Order type VWAP is not supported"),
        ({"tif": "PAX"}, 200, "Invalid time in force: PAX"),
        ({"tif": "GTD"}, 200, "GTD needs a date, for which this API has no field"),
        ({"tif": "IOC", "orderType": "STP"}, 200, "IOC is for MARKET, LIMIT only"),
        ({"orderType": "TRAIL"}, 400, "trailingType and trailingAmt are required"),
        ({**TRAIL, "trailingAmt": None}, 400, "they are amt and None"),
        ({**TRAIL, "trailingType": "x"}, 400, "they are x and 1"),
        ({**TRAIL, "trailingAmt": 0}, 200, "above zero and below 10000000, it is 0"),
        ({**TRAIL, "trailingType": "%", "trailingAmt": 100}, 200, "below 100, it is 100"),
        ({**TRAIL, "orderType": "TRAILLMT"}, 400, "auxPrice is not valid for TRAILLMT: None"),
        ({"orderType": "LIT"}, 400, "auxPrice is not valid for LIT: None"),
        ({"orderType": "MIT", "price": None}, 400, "price is not valid for MIT: None"),
        ({"orderType": "MKT", "outsideRTH": True}, 200, "MKT is not supported outside regular"),
        ({"secType": "265598:OPT"}, 400, "secType is not valid: 265598:OPT"),
        ({"cashQty": 100}, 400, "cashQty is 100 and quantity 10, needed is one of them"),
        ({"cashQty": 100, "quantity": None}, 200, "Cash quantity cannot be used for this order"),
        ({**BTC, "side": "SELL", "quantity": None, "cashQty": 5}, 200, "cannot be used"),
        ({**BTC, "quantity": None, "cashQty": 0}, 200, "cash quantity must be above zero"),
        ({**BTC, "quantity": Decimal("0.000000001")}, 200, "increment is 0.00000001"),
        ({**BTC, "tif": "DAY"}, 200, "Invalid time in force: DAY"),
        ({"conid": 416904}, 200, "an index cannot be traded"),
        ({"conid": 12087792, "price": Decimal("1.08501")}, 200, "the increment is 0.00005"),
        ({"cOID": "x" * 65}, 400, "cOID must be text of 1 to 64 characters"),
        ({"quantity": 0}, 200, "must be above zero, it is 0"),
        ({"quantity": -5}, 200, "must be above zero, it is -5"),
        ({"quantity": Decimal("1.5")}, 200, "Fractional-sized order cannot be placed: 1.5"),
        ({"quantity": "NaN"}, 400, "quantity is not valid: NaN"),
        ({"quantity": None}, 400, "quantity is not valid: None"),
        ({"quantity": 10**9}, 200, "exceeds the maximum of 10000000"),
        ({"price": None}, 400, "price is not valid for LMT: None"),
        ({"price": Decimal("228.405")}, 200, "price is 228.405, the increment is 0.01"),
        ({"price": -1}, 200, "must be above zero and at most 10000000, price is -1"),
        ({"orderType": "STOP_LIMIT"}, 400, "auxPrice is not valid for STOP_LIMIT: None"),
        ({"conid": 515416632, "price": 6800}, 200, "manualIndicator and extOperator are required"),
    ],
)
def test_what_the_broker_would_not_take_is_refused(
    change: dict[str, Any], status: int, text: str
) -> None:
    refusal = parsed(**change)

    assert isinstance(refusal, Refusal)
    assert refusal.status == status
    assert text in refusal.text


def test_a_future_says_who_entered_it() -> None:
    ticket = parsed(conid=515416632, price=6800, manualIndicator=False, extOperator="desk")

    assert isinstance(ticket, Ticket)


@pytest.mark.parametrize("body", [{"orders": [LIMIT]}, [LIMIT]])
def test_tickets_come_in_an_object_or_as_a_bare_array(body: object) -> None:
    assert tickets_in(body) == [LIMIT]


@pytest.mark.parametrize("body", [None, {}, [], {"orders": []}, {"orders": "x"}, 7])
def test_a_body_without_tickets_has_none(body: object) -> None:
    assert tickets_in(body) is None


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.text(max_size=8),
    st.sampled_from(["BUY", "LMT", "STP", "STOP_LIMIT", "DAY", "1e999999", "-0", "1_0"]),
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2), max_leaves=3)


@given(st.dictionaries(st.sampled_from(sorted([*LIMIT, "auxPrice", "conidex"])), ANYTHING))
def test_no_ticket_however_odd_is_more_than_refused(changes: dict[str, Any]) -> None:
    ticket = parsed(**changes)

    if isinstance(ticket, Ticket):
        tick = INSTRUMENTS[ticket.conid].tick
        assert ticket.quantity > 0
        assert ticket.limit_price is None or ticket.limit_price % tick == 0
        assert ticket.stop_price is None or ticket.stop_price % tick == 0
    else:
        assert ticket.status in {200, 400}

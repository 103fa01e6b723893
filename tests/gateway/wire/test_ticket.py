import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.values import (
    AccountId,
    Algo,
    AlgoParameter,
    ClientOrderId,
    Coid,
    ConId,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderType,
    ParameterKind,
    Reason,
    Side,
    Terms,
    Ticket,
    TimeInForce,
    TrailingType,
)
from engine.gateway.wire import Operator, TicketEncoder
from engine.gateway.wire.ticket import NOTHING_KNOWN, Sent, conid_in, sent_in

TICKET = Ticket(
    account=AccountId("DU1234567"),
    client_order_id=ClientOrderId("mine-1"),
    conid=ConId(265598),
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.LMT,
    quantity=Decimal(100),
    limit_price=Decimal("189.10"),
    tif=TimeInForce.DAY,
)
COID = Coid("EXab-1-2-ZZ")
OPERATOR = Operator(ext_operator="JDOE", manual=False)
T = OrderType
LIMIT, STOP, CAP = Decimal("189.10"), Decimal("188.50"), Decimal("191.00")


def written(ticket: Ticket, operator: Operator | None = None) -> dict[str, Any]:
    """The one ticket of a body, numbers as they stand there."""
    body = TicketEncoder(operator=operator).encode(ticket, COID)
    [order] = json.loads(body, parse_float=Decimal, parse_int=Decimal)["orders"]
    assert isinstance(order, dict)
    return order


def ticket_of(kind: OrderType, **changes: Any) -> Ticket:
    return replace(TICKET, type=kind, limit_price=None, **changes)


def test_a_limit_order_is_written_field_by_field() -> None:
    encoded = TicketEncoder().encode(TICKET, COID)

    assert encoded == (
        b'{"orders":[{"acctId":"DU1234567","conid":265598,"cOID":"EXab-1-2-ZZ","orderType":"LMT",'
        b'"side":"BUY","quantity":100,"price":189.10,"tif":"DAY","outsideRTH":false}]}'
    )
    assert (sent_in(encoded), conid_in(encoded)) == (Sent(coids=(COID,), orders=1), 265598)


TRAIL_BY = {"trailing_type": TrailingType.AMOUNT, "trailing_amount": Decimal("1.5")}
TRAILED = {"trailingType": "amt", "trailingAmt": Decimal("1.5")}
PRICES = [
    (ticket_of(T.MKT), {}),
    (replace(TICKET, limit_price=LIMIT), {"price": LIMIT}),
    (ticket_of(T.STP, stop_price=STOP), {"price": STOP}),
    (
        replace(TICKET, type=T.STOP_LIMIT, stop_price=STOP),
        {"price": LIMIT, "auxPrice": STOP},
    ),
    (ticket_of(T.TRAIL, stop_price=STOP, **TRAIL_BY), {"price": STOP, **TRAILED}),
    (ticket_of(T.TRAIL, **TRAIL_BY), TRAILED),
    (
        replace(
            TICKET,
            type=T.TRAILLMT,
            stop_price=STOP,
            trailing_type=TrailingType.PERCENT,
            trailing_amount=Decimal(2),
        ),
        {"price": LIMIT, "auxPrice": STOP, "trailingType": "%", "trailingAmt": Decimal(2)},
    ),
    (ticket_of(T.MIDPRICE), {}),
    (ticket_of(T.MIDPRICE, cap_price=CAP), {"price": CAP}),
    (ticket_of(T.MOC), {}),
    (replace(TICKET, type=T.LOC), {"price": LIMIT}),
    (ticket_of(T.MIT, stop_price=STOP), {"price": STOP}),
    (replace(TICKET, type=T.LIT, stop_price=STOP), {"price": LIMIT, "auxPrice": STOP}),
    (ticket_of(T.REL), {}),
    (ticket_of(T.REL, cap_price=CAP), {"price": CAP}),
]


@pytest.mark.parametrize(("ticket", "prices"), PRICES, ids=[str(t.type) for t, _ in PRICES])
def test_each_type_has_its_prices_where_the_broker_reads_them(
    ticket: Ticket, prices: dict[str, object]
) -> None:
    assert written(ticket) == {
        "acctId": "DU1234567",
        "conid": 265598,
        "cOID": COID,
        "orderType": ticket.type.value,
        "side": "BUY",
        "quantity": 100,
        **prices,
        "tif": "DAY",
        "outsideRTH": False,
    }


def test_every_type_is_among_those_tried() -> None:
    assert {ticket.type for ticket, _ in PRICES} == set(OrderType)


@pytest.mark.parametrize(
    "ticket",
    [
        ticket_of(T.LMT),
        replace(TICKET, type=T.MKT),
        ticket_of(T.STP),
        replace(TICKET, type=T.STOP_LIMIT),
        ticket_of(T.TRAIL),
        ticket_of(T.TRAIL, trailing_type=TrailingType.AMOUNT),
        ticket_of(T.MOC, stop_price=STOP),
    ],
)
def test_a_ticket_with_a_price_too_many_or_too_few_is_never_written(ticket: Ticket) -> None:
    with pytest.raises(AssertionError, match=ticket.type.value):
        TicketEncoder().encode(ticket, COID)


@pytest.mark.parametrize("tif", [tif for tif in TimeInForce if tif is not TimeInForce.GTD])
def test_a_time_in_force_is_written_in_the_brokers_spelling(tif: TimeInForce) -> None:
    order = written(replace(TICKET, tif=tif, outside_rth=True))

    assert (order["tif"], order["outsideRTH"]) == (tif.value, True)


def test_an_amount_of_money_takes_the_place_of_the_quantity() -> None:
    order = written(
        replace(TICKET, quantity=Decimal(0), cash_quantity=Decimal("250.50"), sec_type="CRYPTO")
    )

    assert order["cashQty"] == Decimal("250.50")
    assert "quantity" not in order


@pytest.mark.parametrize("sec_type", ["OPT", "CASH", "CRYPTO"])
def test_a_contract_that_is_no_share_is_written_with_its_kind(sec_type: str) -> None:
    order = written(replace(TICKET, sec_type=sec_type))

    assert order["secType"] == f"265598:{sec_type}"
    assert "extOperator" not in order


@pytest.mark.parametrize("sec_type", ["FUT", "FOP"])
def test_an_order_for_a_future_says_who_enters_it(sec_type: str) -> None:
    order = written(replace(TICKET, sec_type=sec_type), OPERATOR)

    assert (order["manualIndicator"], order["extOperator"]) == (False, "JDOE")


def test_an_order_for_a_share_does_not_say_who_enters_it() -> None:
    assert "manualIndicator" not in written(TICKET, OPERATOR)


def test_a_future_without_an_operator_is_refused() -> None:
    future = replace(TICKET, sec_type="FUT")

    assert TicketEncoder().refusal(future) == Reason(
        code="EXT_OPERATOR_MISSING",
        message=(
            "an order for a FUT must say who enters it (manualIndicator and extOperator), "
            "and the configuration has no futures_operator"
        ),
    )
    assert TicketEncoder(operator=OPERATOR).refusal(future) is None
    with pytest.raises(AssertionError, match="refusal"):
        TicketEncoder().encode(future, COID)


def test_an_order_until_a_date_goes_out_as_one_until_it_is_cancelled() -> None:
    ticket = replace(TICKET, tif=TimeInForce.GTD, good_till_ms=1_798_761_600_000)

    assert written(ticket) == written(replace(TICKET, tif=TimeInForce.GTC))


def test_an_algorithm_is_written_with_parameters_of_their_own_types() -> None:
    algo = Algo(
        name="ArrivalPx",
        parameters=(
            AlgoParameter(name="riskAversion", value="Neutral", kind=ParameterKind.TEXT),
            AlgoParameter(name="maxPctVol", value="0.10", kind=ParameterKind.NUMBER),
            AlgoParameter(name="forceCompletion", value="true", kind=ParameterKind.FLAG),
            AlgoParameter(name="allowPastEndTime", value="false", kind=ParameterKind.FLAG),
        ),
    )

    encoded = TicketEncoder().encode(replace(TICKET, algo=algo), COID)

    assert (
        b'"strategy":"ArrivalPx","strategyParameters":{"riskAversion":"Neutral",'
        b'"maxPctVol":0.10,"forceCompletion":true,"allowPastEndTime":false}'
    ) in encoded


def placed(ticket: Ticket, kind: GroupKind, index: int, size: int) -> Ticket:
    return replace(
        ticket,
        group=GroupPlace(kind=kind, leader=OrderId("1-1"), index=index, size=size),
    )


EXIT = replace(TICKET, side=Side.SELL, limit_price=Decimal(200), tif=TimeInForce.GTC)
STOP_EXIT = replace(EXIT, type=T.STP, limit_price=None, stop_price=Decimal(180))
EXIT_COIDS = (Coid("EXab-1-3-ZZ"), Coid("EXab-1-4-ZZ"))


def test_the_exits_of_a_bracket_name_their_entry_and_have_no_id_of_ours() -> None:
    bracket = [
        (placed(ticket, GroupKind.BRACKET, index, 3), coid)
        for index, (ticket, coid) in enumerate(
            zip((TICKET, EXIT, STOP_EXIT), (COID, *EXIT_COIDS), strict=True)
        )
    ]

    encoded = TicketEncoder().encode_group(bracket)

    assert encoded == (
        b'{"orders":['
        b'{"acctId":"DU1234567","conid":265598,"cOID":"EXab-1-2-ZZ","orderType":"LMT",'
        b'"side":"BUY","quantity":100,"price":189.10,"tif":"DAY","outsideRTH":false},'
        b'{"acctId":"DU1234567","conid":265598,"parentId":"EXab-1-2-ZZ","orderType":"LMT",'
        b'"side":"SELL","quantity":100,"price":200,"tif":"GTC","outsideRTH":false},'
        b'{"acctId":"DU1234567","conid":265598,"parentId":"EXab-1-2-ZZ","orderType":"STP",'
        b'"side":"SELL","quantity":100,"price":180,"tif":"GTC","outsideRTH":false}]}'
    )
    assert sent_in(encoded) == Sent(coids=(COID,), orders=3)
    assert conid_in(encoded) == 265598


def test_the_members_of_a_group_where_one_cancels_all_have_each_their_id() -> None:
    group = [
        (placed(ticket, GroupKind.OCA, index, 2), coid)
        for index, (ticket, coid) in enumerate(((TICKET, COID), (STOP_EXIT, EXIT_COIDS[0])))
    ]

    encoded = TicketEncoder().encode_group(group)

    orders = json.loads(encoded)["orders"]
    assert [(one["cOID"], one["isSingleGroup"], "parentId" in one) for one in orders] == [
        (COID, True, False),
        (EXIT_COIDS[0], True, False),
    ]
    assert sent_in(encoded) == Sent(coids=(COID, EXIT_COIDS[0]), orders=2)


@pytest.mark.parametrize("indices", [(), (0,), (1, 0), (0, 2)])
def test_a_group_that_is_not_whole_is_never_written(indices: tuple[int, ...]) -> None:
    orders = [(placed(TICKET, GroupKind.OCA, index, 2), COID) for index in indices]

    with pytest.raises(AssertionError, match="group"):
        TicketEncoder().encode_group(orders)


def test_a_changed_exit_still_names_its_entry() -> None:
    terms = Terms(quantity=Decimal(100), limit_price=None, stop_price=Decimal(185))
    stop = placed(STOP_EXIT, GroupKind.BRACKET, 2, 3)

    encoded = TicketEncoder().encode_change(stop, EXIT_COIDS[1], terms, leader=COID)

    changed = json.loads(encoded)
    assert (changed["parentId"], changed["price"], "cOID" in changed) == (COID, 185, False)


def test_only_an_exit_names_an_entry_in_its_change() -> None:
    terms = Terms(quantity=Decimal(1), limit_price=None, stop_price=Decimal(185))

    with pytest.raises(AssertionError, match="exactly an exit"):
        TicketEncoder().encode_change(
            placed(STOP_EXIT, GroupKind.BRACKET, 2, 3), EXIT_COIDS[1], terms
        )
    with pytest.raises(AssertionError, match="exactly an exit"):
        TicketEncoder().encode_change(STOP_EXIT, EXIT_COIDS[1], terms, leader=COID)


def test_every_other_ticket_can_be_written() -> None:
    for ticket, _ in PRICES:
        assert TicketEncoder().refusal(ticket) is None


def test_a_change_is_the_whole_ticket_alone_with_the_new_terms_and_no_coid() -> None:
    ticket = replace(TICKET, type=T.STOP_LIMIT, stop_price=STOP, tif=TimeInForce.GTC)
    terms = Terms(quantity=Decimal(50), limit_price=Decimal("189.20"), stop_price=Decimal("188.60"))

    encoded = TicketEncoder().encode_change(ticket, COID, terms)

    assert encoded == (
        b'{"acctId":"DU1234567","conid":265598,"orderType":"STOP_LIMIT","side":"BUY",'
        b'"quantity":50,"price":189.20,"auxPrice":188.60,"tif":"GTC","outsideRTH":false}'
    )
    assert (sent_in(encoded), conid_in(encoded)) == (NOTHING_KNOWN, 265598)


def test_a_change_repeats_what_the_terms_do_not_speak_of() -> None:
    trail = ticket_of(T.TRAIL, stop_price=STOP, sec_type="FUT", **TRAIL_BY)
    terms = Terms(quantity=Decimal(2), limit_price=None, stop_price=Decimal(180))

    encoded = TicketEncoder(operator=OPERATOR).encode_change(trail, COID, terms)

    assert json.loads(encoded) == {
        "acctId": "DU1234567",
        "conid": 265598,
        "secType": "265598:FUT",
        "orderType": "TRAIL",
        "side": "BUY",
        "quantity": 2,
        "price": 180,
        "trailingType": "amt",
        "trailingAmt": 1.5,
        "tif": "DAY",
        "outsideRTH": False,
        "manualIndicator": False,
        "extOperator": "JDOE",
    }


def test_a_change_cannot_give_a_quantity_to_an_amount_of_money() -> None:
    ticket = replace(TICKET, quantity=Decimal(0), cash_quantity=Decimal(100))
    terms = Terms(quantity=Decimal(5), limit_price=LIMIT, stop_price=None)

    with pytest.raises(AssertionError, match="amount of money"):
        TicketEncoder().encode_change(ticket, COID, terms)


@given(
    st.decimals(min_value="0.00000001", max_value=10**9, allow_nan=False, allow_infinity=False),
    st.decimals(min_value="0.00000001", max_value=10**9, allow_nan=False, allow_infinity=False),
)
def test_numbers_are_written_exactly_and_without_an_exponent(
    quantity: Decimal, price: Decimal
) -> None:
    encoded = TicketEncoder().encode(replace(TICKET, quantity=quantity, limit_price=price), COID)

    [order] = json.loads(encoded, parse_float=Decimal, parse_int=Decimal)["orders"]
    assert (order["quantity"], order["price"]) == (quantity, price)
    assert b"E" not in encoded.replace(COID.encode(), b"").split(b'"quantity":')[1].split(b",")[0]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"orders":[]}', b'{"orders":[{"cOID":{}}]}'])
def test_a_body_without_an_order_names_nothing(body: bytes) -> None:
    assert sent_in(body) == NOTHING_KNOWN
    assert conid_in(body) is None

"""What a client may submit, and how it is refused."""

import hashlib
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from engine.api.errors import from_validation
from engine.api.submit import SubmitBody, price_fields
from engine.domain.ports import ContractQuery, SubmitRequest
from engine.domain.values import (
    AccountId,
    Algo,
    AlgoParameter,
    ClientOrderId,
    ConId,
    GroupKind,
    OrderType,
    ParameterKind,
    Side,
    Ticket,
    TimeInForce,
    TrailingType,
)

ACCOUNT = AccountId("DU1234567")


BODY: dict[str, Any] = {
    "client_order_id": "mine-1",
    "conid": 265598,
    "side": "BUY",
    "type": "LMT",
    "quantity": "10",
    "limit_price": "189.30",
    "tif": "DAY",
}


PROFIT: dict[str, Any] = {"type": "LMT", "limit_price": "200"}
LOSS: dict[str, Any] = {"type": "STP", "stop_price": "180"}
OPTION: dict[str, Any] = {"conid": None, "symbol": "AAPL", "sec_type": "OPT"}


FUTURE: dict[str, Any] = {"conid": None, "symbol": "ES", "sec_type": "FUT"}


TRAIL: dict[str, Any] = {"type": "TRAIL", "limit_price": None, "trailing_type": "%"}


def refusal(body: dict[str, Any]) -> tuple[str, str]:
    with pytest.raises(ValidationError) as refused:
        SubmitBody.model_validate(body)
    error = from_validation(refused.value, SubmitBody)
    assert error.status == 400
    return error.code, str(error.details["field"])


def digest(body: dict[str, Any], account: AccountId = ACCOUNT) -> str:
    return SubmitBody.model_validate(body).request(account).request_sha256


def test_a_body_becomes_a_request_with_a_symbol_and_no_conid() -> None:
    body = SubmitBody.model_validate(
        {
            "client_order_id": "a.b_c:d-1",
            "symbol": "BRK B",
            "sec_type": "STK",
            "exchange": "NYSE",
            "side": "SELL",
            "type": "MKT",
            "quantity": 5,
            "tif": "IOC",
            "outside_rth": True,
            "strategy": "momentum",
        }
    )

    request = body.request(ACCOUNT)

    assert request == SubmitRequest(
        ticket=Ticket(
            account=ACCOUNT,
            client_order_id=ClientOrderId("a.b_c:d-1"),
            conid=ConId(0),
            symbol="BRK B",
            side=Side.SELL,
            type=OrderType.MKT,
            quantity=Decimal(5),
            limit_price=None,
            tif=TimeInForce.IOC,
            outside_rth=True,
            strategy="momentum",
        ),
        query=ContractQuery(symbol="BRK B", exchange="NYSE"),
        request_sha256=request.request_sha256,
    )


def test_a_body_becomes_a_request_with_every_field_of_the_contract() -> None:
    body = SubmitBody.model_validate(
        {
            "client_order_id": "mine-1",
            "symbol": "AAPL",
            "sec_type": "OPT",
            "expiry": "20261218",
            "strike": "217.50",
            "right": "C",
            "exchange": "SMART",
            "currency": "USD",
            "side": "SELL",
            "type": "TRAILLMT",
            "quantity": "2",
            "limit_price": "4.90",
            "stop_price": "5",
            "trailing_type": "amount",
            "trailing_amount": "0.25",
            "tif": "GTD",
            "good_till": "2026-12-18T16:00:00.500-05:00",
        }
    )

    request = body.request(ACCOUNT)

    assert request == SubmitRequest(
        ticket=Ticket(
            account=ACCOUNT,
            client_order_id=ClientOrderId("mine-1"),
            conid=ConId(0),
            symbol="AAPL",
            side=Side.SELL,
            type=OrderType.TRAILLMT,
            quantity=Decimal(2),
            limit_price=Decimal("4.9"),
            tif=TimeInForce.GTD,
            sec_type="OPT",
            stop_price=Decimal(5),
            trailing_type=TrailingType.AMOUNT,
            trailing_amount=Decimal("0.25"),
            good_till_ms=1_797_627_600_500,
        ),
        query=ContractQuery(
            symbol="AAPL",
            sec_type="OPT",
            exchange="SMART",
            currency="USD",
            expiry="20261218",
            strike=Decimal("217.5"),
            right="C",
        ),
        request_sha256=request.request_sha256,
    )


PRICES: dict[str, Any] = {
    "limit_price": "10",
    "stop_price": "11",
    "trailing_type": "amt",
    "trailing_amount": "0.5",
    "cap_price": "12",
}


LIMIT, STOP, CAP = "limit_price", "stop_price", "cap_price"
TRAILING = ("trailing_type", "trailing_amount")


NEEDED: dict[OrderType, tuple[str, ...]] = {
    OrderType.MKT: (),
    OrderType.LMT: (LIMIT,),
    OrderType.STP: (STOP,),
    OrderType.STOP_LIMIT: (LIMIT, STOP),
    OrderType.TRAIL: TRAILING,
    OrderType.TRAILLMT: (LIMIT, STOP, *TRAILING),
    OrderType.MIDPRICE: (),
    OrderType.MOC: (),
    OrderType.LOC: (LIMIT,),
    OrderType.MIT: (STOP,),
    OrderType.LIT: (LIMIT, STOP),
    OrderType.REL: (),
}


OPTIONAL = {OrderType.TRAIL: STOP, OrderType.MIDPRICE: CAP, OrderType.REL: CAP}


def priced(order_type: OrderType, *fields: str) -> dict[str, Any]:
    body = {name: value for name, value in BODY.items() if name != "limit_price"}
    return body | {"type": order_type} | {name: PRICES[name] for name in fields}


@pytest.mark.parametrize("order_type", OrderType)
def test_every_type_takes_its_own_prices_and_no_others(order_type: OrderType) -> None:
    needed = NEEDED[order_type]
    allowed = {*needed, *filter(None, [OPTIONAL.get(order_type)])}

    least = SubmitBody.model_validate(priced(order_type, *needed))
    most = SubmitBody.model_validate(priced(order_type, *allowed))

    assert least.model_dump(include=set(PRICES), exclude_none=True).keys() == {*needed}
    assert most.model_dump(include=set(PRICES), exclude_none=True).keys() == allowed
    assert price_fields(order_type) == allowed
    for name in needed:
        others = [field for field in needed if field != name]
        assert refusal(priced(order_type, *others)) == ("BAD_FIELD", name)
    for name in PRICES.keys() - allowed:
        assert refusal(priced(order_type, *needed, name)) == ("BAD_FIELD", name)


@pytest.mark.parametrize("tif", TimeInForce)
def test_every_time_in_force_of_the_contract_is_understood(tif: TimeInForce) -> None:
    until = {"good_till": "2026-12-18T21:00:00Z"} if tif is TimeInForce.GTD else {}

    body = SubmitBody.model_validate(BODY | {"tif": tif} | until)

    assert body.request(ACCOUNT).ticket.tif is tif


def test_an_order_may_be_for_an_amount_of_money() -> None:
    body = {name: value for name, value in BODY.items() if name != "quantity"}

    ticket = SubmitBody.model_validate(body | {"cash_quantity": "99.50"}).request(ACCOUNT).ticket

    assert (ticket.quantity, ticket.cash_quantity) == (Decimal(0), Decimal("99.5"))


@pytest.mark.parametrize(
    ("spelled", "expected"),
    [
        ("amt", TrailingType.AMOUNT),
        ("amount", TrailingType.AMOUNT),
        ("%", TrailingType.PERCENT),
        ("percent", TrailingType.PERCENT),
    ],
)
def test_a_trailing_amount_is_money_or_a_percentage(spelled: str, expected: TrailingType) -> None:
    body = priced(OrderType.TRAIL, *TRAILING) | {"trailing_type": spelled}

    assert SubmitBody.model_validate(body).trailing_type is expected


def test_two_words_for_one_trailing_type_are_one_order() -> None:
    body = priced(OrderType.TRAIL, *TRAILING)

    assert digest(body | {"trailing_type": "amount"}) == digest(body)


def test_the_digest_is_of_the_canonical_body_with_its_account() -> None:
    canonical = (
        b'{"account":"DU1234567","client_order_id":"mine-1","conid":265598,"limit_price":"189.3",'
        b'"outside_rth":false,"quantity":"10","side":"BUY","tif":"DAY","type":"LMT"}'
    )

    assert digest(BODY) == hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize(
    "same",
    [
        {"quantity": 10},
        {"quantity": Decimal("1E+1")},
        {"limit_price": "189.3"},
        {"limit_price": Decimal("189.300")},
        {"outside_rth": False},
        {"strategy": None, "legs": None, "stop_price": None, "cash_quantity": None},
    ],
)
def test_another_spelling_of_an_order_has_the_same_digest(same: dict[str, Any]) -> None:
    assert digest(BODY | same) == digest(BODY)


@pytest.mark.parametrize(
    "other",
    [
        {"quantity": "10.1"},
        {"limit_price": "189.31"},
        {"side": "SELL"},
        {"conid": 8314},
        {"tif": "GTC"},
        {"outside_rth": True},
        {"strategy": "s"},
    ],
)
def test_another_order_has_another_digest(other: dict[str, Any]) -> None:
    assert digest(BODY | other) != digest(BODY)


def test_the_same_order_for_another_account_has_another_digest() -> None:
    assert digest(BODY) != digest(BODY, AccountId("DU7654321"))


@pytest.mark.parametrize("name", ["client_order_id", "side", "type", "quantity"])
def test_a_missing_field_is_named(name: str) -> None:
    assert refusal({key: value for key, value in BODY.items() if key != name}) == (
        "BAD_FIELD",
        name,
    )


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"client_order_id": ""}, ("BAD_FIELD", "client_order_id")),
        ({"client_order_id": "x" * 65}, ("BAD_FIELD", "client_order_id")),
        ({"client_order_id": "a b"}, ("BAD_FIELD", "client_order_id")),
        ({"client_order_id": "a\n"}, ("BAD_FIELD", "client_order_id")),
        ({"client_order_id": 7}, ("BAD_FIELD", "client_order_id")),
        ({"conid": "265598"}, ("BAD_FIELD", "conid")),
        ({"conid": True}, ("BAD_FIELD", "conid")),
        ({"conid": 0}, ("BAD_FIELD", "conid")),
        ({"conid": 2**31}, ("BAD_FIELD", "conid")),
        ({"conid": Decimal("1.0")}, ("BAD_FIELD", "conid")),
        ({"side": "buy"}, ("BAD_FIELD", "side")),
        ({"side": ["BUY"]}, ("BAD_FIELD", "side")),
        ({"type": "STOP"}, ("BAD_FIELD", "type")),
        ({"type": "STP", "stop_price": "1"}, ("BAD_FIELD", "limit_price")),
        ({"cap_price": "1"}, ("BAD_FIELD", "cap_price")),
        ({"trailing_type": "bps"}, ("BAD_FIELD", "trailing_type")),
        ({"tif": "FOK"}, ("BAD_FIELD", "tif")),
        ({"quantity": "0"}, ("BAD_FIELD", "quantity")),
        ({"quantity": "-1"}, ("BAD_FIELD", "quantity")),
        ({"limit_price": None}, ("BAD_FIELD", "limit_price")),
        ({"type": "MKT"}, ("BAD_FIELD", "limit_price")),
        ({"outside_rth": "true"}, ("BAD_FIELD", "outside_rth")),
        ({"strategy": ""}, ("BAD_FIELD", "strategy")),
        ({"symbol": "AAPL"}, ("BAD_FIELD", "symbol")),
        ({"exchange": "NYSE"}, ("BAD_FIELD", "exchange")),
        ({"conid": None}, ("BAD_FIELD", "conid")),
        ({"conid": None, "symbol": "aapl"}, ("BAD_FIELD", "symbol")),
        ({"conid": None, "symbol": "AAPL", "sec_type": "stk"}, ("BAD_FIELD", "sec_type")),
        ({"conid": None, "symbol": "AAPL", "currency": "usd"}, ("BAD_FIELD", "currency")),
        ({"conid": None, "symbol": "AAPL", "expiry": "202612"}, ("BAD_FIELD", "expiry")),
        ({"conid": None, "symbol": "AAPL", "strike": "5"}, ("BAD_FIELD", "strike")),
        (FUTURE | {"right": "C"}, ("BAD_FIELD", "right")),
        (FUTURE | {"expiry": "2026-12"}, ("BAD_FIELD", "expiry")),
        (FUTURE | {"expiry": "20260230"}, ("BAD_FIELD", "expiry")),
        (FUTURE | {"expiry": 202612}, ("BAD_FIELD", "expiry")),
        (OPTION | {"right": "CALL"}, ("BAD_FIELD", "right")),
        (OPTION | {"strike": "-5"}, ("BAD_FIELD", "strike")),
        ({"sec_type": "STK"}, ("BAD_FIELD", "sec_type")),
        ({"cash_quantity": "100"}, ("BAD_FIELD", "cash_quantity")),
        ({"quantity": None}, ("BAD_FIELD", "quantity")),
        ({"quantity": None, "cash_quantity": "-1"}, ("BAD_FIELD", "cash_quantity")),
        ({"tif": "GTD"}, ("BAD_FIELD", "good_till")),
        ({"good_till": "2026-12-18T21:00:00Z"}, ("BAD_FIELD", "good_till")),
        ({"tif": "GTD", "good_till": "2026-12-18"}, ("BAD_FIELD", "good_till")),
        ({"tif": "GTD", "good_till": "2026-12-18T21:00:00"}, ("BAD_FIELD", "good_till")),
        ({"tif": "GTD", "good_till": "2026-02-30T21:00:00Z"}, ("BAD_FIELD", "good_till")),
        ({"tif": "GTD", "good_till": 1797627600000}, ("BAD_FIELD", "good_till")),
        ({"algo": "Adaptive"}, ("BAD_FIELD", "algo")),
        ({"algo": {}}, ("BAD_FIELD", "algo.name")),
        ({"algo": {"name": "a b"}}, ("BAD_FIELD", "algo.name")),
        ({"algo": {"name": "Vwap", "speed": 1}}, ("UNKNOWN_FIELD", "algo.speed")),
        ({"algo": {"name": "Vwap", "parameters": []}}, ("BAD_FIELD", "algo.parameters")),
        ({"algo": {"name": "Vwap", "parameters": {"a": None}}}, ("BAD_FIELD", "algo.parameters.a")),
        ({"algo": {"name": "Vwap", "parameters": {"a": ""}}}, ("BAD_FIELD", "algo.parameters.a")),
        (
            {"algo": {"name": "Vwap", "parameters": {"a": 10**20}}},
            ("BAD_FIELD", "algo.parameters.a"),
        ),
        ({"group": "bracket"}, ("BAD_FIELD", "group")),
        ({"legs": []}, ("BAD_FIELD", "legs")),
        ({"legs": {}}, ("BAD_FIELD", "legs")),
        ({"legs": ["x"]}, ("BAD_FIELD", "legs.0")),
        ({"legs": [PROFIT] * 3}, ("BAD_FIELD", "legs")),
        ({"legs": [PROFIT] * 5, "group": "oca"}, ("BAD_FIELD", "legs")),
        ({"legs": [PROFIT], "group": "oto"}, ("BAD_FIELD", "group")),
        ({"legs": [{}]}, ("BAD_FIELD", "legs.0.type")),
        ({"legs": [PROFIT | {"colour": 1}]}, ("UNKNOWN_FIELD", "legs.0.colour")),
        ({"legs": [PROFIT | {"conid": 8314}]}, ("UNKNOWN_FIELD", "legs.0.conid")),
        ({"legs": [{"type": "LMT"}]}, ("BAD_FIELD", "legs.0.limit_price")),
        ({"legs": [PROFIT | {"stop_price": "1"}]}, ("BAD_FIELD", "legs.0.stop_price")),
        ({"legs": [PROFIT, {"type": "MKT"}]}, ("BAD_FIELD", "legs.1.type")),
        ({"legs": [PROFIT | {"side": "BUY"}]}, ("BAD_FIELD", "legs.0.side")),
        ({"legs": [PROFIT | {"quantity": "10.1"}]}, ("BAD_FIELD", "legs.0.quantity")),
        ({"legs": [PROFIT | {"tif": "IOC"}]}, ("BAD_FIELD", "legs.0.tif")),
        ({"legs": [PROFIT], "tif": "OPG"}, ("BAD_FIELD", "legs.0.tif")),
        ({"legs": [PROFIT | {"tif": "GTD"}]}, ("BAD_FIELD", "legs.0.good_till")),
        (
            {"legs": [PROFIT | {"client_order_id": "mine-1"}]},
            ("BAD_FIELD", "legs.0.client_order_id"),
        ),
        (
            {"legs": [PROFIT, LOSS], "client_order_id": "x" * 63},
            ("BAD_FIELD", "legs.0.client_order_id"),
        ),
        (
            {"legs": [PROFIT], "quantity": None, "cash_quantity": "9"},
            ("BAD_FIELD", "cash_quantity"),
        ),
        ({"stop_price": "1"}, ("BAD_FIELD", "stop_price")),
        (TRAIL | {"trailing_amount": "100"}, ("BAD_FIELD", "trailing_amount")),
        ({"colour": "red"}, ("UNKNOWN_FIELD", "colour")),
    ],
)
def test_a_wrong_field_is_named_with_its_code(
    wrong: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert refusal(BODY | wrong) == expected


def test_every_wrong_field_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        SubmitBody.model_validate(BODY | {"side": "LONG", "quantity": "-1"})

    error = from_validation(refused.value, SubmitBody)

    assert error.message == 'side is "LONG"; allowed: BUY, SELL'
    assert [each["field"] for each in error.details["more"]] == ["quantity"]  # type: ignore[attr-defined] # a list


FIRST = Ticket(
    account=ACCOUNT,
    client_order_id=ClientOrderId("mine-1"),
    conid=ConId(265598),
    symbol="",
    side=Side.BUY,
    type=OrderType.LMT,
    quantity=Decimal(10),
    limit_price=Decimal("189.3"),
    tif=TimeInForce.DAY,
    strategy="pairs",
    outside_rth=True,
)
UNTIL_MS = 1_797_627_600_000


def asked(body: dict[str, Any]) -> SubmitRequest:
    return SubmitBody.model_validate(
        BODY | {"strategy": "pairs", "outside_rth": True} | body
    ).request(ACCOUNT)


def test_the_exits_of_a_bracket_say_only_what_is_their_own() -> None:
    request = asked(
        {"legs": [PROFIT, LOSS | {"tif": "GTC", "quantity": "4", "outside_rth": False}]}
    )

    assert request == SubmitRequest(
        ticket=FIRST,
        query=None,
        request_sha256=request.request_sha256,
        group=GroupKind.BRACKET,
        followers=(
            replace(
                FIRST,
                client_order_id=ClientOrderId("mine-1:1"),
                side=Side.SELL,
                limit_price=Decimal(200),
            ),
            replace(
                FIRST,
                client_order_id=ClientOrderId("mine-1:2"),
                side=Side.SELL,
                type=OrderType.STP,
                limit_price=None,
                stop_price=Decimal(180),
                quantity=Decimal(4),
                tif=TimeInForce.GTC,
                outside_rth=False,
            ),
        ),
    )


def test_the_members_of_a_group_where_one_cancels_all_may_be_on_either_side() -> None:
    stop = LOSS | {"side": "SELL", "quantity": "99", "tif": "IOC", "client_order_id": "other"}

    request = asked({"group": "oca", "legs": [PROFIT, stop]})

    assert request.group is GroupKind.OCA
    assert [
        (one.client_order_id, one.side, one.quantity, one.tif) for one in request.followers
    ] == [
        ("mine-1:1", Side.BUY, Decimal(10), TimeInForce.DAY),
        ("other", Side.SELL, Decimal(99), TimeInForce.IOC),
    ]


@pytest.mark.parametrize(
    ("leg", "expected"),
    [
        ({}, (TimeInForce.GTD, UNTIL_MS)),
        ({"tif": "GTD"}, (TimeInForce.GTD, UNTIL_MS)),
        (
            {"tif": "GTD", "good_till": "2026-12-18T22:00:00Z"},
            (TimeInForce.GTD, UNTIL_MS + 3_600_000),
        ),
        ({"tif": "GTC"}, (TimeInForce.GTC, None)),
    ],
)
def test_an_exit_stays_as_long_as_its_entry_unless_it_says_otherwise(
    leg: dict[str, Any], expected: tuple[TimeInForce, int | None]
) -> None:
    until = {"tif": "GTD", "good_till": "2026-12-18T21:00:00Z"}

    [follower] = asked({**until, "legs": [PROFIT | leg]}).followers

    assert (follower.tif, follower.good_till_ms) == expected


def test_an_order_may_have_one_of_the_brokers_algorithms() -> None:
    parameters = {
        "maxPctVol": Decimal("0.10"),
        "adaptivePriority": "Urgent",
        "waves": 3,
        "forceCompletion": True,
        "allowPastEndTime": False,
    }

    algo = asked({"algo": {"name": "Vwap", "parameters": parameters}}).ticket.algo

    kinds = ParameterKind
    assert algo == Algo(
        name="Vwap",
        parameters=(
            AlgoParameter(name="adaptivePriority", value="Urgent", kind=kinds.TEXT),
            AlgoParameter(name="allowPastEndTime", value="false", kind=kinds.FLAG),
            AlgoParameter(name="forceCompletion", value="true", kind=kinds.FLAG),
            AlgoParameter(name="maxPctVol", value="0.1", kind=kinds.NUMBER),
            AlgoParameter(name="waves", value="3", kind=kinds.NUMBER),
        ),
    )


BRACKET: dict[str, Any] = {"legs": [PROFIT, LOSS]}
WORKED: dict[str, Any] = {"algo": {"name": "Vwap", "parameters": {"a": 1, "b": "x"}}}
TIMED: dict[str, Any] = {"tif": "GTD", "good_till": "2026-12-18T21:00:00Z"}


@pytest.mark.parametrize(
    ("body", "same"),
    [
        (BRACKET, BRACKET | {"group": "bracket"}),
        (BRACKET, {"legs": [PROFIT | {"side": "SELL", "quantity": 10, "tif": "DAY"}, LOSS]}),
        (BRACKET, {"legs": [PROFIT | {"limit_price": 200, "client_order_id": "mine-1:1"}, LOSS]}),
        (WORKED, {"algo": {"name": "Vwap", "parameters": {"b": "x", "a": "1"}}}),
        (TIMED, TIMED | {"good_till": "2026-12-18T16:00:00.000-05:00"}),
    ],
)
def test_another_spelling_of_a_group_has_the_same_digest(
    body: dict[str, Any], same: dict[str, Any]
) -> None:
    assert digest(BODY | body) == digest(BODY | same)


@pytest.mark.parametrize(
    ("body", "other"),
    [
        ({}, BRACKET),
        (BRACKET, {"legs": [PROFIT]}),
        (BRACKET, {"legs": [LOSS, PROFIT]}),
        (BRACKET, {"legs": [PROFIT | {"limit_price": 201}, LOSS]}),
        (BRACKET, {"legs": [PROFIT | {"client_order_id": "other"}, LOSS]}),
        (BRACKET, BRACKET | {"group": "oca"}),
        (WORKED, {"algo": {"name": "Vwap", "parameters": {"a": 2, "b": "x"}}}),
        (WORKED, {"algo": {"name": "Twap", "parameters": {"a": 1, "b": "x"}}}),
        (TIMED, TIMED | {"good_till": "2026-12-18T21:00:01Z"}),
    ],
)
def test_another_group_has_another_digest(body: dict[str, Any], other: dict[str, Any]) -> None:
    assert digest(BODY | body) != digest(BODY | other)


def test_a_wrong_leg_is_told_with_what_it_may_have() -> None:
    with pytest.raises(ValidationError) as refused:
        SubmitBody.model_validate(BODY | {"legs": [PROFIT, LOSS | {"colour": 1}]})

    error = from_validation(refused.value, SubmitBody)

    assert error.message == (
        '"legs.1.colour" is not known here; allowed: type, limit_price, stop_price, trailing_type, '
        "trailing_amount, cap_price, client_order_id, side, quantity, tif, good_till, outside_rth"
    )

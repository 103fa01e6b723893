import hashlib
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from engine.api.errors import from_validation
from engine.api.wire import (
    BarsQuery,
    EventsQuery,
    HaltBody,
    InstrumentsQuery,
    ModifyBody,
    OrdersQuery,
    ResumeBody,
    SubmitBody,
    price_fields,
)
from engine.domain.ports import ContractQuery, SubmitRequest, TermsChange
from engine.domain.values import (
    AccountId,
    ClientOrderId,
    ConId,
    OrderType,
    Scope,
    ScopeKind,
    Side,
    Ticket,
    TimeInForce,
    TradingState,
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
    assert SubmitBody.model_validate(BODY | {"tif": tif}).request(ACCOUNT).ticket.tif is tif


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


def test_a_modify_names_what_is_to_change() -> None:
    body = ModifyBody.model_validate({"quantity": 12, "stop_price": "5.50"})

    assert body.change() == TermsChange(quantity=Decimal(12), stop_price=Decimal("5.5"))


def test_a_contract_is_asked_for_by_its_conid_or_by_its_symbol() -> None:
    by_conid = InstrumentsQuery.model_validate({"conid": "265598"})
    by_symbol = InstrumentsQuery.model_validate({"symbol": "ES", "sec_type": "FUT"})

    assert (by_conid.conid, by_conid.contract_query()) == (265598, None)
    assert by_symbol.contract_query() == ContractQuery(symbol="ES", sec_type="FUT")


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
        ({"legs": []}, ("FIELD_UNSUPPORTED", "legs")),
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


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("firm", Scope(kind=ScopeKind.FIRM)),
        ("group:desk", Scope(kind=ScopeKind.GROUP, key="desk")),
        ("account:DU1", Scope(kind=ScopeKind.ACCOUNT, key="DU1")),
        ("strategy:a.b", Scope(kind=ScopeKind.STRATEGY, key="a.b")),
        ("instrument:0265598", Scope(kind=ScopeKind.INSTRUMENT, key="265598")),
    ],
)
def test_a_halt_names_its_scope(scope: str, expected: Scope) -> None:
    body = HaltBody.model_validate({"scope": scope, "level": "halt", "reason": "why"})

    assert body == HaltBody(scope=expected, level=TradingState.HALT, reason="why")


@pytest.mark.parametrize(
    "scope", ["", "firm:x", "desk", "group:", "group", "account:a b", "instrument:AAPL", 7, None]
)
def test_a_scope_that_names_nothing_is_refused(scope: object) -> None:
    with pytest.raises(ValidationError):
        ResumeBody.model_validate({"scope": scope, "reason": "why"})


@pytest.mark.parametrize("level", ["normal", "HALT", "", None])
def test_a_halt_has_a_level_that_restricts(level: object) -> None:
    with pytest.raises(ValidationError):
        HaltBody.model_validate({"scope": "firm", "level": level, "reason": "why"})


@pytest.mark.parametrize("reason", ["", "   ", "a\nb", "x" * 501, None, 7])
def test_a_halt_needs_a_reason_that_a_person_can_read(reason: object) -> None:
    with pytest.raises(ValidationError):
        HaltBody.model_validate({"scope": "firm", "level": "halt", "reason": reason})


def test_queries_have_defaults() -> None:
    assert OrdersQuery().limit == 200
    assert BarsQuery() == BarsQuery(interval="1s", limit=100)
    assert EventsQuery.model_validate({"from_seq": "12"}).from_seq == 12


@pytest.mark.parametrize("seq", ["-1", "1.0", " 1", "1_0", "\u0661", "", str(2**53)])
def test_a_sequence_number_is_plain_digits(seq: str) -> None:
    with pytest.raises(ValidationError):
        EventsQuery.model_validate({"from_seq": seq})

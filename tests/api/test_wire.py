import hashlib
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from engine.api.errors import from_validation
from engine.api.wire import BarsQuery, EventsQuery, HaltBody, OrdersQuery, ResumeBody, SubmitBody
from engine.domain.ports import SubmitRequest
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
        exchange="NYSE",
        request_sha256=request.request_sha256,
    )


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
        {"strategy": None, "legs": None, "stop_price": None},
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
        ({"type": "STP", "stop_price": "1"}, ("ORDER_TYPE_UNSUPPORTED", "type")),
        ({"type": "REL"}, ("ORDER_TYPE_UNSUPPORTED", "type")),
        ({"tif": "GTD"}, ("TIF_UNSUPPORTED", "tif")),
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
        ({"conid": None, "symbol": "AAPL", "sec_type": "OPT"}, ("BAD_FIELD", "sec_type")),
        ({"cash_quantity": "100"}, ("FIELD_UNSUPPORTED", "cash_quantity")),
        ({"legs": []}, ("FIELD_UNSUPPORTED", "legs")),
        ({"stop_price": "1"}, ("FIELD_UNSUPPORTED", "stop_price")),
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

from decimal import Decimal

import pytest
from pydantic import ValidationError

from engine.api.wire import (
    BarsQuery,
    EventsQuery,
    HaltBody,
    InstrumentsQuery,
    ModifyBody,
    OrdersQuery,
    ResumeBody,
)
from engine.domain.ports import ContractQuery, TermsChange
from engine.domain.values import Scope, ScopeKind, TradingState


def test_a_modify_names_what_is_to_change() -> None:
    body = ModifyBody.model_validate({"quantity": 12, "stop_price": "5.50"})

    assert body.change() == TermsChange(quantity=Decimal(12), stop_price=Decimal("5.5"))


def test_a_contract_is_asked_for_by_its_conid_or_by_its_symbol() -> None:
    by_conid = InstrumentsQuery.model_validate({"conid": "265598"})
    by_symbol = InstrumentsQuery.model_validate({"symbol": "ES", "sec_type": "FUT"})

    assert (by_conid.conid, by_conid.contract_query()) == (265598, None)
    assert by_symbol.contract_query() == ContractQuery(symbol="ES", sec_type="FUT")


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

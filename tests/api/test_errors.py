import json
from dataclasses import replace
from decimal import Decimal

import pytest
from aiohttp import web

from engine.api.errors import (
    ApiError,
    ambiguous,
    bad_field,
    detail,
    from_engine,
    from_http,
    from_reason,
    shown,
    unknown_session,
)
from engine.domain.ports import (
    AmbiguousSymbol,
    EngineDraining,
    JournalFull,
    JournalUnavailable,
    NotModifiable,
    UnknownAccount,
    UnknownOrder,
    UnknownSession,
)
from engine.domain.values import ConId, Reason
from tests.api.fake_engine import INSTRUMENT


def test_an_error_is_one_object_with_code_message_and_details() -> None:
    response = ApiError(400, "CODE", "words", details={"field": "f"}, close=True).response()

    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "error": {"code": "CODE", "message": "words", "details": {"field": "f"}}
    }
    assert (response.status, response.content_type) == (400, "application/json")
    assert response.keep_alive is False


def test_a_bad_field_says_what_was_given_and_what_is_allowed() -> None:
    error = bad_field(field="side", value="LONG", allowed="BUY, SELL")

    assert error.message == 'side is "LONG"; allowed: BUY, SELL'


def test_a_long_value_is_cut_and_measured() -> None:
    assert shown("x" * 1000) == '"' + "x" * 63 + "… (1002 characters)"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnknownAccount("DU9"), (404, "UNKNOWN_ACCOUNT")),
        (UnknownOrder("1-1"), (404, "UNKNOWN_ORDER")),
        (UnknownSession("spare"), (404, "UNKNOWN_SESSION")),
        (NotModifiable("it is FILLED"), (409, "NOT_MODIFIABLE")),
        (EngineDraining(), (503, "DRAINING")),
        (JournalUnavailable(), (503, "JOURNAL_UNAVAILABLE")),
        (JournalFull(), (503, "JOURNAL_FULL")),
    ],
)
def test_the_engines_refusals_have_their_status(
    error: Exception, expected: tuple[int, str]
) -> None:
    answer = from_engine(error)

    assert answer is not None
    assert (answer.status, answer.code) == expected


def test_what_the_engine_did_not_mean_to_raise_is_nobodys_answer() -> None:
    assert from_engine(ValueError("x")) is None


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (web.HTTPNotFound(), (404, "NOT_FOUND")),
        (web.HTTPMethodNotAllowed("PATCH", ["GET"]), (405, "METHOD_NOT_ALLOWED")),
        (web.HTTPExpectationFailed(), (417, "EXPECTATION_FAILED")),
    ],
)
def test_what_aiohttp_refuses_is_told_in_our_words(
    error: web.HTTPException, expected: tuple[int, str]
) -> None:
    answer = from_http(error)

    assert (answer.status, answer.code) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("LONG", "LONG"),
        (7, 7),
        (None, None),
        (Decimal("-1.50"), "-1.50"),
        ({"a": 1}, '{"a":1}'),
        ("x" * 65, "x" * 63 + "… (67 characters)"),
    ],
)
def test_details_hold_short_values_as_they_are(value: object, expected: object) -> None:
    assert detail(value) == expected


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INSTRUMENT_UNKNOWN", 404),
        ("SEC_TYPE_UNSUPPORTED", 400),
        ("QUERY_INVALID", 400),
        ("BAD_PERIOD", 400),
        ("TIMEOUT", 503),
    ],
)
def test_only_what_the_client_can_mend_is_its_fault(code: str, status: int) -> None:
    assert from_reason(Reason(code=code, message="because")).status == status


def test_a_session_that_is_not_there_is_named_with_those_that_are() -> None:
    error = unknown_session("spare", ["main"])

    assert error.message == 'session is "spare"; this engine has no such session'
    assert error.details == {"field": "name", "value": "spare", "allowed": ["main"]}


def test_contracts_of_a_month_are_named_by_conid_and_expiry() -> None:
    future = replace(INSTRUMENT, conid=ConId(7), sec_type="FUT", expiry="20270120")

    error = ambiguous(AmbiguousSymbol(symbol="CL", candidates=(future,), count=1))

    assert error.message == (
        'symbol is "CL", which may mean several contracts; name one by its conid: 7 (20270120)'
    )


def test_steps_to_an_option_are_named_by_what_they_still_want() -> None:
    step = replace(
        INSTRUMENT, conid=ConId(0), sec_type="OPT", expiry="202612", strike=Decimal("217.50")
    )

    error = ambiguous(AmbiguousSymbol(symbol="AAPL", candidates=(step,), count=90))

    assert error.message.endswith("expiry, strike and right: 202612 217.50 … (90 in all)")
    assert error.details["count"] == 90
    assert error.body()["details"]["candidates"][0] == {  # type: ignore[index] # a dict
        "conid": None,
        "symbol": "AAPL",
        "sec_type": "OPT",
        "exchange": "NASDAQ",
        "currency": "USD",
        "name": "APPLE INC",
        "expiry": "202612",
        "strike": Decimal("217.50"),
        "right": None,
    }

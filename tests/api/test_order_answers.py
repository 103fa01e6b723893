from dataclasses import replace
from decimal import Decimal

from engine.api.order_answers import ExternalOrderBody, OrderBody, TermsBody
from engine.domain.values import BrokerOrderId, OrderRow, OrderState, Pending, Reason, Terms
from engine.domain.views import ExternalOrderView
from tests.api.fake_engine import ACCOUNT, NOON_NS, ORDER, SESSION


def test_an_order_shows_no_exponent_and_no_digest() -> None:
    view = replace(
        ORDER,
        quantity=Decimal("1E+3"),
        filled_quantity=Decimal("0E-2"),
        average_price=None,
        state=OrderState.REJECTED,
        reason=Reason(code="R", message="m"),
    )

    text = OrderBody.of(view).model_dump_json()

    assert '"quantity":"1000","filled_quantity":"0.00","remaining_quantity":"1000.00"' in text
    assert '"reason":{"code":"R","message":"m"}' in text
    assert view.request_sha256 not in text


def test_an_order_for_an_amount_of_money_counts_no_units() -> None:
    view = replace(ORDER, quantity=Decimal(0), cash_quantity=Decimal(500), quantity_max=Decimal(3))

    body = OrderBody.of(view)

    assert (body.quantity, body.remaining_quantity) == (None, None)
    assert (body.cash_quantity, body.filled_quantity) == (Decimal(500), ORDER.filled_quantity)


def test_the_terms_that_a_modify_wants_are_shown_beside_those_in_force() -> None:
    wanted = Terms(quantity=Decimal(12), limit_price=Decimal("190.10"), stop_price=None)

    body = OrderBody.of(replace(ORDER, pending=Pending.REPLACE, wanted=wanted))

    assert (body.quantity, body.limit_price) == (ORDER.quantity, ORDER.limit_price)
    assert body.wanted == TermsBody(
        quantity=Decimal(12), limit_price=Decimal("190.10"), stop_price=None
    )


def test_somebody_elses_order_shows_null_for_what_was_never_told() -> None:
    row = OrderRow(account=ACCOUNT, broker_order_id=BrokerOrderId("7"), unknown_status="Odd")
    view = ExternalOrderView(session=SESSION.name, row=row, seen_at_ns=NOON_NS)

    body = ExternalOrderBody.of(view).model_dump(mode="json")

    told = {name: value for name, value in body.items() if value is not None}
    assert told == {
        "session": "main",
        "broker_order_id": "7",
        "status": "Odd",
        "seen_at": "2025-11-22T12:00:00.123456Z",
    }

"""The bodies that these tests answer with are those that the API's own models make."""

from typing import Any

import pytest
from pydantic import BaseModel

from engine.api import answers, market_answers, order_answers
from tests.cli import bodies


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (order_answers.OrdersAnswer, bodies.ORDERS),
        (order_answers.CancelAnswer, bodies.CANCELLING),
        (order_answers.OrderBody, bodies.PARKED),
        (order_answers.OrderBody, bodies.BRACKET),
        (order_answers.OrderEventsAnswer, bodies.ORDER_EVENTS),
        (order_answers.DeniedAnswer, bodies.REFUSED),
        (order_answers.ExternalOrdersAnswer, bodies.EXTERNAL_ORDERS),
        (answers.SessionsAnswer, bodies.SESSIONS),
        (answers.AccountsAnswer, bodies.ACCOUNTS),
        (answers.PositionsAnswer, bodies.POSITIONS),
        (answers.LimitsAnswer, bodies.LIMITS),
        (answers.HaltAnswer, bodies.HALTED),
        (answers.ResumeAnswer, bodies.RESUMED),
        (answers.DrainAnswer, bodies.DRAINING),
        (answers.EventBody, bodies.EVENT),
        (market_answers.InstrumentsAnswer, bodies.INSTRUMENTS),
        (market_answers.QuotesAnswer, bodies.QUOTES),
        (market_answers.BarsAnswer, bodies.BARS),
    ],
)
def test_the_body_is_one_that_the_api_makes(model: type[BaseModel], body: dict[str, Any]) -> None:
    made = model.model_validate(body)

    assert made.model_dump(mode="json") == body

"""Brackets and groups where one cancels all, algorithms and dates: what a submit answers."""

import asyncio
from typing import Any

from engine.domain.values import GroupKind, Reason
from tests.api.fake_engine import FakeEngine, serving
from tests.api.test_order import BODY, ORDERS, SHOWN

PROFIT = {"type": "LMT", "limit_price": "200"}
LOSS = {"type": "STP", "stop_price": "180", "tif": "GTC"}
BRACKET = BODY | {"legs": [PROFIT, LOSS]}


def shown(**changes: Any) -> dict[str, Any]:
    return SHOWN | {"group": "bracket", "leader_order_id": "1-1"} | changes


PROFIT_SHOWN = shown(
    order_id="1-2", client_order_id="mine-1:1", side="SELL", limit_price="200", seq=2
)
LOSS_SHOWN = shown(
    order_id="1-3",
    client_order_id="mine-1:2",
    side="SELL",
    type="STP",
    limit_price=None,
    stop_price="180",
    tif="GTC",
    seq=3,
)


def test_a_bracket_is_answered_with_its_entry_and_its_legs() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, order = await client.ask("POST", ORDERS, body=BRACKET)

            assert (status, order) == (202, shown(legs=[PROFIT_SHOWN, LOSS_SHOWN]))
            assert client.engine.submitted[0].group is GroupKind.BRACKET

    asyncio.run(scene())


def test_a_bracket_is_shown_with_its_legs_and_listed_order_by_order() -> None:
    async def scene() -> None:
        async with serving() as client:
            await client.ask("POST", ORDERS, body=BODY | {"client_order_id": "another"})
            await client.ask("POST", ORDERS, body=BRACKET)

            _, entry = await client.ask("GET", "/v1/orders/1-2")
            _, leg = await client.ask("GET", "/v1/orders/1-3")
            _, listed = await client.ask("GET", "/v1/orders")

            assert [each["order_id"] for each in entry["legs"]] == ["1-3", "1-4"]
            assert (leg["leader_order_id"], leg["legs"]) == ("1-2", [])
            assert [(each["order_id"], each["legs"]) for each in listed["orders"]] == [
                (f"1-{number}", []) for number in (4, 3, 2, 1)
            ]

    asyncio.run(scene())


def test_legs_are_as_they_are_when_the_wait_is_over() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, order = await client.ask("POST", ORDERS + "?wait=ack", body=BRACKET)

            assert (status, order["state"]) == (202, "WORKING")
            assert [leg["state"] for leg in order["legs"]] == ["SUBMITTING"] * 2

    asyncio.run(scene())


def test_a_group_that_is_denied_shows_every_leg() -> None:
    async def scene() -> None:
        reason = Reason(code="POSITION_LIMIT", message="limit is 5 units")
        async with serving(FakeEngine(deny=reason)) as client:
            status, answer = await client.ask("POST", ORDERS, body=BRACKET)

            assert (status, answer["error"]["code"]) == (422, "POSITION_LIMIT")
            assert [leg["state"] for leg in answer["order"]["legs"]] == ["DENIED"] * 2

    asyncio.run(scene())


def test_an_algorithm_and_a_date_are_shown_as_they_were_asked_for() -> None:
    async def scene() -> None:
        body = BODY | {
            "tif": "GTD",
            "good_till": "2026-12-18T16:00:00-05:00",
            "algo": {"name": "Adaptive", "parameters": {"adaptivePriority": "Urgent"}},
        }
        async with serving() as client:
            status, order = await client.ask("POST", ORDERS, body=body)

            parameter = {"name": "adaptivePriority", "value": "Urgent", "kind": "text"}
            assert (status, order) == (
                202,
                SHOWN
                | {
                    "tif": "GTD",
                    "good_till": "2026-12-18T21:00:00.000000Z",
                    "algo": {"name": "Adaptive", "parameters": [parameter]},
                },
            )

    asyncio.run(scene())


def test_a_wrong_leg_is_named_and_nothing_is_submitted() -> None:
    async def scene() -> None:
        async with serving() as client:
            body = BODY | {"legs": [PROFIT, LOSS | {"quantity": "11"}]}
            status, answer = await client.ask("POST", ORDERS, body=body)

            assert (status, answer["error"]) == (
                400,
                {
                    "code": "BAD_FIELD",
                    "message": (
                        'legs.1.quantity is "11"; allowed: at most 10, the entry\'s quantity'
                    ),
                    "details": {
                        "field": "legs.1.quantity",
                        "value": "11",
                        "allowed": "at most 10, the entry's quantity",
                    },
                },
            )
            assert client.engine.submitted == []

    asyncio.run(scene())

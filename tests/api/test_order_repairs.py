"""What people do when the engine cannot know: resolve, adopt, and read the whole story."""

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.api.token import TokenScope
from engine.domain.ports import JournalUnavailable, NotResolvable, ResolveRequest
from engine.domain.values import (
    BrokerOrderId,
    Evidence,
    OrderId,
    OrderState,
    OrderType,
    Resolution,
)
from engine.domain.views import EventView
from tests.api.fake_engine import ACCOUNT, NOON_NS, ORDER, FakeEngine, serving, token

RESOLVE = "/v1/orders/1-1/resolve"
EVENTS = "/v1/orders/1-1/events"
ADOPT = f"/v1/accounts/{ACCOUNT}/external/987/adopt"
PARKED = replace(
    ORDER,
    state=OrderState.PARKED,
    broker_order_id=None,
    other_broker_order_ids=(BrokerOrderId("55"),),
    evidence=Evidence(
        elapsed_ms=200_000,
        healthy_ms=180_000,
        horizon_ms=60_000,
        list_reads=0,
        trade_reads=12,
        canaries=(BrokerOrderId("77"),),
        same_login=True,
        missing=("3 fresh lists",),
    ),
)
BY = f"api:{token().id}"


def parked(**changes: Any) -> FakeEngine:
    view = replace(PARKED, **changes)
    return FakeEngine(order_views={view.order_id: view})


@pytest.mark.parametrize(
    ("body", "request_", "state"),
    [
        (
            {"as": "not_placed", "reason": "the desk called the broker", "approved_by": "J Doe"},
            ResolveRequest(
                resolution=Resolution.NOT_PLACED,
                reason="the desk called the broker",
                approved_by="J Doe",
            ),
            "NOT_PLACED",
        ),
        (
            {"as": "live", "broker_order_id": "8899", "reason": "seen in the blotter"},
            ResolveRequest(
                resolution=Resolution.LIVE,
                reason="seen in the blotter",
                broker_order_id=BrokerOrderId("8899"),
            ),
            "PENDING_NEW",
        ),
        (
            {"as": "filled", "quantity": 4, "price": "189.10", "reason": "on the statement"},
            ResolveRequest(
                resolution=Resolution.FILLED,
                reason="on the statement",
                quantity=Decimal(4),
                price=Decimal("189.1"),
            ),
            "FILLED",
        ),
        (
            {"as": "filled", "reason": "on the statement"},
            ResolveRequest(resolution=Resolution.FILLED, reason="on the statement"),
            "FILLED",
        ),
    ],
)
def test_a_person_says_what_became_of_an_order(
    body: object, request_: ResolveRequest, state: str
) -> None:
    async def scene() -> None:
        async with serving(parked()) as client:
            status, order = await client.ask("POST", RESOLVE, body=body)

            assert (status, order["state"]) == (202, state)
            assert client.engine.resolved == [(OrderId("1-1"), request_, BY)]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("BAD_FIELD", "as")),
        ({"as": "NOT_PLACED", "reason": "x"}, ("BAD_FIELD", "as")),
        ({"as": "not_placed"}, ("BAD_FIELD", "reason")),
        ({"as": "not_placed", "reason": " "}, ("BAD_FIELD", "reason")),
        ({"as": "not_placed", "reason": "x", "quantity": 1}, ("BAD_FIELD", "quantity")),
        (
            {"as": "not_placed", "reason": "x", "broker_order_id": "5"},
            ("BAD_FIELD", "broker_order_id"),
        ),
        ({"as": "live", "reason": "x"}, ("BAD_FIELD", "broker_order_id")),
        (
            {"as": "live", "reason": "x", "broker_order_id": "a/b"},
            ("BAD_FIELD", "broker_order_id"),
        ),
        (
            {"as": "live", "reason": "x", "broker_order_id": "5", "price": 1},
            ("BAD_FIELD", "price"),
        ),
        ({"as": "filled", "reason": "x", "quantity": 0}, ("BAD_FIELD", "quantity")),
        ({"as": "filled", "reason": "x", "approved_by": "a\nb"}, ("BAD_FIELD", "approved_by")),
        ({"resolution": "live", "reason": "x"}, ("BAD_FIELD", "as")),
        ({"as": "filled", "reason": "x", "colour": 1}, ("UNKNOWN_FIELD", "colour")),
    ],
)
def test_a_wrong_word_about_an_order_is_refused_by_name(
    body: object, expected: tuple[str, str]
) -> None:
    async def scene() -> None:
        async with serving(parked()) as client:
            status, answer = await client.ask("POST", RESOLVE, body=body)

            error = answer["error"]
            assert (status, error["code"], error["details"]["field"]) == (400, *expected)
            assert client.engine.resolved == []

    asyncio.run(scene())


def test_what_filled_without_a_limit_price_needs_one() -> None:
    async def scene() -> None:
        async with serving(parked(type=OrderType.MKT, limit_price=None)) as client:
            body = {"as": "filled", "reason": "x"}
            refused, answer = await client.ask("POST", RESOLVE, body=body)
            done, _ = await client.ask("POST", RESOLVE, body=body | {"price": "5"})

            assert (refused, done) == (400, 202)
            assert answer["error"]["message"] == (
                "price is null; allowed: the price that it filled at; order 1-1 has no limit price"
            )

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (parked(state=OrderState.WORKING), (409, "NOT_RESOLVABLE")),
        (FakeEngine(), (404, "UNKNOWN_ORDER")),
        (
            FakeEngine(order_views={PARKED.order_id: PARKED}, fail=NotResolvable("no")),
            (409, "NOT_RESOLVABLE"),
        ),
        (
            FakeEngine(order_views={PARKED.order_id: PARKED}, fail=JournalUnavailable()),
            (503, "JOURNAL_UNAVAILABLE"),
        ),
    ],
)
def test_an_order_that_is_not_in_doubt_is_nobodys_to_declare(
    engine: FakeEngine, expected: tuple[int, str]
) -> None:
    async def scene() -> None:
        async with serving(engine) as client:
            body = {"as": "not_placed", "reason": "x"}
            status, answer = await client.ask("POST", RESOLVE, body=body)

            assert (status, answer["error"]["code"]) == expected
            assert client.engine.resolved == []

    asyncio.run(scene())


@pytest.mark.parametrize("path", [RESOLVE, ADOPT])
def test_who_may_only_read_decides_nothing(path: str) -> None:
    async def scene() -> None:
        async with serving(parked(), token=token(TokenScope.READ)) as client:
            status, answer = await client.ask(
                "POST", path, body={"as": "not_placed", "reason": "x"}
            )

            assert (status, answer["error"]["code"]) == (403, "READ_ONLY_TOKEN")
            assert (client.engine.resolved, client.engine.adopted) == ([], [])

    asyncio.run(scene())


def test_an_order_that_nobody_could_find_shows_its_evidence() -> None:
    async def scene() -> None:
        async with serving(parked()) as client:
            _, order = await client.ask("GET", "/v1/orders/1-1")

            assert order["evidence"] == {
                "elapsed_ms": 200_000,
                "healthy_ms": 180_000,
                "horizon_ms": 60_000,
                "list_reads": 0,
                "trade_reads": 12,
                "canaries": ["77"],
                "same_login": True,
                "positions_agree": None,
                "missing": ["3 fresh lists"],
            }
            assert order["other_broker_order_ids"] == ["55"]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("body", "cancel", "pending"),
    [({}, False, "none"), ({"cancel": False}, False, "none"), ({"cancel": True}, True, "cancel")],
)
def test_somebody_elses_order_becomes_ours(
    body: dict[str, object],
    cancel: bool,  # noqa: FBT001 - a table's value
    pending: str,
) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, order = await client.ask("POST", ADOPT, body=body | {"reason": "our desk's"})

            assert (status, order["adopted"], order["broker_order_id"], order["pending"]) == (
                202, True, "987", pending,
            )  # fmt: skip
            assert client.engine.adopted == [("987", cancel, f"{BY}: our desk's")]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        (ADOPT, {}, (400, "BAD_FIELD")),
        (ADOPT, {"reason": "x", "cancel": "yes"}, (400, "BAD_FIELD")),
        (ADOPT, {"reason": "x", "quantity": 1}, (400, "UNKNOWN_FIELD")),
        (ADOPT.replace("987", "9%2087"), {"reason": "x"}, (400, "BAD_FIELD")),
        (ADOPT.replace("987", "988"), {"reason": "x"}, (404, "UNKNOWN_EXTERNAL_ORDER")),
        (ADOPT.replace(ACCOUNT, "DU9"), {"reason": "x"}, (404, "UNKNOWN_ACCOUNT")),
    ],
)
def test_an_order_that_cannot_be_adopted_is_refused(
    path: str, body: object, expected: tuple[int, str]
) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("POST", path, body=body)

            assert (status, answer["error"]["code"]) == expected
            assert client.engine.adopted == []

    asyncio.run(scene())


def test_an_order_that_cannot_be_ours_says_why() -> None:
    async def scene() -> None:
        async with serving(FakeEngine(fail=NotResolvable("its type is not known"))) as client:
            status, answer = await client.ask("POST", ADOPT, body={"reason": "x"})

            assert (status, answer["error"]["message"]) == (409, "its type is not known")

    asyncio.run(scene())


def test_the_whole_story_of_an_order_is_told_in_records_and_in_words() -> None:
    async def scene() -> None:
        bodies = {"ATTEMPT": {"number": 1, "session_epoch": 4}, "LATER": {"new": [1]}}
        records = tuple(
            EventView(
                seq=seq,
                at_ns=NOON_NS,
                type=type_,
                account=ACCOUNT,
                order_id=OrderId("1-1"),
                body=json.dumps(body).encode(),
            )
            for seq, (type_, body) in enumerate(bodies.items(), 7)
        )
        engine = FakeEngine(order_views={ORDER.order_id: ORDER}, stories={ORDER.order_id: records})
        async with serving(engine) as client:
            status, answer = await client.ask("GET", EVENTS)

            at = "2025-11-22T12:00:00.123456Z"
            assert (status, answer) == (
                200,
                {
                    "order_id": "1-1",
                    "events": [
                        {
                            "seq": seq,
                            "at": at,
                            "type": type_,
                            "account": "DU1234567",
                            "order_id": "1-1",
                            "body": body,
                        }
                        for seq, (type_, body) in enumerate(bodies.items(), 7)
                    ],
                    "story": [
                        {
                            "seq": 7,
                            "at": at,
                            "text": "ATTEMPT: attempt 1 to send it, in login 4; "
                            "from here on it may be at the broker",
                        },
                        {"seq": 8, "at": at, "text": "LATER"},
                    ],
                },
            )

    asyncio.run(scene())


def test_the_story_of_an_order_that_is_not_there_is_not_found() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("GET", EVENTS)

            assert (status, answer["error"]["code"]) == (404, "UNKNOWN_ORDER")

    asyncio.run(scene())


def test_orders_that_were_never_placed_are_listed_by_their_state() -> None:
    async def scene() -> None:
        async with serving(parked(state=OrderState.NOT_PLACED)) as client:
            status, answer = await client.ask("GET", "/v1/orders?state=NOT_PLACED")

            assert (status, [each["state"] for each in answer["orders"]]) == (200, ["NOT_PLACED"])
            assert client.engine.wanted[0].state is OrderState.NOT_PLACED

    asyncio.run(scene())

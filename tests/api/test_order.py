import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.api.submit import SubmitBody
from engine.api.token import TokenScope
from engine.domain.ports import (
    AmbiguousSymbol,
    ChangeRefused,
    EngineDraining,
    JournalUnavailable,
    NotModifiable,
    OrderFilter,
    SubmitRequest,
    SubmitResult,
    TermsChange,
    UnknownAccount,
)
from engine.domain.values import (
    ClientOrderId,
    ConId,
    OrderId,
    OrderState,
    OrderType,
    Reason,
    Side,
    Ticket,
    TimeInForce,
)
from engine.domain.views import OrderView
from tests.api.fake_engine import (
    ACCOUNT,
    INSTRUMENT,
    ORDER,
    FakeEngine,
    serving,
    token,
)

ORDERS = f"/v1/accounts/{ACCOUNT}/orders"
ORDER_1 = "/v1/orders/1-1"
BODY = {
    "client_order_id": "mine-1",
    "conid": 265598,
    "side": "BUY",
    "type": "LMT",
    "quantity": "10",
    "limit_price": "189.30",
    "tif": "DAY",
}
SHOWN = {
    "order_id": "1-1",
    "client_order_id": "mine-1",
    "account": "DU1234567",
    "conid": 265598,
    "symbol": "AAPL",
    "side": "BUY",
    "type": "LMT",
    "quantity": "10",
    "filled_quantity": "0",
    "remaining_quantity": "10",
    "average_price": None,
    "limit_price": "189.3",
    "stop_price": None,
    "tif": "DAY",
    "strategy": None,
    "state": "SUBMITTING",
    "pending": "none",
    "confidence": "confirmed",
    "reason": None,
    "broker_order_id": None,
    "created_at": "2025-11-22T12:00:00.123456Z",
    "updated_at": "2025-11-22T12:00:01.123456Z",
    "seq": 1,
    "sec_type": "STK",
    "cash_quantity": None,
    "trailing_type": None,
    "trailing_amount": None,
    "cap_price": None,
    "outside_rth": False,
    "wanted": None,
    "group": None,
    "leader_order_id": None,
    "legs": [],
    "algo": None,
    "good_till": None,
    "adopted": False,
    "evidence": None,
    "other_broker_order_ids": [],
    "quantity_extra": "0",
    "unprotected": [],
}


def test_a_submit_is_answered_with_the_durable_order() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, order = await client.ask("POST", ORDERS, body=BODY)

            assert (status, order) == (202, SHOWN)
            assert client.engine.submitted == [
                SubmitRequest(
                    ticket=Ticket(
                        account=ACCOUNT,
                        client_order_id=ClientOrderId("mine-1"),
                        conid=ConId(265598),
                        symbol="",
                        side=Side.BUY,
                        type=OrderType.LMT,
                        quantity=Decimal(10),
                        limit_price=Decimal("189.3"),
                        tif=TimeInForce.DAY,
                    ),
                    query=None,
                    request_sha256=client.engine.submitted[0].request_sha256,
                )
            ]

    asyncio.run(scene())


def test_the_same_key_and_body_give_the_same_order_in_any_spelling() -> None:
    async def scene() -> None:
        async with serving() as client:
            first = await client.ask("POST", ORDERS, body=BODY)
            text = (
                b'{"tif":"DAY","limit_price":189.3000,"quantity":1e1,"type":"LMT","side":"BUY",'
                b'"conid":265598,"client_order_id":"mine-1","outside_rth":false,"strategy":null}'
            )
            again = await client.ask(
                "POST", ORDERS, data=text, headers={"Content-Type": "application/json"}
            )

            assert first == again == (202, SHOWN)
            assert len(client.engine.submitted) == 1

    asyncio.run(scene())


def test_an_order_shows_every_field_that_was_asked_for() -> None:
    async def scene() -> None:
        trail = {
            "client_order_id": "mine-1",
            "symbol": "BTC",
            "sec_type": "CRYPTO",
            "side": "SELL",
            "type": "TRAIL",
            "cash_quantity": "500.50",
            "trailing_type": "percent",
            "trailing_amount": "2.5",
            "stop_price": 90000,
            "tif": "PAX",
            "outside_rth": True,
        }
        async with serving() as client:
            status, order = await client.ask("POST", ORDERS, body=trail)

            asked = {
                "sec_type": "CRYPTO", "side": "SELL", "type": "TRAIL", "quantity": None,
                "remaining_quantity": None, "cash_quantity": "500.5", "trailing_type": "%",
                "trailing_amount": "2.5", "stop_price": "90000", "limit_price": None,
                "tif": "PAX", "outside_rth": True,
            }  # fmt: skip
            assert (status, order) == (202, SHOWN | asked)

    asyncio.run(scene())


def test_a_hundred_submits_of_one_key_at_once_make_one_order() -> None:
    async def scene() -> None:
        async with serving() as client:
            answers = await asyncio.gather(
                *(client.ask("POST", ORDERS, body=BODY) for _ in range(100))
            )

            assert answers == [(202, SHOWN)] * 100
            assert len(client.engine.submitted) == 1

    asyncio.run(scene())


def test_the_same_key_with_another_body_is_a_conflict() -> None:
    async def scene() -> None:
        async with serving() as client:
            await client.ask("POST", ORDERS, body=BODY)
            status, answer = await client.ask("POST", ORDERS, body=BODY | {"quantity": "11"})

            assert (status, answer["error"]["code"]) == (409, "CLIENT_ORDER_ID_CONFLICT")
            assert answer["error"]["details"]["order_id"] == "1-1"
            assert len(client.engine.submitted) == 1

    asyncio.run(scene())


OVER = (
    "account=DU1 quantity=501 units limit=500 units (order.max_qty.STK, risk.yaml:12) sec_type=STK"
)
OVER_FIGURES = {
    "account": "DU1",
    "field": "quantity",
    "value": "501",
    "unit": "units",
    "allowed": "500",
    "limit": "order.max_qty.STK",
    "source": "risk.yaml:12",
    "inputs": {"sec_type": "STK"},
}


@pytest.mark.parametrize(("message", "details"), [("the engine halts", {}), (OVER, OVER_FIGURES)])
def test_a_denied_order_is_shown_with_its_reason_now_and_when_repeated(
    message: str, details: dict[str, object]
) -> None:
    async def scene() -> None:
        reason = Reason(code="QTY_EXCEEDS_MAX", message=message)
        async with serving(FakeEngine(deny=reason)) as client:
            first = await client.ask("POST", ORDERS + "?wait=ack", body=BODY)
            again = await client.ask("POST", ORDERS, body=BODY)

            words = {"code": "QTY_EXCEEDS_MAX", "message": message}
            assert first == again
            assert first == (
                422,
                {
                    "order": SHOWN | {"state": "DENIED", "reason": words},
                    "error": words | {"details": details},
                },
            )

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("query", "waited", "state"),
    [
        ("?wait=ack", (OrderId("1-1"), False, 10_000), "WORKING"),
        ("?wait=terminal&timeout=2.5", (OrderId("1-1"), True, 2_500), "FILLED"),
    ],
)
def test_a_submit_can_wait(query: str, waited: tuple[OrderId, bool, int], state: str) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, order = await client.ask("POST", ORDERS + query, body=BODY)

            assert (status, order["state"]) == (202, state)
            assert client.engine.waits == [waited]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?wait=fill", "wait"),
        ("?timeout=3", "timeout"),
        ("?wait=ack&timeout=0", "timeout"),
        ("?wait=ack&timeout=301", "timeout"),
        ("?wait=ack&timeout=nan", "timeout"),
        ("?wait=ack&wait=terminal", "wait"),
        ("?await=ack", "await"),
    ],
)
def test_a_wait_that_is_not_understood_submits_nothing(query: str, field: str) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("POST", ORDERS + query, body=BODY)

            assert (status, answer["error"]["details"]["field"]) == (400, field)
            assert client.engine.submitted == []

    asyncio.run(scene())


def test_an_ambiguous_symbol_lists_the_conids() -> None:
    async def scene() -> None:
        other = replace(INSTRUMENT, conid=ConId(38708077), exchange="LSE", currency="GBP")
        engine = FakeEngine(
            symbols={"AAPL": AmbiguousSymbol(symbol="AAPL", candidates=(INSTRUMENT, other))}
        )
        body = {name: value for name, value in BODY.items() if name != "conid"}
        async with serving(engine) as client:
            status, answer = await client.ask("POST", ORDERS, body=body | {"symbol": "AAPL"})

            error = answer["error"]
            assert (status, error["code"]) == (400, "AMBIGUOUS_SYMBOL")
            assert [each["conid"] for each in error["details"]["candidates"]] == [265598, 38708077]
            assert "265598, 38708077" in error["message"]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (EngineDraining(), (503, "DRAINING")),
        (JournalUnavailable(), (503, "JOURNAL_UNAVAILABLE")),
        (UnknownAccount("DU1234567"), (404, "UNKNOWN_ACCOUNT")),
        (RuntimeError("secret words"), (500, "INTERNAL")),
    ],
)
def test_what_the_engine_cannot_do_has_its_status(
    failure: Exception, expected: tuple[int, str]
) -> None:
    async def scene() -> None:
        async with serving(FakeEngine(fail=failure)) as client:
            status, answer = await client.ask("POST", ORDERS, body=BODY)

            assert (status, answer["error"]["code"]) == expected
            assert "secret words" not in str(answer)

    asyncio.run(scene())


def test_an_unknown_account_is_not_found_and_the_known_ones_are_named() -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("POST", "/v1/accounts/DU9/orders", body=BODY)

            assert (status, answer["error"]) == (
                404,
                {
                    "code": "UNKNOWN_ACCOUNT",
                    "message": 'account is "DU9"; no session of this engine has it',
                    "details": {"field": "account", "value": "DU9", "allowed": ["DU1234567"]},
                },
            )

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b'{"quantity": NaN}', "BAD_JSON", "NaN is not a JSON number"),
        (b'{"quantity": -Infinity}', "BAD_JSON", "-Infinity is not"),
        (b'{"side": "BUY", "side": "SELL"}', "BAD_JSON", '"side" is given twice'),
        (b"\xff{}", "BAD_JSON", "byte 0 is not UTF-8"),
        (b"[" * 5000, "BAD_JSON", "nested too deeply"),
        (b"[1]", "BAD_FIELD", "a JSON object"),
        (b"", "BAD_JSON", "line 1 column 1"),
    ],
)
def test_a_body_that_is_not_strict_json_submits_nothing(body: bytes, code: str, words: str) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask(
                "POST", ORDERS, data=body, headers={"Content-Type": "application/json"}
            )

            assert (status, answer["error"]["code"]) == (400, code)
            assert words in answer["error"]["message"]
            assert client.engine.submitted == []

    asyncio.run(scene())


def test_a_read_only_token_lists_orders_and_submits_none() -> None:
    async def scene() -> None:
        async with serving(token=token(TokenScope.READ)) as client:
            listed = await client.ask("GET", "/v1/orders")
            status, answer = await client.ask("POST", ORDERS, body=BODY)

            assert listed == (200, {"orders": [], "truncated": False})
            assert (status, answer["error"]["code"]) == (403, "READ_ONLY_TOKEN")
            assert client.engine.submitted == []

    asyncio.run(scene())


def test_a_listing_filters_and_says_when_there_is_more() -> None:
    async def scene() -> None:
        views = {
            OrderId(f"1-{number}"): replace(ORDER, order_id=OrderId(f"1-{number}"), seq=number)
            for number in (1, 2, 3)
        }
        query = "account=DU1234567&state=WORKING&open=true&client_order_id=mine-1&limit=2"
        async with serving(FakeEngine(order_views=views)) as client:
            status, answer = await client.ask("GET", f"/v1/orders?{query}")

            assert status == 200
            assert [order["order_id"] for order in answer["orders"]] == ["1-3", "1-2"]
            assert answer["truncated"] is True
            assert client.engine.wanted == [
                OrderFilter(
                    account=ACCOUNT,
                    state=OrderState.WORKING,
                    open_only=True,
                    client_order_id=ClientOrderId("mine-1"),
                    limit=3,
                )
            ]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("state=working", (400, "BAD_FIELD")),
        ("open=yes", (400, "BAD_FIELD")),
        ("limit=0", (400, "BAD_FIELD")),
        ("limit=1001", (400, "BAD_FIELD")),
        ("colour=red", (400, "UNKNOWN_FIELD")),
        ("account=DU9", (404, "UNKNOWN_ACCOUNT")),
    ],
)
def test_a_filter_that_cannot_be_is_an_error(query: str, expected: tuple[int, str]) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask("GET", f"/v1/orders?{query}")

            assert (status, answer["error"]["code"]) == expected

    asyncio.run(scene())


def test_an_order_is_shown_and_cancelled_by_its_id() -> None:
    async def scene() -> None:
        async with serving(FakeEngine(order_views={ORDER.order_id: ORDER})) as client:
            shown = await client.ask("GET", "/v1/orders/1-1")
            cancelled = await client.ask("DELETE", "/v1/orders/1-1")

            assert shown[0] == 200
            assert shown[1]["remaining_quantity"] == "6"
            assert cancelled == (202, shown[1] | {"pending": "cancel", "warning": None})
            assert client.engine.cancels == [(OrderId("1-1"), f"api:{token().id}")]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("method", "body"), [("GET", None), ("DELETE", None), ("PATCH", {"quantity": "1"})]
)
def test_an_order_that_is_not_there_is_not_found(method: str, body: object) -> None:
    async def scene() -> None:
        async with serving() as client:
            status, answer = await client.ask(method, "/v1/orders/1-9", body=body)

            assert (status, answer["error"]["code"]) == (404, "UNKNOWN_ORDER")
            assert '"1-9"' in answer["error"]["message"]

    asyncio.run(scene())


def test_what_cannot_be_done_to_an_order_is_refused_by_name() -> None:
    async def scene() -> None:
        async with serving() as client:
            replaced = await client.ask("PUT", "/v1/orders/1-1", body={"quantity": "1"})

            assert replaced[0] == 405
            assert replaced[1]["error"]["details"]["allowed"] == ["DELETE", "GET", "PATCH"]

    asyncio.run(scene())


def test_new_terms_are_asked_for_and_shown_as_wanted() -> None:
    async def scene() -> None:
        async with serving(FakeEngine(order_views={ORDER.order_id: ORDER})) as client:
            status, order = await client.ask(
                "PATCH", ORDER_1, body={"limit_price": "190.10", "quantity": 12}
            )
            _, before = await client.ask("GET", ORDER_1)

            wanted = {"quantity": "12", "limit_price": "190.1", "stop_price": None}
            assert (status, order) == (202, before | {"pending": "replace", "wanted": wanted})
            change = TermsChange(quantity=Decimal(12), limit_price=Decimal("190.1"))
            assert client.engine.changes == [(ORDER.order_id, change, f"api:{token().id}")]
            assert client.engine.settles == []

    asyncio.run(scene())


def test_a_modify_can_wait_until_the_broker_took_it() -> None:
    async def scene() -> None:
        async with serving(FakeEngine(order_views={ORDER.order_id: ORDER})) as client:
            status, order = await client.ask(
                "PATCH", f"{ORDER_1}?wait=settled&timeout=2.5", body={"limit_price": "190"}
            )

            assert (status, order["pending"]) == (202, "none")
            assert client.engine.settles == [(ORDER.order_id, 2_500)]

    asyncio.run(scene())


def test_terms_that_risk_refuses_leave_the_order_as_it_is() -> None:
    async def scene() -> None:
        reason = Reason(code="QTY_EXCEEDS_MAX", message=OVER)
        engine = FakeEngine(order_views={ORDER.order_id: ORDER}, fail=ChangeRefused(reason))
        async with serving(engine) as client:
            refused = await client.ask("PATCH", ORDER_1, body={"quantity": "501"})
            _, order = await client.ask("GET", ORDER_1)

            words = {"code": "QTY_EXCEEDS_MAX", "message": OVER, "details": OVER_FIGURES}
            assert refused == (422, {"order": order, "error": words})
            assert (order["pending"], order["quantity"]) == ("none", "10")

    asyncio.run(scene())


def test_an_order_that_cannot_be_changed_now_says_why() -> None:
    async def scene() -> None:
        engine = FakeEngine(
            order_views={ORDER.order_id: ORDER}, fail=NotModifiable("order 1-1 is FILLED")
        )
        async with serving(engine) as client:
            assert await client.ask("PATCH", ORDER_1, body={"quantity": "5"}) == (
                409,
                {
                    "error": {
                        "code": "NOT_MODIFIABLE",
                        "message": "order 1-1 is FILLED",
                        "details": {},
                    }
                },
            )

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("changes", "body", "expected"),
    [
        ({}, {}, ("BAD_FIELD", "quantity")),
        ({}, {"quantity": None}, ("BAD_FIELD", "quantity")),
        ({}, {"quantity": "-5"}, ("BAD_FIELD", "quantity")),
        ({}, {"quantity": 0}, ("BAD_FIELD", "quantity")),
        ({}, {"limit_price": "abc"}, ("BAD_FIELD", "limit_price")),
        ({}, {"tif": "GTC"}, ("UNKNOWN_FIELD", "tif")),
        ({}, {"stop_price": "5"}, ("BAD_FIELD", "stop_price")),
        ({"type": OrderType.MOC}, {"limit_price": "5"}, ("BAD_FIELD", "limit_price")),
        ({"type": OrderType.TRAIL}, {"limit_price": "5"}, ("BAD_FIELD", "limit_price")),
        ({"cash_quantity": Decimal(9)}, {"quantity": "5"}, ("BAD_FIELD", "quantity")),
    ],
)
def test_terms_that_the_order_does_not_have_are_refused_by_name(
    changes: dict[str, Any], body: object, expected: tuple[str, str]
) -> None:
    async def scene() -> None:
        order = replace(ORDER, **changes)
        async with serving(FakeEngine(order_views={order.order_id: order})) as client:
            status, answer = await client.ask("PATCH", ORDER_1, body=body)

            error = answer["error"]
            assert (status, error["code"], error["details"]["field"]) == (400, *expected)
            assert client.engine.changes == []

    asyncio.run(scene())


@pytest.mark.parametrize("query", ["wait=ack", "timeout=3", "wait=settled&timeout=301"])
def test_a_modify_whose_wait_is_not_understood_changes_nothing(query: str) -> None:
    async def scene() -> None:
        async with serving(FakeEngine(order_views={ORDER.order_id: ORDER})) as client:
            status, _ = await client.ask("PATCH", f"{ORDER_1}?{query}", body={"quantity": "5"})

            assert (status, client.engine.changes) == (400, [])

    asyncio.run(scene())


UNWRITTEN = Reason(code="CANCEL_NOT_JOURNALED", message="the disk is gone; it was sent")


class ForgetfulEngine(FakeEngine):
    """Its journal is gone: cancels go on from memory."""

    async def cancel(self, order_id: OrderId, *, by: str) -> OrderView:
        return replace(await super().cancel(order_id, by=by), reason=UNWRITTEN)


def test_a_cancel_that_the_journal_does_not_hold_is_sent_and_says_so() -> None:
    async def scene() -> None:
        async with serving(ForgetfulEngine(order_views={ORDER.order_id: ORDER})) as client:
            status, order = await client.ask("DELETE", ORDER_1)

            assert (status, order["pending"]) == (202, "cancel")
            assert order["warning"] == {
                "code": "CANCEL_NOT_JOURNALED",
                "message": "the disk is gone; it was sent",
            }

    asyncio.run(scene())


def test_a_cancel_that_is_not_known_to_be_durable_is_not_said_to_be_unsent() -> None:
    async def scene() -> None:
        engine = FakeEngine(order_views={ORDER.order_id: ORDER}, fail=JournalUnavailable("full"))
        async with serving(engine) as client:
            status, order = await client.ask("DELETE", ORDER_1)

            assert (status, order["order_id"]) == (202, "1-1")
            assert order["warning"] == {
                "code": "CANCEL_NOT_JOURNALED",
                "message": (
                    "the journal cannot be written, so the cancel of order 1-1 has no record; "
                    "the cancel itself is sent all the same, from memory"
                ),
            }

    asyncio.run(scene())


def test_a_cancel_with_fields_is_refused() -> None:
    async def scene() -> None:
        async with serving(FakeEngine(order_views={ORDER.order_id: ORDER})) as client:
            status, answer = await client.ask("DELETE", "/v1/orders/1-1", body={"now": True})

            assert (status, answer["error"]["code"]) == (400, "UNKNOWN_FIELD")
            assert client.engine.cancels == []

    asyncio.run(scene())


STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.decimals(allow_nan=True, allow_infinity=True).map(str),
    st.text(max_size=80),
    st.sampled_from(
        ["BUY", "LMT", "MKT", "DAY", "STP", "TRAIL", "REL", "GTD", "AAPL", "1", "0.5", "265598"]
    ),
    st.sampled_from(["OPT", "CRYPTO", "C", "USD", "202612", "amt", "%", "percent"]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)
FIELDS = [*SubmitBody.model_fields, "legs", "x"]
STRANGE_BODIES = st.lists(
    st.dictionaries(st.sampled_from(FIELDS), STRANGE, max_size=4).map(lambda some: BODY | some),
    min_size=10,
    max_size=10,
)


@settings(max_examples=20, deadline=None)
@given(bodies=STRANGE_BODIES)
def test_no_body_makes_the_server_fail_or_changes_what_it_says(bodies: list[Any]) -> None:
    async def scene() -> None:
        engine = FakeEngine(symbols={"AAPL": INSTRUMENT, "DAY": INSTRUMENT, "1": INSTRUMENT})
        async with serving(engine) as client:
            for body in bodies:
                status, answer = await client.ask("POST", ORDERS, body=body)

                if status == 202:
                    assert body["client_order_id"] == answer["client_order_id"]
                    assert body["side"] == answer["side"]
                else:
                    assert status in {400, 409}
                    assert {"code", "message", "details"} == answer["error"].keys()

    asyncio.run(scene())


class SlowEngine(FakeEngine):
    """Its submits wait, so that a client can leave meanwhile."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.entered, self.gate, self.done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def submit(self, request: SubmitRequest) -> SubmitResult:
        self.entered.set()
        await self.gate.wait()
        result = await super().submit(request)
        self.done.set()
        return result


def test_an_order_goes_on_when_its_client_leaves() -> None:
    async def scene() -> None:
        engine = SlowEngine()
        async with serving(engine) as client:
            sending = asyncio.create_task(client.ask("POST", ORDERS, body=BODY))
            await engine.entered.wait()
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            engine.gate.set()
            await asyncio.wait_for(engine.done.wait(), 5)

            assert await client.ask("GET", "/v1/orders/1-1") == (200, SHOWN)

    asyncio.run(scene())

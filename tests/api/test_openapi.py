import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # ships no types

from engine.api.openapi import docs_page, openapi
from engine.api.server import _routes
from engine.api.submit import SubmitBody
from engine.domain.values import Evidence, Mode, OrderState
from tests.api.fake_engine import ORDER, FakeEngine, event, serving

BRACKET = {
    "client_order_id": "mine-2",
    "conid": 265598,
    "side": "BUY",
    "type": "MKT",
    "quantity": "10",
    "tif": "GTD",
    "good_till": "2026-12-18T21:00:00Z",
    "algo": {"name": "Adaptive", "parameters": {"adaptivePriority": "Urgent"}},
    "legs": [{"type": "LMT", "limit_price": "200"}],
}
EVIDENCE = Evidence(
    elapsed_ms=200_000, healthy_ms=180_000, horizon_ms=60_000, list_reads=0, trade_reads=2
)
ROUTES = _routes(Mode.PAPER)
DOCUMENT: dict[str, Any] = openapi(ROUTES)


def validator(name: str) -> Any:
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    )


def test_every_schema_is_a_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]

    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)

    assert {"SubmitBody", "OrderBody", "ErrorAnswer", "EventBody"} <= schemas.keys()


def test_every_reference_leads_somewhere() -> None:
    found = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))

    assert found <= DOCUMENT["components"]["schemas"].keys()
    assert "OrderBody" in found


def test_every_route_is_described() -> None:
    described = {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }

    assert described == {(route.method, route.path) for route in ROUTES}
    assert len(described) == len(ROUTES)


def test_operation_ids_are_unique_and_responses_are_whole() -> None:
    operations = [each for path in DOCUMENT["paths"].values() for each in path.values()]

    identifiers = [operation["operationId"] for operation in operations]
    assert len(set(identifiers)) == len(identifiers)
    for operation in operations:
        assert "500" in operation["responses"]
        for response in operation["responses"].values():
            assert response["description"]
            assert response["content"]


def test_only_public_routes_need_no_token() -> None:
    public = [
        path
        for path, operations in DOCUMENT["paths"].items()
        for operation in operations.values()
        if operation.get("security") == []
    ]

    assert public == ["/livez", "/readyz", "/startupz", "/openapi.json", "/docs"]


def test_path_and_query_parameters_are_described() -> None:
    submit = DOCUMENT["paths"]["/v1/accounts/{account}/orders"]["post"]

    assert [(each["name"], each["in"], each["required"]) for each in submit["parameters"]] == [
        ("account", "path", True),
        ("wait", "query", False),
        ("timeout", "query", False),
    ]
    assert list(submit["responses"]) == [
        "202", "422", "400", "401", "403", "404", "408", "409", "413", "415", "421", "429", "500",
        "503",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"quantity": 1.5}, True),
        ({"quantity": "-1"}, False),
        ({"quantity": -1}, False),
        ({"side": "buy"}, False),
        ({"client_order_id": "a b"}, False),
        ({"colour": "red"}, False),
        ({"type": "TRAIL", "trailing_type": "%", "trailing_amount": "1"}, True),
        ({"trailing_type": "bps"}, False),
        ({"quantity": None, "cash_quantity": "9.5"}, True),
        ({"expiry": "2026-12"}, False),
        ({"tif": "GTD", "good_till": "2026-12-18T21:00:00Z"}, True),
        ({"legs": [{"type": "LMT", "limit_price": "200"}], "group": "bracket"}, True),
        ({"legs": [{"type": "LIMIT"}]}, False),
        ({"group": "oto"}, False),
        ({"algo": {"name": "Vwap", "parameters": {"maxPctVol": 0.1, "b": True}}}, True),
        ({"algo": {"name": "Vwap", "parameters": {"maxPctVol": []}}}, False),
    ],
)
def test_the_schema_and_the_model_agree_on_a_submit(change: dict[str, Any], *, good: bool) -> None:
    body = {
        "client_order_id": "mine-1",
        "conid": 265598,
        "side": "BUY",
        "type": "MKT",
        "quantity": "10",
        "tif": "DAY",
    }

    assert validator("SubmitBody").is_valid(body | change) is good
    assert SubmitBody.model_fields.keys() == (
        DOCUMENT["components"]["schemas"]["SubmitBody"]["properties"].keys()
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/livez"),
        ("get", "/readyz"),
        ("get", "/startupz"),
        ("get", "/v1/sessions"),
        ("get", "/v1/accounts"),
        ("get", "/v1/accounts/{account}"),
        ("get", "/v1/accounts/{account}/positions"),
        ("get", "/v1/accounts/{account}/external_orders"),
        ("get", "/v1/accounts/{account}/limits"),
        ("get", "/v1/instruments"),
        ("post", "/v1/sessions/{name}/login"),
        ("patch", "/v1/orders/{order_id}"),
        ("get", "/v1/orders"),
        ("get", "/v1/orders/{order_id}"),
        ("delete", "/v1/orders/{order_id}"),
        ("get", "/v1/orders/{order_id}/events"),
        ("post", "/v1/orders/{order_id}/resolve"),
        ("post", "/v1/accounts/{account}/external/{broker_order_id}/adopt"),
        ("post", "/v1/accounts/{account}/orders"),
        ("put", "/v1/subscriptions/{conid}"),
        ("get", "/v1/subscriptions"),
        ("get", "/v1/bars/{conid}"),
        ("get", "/v1/quotes"),
    ],
)
def test_real_answers_are_as_described(method: str, path: str) -> None:
    async def scene() -> None:
        real = path.format(
            account="DU1234567", order_id="1-1", conid=265598, name="main", broker_order_id="987"
        )
        real += {"/v1/quotes": "?conids=265598", "/v1/instruments": "?conid=265598"}.get(path, "")
        body = {
            "/v1/sessions/{name}/login": {"reason": "why"},
            "/v1/orders/{order_id}/resolve": {"as": "not_placed", "reason": "why"},
            "/v1/accounts/{account}/external/{broker_order_id}/adopt": {"reason": "why"},
            "/v1/accounts/{account}/orders": BRACKET,
        }.get(path, {"quantity": "5"} if method == "patch" else None)
        state = OrderState.PARKED if path.endswith("resolve") else ORDER.state
        order = replace(ORDER, state=state, evidence=EVIDENCE)
        engine = FakeEngine(
            order_views={order.order_id: order}, stories={order.order_id: (event(1),)}
        )
        async with serving(engine) as client:
            status, answer = await client.ask(method.upper(), real, body=body)

            described = DOCUMENT["paths"][path][method]["responses"][str(status)]["content"]
            name = described["application/json"]["schema"]["$ref"].rpartition("/")[2]
            validator(name).validate(answer)

    asyncio.run(scene())


def test_the_page_escapes_what_it_shows() -> None:
    document = {
        "paths": {"/<b>": {"get": {"summary": "<i>", "parameters": [], "responses": {}}}},
        "components": {"schemas": {}},
    }

    page = docs_page(document)

    assert "<b>" not in page
    assert "GET /&lt;b&gt;" in page

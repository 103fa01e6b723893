"""What the simulator answers, compared with what the broker's OpenAPI file says.

Rule: a difference is listed in `fidelity/deviations.json` with its reason, or it is a
mistake; so is one that is listed and is no more. Recorded answers win over the file.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.sim import SimConfig, SimGateway
from tests.sim.client import AAPL, ACCOUNT, Client, Reply, asynchronous, gateway, until
from tests.sim.fidelity.derive import TABLE, simulated

FIDELITY: Final = Path(__file__).parent / "fidelity"
SAID: Final[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8"))
KNOWN: Final[dict[str, Any]] = json.loads((FIDELITY / "deviations.json").read_text("utf-8"))


def differences(said: Any, value: Any, place: str) -> Iterator[str]:
    """Where a value is not what is said of it: names that are not there, other types."""
    if said == "any":
        return
    if isinstance(said, dict) and "|" in said:
        alike = [one for one in said["|"] if type_of(one) == type_of(value)]
        ways = [list(differences(one, value, place)) for one in alike or said["|"]]
        # Of two that differ as often, the one that knows the names is meant.
        yield from min(ways, key=lambda rows: (len(rows), sum("nothing" in row for row in rows)))
    elif isinstance(said, list) and isinstance(value, list):
        for row in value:
            yield from differences(said[0], row, f"{place}[]")
    elif isinstance(said, dict) and isinstance(value, dict):
        for name, inner in value.items():
            if name in said:
                yield from differences(said[name], inner, f"{place}.{name}")
            elif "*" in said:
                yield from differences(said["*"], inner, f"{place}.*")
            else:
                yield f"{place}.{name} is {type_of(inner)}, nothing is said"
    else:
        wanted = said if isinstance(said, str) else type_of(said)
        if type_of(value) != wanted:
            yield f"{place} is {type_of(value)}, said is {wanted}"


def type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
        case _:
            return "object"


def names(said: Any, place: str = "") -> Iterator[str]:
    """Every field that is said of, in any of the alternatives."""
    if isinstance(said, list):
        yield from names(said[0], f"{place}[]")
    elif isinstance(said, dict):
        for name, inner in said.items():
            if name == "|":
                for one in inner:
                    yield from names(one, place)
            else:
                if name != "*":
                    yield f"{place}.{name}"
                yield from names(inner, f"{place}.{name}")


def served(said: Any, value: Any, place: str = "") -> Iterator[str]:
    """Every field of a value, by the name that is said of it."""
    if isinstance(value, list):
        for row in value:
            yield from served(said, row, f"{place}[]")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield f"{place}.{name}"
            yield from served(said, inner, f"{place}.{name}")
            yield f"{place}.*"
            yield from served(said, inner, f"{place}.*")


class Walk:
    """Calls of every kind, and the answers to them."""

    def __init__(self, client: Client, sim: SimGateway) -> None:
        self.client = client
        self.sim = sim
        self.heard: list[tuple[str, str, Any, Reply]] = []

    async def get(self, pattern: str, **options: Any) -> Reply:
        return await self.call("GET", pattern, **options)

    async def post(self, pattern: str, body: Any = None, **options: Any) -> Reply:
        return await self.call("POST", pattern, body=body, **options)

    async def call(
        self,
        method: str,
        pattern: str,
        *,
        body: Any = None,
        query: dict[str, str] | None = None,
        **parts: object,
    ) -> Reply:
        path = pattern.format(account=ACCOUNT, **parts)
        options: dict[str, Any] = {"params": query or {}}
        if method == "POST":
            options["json"] = body
        reply = await self.client.call(method, f"/v1/api{path}", **options)
        self.heard.append((f"{method} {pattern}", path, body, reply))
        return reply

    async def confirm(self, asked: Reply) -> None:
        """Say yes until nothing is asked any more."""
        while "id" in asked.body[0]:
            question = asked.body[0]["id"]
            asked = await self.post("/iserver/reply/{id}", {"confirmed": True}, id=question)


def ticket(**changes: Any) -> dict[str, Any]:
    values = {
        "acctId": ACCOUNT,
        "conid": AAPL,
        "orderType": "LMT",
        "price": 1.0,
        "side": "BUY",
        "quantity": 10,
        "tif": "DAY",
    }
    return values | changes


async def walk_session(walk: Walk) -> None:
    await walk.post("/iserver/auth/status")
    await walk.get("/iserver/auth/status")
    await walk.post("/iserver/auth/ssodh/init", {"publish": True, "compete": True})
    await walk.get("/iserver/auth/status")
    await walk.post("/iserver/auth/status")
    await walk.get("/iserver/accounts")
    await walk.post("/iserver/account", {"acctId": "DU2222222"})
    await walk.post("/iserver/account", {"acctId": ACCOUNT})
    await walk.get("/tickle")
    await walk.post("/tickle")
    await walk.get("/sso/validate")


async def walk_contracts(walk: Walk) -> None:
    conid = str(AAPL)
    await walk.get("/trsrv/stocks", query={"symbols": "AAPL"})
    await walk.get("/trsrv/futures", query={"symbols": "ES"})
    await walk.get("/trsrv/secdef", query={"conids": conid})
    await walk.get("/iserver/contract/{conid}/info", conid=conid)
    await walk.get("/iserver/contract/{conid}/info-and-rules", conid=conid)
    await walk.post("/iserver/contract/rules", {"conid": AAPL, "isBuy": True})
    await walk.get(
        "/iserver/contract/{conid}/algos",
        conid=conid,
        query={"addDescription": "1", "addParams": "1"},
    )
    found = await walk.get("/iserver/secdef/search", query={"symbol": "AAPL"})
    await walk.post("/iserver/secdef/search", {"symbol": "AAPL"})
    sections = found.body[0]["sections"]
    month = next(row for row in sections if row["secType"] == "OPT")["months"].split(";")[0]
    option = {"conid": conid, "sectype": "OPT", "month": month}
    strikes = await walk.get("/iserver/secdef/strikes", query=option)
    strike = str(strikes.body["call"][0])
    await walk.get("/iserver/secdef/info", query={**option, "strike": strike, "right": "C"})
    await walk.get("/iserver/currency/pairs", query={"currency": "USD"})
    await walk.get("/iserver/exchangerate", query={"source": "USD", "target": "EUR"})
    await walk.get("/contract/trading-schedule", query={"conid": conid})
    await walk.get("/trsrv/secdef/schedule", query={"assetClass": "STK", "symbol": "AAPL"})


async def walk_market_data(walk: Walk) -> None:
    query = {"conids": str(AAPL), "fields": "31,84,86"}
    await walk.get("/iserver/marketdata/snapshot", query=query)
    await walk.get("/iserver/marketdata/snapshot", query=query)
    history = {"conid": str(AAPL), "period": "1d", "bar": "5min"}
    await walk.get("/iserver/marketdata/history", query=history)
    await walk.post("/iserver/marketdata/unsubscribe", {"conid": AAPL})
    await walk.get("/iserver/marketdata/unsubscribeall")


async def walk_orders(walk: Walk) -> None:
    orders, order = "/iserver/account/{account}/orders", "/iserver/account/{account}/order/{order}"
    sim = walk.sim
    await walk.post("/iserver/questions/suppress", {"messageIds": ["o383"]})
    await walk.post("/iserver/questions/suppress/reset")
    await walk.post(f"{orders}/whatif", {"orders": [ticket()]})
    await walk.get("/iserver/account/orders")
    await walk.get("/iserver/account/trades")
    await walk.confirm(await walk.post(orders, {"orders": [ticket(cOID="c-1")]}))
    await walk.post(orders, {"orders": [ticket(cOID="c-1")]})
    [resting] = sim.venue.orders
    await until(lambda: sim.venue.orders[resting].status.value == "Submitted")
    sim.faults.prompt_next = 1
    exits = [
        ticket(side="SELL", price=9000.0, parentId="c-2"),
        ticket(side="SELL", orderType="STP", price=0.5, parentId="c-2"),
    ]
    body = {"orders": [ticket(cOID="c-2", orderType="MKT"), *exits]}
    await walk.confirm(await walk.post(orders, body))
    filled = max(sim.venue.orders) - 2
    await until(lambda: sim.venue.orders[filled].status.value == "Filled")
    await until(lambda: len(sim.venue.commissions_known) == len(sim.venue.executions))
    prompt = next(iter(sim.venue.prompts.values()))
    answer = {"orderId": filled, "reqId": prompt.request_id, "text": "Always use"}
    await walk.post("/iserver/notification", answer)
    await walk.post(order, ticket(price=2.0), order=resting)
    trail = {"trailingType": "amt", "trailingAmt": 1}
    walk.sim.faults.cancel_next = "Order held too long"
    for terms in (
        ticket(orderType="STOP_LIMIT", price=9000.0, auxPrice=9000.0),
        ticket(orderType="TRAIL", side="SELL", price=None, outsideRTH=False, **trail),
        ticket(orderType="LMT", outsideRTH=True, listingExchange="SMART", ticker="AAPL"),
        ticket(strategy="Adaptive", strategyParameters={"adaptivePriority": "Normal"}),
    ):
        await walk.confirm(await walk.post(orders, {"orders": [terms]}))
    await walk.get("/iserver/account/orders")
    await walk.get("/iserver/account/trades", query={"days": "2"})
    await walk.get("/iserver/account/order/status/{order}", order=resting)
    await walk.get("/iserver/account/order/status/{order}", order=filled)
    await walk.call("DELETE", order, order=resting)
    await walk.call("DELETE", order, order=7)


async def walk_portfolio(walk: Walk) -> None:
    await walk.get("/portfolio/accounts")
    await walk.get("/portfolio/subaccounts")
    for _ in range(2):
        await walk.get("/portfolio/{account}/positions/{page}", page=0)
    await walk.get("/portfolio/{account}/positions")
    await walk.post("/portfolio/{account}/positions/invalidate")
    await walk.get("/portfolio2/{account}/positions")
    await walk.get("/portfolio/{account}/position/{conid}", conid=AAPL)
    await walk.get("/portfolio/positions/{conid}", conid=AAPL)
    for name in ("summary", "ledger", "meta", "allocation"):
        await walk.get(f"/portfolio/{{account}}/{name}")
    for _ in range(2):
        await walk.get("/iserver/account/pnl/partitioned")
    await walk.get("/iserver/account/{account}/summary")


async def walked() -> list[tuple[str, str, Any, Reply]]:
    questions = {"LMT": ("o163",), "MKT": ("o10151",)}
    async with gateway(questions=questions) as (sim, client):
        walk = Walk(client, sim)
        await walk_session(walk)
        await walk_contracts(walk)
        await walk_market_data(walk)
        await walk_orders(walk)
        await walk_portfolio(walk)
        await walk.post("/logout")
    return walk.heard


def found_in(heard: list[tuple[str, str, Any, Reply]]) -> tuple[set[str], dict[str, list[str]]]:
    """The differences of all answers, and the fields that nothing was served for."""
    found: set[str] = set()
    lacking: dict[str, list[str]] = {}
    for route in sorted({row[0] for row in heard}):
        said = SAID[route]
        if said is None:
            found.add(f"{route}: nothing is said of it")
            continue
        fields: set[str] = set()
        for name, path, body, reply in heard:
            if name != route:
                continue
            assert reply.status in (200, 400), (path, reply)
            found.update(f"{route}: {row}" for row in differences(said["answer"], reply.body, ""))
            fields.update(served(said["answer"], reply.body))
            if body is not None:
                rows = differences(said["asked"], body, " asked")
                found.update(f"{route}: {row}" for row in rows)
        missing = sorted({name for name in names(said["answer"]) if name not in fields})
        if missing:
            lacking[route] = missing
    return found, lacking


def test_every_simulated_path_is_in_the_table() -> None:
    assert sorted(SAID) == sorted({f"{method} {path}" for method, path in simulated()})


@asynchronous
async def test_every_simulated_path_answers_as_the_file_says_or_the_difference_is_known() -> None:
    heard = await walked()

    found, lacking = found_in(heard)

    routes = {f"{method} {path}" for method, path in simulated()}
    assert sorted(routes - {row[0] for row in heard}) == [], "nobody walks these"
    listed = [place for group in KNOWN["differences"] for place in group["at"]]
    assert sorted(found - set(listed)) == [], "neither said by the file nor listed"
    assert sorted(set(listed) - found) == [], "listed, and no difference any more"
    assert lacking == KNOWN["left_out"]["fields"]


def test_every_deviation_has_a_reason_and_is_listed_once() -> None:
    listed = [place for group in KNOWN["differences"] for place in group["at"]]

    assert len(listed) == len(set(listed))
    assert all(group["reason"] for group in (*KNOWN["differences"], KNOWN["left_out"]))


@pytest.mark.parametrize(
    ("said", "value", "found"),
    [
        ({"a": "number"}, {"a": 1}, []),
        ({"a": "number"}, {"a": "1"}, [".a is string, said is number"]),
        ({"a": "number"}, {"b": 1}, [".b is number, nothing is said"]),
        ([{"a": "string"}], [{"a": "x"}, {"a": 1}], ["[].a is number, said is string"]),
        ({"*": ["number"]}, {"x": [1], "y": ["1"]}, [".*[] is string, said is number"]),
        ({"|": ["string", {"a": "number"}]}, {"a": 1}, []),
        ({"|": [{"b": "string"}, {"a": "number"}]}, {"a": True}, [".a is boolean, said is number"]),
        ("any", {"a": [1]}, []),
        ({"a": "string"}, [], [" is list, said is object"]),
    ],
)
def test_the_comparison_tells_types_and_names_apart(
    said: Any, value: Any, found: list[str]
) -> None:
    assert list(differences(said, value, "")) == found


def test_the_gateway_names_its_routes() -> None:
    assert len(SimGateway(SimConfig()).routes) > 40

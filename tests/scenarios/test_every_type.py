"""Every order type and time in force, through the API of a whole engine to the simulated venue.

What is offered is written down here and not read from the engine. What came of it is read
at the venue.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from tests.scenarios import desk
from tests.scenarios.desk import WAIT_S

ACCOUNT: Final = "DU1111111"
RISK: Final = """\
version: 1
approved_by: []
units: {notional_ccy: USD}
defaults:
  price: {max_age_ms: 60_000}
  order:
    max_qty: {STK: 100, OPT: 100, FUT: 100, CASH: 100_000, CRYPTO: 100}
    max_notional: {abs: 9_000_000}
    market: {max_spread_bps: 10_000}
  position: {max_qty: 100_000, max_notional: {abs: 99_000_000}}
  working: {max_total: 50, max_per_conid_side: 15}
  instruments: {allow_sec_types: [STK, OPT, FUT, CASH, CRYPTO]}
"""
VENUE: Final = {"cancel_delay_ms": 15, "auction_interval_ms": 3_600_000}
ALL: Final = (
    "MKT", "LMT", "STP", "STOP_LIMIT", "TRAIL", "TRAILLMT", "MIDPRICE", "MOC", "LOC", "MIT", "LIT",
    "REL",
)  # fmt: skip
PRICED: Final = ("MKT", "LMT", "STP", "STOP_LIMIT", "TRAIL", "TRAILLMT", "MIT", "LIT")
ENDED: Final = ("FILLED", "CANCELLED", "EXPIRED", "REJECTED", "DENIED")
GOOD_TILL: Final = "2100-01-01T00:00:00Z"
TIFS: Final = ("DAY", "GTC", "IOC", "OPG", "OVT", "OND", "PAX", "GTD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A contract: how a client names it, what it takes, and prices that nothing reaches.

    `low`, `high` and `quantity` are each what an order has and what a modify gives instead;
    the third price is the limit beside such a stop, so that no two prices of an order are one.
    """

    names: dict[str, Any]
    offered: dict[str, tuple[str, ...]]
    low: tuple[str, str, str]
    high: tuple[str, str, str]
    distance: str
    refused_types: tuple[str, ...] = ()
    quantity: tuple[str, str] = ("10", "12")

    def prices(self, kind: str, *, changed: bool) -> dict[str, str]:
        """The prices of a buy order that rests, before or after it was changed."""
        low, high = self.low[changed], self.high[changed]
        trail = {} if changed else {"trailing_type": "amt", "trailing_amount": self.distance}
        return {
            "MKT": {},
            "LMT": {"limit_price": low},
            "STP": {"stop_price": high},
            "STOP_LIMIT": {"stop_price": high, "limit_price": self.high[2]},
            "TRAIL": {"stop_price": high, **trail},
            "TRAILLMT": {"stop_price": high, "limit_price": self.high[2], **trail},
            "MIDPRICE": {} if changed else {"cap_price": low},
            "MOC": {},
            "LOC": {"limit_price": low},
            "MIT": {"stop_price": low},
            "LIT": {"stop_price": low, "limit_price": self.low[2]},
            "REL": {} if changed else {"cap_price": low},
        }[kind]


SHARE = Contract(
    names={"symbol": "AAPL"},
    offered={
        "DAY": ALL,
        "GTC": ALL,
        "IOC": ("MKT", "LMT"),
        "OPG": ("MKT", "LMT"),
        "OVT": ("LMT",),
        "OND": ("LMT",),
        "PAX": (),
        "GTD": ALL,
    },
    low=("1", "2", "3"),
    high=("900", "901", "902"),
    distance="100",
)
DAY_OR_LONGER: Final = {
    "DAY": PRICED, "GTC": PRICED, "IOC": ("MKT", "LMT"), "OPG": (), "OVT": (), "OND": (),
    "PAX": (), "GTD": PRICED,
}  # fmt: skip
OTHERS: Final = {
    "option": Contract(
        names={
            "symbol": "AAPL",
            "sec_type": "OPT",
            "expiry": "202612",
            "strike": "230",
            "right": "C",
        },
        offered=DAY_OR_LONGER,
        low=("0.01", "0.02", "0.03"),
        high=("900", "901", "902"),
        distance="100",
        refused_types=("MIDPRICE", "MOC", "LOC", "REL"),
    ),
    "future": Contract(
        names={"symbol": "ES", "sec_type": "FUT", "expiry": "20261218"},
        offered=DAY_OR_LONGER,
        low=("100.25", "100.5", "100.75"),
        high=("12000.25", "12001", "12002"),
        distance="2000",
        refused_types=("MIDPRICE", "MOC", "LOC", "REL"),
        quantity=("1", "2"),
    ),
    "pair": Contract(
        names={"symbol": "EUR", "sec_type": "CASH", "currency": "USD"},
        offered=DAY_OR_LONGER,
        low=("0.5", "0.50005", "0.5001"),
        high=("3", "3.00005", "3.0001"),
        distance="1",
        refused_types=("MIDPRICE", "MOC", "LOC", "REL"),
    ),
    "coin": Contract(
        names={"symbol": "BTC", "sec_type": "CRYPTO"},
        offered={"IOC": ("MKT", "LMT"), "PAX": ("MKT", "LMT"), "DAY": (), "GTC": ()},
        low=("100.25", "100.5", "100.75"),
        high=("900000", "900001", "900002"),
        distance="1000",
        quantity=("0.5", "0.75"),
        refused_types=tuple(kind for kind in ALL if kind not in ("MKT", "LMT")),
    ),
}


@dataclass(slots=True)
class Desk(desk.Desk):
    """A desk that submits orders, and looks at the venue for what came of them."""

    orders: int = 0

    async def submit(self, **body: Any) -> tuple[int, Any]:
        self.orders += 1
        whole = {"client_order_id": f"mine-{self.orders}", "side": "BUY", **body}
        return await self.ask(
            "POST", f"/v1/accounts/{ACCOUNT}/orders?wait=ack&timeout={WAIT_S}", whole
        )

    async def until(self, order_id: str, *states: str) -> Any:
        async with asyncio.timeout(WAIT_S):
            while True:
                # As a client looks: the order's events are tried elsewhere.
                _, order = await self.ask("GET", f"/v1/orders/{order_id}")
                if order["state"] in states:
                    return order
                assert order["state"] not in ENDED, order
                await asyncio.sleep(0.005)

    def at_venue(self, order: dict[str, Any]) -> Any:
        """The order as the venue has it."""
        return self.sim.venue.orders[int(order["broker_order_id"])]


def at_a_desk(
    folder: Path, work: Callable[[Desk], Awaitable[None]], *, operator: bool = True
) -> None:
    manual = {"futures_operator": {"ext_operator": "DESK1", "manual": False}}
    settings: dict[str, Any] = manual if operator else {}

    async def run() -> None:
        async with desk.desk(folder, venue=VENUE, risk=RISK, **settings) as one:
            await work(Desk(one.app, one.sim, one.client))

    asyncio.run(run())


async def try_order(one: Desk, contract: Contract, kind: str, tif: str) -> None:
    """Take one order through all that it may do, or see that it is refused and not sent."""
    sent = len(one.sim.venue.submissions)
    prices = contract.prices(kind, changed=False)
    if tif == "GTD":
        prices["good_till"] = GOOD_TILL
    status, body = await one.submit(
        **contract.names, type=kind, tif=tif, quantity=contract.quantity[0], **prices
    )
    if kind in contract.refused_types or kind not in contract.offered.get(tif, ()):
        code = "ORDER_TYPE_UNSUPPORTED" if kind in contract.refused_types else "TIF_UNSUPPORTED"
        assert (status, body["error"]["code"]) == (422, code), (kind, tif, body)
        assert len(one.sim.venue.submissions) == sent
        return
    assert status == 202, (kind, tif, body)
    assert len(one.sim.venue.submissions) == sent + 1
    if kind == "MKT" and tif != "OPG":
        filled = await one.until(body["order_id"], "FILLED")
        assert Decimal(filled["filled_quantity"]) == Decimal(contract.quantity[0])
        status, refused = await one.ask(
            "PATCH", f"/v1/orders/{body['order_id']}", {"quantity": "9"}
        )
        assert (status, refused["error"]["code"]) == (409, "NOT_MODIFIABLE"), refused
    elif tif == "IOC":
        assert (await one.until(body["order_id"], "CANCELLED", "EXPIRED"))["filled_quantity"] == "0"
    else:
        await change_and_cancel(one, contract, kind, body)


async def change_and_cancel(
    one: Desk, contract: Contract, kind: str, order: dict[str, Any]
) -> None:
    order_id = order["order_id"]
    order = await one.until(order_id, "ACCEPTED", "WORKING")
    see_prices(one, order, contract.prices(kind, changed=False))
    if kind in ("TRAIL", "TRAILLMT"):
        await see_that_a_trail_is_not_put_back(one, order)
    terms = {"quantity": contract.quantity[1], **contract.prices(kind, changed=True)}

    status, changed = await one.ask(
        "PATCH", f"/v1/orders/{order_id}?wait=settled&timeout={WAIT_S}", terms
    )

    assert (status, changed.get("pending")) == (202, "none"), (kind, changed)
    assert {name: changed[name] for name in terms} == terms
    ticket = one.at_venue(order).ticket
    assert ticket.quantity == Decimal(contract.quantity[1])
    see_prices(one, order, terms)
    # The broker's API has no date for GTD: the engine keeps it, and sends GTC.
    sent_as = "GTC" if order["tif"] == "GTD" else order["tif"]
    assert (ticket.order_type, ticket.tif) == (kind, sent_as)

    status, _ = await one.ask("DELETE", f"/v1/orders/{order_id}")

    assert status == 202
    assert (await one.until(order_id, "CANCELLED"))["filled_quantity"] == "0"
    assert one.at_venue(order).status.value == "Cancelled"


def see_prices(one: Desk, order: dict[str, Any], prices: dict[str, str]) -> None:
    """Compare the prices at the venue, which calls a cap a limit."""
    ticket = one.at_venue(order).ticket
    limit = prices.get("limit_price", prices.get("cap_price"))
    assert ticket.stop_price == (Decimal(prices["stop_price"]) if "stop_price" in prices else None)
    assert limit is None or ticket.limit_price == Decimal(limit)


async def see_that_a_trail_is_not_put_back(one: Desk, order: dict[str, Any]) -> None:
    before = one.at_venue(order).ticket

    status, refused = await one.ask("PATCH", f"/v1/orders/{order['order_id']}", {"quantity": "9"})

    assert (status, refused["error"]["code"]) == (422, "TRAILING_INVALID"), refused
    assert "stop_price" in refused["error"]["message"]
    assert one.at_venue(order).ticket == before


def test_every_type_and_time_in_force_of_a_share_works_or_is_refused_before_it_is_sent(
    tmp_path: Path,
) -> None:
    async def work(one: Desk) -> None:
        for tif in TIFS:
            for kind in ALL:
                await try_order(one, SHARE, kind, tif)

    at_a_desk(tmp_path, work)


@pytest.mark.parametrize("name", OTHERS)
def test_every_type_of_another_kind_of_contract_works_or_is_refused(
    tmp_path: Path, name: str
) -> None:
    contract = OTHERS[name]

    async def work(one: Desk) -> None:
        for tif in contract.offered:
            for kind in dict.fromkeys(PRICED + contract.refused_types):
                if contract.offered[tif] or kind == "LMT":
                    await try_order(one, contract, kind, tif)

    at_a_desk(tmp_path, work)


def test_an_amount_of_money_is_bought_for_and_cannot_be_changed_into_a_quantity(
    tmp_path: Path,
) -> None:
    coin = {"symbol": "BTC", "sec_type": "CRYPTO", "type": "MKT", "cash_quantity": "250.50"}

    async def work(one: Desk) -> None:
        status, order = await one.submit(**coin, tif="IOC")
        assert status == 202, order
        filled = await one.until(order["order_id"], "FILLED")
        assert (filled["quantity"], filled["cash_quantity"]) == (None, "250.5")
        assert 0 < Decimal(filled["filled_quantity"]) < 1

        status, refused = await one.submit(
            symbol="AAPL", type="MKT", tif="DAY", cash_quantity="250.50"
        )
        assert (status, refused["error"]["code"]) == (422, "CASH_QUANTITY_UNSUPPORTED"), refused

    at_a_desk(tmp_path, work)


REFUSED: Final = (
    ({"symbol": "AAPL", "outside_rth": True}, "OUTSIDE_RTH_UNSUPPORTED"),
    ({"symbol": "AAPL", "quantity": "0.5"}, "FRACTION_UNSUPPORTED"),
    ({"symbol": "SPX", "sec_type": "IND"}, "SEC_TYPE_UNSUPPORTED"),
    ({"symbol": "NOSUCH"}, "INSTRUMENT_UNKNOWN"),
    ({"symbol": "ES", "sec_type": "FUT", "expiry": "20261218"}, "EXT_OPERATOR_MISSING"),
)


def test_what_cannot_be_ordered_is_refused_with_its_reason_and_never_sent(tmp_path: Path) -> None:
    async def work(one: Desk) -> None:
        for body, code in REFUSED:
            status, refused = await one.submit(
                **{"type": "MKT", "quantity": "1", "tif": "DAY", **body}
            )

            assert (status, refused["error"]["code"]) == (422, code), refused
        assert len(one.sim.venue.submissions) == 0

    at_a_desk(tmp_path, work, operator=False)


def test_a_symbol_that_means_several_contracts_is_the_clients_choice(tmp_path: Path) -> None:
    async def work(one: Desk) -> None:
        future = {"symbol": "ES", "sec_type": "FUT", "type": "MKT", "tif": "DAY", "quantity": "1"}
        status, refused = await one.submit(**future)

        candidates = refused["error"]["details"]["candidates"]
        assert (status, refused["error"]["code"]) == (400, "AMBIGUOUS_SYMBOL")
        expiries = [one["expiry"] for one in candidates]
        assert expiries == ["20261218", "20270319", "20270618"]
        assert len(one.sim.venue.submissions) == 0

    at_a_desk(tmp_path, work)

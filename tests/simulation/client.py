"""The people and programs that use the engine, drawn from a seed.

Rule 1: all they know of the engine is what its API answered; every answer is noted.

Rule 2: who got no answer asks again later with the same key, as the API tells them to.
"""

import asyncio
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp

from engine.domain.values import TERMINAL
from tests.simulation.history import History
from tests.simulation.host import API_HOST, CONIDS, TOKEN
from tests.simulation.network import Network

ANSWER_S_MAX: Final = 40.0
LISTED_MAX: Final = 1_000
TRIES_PER_ORDER: Final = 3
"""So often a day's client tries while everything is refused, before it gives up."""

CROWDED_SHARE: Final = 0.2
"""So many days' clients trade one contract in one account, as much as its limit allows."""

WAITING_SHARE: Final = 0.15
LINGERING_SHARE: Final = 0.08

WAIT_S: Final = 5.0
WAITS_MAX: Final = 40
LONG_LOOKS: Final = 4
"""Who waits for an order's fate looks so often, and so many times; after some it was long."""

READY_LOOKS: Final = 4
NOT_YET: Final = frozenset({"SESSION_NOT_READY", "ACCOUNT_NOT_RECONCILED"})
"""Codes of refusals that pass by themselves."""

AT_WORK: Final = frozenset({"PENDING_NEW", "ACCEPTED", "WORKING", "PARTIALLY_FILLED"})
UNDECIDED: Final = frozenset({"SUBMITTING", "AWAITING_REPLY", "IN_DOUBT"})

_PRICES: Final = {265598: 228.0, 8314: 240.0}
"""About where the simulated market trades these; a little off is what makes a day."""

NEAR_SHARE: Final = 0.4
FAR: Final = (0.002, 0.08)
"""How far from the market a profit is taken, as a part of the price."""

_TERMINAL: Final = frozenset(state.value for state in TERMINAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request and what came back; `status` is None when nothing did."""

    method: str
    path: str
    body: Any
    asked: int
    status: int | None
    answer: Any


@dataclass(slots=True, kw_only=True)
class Sent:
    """An order as the client knows it."""

    account: str
    body: dict[str, Any]
    order_id: str | None = None
    legs: list[str] = field(default_factory=list)
    tries: int = 0
    cancelled: bool = False


@dataclass(slots=True, kw_only=True)
class Habits:
    """What this day's client likes to do; drawn once a seed."""

    pause_s: float
    orders: int
    weights: dict[str, float]
    market_share: float
    resting_share: float
    quantity_max: int
    group_share: float
    till_share: float
    quantity_min: int = 1
    accounts_max: int | None = None
    """None trades in all accounts."""
    waits: int = 0
    """How often it sends nothing for minutes while it is not known what became of an order."""
    patient: bool = False
    """True for one who was told that a session is not ready, and waits until it is."""
    looks_first: bool = True
    """True for one who changes only what the list shows at work."""
    lingers_s: float = 0.0
    """How long it only looks on after its last order, while the weather goes on."""
    conids: tuple[int, ...] = CONIDS
    tifs: tuple[str, ...] = ("DAY", "GTC", "IOC")


def draw_habits(chance: random.Random) -> Habits:
    """Draw how busy the client is, and with what."""
    habits = _draw_usual(chance)
    habits.patient, habits.looks_first = chance.random() < 0.5, chance.random() < 0.7
    habits.waits = 2 if chance.random() < WAITING_SHARE else 0
    habits.lingers_s = chance.choice((60.0, 180.0)) if chance.random() < LINGERING_SHARE else 0.0
    if chance.random() < CROWDED_SHARE:
        # All in one place and near its limit: there, what is not reserved does harm.
        habits.accounts_max, habits.conids = 1, CONIDS[:1]
        habits.quantity_min, habits.quantity_max = 12, 40
        habits.orders = chance.choice((8, 12))
        habits.weights |= {"grow": chance.choice((1.0, 8.0)), "cancel": 3.0}
    return habits


def _draw_usual(chance: random.Random) -> Habits:
    return Habits(
        pause_s=chance.choice((0.05, 0.5, 2.0, 4.0)),
        orders=chance.choice((3, 6, 6, 10, 16)),
        weights={
            "submit": 10.0,
            "cancel": chance.choice((0.5, 3.0, 8.0)),
            "modify": chance.choice((0.5, 3.0, 8.0)),
            "repeat": chance.choice((0.3, 2.0)),
            "conflict": 0.3,
            "look": 1.0,
            "halt": chance.choice((0.0, 0.0, 0.7, 2.0)),
            "rush": chance.choice((0.0, 0.0, 0.5, 2.0)),
        },
        market_share=chance.choice((0.0, 0.2, 0.6)),
        resting_share=chance.choice((0.2, 0.5, 0.9)),
        quantity_max=chance.choice((5, 20, 45)),
        group_share=chance.choice((0.0, 0.3, 0.6)),
        till_share=chance.choice((0.0, 0.0, 0.2)),
    )


@dataclass(slots=True, kw_only=True)
class Client:
    """Trades over the API."""

    network: Network
    history: History
    accounts: tuple[str, ...]
    chance: random.Random
    habits: Habits
    wall_ns: int
    """What the wall's clock shows when the loop's begins."""
    sent: list[Sent] = field(default_factory=list)
    halts: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    _http: aiohttp.ClientSession | None = None

    def wall_s(self) -> float:
        """Return what the wall's clock shows."""
        return (self.wall_ns + self.history.loop.time_ns()) / 1e9

    async def start(self) -> None:
        """Make the connections' pool."""
        self._http = aiohttp.ClientSession(
            connector=self.network.connector(),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Authorization": f"Bearer {TOKEN}"},
            timeout=aiohttp.ClientTimeout(),
        )

    async def close(self) -> None:
        """Let the connections go."""
        if self._http is not None:
            await self._http.close()

    async def ask(self, method: str, path: str, body: Any = None) -> Answered:
        """Ask the API, and note the answer, or that there was none."""
        asked = self.history.note("asked", (method, path, body))
        status, answer = None, None
        assert self._http is not None
        try:
            async with (
                asyncio.timeout(ANSWER_S_MAX),
                self._http.request(method, f"http://{API_HOST}{path}", json=body) as response,
            ):
                status, answer = response.status, json.loads(await response.read() or b"null")
        except (aiohttp.ClientError, TimeoutError):
            status = None
        answered = Answered(
            method=method, path=path, body=body, asked=asked, status=status, answer=answer
        )
        self.history.note("answered", answered)
        return answered

    # --- what it does -------------------------------------------------------------------------

    async def trade(self, for_s: float) -> None:
        """Do one thing after the other until all orders of the day were sent, or time is up."""
        habits, chance, loop = self.habits, self.chance, asyncio.get_running_loop()
        names, weights = zip(*habits.weights.items(), strict=True)
        until_s, tries_max = loop.time() + for_s, TRIES_PER_ORDER * habits.orders
        while (
            self.accepted < habits.orders and len(self.sent) < tries_max and loop.time() < until_s
        ):
            await asyncio.sleep(chance.expovariate(1 / habits.pause_s))
            await getattr(self, f"_{chance.choices(names, weights)[0]}")()
        await asyncio.sleep(habits.lingers_s)

    async def _submit(self) -> None:
        order = self._draw_order()
        await self._post(order)
        if self.habits.waits:
            await self._wait_for(order)

    async def _wait_for(self, order: Sent) -> None:
        """Look until it is known what became of an order, or for long enough."""
        for look in range(WAITS_MAX):
            self.habits.waits -= look == LONG_LOOKS
            if order.order_id is None:
                return
            await asyncio.sleep(WAIT_S)
            answered = await self.ask("GET", f"/v1/orders/{order.order_id}")
            if answered.status == 200 and answered.answer["state"] not in UNDECIDED:
                return

    async def _rush(self) -> None:
        """Send several orders at once, and halt their account while most of them wait."""
        orders = [self._draw_order() for _ in range(self.chance.choice((2, 3)))]
        for order in orders:
            order.account = orders[0].account
        await asyncio.gather(*(self._post(order) for order in orders))
        scope = self.chance.choice(("firm", f"account:{orders[0].account}"))
        await self._halt_scope(scope, "halt", cancel_working=False)
        await asyncio.sleep(self.chance.uniform(2.0, 15.0))
        await self.resume(scope)

    async def _grow(self) -> None:
        """Ask for more of an order, and at once for another one beside it."""
        order = await self._changeable()
        if order is not None:
            more = order.body["quantity"] + self.chance.randint(5, 25)
            beside = self._draw_order()
            beside.account, beside.body["side"] = order.account, order.body["side"]
            change = self.ask("PATCH", f"/v1/orders/{order.order_id}", {"quantity": more})
            await asyncio.gather(change, self._post(beside))

    def _draw_order(self) -> Sent:
        chance, habits = self.chance, self.habits
        conid = chance.choice(habits.conids)
        body: dict[str, Any] = {
            "client_order_id": f"order-{len(self.sent) + 1}",
            "conid": conid,
            "side": chance.choice(("BUY", "BUY", "SELL")),
            "quantity": chance.randint(habits.quantity_min, habits.quantity_max),
            "tif": chance.choice(habits.tifs),
        }
        if chance.random() < habits.market_share:
            body["type"], body["tif"] = "MKT", "DAY"
        else:
            rests = chance.random() < habits.resting_share
            better = 1 if body["side"] == "BUY" else -1
            offset = -chance.uniform(0.02, 0.2) if rests else chance.uniform(0.005, 0.025)
            body["type"] = "LMT"
            body["limit_price"] = f"{_PRICES[conid] * (1 + better * offset):.2f}"
        if body["tif"] != "IOC" and chance.random() < habits.group_share:
            self._draw_legs(body)
        elif body["type"] == "LMT" and chance.random() < habits.till_share:
            until = datetime.fromtimestamp(self.wall_s() + chance.uniform(1.0, 120.0), UTC)
            body["tif"], body["good_till"] = "GTD", until.isoformat()
        order = Sent(account=chance.choice(self.accounts[: habits.accounts_max]), body=body)
        self.sent.append(order)
        return order

    def _draw_legs(self, body: dict[str, Any]) -> None:
        """Make it an entry with its exits, or the first of a group in which one cancels all."""
        chance, price = self.chance, _PRICES[body["conid"]]
        better = 1 if body["side"] == "BUY" else -1
        if chance.random() < 0.7:
            # On some days so near that the market has reached it when the entry fills.
            near = chance.random() < NEAR_SHARE
            profit = price * (1 + better * chance.uniform(*((-0.01, 0.002) if near else FAR)))
            stop = price * (1 - better * chance.uniform(0.03, 0.1))
            legs = [
                {"type": "LMT", "limit_price": f"{profit:.2f}"},
                {"type": "STP", "stop_price": f"{stop:.2f}"},
            ]
            body["legs"] = chance.choice((legs, legs, legs[:1], legs[1:]))
            return
        body["group"] = "oca"
        body["legs"] = [
            {
                "side": chance.choice(("BUY", "SELL")),
                "type": "LMT",
                "limit_price": f"{price * (1 + chance.uniform(-0.1, 0.1)):.2f}",
                "quantity": chance.randint(1, self.habits.quantity_max),
            }
            for _ in range(chance.choice((1, 2, 3)))
        ]

    async def _post(self, order: Sent) -> None:
        order.tries += 1
        answered = await self.ask("POST", f"/v1/accounts/{order.account}/orders", order.body)
        if answered.status == 202:
            self.accepted += order.order_id is None
            order.order_id = answered.answer["order_id"]
            order.legs = [leg["order_id"] for leg in answered.answer["legs"]]
        elif answered.status == 422:
            order.order_id = answered.answer["order"]["order_id"]
            if answered.answer["error"]["code"] in NOT_YET:
                await asyncio.sleep(self.chance.uniform(1.0, 10.0))
                if self.habits.patient:
                    await self._wait_until_ready(order.account)
        else:
            await asyncio.sleep(self.chance.uniform(0.0, 4.0))

    async def _wait_until_ready(self, account: str) -> None:
        """Look until an account may be traded in, or for a minute."""
        for _ in range(READY_LOOKS):
            answered = await self.ask("GET", "/v1/accounts")
            accounts = answered.answer["accounts"] if answered.status == 200 else ()
            if any(one["account"] == account and one["ready"] for one in accounts):
                return
            await asyncio.sleep(WAIT_S)

    async def _repeat(self) -> None:
        """Send an order again that was sent before, byte for byte."""
        if self.sent:
            unsure = [one for one in self.sent if one.order_id is None]
            await self._post(self.chance.choice(unsure or self.sent))

    async def _conflict(self) -> None:
        """Use a key for another order than before."""
        if self.sent:
            order = self.chance.choice(self.sent)
            body = {**order.body, "quantity": order.body["quantity"] + 1}
            await self.ask("POST", f"/v1/accounts/{order.account}/orders", body)

    async def _cancel(self) -> None:
        known = [one for one in self.sent if one.order_id and not one.cancelled]
        if known:
            # Mostly the newest: that is where the races are.
            order = known[-1] if self.chance.random() < 0.6 else self.chance.choice(known)
            if order.legs and self.chance.random() < 0.3:
                await self.ask("DELETE", f"/v1/orders/{self.chance.choice(order.legs)}")
                return
            await self.cancel(order)

    async def _modify(self) -> None:
        """Ask for new terms of an order, mostly of the newest one."""
        order = await self._changeable()
        if order is None:
            return
        body: dict[str, Any] = {}
        if self.chance.random() < 0.6:
            least = 1 + order.body["quantity"] // 2
            body["quantity"] = self.chance.randint(least, max(least, self.habits.quantity_max))
        if not body or self.chance.random() < 0.5:
            price = float(order.body["limit_price"]) * (1 + self.chance.uniform(-0.02, 0.02))
            body["limit_price"] = f"{price:.2f}"
        await self.ask("PATCH", f"/v1/orders/{order.order_id}", body)

    async def _changeable(self) -> Sent | None:
        """Return an order to change; one who looks first takes one that works."""
        known = [one for one in self.sent if one.order_id and "limit_price" in one.body]
        if self.habits.looks_first:
            works = {
                one["order_id"] for one in await self.orders() or () if one["state"] in AT_WORK
            }
            known = [one for one in known if one.order_id in works]
        if not known:
            return None
        return known[-1] if self.chance.random() < 0.6 else self.chance.choice(known)

    async def cancel(self, order: Sent) -> None:
        """Ask for one order's cancel."""
        answered = await self.ask("DELETE", f"/v1/orders/{order.order_id}")
        order.cancelled = answered.status == 202

    async def _look(self) -> None:
        known = [one for one in self.sent if one.order_id]
        if known and self.chance.random() < 0.7:
            await self.ask("GET", f"/v1/orders/{self.chance.choice(known).order_id}")
        else:
            await self.orders()

    async def _halt(self) -> None:
        """Halt something, or lift the halt again."""
        chance = self.chance
        if self.halts and chance.random() < 0.6:
            await self.resume(chance.choice(sorted(self.halts)))
            return
        scope = chance.choice(
            ("firm", f"account:{chance.choice(self.accounts)}", f"instrument:{CONIDS[0]}")
        )
        level = chance.choice(("reduce_only", "cancel_only", "halt", "halt"))
        await self._halt_scope(scope, level, cancel_working=chance.random() < 0.3)

    async def _halt_scope(self, scope: str, level: str, *, cancel_working: bool) -> None:
        body = {
            "scope": scope,
            "level": level,
            "cancel_working": cancel_working,
            "reason": "as drawn",
        }
        answered = await self.ask("POST", "/v1/halt", body)
        self.halts[scope] = answered.asked

    async def resume(self, scope: str) -> None:
        """Lift the halt of a scope."""
        answered = await self.ask("POST", "/v1/resume", {"scope": scope, "reason": "as drawn"})
        if answered.status == 200:
            self.halts.pop(scope, None)

    async def resolve(self, order_id: str, body: dict[str, Any]) -> None:
        """Say what became of an order that nobody could find."""
        await self.ask("POST", f"/v1/orders/{order_id}/resolve", body)

    # --- what it looks at ---------------------------------------------------------------------

    async def orders(self) -> list[dict[str, Any]] | None:
        """List all orders; None without an answer."""
        answered = await self.ask("GET", f"/v1/orders?limit={LISTED_MAX}")
        return answered.answer["orders"] if answered.status == 200 else None

    async def positions(self, account: str) -> list[dict[str, Any]] | None:
        """Show an account's holdings; None without an answer."""
        answered = await self.ask("GET", f"/v1/accounts/{account}/positions")
        return answered.answer["positions"] if answered.status == 200 else None

    async def log_sessions_in(self) -> None:
        """Let every session that was locked out try again, as a person does."""
        answered = await self.ask("GET", "/v1/sessions")
        for session in answered.answer["sessions"] if answered.status == 200 else ():
            if session["state"] in {"LOCKED_OUT", "COMPETING"}:
                path = f"/v1/sessions/{session['name']}/login"
                await self.ask("POST", path, {"reason": "the weather is fine again"})

    async def accounts_ready(self) -> bool:
        """Tell whether every account says that it is ready."""
        answered = await self.ask("GET", "/v1/accounts")
        if answered.status != 200:
            return False
        accounts = answered.answer["accounts"]
        for account in accounts:
            if account["trading_state"] != "normal":
                # The engine halts an account itself when something in it failed too often.
                await self.resume(f"account:{account['account']}")
        return all(account["ready"] for account in accounts)


def is_open(order: dict[str, Any]) -> bool:
    """Tell whether an order's body shows one that has not ended."""
    return order["state"] not in _TERMINAL

"""One simulated day: built from a seed, lived through, healed, and checked."""

import asyncio
import gc
import json
import logging
import math
import random
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NoReturn, TextIO
from unittest import mock

import aiohttp.connector
import aiohttp.web_app
import structlog

from engine import metrics
from engine.gateway import feed as gateway_feed
from engine.sim import SimConfig
from engine.sim import stream as sim_stream
from tests.simulation.client import Client, draw_habits, is_open
from tests.simulation.history import History, Moment
from tests.simulation.host import Host, engine_config, patch_for_speed
from tests.simulation.journal import Disk
from tests.simulation.loop import START_S, VirtualLoop
from tests.simulation.network import Network
from tests.simulation.venue import Gateway
from tests.simulation.weather import Weather

HEALING_S_MAX: Final = 900.0
TRADING_S: Final = 300.0
LONG_SHARE: Final = 0.1
"""So many days trade for as long as it takes; the others leave time for more of them."""

PATIENCE_S: Final = 240.0
"""After so long in good weather without every account ready, a person restarts the engine."""

LOOK_S: Final = 10.0
LOOK_AGAIN_S: Final = 60.0
"""So often a look is taken although nothing that it waits for can have happened."""
CALM_LOOKS: Final = 2
"""So many looks in a row must find nothing under way before the day is over."""

AFTERNOON_NS: Final = 1_763_564_400_000_000_000
"""2025-11-19T15:00:00Z, a Wednesday, when most days begin."""
BEFORE_RESET_NS: Final = 1_763_618_220_000_000_000
"""2025-11-20T05:57:00Z, three minutes before the American reset."""
RESET_AFTER_S: Final = 180.0
NO_SUBMIT_S: Final = 120.0
RESET_OVER_S: Final = 600.0
RESET_SHARE: Final = 0.06
LAST_LOOKS_MAX: Final = 10
UNSETTLED: Final = frozenset({"SUBMITTING", "AWAITING_REPLY", "IN_DOUBT", "PENDING_NEW"})

STATES: Final = {
    "Filled": {"FILLED"},
    "Cancelled": {"CANCELLED", "REJECTED"},
    "Submitted": {"WORKING", "PARTIALLY_FILLED"},
    "PreSubmitted": {"ACCEPTED", "WORKING", "PARTIALLY_FILLED"},
    "PendingCancel": {"WORKING", "PARTIALLY_FILLED", "ACCEPTED"},
    "PendingSubmit": {"PENDING_NEW"},
    "Inactive": {"SUSPENDED", "REJECTED", "PENDING_NEW"},
}
"""What may be said of an order in each state of the venue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a day came to. `problems` is empty when everything held."""

    seed: int
    digest: str
    steps: int
    virtual_s: float
    problems: tuple[str, ...]
    sometimes: Counter[str]


@dataclass(slots=True, kw_only=True)
class Day:
    """Everything of one day, for whoever checks it."""

    seed: int
    loop: VirtualLoop
    history: History
    disk: Disk
    host: Host
    gateways: tuple[Gateway, ...]
    client: Client
    weather: Weather
    complaints: list[str]
    windows: tuple[tuple[float, float], ...]
    """When nothing may be sent, in the loop's seconds: before the broker's reset."""
    counters: dict[tuple[str, str], float]
    ready_at_end: bool
    final_orders: list[dict[str, Any]]
    final_positions: dict[str, list[dict[str, Any]]]

    def truth_of(self, order_id: str) -> Any:
        """Return the venue's order with the id that this one has on the wire; None without."""
        for record in self.disk.records:
            if record.type == "INTENT" and record.order_id == order_id:
                coid = json.loads(record.body)["approved"]["coid"]
                break
        else:
            return None
        orders = (one for gateway in self.gateways for one in gateway.venue.orders.values())
        return next((one for one in orders if one.ticket.coid == coid), None)

    def counted(self, name: str, *, kind: str | None = None) -> float:
        """Return how far a counter of the engine's metrics has come since the morning."""
        now = read_counters()
        return sum(
            value - self.counters.get(key, 0.0)
            for key, value in now.items()
            if key[0] == name and kind in {None, key[1]}
        )


def read_counters() -> dict[tuple[str, str], float]:
    """Read the counters that a day is judged by, with the label `kind` where there is one."""
    found: dict[tuple[str, str], float] = {}
    for counter in (metrics.ACTOR_FAILURES, metrics.ANOMALIES):
        for family in counter.collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    key = (sample.name, sample.labels.get("kind", ""))
                    found[key] = found.get(key, 0.0) + sample.value
    return found


def build_day(seed: int, loop: VirtualLoop, trace: TextIO | None = None) -> Day:
    """Make the world of a seed; nothing runs yet."""
    chance = random.Random(f"day:{seed}")
    reset_s = loop.time() + RESET_AFTER_S
    history = History(loop, trace=trace)
    has_reset = chance.random() < RESET_SHARE
    wall_ns = (BEFORE_RESET_NS if has_reset else AFTERNOON_NS) - loop.time_ns()
    network = Network(loop, seed)
    disk = Disk(
        loop, seed, lambda record: history.note("durable", (record.seq, record.type, record.body))
    )
    accounts = {
        "north": tuple(f"DU100000{n}" for n in range(1, chance.choice((2, 3)))),
        "south": tuple(f"DU200000{n}" for n in range(1, chance.choice((2, 3)))),
    }
    addresses = {"north": "127.0.0.1:5001", "south": "127.0.0.1:5002"}
    gateways = tuple(
        Gateway(
            name=name,
            address=addresses[name],
            config=_sim_config(chance, name, accounts[name], seed),
            network=network,
            history=history,
            wall_ns=wall_ns,
        )
        for name in accounts
    )
    config = engine_config(
        {name: (addresses[name], accounts[name]) for name in accounts},
        orders={
            "external": chance.choice(("observe", "observe", "adopt", "cancel")),
            "unprotected": chance.choice(("alarm", "alarm", "cancel_entry", "replace_exit")),
            "late_sighting": chance.choice(("cancel", "cancel", "keep")),
        },
        penalty_ms=20_000,
    )
    host = Host(
        loop=loop,
        network=network,
        disk=disk,
        history=history,
        config=config,
        seed=seed,
        wall_ns=wall_ns,
    )
    client = Client(
        network=network,
        history=history,
        accounts=accounts["north"] + accounts["south"],
        chance=random.Random(f"client:{seed}"),
        habits=draw_habits(chance),
        wall_ns=wall_ns,
    )
    weather = Weather(
        host=host, gateways=gateways, history=history, chance=random.Random(f"weather:{seed}")
    )
    return Day(
        seed=seed,
        loop=loop,
        history=history,
        disk=disk,
        host=host,
        gateways=gateways,
        client=client,
        weather=weather,
        complaints=[],
        windows=((reset_s - NO_SUBMIT_S, reset_s),) if has_reset else (),
        counters=read_counters(),
        ready_at_end=False,
        final_orders=[],
        final_positions={},
    )


def _sim_config(
    chance: random.Random, name: str, accounts: tuple[str, ...], seed: int
) -> SimConfig:
    return SimConfig(
        username=name,
        accounts=accounts,
        seed=seed,
        quote_interval_ms=(4_000, 12_000),
        fill_delay_ms=chance.choice(((1, 30), (50, 400), (500, 9_000))),
        cancel_delay_ms=chance.choice((1, 200, 3_000)),
        commission_delay_ms=chance.choice((10, 2_000)),
        smd_conflation_ms=2_000,
        heartbeat_ms=10_000,
    )


async def live(day: Day) -> None:
    """Live through the day, then heal it and wait until nothing moves any more."""
    for gateway in day.gateways:
        await gateway.start()
    await day.client.start()
    day.host.start()
    weather = asyncio.create_task(day.weather.run())
    await asyncio.sleep(random.Random(day.seed).choice((0.0, 4.0, 12.0, 12.0)))
    for _, reset_s in day.windows:
        day.loop.call_at(reset_s, _reset_everywhere, day)
    long_day = random.Random(f"trading:{day.seed}").random() < LONG_SHARE
    await day.client.trade(math.inf if long_day else TRADING_S)
    await asyncio.sleep(random.Random(day.seed).choice((0.0, 5.0, 20.0)))
    weather.cancel()
    await day.weather.heal()
    day.history.note("healed", None)
    await _settle(day)


def _reset_everywhere(day: Day) -> None:
    """End every brokerage session, as the broker does each night."""
    for gateway in day.gateways:
        gateway.sim.faults.reset_brokerage()


async def _settle(day: Day) -> None:
    """Wait until the API's answers agree with the venue, or for as long as that may take."""
    client, loop = day.client, day.loop
    # After a nightly reset good weather begins when the broker is open again.
    open_s = max([loop.time(), *(reset_s + RESET_OVER_S for _, reset_s in day.windows)])
    deadline_s, restart_s = open_s + HEALING_S_MAX, open_s + PATIENCE_S
    await asyncio.sleep(open_s - loop.time())
    clears, resolves = day.client.chance.random() < 0.5, day.client.chance.random() < 0.5
    calm, records, until_s = 0, -1, 0.0
    while calm < CALM_LOOKS and loop.time() < deadline_s:
        await asyncio.sleep(LOOK_S)
        if len(day.disk.records) == records and loop.time() < until_s:
            continue  # The answers would be those of the last look.
        first = len(day.history.moments)
        orders = await _look_after(day)
        if orders is None:
            calm = 0
            if loop.time() > restart_s:
                # An actor that failed too often stays given up: a person starts the engine anew.
                restart_s = deadline_s
                day.host.kill("a person restarts it")
                day.host.start()
            continue
        if clears:
            await _cancel_all(day, orders)
        if resolves:
            await _resolve_all(day, orders)
        if _waits_for_a_record(orders, day.history.moments[first:]):
            calm, records, until_s = 0, len(day.disk.records), loop.time() + LOOK_AGAIN_S
        else:
            calm = calm + 1 if await _settled(day, orders) else 0
    day.ready_at_end = calm > 0 or await client.accounts_ready()
    for _ in range(LAST_LOOKS_MAX):
        records = len(day.disk.records)
        day.final_orders = await client.orders() or []
        for account in client.accounts:
            day.final_positions[account] = await client.positions(account) or []
        if len(day.disk.records) == records and not day.host.is_writing:
            break
        await asyncio.sleep(1.0)  # What was written meanwhile is not in what was read.
    day.history.note("evening", None)


async def _look_after(day: Day) -> list[dict[str, Any]] | None:
    """Do what people do in the evening; list the orders once every account is ready."""
    client = day.client
    for scope in sorted(client.halts):
        await client.resume(scope)
    for order in client.sent:
        if order.order_id is None and order.tries:
            await client._post(order)
    orders = await client.orders()
    if orders is not None and await client.accounts_ready():
        return orders
    await client.log_sessions_in()
    return None


def _waits_for_a_record(orders: list[dict[str, Any]], look: list[Moment]) -> bool:
    """Tell whether a look changed nothing, and saw what only a record of the journal ends."""
    changed = any(moment.kind == "asked" and moment.data[0] != "GET" for moment in look)
    return not changed and any(order["state"] == "IN_DOUBT" or _changes(order) for order in orders)


def _changes(order: dict[str, Any]) -> bool:
    """Tell whether a modify or a cancel of an order is under way."""
    return bool(order["pending"] != "none" and order["state"] != "PARKED")


async def _cancel_all(day: Day, orders: list[dict[str, Any]]) -> None:
    open_ids = {order["order_id"] for order in orders if is_open(order)}
    for order in day.client.sent:
        if order.order_id in open_ids and not order.cancelled:
            await day.client.cancel(order)


async def _resolve_all(day: Day, orders: list[dict[str, Any]]) -> None:
    """Look at the broker's own books for what the engine could not find, and say it."""
    for order in orders:
        if order["state"] != "PARKED":
            continue
        truth = day.truth_of(order["order_id"])
        body: dict[str, Any] = {"as": "not_placed", "reason": "as the broker's desk says"}
        if truth is not None and truth.working:
            body |= {"as": "live", "broker_order_id": str(truth.order_id)}
        elif truth is not None and truth.filled_quantity:
            body |= {
                "as": "filled",
                "broker_order_id": str(truth.order_id),
                "quantity": str(truth.filled_quantity),
                "price": str(truth.average_price),
            }
        await day.client.resolve(order["order_id"], body)


async def _settled(day: Day, orders: list[dict[str, Any]]) -> bool:
    """Tell whether nothing is under way any more, as far as anybody can see."""
    if any(gateway.venue.agenda._due for gateway in day.gateways):
        return False
    for order in orders:
        if _changes(order) or order["state"] in UNSETTLED:
            return False
    if not _is_told(day, orders):
        return False
    for gateway in day.gateways:
        for account, truth in gateway.venue.accounts.items():
            rows = await day.client.positions(account)
            held = {conid: one.quantity for conid, one in truth.positions.items() if one.quantity}
            shown = {row["conid"]: Decimal(row["quantity"]) for row in rows or ()}
            if {conid: quantity for conid, quantity in shown.items() if quantity} != held:
                return False
            if not _are_others_told(gateway, account, rows or []):
                return False
    return True


def _are_others_told(gateway: Gateway, account: str, rows: list[dict[str, Any]]) -> bool:
    """Tell whether what others' orders may still fill is reserved: news of them may be late."""
    told = {(row["conid"], side): Decimal(row[f"working_{side.lower()}"])
            for row in rows for side in ("BUY", "SELL")}  # fmt: skip
    others: defaultdict[tuple[int, str], Decimal] = defaultdict(Decimal)
    for order in gateway.venue.orders.values():
        if order.is_external and order.working and order.ticket.account == account:
            others[order.ticket.conid, order.ticket.side] += order.remaining_quantity
    return all(told.get(key, 0) >= quantity for key, quantity in others.items())


def _is_told(day: Day, orders: list[dict[str, Any]]) -> bool:
    """Tell whether the API says of every order at the venues what the venue says."""
    truths = {
        str(order.order_id): order
        for gateway in day.gateways
        for order in gateway.venue.orders.values()
    }
    known = {order["broker_order_id"] for order in orders}
    known.update(number for order in orders for number in order["other_broker_order_ids"])
    if any(one.working and not one.is_external and key not in known for key, one in truths.items()):
        return False  # The venue took it so late that nobody has looked since.
    for order in orders:
        truth = truths.get(order["broker_order_id"])
        if truth is None and is_open(order) and order["confidence"] == "confirmed":
            return False  # It vanished, or has another number; the lists will show which.
        if truth is not None and (
            order["state"] not in STATES[truth.status.value]
            or order["confidence"] != "confirmed"
            or Decimal(order["filled_quantity"]) < truth.filled_quantity
        ):
            return False
    return True


def run_day(
    seed: int,
    check: Callable[[Day], list[str]],
    *,
    trace: TextIO | None = None,
) -> Outcome:
    """Live one day and check it.

    What it leaves behind is collected, unless the collector was switched off before.
    """
    random.seed(seed)  # For what the libraries draw: masks of frames, and nothing that counts.
    loop = VirtualLoop()
    day = build_day(seed, loop, trace)
    problems: list[str] = []
    collects = gc.isenabled()
    gc.disable()  # A day is short; its garbage is collected when it is over.
    with ExitStack() as stack:
        _still_the_machine(stack, loop)
        loop.set_exception_handler(lambda _loop, context: _complain(day, context))
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(live(day))
        except Exception as error:  # noqa: BLE001 - whatever it was, the seed found it
            problems.append(f"the day ended with {type(error).__name__}: {error}")
        finally:
            _close(day, collects=collects)
            asyncio.set_event_loop(None)
    problems += day.complaints
    if not problems:
        problems += check(day)
    return Outcome(
        seed=seed,
        digest=day.history.digest,
        steps=day.history.steps,
        virtual_s=loop.time() - START_S,
        problems=tuple(problems),
        sometimes=day.history.sometimes,
    )


def _still_the_machine(stack: ExitStack, loop: VirtualLoop) -> None:
    """Put the day's time where libraries would read the machine's, and silence the logs."""

    def patch(target: Any, name: str, value: Any) -> None:
        stack.enter_context(mock.patch.object(target, name, value))

    patch(aiohttp.connector, "monotonic", loop.time)
    patch(gateway_feed, "_ADVANCE_S", 2.0)
    patch(sim_stream, "_PROFIT_MS", 10_000)
    patch_for_speed(patch)
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore", ResourceWarning)
    # What a killed engine had prepared and never began.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)


def _complain(day: Day, context: dict[str, Any]) -> None:
    """Keep what would be a line in a log and a bug; a dead engine's leftovers are none."""
    error = context.get("exception")
    text = f"{context.get('message')}: {type(error).__name__}: {error}"
    if error is not None and "never retrieved" in text:
        lines = traceback.extract_tb(error.__traceback__)[-3:]
        text += "".join(f" < {line.filename}:{line.lineno}" for line in reversed(lines))
    if "Unclosed" in text or "was destroyed" in text:
        return
    day.complaints.append(f"at {day.loop.time():.3f} s: {text}")


def _close(day: Day, *, collects: bool) -> None:
    """End everything, so that nothing of this day is left for the next one."""
    loop = day.loop
    day.weather.stop_failing()
    day.host.kill("the day is over")
    loop.cancel_all()
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.run_until_complete(day.client.close())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    # aiohttp keeps the handlers of a thousand requests' paths, and with them their whole days.
    handlers: Any = aiohttp.web_app.__dict__["_cached_build_middleware"]
    handlers.cache_clear()
    if collects:
        gc.collect()
        gc.enable()


def quiet_logs() -> None:
    """Log nothing: a thousand bad days would fill the disk with warnings.

    What was imported stays for good, so the collector need not look at it after each day.
    """
    gc.collect()
    gc.freeze()
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL + 1)
    structlog.configure(
        processors=[_drop],
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=False,
    )


def _drop(_logger: Any, _method: str, _event: Any) -> NoReturn:
    raise structlog.DropEvent

"""One cell of the crash matrix: a flow, a point to die at, a journal, a broker's mood.

Rule: the verdict is made from the simulated venue's own history, the journal's records and
what the API answers afterwards; and only of what the client was promised.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

from engine.journal import JournalError
from engine.journal.reading import open_reader
from engine.sim import SimGateway
from tests.crash.flows import FLOWS, GONE, Client, Promises
from tests.scenarios.processes import (
    ACCOUNTS,
    EngineProcess,
    SimThread,
    config_file,
    quick_sim,
    risk_file,
    until,
)

MOODS: Final = ("accept", "drop", "503-accept")
"""What the broker does with the order that is on its way when the engine dies."""

_SETTLE_S: Final = 15.0
_DEATH_S_MAX: Final = 1.5
_QUANTITY_MAX: Final = 5_000
_UNDER_WAY: Final = frozenset({"SUBMITTING", "AWAITING_REPLY"})
_DOUBTFUL: Final = frozenset({"IN_DOUBT", "PARKED", "NOT_PLACED"})
_LIVE: Final = frozenset({"PENDING_NEW", "ACCEPTED", "WORKING", "PARTIALLY_FILLED", "SUSPENDED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is tried. `points` are the deaths in order; the engine after the last one lives."""

    flow: str
    points: tuple[str, ...]
    mood: str = "accept"

    def __str__(self) -> str:
        return f"{self.flow} [{', '.join(self.points)}] {self.mood}"


@dataclass(slots=True)
class Result:
    """What came of it."""

    cell: Cell
    deaths: int = 0
    problems: list[str] = field(default_factory=list)


class Victim(EngineProcess):
    """An engine that dies at a point."""

    def __init__(self, config: Path, point: str) -> None:
        self._point = point
        super().__init__(config)

    def _command(self, config: Path) -> list[str]:
        run = ["run", "--config", str(config)]
        return [sys.executable, "-m", "tests.crash.victim", self._point, *run]


def run_cell(cell: Cell, folder: Path, *, journal_url: str | None = None) -> Result:
    """Live through the cell in an empty folder, and judge it."""
    result, promises = Result(cell), Promises()
    with SimThread(quick_sim()) as sim:
        _set_mood(sim, cell.mood)
        risk_file(folder)
        tls = {"verify": "pin", "pin_sha256": sim.pin_sha256}
        config = config_file(folder, gateway=sim.url, tls=tls, journal_url=journal_url)
        for number, point in enumerate(cell.points):
            if _live_and_die(config, point, cell, promises, sim, first=number == 0):
                result.deaths += 1
        sim.faults.change(dict.fromkeys(_MOOD_FAULTS.values(), 0))
        with Victim(config, "none") as engine:
            engine.ready()
            result.problems += _judge(engine, sim, promises)
            if engine.stop() != 0:
                result.problems.append("the engine did not stop well")
    result.problems += asyncio.run(_verify(journal_url or "sqlite:///journal.db", folder))
    return result


async def _verify(url: str, folder: Path) -> list[str]:
    """Check the chain of what was written."""
    reader = await open_reader(url, state_dir=folder / "state", shard="0001")
    try:
        await reader.verify()
    except JournalError as error:
        return [str(error)]
    finally:
        await reader.close()
    return []


_MOOD_FAULTS: Final = {"drop": "hang_order_without_accept", "503-accept": "status_503_with_accept"}


def _set_mood(sim: SimGateway, mood: str) -> None:
    if mood in _MOOD_FAULTS:
        sim.faults.change({_MOOD_FAULTS[mood]: 1})


def _live_and_die(
    config: Path, point: str, cell: Cell, promises: Promises, sim: SimGateway, *, first: bool
) -> bool:
    """Run until the point is reached; False when the flow never led there."""
    with contextlib.suppress(DiedEarly), _victim(config, point) as engine:
        try:
            engine.ready()
            if first:
                FLOWS[cell.flow](Client(engine, promises), sim)
            if point == "stop":
                engine.process.send_signal(signal.SIGTERM)
            _wait_for_death(engine)
        except (AssertionError, *GONE):
            _wait_for_death(engine)
        if engine.process.poll() is None:
            engine.kill()
            return False
    return True


class DiedEarly(Exception):  # noqa: N818 - says what happened
    """The engine died before its API answered."""


@contextlib.contextmanager
def _victim(config: Path, point: str) -> Iterator[Victim]:
    try:
        victim = Victim(config, point)
    except (AssertionError, FileNotFoundError) as error:
        raise DiedEarly from error
    with victim:
        yield victim


def _wait_for_death(engine: EngineProcess) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        engine.process.wait(_DEATH_S_MAX)


def _judge(engine: EngineProcess, sim: SimGateway, promises: Promises) -> list[str]:
    """Return what is wrong, once everything has settled."""
    problems: list[str] = []
    for key, fields in promises.tried.items():
        again = engine.submit(key, **fields)
        if again.status not in {200, 202}:
            problems.append(f"{key}: its repeat was answered {again.status} {again.body}")
        elif promises.orders.get(key, again.body["order_id"]) != again.body["order_id"]:
            problems.append(f"{key}: promised as {promises.orders[key]}, now {again.body}")
    last: list[str] = ["it was never looked at"]

    def is_true() -> bool:
        last[:] = list(_differences(engine, sim, promises))
        return not last

    with contextlib.suppress(AssertionError):
        until(is_true, seconds=_SETTLE_S)
    problems += last
    problems += _sent_without_an_attempt(engine, sim)
    counts = Counter(str(one.coid) for one in sim.venue.submissions if one.coid is not None)
    problems += [f"{coid} was sent {count} times" for coid, count in counts.items() if count > 1]
    return problems


def _sent_without_an_attempt(engine: EngineProcess, sim: SimGateway) -> Iterator[str]:
    """Return the orders that the venue got although the journal says that none was attempted.

    That they are found afterwards mends the state, not the promise.
    """
    sent = {str(one.coid) for one in sim.venue.submissions if one.coid is not None}
    for order in engine.call("GET", "/v1/orders?limit=1000").body["orders"]:
        events = engine.call("GET", f"/v1/orders/{order['order_id']}/events").body["events"]
        intents = [one["body"]["approved"]["coid"] for one in events if one["type"] == "INTENT"]
        attempted = any(one["type"] == "ATTEMPT" for one in events)
        if not attempted and sent.intersection(intents):
            yield f"{order['order_id']} was sent, and the journal has no attempt of it"


def _differences(engine: EngineProcess, sim: SimGateway, promises: Promises) -> Iterator[str]:
    """Compare every order and position with the venue's own books."""
    orders = {
        order["order_id"]: order
        for order in engine.call("GET", "/v1/orders?limit=1000").body["orders"]
    }
    for key, order_id in promises.orders.items():
        if order_id not in orders:
            yield f"{key}: {order_id} was promised and is gone"
    by_broker_id = {order["broker_order_id"]: order for order in orders.values()}
    for venue_order in list(sim.venue.orders.values()):  # its thread goes on
        order = by_broker_id.get(str(venue_order.order_id))
        if order is None:
            yield f"the venue has {venue_order.order_id}, the engine does not know it"
            continue
        filled = _plain(venue_order.filled_quantity)
        if order["filled_quantity"] != filled:
            yield f"{order['order_id']} filled {order['filled_quantity']}, at the venue {filled}"
        if venue_order.working != (order["state"] in _LIVE):
            yield f"{order['order_id']} is {order['state']}, at the venue {venue_order.status}"
        if order["order_id"] in promises.cancelled and venue_order.working:
            yield f"{order['order_id']} was cancelled and works at the venue"
    for order in orders.values():
        if order["state"] in _UNDER_WAY:
            yield f"{order['order_id']} is still {order['state']}"
        if order["broker_order_id"] is None and order["state"] in _LIVE:
            yield f"{order['order_id']} is {order['state']}, and the venue has no such order"
        if order["pending"] != "none":
            yield f"{order['order_id']}: a {order['pending']} is still pending"
    yield from _position_differences(engine, sim)


def _plain(number: Decimal) -> str:
    """Write a quantity as the API does: 3, not 3.0 or 3E+1."""
    return f"{number.normalize():f}"


def _position_differences(engine: EngineProcess, sim: SimGateway) -> Iterator[str]:
    for account in ACCOUNTS:
        rows = engine.call("GET", f"/v1/accounts/{account}/positions").body["positions"]
        ours = {str(row["conid"]): row["quantity"] for row in rows if row["quantity"] != "0"}
        held = sim.venue.accounts[account].positions
        theirs = {
            str(conid): _plain(position.quantity)
            for conid, position in list(held.items())
            if position.quantity
        }
        if ours != theirs:
            yield f"{account} holds {ours}, at the venue {theirs}"
        if any(abs(position.quantity) > _QUANTITY_MAX for position in held.values()):
            yield f"{account} is over its limit at the venue"

"""What must be true once the weather is fine again and nothing moves any more."""

import asyncio
import copy
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Final

from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock
from engine.api.order_answers import OrderBody
from engine.assembly import Assembly, Surroundings
from engine.domain.ports import OrderFilter
from engine.journal.rebuild import Snapshots
from tests.simulation.client import is_open
from tests.simulation.day import STATES
from tests.simulation.evidence import Evidence
from tests.simulation.host import EXTERNAL_CONID, SNAPSHOT_RECORDS, _policy
from tests.simulation.journal import Disk, SimulatedJournal
from tests.simulation.ledger import ZERO, Line
from tests.simulation.loop import VirtualLoop

Problems = Iterator[str]

ABSENT: Final = frozenset({"DENIED", "EXPIRED", "REJECTED", "CANCELLED", "PARKED", "NOT_PLACED"})
"""What may be said of an order that the venue never had."""


def check_convergence(seen: Evidence) -> Problems:
    """What the API says of every order is what the venue says."""
    shown = {order["order_id"]: order for order in seen.day.final_orders}
    for order_id, line in seen.ledger.lines.items():
        order = shown.get(order_id)
        if order is None:
            yield f"order {order_id} is not in the API's list at the end"
            continue
        truth = seen.truth_of(line, order["broker_order_id"])
        if truth is None:
            vanished = order["confidence"] == "unconfirmed" and seen.vanished(line)
            if order["state"] not in ABSENT and not vanished:
                yield f"order {order_id} is {order['state']}, but the venue never had it"
        elif order["state"] not in STATES[truth.status.value]:
            yield f"order {order_id} is {order['state']}, at the venue it is {truth.status.value}"
        if order["confidence"] != "confirmed" and truth is not None:
            yield f"order {order_id} is {order['confidence']} with a ready session"
    for coid in seen.venue_orders:
        if coid not in seen.by_coid:
            yield f"the venue has {coid}, which the journal does not know"


def check_seconds(seen: Evidence) -> Problems:
    """Of the orders that the venue has under one id, no more than one works at the end."""
    for coid, orders in seen.venue_orders.items():
        working = [one.order_id for one in orders if one.working]
        if len(working) > 1:
            yield f"{coid} is {len(working)} working orders at the venue: {working}"


def check_exits(seen: Evidence) -> Problems:
    """A bracket whose exit the venue does not have is shown as unprotected."""
    shown = {order["order_id"]: order for order in seen.day.final_orders}
    for line in seen.ledger.lines.values():
        if not line.is_exit or not line.attempts or line.cancels or seen.truths_of(line):
            continue
        entry = seen.truth_of(seen.ledger.lines[line.leader or ""])
        if entry is None or entry.rejected or not (entry.working or entry.filled_quantity):
            continue
        leader = shown.get(line.leader or "")
        told = shown.get(line.order_id)
        unsure = told is not None and is_open(told) and told["confidence"] == "unconfirmed"
        if unsure or _is_replaced(seen, line) or _is_closed(seen, line):
            continue
        if leader is None or line.order_id not in leader["unprotected"]:
            yield f"the exit {line.order_id} is missing at the venue, and nothing says so"


def _is_closed(seen: Evidence, line: Line) -> bool:
    """Tell whether the other exits have closed all that the entry opened, or ever will."""
    lines = seen.ledger.lines.values()
    exits = (one for one in lines if one.leader == line.leader and one.is_exit)
    entries = seen.truths_of(seen.ledger.lines[line.leader or ""])
    opened = sum((one.filled_quantity for one in entries), ZERO)
    closed = sum((seen.filled_of(one) for one in exits), ZERO)
    return not any(one.working for one in entries) and closed >= opened


def _is_replaced(seen: Evidence, line: Line) -> bool:
    """Tell whether the engine has put an order of its own in place of a missing exit.

    It stands at the venue, or it is shown as one that somebody has to look for.
    """
    shown = {order["order_id"]: order for order in seen.day.final_orders}
    made = (
        shown.get(one.order_id)
        for one in seen.ledger.lines.values()
        if one.account == line.account and one.key.startswith(f"{line.key}:replaced")
    )
    return any(
        one is not None and (is_open(one) or Decimal(one["filled_quantity"])) for one in made
    )


def check_terms(seen: Evidence) -> Problems:
    """What the API says of an order's terms is what works at the venue."""
    shown = {order["order_id"]: order for order in seen.day.final_orders}
    for order_id, line in seen.ledger.lines.items():
        order = shown.get(order_id)
        truth = None if order is None else seen.truth_of(line, order["broker_order_id"])
        if order is None or truth is None or not truth.working:
            continue
        told = (order["quantity"], order["limit_price"])
        terms = (truth.ticket.quantity, truth.ticket.limit_price)
        if tuple(None if text is None else Decimal(text) for text in told) != terms:
            yield f"order {order_id} is shown with {told}, at the venue it has {terms}"


def check_fills(seen: Evidence) -> Problems:
    """I6: filled is the sum of the distinct executions, the journal's and the venue's."""
    shown = {order["order_id"]: order for order in seen.day.final_orders}
    for order_id, line in seen.ledger.lines.items():
        filled = seen.filled_of(line)
        if line.filled != filled:
            yield f"I6 order {order_id} has fills of {line.filled} in the journal, truly {filled}"
        if order_id in shown and Decimal(shown[order_id]["filled_quantity"]) != filled:
            told = shown[order_id]["filled_quantity"]
            yield f"I6 order {order_id} is shown with {told} filled, truly {filled}"


def check_positions(seen: Evidence) -> Problems:
    """I7: the positions that the API shows are those of the venue."""
    for gateway in seen.day.gateways:
        for account, truth in gateway.venue.accounts.items():
            told = seen.day.final_positions.get(account)
            if told is None:
                continue
            shown = {row["conid"]: Decimal(row["quantity"]) for row in told}
            held = {conid: one.quantity for conid, one in truth.positions.items()}
            for conid in sorted({*shown, *held}):
                if shown.get(conid, ZERO) != held.get(conid, ZERO):
                    yield (
                        f"I7 {account} holds {held.get(conid, ZERO)} of {conid},"
                        f" the API says {shown.get(conid, ZERO)}"
                    )


def check_reservations(seen: Evidence) -> Problems:
    """I8: what is reserved is what the orders that have not ended may still fill."""
    renumbered = any(one.sim.faults.struck["renumber_on_reset"] for one in seen.day.gateways)
    for account, rows in seen.day.final_positions.items():
        for side, name in (("BUY", "working_buy"), ("SELL", "working_sell")):
            told = {row["conid"]: Decimal(row[name]) for row in rows}
            due = seen.external_leaves(account, side)
            for conid, left in _due_of(seen.day.final_orders, account, side).items():
                due[conid] = due.get(conid, ZERO) + left
            for conid in sorted({*told, *due}):
                extra = told.get(conid, ZERO) - due.get(conid, ZERO)
                if conid == EXTERNAL_CONID and extra > 0 and renumbered:
                    continue  # One of others has two numbers, until lists lacked one for long.
                if extra:
                    yield (
                        f"I8 {account} has {told.get(conid, ZERO)} of {conid} reserved ({name}),"
                        f" its open orders need {due.get(conid, ZERO)}"
                    )


def _due_of(orders: list[dict[str, Any]], account: str, side: str) -> dict[int, Decimal]:
    """Return by contract what an account's orders may still fill on a side.

    Of a group in which one cancels all the largest counts; the exits of a bracket close what
    its entry has filled.
    """
    due: defaultdict[int, Decimal] = defaultdict(Decimal)
    groups: dict[str, list[dict[str, Any]]] = {}
    for order in orders:
        if order["account"] != account:
            continue
        if order["leader_order_id"] is not None:
            groups.setdefault(order["leader_order_id"], []).append(order)
        elif order["side"] == side:
            due[order["conid"]] += _left_of(order)
    for leader, members in groups.items():
        entry = next((one for one in members if one["group"] == "bracket"
                      and one["order_id"] == leader), None)  # fmt: skip
        others = [one for one in members if one is not entry]
        left = [_left_of(one) for one in others if one["side"] == side]
        rest = max(left, default=ZERO)
        if entry is not None:
            if entry["side"] == side:
                due[entry["conid"]] += _left_of(entry)
            closed = sum((Decimal(one["filled_quantity"]) for one in others), ZERO)
            rest = min(rest, max(ZERO, Decimal(entry["filled_quantity"]) - closed))
        due[members[0]["conid"]] += rest
    return due


def _left_of(order: dict[str, Any]) -> Decimal:
    """Return what an order says that it may still fill, with what may be a second one of it.

    While a change is open, that is by the larger of both terms.
    """
    left = ZERO
    if is_open(order):
        wanted = ZERO if order["wanted"] is None else Decimal(order["wanted"]["quantity"])
        more = max(ZERO, wanted - Decimal(order["quantity"]))
        left = Decimal(order["remaining_quantity"]) + more
    return left + Decimal(order["quantity_extra"])


def check_doubts_end(seen: Evidence) -> Problems:
    """I9: after so long in good weather no order is in doubt, and no change is pending."""
    for order in seen.day.final_orders:
        if order["state"] in {"IN_DOUBT", "SUBMITTING", "AWAITING_REPLY"}:
            yield f"I9 order {order['order_id']} is still {order['state']}"
        elif order["pending"] != "none" and is_open(order) and order["state"] != "PARKED":
            if order["confidence"] == "unconfirmed" and _has_vanished(seen, order):
                continue  # Nobody can say what became of a change of what is nowhere.
            yield f"I9 order {order['order_id']} still has a {order['pending']} pending"


def _has_vanished(seen: Evidence, order: dict[str, Any]) -> bool:
    """Tell whether the venue acknowledged an order and has none."""
    line = seen.ledger.lines[order["order_id"]]
    return seen.vanished(line) and not seen.truths_of(line)


def check_cancels(seen: Evidence) -> Problems:
    """I14: a cancel that was promised reaches the order, or the order ends by itself.

    One that could not be written is sent once, says so, and is forgotten with the engine.
    """
    requested = {moment.data for moment in seen.day.history.of("cancel request")}
    shown = {order["order_id"]: order for order in seen.day.final_orders}
    promised = {
        answered.answer["order_id"]
        for _, answered in seen.answers
        if answered.method == "DELETE" and answered.status == 202
        if answered.answer["warning"] is None
    }
    for order_id in sorted(promised):
        line, order = seen.ledger.lines[order_id], shown.get(order_id)
        truth = None if order is None else seen.truth_of(line, order["broker_order_id"])
        if order is None or truth is None or not truth.working:
            continue
        if (line.session, truth.order_id) not in requested:
            yield f"I14 the cancel of {order_id} never came to the venue, where it works"


def check_replay(seen: Evidence) -> Problems:
    """I10: the journal makes the same orders again that the API showed."""
    rebuilt = _rebuilt(seen)
    for order in seen.day.final_orders:
        again = rebuilt.pop(order["order_id"], None)
        if again is None:
            yield f"I10 order {order['order_id']} does not come back from the journal"
            continue
        # How far a state can be trusted is the session's, and there is none here.
        wrong = {
            name: (value, again[name])
            for name, value in order.items()
            if again[name] != value and name != "confidence"
        }
        if wrong:
            yield f"I10 order {order['order_id']} comes back from the journal with {wrong}"
    for order_id in rebuilt:
        yield f"I10 order {order_id} comes back from the journal, but was not shown"


def check_snapshots(seen: Evidence) -> Problems:
    """I10: a snapshot and the records after it make what all records make."""
    disk = seen.day.disk
    if not disk.snapshots:
        return
    bare = copy.copy(disk)
    bare.snapshots = []
    digests = [_digest(one) for one in (disk, bare)]
    if digests[0] != digests[1]:
        yield f"I10 snapshot and tail make {digests[0][:12]}, all records {digests[1][:12]}"


def _digest(disk: Disk) -> str:
    """Return the digest of what the records of a disk make, as a start reads them."""
    loop = VirtualLoop()
    try:
        rebuilding = Snapshots(SimulatedJournal(disk), records=SNAPSHOT_RECORDS).rebuild()
        return loop.run_until_complete(rebuilding).digest()
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def _rebuilt(seen: Evidence) -> dict[str, dict[str, Any]]:
    """Rebuild an engine from the journal, and list its orders as the API would."""
    day, loop = seen.day, VirtualLoop()

    async def rebuild() -> dict[str, dict[str, Any]]:
        journal = SimulatedJournal(day.disk)
        assembly = Assembly(
            day.host.config,
            policy=_policy(),
            journal=journal,
            surroundings=Surroundings(
                clock=Clock(wall_ns=lambda: day.host.wall_ns, monotonic_ns=loop.time_ns),
                dispatcher=Dispatcher(loop),
                connector=day.host.network.connector,
            ),
            on_drain=lambda: None,
        )
        for session in assembly.sessions:
            assembly.supervisor.add_session(session.parts)
        await assembly.rebuild()
        views = assembly.bridge.orders(OrderFilter())
        bodies = (OrderBody.of(view).model_dump(mode="json") for view in views)
        return {body["order_id"]: body for body in bodies}

    try:
        return loop.run_until_complete(rebuild())
    finally:
        loop.close()
        asyncio.set_event_loop(None)


AT_REST: Final[tuple[Callable[[Evidence], Problems], ...]] = (
    check_convergence,
    check_seconds,
    check_exits,
    check_terms,
    check_fills,
    check_positions,
    check_reservations,
    check_doubts_end,
    check_cancels,
    check_replay,
    check_snapshots,
)

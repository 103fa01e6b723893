"""Whether a day held what it must: looked at from outside, after it is over.

Rule 1: evidence is the venue's own history, the bytes that left, the records on the disk,
and the answers that clients got. The engine's memory is not.

Rule 2: every check returns sentences that name what is wrong; none of them repairs.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from tests.simulation.checks_at_rest import AT_REST
from tests.simulation.client import Answered
from tests.simulation.coverage import note_coverage
from tests.simulation.day import Day
from tests.simulation.evidence import Evidence
from tests.simulation.history import Moment
from tests.simulation.host import EXTERNAL_CONID, POSITION_MAX, TOKEN
from tests.simulation.ledger import ZERO
from tests.simulation.loop import START_S

PACE_MAX: Final = 10
"""Requests in any second that the broker bears."""

INTERVALS_S: Final = {
    "/iserver/account/orders": 5.0,
    "/iserver/account/trades": 5.0,
    "/portfolio/accounts": 5.0,
    "/tickle": 1.0,
}
UNHEARD_OF: Final = (
    "forgotten_too_late",
    "identity_mismatch",
    "impossible_transition",
    "journal_regression",
    "key_used_twice",
    "overfill",
    "unexpected_commit",
    "unexpected_message",
    "unknown_timer",
)
"""Anomalies that no weather excuses."""

TURN_S: Final = 2.0
"""Whoever has a turn may use it for so long, also into what begins meanwhile."""

_FORBIDDING: Final = frozenset({"cancel_only", "halt"})
_WARM_UP: Final = ("/iserver/accounts", "/iserver/account/orders", "/iserver/account/trades")
_TERMINAL: Final = frozenset({"DENIED", "FILLED", "CANCELLED", "EXPIRED", "REJECTED", "NOT_PLACED"})

Problems = Iterator[str]


def check_durable_before_sent(seen: Evidence) -> Problems:
    """I1: not a byte of an order leaves before its attempt is durable."""
    for moment in (*seen.orders_sent, *seen.submissions):
        coid, began = moment.data[-2], moment.data[-1]
        if moment.kind == "submission":
            coid, began = moment.data[-1], moment.number
        line = seen.by_coid.get(coid)
        if line is None:
            yield f"I1 {coid} left at {moment.at_s:.3f} s, and the journal has no such order"
        elif not line.attempts or line.attempts[0].moment > began:
            yield f"I1 {coid} left at {moment.at_s:.3f} s, before its attempt was durable"


def check_sent_once(seen: Evidence) -> Problems:
    """I2: one intent is sent at most once, and never becomes a second order."""
    for coid, count in seen.sent_counts().items():
        if count > 1:
            yield f"I2 {coid} was sent {count} times"
    for gateway in seen.day.gateways:
        coids = [
            order.ticket.coid
            for order in gateway.venue.orders.values()
            if order.ticket.coid is not None
        ]
        for coid in {coid for coid in coids if coids.count(coid) > 1}:
            yield f"I2 {coid} is {coids.count(coid)} orders at {gateway.name}"
    for (account, key), order_ids in seen.ledger.keys.items():
        if len(order_ids) > 1:
            yield f"I2 key {key} of {account} became the orders {', '.join(order_ids)}"
    attempts = ((line, len(line.attempts)) for line in seen.ledger.lines.values())
    for line, count in attempts:
        if count > 1:
            yield f"I2 order {line.order_id} has {count} attempts"


def check_exposure_of_journal(seen: Evidence) -> Problems:
    """I3: after every record, position and reservations are within the limit."""
    for standing in seen.ledger.standings:
        worst = max(standing.longest, -standing.shortest)
        if worst > POSITION_MAX:
            yield (
                f"I3 record {standing.record.seq} lets {standing.account} come to {worst} of"
                f" {standing.conid}, the limit is {POSITION_MAX}"
            )


def check_exposure_at_venue(seen: Evidence) -> Problems:
    """I3: whatever fills at the venue, no position passes the limit."""
    for gateway in seen.day.gateways:
        orders = gateway.venue.orders
        position: dict[tuple[str, int], Decimal] = {}
        left: dict[int, Decimal] = {}
        for moment in seen.day.history.of("venue order", "venue fill"):
            if moment.data[0] != gateway.name:
                continue
            if moment.kind == "venue fill":
                order = seen.order_of_fill[moment.data[1]]
                if order.ticket.conid == EXTERNAL_CONID:
                    continue
                key = (order.ticket.account, order.ticket.conid)
                signed = Decimal(moment.data[3]) * (1 if order.ticket.is_buy else -1)
                position[key] = position.get(key, ZERO) + signed
                continue
            _, order_id, _, status, filled, quantity = moment.data
            order = orders[order_id]
            if order.ticket.conid == EXTERNAL_CONID:
                continue  # What others order is not ours to limit.
            over = status in {"Filled", "Cancelled"} or order.rejected
            left[order_id] = ZERO if over else Decimal(quantity) - Decimal(filled)
            key = (order.ticket.account, order.ticket.conid)
            for buys in (True, False):
                open_ = sum(
                    rest
                    for one, rest in left.items()
                    if orders[one].ticket.is_buy is buys
                    and (orders[one].ticket.account, orders[one].ticket.conid) == key
                )
                worst = position.get(key, ZERO) * (1 if buys else -1) + open_
                if worst > POSITION_MAX:
                    yield (
                        f"I3 at {moment.at_s:.3f} s {key[0]} can come to {worst} of {key[1]}"
                        f" at the venue, the limit is {POSITION_MAX}"
                    )
                    return


def check_answers_are_kept(seen: Evidence) -> Problems:
    """I4: what a client was told of exists durably, and never disappears."""
    known: set[str] = set()
    for moment, answered in seen.answers:
        for order in _orders_in(answered):
            line = seen.ledger.lines.get(order["order_id"])
            if line is None or line.intent.moment > moment.number:
                yield f"I4 {order['order_id']} was shown at {moment.at_s:.3f} s, but not durable"
        is_list = answered.method == "GET" and answered.path.startswith("/v1/orders?")
        if is_list and answered.status == 200:
            missing = known - {order["order_id"] for order in answered.answer["orders"]}
            if missing:
                yield f"I4 {sorted(missing)} disappeared at {moment.at_s:.3f} s"
        elif answered.method == "GET" and answered.status == 404:
            yield f"I4 {answered.path} is unknown at {moment.at_s:.3f} s"
        known |= {order["order_id"] for order in _orders_in(answered)}


def check_states_only_advance(seen: Evidence) -> Problems:
    """I5, I6: what has ended stays so, and fills never get fewer."""
    last: dict[str, tuple[dict[str, Any], Moment]] = {}
    for moment, answered in seen.answers:
        for order in _orders_in(answered):
            before = last.get(order["order_id"])
            last[order["order_id"]] = (order, moment)
            if before is None:
                continue
            old, when = before
            where = f"{order['order_id']} between {when.at_s:.3f} and {moment.at_s:.3f} s"
            if Decimal(order["filled_quantity"]) < Decimal(old["filled_quantity"]):
                yield f"I6 {where}: {old['filled_quantity']} -> {order['filled_quantity']} filled"
            if old["state"] in _TERMINAL and order["state"] != old["state"]:
                line = seen.ledger.lines[order["order_id"]]
                evidence = any(
                    record.moment > when.number and record.type in {"EXECUTION", "ROW"}
                    for record, _ in line.records
                )
                if not evidence:
                    yield f"I5 {where}: {old['state']} -> {order['state']} without evidence"


def check_keys(seen: Evidence) -> Problems:
    """I17: one key is one order, and the same answer whenever it is sent again."""
    made: dict[tuple[str, str], tuple[str, int]] = {}
    for moment, answered in seen.answers:
        if answered.method != "POST" or not answered.path.endswith("/orders"):
            continue
        order = next(iter(_orders_in(answered)), None)
        if order is None:
            continue
        key = (order["account"], order["client_order_id"])
        wanted = answered.body["quantity"]
        made_with = seen.ledger.lines[order["order_id"]].quantity
        if made_with != wanted:
            yield f"I17 {key} of {wanted} was answered with an order made with {made_with}"
        if made.setdefault(key, (order["order_id"], wanted)) != (order["order_id"], wanted):
            yield f"I17 {key} became {order['order_id']} at {moment.at_s:.3f} s"


def check_halts(seen: Evidence) -> Problems:
    """I13: under a halt nothing is sent but what was on its way when it came."""
    for scope, since, until in seen.halts(_FORBIDDING):
        for moment in seen.orders_sent:
            line = seen.by_coid.get(moment.data[1])
            if line is None or not since.number < moment.data[2] < until:
                continue
            held = {"firm", f"account:{line.account}", f"instrument:{line.conid}"}
            if scope in held and line.attempts and line.attempts[0].moment > since.number:
                yield f"I13 {line.coid} was sent at {moment.at_s:.3f} s under a halt of {scope}"


def check_changes(seen: Evidence) -> Problems:
    """I1, I2: a change is durable before it is sent, and is sent once."""
    by_broker_id = {
        str(order.order_id): line
        for coid, order in seen.venue_orders.items()
        if (line := seen.by_coid.get(coid)) is not None
    }
    sent: dict[str, int] = {}
    for moment in seen.day.history.of("sent"):
        _, method, path = moment.data
        order_id = path.rpartition("/")[2]
        line = by_broker_id.get(order_id)
        if method != "POST" or "/order/" not in path or line is None:
            continue
        sent[order_id] = sent.get(order_id, 0) + 1
        durable = [change for change in line.changes if change.moment < moment.number]
        if len(durable) < sent[order_id]:
            yield (
                f"I1 change {sent[order_id]} of {line.order_id} left at {moment.at_s:.3f} s,"
                f" when {len(durable)} were durable"
            )


def check_window(seen: Evidence) -> Problems:
    """I13: nothing is sent in the minutes before the broker's nightly reset."""
    for moment in seen.orders_sent:
        for since_s, until_s in seen.day.windows:
            if since_s + TURN_S <= moment.at_s < until_s:
                yield f"I13 {moment.data[1]} was sent at {moment.at_s:.3f} s, before the reset"


def check_warm_up(seen: Evidence) -> Problems:
    """I13: an engine looks at what there is, in every new session, before it sends."""
    for gateway in seen.day.gateways:
        asked: set[str] = set()
        moments = seen.day.history.of("engine started", "sent", "order sent")
        for moment in moments:
            if moment.kind == "engine started":
                asked.clear()
            elif moment.data[0] != gateway.name:
                continue
            elif moment.kind == "sent":
                if moment.data[2] == "/iserver/auth/ssodh/init":
                    asked.clear()
                asked.add(moment.data[2])
            else:
                line = seen.by_coid.get(moment.data[1])
                needs = [*_WARM_UP]
                if line is not None:
                    needs.append(f"/portfolio2/{line.account}/positions")
                missing = [path for path in needs if path not in asked]
                if missing:
                    yield (
                        f"I13 {moment.data[1]} was sent at {moment.at_s:.3f} s,"
                        f" before {', '.join(missing)} was read in this session"
                    )


def check_lane(seen: Evidence) -> Problems:
    """I19: one conversation at a time in each session, in the journal's order."""
    for gateway in seen.day.gateways:
        talks: dict[int, list[Any]] = {}
        for line in seen.ledger.lines.values():
            if line.session == gateway.name and line.attempts:
                talks.setdefault(line.attempts[0].epoch, []).append(line)
        for lines in talks.values():
            lines.sort(key=lambda one: one.attempts[0].seq)
            for before, after in pairwise(lines):
                ends = [
                    record.seq
                    for record, body in before.outcomes
                    if body["step"] != "cancel" and body["outcome"]["kind"] != "question"
                ]
                doubts = [record.seq for record, _ in before.records if record.type == "IN_DOUBT"]
                if min(ends + doubts, default=1 << 60) > after.attempts[0].seq:
                    yield f"I19 {after.coid} was begun while {before.coid} was under way"


def check_pace(seen: Evidence) -> Problems:
    """I12: no gateway is asked faster than the broker bears."""
    for gateway in seen.day.gateways:
        sent = [moment for moment in seen.day.history.of("sent") if moment.data[0] == gateway.name]
        for first, last in zip(sent, sent[PACE_MAX:], strict=False):
            if last.at_s - first.at_s < 1.0:
                yield f"I12 more than {PACE_MAX} requests in a second at {first.at_s:.3f} s"
                break
        for path, least_s in INTERVALS_S.items():
            times = [moment.at_s for moment in sent if moment.data[2] == path]
            for before_s, after_s in pairwise(times):
                if after_s - before_s < least_s and not seen.restarted(before_s, after_s):
                    yield f"I12 {path} again after {after_s - before_s:.3f} s at {after_s:.3f} s"
                    break


def check_secrets(seen: Evidence) -> Problems:
    """I15: no token and no broker session is in a record or an answer."""
    secrets = [TOKEN, *seen.broker_secrets()]
    for record in seen.day.disk.records:
        if any(secret.encode() in record.body for secret in secrets):
            yield f"I15 a secret is in record {record.seq}"
    for moment, answered in seen.answers:
        if any(secret in repr(answered.answer) for secret in secrets):
            yield f"I15 a secret was answered at {moment.at_s:.3f} s"


def check_orphans(seen: Evidence) -> Problems:
    """I4: no record is of an order that has no beginning."""
    for record in seen.ledger.orphans:
        yield f"I4 record {record.seq} ({record.type}) is of {record.order_id}, which never began"


def check_strangers(seen: Evidence) -> Problems:
    """I18: what others ordered is never cancelled and never changed."""
    strangers = {
        (gateway.name, str(order.order_id))
        for gateway in seen.day.gateways
        for order in gateway.venue.orders.values()
        if order.ticket.conid == EXTERNAL_CONID
    }
    for moment in seen.day.history.of("sent"):
        name, method, path = moment.data
        if method != "GET" and (name, path.rpartition("/")[2]) in strangers:
            yield f"I18 {method} {path} at {moment.at_s:.3f} s is about somebody else's order"


def check_composure(seen: Evidence) -> Problems:
    """No actor fails by itself, and no machine meets what cannot be."""
    day = seen.day
    failures = day.counted("engine_actor_failures_total")
    if failures != day.weather.failures:
        yield f"{failures:.0f} actors failed, {day.weather.failures} were made to"
    for kind in UNHEARD_OF:
        count = day.counted("engine_anomalies_total", kind=kind)
        if count:
            yield f"{count:.0f} anomalies of the kind {kind}"


def check_evening(seen: Evidence) -> Problems:
    """The day came to its end, healthy."""
    if not seen.day.ready_at_end:
        yield "some account is not ready to trade at the end"
    if not any(True for _ in seen.day.history.of("evening")):
        yield f"the day had no evening; it ended at {seen.day.loop.time() - START_S:.0f} s"


def _orders_in(answered: Answered) -> list[dict[str, Any]]:
    """Return the orders that an answer shows."""
    answer = answered.answer
    if not isinstance(answer, dict) or answered.status is None:
        return []
    if "orders" in answer:
        found: list[dict[str, Any]] = answer["orders"]
        return found
    if isinstance(answer.get("order"), dict):
        return [answer["order"]]
    return [answer] if "order_id" in answer else []


CHECKS: Final[tuple[Callable[[Evidence], Problems], ...]] = (
    check_evening,
    check_durable_before_sent,
    check_sent_once,
    check_exposure_of_journal,
    check_exposure_at_venue,
    check_answers_are_kept,
    check_states_only_advance,
    check_keys,
    check_halts,
    check_changes,
    check_window,
    check_warm_up,
    check_lane,
    check_pace,
    check_secrets,
    check_orphans,
    check_strangers,
    check_composure,
    *AT_REST,
)


def check_day(day: Day) -> list[str]:
    """Return all that is wrong with a day, and count what it came through."""
    seen = Evidence(day)
    note_coverage(seen)
    return [problem for check in CHECKS for problem in check(seen)]

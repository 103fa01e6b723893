"""Whether a day held what it must: looked at from outside, after it is over.

Rule 1: evidence is the venue's own history, the bytes that left, the records on the disk,
and the answers that clients got. The engine's memory is not.

Rule 2: every check returns sentences that name what is wrong; none of them repairs.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from engine.domain.values import ExternalPolicy
from tests.simulation.checks_at_rest import AT_REST
from tests.simulation.client import Answered
from tests.simulation.coverage import note_coverage
from tests.simulation.day import Day
from tests.simulation.evidence import Evidence, root_of
from tests.simulation.history import Moment
from tests.simulation.host import ACCEPTED_MESSAGES, EXTERNAL_CONID, POSITION_MAX, TOKEN
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
"""An order is on the wire so soon after its turn came, or it is not sent."""

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
            continue
        if line.intent.moment > began:
            yield f"I1 {coid} left at {moment.at_s:.3f} s, before it was durable itself"
        # The orders of a group leave in the request of the first one, and by its attempt.
        leader = seen.ledger.lines[line.leader] if line.leader else line
        if not leader.attempts or leader.attempts[0].moment > began:
            yield f"I1 {coid} left at {moment.at_s:.3f} s, before its attempt was durable"


def check_sent_once(seen: Evidence) -> Problems:
    """I2: one intent is sent at most once, and never becomes a second order."""
    for coid, count in seen.sent_counts().items():
        if count > 1:
            yield f"I2 {coid} was sent {count} times"
    for gateway in seen.day.gateways:
        coids = Counter(
            order.ticket.coid
            for order in gateway.venue.orders.values()
            if order.ticket.coid is not None
        )
        # What the venue itself made of one order was not sent.
        coids.subtract(one.data[1] for one in seen.day.history.of("incarnated"))
        for coid, count in coids.items():
            if count > 1:
                yield f"I2 {coid} is {count} orders at {gateway.name}"
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
        # Of what evidence forced upon an account, an order that reduces it is no cause.
        worst = standing.longest if standing.buys else -standing.shortest
        if worst > POSITION_MAX:
            yield (
                f"I3 record {standing.record.seq} lets {standing.account} come to {worst} of"
                f" {standing.conid}, the limit is {POSITION_MAX}"
            )


def check_exposure_at_venue(seen: Evidence) -> Problems:
    """I3: whatever fills at the venue, no position passes the limit."""
    for gateway in seen.day.gateways:
        orders, forced = gateway.venue.orders, seen.forced()
        position: dict[tuple[str, int], Decimal] = {}
        fills: dict[str, Decimal] = {}
        left: dict[int, Decimal] = {}
        kinds = ("venue order", "venue fill", "venue correction")
        moments = [one for one in seen.day.history.of(*kinds) if one.data[0] == gateway.name]
        for moment, after in zip(moments, [*moments[1:], None], strict=False):
            if moment.kind != "venue order":
                root = root_of(moment.data[1])
                order, quantity = seen.order_of_fill[root], Decimal(moment.data[3])
                if order.ticket.conid == EXTERNAL_CONID:
                    continue
                key = (order.ticket.account, order.ticket.conid)
                grown = quantity - fills.get(root, ZERO)
                fills[root] = quantity
                signed = grown * (1 if order.ticket.is_buy else -1)
                position[key] = position.get(key, ZERO) + signed
                # Its own row comes after it, and rows of others may come in between.
                left[order.order_id] = max(ZERO, left.get(order.order_id, ZERO) - grown)
                continue
            _, order_id, _, status, filled, quantity = moment.data
            order = orders.get(order_id)
            if order is None:
                continue  # It has another number now, and was told again with it.
            if order.ticket.conid == EXTERNAL_CONID:
                continue  # What others order is not ours to limit.
            if (order.ticket.account, order.ticket.conid) in forced:
                continue
            over = status in {"Filled", "Cancelled"} or order.rejected
            left[order_id] = ZERO if over else Decimal(quantity) - Decimal(filled)
            key = (order.ticket.account, order.ticket.conid)
            if after is not None and after.at_s == moment.at_s:
                continue  # What one trade cancels of its group is told row by row.
            for buys in (True, False):
                open_ = _open_at_venue(orders, left, key, buys=buys)
                worst = position.get(key, ZERO) * (1 if buys else -1) + open_
                if worst > POSITION_MAX:
                    yield (
                        f"I3 at {moment.at_s:.3f} s {key[0]} can come to {worst} of {key[1]}"
                        f" at the venue, the limit is {POSITION_MAX}"
                    )
                    return


def _open_at_venue(
    orders: dict[int, Any], left: dict[int, Decimal], key: tuple[str, int], *, buys: bool
) -> Decimal:
    """Return what may still fill on a side: of a group that cancels itself, the largest.

    The exits of a bracket close what its entry has filled, and hold no room before.
    """
    total = ZERO
    groups: dict[str, Decimal] = {}
    for order_id, rest in left.items():
        order = orders.get(order_id)
        if order is None or order.ticket.is_buy is not buys:
            continue
        if (order.ticket.account, order.ticket.conid) != key or order.parent_id is not None:
            continue
        if order.oca_group is None:
            total += rest
        else:
            groups[order.oca_group] = max(rest, groups.get(order.oca_group, ZERO))
    return total + sum(groups.values(), ZERO)


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
    """I5, I6: what has ended stays so, and fills never get fewer without a correction."""
    last: dict[str, tuple[dict[str, Any], Moment]] = {}
    for moment, answered in seen.answers:
        for order in _orders_in(answered):
            before = last.get(order["order_id"])
            last[order["order_id"]] = (order, moment)
            if before is None:
                continue
            old, when = before
            where = f"{order['order_id']} between {when.at_s:.3f} and {moment.at_s:.3f} s"
            fewer = Decimal(order["filled_quantity"]) < Decimal(old["filled_quantity"])
            if fewer and not seen.ledger.lines[order["order_id"]].corrected:
                yield f"I6 {where}: {old['filled_quantity']} -> {order['filled_quantity']} filled"
            if old["state"] in _TERMINAL and order["state"] != old["state"]:
                line = seen.ledger.lines[order["order_id"]]
                evidence = any(
                    record.moment > when.number and record.type in {"EXECUTION", "ROW"}
                    for record, _ in line.records
                )
                if not evidence:
                    yield f"I5 {where}: {old['state']} -> {order['state']} without evidence"


def check_ends(seen: Evidence) -> Problems:
    """I5: an order is shown as cancelled only after the venue cancelled it."""
    ended: dict[str, int] = {}
    for moment in seen.day.history.of("venue order"):
        if moment.data[3] in {"Cancelled", "Filled"}:
            ended.setdefault(moment.data[2], moment.number)
    told: set[str] = set()
    for moment, answered in seen.answers:
        for order in _orders_in(answered):
            order_id = order["order_id"]
            line = seen.ledger.lines[order_id]
            anonymous = line.coid is None or line.is_exit
            if order["state"] != "CANCELLED" or anonymous or order_id in told:
                continue
            told.add(order_id)
            truths = seen.truths_of(line)
            alone = len(truths) == 1 and not truths[0].rejected
            if alone and ended.get(line.coid or "", moment.number) >= moment.number:
                yield f"I5 {order_id} is shown CANCELLED at {moment.at_s:.3f} s, the venue has it"


def check_proofs(seen: Evidence) -> Problems:
    """I9: nothing is proven absent that the venue has, unless all it shows was made to hide it."""
    lagging = {
        gateway
        for name, gateway in (moment.data for moment in seen.day.history.of("weather"))
        if name == "order_list_lag"
    }
    came: dict[str, int] = {}
    names: dict[str, set[tuple[str, int]]] = {}
    for moment in seen.day.history.of("venue order"):
        gateway, order_id, coid = moment.data[:3]
        came.setdefault(coid, moment.number)
        names.setdefault(coid, set()).add((gateway, order_id))
    for line in seen.ledger.lines.values():
        hidden = names.get(line.coid or "", set()) & seen.day.weather.hidden
        if line.session in lagging or hidden:
            continue  # Fresh lists lacked it for longer than any proof waits.
        for record, _ in line.records:
            if record.type == "ABSENT" and came.get(line.coid or "", record.moment) < record.moment:
                yield f"I9 record {record.seq} proves {line.coid} absent, the venue has it"


def check_expiries(seen: Evidence) -> Problems:
    """I11: what is said to have expired unsent did not leave."""
    left = {moment.data[1]: moment.number for moment in seen.orders_sent}
    for line in seen.ledger.lines.values():
        for record, _ in line.records:
            sent = left.get(line.coid or "", record.moment)
            if record.type == "EXPIRED" and sent < record.moment:
                yield f"I11 record {record.seq} lets {line.coid} expire unsent, its bytes had left"


def check_unasked_cancels(seen: Evidence) -> Problems:
    """I14: no order of ours is cancelled that nobody wanted to cancel.

    What the venue made of one order a second time may be undone without being asked.
    """
    doubled = {moment.data[1] for moment in seen.day.history.of("incarnated")}
    asked = {
        answered.path.rpartition("/")[2]: answered.asked
        for _, answered in reversed(seen.answers)
        if answered.method == "DELETE"
    }
    swept = [
        answered.asked
        for _, answered in seen.answers
        if answered.path == "/v1/halt" and answered.body["cancel_working"]
    ]
    if had_full_disk(seen):
        return  # A cancel that cannot be written is sent all the same, whoever wanted it.
    coids: dict[tuple[str, int], str] = {}
    for moment in seen.day.history.of("venue order", "cancel request"):
        name, order_id = moment.data[:2]
        if moment.kind == "venue order":
            coids[name, order_id] = moment.data[2]
            continue
        line = seen.by_coid.get(coids.get((name, order_id), ""))
        if line is None or line.coid in doubled:
            continue
        wanted = [record.moment for record in line.cancels]
        wanted += [*swept, asked.get(line.order_id, moment.number)]
        if min(wanted) >= moment.number:
            yield f"I14 {line.order_id} was cancelled at {moment.at_s:.3f} s, which nobody wanted"


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
            line = seen.ledger.lines[line.leader] if line.leader else line
            if scope in held and line.attempts and line.attempts[0].moment > since.number:
                yield f"I13 {line.coid} was sent at {moment.at_s:.3f} s under a halt of {scope}"


def check_questions(seen: Evidence) -> Problems:
    """I16: a question is confirmed only where the policy accepts all of its messages."""
    for line in seen.ledger.lines.values():
        asked: dict[str, set[str]] = {}
        for record, body in line.records:
            question = body["outcome"]["question"] if record.type == "QUESTION" else None
            if question is not None:
                asked[question["question_id"]] = set(question["message_ids"])
            elif record.type == "REPLY" and body["confirmed"]:
                messages = asked.get(body["question_id"], set())
                if not messages or messages - ACCEPTED_MESSAGES:
                    yield (
                        f"I16 {line.order_id} said yes to {sorted(messages) or 'nothing known'}"
                        f" at {record.seq}, accepted are {sorted(ACCEPTED_MESSAGES)}"
                    )


def check_refusals(seen: Evidence) -> Problems:
    """I11: what was called refused, or unsent, the broker does not have."""
    left = seen.sent_counts()
    for line in seen.ledger.lines.values():
        for record, body in line.outcomes:
            kind = body["outcome"]["kind"]
            if body["step"] != "place" or line.follows:
                continue
            lives = any(not one.rejected for one in seen.truths_of(line))
            if kind in {"refused", "not_sent"} and lives:
                yield f"I11 record {record.seq} calls {line.coid} {kind}, the venue has it"
            # HTTP 429 is an answer: the gateway took note of nothing but the request's pace.
            unanswered = kind == "not_sent" and body["outcome"]["http_status"] is None
            if unanswered and left[line.coid or ""]:
                yield f"I11 record {record.seq} calls {line.coid} unsent, its bytes had left"


def check_changes(seen: Evidence) -> Problems:
    """I1, I2: a change is durable before it is sent, and is sent once."""
    by_broker_id = {
        str(order.order_id): line
        for line in seen.ledger.lines.values()
        for order in seen.truths_of(line)
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
            if since_s <= moment.at_s < until_s:
                yield f"I13 {moment.data[1]} was sent at {moment.at_s:.3f} s, before the reset"


def check_warm_up(seen: Evidence) -> Problems:
    """I13: an engine looks at what there is, in every new session, before it sends."""
    for gateway in seen.day.gateways:
        asked: set[str] = set()
        before: set[str] = set()
        opened_s = 0.0
        moments = seen.day.history.of("engine started", "sent", "order sent")
        for moment in moments:
            if moment.kind == "engine started":
                asked, before = set(), set()
            elif moment.data[0] != gateway.name:
                continue
            elif moment.kind == "sent":
                if moment.data[2] == "/iserver/auth/ssodh/init":
                    asked, before, opened_s = set(), asked, moment.at_s
                asked.add(moment.data[2])
            else:
                line = seen.by_coid.get(moment.data[1])
                needs = [*_WARM_UP]
                if line is not None:
                    needs.append(f"/portfolio2/{line.account}/positions")
                # A turn of the session before is good for so long, whatever becomes of that.
                read = asked | before if moment.at_s < opened_s + TURN_S else asked
                missing = [path for path in needs if path not in read]
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
            if line.session == gateway.name and line.attempts and not line.follows:
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
        text = repr(answered.answer)
        if any(secret in text for secret in secrets):
            yield f"I15 a secret was answered at {moment.at_s:.3f} s"


def check_orphans(seen: Evidence) -> Problems:
    """I4: no record is of an order that has no beginning."""
    for record in seen.ledger.orphans:
        yield f"I4 record {record.seq} ({record.type}) is of {record.order_id}, which never began"


def had_full_disk(seen: Evidence) -> bool:
    """Tell whether the journal could not be written for a while."""
    return any(moment.data[0] == "full_disk" for moment in seen.day.history.of("weather"))


def check_strangers(seen: Evidence) -> Problems:
    """I18: what others ordered is never changed, and cancelled only where that is the policy."""
    strangers = {
        (gateway.name, str(order.order_id))
        for gateway in seen.day.gateways
        for order in gateway.venue.orders.values()
        if order.is_external
    }
    # While the disk is full a cancel is sent without a record; an adopted order may be cancelled.
    unwritten = had_full_disk(seen)
    adopted = {line.adopted for line in seen.ledger.lines.values() if line.cancels or unwritten}
    cancels = seen.day.host.config.orders.external is ExternalPolicy.CANCEL
    for moment in seen.day.history.of("sent"):
        name, method, path = moment.data
        order_id = path.rpartition("/")[2]
        if method == "GET" or (name, order_id) not in strangers:
            continue
        if method == "DELETE" and (cancels or order_id in adopted):
            continue
        yield f"I18 {method} {path} at {moment.at_s:.3f} s is about somebody else's order"
    for gateway in seen.day.gateways if cancels else ():
        for order in gateway.venue.orders.values():
            if order.is_external and order.working:
                yield f"I18 {order.order_id} of others works at the end, the policy is to cancel"


def check_composure(seen: Evidence) -> Problems:
    """No actor fails by itself, and no machine meets what cannot be."""
    day = seen.day
    failures = day.counted("engine_actor_failures_total")
    if failures != day.weather.failures:
        yield f"{failures:.0f} actors failed, {day.weather.failures} were made to"
    doubled = any(True for _ in day.history.of("incarnated"))
    for kind in UNHEARD_OF:
        count = day.counted("engine_anomalies_total", kind=kind)
        if count and not (kind == "overfill" and doubled):  # Two orders may fill twice as much.
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
    check_ends,
    check_proofs,
    check_expiries,
    check_unasked_cancels,
    check_keys,
    check_halts,
    check_questions,
    check_refusals,
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

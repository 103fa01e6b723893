"""Interesting states that the days came to: what was never reached was never tested.

Each name of `SOMETIMES` must be reached in a thousand days; a run in which one is not has
lost a part of its weather, or the engine a part of its ways.
"""

import json
from collections.abc import Iterator
from typing import Final

from tests.simulation.evidence import Evidence
from tests.simulation.ledger import Line

SOMETIMES: Final = (
    "in doubt, found by the stream",
    "in doubt, found by a lookup",
    "in doubt, found by a fill",
    "in doubt, parked",
    "in doubt after a restart",
    "question accepted",
    "question declined",
    "question lost",
    "reply in doubt",
    "refused by the broker",
    "not sent",
    "expired unsent",
    "fill before the acknowledgement",
    "filled in pieces",
    "cancelled by us",
    "cancelled by the broker",
    "cancel while in doubt",
    "cancel before it was sent",
    "cancel sent more than once",
    "cancel too late",
    "halt while an order waited",
    "denied by a halt",
    "denied by a limit",
    "denied by the session",
    "killed between attempt and answer",
    "killed between intent and attempt",
    "killed before the intent was told",
    "killed with an order working",
    "journal refused a record",
    "key sent again",
    "key with another body",
    "no answer to a client",
    "HTTP 429 from the gateway",
    "session competed with",
    "session logged out",
    "market order filled",
    "modify applied",
    "modify not applied",
    "modify in doubt",
    "cancel during a modify",
    "prompt raised",
    "actor failed and came back",
    "order of others seen",
    "trading up to the nightly reset",
    "connection cut within its bytes",
    "connection fell silent",
    "proven absent",
    "late answer used",
    "execution busted",
    "resolved by a person",
    "one cancelled all",
    "good till passed",
    "account break",
    "order of others adopted",
    "order of others cancelled",
    "snapshot used at a start",
    "proven absent, and seen later",
    "second order cancelled",
    "order renumbered",
    "bracket filled, one exit cancelled the other",
    "exit missing",
    "snapshot torn",
)

RARELY: Final = ("parked, and found later",)
"""Counted and shown as well; a thousand days need not reach them."""


def note_coverage(seen: Evidence) -> None:
    """Count into the day's history what it came through."""
    reached = seen.day.history.reached
    for line in seen.ledger.lines.values():
        for what in (
            *_of_outcomes(line),
            *_of_doubt(line),
            *_of_changes(line),
            *_of_life(seen, line),
            *_of_evidence(line),
            *_of_group(seen, line),
        ):
            reached(what)
    for what in (*_of_answers(seen), *_of_kills(seen), *_of_gateways(seen)):
        reached(what)


def _of_outcomes(line: Line) -> Iterator[str]:
    for _, body in line.outcomes:
        kind, step = body["outcome"]["kind"], body["step"]
        if kind == "in_doubt" and step == "reply":
            yield "reply in doubt"
        elif kind == "refused" and step == "place":
            yield "refused by the broker"
        elif kind == "not_sent" and step == "place":
            yield "not sent"
        elif kind == "refused" and step == "cancel":
            yield "cancel too late"
    for record, body in line.records:
        if record.type == "REPLY":
            yield "question accepted" if body["confirmed"] else "question declined"
        elif record.type == "EXPIRED":
            yield "expired unsent"


def _of_doubt(line: Line) -> Iterator[str]:
    doubted = False
    asked = answered = 0
    for record, body in line.records:
        match record.type:
            case "IN_DOUBT":
                doubted = True
                yield "in doubt after a restart"
                if asked > answered:
                    yield "question lost"
            case "OUTCOME" | "QUESTION" if body["step"] != "cancel":
                doubted = body["outcome"]["kind"] == "in_doubt"
                asked += record.type == "QUESTION"
                answered += record.type == "OUTCOME"
            case "CANCEL" if doubted:
                yield "cancel while in doubt"
            case "PARKED":
                doubted = False
                yield "in doubt, parked"
            case "EXECUTION" if doubted:
                doubted = False
                yield "in doubt, found by a fill"
            case "ROW" if doubted:
                doubted = False
                by = "the stream" if body["source"] == "stream" else "a lookup"
                yield f"in doubt, found by {by}"
            case _:
                continue


def _of_evidence(line: Line) -> Iterator[str]:
    parked = False
    for record, body in line.records:
        match record.type:
            case "ABSENT":
                yield "proven absent"
            case "OUTCOME" if body["late"] and body["outcome"]["kind"] in {"ack", "refused"}:
                yield "late answer used"
            case "INCARNATION":
                yield "second order cancelled" if body["duplicate"] else "order renumbered"
            case "PARKED":
                parked = True
            case "ROW" | "EXECUTION" if parked:
                parked = False
                yield "parked, and found later"
            case "RESOLVED":
                parked = False
                yield "resolved by a person"
            case "UNPROTECTED":
                yield "exit missing"
            case "CANCEL" if "good till" in body["cause"]:
                yield "good till passed"
            case _:
                continue
    if line.late_sighting:
        yield "proven absent, and seen later"
    if any(not quantity for _, quantity in line.fills.values()):
        yield "execution busted"


def _of_group(seen: Evidence, line: Line) -> Iterator[str]:
    if line.index or line.group is None:
        return
    members = [one for one in seen.ledger.lines.values() if one.leader == line.order_id]
    if line.group == "bracket":
        members = [one for one in members if one.is_exit]
    statuses = [truth.status.value for one in members for truth in seen.truths_of(one)]
    if "Filled" in statuses and "Cancelled" in statuses:
        bracket = line.group == "bracket"
        yield "bracket filled, one exit cancelled the other" if bracket else "one cancelled all"


def _of_changes(line: Line) -> Iterator[str]:
    changing = False
    for record, body in line.records:
        match record.type:
            case "MODIFY":
                changing = True
            case "MODIFIED":
                changing = False
                yield "modify applied" if body["applied"] else "modify not applied"
            case "OUTCOME" if body["step"] == "modify":
                if body["outcome"]["kind"] == "in_doubt":
                    yield "modify in doubt"
            case "CANCEL" if changing:
                yield "cancel during a modify"
            case "PROMPT":
                yield "prompt raised"
            case _:
                continue


def _of_life(seen: Evidence, line: Line) -> Iterator[str]:
    truth = seen.truth_of(line)
    types = [record.type for record, _ in line.records]
    if "EXECUTION" in types and "OUTCOME" in types[types.index("EXECUTION") :]:
        yield "fill before the acknowledgement"
    if len(line.fills) > 1:
        yield "filled in pieces"
    if truth is not None and truth.status.value == "Cancelled":
        yield "cancelled by us" if line.cancels else "cancelled by the broker"
    if line.cancels and not line.attempts:
        yield "cancel before it was sent"
    if truth is not None and truth.status.value == "Filled" and truth.ticket.limit_price is None:
        yield "market order filled"
    requests = [moment.data[1] for moment in seen.day.history.of("cancel request")]
    if truth is not None and requests.count(truth.order_id) > 1:
        yield "cancel sent more than once"


def _of_answers(seen: Evidence) -> Iterator[str]:
    posts: set[tuple[str, str]] = set()
    for _, answered in seen.answers:
        if answered.status is None:
            yield "no answer to a client"
        elif answered.status == 503:
            yield "journal refused a record"
        elif answered.status == 409:
            yield "key with another body"
        elif answered.status == 422:
            code = answered.answer["error"]["code"]
            words = {"TRADING_HALTED": "a halt", "SESSION_NOT_READY": "the session"}
            yield f"denied by {words.get(code, 'a limit')}"
        if answered.method == "POST" and answered.path.endswith("/orders"):
            key = (answered.path, answered.body["client_order_id"])
            if key in posts and answered.status == 202:
                yield "key sent again"
            posts.add(key)
    for _, answered in seen.answers:
        if answered.path == "/v1/halt" and answered.status == 200:
            waiting = (
                line
                for line in seen.ledger.lines.values()
                if line.cancels and line.cancels[0].moment > answered.asked and not line.attempts
            )
            if any(True for _ in waiting):
                yield "halt while an order waited"


def _of_kills(seen: Evidence) -> Iterator[str]:
    for moment in seen.day.history.of("engine killed"):
        for line in seen.ledger.lines.values():
            begun = line.intent.moment < moment.number
            if not begun or line.coid is None:
                continue
            before = [one for one, _ in line.records if one.moment < moment.number]
            types = {one.type for one in before}
            if "ATTEMPT" not in types and not types & {"EXPIRED", "CANCEL"}:
                yield "killed between intent and attempt"
            elif "ATTEMPT" in types and not types & {"OUTCOME", "QUESTION", "IN_DOUBT"}:
                yield "killed between attempt and answer"
            elif "OUTCOME" in types and line.open_quantity:
                yield "killed with an order working"
        told = any(
            answered.status is None and answered.asked < moment.number < when.number
            for when, answered in seen.answers
            if answered.path.endswith("/orders") and answered.method == "POST"
        )
        if told:
            yield "killed before the intent was told"


def _of_gateways(seen: Evidence) -> Iterator[str]:
    for gateway in seen.day.gateways:
        struck = gateway.sim.faults.struck
        if struck["next_order_429"]:
            yield "HTTP 429 from the gateway"
        if struck["competing"]:
            yield "session competed with"
        if gateway.line.struck["cut"]:
            yield "connection cut within its bytes"
        if gateway.line.struck["silence"]:
            yield "connection fell silent"
    if seen.day.weather.failures:
        yield "actor failed and came back"
    for record in seen.day.disk.records:
        if record.type == "EXTERNAL":
            yield "order of others seen"
        elif record.type == "RECONCILED" and json.loads(record.body)["result"] == "breaks":
            yield "account break"
        elif record.type == "ADOPTED":
            cancels = json.loads(record.body)["cancel"]
            yield f"order of others {'cancelled' if cancels else 'adopted'}"
    yield from seen.day.disk.struck
    for since_s, _ in seen.day.windows:
        if any(moment.at_s < since_s for moment in seen.orders_sent):
            yield "trading up to the nightly reset"
    if any(moment.data[0] == "log_out" for moment in seen.day.history.of("weather")):
        yield "session logged out"

"""Tickets as clients write them, settled: contract, algorithm and time, before risk is asked.

Rule: what cannot be settled is no error here. The ticket goes on with the reason, and risk
refuses it for that, so that the refusal is an order that everybody can see.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from engine.actors.shell import Clock
from engine.domain.ports import (
    AlgoParameterRule,
    AlgoRule,
    AmbiguousSymbol,
    InstrumentGateway,
    OrderEncoder,
    SubmitRequest,
)
from engine.domain.values import (
    Algo,
    AlgoParameter,
    Coid,
    GroupKind,
    GroupPlace,
    Instrument,
    OrderId,
    ParameterKind,
    Reason,
    Ticket,
    TimeInForce,
)

ALGO_INVALID: Final = "ALGO_INVALID"
GOOD_TILL_PASSED: Final = "GOOD_TILL_PASSED"
GOOD_TILL_MISSING: Final = "GOOD_TILL_MISSING"

_FLAGS: Final = ("true", "false")
_NUMBER: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A request whose tickets can be checked, or the obstacle for which it is denied."""

    ticket: Ticket
    followers: tuple[Ticket, ...] = ()
    instrument: Instrument | None = None
    obstacle: Reason | None = None


class Tickets:
    """Settles what clients leave open in a ticket."""

    def __init__(self, *, encoder: OrderEncoder, clock: Clock) -> None:
        self._encoder = encoder
        self._clock = clock

    async def settle(
        self, request: SubmitRequest, instruments: InstrumentGateway
    ) -> Settled | AmbiguousSymbol:
        """Find the contract, and what stands in the way of orders for it."""
        found: Instrument | AmbiguousSymbol | Reason
        if request.query is None:
            found = await instruments.by_conid(request.ticket.conid)
        else:
            found = await instruments.find(request.query)
        if isinstance(found, AmbiguousSymbol):
            return found
        if isinstance(found, Reason):
            return Settled(ticket=request.ticket, followers=request.followers, obstacle=found)
        tickets: list[Ticket] = []
        obstacle: Reason | None = None
        for index, asked in enumerate((request.ticket, *request.followers)):
            named = replace(asked, conid=found.conid, symbol=found.symbol, sec_type=found.sec_type)
            settled = await self._settle_one(named, instruments)
            if isinstance(settled, Reason):
                obstacle = obstacle or _of_leg(settled, index)
                settled = named
            tickets.append(settled)
        return Settled(
            ticket=tickets[0],
            followers=tuple(tickets[1:]),
            instrument=found,
            obstacle=obstacle,
        )

    async def _settle_one(self, ticket: Ticket, instruments: InstrumentGateway) -> Ticket | Reason:
        obstacle = self._time_obstacle(ticket) or self._encoder.refusal(ticket)
        if obstacle is not None:
            return obstacle
        if ticket.algo is None:
            return ticket
        rules = await instruments.algos(ticket.conid)
        if isinstance(rules, Reason):
            return rules
        algo = checked(ticket.algo, rules)
        return algo if isinstance(algo, Reason) else replace(ticket, algo=algo)

    def _time_obstacle(self, ticket: Ticket) -> Reason | None:
        if ticket.tif is not TimeInForce.GTD:
            return None
        until_ms = ticket.good_till_ms
        if until_ms is None:
            text = "tif=GTD needs good_till, the time when the engine cancels the order"
            return Reason(code=GOOD_TILL_MISSING, message=text)
        late_ms = self._clock.wall_ns() // _NS_PER_MS - until_ms
        if late_ms < 0:
            return None
        until = datetime.fromtimestamp(until_ms / 1_000, UTC).isoformat(timespec="milliseconds")
        text = (
            f"good_till={until.replace('+00:00', 'Z')} has passed {late_ms / 1_000:.3f} s ago; "
            "it must be a time to come"
        )
        return Reason(code=GOOD_TILL_PASSED, message=text)


def _of_leg(reason: Reason, index: int) -> Reason:
    """Say which order of a group a reason is about; the first needs no such words."""
    if index == 0:
        return reason
    return Reason(code=reason.code, message=f"leg {index}: {reason.message}")


def placed(
    kind: GroupKind | None, tickets: Sequence[Ticket], order_ids: Sequence[OrderId]
) -> tuple[Ticket, ...]:
    """Give every ticket its place in the group; one that is alone has none."""
    if len(tickets) == 1 or kind is None:
        assert len(tickets) == 1, "several orders in one request are a group"
        return tuple(tickets)
    return tuple(
        replace(
            ticket,
            group=GroupPlace(kind=kind, leader=order_ids[0], index=index, size=len(tickets)),
        )
        for index, ticket in enumerate(tickets)
    )


def leader_coid(leader: Coid | None, ticket: Ticket) -> Coid | None:
    """Return the id of the entry that a bracket's exit must name on the wire."""
    is_exit = ticket.group is not None and ticket.group.is_exit
    return leader if is_exit else None


# --- algorithms ------------------------------------------------------------------------------


def checked(algo: Algo, rules: Sequence[AlgoRule]) -> Algo | Reason:
    """Return the algorithm with its values of the kinds that the broker wants, or why not."""
    rule = next((one for one in rules if one.name == algo.name), None)
    if rule is None:
        allowed = _listed(one.name for one in rules)
        return _invalid(f"algo {algo.name!r} is none of this contract's: {allowed}")
    wanted = {one.name: one for one in rule.parameters}
    found: dict[str, AlgoParameter] = {}
    for parameter in algo.parameters:
        of_rule = wanted.get(parameter.name)
        if of_rule is None:
            allowed = _listed(wanted)
            return _invalid(f"algo {algo.name} takes no parameter {parameter.name!r}: {allowed}")
        if parameter.name in found:
            return _invalid(f"algo {algo.name}: parameter {parameter.name} is given twice")
        value = _value(parameter, of_rule)
        if isinstance(value, Reason):
            return _invalid(f"algo {algo.name}: {value.message}")
        found[parameter.name] = AlgoParameter(name=parameter.name, value=value, kind=of_rule.kind)
    lacking = [one.name for one in rule.parameters if one.required and one.name not in found]
    if lacking:
        return _invalid(f"algo {algo.name} needs {_listed(lacking)}")
    return Algo(name=algo.name, parameters=tuple(found.values()))


def _value(parameter: AlgoParameter, rule: AlgoParameterRule) -> str | Reason:
    """Return a value as the broker wants it; one of another kind is not converted silently."""
    value, shown = parameter.value, f"{parameter.name}={parameter.value!r}"
    match rule.kind:
        case ParameterKind.NUMBER:
            if parameter.kind is ParameterKind.FLAG or not _NUMBER.fullmatch(value):
                return _invalid(f"{shown} is no number")
        case ParameterKind.FLAG:
            if parameter.kind is ParameterKind.NUMBER or value not in _FLAGS:
                return _invalid(f"{shown} is neither true nor false")
        case ParameterKind.TEXT:
            if parameter.kind is ParameterKind.FLAG:
                return _invalid(f"{shown} is no text")
    if rule.values and value not in rule.values:
        return _invalid(f"{shown} is not one of {_listed(rule.values)}")
    return value


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "it has none"


def _invalid(message: str) -> Reason:
    return Reason(code=ALGO_INVALID, message=message)

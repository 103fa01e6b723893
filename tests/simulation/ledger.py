"""What the journal says, read by other eyes than the engine's.

Rule: the records are plain JSON here. Nothing of the engine's own code decides what a
record means, or a mistake in it would check itself.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from tests.simulation.journal import Written

ZERO: Final = Decimal(0)
_OVER: Final = frozenset({"Filled", "Cancelled"})


@dataclass(slots=True, kw_only=True)
class Line:
    """One order as its records tell it. Numbers are places in the day's history."""

    order_id: str
    account: str
    key: str
    conid: int
    side: str
    quantity: Decimal
    coid: str | None
    session: str | None
    epoch: int
    intent: Written
    type: str = ""
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    group: str | None = None
    leader: str | None = None
    index: int = 0
    """Its place among the orders that go out in one request, and whose request it is."""
    adopted: str | None = None
    """The broker's id of an order that others made and the engine took over."""
    attempts: list[Written] = field(default_factory=list)
    outcomes: list[tuple[Written, Any]] = field(default_factory=list)
    cancels: list[Written] = field(default_factory=list)
    records: list[tuple[Written, Any]] = field(default_factory=list)
    changes: list[Written] = field(default_factory=list)
    fills: dict[str, tuple[str, Decimal]] = field(default_factory=dict)
    in_force: Decimal = ZERO
    changing_to: Decimal = ZERO
    at_broker: bool = False
    ended: bool = False
    absent: bool = False
    corrected: bool = False
    late_sighting: bool = False
    """True for an order that was proven absent, or was over, and lived after all."""
    counted: Decimal = ZERO
    """What the broker said was filled when it said that the order was over."""

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.side == "BUY" else -1

    @property
    def is_exit(self) -> bool:
        """True for an order that closes what the entry of its bracket opens."""
        return self.group == "bracket" and self.index > 0

    @property
    def follows(self) -> bool:
        """True for an order that another one's request carries."""
        return self.index > 0

    @property
    def filled(self) -> Decimal:
        """The sum of its distinct executions, each by its newest revision."""
        return sum((quantity for _, quantity in self.fills.values()), ZERO)

    @property
    def open_quantity(self) -> Decimal:
        """What could still fill; while a change is open, under the worse of both terms."""
        most = self.counted if self.ended else max(self.in_force, self.changing_to)
        return max(ZERO, most - self.filled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An account's worst case in one contract after some record of the journal."""

    record: Written
    account: str
    conid: int
    longest: Decimal
    shortest: Decimal
    buys: bool
    """True when it was an order to buy that made it so."""


def open_together(lines: Iterable[Line], side: str) -> Decimal:
    """Return what orders may still fill on a side, where some of them exclude each other.

    Of a group in which one cancels all, the largest counts. The exits of a bracket close what
    its entry has filled, and no more.
    """
    total = ZERO
    groups: dict[str, list[Line]] = {}
    for line in lines:
        if line.leader is None:
            total += line.open_quantity if line.side == side else ZERO
        else:
            groups.setdefault(line.leader, []).append(line)
    for members in groups.values():
        entries = [one for one in members if one.group == "bracket" and not one.is_exit]
        total += sum((one.open_quantity for one in entries if one.side == side), ZERO)
        others = [one for one in members if one not in entries]
        rest = max((one.open_quantity for one in others if one.side == side), default=ZERO)
        if entries:
            closed = sum((one.filled for one in others), ZERO)
            rest = min(rest, max(ZERO, entries[0].filled - closed))
        total += rest
    return total


def _price(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


class Ledger:
    """The whole journal, record by record."""

    def __init__(self, records: Sequence[Written]) -> None:
        self.lines: dict[str, Line] = {}
        self.keys: dict[tuple[str, str], list[str]] = {}
        self.orphans: list[Written] = []
        self.standings: list[Standing] = []
        self._positions: dict[tuple[str, int], Decimal] = {}
        for record in records:
            self._take(record, json.loads(record.body))

    def by_coid(self) -> dict[str, Line]:
        """Return the orders by their id on the wire."""
        return {line.coid: line for line in self.lines.values() if line.coid is not None}

    def _take(self, record: Written, body: Any) -> None:
        if record.type in {"INTENT", "DENIED"}:
            self._begin(record, body)
        elif record.type == "ADOPTED":
            self._adopt(record, body)
        elif record.order_id is not None:
            line = self.lines.get(record.order_id)
            if line is None:
                self.orphans.append(record)
                return
            line.records.append((record, body))
            self._follow(line, record, body)

    def _begin(self, record: Written, body: Any) -> None:
        approved = body.get("approved")
        ticket = body["ticket"] if approved is None else approved["ticket"]
        assert record.order_id is not None
        group = ticket["group"] or {}
        line = Line(
            order_id=record.order_id,
            type=ticket["type"],
            limit_price=_price(ticket["limit_price"]),
            stop_price=_price(ticket["stop_price"]),
            group=group.get("kind"),
            leader=group.get("leader"),
            index=group.get("index", 0),
            account=ticket["account"],
            key=ticket["client_order_id"],
            conid=ticket["conid"],
            side=ticket["side"],
            quantity=Decimal(ticket["quantity"]),
            coid=None if approved is None else approved["coid"],
            session=None if approved is None else approved["session"],
            epoch=record.epoch,
            intent=record,
        )
        self.lines[line.order_id] = line
        self.keys.setdefault((line.account, line.key), []).append(line.order_id)
        if approved is not None:
            line.in_force = line.quantity
            if not line.is_exit:
                self._stand(record, line)

    def _adopt(self, record: Written, body: Any) -> None:
        row = body["row"]
        assert record.order_id is not None
        self.lines[record.order_id] = Line(
            order_id=record.order_id,
            account=row["account"],
            key=f"adopted-{row['broker_order_id']}",
            conid=row["conid"],
            side=row["side"],
            quantity=Decimal(row["total_quantity"]),
            coid=None,
            session=body["session"],
            epoch=record.epoch,
            intent=record,
            adopted=row["broker_order_id"],
            at_broker=True,
        )

    def _follow(self, line: Line, record: Written, body: Any) -> None:
        line.at_broker |= record.type in {"ROW", "EXECUTION"}
        match record.type:
            case "ATTEMPT":
                line.attempts.append(record)
            case "CANCEL":
                line.cancels.append(record)
                if not line.attempts:
                    line.ended = True
            case "MODIFY":
                line.changes.append(record)
                line.changing_to = Decimal(body["change"]["terms"]["quantity"])
                self._stand(record, line)
            case "MODIFIED":
                line.in_force, line.changing_to = Decimal(body["terms"]["quantity"]), ZERO
            case "OUTCOME" | "QUESTION":
                line.outcomes.append((record, body))
                kind, step = body["outcome"]["kind"], body["step"]
                line.ended |= step == "place" and kind in {"refused", "not_sent"}
                # A reply may also be about a change of an order that the broker has.
                line.ended |= step == "reply" and kind == "refused" and not line.at_broker
                line.at_broker |= kind == "ack"
            case "EXPIRED":
                line.ended = True
            case "ABSENT":
                line.ended = line.absent = True
            case "ROW" if line.absent:
                line.absent, line.late_sighting = False, True
                line.ended = body["row"].get("status") in _OVER
                line.counted = Decimal(body["row"].get("filled_quantity") or 0)
            case "ROW" if body["row"].get("status") in _OVER:
                line.ended = True
                line.counted = Decimal(body["row"].get("filled_quantity") or 0)
            case "EXECUTION":
                self._fill(line, body["execution"])
            case _:
                return

    def _fill(self, line: Line, execution: Any) -> None:
        root, _, revision = execution["execution_id"].rpartition(".")
        known = line.fills.get(root, ("", ZERO))
        if revision <= known[0]:
            return
        quantity = Decimal(execution["quantity"])
        line.corrected |= bool(known[0])
        line.fills[root] = (revision, quantity)
        grown = quantity - known[1]
        if grown < 0:
            # What was busted after the last word of an order that is over is not open again.
            line.counted = max(ZERO, line.counted + grown)
        key = (line.account, line.conid)
        self._positions[key] = self._positions.get(key, ZERO) + line.sign * grown

    def _stand(self, record: Written, line: Line) -> None:
        position = self._positions.get((line.account, line.conid), ZERO)
        same = [
            one
            for one in self.lines.values()
            if (one.account, one.conid) == (line.account, line.conid)
        ]
        buys, sells = open_together(same, "BUY"), open_together(same, "SELL")
        self.standings.append(
            Standing(
                record=record,
                account=line.account,
                conid=line.conid,
                longest=position + buys,
                shortest=position - sells,
                buys=line.side == "BUY",
            )
        )

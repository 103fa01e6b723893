"""What can be known of a day from outside of the engine, put in order once."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tests.simulation.client import Answered
from tests.simulation.day import Day
from tests.simulation.history import Moment
from tests.simulation.ledger import ZERO, Ledger, Line


def root_of(execution_id: str) -> str:
    """Return an execution's id without its revision."""
    return execution_id.rpartition(".")[0]


class Evidence:
    """The day's history by subject."""

    def __init__(self, day: Day) -> None:
        self.day = day
        self.ledger = Ledger(day.disk.records)
        self.by_coid = self.ledger.by_coid()
        self.orders_sent = tuple(day.history.of("order sent"))
        self.submissions = tuple(day.history.of("submission"))
        self.answers: list[tuple[Moment, Answered]] = [
            (moment, moment.data) for moment in day.history.of("answered")
        ]
        self.order_of_fill: dict[str, Any] = {
            root_of(execution.execution_id): gateway.venue.orders[execution.order_id]
            for gateway in day.gateways
            for execution in gateway.venue.executions
        }
        self.venue_orders: dict[str, list[Any]] = {}
        for gateway in day.gateways:
            for order in gateway.venue.orders.values():
                if order.ticket.coid is not None:
                    self.venue_orders.setdefault(order.ticket.coid, []).append(order)
        self._all = [order for gateway in day.gateways for order in gateway.venue.orders.values()]
        self._starts = [moment.at_s for moment in day.history.of("engine started")]

    def truths_of(self, line: Line) -> list[Any]:
        """Return the venue's orders that are this one: by its id, or by what it must be.

        The exits of a bracket carry no id of ours: they are known by their entry, side and type.
        """
        if line.adopted is not None:
            return [one for one in self._all if str(one.order_id) == line.adopted]
        if not line.is_exit:
            return self.venue_orders.get(line.coid or "", [])
        leader = self.ledger.lines.get(line.leader or "")
        if leader is None:
            return []
        entries = {one.order_id for one in self.truths_of(leader)}
        return [
            one
            for one in self._all
            if one.parent_id in entries
            and (one.ticket.side, one.ticket.order_type) == (line.side, line.type)
        ]

    def truth_of(self, line: Line, broker_order_id: str | None = None) -> Any:
        """Return the venue's order that this one is, None without one.

        Where the venue made a second one of it, the one that our order is, or the first.
        """
        orders = self.truths_of(line)
        ours = (one for one in orders if str(one.order_id) == broker_order_id)
        return next(ours, orders[0] if orders else None)

    def filled_of(self, line: Line) -> Decimal:
        """Return what all the venue's orders of this one have filled."""
        return sum((one.filled_quantity for one in self.truths_of(line)), ZERO)

    def forced(self) -> set[tuple[str, int]]:
        """Return the accounts and contracts in which the venue made orders that nobody sent.

        There, what may fill can come to more than any limit.
        """
        doubled = {(one.data[2], one.data[3]) for one in self.day.history.of("incarnated")}
        late = {
            (line.account, line.conid) for line in self.ledger.lines.values() if line.late_sighting
        }
        return doubled | late

    def vanished(self, line: Line) -> bool:
        """Tell whether an order may be nowhere although a gateway showed or acknowledged it.

        One of others has no id of ours, so under another number it is another order.
        """
        names: tuple[str, ...] = ("order_vanishes", "group_member_lost")
        if line.adopted is not None:
            names = (*names, "renumber_on_reset")
        return any(one.sim.faults.struck[name] for one in self.day.gateways for name in names)

    def external_leaves(self, account: str, side: str) -> dict[int, Decimal]:
        """Return by contract what the orders of others may still fill; it counts, too."""
        adopted = {line.adopted for line in self.ledger.lines.values()}
        leaves: dict[int, Decimal] = {}
        for gateway in self.day.gateways:
            for order in gateway.venue.orders.values():
                ticket = order.ticket
                if (
                    order.is_external
                    and order.working
                    and str(order.order_id) not in adopted
                    and (ticket.account, ticket.side)
                    == (
                        account,
                        side,
                    )
                ):
                    left = leaves.get(ticket.conid, ZERO) + order.remaining_quantity
                    leaves[ticket.conid] = left
        return leaves

    def sent_counts(self) -> Counter[str]:
        """Count how often each order's bytes left."""
        return Counter(moment.data[1] for moment in self.orders_sent)

    def halts(self, levels: frozenset[str]) -> Iterator[tuple[str, Moment, int]]:
        """Return each halt of these levels: its scope, when it was sure, when it might end."""
        for moment, answered in self.answers:
            if answered.path != "/v1/halt" or answered.status != 200:
                continue
            scope = answered.body["scope"]
            if answered.body["level"] not in levels:
                continue
            ends = (
                other.asked
                for _, other in self.answers
                if other.path == "/v1/resume"
                and other.body["scope"] == scope
                and other.asked > moment.number
            )
            yield scope, moment, min(ends, default=len(self.day.history.moments))

    def restarted(self, before_s: float, after_s: float) -> bool:
        """Tell whether an engine started in between."""
        return any(before_s < start_s <= after_s for start_s in self._starts)

    def broker_secrets(self) -> Iterator[str]:
        """Return what only the gateway and the engine may know."""
        for gateway in self.day.gateways:
            login = gateway.sim.world.session.login
            if login is not None:
                yield login.session_id

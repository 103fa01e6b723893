"""What can be known of a day from outside of the engine, put in order once."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.simulation.client import Answered
from tests.simulation.day import Day
from tests.simulation.history import Moment
from tests.simulation.ledger import Ledger


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
            execution.execution_id: gateway.venue.orders[execution.order_id]
            for gateway in day.gateways
            for execution in gateway.venue.executions
        }
        self.venue_orders: dict[str, Any] = {
            order.ticket.coid: order
            for gateway in day.gateways
            for order in gateway.venue.orders.values()
            if order.ticket.coid is not None
        }
        self._starts = [moment.at_s for moment in day.history.of("engine started")]

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

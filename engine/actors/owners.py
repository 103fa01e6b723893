"""Whose news it is: which order of ours a row or an execution of the broker's is about.

Rule 1: our own id tells it, where the broker repeats it; else the broker's, once it was
learned. Neither tells the exits of a bracket, until their first rows named their entry.

Rule 2: an exit that a whole list lacks may be in it under another number. It is told by all
that it is then, and only where no other exit can be meant.
"""

from collections.abc import Callable, Collection

from engine.actors.addresses import Addresses
from engine.actors.families import Families
from engine.actors.strangers import Strangers
from engine.domain.order import group
from engine.domain.values import BrokerOrderId, Execution, OrderId, OrderRow
from engine.domain.views import OrderView


class Owners:
    """Finds the order of ours that the broker speaks of."""

    def __init__(
        self,
        *,
        addresses: Addresses,
        families: Families,
        strangers: Strangers,
        view_of: Callable[[OrderId], OrderView | None],
    ) -> None:
        self._addresses = addresses
        self._families = families
        self._strangers = strangers
        self._view_of = view_of

    def of_row(self, row: OrderRow, listed: Collection[BrokerOrderId] | None) -> OrderId | None:
        """Return whose row it is, None when it is none of ours.

        `listed` are all numbers of the whole list that it is of, None where it is of none.
        """
        known = self._addresses.of_broker_id(row.account, row.broker_order_id)
        named = self._addresses.of_coid(row.coid)
        if named is not None and not self._families.is_of_exit(row, named):
            return named
        if known is not None and known != named:
            return known
        entry = group.entry_named_by(row)
        if entry is None:
            return None
        leader = self._addresses.of_broker_id(row.account, entry)
        found = self._families.exit_of(row, leader)
        if found is not None or listed is None:
            return found
        if self._strangers.find(row.account, entry) is not None:
            return None  # Its entry is somebody else's, and so is it.
        return self._families.renumbered(row, leader, listed)

    def of_fill(self, execution: Execution) -> OrderId | None:
        """Return whose execution it is, None when it is none of ours."""
        known = self._addresses.of_broker_id(execution.account, execution.broker_order_id)
        named = self._addresses.of_coid(execution.coid)
        if known is not None and named is not None and known != named:
            # A fill of an exit may come with the reference of its entry.
            view = self._view_of(known)
            if view is not None and view.group is not None and view.group.leader == named:
                return known
        return named if named is not None else known

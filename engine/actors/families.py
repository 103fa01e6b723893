"""The brackets: which exit of which entry a row of the broker's is.

The exits of a bracket carry no id of ours, so their first rows are told by their entry and
by what they are. Once the broker's id of one is learned it is found by that.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final

from engine.domain.history import REST_NS
from engine.domain.order import group
from engine.domain.values import (
    LIVE,
    TERMINAL,
    UNKNOWN,
    AccountId,
    BrokerOrderId,
    OrderId,
    OrderRow,
    OrderState,
)
from engine.domain.views import OrderView

_AWAITED: Final = UNKNOWN | {OrderState.NOT_PLACED}
"""States of an entry whose broker id may be learned yet; what surely never was has none."""

SWEEP_NS: Final = 3_600 * 1_000_000_000
"""How often those are forgotten that ended long ago."""


class Families:
    """The entries that have exits, by account; once all of one rest, it is forgotten."""

    def __init__(self, view_of: Callable[[OrderId], OrderView | None]) -> None:
        self._view_of = view_of
        self._exits: dict[OrderId, set[OrderId]] = {}
        self._entries: dict[AccountId, set[OrderId]] = {}
        self._swept_ns = 0

    def take(self, view: OrderView) -> None:
        """Remember an exit, and whose it is."""
        if view.group is None or not view.group.is_exit:
            return
        leader = view.group.leader
        self._exits.setdefault(leader, set()).add(view.order_id)
        self._entries.setdefault(view.account, set()).add(leader)
        if view.updated_at_ns - self._swept_ns >= SWEEP_NS:
            self._swept_ns = view.updated_at_ns
            self._forget_ended(view.updated_at_ns - REST_NS)

    def _forget_ended(self, before_ns: int) -> None:
        """Forget the families that ended so long ago that their orders rest."""
        for account, leaders in tuple(self._entries.items()):
            for leader in tuple(leaders):
                members = (leader, *self._exits[leader])
                if all(self._ended(order_id, before_ns) for order_id in members):
                    del self._exits[leader]
                    leaders.discard(leader)
            if not leaders:
                del self._entries[account]

    def _ended(self, order_id: OrderId, before_ns: int) -> bool:
        view = self._view_of(order_id)
        return view is not None and view.state in TERMINAL and view.updated_at_ns < before_ns

    def is_of_exit(self, row: OrderRow, leader: OrderId) -> bool:
        """Say whether a row that came under an entry's id is one of its exits."""
        view = self._view_of(leader)
        return view is not None and group.is_of_exit(row, view)

    def exit_of(self, row: OrderRow, entry: OrderId | None) -> OrderId | None:
        """Return which exit the row is; `entry` is whom it names, if that is one of ours.

        While the broker's id of an entry is not known, a row may name it and nobody can tell;
        then it has to tell all that the exit is, of one entry only.
        """
        if entry is not None:
            return group.exit_of(row, self._views_of(entry), group.entry_named_by(row))
        found = {
            order_id
            for leader in self._nameless(row.account)
            if (order_id := group.exit_of(row, self._views_of(leader), None)) is not None
        }
        return found.pop() if len(found) == 1 else None

    def renumbered(
        self, row: OrderRow, entry: OrderId | None, listed: Collection[BrokerOrderId]
    ) -> OrderId | None:
        """Return which exit has got another number of the broker's, if only one can have.

        `listed` are the numbers in the whole list that the row is of: an exit that is listed
        itself has kept its own. `entry` is whom the row names, if that is one of ours; its
        entry may have got another number, too, or be gone.
        """
        if group.entry_named_by(row) is None:
            return None
        leaders = self._entries.get(row.account, ()) if entry is None else (entry,)
        found = [
            view.order_id
            for leader in leaders
            for view in self._views_of(leader)
            if view.state in LIVE
            and view.broker_order_id not in {None, *listed}
            and group.matches(view, row)
        ]
        return found[0] if len(found) == 1 else None

    def has_working_exits(self, account: AccountId) -> bool:
        """Say whether an exit of ours works in the account."""
        return any(
            view.state in LIVE
            for leader in self._entries.get(account, ())
            for view in self._views_of(leader)
        )

    def is_entry(self, order_id: OrderId) -> bool:
        """Say whether the order is an entry whose exits are ours."""
        return order_id in self._exits

    def has_nameless(self, account: AccountId) -> bool:
        """Say whether an entry of the account waits for the broker's id of it."""
        return any(self._nameless(account))

    def _nameless(self, account: AccountId) -> Iterator[OrderId]:
        for leader in sorted(self._entries.get(account, ())):
            view = self._view_of(leader)
            if view is not None and view.broker_order_id is None and view.state in _AWAITED:
                yield leader

    def _views_of(self, leader: OrderId) -> list[OrderView]:
        views = (self._view_of(order_id) for order_id in sorted(self._exits.get(leader, ())))
        return [view for view in views if view is not None]

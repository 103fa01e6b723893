"""Orders of others that become ours, by an account's policy or because a person says so.

Rule: what could be an order of ours is not adopted. It carries an id of this engine's, or none
while one like it is looked for; it names an entry whose exits are ours, or one that nobody
knows while exits of ours work, or while an entry here waits for its name. What an account's
policy wants of such an order is put off until that is clear.
"""

from collections.abc import Callable, Iterable
from typing import Final

from engine import log, metrics
from engine.actors.addresses import Addresses
from engine.actors.families import Families
from engine.actors.strangers import Strangers
from engine.domain.messages import AdoptOrder
from engine.domain.order import adoption, group
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ExternalPolicy,
    OrderId,
    OrderRow,
    Reason,
    is_our_coid,
)
from engine.domain.views import OrderView

_LOG = log.get("actors/switchboard")

EXTERNAL_UNKNOWN: Final = "EXTERNAL_UNKNOWN"
"""The code of an adoption of an order that nobody has seen."""

EXTERNAL_OVER: Final = "EXTERNAL_OVER"
"""The code of an adoption of an order that has ended."""


class Adoptions:
    """Adopts strangers. `start` begins such an order, `new_id` names it.

    `doubtful` returns the orders of an account of which nobody knows the broker's id yet.
    """

    def __init__(
        self,
        *,
        addresses: Addresses,
        families: Families,
        strangers: Strangers,
        shard: str,
        new_id: Callable[[], OrderId],
        start: Callable[[AdoptOrder], None],
        doubtful: Callable[[AccountId], Iterable[OrderView]],
    ) -> None:
        self._addresses = addresses
        self._families = families
        self._strangers = strangers
        self._shard = shard
        self._new_id = new_id
        self._start = start
        self._doubtful = doubtful
        self._put_off: dict[tuple[AccountId, BrokerOrderId], ExternalPolicy] = {}

    def adopt(
        self, account: AccountId, broker_order_id: BrokerOrderId, *, cancel: bool, by: str
    ) -> OrderId | Reason:
        """Make somebody else's order one of ours, and with `cancel` end it at once.

        Return its id here, or why that cannot be done.
        """
        found = self._strangers.find(account, broker_order_id)
        known = self._addresses.of_broker_id(account, broker_order_id)
        if known is not None:
            text = f"the broker's order {broker_order_id} is order {known} of this engine"
            return Reason(code=EXTERNAL_UNKNOWN, message=text)
        if found is None:
            text = f"no order {broker_order_id} of others was seen in account {account}"
            return Reason(code=EXTERNAL_UNKNOWN, message=text)
        session, row, over = found
        if over:
            text = f"the broker's order {broker_order_id} has ended: {row.status}"
            return Reason(code=EXTERNAL_OVER, message=text)
        obstacle = adoption.obstacle_of(row) or self._doubt_of(row)
        if obstacle is not None:
            return obstacle
        order_id = self._new_id()
        # At once, so that what is told of it from now on waits behind its adoption.
        self._addresses.learn(account, broker_order_id, order_id)
        adopt = AdoptOrder(order_id=order_id, session=session, row=row, by=by, cancel=cancel)
        self._start(adopt)
        return order_id

    def follow(self, policy: ExternalPolicy, row: OrderRow) -> None:
        """Do with an order of others what its account's policy says."""
        if policy is ExternalPolicy.OBSERVE:
            return
        key = (row.account, row.broker_order_id)
        if self._doubt_of(row) is not None:
            if key not in self._put_off:
                _LOG.warning("adoption_put_off", account=row.account, broker_order_id=key[1])
            self._put_off[key] = policy
            return
        self._put_off.pop(key, None)
        cancel = policy is ExternalPolicy.CANCEL
        adopted = self.adopt(row.account, row.broker_order_id, cancel=cancel, by="policy")
        if isinstance(adopted, Reason) and adopted.code == adoption.UNADOPTABLE:
            metrics.ANOMALIES.labels("switchboard", "unadoptable").inc()
            _LOG.warning("order_not_adopted", account=row.account, reason=adopted.message)

    def go_on(self) -> None:
        """Do what was put off, where it is clear by now that an order is none of ours."""
        for (account, broker_order_id), policy in tuple(self._put_off.items()):
            found = self._strangers.find(account, broker_order_id)
            if found is None or found[2]:
                del self._put_off[account, broker_order_id]
            else:
                self.follow(policy, found[1])

    def _doubt_of(self, row: OrderRow) -> Reason | None:
        """Say why an order might be ours, although nothing has shown which; None if surely not."""
        entry = group.entry_named_by(row)
        named = self._addresses.of_broker_id(row.account, entry)
        alike = self._sought_like(row)
        if row.coid is not None and is_our_coid(row.coid, self._shard):
            what = f"it carries {row.coid}"
        elif alike is not None:
            what = f"it carries no reference, and order {alike}, which is looked for, is like it"
        elif named is not None and self._families.is_entry(named):
            what = f"it names order {named}, whose exits are this engine's"
        elif entry is not None and self._families.has_nameless(row.account):
            what = f"it names {entry}, and an entry of this engine waits for its name"
        elif entry is not None and named is None and self._may_be_exit(row.account, entry):
            what = f"it names {entry}, which nobody knows, and exits of this engine work"
        else:
            return None
        text = f"order {row.broker_order_id} may be this engine's own: {what}"
        return Reason(code=adoption.UNADOPTABLE, message=text)

    def _sought_like(self, row: OrderRow) -> OrderId | None:
        """Return an order that the row may be, as far as its contract and side go."""
        if row.coid is not None:
            return None
        sought = self._doubtful(row.account)
        return next(
            (
                view.order_id
                for view in sought
                if row.conid in {None, view.conid} and row.side in {None, view.side}
            ),
            None,
        )

    def _may_be_exit(self, account: AccountId, entry: BrokerOrderId) -> bool:
        theirs = self._strangers.find(account, entry) is not None
        return not theirs and self._families.has_working_exits(account)

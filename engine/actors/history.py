"""What the records of a journal make: orders, halts and login guards."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine import log
from engine.domain.messages import (
    DenyOrder,
    EngineStarted,
    ExternalOrderSeen,
    HaltScope,
    LimitsLoaded,
    LoginGuarded,
    NoticeSeen,
    ResumeScope,
    SubmitOrder,
)
from engine.domain.order import Order
from engine.domain.ports import Recorded
from engine.domain.values import OrderId, Scope, SessionName

_LOG = log.get("actors/history")


@dataclass(slots=True, kw_only=True)
class History:
    """The state after some records. An order is here with the place of its last record."""

    orders: dict[OrderId, tuple[Order, int]] = field(default_factory=dict)
    halts: dict[Scope, HaltScope] = field(default_factory=dict)
    guards: dict[SessionName, LoginGuarded] = field(default_factory=dict)

    def latch(self, halt: HaltScope) -> None:
        """Put a halt in force; a milder one never replaces a stricter one."""
        known = self.halts.get(halt.scope)
        if known is None or halt.level.strictness >= known.level.strictness:
            self.halts[halt.scope] = halt


def replay(records: Iterable[Recorded]) -> History:
    """Apply the records, oldest first."""
    history = History()
    for recorded in records:
        match recorded.entry.message:
            case HaltScope() as halt:
                history.latch(halt)
            case ResumeScope(scope=scope):
                history.halts.pop(scope, None)
            case LoginGuarded(session=session) as guard:
                history.guards[session] = guard
            case EngineStarted() | LimitsLoaded() | NoticeSeen() | ExternalOrderSeen():
                continue
            case message:
                order_id = recorded.entry.order_id
                assert order_id is not None, f"record {recorded.seq} is of an order, of which?"
                order, _ = history.orders.get(order_id, (Order(), 0))
                if not order.state_known and not isinstance(message, SubmitOrder | DenyOrder):
                    # Without its first record there is no order that this could be of.
                    _LOG.error("record_skipped", seq=recorded.seq, order_id=order_id)
                    continue
                order.replay(message, recorded.entry.at_ns)
                history.orders[order_id] = (order, recorded.seq)
    return history

"""Bugs in what is believed: of lists, rows and executions."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

from engine.actors.switchboard import Switchboard
from engine.domain.messages import OrderAnswered, Step
from engine.domain.order import Order
from engine.domain.order.history import OrderHistory
from engine.domain.order.incarnations import Sightings
from engine.domain.order.merge import Fills
from engine.domain.session import absence
from engine.domain.session.search import Search
from engine.domain.session.visibility import Visibility
from engine.domain.values import OrderState, OutcomeKind
from tests.simulation.bugs.planting import changed, replaced


@contextmanager
def trust_an_empty_list() -> Iterator[None]:
    """Take any list that does not show an order for a proof that there is none."""
    with ExitStack() as planted:
        planted.enter_context(
            replaced(
                absence,
                LIST_READS_MIN=1,
                TRADE_READS_MIN=0,
                SPAN_MS_MIN=0,
                HORIZON_MS_MIN=0,
                HORIZON_LAGS=0,
            )
        )
        planted.enter_context(changed(absence.Read, "flaw", lambda _flaw: None))
        yield


def a_standing_order_dates_a_list() -> Any:
    """Take a list for fresh because an old order is in it."""

    def make(_canaries: Any) -> Any:
        def other(self: Any, account: Any, _since_ns: int) -> Any:
            return tuple(order_id for owner, order_id in self._orders if owner == account)

        return other

    return changed(Visibility, "canaries", make)


def any_login_proves() -> Any:
    """Take lists of a new login for lists of the one that the order went out in."""
    return changed(Search, "_is_login_of", lambda _is: lambda _self, _request: True)


def drop_a_fill() -> Any:
    """Lose every fourth execution, wherever it is told."""

    def make(deliver: Any) -> Any:
        def other(self: Any, session: Any, news: Any) -> Any:
            kept = tuple(one for one in news.executions if _number_of(one.execution_id) % 4)
            return deliver(self, session, replace(news, executions=kept))

        return other

    return changed(Switchboard, "deliver", make)


def double_a_fill() -> Any:
    """Take the execution that names its commission for another one."""

    def make(deliver: Any) -> Any:
        def other(self: Any, session: Any, news: Any) -> Any:
            executions = tuple(
                one if one.commission is None else replace(one, execution_id=f"2{one.execution_id}")
                for one in news.executions
            )
            return deliver(self, session, replace(news, executions=executions))

        return other

    return changed(Switchboard, "deliver", make)


def _number_of(execution_id: str) -> int:
    return int(execution_id.split(".")[1], 16)


def pass_over_corrections() -> Any:
    """Keep the first revision of every execution."""

    def make(is_news: Any) -> Any:
        def other(self: Any, execution: Any) -> bool:
            first = execution.execution_id.rpartition(".")[2] in {"01", "1"}
            return first and is_news(self, execution)

        return other

    return changed(Fills, "is_news", make)


def a_receipt_is_a_cancel() -> Any:
    """Take the receipt of a cancel for its effect."""

    def make(apply: Any) -> Any:
        def other(self: Any, record: Any, at_ns: int) -> Any:
            anomalies = apply(self, record, at_ns)
            receipt = isinstance(record, OrderAnswered) and record.step is Step.CANCEL
            if receipt and record.outcome.kind is OutcomeKind.ACK:
                anomalies += tuple(self._move(OrderState.CANCELLED, None))
            return anomalies

        return other

    return changed(OrderHistory, "apply", make)


def filled_is_filled() -> Any:
    """End an order that the broker calls filled before its executions are known."""

    def make(_settle: Any) -> Any:
        def other(self: Any) -> Any:
            if self._closing is not None:
                state, reason, _ = self._closing
                yield from self._finish(state, reason)

        return other

    return changed(OrderHistory, "_settle", make)


def cancel_what_was_renumbered() -> Any:
    """Take a second id for a second order, whatever the lists say."""

    def make(_ours: Any) -> Any:
        return lambda self, other: self.row_of(other)

    return changed(Sightings, "ours_beside", make)


def count_a_share_less() -> Any:
    """Make a fill of ten or more one smaller."""

    def make(deliver: Any) -> Any:
        def other(self: Any, session: Any, news: Any) -> Any:
            executions = tuple(
                replace(one, quantity=one.quantity - 1) if one.quantity >= Decimal(10) else one
                for one in news.executions
            )
            return deliver(self, session, replace(news, executions=executions))

        return other

    return changed(Switchboard, "deliver", make)


def forget_the_last_record() -> Any:
    """Rebuild every order without the newest of what the journal has of it."""

    def make(replay: Any) -> Any:
        def other(self: Any, record: Any, at_ns: int) -> None:
            kept = getattr(replay, "kept", {})
            replay.kept = kept
            before = kept.pop(id(self), None)
            if before is not None:
                replay(self, *before[1:])
            if not self.state_known:
                replay(self, record, at_ns)
            else:
                kept[id(self)] = (self, record, at_ns)

        return other

    return changed(Order, "replay", make)

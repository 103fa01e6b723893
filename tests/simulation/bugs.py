"""Bugs that somebody might make, planted on purpose: each must be found by the days.

Each is a small change of the engine for as long as it is planted. A checker, or a weather,
under which one of them lives on is too weak.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest import mock

from engine.actors.order import OrderActor
from engine.actors.switchboard import Switchboard
from engine.actors.watched_journal import WatchedJournal
from engine.domain.messages import (
    AttemptStarted,
    CancelAtBroker,
    CancelOrder,
    HaltScope,
    OrderAnswered,
    OrderRowSeen,
    OrdersRead,
    SessionCall,
    TimerFired,
    TradesRead,
)
from engine.domain.ports import Committed
from engine.domain.risk import AccountRisk
from engine.domain.risk.reservations import Reservations
from engine.domain.session.lookups import Lookups
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    OrderState,
    OutcomeKind,
    Source,
)
from engine.gateway.client import Answer, GatewayClient
from engine.gateway.order import HttpOrderGateway
from engine.gateway.session import HttpSessionGateway

Planting = Callable[[], Any]


@contextmanager
def _changed(target: Any, name: str, make: Callable[[Any], Any]) -> Iterator[None]:
    """Replace a method by what `make` makes of it."""
    with mock.patch.object(target, name, make(getattr(target, name))):
        yield


def send_before_commit() -> Any:
    """Go on as soon as the attempt is handed to the journal, not when it is on the disk."""

    def make(append: Any) -> Any:
        def changed(self: Any, entry: Any, done: Any) -> None:
            if not isinstance(entry.message, AttemptStarted):
                append(self, entry, done)
                return
            append(self, entry, lambda _result: None)
            done_at_once = Committed(seq=self.last_seq + 1)
            asyncio.get_running_loop().call_soon(done, done_at_once)

        return changed

    return _changed(WatchedJournal, "append", make)


def release_on_timeout() -> Any:
    """Free what an order reserved as soon as nobody knows what became of it."""

    def make(follow: Any) -> Any:
        def changed(self: Any, view: Any, **options: Any) -> Any:
            if view.state is OrderState.IN_DOUBT:
                view = replace(view, state=OrderState.EXPIRED)
            return follow(self, view, **options)

        return changed

    return _changed(Reservations, "follow", make)


@contextmanager
def trust_an_empty_list() -> Iterator[None]:
    """Take an order for cancelled when the first list after it does not show it."""

    def make_count(_count: Any) -> Any:
        def changed(self: Any, _now_ns: int, **_options: Any) -> Any:
            found = tuple((order_id, 0) for order_id in self._healthy_ms)
            self._healthy_ms.clear()
            return found

        return changed

    def make_receive(receive: Any) -> Any:
        def changed(self: Any, message: Any) -> None:
            parks = isinstance(message, TimerFired) and message.name == "park"
            if parks and self.order.state is OrderState.IN_DOUBT:
                row = OrderRow(
                    account=self.order.ticket.account,
                    broker_order_id=BrokerOrderId(""),
                    status=BrokerStatus.CANCELLED,
                )
                message = OrderRowSeen(order_id=self.order.order_id, row=row, source=Source.LOOKUP)
            receive(self, message)

        return changed

    with (
        _changed(Lookups, "count_read", make_count),
        _changed(OrderActor, "on_receive", make_receive),
    ):
        yield


def retry_a_503() -> Any:
    """Send an order again that the gateway answered with an error of its own."""

    def make(request: Any) -> Any:
        async def changed(self: Any, wanted: Any) -> Any:
            answer = await request(self, wanted)
            fails = isinstance(answer, Answer) and answer.status == 503
            if fails and wanted.changes and wanted.method == "POST":
                answer = await request(self, replace(wanted, send_by_ns=None))
            return answer

        return changed

    return _changed(GatewayClient, "request", make)


def new_id_on_retry() -> Any:
    """Send an order of which nothing was heard again, under another id."""

    def make(place: Any) -> Any:
        def changed(self: Any, effect: Any, tell: Any) -> None:
            def told(answered: OrderAnswered) -> None:
                doubtful = answered.outcome.kind is OutcomeKind.IN_DOUBT
                if doubtful and b'"cOID":"EX' in effect.body:
                    body = effect.body.replace(b'"cOID":"EX', b'"cOID":"NX')
                    place(self, replace(effect, body=body, send_by_ns=1 << 62), tell)
                else:
                    tell(answered)

            place(self, effect, told)

        return changed

    return _changed(HttpOrderGateway, "place", make)


def drop_a_fill() -> Any:
    """Lose every fourth execution, wherever it is told."""

    def make(deliver: Any) -> Any:
        def changed(self: Any, session: Any, news: Any) -> Any:
            kept = tuple(one for one in news.executions if _number_of(one.execution_id) % 4)
            return deliver(self, session, replace(news, executions=kept))

        return changed

    return _changed(Switchboard, "deliver", make)


def double_a_fill() -> Any:
    """Take the execution that names its commission for another one."""

    def make(deliver: Any) -> Any:
        def changed(self: Any, session: Any, news: Any) -> Any:
            executions = tuple(
                one if one.commission is None else replace(one, execution_id=f"2{one.execution_id}")
                for one in news.executions
            )
            return deliver(self, session, replace(news, executions=executions))

        return changed

    return _changed(Switchboard, "deliver", make)


def skip_warm_up() -> Any:
    """Get ready without having read what the broker has."""

    def make(call: Any) -> Any:
        seen: dict[int, tuple[Any, set[SessionCall]]] = {}

        def changed(self: Any, effect: Any, tell: Any) -> None:
            _, asked = seen.setdefault(id(self), (self, set()))
            if effect.call in asked or effect.call not in {SessionCall.ORDERS, SessionCall.TRADES}:
                call(self, effect, tell)
                return
            if not effect.force:
                asked.add(effect.call)
            orders = OrdersRead(rows=(), snapshot=True, forced=effect.force)
            read = orders if effect.call is SessionCall.ORDERS else TradesRead(executions=())
            asyncio.get_running_loop().call_soon(tell, read)

        return changed

    return _changed(HttpSessionGateway, "call", make)


def ignore_a_halt() -> Any:
    """Let an account go on that a person halted."""

    def make(handle: Any) -> Any:
        def changed(self: Any, message: Any) -> Any:
            return () if isinstance(message, HaltScope) else handle(self, message)

        return changed

    return _changed(AccountRisk, "handle", make)


@contextmanager
def forget_a_cancel() -> Iterator[None]:
    """Write a cancel down that could not be sent at once, and never send it."""
    forgotten: dict[int, Any] = {}

    def make_receive(receive: Any) -> Any:
        def changed(self: Any, message: Any) -> None:
            if isinstance(message, CancelOrder) and self.order.broker_order_id is None:
                forgotten[id(self.order)] = self.order
            receive(self, message)

        return changed

    def make_perform(perform: Any) -> Any:
        def changed(self: Any, effect: Any) -> None:
            if not (isinstance(effect, CancelAtBroker) and id(self.order) in forgotten):
                perform(self, effect)

        return changed

    with (
        _changed(OrderActor, "on_receive", make_receive),
        _changed(OrderActor, "perform", make_perform),
    ):
        yield


def _number_of(execution_id: str) -> int:
    return int(execution_id.split(".")[1], 16)


BUGS: Final[dict[str, Planting]] = {
    "send before commit": send_before_commit,
    "release on timeout": release_on_timeout,
    "trust an empty list": trust_an_empty_list,
    "retry a 503": retry_a_503,
    "new id on retry": new_id_on_retry,
    "drop a fill": drop_a_fill,
    "double a fill": double_a_fill,
    "skip warm-up": skip_warm_up,
    "ignore a halt": ignore_a_halt,
    "forget a cancel": forget_a_cancel,
}

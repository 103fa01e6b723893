"""Bugs in what is sent: twice, too early, under another name, or never."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from engine.actors.bridge import EngineBridge
from engine.actors.order import OrderActor
from engine.actors.switchboard import Switchboard
from engine.actors.watched_journal import WatchedJournal
from engine.domain.messages import (
    AttemptStarted,
    CancelAtBroker,
    CancelOrder,
    OrderAnswered,
    StartTimer,
    Step,
)
from engine.domain.order import Order
from engine.domain.order.conversation import OrderConversation
from engine.domain.ports import Committed
from engine.domain.session.lane import SubmitLane
from engine.domain.values import OrderState, OutcomeKind
from engine.gateway.client import Answer, GatewayClient
from engine.gateway.order import HttpOrderGateway
from tests.simulation.bugs.planting import changed


def send_before_commit() -> Any:
    """Go on as soon as the attempt is handed to the journal, not when it is on the disk."""

    def make(append: Any) -> Any:
        def other(self: Any, entry: Any, done: Any) -> None:
            if not isinstance(entry.message, AttemptStarted):
                append(self, entry, done)
                return
            append(self, entry, lambda _result: None)
            done_at_once = Committed(seq=self.last_seq + 1)
            asyncio.get_running_loop().call_soon(done, done_at_once)

        return other

    return changed(WatchedJournal, "append", make)


def retry_a_503() -> Any:
    """Send an order again that the gateway answered with an error of its own."""

    def make(request: Any) -> Any:
        async def other(self: Any, wanted: Any) -> Any:
            answer = await request(self, wanted)
            fails = isinstance(answer, Answer) and answer.status == 503
            if fails and wanted.changes and wanted.method == "POST":
                answer = await request(self, replace(wanted, send_by_ns=None))
            return answer

        return other

    return changed(GatewayClient, "request", make)


def new_id_on_retry() -> Any:
    """Send an order of which nothing was heard again, under another id."""

    def make(place: Any) -> Any:
        def other(self: Any, effect: Any, tell: Any) -> None:
            def told(answered: OrderAnswered) -> None:
                doubtful = answered.outcome.kind is OutcomeKind.IN_DOUBT
                if doubtful and b'"cOID":"EX' in effect.body:
                    body = effect.body.replace(b'"cOID":"EX', b'"cOID":"NX')
                    place(self, replace(effect, body=body, send_by_ns=1 << 62), tell)
                else:
                    tell(answered)

            place(self, effect, told)

        return other

    return changed(HttpOrderGateway, "place", make)


@contextmanager
def forget_a_cancel() -> Iterator[None]:
    """Write a cancel down that could not be sent at once, and never send it."""
    forgotten: dict[int, Any] = {}

    def make_receive(receive: Any) -> Any:
        def other(self: Any, message: Any) -> None:
            if isinstance(message, CancelOrder) and self.order.broker_order_id is None:
                forgotten[id(self.order)] = self.order
            receive(self, message)

        return other

    def make_perform(perform: Any) -> Any:
        def other(self: Any, effect: Any) -> None:
            if not (isinstance(effect, CancelAtBroker) and id(self.order) in forgotten):
                perform(self, effect)

        return other

    with (
        changed(OrderActor, "on_receive", make_receive),
        changed(OrderActor, "perform", make_perform),
    ):
        yield


@contextmanager
def send_again_after_a_restart() -> Iterator[None]:
    """Take an order whose attempt was cut off by a restart for one that was never sent.

    A session gives no turn before it is ready, and whom it refuses one ends; so the order has
    to ask until it gets one.
    """
    unsent: dict[int, Any] = {}

    def make_resume(resume: Any) -> Any:
        def other(self: Any, at_ns: int, **options: Any) -> Any:
            if self.state is OrderState.SUBMITTING and self.attempts and self.body:
                self.attempts = 0
                unsent[id(self)] = self
                return self._ask_for_turn()[1:]
            return resume(self, at_ns, **options)

        return other

    def make_give_up(give_up: Any) -> Any:
        def other(self: Any, reason: Any, at_ns: int) -> Any:
            if id(self) not in unsent or self.state is not OrderState.SUBMITTING or self.attempts:
                return give_up(self, reason, at_ns)
            if reason.code == "TURN_TIMEOUT":
                return self._ask_for_turn()[1:]
            return (StartTimer(name="turn", delay_ms=1_000),)

        return other

    with (
        changed(Order, "resume", make_resume),
        changed(Order, "_give_up_turn", make_give_up),
    ):
        yield


def reuse_ids() -> Any:
    """Begin the ids of every start with the same number."""

    def make(_epoch: Any) -> Any:
        return property(lambda _self: 1)

    return changed(WatchedJournal, "epoch", make)


def two_conversations() -> Any:
    """Give a turn while another order has one."""

    def make(next_turn: Any) -> Any:
        def other(self: Any, *arguments: Any, **options: Any) -> Any:
            self._turn = None
            return next_turn(self, *arguments, **options)

        return other

    return changed(SubmitLane, "next_turn", make)


def say_yes_to_everything() -> Any:
    """Confirm every question, whatever the policy says."""

    def make(decide: Any) -> Any:
        def other(self: Any, question: Any, number: int) -> Any:
            return replace(decide(self, question, number), confirmed=True)

        return other

    return changed(OrderConversation, "_decide", make)


@contextmanager
def forget_a_halt_that_waited() -> Iterator[None]:
    """Send what waited for its turn when the halt came.

    A halt is asked for when a turn is given, when a question is answered, and by the halt
    itself, which ends what waits; any of them hides that the others are gone.
    """

    def make_grant(_grant: Any) -> Any:
        def other(self: Any, granted: Any) -> None:
            self.tell_order(granted.order_id, granted)

        return other

    def make_end(end: Any) -> Any:
        def other(self: Any, halt: Any, *, cancel_working: bool) -> int:
            cancels: int = end(self, halt, cancel_working=True) if cancel_working else 0
            return cancels

        return other

    with (
        changed(Switchboard, "grant_turn", make_grant),
        changed(EngineBridge, "_end_orders", make_end),
        changed(OrderActor, "_is_halted", lambda _is: lambda _self: False),
    ):
        yield


def cancel_once() -> Any:
    """Never ask for a cancel a second time, whatever became of the first."""

    def make(perform: Any) -> Any:
        sent: dict[int, Any] = {}

        def other(self: Any, effect: Any) -> None:
            if isinstance(effect, CancelAtBroker):
                if id(self.order) in sent:
                    return
                sent[id(self.order)] = self.order
            perform(self, effect)

        return other

    return changed(OrderActor, "perform", make)


def refused_by_silence() -> Any:
    """Take a timeout, an error of the server and a broken answer for a refusal."""

    def make(place: Any) -> Any:
        def other(self: Any, effect: Any, tell: Any) -> None:
            def told(answered: OrderAnswered) -> None:
                outcome = answered.outcome
                if outcome.kind is OutcomeKind.IN_DOUBT and answered.step is Step.PLACE:
                    outcome = replace(outcome, kind=OutcomeKind.REFUSED)
                tell(replace(answered, outcome=outcome))

            place(self, effect, told)

        return other

    return changed(HttpOrderGateway, "place", make)

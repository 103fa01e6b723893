"""Orders that rest at the broker, each with its actor, as an engine has them for hours."""

import asyncio
from dataclasses import replace
from typing import Final, cast

from benchmarks.contest import Digest
from benchmarks.journal import intent
from engine.actors.mailbox import Dispatcher, LoopRef
from engine.actors.order import OrderActor
from engine.actors.shell import Clock
from engine.actors.switchboard import Switchboard
from engine.actors.views import Views
from engine.domain.messages import (
    AttemptStarted,
    LearnAlias,
    OrderAnswered,
    Step,
    SubmitOrder,
)
from engine.domain.order import Order
from engine.domain.ports import Journal
from engine.domain.values import (
    Answer,
    BrokerOrderId,
    MessageId,
    Outcome,
    OutcomeKind,
    QuestionPolicy,
)

_AT_NS: Final = 1_750_000_000_000_000_000
_QUESTIONS: Final = QuestionPolicy(answers={MessageId("o354"): Answer.ACCEPT})
"""All orders of an account share the policy that its limits have."""


class Orders:
    """As many resting orders as were asked for.

    Without `known` all are of one ticket and nobody can find them: that is the actor, its
    address and its machine. With it, each has a ticket of its own, is shown and is found.
    """

    def __init__(self, count: int, *, known: bool) -> None:
        self._runner = asyncio.Runner()
        self._dispatcher = Dispatcher(self._runner.get_loop())
        self._clock = Clock()
        self._board = Switchboard(
            journal=cast("Journal", None),  # An order that rests writes nothing.
            views=Views(),
            shard="0001",
            clock=self._clock,
        )
        records = _life(1)
        self._refs: list[LoopRef] = []
        for number in range(1, count + 1):
            actor = self._rest(_life(number) if known else records)
            self._refs.append(actor.begin())
            if known:
                self._show(actor.order, actor.ref, number)

    def _rest(self, life: tuple[SubmitOrder, AttemptStarted, OrderAnswered]) -> OrderActor:
        order = Order()
        for record in life:
            order.replay(record, _AT_NS)
        return OrderActor(
            dispatcher=self._dispatcher,
            name=order.order_id,
            clock=self._clock,
            switchboard=self._board,
            order=order,
        )

    def _show(self, order: Order, ref: LoopRef, seq: int) -> None:
        assert order.broker_order_id is not None
        learned = LearnAlias(
            order_id=order.order_id,
            account=order.ticket.account,
            broker_order_id=order.broker_order_id,
        )
        self._board.connect_order(order.order_id, order.coid, ref)
        self._board.views.put(order.view(seq))
        self._board.learn_alias(learned)

    def digest(self) -> Digest:
        """Return how many rest."""
        return {"started": sum(ref.is_alive() for ref in self._refs)}

    def close(self) -> None:
        """Let all of them go."""
        self._refs.clear()
        self._runner.close()


def _life(number: int) -> tuple[SubmitOrder, AttemptStarted, OrderAnswered]:
    submit = intent(number).message
    assert isinstance(submit, SubmitOrder)
    approved = replace(submit.approved, questions=_QUESTIONS, request_sha256=f"{number:064d}")
    order_id = approved.order_id
    acknowledged = Outcome(
        kind=OutcomeKind.ACK, broker_order_id=BrokerOrderId(str(10**8 + number)), status="Submitted"
    )
    return (
        replace(submit, approved=approved),
        AttemptStarted(order_id=order_id, number=1, session_epoch=1),
        OrderAnswered(order_id=order_id, step=Step.PLACE, outcome=acknowledged),
    )

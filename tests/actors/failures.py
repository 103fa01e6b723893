"""How actors are made to fail, and what is looked at afterwards."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from engine import metrics
from engine.actors.mailbox import LoopActor, LoopRef
from engine.domain.messages import (
    NewsStreamed,
    ReplyAtBroker,
)
from engine.domain.values import (
    BrokerStatus,
    Scope,
    ScopeKind,
    TradingState,
)
from engine.domain.views import OrderView
from tests.actors.house import (
    ACCOUNT,
    ACK,
    ASKED,
    CONID,
    House,
    coid,
    fill,
    row,
)
from tests.domain.risk.samples import position
from tests.fakes import skip

POISON = "what no actor understands"
MINE = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)
REBUILT_S = 0.2
"""The first rebuild is due after 80 to 120 ms."""
RECONCILED_S = 6
"""So long after its session is back, an account was compared and takes orders again."""


def order_ref(house: House, view: OrderView) -> LoopRef:
    ref = house.board.order_ref(view.order_id)
    assert ref is not None
    return ref


def restarts(kind: type[LoopActor]) -> float:
    return float(metrics.ACTOR_RESTARTS.labels(kind.__name__)._value.get())


def escalations(kind: type[LoopActor]) -> float:
    return float(metrics.ACTOR_ESCALATIONS.labels(kind.__name__)._value.get())


async def poison(ref: LoopRef) -> None:
    """Let the actor fail, and be rebuilt."""
    ref.tell(POISON)
    await skip(REBUILT_S)


async def wear_out(ref: LoopRef) -> None:
    """Let the actor fail until it is given up."""
    for _ in range(6):
        ref.tell(POISON)
        await skip(4)


@contextmanager
def failing(kind: type[LoopActor], message: type) -> Iterator[list[object]]:
    """Let actors of a kind fail with their next message of a type, once."""
    met: list[object] = []
    handle = kind.on_receive

    def on_receive(self: LoopActor, told: object) -> object:
        if isinstance(told, message) and not met:
            met.append(told)
            text = "as told"
            raise RuntimeError(text)
        return handle(self, told)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "on_receive", on_receive)
        yield met


def trading_state(house: House) -> TradingState:
    return house.supervisor.risks[ACCOUNT].risk.trading_state


def working_buy(house: House) -> Decimal:
    return house.supervisor.risks[ACCOUNT].risk.exposure(CONID).working_buy


async def fill_in_parts(house: House, view: OrderView) -> OrderView:
    """Let the broker ask, accept, and fill the order, and tell all of it again in its polls."""
    line = house.line
    if not line.orders.placed:
        return house.bridge.order(view.order_id)
    line.orders.answer(ASKED)
    await skip(1)
    if isinstance(line.orders.calls[-1], ReplyAtBroker):
        line.orders.answer(ACK)
    for status, filled in ((BrokerStatus.SUBMITTED, 0), (BrokerStatus.FILLED, 10)):
        for number, quantity in enumerate((4, 3, 3) if filled else ()):
            one = fill(str(number), quantity, coid=coid(1))
            line.session.positions = (position((4, 7, 10)[number]),)
            line.session.executions = (*line.session.executions, one)
            line.feed.bring(NewsStreamed(executions=(one,)))
            await skip(0.5)
        line.session.rows = (row(status, coid=coid(1), filled=filled),)
        line.feed.bring(NewsStreamed(rows=line.session.rows))
        await skip(0.5)
    await skip(90)
    return house.bridge.order(view.order_id)


@contextmanager
def killing(
    kinds: tuple[type[LoopActor], ...], when: Callable[[int, object], bool]
) -> Iterator[list[object]]:
    """Let actors fail with the messages that `when` says, by their number."""
    told: list[object] = []

    def killer(
        handle: Callable[[LoopActor, object], object],
    ) -> Callable[[LoopActor, object], object]:
        def on_receive(self: LoopActor, message: object) -> object:
            told.append(message)
            if when(len(told), message):
                text = f"killed at {type(message).__name__}"
                raise RuntimeError(text)
            return handle(self, message)

        return on_receive

    with pytest.MonkeyPatch.context() as patch:
        for kind in kinds:
            patch.setattr(kind, "on_receive", killer(kind.on_receive))
        yield told

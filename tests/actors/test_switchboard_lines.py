"""Whose row it is when an order has exits or rests, and who hears what of an order's state."""

from dataclasses import replace
from decimal import Decimal

from engine import metrics
from engine.actors.mailbox import LoopRef
from engine.domain.history import RestingOrder
from engine.domain.messages import (
    DeliverNews,
    ExecutionSeen,
    LearnAlias,
    OrderChanged,
    OrderRowSeen,
    PositionsFilled,
)
from engine.domain.values import (
    BrokerOrderId,
    ClientOrderId,
    Coid,
    Confidence,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderRow,
    OrderState,
    OrderType,
    Side,
    Source,
)
from engine.domain.views import OrderView
from tests.actors.house import ACCOUNT, BROKER_ID, CONID, coid, fill, row
from tests.actors.test_switchboard import ORDER_ID, Ear, Ears
from tests.domain.risk.samples import view
from tests.fakes import quiet, run

EXIT_ID = OrderId("order-2")
EXIT_BROKER_ID = BrokerOrderId("7")
LEADS = GroupPlace(kind=GroupKind.BRACKET, leader=ORDER_ID, index=0, size=2)
CHILD = replace(
    row(broker_id=EXIT_BROKER_ID),
    conid=CONID,
    side=Side.SELL,
    total_quantity=Decimal(10),
    order_type="LMT",
    limit_price=Decimal(110),
    parent_id=BROKER_ID,
)


def entry() -> OrderView:
    return replace(
        view(1, seq=1),
        order_id=ORDER_ID,
        account=ACCOUNT,
        conid=CONID,
        side=Side.BUY,
        state=OrderState.SUBMITTING,
        broker_order_id=None,
        group=LEADS,
    )


class Bracket(Ears):
    """An entry with one exit."""

    def __init__(self) -> None:
        super().__init__()
        self.exit = Ear(self.dispatcher, "exit")
        self.board.connect_order(EXIT_ID, coid(2), self.exit.begin())
        self.board.show(entry())
        self.board.show(
            replace(
                entry(),
                order_id=EXIT_ID,
                side=Side.SELL,
                type=OrderType.LMT,
                quantity=Decimal(10),
                limit_price=Decimal(110),
                group=replace(LEADS, index=1),
            )
        )


def shown(one: OrderRow, order_id: OrderId = EXIT_ID, read: int = 0) -> OrderRowSeen:
    source = Source.POLL if read else Source.STREAM
    return OrderRowSeen(order_id=order_id, row=one, source=source, read=read)


def test_a_row_that_names_the_entry_is_told_to_the_exit() -> None:
    async def scene() -> None:
        home = Bracket()
        home.learn()

        home.deliver(DeliverNews(rows=(CHILD,), source=Source.POLL, read=3))
        await quiet()

        assert home.exit.heard == [shown(CHILD, read=3)]
        assert home.order.heard == []
        assert home.board.external(ACCOUNT) == ()

    run(scene())


def test_a_row_of_an_exit_with_the_reference_of_its_entry_is_the_exits() -> None:
    async def scene() -> None:
        home = Bracket()
        home.learn()
        referring = replace(CHILD, coid=coid(1))

        home.deliver(DeliverNews(rows=(referring,), source=Source.POLL, read=3))
        await quiet()

        assert (home.exit.heard, home.order.heard, home.halts) == (
            [shown(referring, read=3)],
            [],
            [],
        )

    run(scene())


def test_an_exit_that_was_shown_before_its_entry_had_a_name_is_told_then() -> None:
    async def scene() -> None:
        home = Bracket()
        partial = replace(CHILD, limit_price=None)
        home.deliver(DeliverNews(rows=(partial,), source=Source.STREAM))
        early = list(home.exit.heard)

        home.learn()
        await quiet()

        assert early == []
        assert home.exit.heard == [shown(partial)]

    run(scene())


def test_a_fill_of_an_exit_with_the_reference_of_its_entry_is_the_exits() -> None:
    async def scene() -> None:
        home = Bracket()
        home.learn()
        home.board.learn_alias(
            LearnAlias(order_id=EXIT_ID, account=ACCOUNT, broker_order_id=EXIT_BROKER_ID)
        )
        execution = fill("1", 4, coid=coid(1), broker_id=EXIT_BROKER_ID)

        home.deliver(DeliverNews(executions=(execution,), source=Source.POLL))
        await quiet()

        assert home.order.heard == []
        assert home.exit.heard == [
            ExecutionSeen(order_id=EXIT_ID, execution=execution, source=Source.POLL)
        ]

    run(scene())


def test_a_child_of_ours_that_fits_no_exit_halts_nothing_and_is_told_to_nobody() -> None:
    async def scene() -> None:
        home = Bracket()
        home.learn()
        odd = replace(CHILD, coid=coid(1), order_type="STP")

        home.deliver(DeliverNews(rows=(odd,), source=Source.POLL, read=1))
        await quiet()

        assert (home.exit.heard, home.order.heard, home.halts) == ([], [], [])
        assert [one.row for one in home.board.external(ACCOUNT)] == [odd]

    run(scene())


def test_entries_without_their_exits_are_counted() -> None:
    async def scene() -> None:
        ears = Ears()
        gauge = metrics.UNPROTECTED.labels(metrics.account_label(ACCOUNT))
        counts = []

        for missing in ((EXIT_ID,), (EXIT_ID,), ()):
            ears.board.show(replace(entry(), unprotected=missing))
            counts.append(gauge._value.get())

        assert counts == [1, 1, 0]

    run(scene())


def test_a_state_is_announced_after_its_fills_and_shown_as_asked() -> None:
    async def scene() -> None:
        ears = Ears()
        known = replace(entry(), state=OrderState.WORKING)
        unsure = replace(known, confidence=Confidence.UNCONFIRMED)

        ears.board.announce(known, fills=(fill("1", 4), fill("2", 6)), shown=unsure)
        await quiet()

        assert ears.board.views.get(ORDER_ID) == unsure
        assert ears.risk.heard == [
            PositionsFilled(fills=(ears.filled("1", 4), ears.filled("2", 6))),
            OrderChanged(view=known),
        ]
        assert ears.session.heard == [OrderChanged(view=known)]

    run(scene())


def test_news_wakes_the_order_that_it_is_about() -> None:
    async def scene() -> None:
        ears = Ears()
        woken: list[OrderId] = []
        sleeper = Ear(ears.dispatcher, "sleeper")

        def wake(order_id: OrderId) -> LoopRef:
            woken.append(order_id)
            ref = sleeper.begin()
            ears.board.connect_order(order_id, Coid("old"), ref)
            return ref

        ears.board.wake = wake
        ears.board.rest(
            RestingOrder(
                order_id=EXIT_ID,
                account=ACCOUNT,
                client_order_id=ClientOrderId("old-1"),
                coid=Coid("old"),
                broker_order_ids=(EXIT_BROKER_ID,),
                state=OrderState.NOT_PLACED,
                updated_at_ns=1,
                seq=1,
                leader=None,
                unsettled=False,
                packed=b"",
            )
        )
        before = (list(woken), ears.board.order_ref(EXIT_ID))

        late = row(broker_id=EXIT_BROKER_ID)
        ears.deliver(DeliverNews(rows=(late, late), source=Source.POLL, read=1))
        await quiet()

        assert before == ([], None)
        assert woken == [EXIT_ID]
        assert sleeper.heard == [shown(late, read=1)] * 2

    run(scene())


def test_numbers_are_counted_for_orders_of_every_origin() -> None:
    async def scene() -> None:
        ears = Ears()

        assert [ears.board.next_number() for _ in range(3)] == [1, 2, 3]

    run(scene())

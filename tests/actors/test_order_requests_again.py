"""Requests that come twice, and requests whose order moves while they are answered."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors import order_requests
from engine.domain.messages import (
    ModifyAtBroker,
    ModifyOrder,
    OrderRowSeen,
    PromptRaised,
    RequestVerdict,
)
from engine.domain.ports import (
    ChangeRefused,
    JournalUnavailable,
    NotModifiable,
    Submitted,
    TermsChange,
)
from engine.domain.risk import Code
from engine.domain.values import (
    ConId,
    MessageId,
    OrderId,
    OrderType,
    Pending,
    Question,
    QuestionId,
    Reason,
    Side,
    Source,
    TrailingType,
)
from engine.domain.views import OrderView
from tests.actors.house import (
    CONID,
    MAIN,
    TICKET,
    TIMEOUT,
    House,
    keyed,
    ready_house,
    row,
    submit_request,
)
from tests.domain.risk.samples import ANYTHING, INSTRUMENT
from tests.fakes import FakeInstruments, quiet, run, skip

BY_SYMBOL = replace(TICKET, conid=ConId(0))
TWIN = replace(INSTRUMENT, conid=ConId(9999), exchange="LSE")
CHEAPER = TermsChange(limit_price=Decimal(99))
BROKEN = Reason(code="JOURNAL_UNAVAILABLE", message="disk full")
TRAIL = replace(
    TICKET,
    side=Side.SELL,
    type=OrderType.TRAIL,
    limit_price=None,
    stop_price=Decimal(95),
    trailing_type=TrailingType.AMOUNT,
    trailing_amount=Decimal(5),
)
TRAIL_LIMIT = replace(TRAIL, type=OrderType.TRAILLMT, limit_price=Decimal(94))


def now_s() -> float:
    return asyncio.get_running_loop().time()


# --- repeats -------------------------------------------------------------------------------------


def test_a_repeat_is_answered_whatever_became_of_its_contract() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.bridge.submit(submit_request(BY_SYMBOL))
        await quiet()
        instruments = FakeInstruments(INSTRUMENT, TWIN)
        house.board.sessions[MAIN].instruments = instruments

        again = await house.bridge.submit(submit_request(BY_SYMBOL))

        assert isinstance(first, Submitted)
        assert isinstance(again, Submitted)
        assert (again.answer.verdict, again.order.order_id) == (
            RequestVerdict.REPEATED,
            first.order.order_id,
        )
        assert instruments.asked == []

    run(scene())


@pytest.mark.parametrize("closed", ["draining", "journal failed"])
def test_a_closed_engine_still_tells_of_the_order_that_a_repeat_made(closed: str) -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.submit()
        if closed == "draining":
            house.bridge.drain()
        else:
            house.bridge.journal_failed(BROKEN)
        written = len(house.journal.written)

        again = await house.bridge.submit(submit_request())
        conflict = await house.bridge.submit(submit_request(replace(TICKET, quantity=Decimal(11))))

        assert isinstance(again, Submitted)
        assert isinstance(conflict, Submitted)
        verdicts = [again.answer.verdict, conflict.answer.verdict]
        assert verdicts == [RequestVerdict.REPEATED, RequestVerdict.CONFLICT]
        assert again.order == conflict.order == first
        assert len(house.journal.written) == written

    run(scene())


def test_a_repeat_of_what_is_not_durable_is_no_order_when_the_journal_failed() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        first = asyncio.ensure_future(house.bridge.submit(submit_request()))
        await skip(1)
        house.bridge.journal_failed(BROKEN)
        began_s = now_s()

        with pytest.raises(JournalUnavailable, match="disk full"):
            await house.bridge.submit(submit_request())

        assert now_s() == began_s
        with pytest.raises(JournalUnavailable):
            await first

    run(scene())


# --- changes of what moves -----------------------------------------------------------------------


async def trailing(order_type: OrderType) -> tuple[House, OrderView]:
    house = await ready_house()
    house.board.sessions[MAIN].instruments = FakeInstruments(ANYTHING)
    ticket = TRAIL if order_type is OrderType.TRAIL else TRAIL_LIMIT
    return house, await house.work(ticket)


@pytest.mark.parametrize(
    ("order_type", "change", "unsaid"),
    [
        (OrderType.TRAIL, TermsChange(quantity=Decimal(8)), "stop_price"),
        (OrderType.TRAILLMT, TermsChange(quantity=Decimal(8)), "stop_price and limit_price"),
        (OrderType.TRAILLMT, TermsChange(stop_price=Decimal(96)), "limit_price"),
        (OrderType.TRAILLMT, TermsChange(limit_price=Decimal(96)), "stop_price"),
    ],
)
def test_a_change_of_a_trailing_order_must_say_where_its_prices_are_to_be(
    order_type: OrderType, change: TermsChange, unsaid: str
) -> None:
    async def scene() -> None:
        house, view = await trailing(order_type)

        with pytest.raises(ChangeRefused) as refused:
            await house.bridge.modify(view.order_id, change, by="me")

        assert refused.value.reason == Reason(
            code=Code.TRAILING_INVALID,
            message=(
                f"{unsaid} of order {view.order_id} must be named in every change: the order is "
                f"a {order_type}, so the market has moved what it began with; add where it is to "
                "be now, or cancel the order and submit another"
            ),
        )
        assert ModifyOrder not in house.journal.written

    run(scene())


@pytest.mark.parametrize("order_type", [OrderType.TRAIL, OrderType.TRAILLMT])
def test_a_change_of_a_trailing_order_that_says_all_is_sent(order_type: OrderType) -> None:
    async def scene() -> None:
        house, view = await trailing(order_type)
        limit_price = None if order_type is OrderType.TRAIL else Decimal(95)
        change = TermsChange(quantity=Decimal(8), stop_price=Decimal(96), limit_price=limit_price)

        asked = await house.bridge.modify(view.order_id, change, by="me")
        await quiet()

        assert asked.pending is Pending.REPLACE
        assert isinstance(house.line.orders.calls[-1], ModifyAtBroker)

    run(scene())


async def tell_row(house: House, order_id: OrderId, quantity: int) -> None:
    shown = replace(row(), total_quantity=Decimal(quantity))
    seen = OrderRowSeen(order_id=order_id, row=shown, source=Source.POLL)
    house.board.tell_order(order_id, seen)
    await quiet()


def test_what_a_change_does_not_name_is_as_it_is_when_risk_is_asked() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        # The answer to a first change is lost; what is in force, only rows tell. They deny it
        # for so long that it is given up, and then the broker takes it after all.
        await house.bridge.modify(view.order_id, TermsChange(quantity=Decimal(5)), by="me")
        await quiet()
        house.line.orders.answer(TIMEOUT)
        for wait_s in (0, 61, 0):
            await tell_row(house, view.order_id, 10)
            await skip(wait_s)
        given_up = house.bridge.order(view.order_id)
        house.line.feed.quotes.clear()
        modifying = asyncio.ensure_future(house.bridge.modify(view.order_id, CHEAPER, by="me"))
        await skip(1)
        await tell_row(house, view.order_id, 5)
        moved = house.bridge.order(view.order_id)

        house.line.feed.quotes[CONID] = house.quote()
        asked = await modifying
        await quiet()

        assert (given_up.pending, given_up.quantity) == (Pending.NONE, Decimal(10))
        assert (moved.pending, moved.quantity) == (Pending.NONE, Decimal(5))
        assert asked.wanted is not None
        assert (asked.wanted.quantity, asked.wanted.limit_price) == (Decimal(5), Decimal(99))
        sent = house.line.orders.calls[-1]
        assert isinstance(sent, ModifyAtBroker)
        assert sent.body == f"{view.coid} BUY 5 99".encode()

    run(scene())


def test_a_change_that_is_dropped_at_once_is_a_conflict_at_once() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        question = Question(
            question_id=QuestionId("notification:1:2:Yes:No"),
            message_ids=(MessageId("o163"),),
            texts=("Sure?",),
        )
        prompt = PromptRaised(order_id=view.order_id, question=question)
        house.board.tell_order(view.order_id, prompt)
        await quiet()
        began_s = now_s()

        with pytest.raises(NotModifiable, match="the broker asked something"):
            await house.bridge.modify(view.order_id, CHEAPER, by="me")

        assert now_s() - began_s < order_requests.ASKED_S_MAX
        assert not any(isinstance(one, ModifyAtBroker) for one in house.line.orders.calls)

    run(scene())


def test_another_key_is_no_repeat() -> None:
    async def scene() -> None:
        house = await ready_house()
        first = await house.submit()

        second = await house.submit(keyed("mine-2"))

        assert second.order_id != first.order_id

    run(scene())

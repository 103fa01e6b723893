import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors import markets, order_requests
from engine.actors.tickets import Settled
from engine.domain.messages import (
    CancelAtBroker,
    CancelOrder,
    ModifyAtBroker,
    ModifyOrder,
    NewsStreamed,
    RequestVerdict,
    SendTopic,
    Topic,
)
from engine.domain.ports import (
    AmbiguousSymbol,
    ChangeRefused,
    EngineDraining,
    JournalUnavailable,
    NotModifiable,
    Submitted,
    TermsChange,
    UnknownOrder,
)
from engine.domain.values import (
    ConId,
    OrderId,
    OrderState,
    Pending,
    Reason,
    Terms,
    Ticket,
)
from tests.actors.house import (
    ACK,
    ASKED,
    CONID,
    MAIN,
    REFUSED,
    TICKET,
    TIMEOUT,
    fill,
    keyed,
    ready_house,
    submit_request,
)
from tests.domain.risk.samples import INSTRUMENT
from tests.fakes import FakeEncoder, FakeInstruments, quiet, run, skip

NEW = replace(INSTRUMENT, conid=ConId(8314), symbol="IBM", exchange="NYSE")
TWIN = replace(INSTRUMENT, conid=ConId(9999), exchange="LSE")
BY_SYMBOL = replace(TICKET, conid=ConId(0))


FUTURE = replace(INSTRUMENT, conid=ConId(495512563), symbol="ES", sec_type="FUT")
CHEAPER = TermsChange(limit_price=Decimal(99))
TAKEN = replace(ACK, status=None)


UNWRITABLE = Reason(code="EXT_OPERATOR_MISSING", message="no operator any more")


class Unwritable(FakeEncoder):
    """Can write no ticket at all."""

    def refusal(self, ticket: Ticket) -> Reason | None:  # noqa: ARG002 - the port's signature
        return UNWRITABLE


def now_s() -> float:
    return asyncio.get_running_loop().time()


# --- submits -------------------------------------------------------------------------------------


def test_a_symbol_becomes_the_contract_that_it_means() -> None:
    async def scene() -> None:
        house = await ready_house()

        view = await house.submit(BY_SYMBOL)

        assert (view.conid, view.symbol) == (CONID, "AAPL")
        assert house.line.instruments.asked == ["AAPL"]

    run(scene())


def test_an_ambiguous_symbol_makes_nothing_and_lists_what_it_may_mean() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.instruments = FakeInstruments(INSTRUMENT, TWIN)
        house.board.sessions[MAIN].instruments = house.line.instruments

        result = await house.bridge.submit(submit_request(BY_SYMBOL))
        unique = await house.bridge.submit(submit_request(BY_SYMBOL, exchange="NASDAQ"))

        assert result == AmbiguousSymbol(symbol="AAPL", candidates=(INSTRUMENT, TWIN), count=2)
        assert isinstance(unique, Submitted)
        assert unique.order.conid == CONID

    run(scene())


def test_a_contract_that_the_broker_does_not_know_is_refused_by_risk() -> None:
    async def scene() -> None:
        house = await ready_house()

        view = await house.submit(replace(TICKET, conid=ConId(1)))

        assert (view.state, view.reason and view.reason.code) == (
            OrderState.DENIED,
            "INSTRUMENT_UNKNOWN",
        )

    run(scene())


def test_a_session_that_is_not_ready_refuses_without_asking_the_broker() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.supervisor.sessions[MAIN].close(Reason(code="GATEWAY_DOWN", message="gone"))
        await quiet()

        view = await house.submit()

        assert (view.state, view.reason and view.reason.code) == (
            OrderState.DENIED,
            "SESSION_NOT_READY",
        )
        assert house.line.instruments.asked == []

    run(scene())


def test_a_contract_that_is_not_streamed_is_streamed_for_its_first_quote() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.board.sessions[MAIN].instruments = FakeInstruments(NEW)
        submitting = asyncio.ensure_future(
            house.bridge.submit(submit_request(replace(TICKET, conid=NEW.conid)))
        )
        await skip(1)
        asked = house.line.feed.sent[-1]
        early = submitting.done()

        house.line.feed.quotes[NEW.conid] = replace(house.quote(), conid=NEW.conid)
        result = await submitting

        assert asked == SendTopic(topic=Topic.QUOTES, conid=NEW.conid)
        assert not early
        assert isinstance(result, Submitted)
        assert result.answer.verdict is RequestVerdict.APPROVED

    run(scene())


def test_without_a_quote_in_time_risk_refuses() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.feed.quotes.clear()
        started_s = now_s()

        result = await house.bridge.submit(submit_request())

        assert isinstance(result, Submitted)
        assert result.order.reason is not None
        assert result.order.reason.code == "NO_REFERENCE_PRICE"
        assert now_s() - started_s == pytest.approx(markets.QUOTE_S_MAX, abs=0.1)

    run(scene())


def test_a_stopping_engine_takes_no_orders_and_makes_none() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.feed.quotes.clear()
        waiting = asyncio.ensure_future(house.bridge.submit(submit_request()))
        await quiet()

        house.bridge.drain()
        house.bridge.drain()

        with pytest.raises(EngineDraining, match="takes no new orders"):
            await house.bridge.submit(submit_request(keyed("mine-2")))
        with pytest.raises(EngineDraining):
            await waiting
        assert house.journal.of_orders == []
        assert house.drains == 1
        assert house.bridge.health().draining
        assert not house.bridge.health().ready

    run(scene())


def test_a_repeat_of_an_order_that_is_not_durable_cancels_nothing() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.held = True
        first = asyncio.ensure_future(house.bridge.submit(submit_request()))
        await skip(5)
        house.bridge.journal_failed(Reason(code="JOURNAL_UNAVAILABLE", message="slow"))
        conflict = submit_request(replace(TICKET, quantity=Decimal(11)))
        answer, _ = await house.bridge._requests._ask_for_order(
            conflict, Settled(ticket=conflict.ticket, instrument=INSTRUMENT), house.quote()
        )

        house.journal.commit()
        result = await first

        assert answer.verdict is RequestVerdict.CONFLICT
        assert isinstance(result, Submitted)
        assert result.order.state is OrderState.SUBMITTING
        assert CancelOrder not in house.journal.written

    run(scene())


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (
            replace(TICKET, conid=ConId(1)),
            Reason(code="INSTRUMENT_UNKNOWN", message="no contract 1"),
        ),
        (
            replace(BY_SYMBOL, sec_type="BOND"),
            Reason(code="INSTRUMENT_UNKNOWN", message="no BOND AAPL"),
        ),
        (
            replace(TICKET, conid=FUTURE.conid),
            Reason(code="EXT_OPERATOR_MISSING", message="no operator"),
        ),
    ],
)
def test_what_stands_in_the_way_of_an_order_is_why_risk_refuses_it(
    ticket: Ticket, reason: Reason
) -> None:
    async def scene() -> None:
        house = await ready_house()
        house.board.sessions[MAIN].instruments = FakeInstruments(INSTRUMENT, FUTURE)
        sent = len(house.line.feed.sent)

        view = await house.submit(ticket)

        assert (view.state, view.reason) == (OrderState.DENIED, reason)
        assert len(house.line.feed.sent) == sent

    run(scene())


def test_a_ticket_takes_its_kind_from_the_contract() -> None:
    async def scene() -> None:
        house = await ready_house()
        coin = replace(INSTRUMENT, sec_type="CRYPTO", symbol="BTC")
        house.board.sessions[MAIN].instruments = FakeInstruments(coin)

        view = await house.submit()

        assert (view.symbol, view.sec_type) == ("BTC", "CRYPTO")

    run(scene())


# --- modifies ------------------------------------------------------------------------------------


def terms(quantity: int = 10, limit_price: int = 100) -> Terms:
    return Terms(quantity=Decimal(quantity), limit_price=Decimal(limit_price), stop_price=None)


def test_new_terms_are_durable_before_they_are_answered_and_sent_once() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.journal.held = True

        modifying = asyncio.ensure_future(house.bridge.modify(view.order_id, CHEAPER, by="me"))
        await quiet()
        early = (modifying.done(), house.line.orders.calls[1:])
        house.journal.held = False
        house.journal.commit()
        asked = await modifying
        await quiet()

        assert early == (False, [])
        assert (asked.pending, asked.wanted) == (Pending.REPLACE, terms(limit_price=99))
        assert (asked.limit_price, asked.state) == (Decimal(100), OrderState.ACCEPTED)
        assert house.journal.written.count(ModifyOrder) == 1
        (sent,) = house.line.orders.calls[1:]
        assert isinstance(sent, ModifyAtBroker)
        assert sent.body == f"{view.coid} BUY 10 99".encode()

    run(scene())


def test_new_terms_are_in_force_once_the_broker_took_them() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        await house.bridge.modify(view.order_id, CHEAPER, by="me")
        await quiet()
        waiting = asyncio.ensure_future(house.bridge.wait_settled(view.order_id, timeout_ms=60_000))
        await skip(1)
        early = waiting.done()

        house.line.orders.answer(TAKEN)
        settled = await waiting

        assert not early
        assert (settled.pending, settled.wanted) == (Pending.NONE, None)
        assert settled.limit_price == Decimal(99)

    run(scene())


def test_waiting_for_new_terms_ends_with_its_time() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        asked = await house.bridge.modify(view.order_id, CHEAPER, by="me")
        started_s = now_s()

        unsettled = await house.bridge.wait_settled(view.order_id, timeout_ms=1_500)

        assert unsettled.wanted == asked.wanted
        assert now_s() - started_s == pytest.approx(1.5)

    run(scene())


def test_a_modify_that_is_repeated_or_asks_for_what_is_so_is_not_sent_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        same = await house.bridge.modify(
            view.order_id, TermsChange(quantity=Decimal("10.0")), by="me"
        )
        first = await house.bridge.modify(view.order_id, CHEAPER, by="me")
        again = await house.bridge.modify(view.order_id, CHEAPER, by="me")
        await quiet()

        assert same == view
        assert first == again
        assert house.journal.written.count(ModifyOrder) == 1

    run(scene())


def test_one_change_of_an_order_is_asked_for_at_a_time() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        dearer = TermsChange(limit_price=Decimal(101))

        first = asyncio.ensure_future(house.bridge.modify(view.order_id, CHEAPER, by="me"))
        await asyncio.sleep(0)
        with pytest.raises(NotModifiable, match="another change of order"):
            await house.bridge.modify(view.order_id, dearer, by="you")
        asked = await first
        with pytest.raises(NotModifiable, match="a replace of order"):
            await house.bridge.modify(view.order_id, dearer, by="you")

        assert asked.wanted == terms(limit_price=99)

    run(scene())


def test_terms_that_risk_refuses_leave_no_record() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        with pytest.raises(ChangeRefused) as refused:
            await house.bridge.modify(
                view.order_id, TermsChange(limit_price=Decimal("99.001")), by="me"
            )

        assert refused.value.reason.code == "PRICE_INVALID_TICK"
        assert house.bridge.order(view.order_id) == view
        assert ModifyOrder not in house.journal.written

    run(scene())


def test_a_session_that_is_not_ready_takes_no_new_terms() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        asked_before = list(house.line.instruments.asked)
        house.supervisor.sessions[MAIN].close(Reason(code="GATEWAY_DOWN", message="gone"))
        await quiet()

        with pytest.raises(ChangeRefused) as refused:
            await house.bridge.modify(view.order_id, CHEAPER, by="me")

        assert refused.value.reason.code == "SESSION_NOT_READY"
        assert house.line.instruments.asked == asked_before

    run(scene())


@pytest.mark.parametrize("known", [False, True])
def test_a_contract_that_cannot_be_had_or_written_takes_no_new_terms(*, known: bool) -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        if known:
            house.bridge._requests._encoder = Unwritable()
        else:
            house.board.sessions[MAIN].instruments = FakeInstruments()

        with pytest.raises(ChangeRefused) as refused:
            await house.bridge.modify(view.order_id, CHEAPER, by="me")

        unknown = Reason(code="INSTRUMENT_UNKNOWN", message=f"no contract {CONID}")
        assert refused.value.reason == (UNWRITABLE if known else unknown)
        assert ModifyOrder not in house.journal.written

    run(scene())


def test_an_order_that_is_not_at_the_broker_cannot_be_changed() -> None:
    async def scene() -> None:
        house = await ready_house()
        over = await house.work(outcome=REFUSED)
        in_doubt = await house.work(keyed("mine-2"), outcome=TIMEOUT)

        with pytest.raises(NotModifiable, match="is REJECTED; it can be changed in ACCEPTED"):
            await house.bridge.modify(over.order_id, CHEAPER, by="me")
        with pytest.raises(NotModifiable, match="is IN_DOUBT"):
            await house.bridge.modify(in_doubt.order_id, CHEAPER, by="me")
        with pytest.raises(UnknownOrder):
            await house.bridge.modify(OrderId("nothing"), CHEAPER, by="me")

    run(scene())


def test_an_order_that_fills_while_its_market_is_asked_for_cannot_be_changed() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.line.feed.quotes.clear()

        modifying = asyncio.ensure_future(house.bridge.modify(view.order_id, CHEAPER, by="me"))
        await skip(1)
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 10),)))

        with pytest.raises(NotModifiable, match="is FILLED"):
            await modifying
        assert ModifyOrder not in house.journal.written

    run(scene())


def test_a_cancel_overtakes_a_change() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        await house.bridge.modify(view.order_id, CHEAPER, by="me")
        await quiet()

        cancelling = await house.bridge.cancel(view.order_id, by="me")
        await quiet()

        assert cancelling.pending is Pending.CANCEL
        assert isinstance(house.line.orders.calls[-1], CancelAtBroker)

    run(scene())


def test_a_change_that_is_not_durable_in_time_is_shown_as_it_is() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.journal.held = True
        started_s = now_s()

        unchanged = await house.bridge.modify(view.order_id, CHEAPER, by="me")

        assert unchanged == view
        assert now_s() - started_s == pytest.approx(order_requests.ASKED_S_MAX)

    run(scene())


def test_a_stopping_engine_and_a_broken_journal_take_no_new_terms() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        house.bridge.journal_failed(Reason(code="JOURNAL_UNAVAILABLE", message="disk full"))
        with pytest.raises(JournalUnavailable, match="disk full"):
            await house.bridge.modify(view.order_id, CHEAPER, by="me")
        house.bridge.drain()
        with pytest.raises(EngineDraining):
            await house.bridge.modify(view.order_id, CHEAPER, by="me")

    run(scene())


# --- cancels and waits ---------------------------------------------------------------------------


def test_a_cancel_of_an_unknown_order_is_said() -> None:
    async def scene() -> None:
        house = await ready_house()

        with pytest.raises(UnknownOrder):
            await house.bridge.cancel(OrderId("nothing"), by="me")

    run(scene())


def test_an_order_that_is_over_is_returned_as_it_is() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=REFUSED)

        assert await house.bridge.cancel(view.order_id, by="me") == view
        assert CancelOrder not in house.journal.written

    run(scene())


def test_a_cancel_is_asked_for_once_however_often_it_comes() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()

        first = await house.bridge.cancel(view.order_id, by="me")
        second = await house.bridge.cancel(view.order_id, by="you")
        await quiet()

        assert first == second
        assert first.pending is Pending.CANCEL
        assert house.journal.written.count(CancelOrder) == 1
        assert len(house.line.orders.calls) == 2

    run(scene())


def test_a_cancel_that_is_not_durable_in_time_returns_the_order_as_it_is() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        house.journal.held = True
        started_s = now_s()

        unchanged = await house.bridge.cancel(view.order_id, by="me")

        assert unchanged == view
        assert now_s() - started_s == pytest.approx(order_requests.ASKED_S_MAX)

    run(scene())


def test_waiting_for_an_acknowledgement_ends_when_the_broker_has_spoken() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work(outcome=ASKED)
        waiting = asyncio.ensure_future(
            house.bridge.wait(view.order_id, terminal=False, timeout_ms=60_000)
        )
        await skip(1)
        while_asked = (house.bridge.order(view.order_id).state, waiting.done())

        house.line.orders.answer(ACK)

        assert while_asked == (OrderState.AWAITING_REPLY, False)
        assert (await waiting).state is OrderState.ACCEPTED

    run(scene())


@pytest.mark.parametrize(
    ("outcome", "state"), [(TIMEOUT, OrderState.IN_DOUBT), (REFUSED, OrderState.REJECTED)]
)
def test_doubt_and_refusal_are_answers_too(outcome: object, state: OrderState) -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.submit()
        waiting = asyncio.ensure_future(
            house.bridge.wait(view.order_id, terminal=False, timeout_ms=60_000)
        )

        house.line.orders.answer(outcome)  # type: ignore[arg-type] # parametrized
        started_s = now_s()

        assert (await waiting).state is state
        assert now_s() == started_s

    run(scene())


def test_waiting_for_the_end_ends_with_the_last_fill() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        waiting = asyncio.ensure_future(
            house.bridge.wait(view.order_id, terminal=True, timeout_ms=60_000)
        )
        house.line.feed.bring(NewsStreamed(executions=(fill("1", 4),)))
        await quiet()
        early = waiting.done()

        house.line.feed.bring(NewsStreamed(executions=(fill("2", 6),)))

        assert (await waiting).state is OrderState.FILLED
        assert not early

    run(scene())


def test_waiting_ends_with_its_time() -> None:
    async def scene() -> None:
        house = await ready_house()
        view = await house.work()
        started_s = now_s()

        unchanged = await house.bridge.wait(view.order_id, terminal=True, timeout_ms=1_500)

        assert unchanged == view
        assert now_s() - started_s == pytest.approx(1.5)
        with pytest.raises(UnknownOrder):
            await house.bridge.wait(OrderId("nothing"), terminal=True, timeout_ms=1)

    run(scene())

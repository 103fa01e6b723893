import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.actors import markets
from engine.domain.messages import (
    Topic,
)
from engine.domain.ports import AgedInstrument, AmbiguousSymbol, ContractQuery, HistoryQuery
from engine.domain.values import (
    Bar,
    ConId,
    Instrument,
    Quote,
    Reason,
    SessionName,
)
from tests.actors.house import (
    ACCOUNT,
    CONID,
    MAIN,
    OTHER,
    House,
    ready_house,
)
from tests.domain.risk.samples import INSTRUMENT
from tests.fakes import FakeData, FakeInstruments, quiet, run, skip

NEW = replace(INSTRUMENT, conid=ConId(8314), symbol="IBM", exchange="NYSE")


def bar(number: int) -> Bar:
    price = Decimal(100 + number)
    return Bar(
        conid=CONID,
        interval_ms=1_000,
        start_ms=number * 1_000,
        open=price,
        high=price,
        low=price,
        close=price,
        volume=Decimal(0),
        vwap=None,
        trades=0,
    )


async def two_sessions() -> House:
    house = House()
    house.add(MAIN, (ACCOUNT,), conids=())
    house.add(SessionName("other"), (OTHER,), conids=(CONID,))
    house.lines[MAIN].feed.quotes.clear()
    await house.start()
    return house


def test_a_quote_comes_from_whichever_session_has_it_with_its_age() -> None:
    async def scene() -> None:
        house = await two_sessions()
        quote = house.quote()
        house.lines[SessionName("other")].feed.quotes[CONID] = quote
        await skip(0.25)

        assert house.bridge.quotes([CONID, ConId(1)]) == ((quote, 250),)

    run(scene())


def test_of_two_sessions_that_stream_a_contract_the_newest_quote_is_shown() -> None:
    async def scene() -> None:
        house = await two_sessions()
        house.lines[MAIN].feed.quotes[CONID] = house.quote()
        await skip(5)
        fresh = house.quote()
        house.lines[SessionName("other")].feed.quotes[CONID] = fresh

        assert house.bridge.quotes([CONID]) == ((fresh, 0),)

    run(scene())


def test_a_gap_in_one_sessions_bars_is_filled_by_anothers() -> None:
    async def scene() -> None:
        house = await two_sessions()
        thin, full = replace(bar(2), trades=1), replace(bar(2), trades=7)
        house.lines[MAIN].feed.bars_of[CONID] = (bar(0), bar(1), thin)
        house.lines[SessionName("other")].feed.bars_of[CONID] = (bar(1), full, bar(3), bar(4))

        assert house.bridge.bars(CONID, interval_ms=1_000, limit=4) == (
            bar(1),
            full,
            bar(3),
            bar(4),
        )

    run(scene())


def test_bars_come_from_whichever_session_has_them() -> None:
    async def scene() -> None:
        house = await two_sessions()
        house.lines[SessionName("other")].feed.bars_of[CONID] = tuple(map(bar, range(3)))

        assert house.bridge.bars(CONID, interval_ms=1_000, limit=2) == (bar(1), bar(2))
        assert house.bridge.bars(CONID, interval_ms=60_000, limit=2) == ()

    run(scene())


def test_a_contract_is_streamed_until_it_is_not_wanted_any_more() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.board.sessions[MAIN].instruments = FakeInstruments(NEW)

        found = await house.bridge.subscribe(NEW.conid)
        again = await house.bridge.subscribe(NEW.conid)
        await quiet()
        streamed = house.bridge.subscriptions()
        stopped = await house.bridge.unsubscribe(NEW.conid)
        await quiet()

        assert (found, again) == (NEW, NEW)
        assert streamed == (NEW.conid, CONID)
        assert stopped
        assert house.bridge.subscriptions() == (CONID,)
        assert not await house.bridge.unsubscribe(NEW.conid)
        assert [one.topic for one in house.line.feed.sent if one.conid == NEW.conid] == [
            Topic.QUOTES,
            Topic.STOP_QUOTES,
        ]

    run(scene())


def test_an_unknown_contract_is_not_streamed() -> None:
    async def scene() -> None:
        house = await ready_house()

        found = await house.bridge.subscribe(ConId(1))
        await quiet()

        assert found == Reason(code="INSTRUMENT_UNKNOWN", message="no contract 1")
        assert house.bridge.subscriptions() == (CONID,)

    run(scene())


def test_no_more_contracts_are_streamed_than_the_broker_streams() -> None:
    async def scene() -> None:
        house = House()
        maximum = markets.SUBSCRIPTIONS_MAX
        streamed = tuple(ConId(number + 1) for number in range(maximum))
        house.add(conids=streamed)
        await house.start()
        known = replace(NEW, conid=streamed[0])
        house.board.sessions[MAIN].instruments = FakeInstruments(NEW, known)

        refused = await house.bridge.subscribe(NEW.conid)
        already = await house.bridge.subscribe(known.conid)
        await quiet()

        assert refused == Reason(
            code="SUBSCRIPTIONS_FULL", message="90 contracts are streamed, the limit is 90"
        )
        assert already == known
        assert house.bridge.subscriptions() == streamed

    run(scene())


def test_contracts_are_looked_up_where_a_session_is_ready() -> None:
    async def scene() -> None:
        house = await two_sessions()
        house.supervisor.sessions[MAIN].close(Reason(code="GATEWAY_DOWN", message="gone"))

        found = await house.bridge.instrument(ContractQuery(symbol="AAPL"))
        house.supervisor.sessions[SessionName("other")].close(
            Reason(code="GATEWAY_DOWN", message="gone, too")
        )
        also_found = await house.bridge.instrument(ContractQuery(symbol="AAPL"))

        assert found == AgedInstrument(instrument=INSTRUMENT, age_ms=0)
        assert also_found == found
        assert house.lines[SessionName("other")].instruments.asked == ["AAPL"]
        assert house.lines[MAIN].instruments.asked == ["AAPL"]

    run(scene())


class Hung(FakeInstruments, FakeData):
    """A gateway that takes every question and answers none."""

    def __init__(self) -> None:
        FakeInstruments.__init__(self)
        FakeData.__init__(self)

    async def by_conid(self, conid: ConId) -> Instrument | Reason:
        self.asked.append(conid)
        answer: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        return await answer

    async def find(self, query: ContractQuery) -> Instrument | AmbiguousSymbol | Reason:
        return await self.by_conid(ConId(len(query.symbol)))

    async def snapshot(self, conids: Sequence[ConId]) -> tuple[Quote, ...] | Reason:
        await self.by_conid(conids[0])
        return ()

    async def history(self, query: HistoryQuery) -> tuple[Bar, ...] | Reason:
        await self.by_conid(query.conid)
        return ()


def test_a_session_that_gives_no_answer_holds_no_reader_up_for_long() -> None:
    async def scene() -> None:
        house = await two_sessions()
        hung, other = Hung(), house.lines[SessionName("other")]
        house.board.sessions[MAIN].instruments = hung
        house.board.sessions[MAIN].data = hung
        query = HistoryQuery(conid=CONID, period="1d", bar="5min")
        other.data.bars_of[query] = (bar(1),)
        other.data.quotes[CONID] = house.quote()
        loop = asyncio.get_running_loop()
        started_s = loop.time()

        contract = await house.bridge.contract(CONID)
        first_s = loop.time() - started_s
        by_symbol = await house.bridge.instrument(ContractQuery(symbol="AAPL"))
        history = await house.bridge.history(query)
        snapshot = await house.bridge.snapshot([CONID])
        rest_s = loop.time() - started_s - first_s
        await skip(markets.SILENT_S)
        later = await house.bridge.subscribe(CONID)

        assert contract == by_symbol == AgedInstrument(instrument=INSTRUMENT, age_ms=0)
        assert (history, later) == ((bar(1),), INSTRUMENT)
        assert isinstance(snapshot, tuple)
        assert (first_s, rest_s) == pytest.approx((markets.ASKED_S_MAX, 0))
        assert hung.asked == [CONID, CONID]

    run(scene())


def test_a_session_that_cannot_be_asked_is_passed_over_and_a_brokers_no_is_not() -> None:
    async def scene() -> None:
        house = await two_sessions()
        house.line.data.refusal = Reason(code="UNAUTHORIZED", message="logged out")
        house.lines[SessionName("other")].data.quotes[CONID] = house.quote()

        passed_over = await house.bridge.snapshot([CONID])
        house.line.data.refusal = Reason(code="INSTRUMENT_UNKNOWN", message="no such contract")

        assert isinstance(passed_over, tuple)
        assert await house.bridge.snapshot([CONID]) == house.line.data.refusal

    run(scene())


def test_a_session_whose_stream_is_silent_is_asked_after_the_others() -> None:
    async def scene() -> None:
        house = await two_sessions()
        feed = house.lines[MAIN].feed
        feed.heartbeat_age_ms = lambda: markets.STREAM_AGE_MS_MAX + 1  # type: ignore[method-assign]  # a stream that went silent

        await house.bridge.contract(CONID)

        asked = {name: line.instruments.asked for name, line in house.lines.items()}
        assert asked == {MAIN: [], "other": [CONID]}

    run(scene())


def test_a_contract_is_looked_up_by_conid_or_by_what_is_said_of_it() -> None:
    async def scene() -> None:
        house = await ready_house()
        option = replace(INSTRUMENT, conid=ConId(9), sec_type="OPT", expiry="20261218", right="C")
        put = replace(option, conid=ConId(10), right="P")
        house.board.sessions[MAIN].instruments = FakeInstruments(INSTRUMENT, option, put)
        query = ContractQuery(symbol="AAPL", sec_type="OPT")

        by_conid = await house.bridge.contract(CONID)
        several = await house.bridge.instrument(query)
        one = await house.bridge.instrument(replace(query, right="P"))
        none = await house.bridge.contract(ConId(1))

        assert by_conid == AgedInstrument(instrument=INSTRUMENT, age_ms=0)
        assert several == AmbiguousSymbol(symbol="AAPL", candidates=(option, put), count=2)
        assert one == AgedInstrument(instrument=put, age_ms=0)
        assert none == Reason(code="INSTRUMENT_UNKNOWN", message="no contract 1")

    run(scene())


def test_a_snapshot_is_read_where_a_session_is_ready_and_told_with_its_age() -> None:
    async def scene() -> None:
        house = await two_sessions()
        house.supervisor.sessions[MAIN].close(Reason(code="GATEWAY_DOWN", message="gone"))
        data = house.lines[SessionName("other")].data
        quote = house.quote()
        data.quotes[CONID] = quote
        await skip(0.25)

        read = await house.bridge.snapshot([CONID, NEW.conid])
        data.refusal = Reason(code="TIMEOUT", message="no answer")

        assert read == ((quote, 250),)
        assert await house.bridge.snapshot([CONID]) == data.refusal

    run(scene())


def test_the_past_is_read_from_the_broker() -> None:
    async def scene() -> None:
        house = await ready_house()
        query = HistoryQuery(conid=CONID, period="1d", bar="5min")
        house.line.data.bars_of[query] = (bar(1), bar(2))

        assert await house.bridge.history(query) == (bar(1), bar(2))
        unknown = await house.bridge.history(replace(query, period="2d"))
        assert isinstance(unknown, Reason)

    run(scene())


def test_an_order_is_priced_by_its_own_sessions_market_and_no_other() -> None:
    async def scene() -> None:
        house = await two_sessions()
        house.lines[SessionName("other")].feed.quotes[CONID] = house.quote()

        quote = await house.bridge._markets.quote_for(MAIN, CONID)
        elsewhere = await house.bridge._markets.quote_for(SessionName("other"), CONID)

        assert quote is None
        assert elsewhere is not None
        assert house.lines[MAIN].feed.sent[-1].conid == CONID

    run(scene())


def test_a_session_without_market_data_prices_its_orders_by_anothers() -> None:
    async def scene() -> None:
        house = await two_sessions()
        other = SessionName("other")
        house.bridge._markets._without = frozenset({MAIN})
        house.lines[other].feed.quotes[CONID] = house.quote()
        house.lines[other].data.quotes[NEW.conid] = replace(house.quote(), conid=NEW.conid)
        sent = len(house.lines[MAIN].feed.sent)

        quote = await house.bridge._markets.quote_for(MAIN, CONID)
        snapshot = await house.bridge.snapshot([NEW.conid])

        assert quote == house.lines[other].feed.quotes[CONID]
        assert isinstance(snapshot, tuple)
        assert [one.conid for one, _ in snapshot] == [NEW.conid]
        assert len(house.lines[MAIN].feed.sent) == sent

    run(scene())


def test_where_no_more_can_be_streamed_an_order_is_priced_by_a_snapshot() -> None:
    async def scene() -> None:
        house = House()
        house.add(conids=tuple(ConId(number + 1) for number in range(markets.SUBSCRIPTIONS_MAX)))
        await house.start()
        quote = replace(house.quote(), conid=NEW.conid)
        house.line.data.quotes[NEW.conid] = quote
        started_s = asyncio.get_running_loop().time()

        found = await house.bridge._markets.quote_for(MAIN, NEW.conid)
        house.line.data.refusal = Reason(code="TIMEOUT", message="no answer")
        missing = await house.bridge._markets.quote_for(MAIN, NEW.conid)

        assert (found, missing) == (quote, None)
        assert asyncio.get_running_loop().time() == started_s
        assert NEW.conid not in house.bridge.subscriptions()

    run(scene())

"""Quotes and bars of the feed; `test_feed.py` has everything else about it."""

import asyncio
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine.domain.messages import FeedMessage, SendTopic, SocketClosed, SocketOpened, Topic
from engine.domain.values import Bar, ConId, Quote
from engine.gateway.feed import WebSocketFeed
from tests.gateway.raw_gateway import Certificate, client_of, raw_gateway, until, until_many
from tests.gateway.stream_venue import Listener, Venue, listen

AAPL = ConId(265598)
MINUTE_MS = 1_699_999_980_000
STOPPED = SocketClosed(reason="the engine is stopping")


def tick(at_ms: int, **fields: str) -> dict[str, object]:
    return {
        "server_id": "q2", "conidEx": "265598", "conid": 265598, "_updated": at_ms,
        **fields, "topic": "smd+265598",
    }  # fmt: skip


def test_a_quote_is_pulled_with_exact_prices_and_the_time_of_our_clock(
    certificate: Certificate,
) -> None:
    async def work(listener: Listener) -> None:
        feed = listener.feed
        assert feed.quote(AAPL) is None
        before_ns = listener.client.clock()
        listener.venue.send(
            tick(MINUTE_MS, **{"31": "189.60", "84": "189.56", "86": "189.61", "88": "1,300",
                               "7741": "188", "6509": "RpB"}),
            {"topic": "system", "hb": 1},
        )  # fmt: skip
        await listener.wait(2)
        quote = feed.quote(AAPL)
        assert quote is not None
        assert before_ns < quote.received_ns < listener.client.clock()
        assert quote == Quote(
            conid=AAPL,
            bid=Decimal("189.56"),
            ask=Decimal("189.61"),
            last=Decimal("189.6"),
            bid_size=Decimal(1300),
            ask_size=None,
            last_size=None,
            volume=None,
            prior_close=Decimal(188),
            halted=False,
            availability="RpB",
            received_ns=quote.received_ns,
        )
        assert str(quote.bid_size) == "1300"

    listen(certificate, work)


def test_closed_bars_are_kept_newest_last_and_only_so_many(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        feed = listener.feed
        feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        for second in range(6):
            listener.venue.send(
                tick(
                    MINUTE_MS + second * 1_000,
                    **{"31": f"100.{second}", "7059": "5", "7762": str(1_000 + second * 10)},
                )
            )
        await until(lambda: len(feed.bars(AAPL, 1_000, 10)) == 3)
        bars = feed.bars(AAPL, 1_000, 10)
        assert bars[-1].start_ms - bars[0].start_ms == 2_000
        assert feed.bars(AAPL, 1_000, 1) == bars[-1:]
        assert feed.bars(AAPL, 1_000, 0) == ()
        assert feed.bars(ConId(5), 1_000, 10) == ()
        price = bars[-1].open
        assert bars[-1] == Bar(
            conid=AAPL,
            interval_ms=1_000,
            start_ms=bars[-1].start_ms,
            open=price,
            high=price,
            low=price,
            close=price,
            volume=Decimal(10),
            vwap=price,
            trades=1,
        )

    listen(certificate, work)


def test_the_clock_closes_the_last_bar(certificate: Certificate) -> None:
    """The ticks lie in the past, so the first look at the clock ends their bars."""

    async def work(listener: Listener) -> None:
        listener.feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        listener.venue.send(tick(MINUTE_MS, **{"31": "100", "7059": "5"}))
        await until(lambda: bool(listener.feed.bars(AAPL, 60_000, 1)))
        [bar] = listener.feed.bars(AAPL, 60_000, 1)
        assert (bar.start_ms, bar.close, bar.volume) == (MINUTE_MS, Decimal(100), Decimal(5))

    listen(certificate, work)


def test_a_subscription_that_is_renewed_keeps_its_open_bars(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        quotes = SendTopic(topic=Topic.QUOTES, conid=AAPL)
        listener.feed.send(quotes)
        listener.venue.send(tick(MINUTE_MS, **{"31": "100", "7059": "5"}), {"topic": "tic"})
        await listener.wait(2)
        listener.feed.send(quotes)
        await until(lambda: bool(listener.feed.bars(AAPL, 60_000, 1)))
        await until_many(listener.venue.frames, 2)

    listen(certificate, work)


def test_a_new_connection_starts_without_the_old_quotes_and_keeps_the_bars(
    certificate: Certificate,
) -> None:
    async def work(listener: Listener) -> None:
        listener.feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        listener.venue.send(tick(MINUTE_MS, **{"31": "100", "7059": "5"}))
        await until(lambda: bool(listener.feed.bars(AAPL, 60_000, 1)))
        assert listener.feed.quote(AAPL) is not None
        listener.feed.close("again")
        await listener.connect()
        assert listener.feed.quote(AAPL) is None
        assert len(listener.feed.bars(AAPL, 60_000, 1)) == 1

    assert listen(certificate, work) == [
        SocketOpened(),
        SocketClosed(reason="again"),
        SocketOpened(),
        STOPPED,
    ]


def test_intervals_that_no_bar_can_have_are_reported_and_the_quotes_still_asked_for(
    certificate: Certificate,
) -> None:
    async def work(listener: Listener) -> None:
        listener.feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        await until_many(listener.venue.frames, 1)

    with capture_logs() as logs:
        listen(certificate, work, intervals_ms=(1,))

    assert [entry["event"] for entry in logs] == ["bars_not_built"]


def test_a_bar_waits_for_trades_that_are_on_their_way(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker holds trades back for half a second, so a bar ends later than its time."""
    monkeypatch.setattr("engine.gateway.feed._ADVANCE_S", 0.002)

    async def run() -> tuple[bool, bool]:
        venue, told = Venue(), list[FeedMessage]()
        async with (
            raw_gateway(certificate, venue.script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            now_ns = 1_000
            client.clock = lambda: now_ns
            feed = WebSocketFeed(
                client, intervals_ms=(1_000,), wall_clock=lambda: MINUTE_MS * 1_000_000
            )
            feed.connect(told.append)
            await until_many(told, 1)
            feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
            venue.send(tick(MINUTE_MS, **{"31": "100", "7059": "5"}), {"topic": "tic"})
            await until_many(told, 2)
            now_ns += 1_749_000_000
            await asyncio.sleep(0.05)
            early = bool(feed.bars(AAPL, 1_000, 1))
            now_ns += 2_000_000
            await asyncio.sleep(0.05)
            late = bool(feed.bars(AAPL, 1_000, 1))
            await feed.close_all()
            return early, late

    assert asyncio.run(run()) == (False, True)


def test_a_contract_that_is_no_longer_streamed_has_no_quote(certificate: Certificate) -> None:
    async def work(listener: Listener) -> None:
        listener.feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        listener.venue.send(tick(MINUTE_MS, **{"84": "1"}), {"topic": "tic"})
        await listener.wait(2)
        assert listener.feed.quote(AAPL) is not None

        listener.feed.send(SendTopic(topic=Topic.STOP_QUOTES, conid=AAPL))

        assert listener.feed.quote(AAPL) is None

    listen(certificate, work)

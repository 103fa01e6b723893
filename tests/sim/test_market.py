from decimal import Decimal

from engine.sim.catalogue import catalogue
from engine.sim.instruments import Instrument
from engine.sim.market import Market, Quote


def market(seed: int = 1) -> Market:
    return Market(catalogue(), seed=seed, interval_ms=(100, 500), now_ms=0)


def options(of: Market) -> list[Instrument]:
    return [row for row in of.instruments.values() if row.strike is not None]


def all_quotes(of: Market) -> list[Quote]:
    return [of.quote(conid) for conid in of.instruments]


def test_the_same_seed_gives_the_same_quotes_however_often_time_moves() -> None:
    coarse, fine = market(), market()

    coarse.advance(60_000)
    for now_ms in range(0, 60_001, 10):
        fine.advance(now_ms)

    assert all_quotes(coarse) == all_quotes(fine)


def test_another_seed_gives_other_quotes() -> None:
    one, other = market(seed=1), market(seed=2)

    one.advance(10_000)
    other.advance(10_000)

    assert all_quotes(one) != all_quotes(other)


def test_every_quote_is_on_the_tick_and_one_to_three_ticks_wide() -> None:
    moving = market()

    for now_ms in range(0, 30_000, 500):
        moving.advance(now_ms)
        for quote in all_quotes(moving):
            contract = moving.instruments[quote.conid]
            assert quote.bid % contract.increment(quote.bid) == 0
            assert quote.ask % contract.increment(quote.ask) == 0
            assert 1 <= (quote.ask - quote.bid) / contract.increment(quote.bid) <= 3


def test_every_instrument_moves_within_the_longest_interval() -> None:
    moving = market()

    assert moving.advance(99) == ()
    own = {conid for conid, row in moving.instruments.items() if row.strike is None}
    assert set(moving.advance(500)) == own


def test_before_the_first_trade_there_is_no_last_price() -> None:
    quote = market().quote(265598)

    assert (quote.last, quote.open, quote.high, quote.low, quote.volume) == (None,) * 4 + (0,)


def test_the_day_range_holds_the_last_price_and_volume_only_grows() -> None:
    moving, volume = market(), 0
    quote = moving.quote(265598)

    for now_ms in range(0, 60_000, 250):
        moving.advance(now_ms)
        quote = moving.quote(265598)
        assert quote.volume >= volume
        volume = quote.volume

    assert quote.low is not None
    assert quote.high is not None
    assert quote.last is not None
    assert quote.low <= quote.last <= quote.high
    assert volume > 0


def test_an_option_is_worth_at_least_what_its_exercise_is_and_follows_its_stock() -> None:
    moving = market()
    call = next(row for row in options(moving) if row.right == "C" and row.strike == 200)

    before = moving.quote(call.conid)
    moving.trade_at(265598, Decimal("260.00"), 5)
    after = moving.quote(call.conid)

    assert before.ask >= Decimal("228.30") - 200
    assert after.bid >= 60
    assert after.updated_at_ms == 5


def test_a_put_loses_when_its_stock_rises() -> None:
    moving = market()
    put = next(row for row in options(moving) if row.right == "P" and row.strike == 230)

    before = moving.quote(put.conid)
    moving.trade_at(265598, Decimal("260.00"), 5)

    assert moving.quote(put.conid).ask < before.bid


def test_a_trade_at_a_price_is_the_last_one_and_between_bid_and_ask() -> None:
    moving = market()

    moving.trade_at(265598, Decimal("231.07"), 5)
    quote = moving.quote(265598)

    assert (quote.last, quote.bid, quote.ask) == (
        Decimal("231.07"),
        Decimal("231.07"),
        Decimal("231.08"),
    )


def test_a_market_goes_on_from_earlier_quotes() -> None:
    first, second = market(), market()
    first.trade_at(265598, Decimal("300.00"), 5)

    second.restore(first.state())
    second.advance(1000)

    assert abs(second.quote(265598).bid - 300) < 1


def test_hours_of_standing_still_are_not_lived_again() -> None:
    stopped = market()

    stopped.advance(10)
    stopped.advance(8 * 3600 * 1000)

    assert stopped.quote(265598).updated_at_ms > 8 * 3600 * 1000 - 600


def test_every_currency_of_the_list_has_a_rate() -> None:
    rates = {row.currency: market().rate(row.currency) for row in catalogue()}

    assert rates["USD"] == 1
    assert Decimal("1.08") < rates["EUR"] < Decimal("1.09")
    assert sorted(rates) == ["CAD", "CHF", "EUR", "USD"]

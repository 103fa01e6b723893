from engine.sim.instruments import catalogue
from engine.sim.market import Market, Quote


def market(seed: int = 1) -> Market:
    return Market(catalogue(), seed=seed, interval_ms=(100, 500), now_ms=0)


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
            tick = moving.instruments[quote.conid].tick
            assert quote.bid % tick == quote.ask % tick == 0
            assert 1 <= (quote.ask - quote.bid) / tick <= 3


def test_every_instrument_moves_within_the_longest_interval() -> None:
    moving = market()

    assert moving.advance(99) == ()
    assert set(moving.advance(500)) == set(moving.instruments)


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

from engine.sim.instruments import catalogue


def test_there_are_forty_different_instruments() -> None:
    instruments = catalogue()

    assert len({instrument.conid for instrument in instruments}) == len(instruments) == 40
    assert len({instrument.symbol for instrument in instruments}) == 40


def test_real_conids_are_the_known_ones_and_all_others_say_they_are_fictitious() -> None:
    real = {row.symbol: row.conid for row in catalogue() if not row.fictitious}

    assert real == {
        "AAPL": 265598,
        "IBM": 8314,
        "SPY": 756733,
        "QQQ": 320227571,
        "ES": 515416632,
    }
    assert all(row.name.startswith("FICTITIOUS ") for row in catalogue() if row.fictitious)


def test_every_start_price_is_above_zero_and_on_the_tick() -> None:
    assert [row.symbol for row in catalogue() if row.start_price % row.tick] == []
    assert min(row.start_price for row in catalogue()) > 4

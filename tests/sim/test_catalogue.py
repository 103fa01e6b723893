from datetime import date

import pytest

from engine.sim.catalogue import catalogue, is_option, option, option_chain, third_friday


def test_every_contract_has_a_conid_of_its_own() -> None:
    instruments = catalogue()

    assert len({row.conid for row in instruments}) == len(instruments)
    assert {row.sec_type for row in instruments} == {"STK", "FUT", "OPT", "CASH", "CRYPTO", "IND"}


def test_real_conids_are_the_known_ones_and_all_others_say_they_are_fictitious() -> None:
    real = {row.symbol: row.conid for row in catalogue() if not row.fictitious}

    assert real == {
        "AAPL": 265598,
        "IBM": 8314,
        "SPY": 756733,
        "QQQ": 320227571,
        "ES": 515416632,
        "EUR": 12087792,
        "BTC": 479624278,
        "SPX": 416904,
    }
    assert all(row.name.startswith("FICTITIOUS ") for row in catalogue() if row.fictitious)


def test_every_start_price_is_above_zero_and_on_the_tick() -> None:
    assert [row.symbol for row in catalogue() if row.start_price % row.tick] == []
    assert min(row.start_price for row in catalogue()) > 0


def test_one_symbol_is_two_companies_on_four_exchanges() -> None:
    listings = [row for row in catalogue() if row.symbol == "SIMDUAL"]

    assert [(row.exchange, row.currency) for row in listings] == [
        ("NYSE", "USD"),
        ("IBIS", "EUR"),
        ("EBS", "CHF"),
        ("TSE", "CAD"),
    ]
    assert len({row.name for row in listings}) == 2


def test_another_symbol_is_two_companies_in_one_country() -> None:
    twins = [row for row in catalogue() if row.symbol == "SIMTWIN"]

    assert [(row.exchange, row.is_us) for row in twins] == [("NYSE", True), ("AMEX", True)]
    assert len({row.name for row in twins}) == 2


def test_an_option_chain_has_three_months_and_calls_and_puts_at_each_strike() -> None:
    chain = option_chain(date(2026, 11, 22))

    assert list(dict.fromkeys(row.expiry for row in chain)) == ["20261218", "20270115", "20270219"]
    assert sorted({int(row.strike or 0) for row in chain}) == list(range(200, 265, 5))
    assert len(chain) == 3 * 13 * 2


def test_an_option_keeps_its_conid_when_days_pass_and_can_be_read_from_it() -> None:
    before = {row.conid: row for row in option_chain(date(2026, 11, 2))}
    after = {row.conid: row for row in option_chain(date(2026, 11, 22))}

    both = sorted(set(before) & set(after))
    assert len(both) == 2 * 13 * 2
    assert all(before[conid] == after[conid] == option(conid) for conid in both)


@pytest.mark.parametrize(("conid", "expected"), [(265598, False), (900_000_001, False)])
def test_other_conids_are_no_options(conid: int, *, expected: bool) -> None:
    assert is_option(conid) is expected


def test_monthly_options_end_on_the_third_friday() -> None:
    assert third_friday(2026, 12) == date(2026, 12, 18)
    assert third_friday(2026, 5) == date(2026, 5, 15)

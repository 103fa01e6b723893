from dataclasses import replace
from decimal import Decimal

from engine.api.market_answers import BarBody, InstrumentBody, QuoteBody
from engine.domain.values import ConId
from tests.api.fake_engine import BAR, INSTRUMENT, QUOTE


def test_a_bar_begins_at_its_time_in_utc() -> None:
    assert BarBody.of(BAR).start == "2025-11-22T12:00:00.000000Z"


def test_what_is_no_contract_yet_has_no_multiplier() -> None:
    option = replace(INSTRUMENT, sec_type="OPT", multiplier=Decimal(100))
    step = replace(option, conid=ConId(0), multiplier=Decimal(1))

    assert InstrumentBody.of(option).multiplier == Decimal(100)
    assert InstrumentBody.of(step).multiplier is None


def test_a_quote_keeps_decimals_and_shows_plain_digits() -> None:
    body = QuoteBody.of(QUOTE, 85)

    assert body.volume == Decimal(5_660_000)
    assert '"volume":"5660000"' in body.model_dump_json()

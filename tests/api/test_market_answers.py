from decimal import Decimal

from engine.api.market_answers import BarBody, QuoteBody
from tests.api.fake_engine import BAR, QUOTE


def test_a_bar_begins_at_its_time_in_utc() -> None:
    assert BarBody.of(BAR).start == "2025-11-22T12:00:00.000000Z"


def test_a_quote_keeps_decimals_and_shows_plain_digits() -> None:
    body = QuoteBody.of(QUOTE, 85)

    assert body.volume == Decimal(5_660_000)
    assert '"volume":"5660000"' in body.model_dump_json()

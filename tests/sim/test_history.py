from decimal import Decimal
from itertools import pairwise

import pytest

from engine.sim.history import POINTS_MAX, history_body, seconds
from engine.sim.instruments import catalogue

AAPL = next(row for row in catalogue() if row.symbol == "AAPL")
NOON_MS = 1_790_000_000_000


@pytest.mark.parametrize(
    ("text", "length_s"),
    [("1min", 60), ("2h", 7200), ("1m", 2_592_000), ("5S", 5), ("0d", None), ("x", None)],
)
def test_a_length_is_a_number_and_a_unit(text: str, length_s: int | None) -> None:
    assert seconds(text) == length_s


def test_bars_follow_each_other_and_hold_their_range() -> None:
    body = history_body(AAPL, seed=1, now_ms=NOON_MS, period="1h", bar="5min")

    bars = body["data"]
    assert [row["t"] for row in bars] == [bars[0]["t"] + 300_000 * index for index in range(12)]
    assert all(one["c"] == other["o"] for one, other in pairwise(bars))
    assert all(row["l"] <= min(row["o"], row["c"]) for row in bars)
    assert all(row["h"] >= max(row["o"], row["c"]) for row in bars)
    assert body["points"] == 11


def test_volumes_are_divided_by_the_volume_factor() -> None:
    body = history_body(AAPL, seed=1, now_ms=NOON_MS, period="1h", bar="5min")

    shares = [row["v"] * body["volumeFactor"] for row in body["data"]]
    assert all(count == count.to_integral_value() for count in shares)
    assert any(row["v"] != row["v"].to_integral_value() for row in body["data"])


def test_a_past_bar_reads_the_same_later() -> None:
    early = history_body(AAPL, seed=1, now_ms=NOON_MS, period="1h", bar="5min")["data"]
    late = history_body(AAPL, seed=1, now_ms=NOON_MS + 600_000, period="1h", bar="5min")["data"]

    assert late[:-2] == early[2:]


def test_no_more_than_a_thousand_bars_are_sent() -> None:
    body = history_body(AAPL, seed=1, now_ms=NOON_MS, period="1y", bar="1min")

    assert len(body["data"]) == POINTS_MAX


def test_lengths_that_make_no_sense_are_defaulted() -> None:
    body = history_body(AAPL, seed=1, now_ms=NOON_MS, period="soon", bar="5min")

    assert (body["timePeriod"], body["barLength"], len(body["data"])) == ("1d", 300, 288)
    assert isinstance(body["data"][0]["o"], Decimal)

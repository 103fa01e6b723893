from decimal import Decimal
from itertools import pairwise

import pytest

from engine.sim.catalogue import catalogue
from engine.sim.history import POINTS_MAX, allowed, history_body, seconds

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
    body = history_body(AAPL, seed=1, now_ms=NOON_MS, period="1d", bar="1min")

    assert len(body["data"]) == POINTS_MAX


def test_lengths_that_make_no_sense_are_defaulted() -> None:
    body = history_body(AAPL, seed=1, now_ms=NOON_MS, period="soon", bar="5min")

    assert (body["timePeriod"], body["barLength"], len(body["data"])) == ("1d", 300, 288)
    assert isinstance(body["data"][0]["o"], Decimal)


@pytest.mark.parametrize(
    ("period", "bar", "is_allowed"),
    [
        ("1min", "1min", True),
        ("1h", "1min", True),
        ("1d", "1min", True),
        ("5d", "1min", True),
        ("1w", "5min", False),
        ("1w", "10min", True),
        ("1m", "30min", False),
        ("1m", "1h", True),
        ("1y", "4h", False),
        ("1y", "1d", True),
        ("3y", "8h", False),
        ("15y", "1d", False),
        ("15y", "1w", True),
        ("1001d", "1w", False),
        ("31min", "1min", False),
        ("1d", "7min", False),
    ],
)
def test_a_bar_fits_its_period_by_the_table(period: str, bar: str, is_allowed: bool) -> None:  # noqa: FBT001 - the expected value
    assert allowed(period, bar) is is_allowed


def test_a_bar_that_does_not_fit_its_period_is_defaulted() -> None:
    body = history_body(AAPL, seed=1, now_ms=NOON_MS, period="1y", bar="1min")

    assert (body["timePeriod"], body["barLength"]) == ("1d", 300)


def test_bars_end_at_a_time_or_begin_there() -> None:
    at = "20260901-12:00:00"
    at_ms = 1_788_264_000_000

    ends = history_body(AAPL, seed=1, now_ms=NOON_MS, period="1h", bar="5min", start_time=at)
    begins = history_body(
        AAPL, seed=1, now_ms=NOON_MS, period="1h", bar="5min", start_time=at, forward=True
    )

    assert (ends["data"][-1]["t"], begins["data"][0]["t"]) == (at_ms, at_ms)

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.values import Bar, ConId, Quote
from engine.gateway.wire import data as wire
from engine.gateway.wire.lenient import BadAnswer, decode

AAPL = ConId(265598)
NOTHING = Quote(
    conid=AAPL,
    bid=None,
    ask=None,
    last=None,
    bid_size=None,
    ask_size=None,
    last_size=None,
    volume=None,
    prior_close=None,
    halted=False,
    availability="",
    received_ns=7,
)
EVERY_BAR = (
    "1min", "2min", "3min", "5min", "10min", "15min", "30min",
    "1h", "2h", "3h", "4h", "8h", "1d", "1w", "1m",
)  # fmt: skip


def test_a_snapshot_asks_for_the_fields_of_the_stream() -> None:
    assert wire.snapshot_path([AAPL, ConId(8314)]) == (
        "/iserver/marketdata/snapshot?conids=265598,8314"
        "&fields=31,84,85,86,88,7059,87,7762,7741,6509"
    )


def test_a_snapshot_has_a_row_for_each_contract() -> None:
    document = decode(b'[{"conid":265598,"31":"5"},{"conid":"8314","conidEx":"8314"}]')

    assert wire.snapshot(document) == {
        265598: {"conid": 265598, "31": "5"},
        8314: {"conid": "8314", "conidEx": "8314"},
    }


@pytest.mark.parametrize("body", [b"{}", b'[{"31":"5"}]', b"[5]", b'[{"conid":0}]'])
def test_what_is_no_snapshot_is_an_error(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        wire.snapshot(decode(body))


def test_a_quote_is_read_in_the_brokers_formats() -> None:
    row = decode(
        b'{"31":"168.42","84":"168.41","85":"600","86":"168.43","88":"1,300","7059":"100",'
        b'"87":"5.66M","7762":"5660173","7741":167.5,"6119":"q1","6509":"RpB","conid":265598,'
        b'"_updated":1712596911593,"conidEx":"265598","server_id":"q1"}'
    )

    assert isinstance(row, dict)
    assert wire.quote(AAPL, row, 7) == Quote(
        conid=AAPL,
        bid=Decimal("168.41"),
        ask=Decimal("168.43"),
        last=Decimal("168.42"),
        bid_size=Decimal(1300),
        ask_size=Decimal(600),
        last_size=Decimal(100),
        volume=Decimal(5660173),
        prior_close=Decimal("167.5"),
        halted=False,
        availability="RpB",
        received_ns=7,
    )


@pytest.mark.parametrize(
    ("row", "changes"),
    [
        ({"31": "C189.25"}, {"prior_close": Decimal("189.25")}),
        ({"31": "C189.25", "7741": "188"}, {"prior_close": Decimal(188)}),
        ({"31": "H12.3"}, {"last": Decimal("12.3"), "halted": True}),
        ({"31": "H"}, {"halted": True}),
        ({"31": 12.5}, {"last": Decimal("12.5")}),
        ({"31": -0.25}, {"last": Decimal("-0.25")}),
        ({"31": "soon", "84": "1"}, {"bid": Decimal(1)}),
        ({"84": "", "86": None, "85": "x"}, {}),
        ({"87": "5.66M"}, {"volume": Decimal(5_660_000)}),
        ({"87": "812K"}, {"volume": Decimal(812_000)}),
        ({"87": "1.5B"}, {"volume": Decimal(1_500_000_000)}),
        ({"87": "431"}, {"volume": Decimal(431)}),
        ({"87": "K"}, {}),
        ({"87": "5M", "7762": "5000001"}, {"volume": Decimal(5_000_001)}),
        ({"88": "1,300"}, {"bid_size": Decimal(1300)}),
        ({"84": "1", "6509": "DPB"}, {"bid": Decimal(1), "availability": "DPB"}),
        ({"84": "1", "6509": ["R"]}, {"bid": Decimal(1)}),
    ],
)
def test_what_a_row_says_is_kept_and_nothing_else(
    row: dict[str, object], changes: dict[str, Any]
) -> None:
    found = wire.quote(AAPL, decoded(row), 7)

    assert found == replace(NOTHING, **changes)


@pytest.mark.parametrize(
    ("row", "age_ms"),
    [
        ({"_updated": 1_000}, 500),
        ({"_updated": "1000"}, 500),
        ({"_updated": 1_500}, 0),
        ({"_updated": 1_501}, 0),
        ({"_updated": None}, 0),
        ({"_updated": "soon"}, 0),
        ({}, 0),
    ],
)
def test_a_row_is_as_old_as_its_last_change(row: dict[str, object], age_ms: int) -> None:
    assert wire.age_ns(decoded(row), 1_500_000_000) == age_ms * 1_000_000


@pytest.mark.parametrize("row", [{}, {"conid": 265598, "conidEx": "265598"}, {"6509": "RpB"}])
def test_a_row_without_figures_is_no_quote(row: dict[str, object]) -> None:
    assert wire.quote(AAPL, row, 7) is None


@given(st.dictionaries(st.sampled_from(["31", "84", "85", "87", "6509"]), st.text() | st.floats()))
def test_no_row_is_too_odd_to_be_read(row: dict[str, object]) -> None:
    found = wire.quote(AAPL, row, 7)

    assert (found is None) == (not row.keys() - {"6509"})


def test_a_snapshot_is_waited_for_until_it_is_whole_or_stays_as_it_is() -> None:
    whole = {"31": "1", "84": "1", "86": "1", "6509": "RpB"}
    unsaid = {"31": "1", "84": "1", "86": "1"}
    some = {"31": "1", "6509": "RpB"}

    assert wire.is_settled({}, whole)
    # Delayed prices look like these until the answer that says so.
    assert not wire.is_settled({}, unsaid)
    assert not wire.is_settled(some, unsaid)
    assert wire.is_settled(some, some)
    assert not wire.is_settled({}, some)
    assert not wire.is_settled(some, {**some, "84": "1"})
    assert not wire.is_settled({"conid": 5}, {"conid": 5})


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("1min", "1min", "1min"),
        ("30min", "1min", "30min"),
        ("1h", "1min", "1h"),
        ("8h", "1min", "8h"),
        ("1d", "1min", "8h"),
        ("2d", "10min", "1d"),
        ("1w", "10min", "1w"),
        ("7d", "10min", "1w"),
        ("2w", "1h", "1w"),
        ("1m", "1h", "1m"),
        ("3m", "2h", "1m"),
        ("6m", "4h", "1m"),
        ("1y", "8h", "1m"),
        ("2y", "1d", "1m"),
        ("3y", "1d", "1m"),
        ("1000d", "1d", "1m"),
        ("4y", "1w", "1m"),
        ("182m", "1w", "1m"),
        ("792w", "1w", "1m"),
        ("15y", "1w", "1m"),
    ],
)
def test_a_period_has_the_bars_that_the_broker_has(period: str, first: str, last: str) -> None:
    allowed = EVERY_BAR[EVERY_BAR.index(first) : EVERY_BAR.index(last) + 1]

    assert [bar for bar in EVERY_BAR if wire.refused_bar(period, bar) is None] == list(allowed)
    assert wire.refused_bar(period, "7min") == (
        f"bar is '7min', for the period {period} expected {', '.join(allowed)}"
    )


@pytest.mark.parametrize(
    "period",
    [
        "",
        "1",
        "1M",
        "1 d",
        "0d",
        "-1d",
        "31min",
        "9h",
        "1001d",
        "793w",
        "183m",
        "16y",
        "1S",
        "1d\n",
    ],
)
def test_a_period_that_the_broker_does_not_know_is_refused(period: str) -> None:
    assert wire.refused_bar(period, "1h") == (
        f"period is {period!r}, expected 1-30min, 1-8h, 1-1000d, 1-792w, 1-182m, 1-15y"
    )


def test_the_path_of_a_history() -> None:
    assert wire.history_path(AAPL, period="1d", bar="5min", outside_rth=True) == (
        "/iserver/marketdata/history?conid=265598&period=1d&bar=5min&outsideRth=true"
    )


def history(data: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((data / "history.json").read_bytes())
    return document


def decoded(document: object) -> Any:
    return decode(json.dumps(document).encode())


def test_the_bars_of_a_history_are_exact_and_have_real_volumes(data: Path) -> None:
    first = Bar(
        conid=AAPL,
        interval_ms=86_400_000,
        start_ms=1_787_059_800_000,
        open=Decimal("307.58"),
        high=Decimal("311.49"),
        low=Decimal("305.74"),
        close=Decimal("310.03"),
        volume=Decimal(28_030_947),
        vwap=None,
        trades=0,
    )

    found = wire.bars(AAPL, "1d", decode((data / "history.json").read_bytes()))

    assert found == (
        first,
        Bar(
            conid=AAPL,
            interval_ms=86_400_000,
            start_ms=1_787_146_200_000,
            open=Decimal("310.1"),
            high=Decimal(312),
            low=Decimal("308.25"),
            close=Decimal(309),
            volume=Decimal(1),
            vwap=None,
            trades=0,
        ),
    )
    assert str(found[0].volume) == "28030947"


def test_the_bars_are_told_oldest_first(data: Path) -> None:
    document = history(data)
    document["data"].reverse()

    found = wire.bars(AAPL, "1d", decoded(document))

    assert [bar.start_ms for bar in found] == [1_787_059_800_000, 1_787_146_200_000]


def test_a_history_without_bars_is_empty() -> None:
    assert wire.bars(AAPL, "1d", {"data": []}) == ()


def test_bars_without_a_volume_need_no_factor() -> None:
    row = {"o": 1, "h": 2, "l": 1, "c": 2, "v": 0, "t": 5}

    [bar] = wire.bars(AAPL, "1min", decoded({"data": [row]}))

    assert (bar.volume, bar.interval_ms) == (Decimal(0), 60_000)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"barLength": 300}, "bars of 300 s came, asked was 1d"),
        ({"volumeFactor": None}, "volumeFactor missing, so the volumes mean nothing"),
        ({"volumeFactor": 0}, "volumeFactor is 0, at least 0.00000001"),
        ({"data": None}, "data is NoneType, expected an array"),
        ({"data": [{"o": 1, "h": 2, "l": 1, "t": 5}]}, "c missing"),
        ({"data": [{"o": "x", "h": 2, "l": 1, "c": 1, "t": 5}]}, "o is 'x', expected a number"),
        ({"data": [{"o": 1, "h": 2, "l": 1, "c": 1, "t": 5, "v": -1}]}, "v is -1, at least 0"),
    ],
)
def test_a_history_that_cannot_be_trusted_is_an_error(
    data: Path, change: dict[str, object], why: str
) -> None:
    with pytest.raises(BadAnswer, match=why):
        wire.bars(AAPL, "1d", decoded(history(data) | change))

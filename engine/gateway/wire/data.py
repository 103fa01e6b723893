"""The broker's words for market data over REST: snapshots, and bars of the past.

Rule 1: snapshots ask for the fields that the stream subscribes, all of them: a contract
has one set of fields for both, and asking for another one would start it anew.

Rule 2: a figure of a quote that cannot be read is unknown; a bar that cannot be read
spoils its answer, as a hole in a row of bars would not be seen.

Rule 3: the broker answers a period or a bar that it does not know with other bars and
HTTP 200. So both are checked before, and the length of the bars again in the answer.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from engine.domain.values import Bar, ConId, Quote
from engine.gateway.wire.feed import QUOTE_FIELDS
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    as_rows,
    loose_number,
    need_conid,
    need_number,
    need_whole,
    not_negative,
    positive,
    text,
    whole,
)

CONIDS_MAX: Final = 100
"""The broker's limit for one snapshot; of fields it takes fifty."""

_LAST, _BID, _ASK_SIZE, _ASK, _BID_SIZE = "31", "84", "85", "86", "88"
_LAST_SIZE, _VOLUME, _VOLUME_EXACT, _PRIOR_CLOSE, _AVAILABILITY = (
    "7059", "87", "7762", "7741", "6509",
)  # fmt: skip
_UPDATED: Final = "_updated"
_NS_PER_MS: Final = 1_000_000
_DATA: Final = frozenset(QUOTE_FIELDS) - {_AVAILABILITY}
_SETTLED: Final = frozenset({_LAST, _BID, _ASK})
_PRIOR: Final = "C"
_HALTED: Final = "H"
_THOUSANDS: Final = {"K": 1_000, "M": 1_000_000, "B": 1_000_000_000}

_MINUTE_S: Final = 60
_HOUR_S: Final = 60 * _MINUTE_S
_DAY_S: Final = 24 * _HOUR_S
_UNITS_S: Final = {
    "min": _MINUTE_S,
    "h": _HOUR_S,
    "d": _DAY_S,
    "w": 7 * _DAY_S,
    "m": 30 * _DAY_S,
    "y": 365 * _DAY_S,
}
"""Lengths as far as they only tell long from short: `m` is a month, `min` a minute."""
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,3})(min|h|d|w|m|y)")
_COUNTS_MAX: Final = {"min": 30, "h": 8, "d": 1_000, "w": 792, "m": 182, "y": 15}
_BARS: Final = (
    "1min", "2min", "3min", "5min", "10min", "15min", "30min",
    "1h", "2h", "3h", "4h", "8h", "1d", "1w", "1m",
)  # fmt: skip
_STEPS: Final = (
    ("1min", "1min", "1min"),
    ("1h", "1min", "8h"),
    ("1d", "1min", "8h"),
    ("1w", "10min", "1w"),
    ("1m", "1h", "1m"),
    ("3m", "2h", "1m"),
    ("6m", "4h", "1m"),
    ("1y", "8h", "1m"),
    ("3y", "1d", "1m"),
    ("15y", "1w", "1m"),
)
"""The periods that the broker documents, each with its shortest and its longest bar."""


def snapshot_path(conids: Sequence[ConId]) -> str:
    """Return the path that reads these contracts, and the first time opens their data."""
    wanted = ",".join(map(str, conids))
    return f"/iserver/marketdata/snapshot?conids={wanted}&fields={','.join(QUOTE_FIELDS)}"


def snapshot(document: object) -> dict[ConId, Row]:
    """Return the row of each contract. Raises `BadAnswer` when it is no list of such rows."""
    rows = as_rows(document, "the snapshot")
    return {ConId(need_conid(row, "conid")): row for row in rows}


def is_settled(before: Row, row: Row) -> bool:
    """Tell whether nothing more has to be waited for: last, bid and ask are there.

    Or what is there was there in the answer before, too: what a contract does not have is
    left out for ever.
    """
    known = _DATA & row.keys()
    whole = known >= _SETTLED and _AVAILABILITY in row
    return whole or (bool(known) and known == _DATA & before.keys())


def age_ns(row: Row, wall_ns: int) -> int:
    """Return how old a row's figures are, by the broker's time of their last change.

    A row that does not say, or says a time to come, is as young as its answer.
    """
    updated_ms = loose_number(row, _UPDATED)
    return 0 if updated_ms is None else max(wall_ns - int(updated_ms) * _NS_PER_MS, 0)


def quote(conid: ConId, row: Row, received_ns: int) -> Quote | None:
    """Return the contract's market, None when the row has no figure of it.

    A last price with a `C` is the prior close, as nothing traded since; one with an `H`
    is that of a halted contract.
    """
    if not _DATA & row.keys():
        return None
    shown = _readable_text(row, _LAST)
    prefix = shown[:1] if shown[:1] in (_PRIOR, _HALTED) else ""
    price = _number(shown.removeprefix(prefix))
    prior_close = _number(_readable_text(row, _PRIOR_CLOSE))
    if prefix == _PRIOR and prior_close is None:
        prior_close = price
    volume = _number(_readable_text(row, _VOLUME_EXACT))
    return Quote(
        conid=conid,
        bid=loose_number(row, _BID),
        ask=loose_number(row, _ASK),
        last=None if prefix == _PRIOR else price,
        bid_size=_count(row, _BID_SIZE),
        ask_size=_count(row, _ASK_SIZE),
        last_size=_count(row, _LAST_SIZE),
        volume=_count(row, _VOLUME) if volume is None else volume,
        prior_close=prior_close,
        halted=prefix == _HALTED,
        availability=_readable_text(row, _AVAILABILITY),
        received_ns=received_ns,
    )


def refused_bar(period: str, bar: str) -> str | None:
    """Return why the broker has no such bars for that period, None when it has.

    A period between two documented ones takes the bars of the longer one; no bar may be
    longer than its period.
    """
    match = _PERIOD.fullmatch(period)
    if match is None or int(match[1]) > _COUNTS_MAX[match[2]]:
        limits = ", ".join(f"1-{count}{unit}" for unit, count in _COUNTS_MAX.items())
        return f"period is {period!r}, expected {limits}"
    allowed = _bars_of(_seconds(period))
    if bar in allowed:
        return None
    return f"bar is {bar!r}, for the period {period} expected {', '.join(allowed)}"


def history_path(conid: ConId, *, period: str, bar: str, outside_rth: bool) -> str:
    """Return the path that reads bars of the past, up to now."""
    outside = "true" if outside_rth else "false"
    return (
        f"/iserver/marketdata/history?conid={conid}&period={period}&bar={bar}&outsideRth={outside}"
    )


def bars(conid: ConId, bar: str, document: object) -> tuple[Bar, ...]:
    """Return the bars, oldest first. History tells neither their VWAP nor their trades.

    Volumes come divided by `volumeFactor`, and are multiplied back. Raises `BadAnswer`
    when a bar cannot be read, or the bars are not as long as was asked.
    """
    row = as_row(document, "the history")
    length_s = whole(row, "barLength")
    if length_s is not None and length_s != _seconds(bar) and not bar.endswith(("w", "m")):
        message = f"bars of {length_s} s came, asked was {bar}"
        raise BadAnswer(message)
    factor = positive(row, "volumeFactor")
    found = (_bar(conid, bar, item, factor) for item in as_rows(row.get("data"), "data"))
    return tuple(sorted(found, key=lambda one: one.start_ms))


def _bar(conid: ConId, bar: str, row: Row, factor: Decimal | None) -> Bar:
    volume = not_negative(row, "v") or Decimal(0)
    if volume and factor is None:
        message = "volumeFactor missing, so the volumes mean nothing"
        raise BadAnswer(message)
    return Bar(
        conid=conid,
        interval_ms=_seconds(bar) * 1_000,
        start_ms=need_whole(row, "t"),
        open=need_number(row, "o"),
        high=need_number(row, "h"),
        low=need_number(row, "l"),
        close=need_number(row, "c"),
        volume=_plain(volume * (factor or 1)),
        vwap=None,
        trades=0,
    )


def _bars_of(period_s: int) -> tuple[str, ...]:
    shortest, longest = next(
        ((first, last) for name, first, last in _STEPS if period_s <= _seconds(name)),
        _STEPS[-1][1:],
    )
    found = _BARS[_BARS.index(shortest) : _BARS.index(longest) + 1]
    return tuple(bar for bar in found if _seconds(bar) <= period_s)


def _seconds(length: str) -> int:
    match = _PERIOD.fullmatch(length)
    assert match is not None, f"{length} was checked before"
    return int(match[1]) * _UNITS_S[match[2]]


def _readable_text(row: Row, key: str) -> str:
    """Return a member as text; empty when it is absent, blank or no text at all."""
    try:
        return text(row, key) or ""
    except BadAnswer:
        return str(loose_number(row, key) or "")


def _number(shown: str) -> Decimal | None:
    return loose_number({"": shown}, "")


def _count(row: Row, key: str) -> Decimal | None:
    """Return a size, which may be written `1,300`, `812K` or `5.66M`."""
    shown = _readable_text(row, key)
    factor = _THOUSANDS.get(shown[-1:])
    number = _number(shown if factor is None else shown[:-1])
    return number if number is None or factor is None else _plain(number * factor)


def _plain(value: Decimal) -> Decimal:
    """Drop the zeros that a multiplication leaves: `400.00` is shown as `400`."""
    whole_value = value.to_integral_value()
    return whole_value if value == whole_value else value.normalize()

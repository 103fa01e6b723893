"""Historical bars, made up from the seed but the same at every call.

Rule 1: a bar of the past never changes; it depends on seed, conid, bar length
and start only.

Rule 2: volumes are divided by `volumeFactor`, as the broker does.
"""

import random
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from engine.sim.instruments import Instrument
from engine.sim.rows import long_time

VOLUME_FACTOR: Final = 40
POINTS_MAX: Final = 1000
_MINUTE_S: Final = 60
_DAY_S: Final = 86_400
_UNITS_S: Final[Mapping[str, int]] = {
    "S": 1,
    "min": _MINUTE_S,
    "h": 3600,
    "d": 86_400,
    "w": 7 * 86_400,
    "m": 30 * 86_400,
    "y": 365 * 86_400,
}
_LENGTH: Final = re.compile(r"^([1-9]\d{0,3})(S|min|h|d|w|m|y)$")
_STEPS: Final = (
    # A period of at least this length takes bars from one length to another.
    ("1min", "1min", "1min"),
    ("1h", "1min", "8h"),
    ("1d", "1min", "8h"),
    ("1w", "10min", "1w"),
    ("1m", "1h", "1m"),
    ("3m", "2h", "1m"),
    ("6m", "4h", "1m"),
    ("1y", "8h", "1m"),
    ("2y", "1d", "1m"),
    ("15y", "1w", "1m"),
)
_PERIOD_MAX: Final[Mapping[str, int]] = {
    "S": 1000,
    "min": 30,
    "h": 8,
    "d": 1000,
    "w": 792,
    "m": 182,
    "y": 15,
}
_BARS: Final = frozenset(
    f"{count}{unit}"
    for unit, counts in (("min", (1, 2, 3, 5, 10, 15, 30)), ("h", (1, 2, 3, 4, 8)), ("d", (1,)))
    for count in counts
).union(("1w", "1m"))
_DEFAULT_PERIOD: Final = "1d"
_DEFAULT_BAR: Final = "5min"


def seconds(text: str) -> int | None:
    """The length of `5min`, `2h`, `1m` (a month); None when it is no length."""
    match = _LENGTH.match(text)
    return int(match[1]) * _UNITS_S[match[2]] if match else None


def allowed(period: str, bar: str) -> bool:
    """True when bars of this length may be asked for over this period."""
    match, bar_s = _LENGTH.match(period), seconds(bar)
    if match is None or bar_s is None or int(match[1]) > _PERIOD_MAX[match[2]]:
        return False
    if bar not in _BARS and not bar.endswith("S"):
        return False
    period_s = int(match[1]) * _UNITS_S[match[2]]
    least, most = _STEPS[0][1], _STEPS[0][2]
    for from_period, shortest, longest in _STEPS:
        # Between two rows of the broker's table the wider one counts.
        most = longest
        if (seconds(from_period) or 0) > period_s:
            break
        least = shortest
        if (seconds(from_period) or 0) == period_s:
            break
    return bar.endswith("S") or (seconds(least) or 0) <= bar_s <= (seconds(most) or 0)


def _time_s(text: str | None, now_s: int) -> int:
    """The time a request names; one that is none, or in the future, is now."""
    if text is None:
        return now_s
    try:
        named = datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return now_s
    return min(now_s, int(named.timestamp()))


def history_body(
    instrument: Instrument,
    *,
    seed: int,
    now_ms: int,
    period: str = _DEFAULT_PERIOD,
    bar: str = _DEFAULT_BAR,
    outside_rth: bool = False,
    start_time: str | None = None,
    forward: bool = False,
) -> dict[str, Any]:
    """The answer of a history request; lengths that do not fit are defaulted.

    The broker answers an invalid period with HTTP 200 and a default, so this
    does too. The bars end at `start_time`, which is `yyyymmdd-hh:mm:ss` in UTC,
    or begin there with `forward`; without it they end now.
    """
    if not allowed(period, bar):
        period, bar = _DEFAULT_PERIOD, _DEFAULT_BAR
    period_s, bar_s = seconds(period) or _DAY_S, seconds(bar) or _DAY_S
    count = max(1, min(POINTS_MAX, period_s // bar_s))
    edge_s = _time_s(start_time, now_ms // 1000)
    if forward:
        edge_s = min(edge_s + (count - 1) * bar_s, now_ms // 1000)
    last_start_s = edge_s // bar_s * bar_s
    starts = [last_start_s - bar_s * (count - 1 - index) for index in range(count)]
    data = [_bar(instrument, seed, bar_s, start_s) for start_s in starts]
    digits = instrument.price_digits
    factor = 10**digits
    high = max(data, key=lambda row: row["h"])
    low = min(data, key=lambda row: row["l"])
    return {
        "serverId": str(20_000_000 + instrument.conid % 1_000_000),
        "symbol": instrument.symbol,
        "text": instrument.name,
        "priceFactor": factor,
        "startTime": long_time(starts[0] * 1000),
        "high": _extreme(high["h"], high, starts[0], factor),
        "low": _extreme(low["l"], low, starts[0], factor),
        "timePeriod": period,
        "barLength": bar_s,
        "mdAvailability": "S",
        "mktDataDelay": 0,
        "outsideRth": outside_rth,
        "tradingDayDuration": 1440,
        "volumeFactor": VOLUME_FACTOR,
        "priceDisplayRule": 1,
        "priceDisplayValue": str(digits),
        "negativeCapable": False,
        "messageVersion": 2,
        "data": data,
        # The broker counts to the index of the last bar, not the bars.
        "points": len(data) - 1,
        "travelTime": 3,
    }


def _extreme(price: Decimal, row: Mapping[str, Any], start_s: int, factor: int) -> str:
    minutes = (row["t"] // 1000 - start_s) // _MINUTE_S
    return f"{int(price * factor)}/{row['v']}/{minutes}"


def _edge(instrument: Instrument, seed: int, bar_s: int, start_s: int) -> Decimal:
    """The price at the edge between two bars, so that one's close is the next one's open."""
    rng = random.Random(f"edge:{seed}:{instrument.conid}:{bar_s}:{start_s}")
    return instrument.start_price + instrument.tick * rng.randint(-40, 40)


def _bar(instrument: Instrument, seed: int, bar_s: int, start_s: int) -> dict[str, Any]:
    rng = random.Random(f"bar:{seed}:{instrument.conid}:{bar_s}:{start_s}")
    first = _edge(instrument, seed, bar_s, start_s)
    last = _edge(instrument, seed, bar_s, start_s + bar_s)
    return {
        "o": first,
        "c": last,
        "h": max(first, last) + instrument.tick * rng.randint(0, 10),
        "l": min(first, last) - instrument.tick * rng.randint(0, 10),
        "v": Decimal(rng.randint(100, 90_000)) / VOLUME_FACTOR,
        "t": start_s * 1000,
    }

"""A seeded market: random walks that quote and trade.

Rule 1: time is an argument; the same seed and the same times give the same
quotes, whatever else the process does.

Rule 2: prices are whole ticks inside and `Decimal` outside, never floats.
"""

import heapq
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from engine.sim.instruments import Instrument

_SPREAD_TICKS: Final = (1, 1, 1, 2, 2, 3)
_STEP_TICKS: Final = (-2, -1, -1, 0, 0, 0, 1, 1, 2)
_TRADE_PROBABILITY: Final = 0.5
_LOT: Final = 100
_TIME_VALUE: Final = Decimal("6.5")
CATCH_UP_MAX_MS: Final = 60_000
FIXED_RATES: Final[Mapping[str, Decimal]] = {
    # What one unit is worth in dollars, for currencies whose pair is not listed.
    "CHF": Decimal("1.125"),
    "CAD": Decimal("0.725"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """The top of one book, and what traded today.

    `last` is None until the first trade of the day; so are `open`, `high` and `low`.
    """

    conid: int
    bid: Decimal
    ask: Decimal
    bid_size: int
    ask_size: int
    last: Decimal | None
    last_size: int
    volume: int
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    prior_close: Decimal
    updated_at_ms: int


@dataclass(slots=True)
class _Walk:
    instrument: Instrument
    rng: random.Random
    mid_ticks: int
    home_ticks: int
    quote: Quote


class Market:
    """Quotes for all instruments, moved on by `advance`.

    An option has no path of its own: it is priced by what it is written on.
    """

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        seed: int,
        interval_ms: tuple[int, int],
        now_ms: int,
    ) -> None:
        self.instruments = {instrument.conid: instrument for instrument in instruments}
        self._interval_ms = interval_ms
        self._walks: dict[int, _Walk] = {}
        self._due: list[tuple[int, int]] = []
        self._derived: dict[int, tuple[Quote, Quote]] = {}
        for instrument in self.instruments.values():
            if instrument.strike is not None:
                continue
            # One generator per instrument: an instrument's path does not
            # depend on how often its neighbours moved.
            rng = random.Random(f"{seed}:{instrument.conid}")
            self._walks[instrument.conid] = _first_walk(instrument, rng, now_ms)
            heapq.heappush(self._due, (now_ms + rng.randint(*interval_ms), instrument.conid))

    def list_option(self, instrument: Instrument) -> None:
        """Quote an option that was not in the list, because somebody still holds it."""
        self.instruments[instrument.conid] = instrument

    def quote(self, conid: int) -> Quote:
        """The current quote; the conid must be one of `instruments`."""
        walk = self._walks.get(conid)
        if walk is not None:
            return walk.quote
        option = self.instruments[conid]
        base = self._walks[option.underlying_conid].quote
        known = self._derived.get(conid)
        if known is None or known[0] is not base:
            known = self._derived[conid] = (base, option_quote(option, base))
        return known[1]

    def rate(self, currency: str) -> Decimal:
        """What one unit of a currency is worth in dollars."""
        pair = next(
            (
                row.conid
                for row in self.instruments.values()
                if row.sec_type == "CASH" and row.symbol == currency
            ),
            None,
        )
        if pair is not None:
            quote = self.quote(pair)
            return (quote.bid + quote.ask) / 2
        return FIXED_RATES.get(currency, Decimal(1))

    def advance(self, now_ms: int) -> tuple[int, ...]:
        """Move every instrument that is due and return the conids that moved."""
        moved: dict[int, None] = {}
        while self._due and self._due[0][0] <= now_ms:
            due_ms, conid = self._due[0]
            # A process that was stopped for hours does not live them again.
            due_ms = max(due_ms, now_ms - CATCH_UP_MAX_MS)
            walk = self._walks[conid]
            _step(walk, due_ms)
            heapq.heapreplace(self._due, (due_ms + walk.rng.randint(*self._interval_ms), conid))
            moved[conid] = None
        return tuple(moved)

    def trade_at(self, conid: int, price: Decimal, now_ms: int) -> None:
        """Move a market to a price at which it trades at once; not for an option."""
        walk = self._walks[conid]
        tick = walk.instrument.tick
        walk.mid_ticks = walk.home_ticks = max(1, int(price / tick))
        price = walk.mid_ticks * tick
        old = walk.quote
        walk.quote = replace(
            old,
            bid=price,
            ask=price + tick,
            last=price,
            last_size=1,
            volume=old.volume + 1,
            open=price if old.open is None else old.open,
            high=price if old.high is None else max(old.high, price),
            low=price if old.low is None else min(old.low, price),
            updated_at_ms=now_ms,
        )

    def state(self) -> dict[int, Quote]:
        """The quotes that `restore` goes on from."""
        return {conid: walk.quote for conid, walk in self._walks.items()}

    def restore(self, quotes: Mapping[int, Quote]) -> None:
        """Go on from earlier quotes; an instrument without one keeps its own."""
        for conid, quote in quotes.items():
            walk = self._walks.get(conid)
            if walk is not None:
                walk.quote = quote
                walk.mid_ticks = max(1, int((quote.bid + quote.ask) / 2 / walk.instrument.tick))


def option_quote(option: Instrument, base: Quote) -> Quote:
    """The quote of an option by that of its underlying: what it is worth now and its time."""
    last = None if base.last is None else _option_value(option, base.last)
    value = _option_value(option, (base.bid + base.ask) / 2)
    bid = option.on_tick(value, up=False)
    first = option.on_tick(_option_value(option, base.prior_close), up=True)
    return replace(
        base,
        conid=option.conid,
        bid=bid,
        ask=bid + option.increment(bid),
        bid_size=max(1, base.bid_size // _LOT),
        ask_size=max(1, base.ask_size // _LOT),
        last=None if last is None else option.on_tick(last, up=True),
        last_size=base.last_size // _LOT,
        volume=base.volume // _LOT,
        open=None,
        high=None,
        low=None,
        prior_close=first,
    )


def _option_value(option: Instrument, price: Decimal) -> Decimal:
    assert option.strike is not None, "only options come here"
    gain = price - option.strike if option.right == "C" else option.strike - price
    away = abs(price - option.strike)
    return max(gain, Decimal(0)) + max(_TIME_VALUE - away / 8, option.tick)


def _first_walk(instrument: Instrument, rng: random.Random, now_ms: int) -> _Walk:
    home_ticks = int(instrument.start_price / instrument.tick)
    spread_ticks = rng.choice(_SPREAD_TICKS)
    bid_ticks = home_ticks - spread_ticks // 2
    quote = Quote(
        conid=instrument.conid,
        bid=bid_ticks * instrument.tick,
        ask=(bid_ticks + spread_ticks) * instrument.tick,
        bid_size=_size(rng, instrument),
        ask_size=_size(rng, instrument),
        last=None,
        last_size=0,
        volume=0,
        open=None,
        high=None,
        low=None,
        prior_close=(home_ticks + rng.randint(-20, 20)) * instrument.tick,
        updated_at_ms=now_ms,
    )
    return _Walk(instrument, rng, home_ticks, home_ticks, quote)


def _size(rng: random.Random, instrument: Instrument) -> int:
    return rng.randint(1, 15) * (_LOT if instrument.sec_type == "STK" else 1)


def _step(walk: _Walk, now_ms: int) -> None:
    rng, tick, old = walk.rng, walk.instrument.tick, walk.quote
    step_ticks = rng.choice(_STEP_TICKS)
    # A light pull towards the start keeps a long run from drifting to zero.
    if rng.random() < abs(walk.mid_ticks - walk.home_ticks) / walk.home_ticks:
        step_ticks = -1 if walk.mid_ticks > walk.home_ticks else 1
    walk.mid_ticks = max(10, walk.mid_ticks + step_ticks)
    spread_ticks = rng.choice(_SPREAD_TICKS)
    bid_ticks = walk.mid_ticks - spread_ticks // 2
    bid, ask = bid_ticks * tick, (bid_ticks + spread_ticks) * tick
    trades = rng.random() < _TRADE_PROBABILITY
    price = rng.choice((bid, ask)) if trades else old.last
    size = _size(rng, walk.instrument) if trades else 0
    walk.quote = Quote(
        conid=old.conid,
        bid=bid,
        ask=ask,
        bid_size=_size(rng, walk.instrument),
        ask_size=_size(rng, walk.instrument),
        last=price,
        last_size=size if trades else old.last_size,
        volume=old.volume + size,
        open=old.open if old.open is not None else price,
        high=price if price is None or old.high is None else max(old.high, price),
        low=price if price is None or old.low is None else min(old.low, price),
        prior_close=old.prior_close,
        updated_at_ms=now_ms,
    )

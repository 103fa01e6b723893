"""A seeded market: random walks that quote and trade.

Rule 1: time is an argument; the same seed and the same times give the same
quotes, whatever else the process does.

Rule 2: prices are whole ticks inside and `Decimal` outside, never floats.
"""

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.sim.instruments import Instrument

_SPREAD_TICKS: Final = (1, 1, 1, 2, 2, 3)
_STEP_TICKS: Final = (-2, -1, -1, 0, 0, 0, 1, 1, 2)
_TRADE_PROBABILITY: Final = 0.5
_LOT: Final = 100


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
    """Quotes for all instruments, moved on by `advance`."""

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
        for instrument in self.instruments.values():
            # One generator per instrument: an instrument's path does not
            # depend on how often its neighbours moved.
            rng = random.Random(f"{seed}:{instrument.conid}")
            self._walks[instrument.conid] = _first_walk(instrument, rng, now_ms)
            heapq.heappush(self._due, (now_ms + rng.randint(*interval_ms), instrument.conid))

    def quote(self, conid: int) -> Quote:
        """The current quote; the conid must be one of `instruments`."""
        return self._walks[conid].quote

    def advance(self, now_ms: int) -> tuple[int, ...]:
        """Move every instrument that is due and return the conids that moved."""
        moved: dict[int, None] = {}
        while self._due[0][0] <= now_ms:
            due_ms, conid = self._due[0]
            walk = self._walks[conid]
            _step(walk, due_ms)
            heapq.heapreplace(self._due, (due_ms + walk.rng.randint(*self._interval_ms), conid))
            moved[conid] = None
        return tuple(moved)


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

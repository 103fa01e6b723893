"""What one account owns: cash, positions and the profit and loss of both.

Rule: money is `Decimal`; cash moves only with an execution and its commission.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from engine.sim.instruments import Instrument

STARTING_CASH: Final = Decimal(1_000_000)
_MARGIN_RATE: Final = Decimal("0.25")
_STOCK_COMMISSION_PER_SHARE: Final = Decimal("0.005")
_STOCK_COMMISSION_MIN: Final = Decimal(1)
_FUTURE_COMMISSION: Final = Decimal("2.25")


@dataclass(slots=True, kw_only=True)
class Position:
    """A holding in one contract; `quantity` is negative when short.

    `average_price` is per unit of price, without the multiplier; it is zero
    when `quantity` is.
    """

    quantity: Decimal = Decimal(0)
    average_price: Decimal = Decimal(0)
    realized: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Valuation:
    """An account at current prices."""

    net_liquidation: Decimal
    cash: Decimal
    gross_position: Decimal
    market_value: Decimal
    unrealized: Decimal
    realized: Decimal
    daily: Decimal
    initial_margin: Decimal

    @property
    def available_funds(self) -> Decimal:
        """What may still be bound as margin."""
        return self.net_liquidation - self.initial_margin

    @property
    def buying_power(self) -> Decimal:
        """The value of stock that the available funds could carry."""
        return max(Decimal(0), self.available_funds / _MARGIN_RATE)


@dataclass(slots=True, kw_only=True)
class Account:
    """One account of the venue."""

    account_id: str
    cash: Decimal = STARTING_CASH
    commissions: Decimal = Decimal(0)
    positions: dict[int, Position] = field(default_factory=dict)

    def trade(
        self,
        instrument: Instrument,
        *,
        signed_quantity: Decimal,
        price: Decimal,
        commission: Decimal,
    ) -> None:
        """Book one execution; `signed_quantity` is negative for a sale."""
        position = self.positions.setdefault(instrument.conid, Position())
        realized = _apply(position, signed_quantity, price) * instrument.multiplier
        position.realized += realized - commission
        # A future is margined: only its profit touches the cash.
        if instrument.sec_type == "FUT":
            self.cash += realized
        else:
            self.cash -= signed_quantity * price * instrument.multiplier
        self.cash -= commission
        self.commissions += commission

    def valuation(
        self, price_of: Callable[[int], Decimal], instrument_of: Callable[[int], Instrument]
    ) -> Valuation:
        """The account at the prices `price_of` gives."""
        gross = value = unrealized = realized = in_stock = Decimal(0)
        for conid, position in self.positions.items():
            instrument, price = instrument_of(conid), price_of(conid)
            worth = position.quantity * price * instrument.multiplier
            gain = (price - position.average_price) * position.quantity * instrument.multiplier
            gross += abs(worth)
            value += worth
            unrealized += gain
            realized += position.realized
            in_stock += gain if instrument.sec_type == "FUT" else worth
        return Valuation(
            net_liquidation=self.cash + in_stock,
            cash=self.cash,
            gross_position=gross,
            market_value=value,
            unrealized=unrealized,
            realized=realized,
            daily=realized + unrealized,
            initial_margin=gross * _MARGIN_RATE,
        )


def margin_for(instrument: Instrument, quantity: Decimal, price: Decimal) -> Decimal:
    """The initial margin a new position binds."""
    return quantity * price * instrument.multiplier * _MARGIN_RATE


def commission_for(instrument: Instrument, filled_before: Decimal, filled_now: Decimal) -> Decimal:
    """The commission of one execution; the order's minimum is charged once, with the first."""
    if instrument.sec_type == "FUT":
        return _FUTURE_COMMISSION * filled_now

    def charged(filled: Decimal) -> Decimal:
        return (
            max(_STOCK_COMMISSION_MIN, filled * _STOCK_COMMISSION_PER_SHARE) if filled else filled
        )

    return charged(filled_before + filled_now) - charged(filled_before)


def _apply(position: Position, signed_quantity: Decimal, price: Decimal) -> Decimal:
    """Move the position and return what was realised, without the multiplier."""
    before = position.quantity
    after = before + signed_quantity
    same_side = before * signed_quantity >= 0
    realized = Decimal(0)
    if same_side:
        cost = abs(before) * position.average_price + abs(signed_quantity) * price
        position.average_price = cost / abs(after) if after else Decimal(0)
    else:
        closed = min(abs(before), abs(signed_quantity))
        sign = 1 if before > 0 else -1
        realized = (price - position.average_price) * closed * sign
        if after == 0:
            position.average_price = Decimal(0)
        elif after * before < 0:
            position.average_price = price
    position.quantity = after
    return realized

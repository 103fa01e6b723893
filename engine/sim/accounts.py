"""What one account owns: cash, positions and the profit and loss of both.

Rule: money is `Decimal`; cash moves only with an execution and its commission.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from engine.sim.instruments import Instrument

STARTING_CASH: Final = Decimal(1_000_000)
_MARGIN_RATE: Final = Decimal("0.25")
BASE_CURRENCY: Final = "USD"
# For one unit, and at least for an order, in dollars.
_STOCK_COMMISSION: Final = (Decimal("0.005"), Decimal(1))
_COMMISSIONS: Final[Mapping[str, tuple[Decimal, Decimal]]] = {
    "FUT": (Decimal("2.25"), Decimal(0)),
    "OPT": (Decimal("0.65"), Decimal(1)),
    "CASH": (Decimal("0.00002"), Decimal(2)),
    "CRYPTO": (Decimal(150), Decimal("1.75")),
}


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
    """One account of the venue.

    `cash` is in dollars; what it has of other currencies is in `foreign`. A
    currency pair is a position and moves two cash balances.
    """

    account_id: str
    cash: Decimal = STARTING_CASH
    foreign: dict[str, Decimal] = field(default_factory=dict)
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
        paid = signed_quantity * price * instrument.multiplier
        # A future is margined: only its profit touches the cash.
        self._move(instrument.currency, realized if instrument.sec_type == "FUT" else -paid)
        if instrument.sec_type == "CASH":
            self._move(instrument.symbol, signed_quantity)
        self.cash -= commission
        self.commissions += commission

    def _move(self, currency: str, money: Decimal) -> None:
        if currency == BASE_CURRENCY:
            self.cash += money
        else:
            self.foreign[currency] = self.foreign.get(currency, Decimal(0)) + money

    def valuation(
        self,
        price_of: Callable[[int], Decimal],
        instrument_of: Callable[[int], Instrument],
        rate_of: Callable[[str], Decimal] = lambda _: Decimal(1),
    ) -> Valuation:
        """The account in dollars, at the prices and rates these give."""
        gross = value = unrealized = realized = in_stock = Decimal(0)
        for conid, position in self.positions.items():
            instrument, price = instrument_of(conid), price_of(conid)
            unit = instrument.multiplier * rate_of(instrument.currency)
            worth = position.quantity * price * unit
            gain = (price - position.average_price) * position.quantity * unit
            unrealized += gain
            realized += position.realized * rate_of(instrument.currency)
            # What a currency pair is worth is in the cash balances already.
            if instrument.sec_type == "CASH":
                continue
            gross += abs(worth)
            value += worth
            in_stock += gain if instrument.sec_type == "FUT" else worth
        abroad = sum((money * rate_of(name) for name, money in self.foreign.items()), Decimal(0))
        return Valuation(
            net_liquidation=self.cash + abroad + in_stock,
            cash=self.cash + abroad,
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
    each, least = _COMMISSIONS.get(instrument.sec_type, _STOCK_COMMISSION)

    def charged(filled: Decimal) -> Decimal:
        return max(least, filled * each) if filled else filled

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

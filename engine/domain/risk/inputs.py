"""Everything that the checks of one order look at, and what several of them derive from it."""

from dataclasses import dataclass, replace
from decimal import Decimal

from engine.domain.risk.exposure import NO_DOUBT, ZERO, Exposure
from engine.domain.risk.limits import Limits
from engine.domain.risk.pricing import Missing, Priced, count_units, price_order, read_touch
from engine.domain.risk.verdict import Check, Code, Verdict, refuse
from engine.domain.values import (
    Instrument,
    Quote,
    Reason,
    Side,
    Terms,
    Ticket,
    TradingState,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """An order before the change that is checked.

    `held_quantity` is the part of its fills that the position accounts for; what else it
    may fill is not in the exposure. `units_max` is what a cash quantity may fill at most.
    """

    terms: Terms
    filled_quantity: Decimal
    held_quantity: Decimal
    units_max: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that the checks of one order look at.

    `quote_age_ms` is None without a quote. `trading_state` is the strictest of all that
    apply to the order, `trading_source` who or what says so. `obstacle` is why there is
    no contract, or no way to write its ticket. For a change, `ticket` has the new terms
    and `former` is the order as it is. `unreconciled` is what is waited for until the
    account is compared with the broker, empty once it was. `beside` is what another order
    of its group may fill instead of it: the larger of the two counts.
    """

    ticket: Ticket
    instrument: Instrument | None
    quote: Quote | None
    quote_age_ms: int | None
    limits: Limits
    exposure: Exposure
    session_ready: bool
    session_reason: Reason | None
    trading_state: TradingState
    trading_source: str
    obstacle: Reason | None = None
    former: Former | None = None
    unreconciled: str = ""
    beside: Decimal = ZERO

    @property
    def units(self) -> Decimal | Missing:
        """What the order may fill at most, its earlier fills included."""
        if self.ticket.cash_quantity is None:
            return self.ticket.quantity
        return count_units(self.ticket, self.instrument, self.touch(Side.SELL))

    @property
    def open_units(self) -> Decimal | Missing:
        """What the order may add to the position that is counted."""
        units = self.units
        if isinstance(units, Missing) or not units.is_finite():
            return units
        held = ZERO if self.former is None else self.former.held_quantity
        return max(units - held, self.beside)

    @property
    def reducing(self) -> bool:
        """True when the order can only bring the position nearer to flat."""
        units = self.open_units
        if isinstance(units, Missing):
            return False
        return self.exposure.is_reducing(self.ticket.side, units)

    @property
    def growing(self) -> bool:
        """True when a change asks for a larger quantity; of a new order always."""
        quantity = self.ticket.quantity
        if self.former is None or not quantity.is_finite():
            return True
        return quantity > self.former.terms.quantity

    @property
    def easing(self) -> bool:
        """True when a change makes nothing larger: no quantity and no price of the order."""
        if self.former is None or self.growing:
            return False
        old = self.former.terms
        return _is_no_higher(self.ticket.limit_price, old.limit_price) and _is_no_higher(
            self.ticket.stop_price, old.stop_price
        )

    @property
    def harmless(self) -> bool:
        """True when nothing can become worse, so that missing inputs refuse nothing."""
        return self.reducing or self.easing

    def touch(self, side: Side) -> Decimal | Missing:
        """Return the price that an order of `side` meets."""
        return read_touch(self.quote, self.quote_age_ms, side, self.limits.price_max_age_ms)

    def price(self) -> Priced | Missing:
        """Return the worst price of the order."""
        return price_order(
            self.ticket,
            self.instrument,
            self.touch(self.ticket.side),
            currency=self.limits.notional_currency,
            reducing=self.harmless,
        )

    def position(self) -> dict[str, object]:
        """Return the figures of the position, for a refusal."""
        exposure = self.exposure
        if exposure.position is None:
            return {"position": "unknown"}
        found: dict[str, object] = {"position": exposure.position}
        if exposure.doubt != NO_DOUBT:
            found |= {"position_lowest": exposure.lowest, "position_highest": exposure.highest}
        return found

    def refuse(self, check: Check, code: Code, *, needs: str, **figures: object) -> Verdict:
        """Refuse for a reason that is no limit."""
        return refuse(check, code, self.ticket.account, needs=needs, **figures)

    def unpriced(self, check: Check, missing: Missing) -> Verdict:
        """Refuse because of what is missing."""
        return self.refuse(check, missing.code, needs=missing.needs, **missing.figures)


def with_terms(ticket: Ticket, terms: Terms) -> Ticket:
    """Return the ticket as it will be with other terms."""
    return replace(
        ticket,
        quantity=terms.quantity,
        limit_price=terms.limit_price,
        stop_price=terms.stop_price,
    )


def _is_no_higher(new: Decimal | None, old: Decimal | None) -> bool:
    if new is None or old is None:
        return new is old
    return new.is_finite() and new <= old

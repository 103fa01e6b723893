"""What clients send, as it is validated and documented: bodies and query parameters.

Rule 1: a field that is not listed here is an error, never ignored.

Rule 2: names and meanings change only additively; clients rely on them.
"""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.api import strict_json
from engine.api.fields import (
    AccountText,
    BarText,
    ChangeWaitName,
    ClientOrderIdText,
    ConIdNumber,
    CurrencyText,
    ExchangeText,
    ExpiryText,
    IntervalName,
    JsonBoolean,
    NoteText,
    OrderStateName,
    OrderTypeName,
    PeriodText,
    PositiveDecimal,
    QueryBoolean,
    QueryConId,
    QueryConIds,
    QueryLimit,
    QuerySequence,
    RestrictionName,
    RightName,
    ScopeText,
    SecType,
    SecTypeName,
    SideName,
    StrategyText,
    SymbolText,
    TifName,
    TrailingTypeName,
    WaitName,
    WaitSeconds,
    refuse,
)
from engine.domain.ports import ContractQuery, SubmitRequest, TermsChange
from engine.domain.values import (
    AccountId,
    ClientOrderId,
    ConId,
    OrderType,
    Ticket,
    TimeInForce,
    TrailingType,
)

_LATER_FIELDS: Final = {"legs": "brackets and OCA groups come with a later version"}

_PRICE: Final = "a decimal above 0"
_PRICE_FIELDS: Final[Mapping[str, str]] = {
    "limit_price": _PRICE,
    "stop_price": _PRICE,
    "trailing_type": "amt or %",
    "trailing_amount": _PRICE,
    "cap_price": _PRICE,
}
_NEEDED: Final[Mapping[OrderType, frozenset[str]]] = {
    OrderType.MKT: frozenset(),
    OrderType.LMT: frozenset({"limit_price"}),
    OrderType.STP: frozenset({"stop_price"}),
    OrderType.STOP_LIMIT: frozenset({"limit_price", "stop_price"}),
    OrderType.TRAIL: frozenset({"trailing_type", "trailing_amount"}),
    OrderType.TRAILLMT: frozenset(
        {"limit_price", "stop_price", "trailing_type", "trailing_amount"}
    ),
    OrderType.MIDPRICE: frozenset(),
    OrderType.MOC: frozenset(),
    OrderType.LOC: frozenset({"limit_price"}),
    OrderType.MIT: frozenset({"stop_price"}),
    OrderType.LIT: frozenset({"limit_price", "stop_price"}),
    OrderType.REL: frozenset(),
}
_OPTIONAL: Final[Mapping[OrderType, frozenset[str]]] = {
    # Without one, the broker starts the trail at the market.
    OrderType.TRAIL: frozenset({"stop_price"}),
    OrderType.MIDPRICE: frozenset({"cap_price"}),
    OrderType.REL: frozenset({"cap_price"}),
}
_PERCENT_MAX: Final = 100

_WITH_STRIKE: Final = frozenset({SecType.OPT, SecType.FOP, SecType.WAR, SecType.IOPT})
_WITH_EXPIRY: Final = _WITH_STRIKE | {SecType.FUT}
_CONTRACT_FIELDS: Final = (
    "symbol", "sec_type", "exchange", "currency", "expiry", "strike", "right",
)  # fmt: skip


def price_fields(order_type: OrderType) -> frozenset[str]:
    """Return the fields that an order of this type may have beside its quantity."""
    return _NEEDED[order_type] | _OPTIONAL.get(order_type, frozenset())


class Strict(BaseModel):
    """A request: frozen, and without fields that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Strict):
    """No field at all."""


class ContractFields(Strict):
    """How a client names a contract: by its conid, or by a symbol and what makes it unique."""

    symbol: SymbolText | None = None
    sec_type: SecTypeName | None = None
    exchange: ExchangeText | None = None
    currency: CurrencyText | None = None
    expiry: ExpiryText | None = None
    strike: PositiveDecimal | None = None
    right: RightName | None = None

    def contract_query(self) -> ContractQuery | None:
        """Return what is said of the contract, None when its conid says all."""
        if self.symbol is None:
            return None
        return ContractQuery(
            symbol=self.symbol,
            sec_type=self.sec_type or SecType.STK,
            exchange=self.exchange,
            currency=self.currency,
            expiry=self.expiry,
            strike=self.strike,
            right=self.right,
        )

    def _check_contract(self, conid: int | None, *, missing: str) -> None:
        """Refuse a contract that is not named, or named twice, or not of its kind."""
        if conid is None and self.symbol is None:
            allowed = "a conid, or else a symbol; one of the two must be given"
            raise refuse(allowed, field=missing)
        if conid is not None:
            for name in _CONTRACT_FIELDS:
                value = getattr(self, name)
                if value is not None:
                    allowed = "nothing beside conid, which names the contract alone"
                    raise refuse(allowed, field=name, value=value)
        sec_type = self.sec_type or SecType.STK
        for name, kinds in (
            ("expiry", _WITH_EXPIRY),
            ("strike", _WITH_STRIKE),
            ("right", _WITH_STRIKE),
        ):
            value = getattr(self, name)
            if value is not None and sec_type not in kinds:
                allowed = f"nothing, {sec_type} has no {name}; it goes with {_listed(kinds)}"
                raise refuse(allowed, field=name, value=value)


def _listed(kinds: frozenset[SecType]) -> str:
    return ", ".join(kind for kind in SecType if kind in kinds)


class SubmitBody(ContractFields):
    """One order. `client_order_id` makes it safe to send again: same key, same order.

    `quantity` counts units; `cash_quantity` is an amount of money instead, where the
    contract's rules allow that. Which prices go with which type: LMT and LOC take
    `limit_price`; STP and MIT `stop_price`; STOP_LIMIT and LIT both; TRAIL
    `trailing_type`, `trailing_amount` and, when wanted, `stop_price`; TRAILLMT these and
    `limit_price`, all needed; MIDPRICE and REL, when wanted, `cap_price`.
    """

    client_order_id: ClientOrderIdText
    conid: ConIdNumber | None = None
    side: SideName
    type: OrderTypeName
    quantity: PositiveDecimal | None = None
    cash_quantity: PositiveDecimal | None = None
    limit_price: PositiveDecimal | None = None
    stop_price: PositiveDecimal | None = None
    trailing_type: TrailingTypeName | None = None
    trailing_amount: PositiveDecimal | None = None
    cap_price: PositiveDecimal | None = None
    tif: TifName = TimeInForce.DAY
    outside_rth: JsonBoolean = False
    strategy: StrategyText | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_comes_later(cls, given: object) -> object:
        """Tell what the contract knows and this version cannot do from plain nonsense."""
        if not isinstance(given, Mapping):
            return given
        for name, when in _LATER_FIELDS.items():
            if given.get(name) is not None:
                allowed = f"nothing, {when}"
                raise refuse(allowed, code="FIELD_UNSUPPORTED", field=name, value=given[name])
        return {name: value for name, value in given.items() if name not in _LATER_FIELDS}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Check what one field demands of another."""
        self._check_contract(self.conid, missing="conid")
        self._check_quantity()
        for name, kind in _PRICE_FIELDS.items():
            value = getattr(self, name)
            if value is None and name in _NEEDED[self.type]:
                allowed = f"{self.type} needs one: {kind}"
                raise refuse(allowed, field=name)
            if value is not None and name not in price_fields(self.type):
                allowed = f"nothing, {self.type} has no {name}"
                raise refuse(allowed, field=name, value=value)
        percent = self.trailing_amount if self.trailing_type is TrailingType.PERCENT else None
        if percent is not None and percent >= _PERCENT_MAX:
            allowed = f"a percentage below {_PERCENT_MAX}"
            raise refuse(allowed, field="trailing_amount", value=percent)
        return self

    def _check_quantity(self) -> None:
        if self.quantity is None and self.cash_quantity is None:
            allowed = "a quantity, or else a cash_quantity; one of the two must be given"
            raise refuse(allowed, field="quantity")
        if self.quantity is not None and self.cash_quantity is not None:
            allowed = "nothing beside quantity; an order is for units or for an amount of money"
            raise refuse(allowed, field="cash_quantity", value=self.cash_quantity)

    def request(self, account: AccountId) -> SubmitRequest:
        """Return what the engine is asked to do."""
        ticket = Ticket(
            account=account,
            client_order_id=ClientOrderId(self.client_order_id),
            conid=ConId(self.conid or 0),
            symbol=self.symbol or "",
            side=self.side,
            type=self.type,
            quantity=self.quantity or Decimal(0),
            limit_price=self.limit_price,
            tif=self.tif,
            outside_rth=self.outside_rth,
            strategy=self.strategy,
            sec_type=self.sec_type or SecType.STK,
            cash_quantity=self.cash_quantity,
            stop_price=self.stop_price,
            trailing_type=self.trailing_type,
            trailing_amount=self.trailing_amount,
            cap_price=self.cap_price,
        )
        return SubmitRequest(
            ticket=ticket, query=self.contract_query(), request_sha256=self._digest(account)
        )

    def _digest(self, account: AccountId) -> str:
        """Return what tells a repeat from another order under the same key.

        Two spellings of one order are one: `1.0` and `"1"`, null and absent, a default
        written out. Fields that later versions add must stay out while they are absent.
        """
        fields = self.model_dump(mode="python", exclude_none=True)
        if self.sec_type is SecType.STK:
            del fields["sec_type"]
        return hashlib.sha256(strict_json.canonical({"account": account, **fields})).hexdigest()


class ModifyBody(Strict):
    """New terms of an order at the broker; what is absent stays as it is."""

    quantity: PositiveDecimal | None = None
    limit_price: PositiveDecimal | None = None
    stop_price: PositiveDecimal | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.quantity is None and self.limit_price is None and self.stop_price is None:
            allowed = "a quantity, a limit_price or a stop_price; at least one must be given"
            raise refuse(allowed, field="quantity")
        return self

    def change(self) -> TermsChange:
        """Return what the engine is asked to change."""
        return TermsChange(
            quantity=self.quantity, limit_price=self.limit_price, stop_price=self.stop_price
        )


class HaltBody(Strict):
    """A restriction of everything in `scope`, until it is resumed."""

    scope: ScopeText
    level: RestrictionName
    cancel_working: JsonBoolean = False
    reason: NoteText


class ResumeBody(Strict):
    """The end of the restriction of exactly this scope."""

    scope: ScopeText
    reason: NoteText


class SubmitQuery(Strict):
    """How long a submit waits for news of its order."""

    wait: WaitName | None = None
    timeout: WaitSeconds | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.timeout is not None and self.wait is None:
            allowed = "nothing without wait=ack or wait=terminal"
            raise refuse(allowed, field="timeout", value=self.timeout)
        return self


class ModifyQuery(Strict):
    """How long a modify waits until the broker took or refused the new terms."""

    wait: ChangeWaitName | None = None
    timeout: WaitSeconds | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.timeout is not None and self.wait is None:
            allowed = "nothing without wait=settled"
            raise refuse(allowed, field="timeout", value=self.timeout)
        return self


class LoginBody(Strict):
    """Why a session may try to log in again."""

    reason: NoteText


class OrdersQuery(Strict):
    """Which orders a listing shows."""

    account: AccountText | None = None
    state: OrderStateName | None = None
    open: QueryBoolean = False
    client_order_id: ClientOrderIdText | None = None
    limit: QueryLimit = 200


class LimitsQuery(Strict):
    """Whether each limit names where it comes from."""

    explain: QueryBoolean = False


class InstrumentsQuery(ContractFields):
    """Which contract to look up. A symbol without `sec_type` means a stock."""

    conid: QueryConId | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        self._check_contract(self.conid, missing="symbol")
        return self


class QuotesQuery(Strict):
    """Whose quotes. With `snapshot=false` only those that are streamed."""

    conids: QueryConIds
    snapshot: QueryBoolean = True


class BarsQuery(Strict):
    """Which bars, and how many of the newest.

    `interval` names streamed bars, `period` and `bar` those of the broker's history; there
    `m` means months, and `limit` is all of them unless it is given.
    """

    interval: IntervalName = "1s"
    limit: QueryLimit = 100
    period: PeriodText | None = None
    bar: BarText | None = None
    outside_rth: QueryBoolean = False

    @property
    def limit_given(self) -> int | None:
        """The limit that the client named, None when it named none."""
        return self.limit if "limit" in self.model_fields_set else None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.period is None or self.bar is None:
            for name in ("period", "bar"):
                if (self.period, self.bar) != (None, None) and getattr(self, name) is None:
                    allowed = "period and bar go together, such as period=1d&bar=5min"
                    raise refuse(allowed, field=name)
            if self.outside_rth:
                allowed = "nothing without period and bar; streamed bars have every trade"
                raise refuse(allowed, field="outside_rth", value=True)
        elif "interval" in self.model_fields_set:
            allowed = "nothing beside period and bar; an interval names streamed bars"
            raise refuse(allowed, field="interval", value=self.interval)
        return self


class EventsQuery(Strict):
    """The last event that the client has; the stream goes on after it. 0 is all of them."""

    from_seq: Annotated[QuerySequence, Field(description="exclusive")] = 0

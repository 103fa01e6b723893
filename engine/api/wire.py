"""What clients send, as it is validated and documented: bodies and query parameters.

Rule 1: a field that is not listed here is an error, never ignored.

Rule 2: names and meanings change only additively; clients rely on them.
"""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.api.fields import (
    AccountText,
    BarText,
    ChangeWaitName,
    ClientOrderIdText,
    CurrencyText,
    ExchangeText,
    ExpiryText,
    IntervalName,
    JsonBoolean,
    NoteText,
    OrderStateName,
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
    SymbolText,
    WaitName,
    WaitSeconds,
    refuse,
)
from engine.api.order_fields import (
    BrokerOrderIdText,
    PersonText,
    ResolutionName,
)
from engine.domain.ports import ContractQuery, ResolveRequest, TermsChange
from engine.domain.values import BrokerOrderId, Resolution

_WITH_STRIKE: Final = frozenset({SecType.OPT, SecType.FOP, SecType.WAR, SecType.IOPT})
_WITH_EXPIRY: Final = _WITH_STRIKE | {SecType.FUT}
_CONTRACT_FIELDS: Final = (
    "symbol", "sec_type", "exchange", "currency", "expiry", "strike", "right",
)  # fmt: skip


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

    def check_contract(self, conid: int | None, *, missing: str) -> None:
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


class ResolveBody(Strict):
    """What a person declares an order to be that the engine could not find.

    `live` names the broker's order. `filled` says how much at which price, until the broker
    shows the executions: all of it and the limit price, unless given.
    """

    resolution: ResolutionName = Field(alias="as")
    reason: NoteText
    approved_by: PersonText | None = None
    broker_order_id: BrokerOrderIdText | None = None
    quantity: PositiveDecimal | None = None
    price: PositiveDecimal | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.resolution is Resolution.LIVE and self.broker_order_id is None:
            allowed = "the broker's id of the order that is live"
            raise refuse(allowed, field="broker_order_id")
        names = {
            Resolution.NOT_PLACED: ("broker_order_id", "quantity", "price"),
            Resolution.LIVE: ("quantity", "price"),
            Resolution.FILLED: (),
        }[self.resolution]
        for name in names:
            value = getattr(self, name)
            if value is not None:
                allowed = f"nothing with as={self.resolution}"
                raise refuse(allowed, field=name, value=value)
        return self

    def request(self) -> ResolveRequest:
        """Return what the engine is told."""
        broker_order_id = self.broker_order_id
        return ResolveRequest(
            resolution=self.resolution,
            reason=self.reason,
            approved_by=self.approved_by,
            broker_order_id=None if broker_order_id is None else BrokerOrderId(broker_order_id),
            quantity=self.quantity,
            price=self.price,
        )


class AdoptBody(Strict):
    """Why somebody else's order becomes one of ours, and whether it is cancelled at once."""

    cancel: JsonBoolean = False
    reason: NoteText


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
        self.check_contract(self.conid, missing="symbol")
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

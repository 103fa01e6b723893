"""What clients send, as it is validated and documented: bodies and query parameters.

Rule 1: a field that is not listed here is an error, never ignored.

Rule 2: names and meanings change only additively; clients rely on them.
"""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.api import strict_json
from engine.api.fields import (
    AccountText,
    ClientOrderIdText,
    ConIdNumber,
    ExchangeText,
    IntervalName,
    JsonBoolean,
    NoteText,
    OrderStateName,
    OrderTypeName,
    PositiveDecimal,
    QueryBoolean,
    QueryConIds,
    QueryLimit,
    QuerySequence,
    RestrictionName,
    ScopeText,
    SideName,
    StockText,
    StrategyText,
    SymbolText,
    TifName,
    WaitName,
    WaitSeconds,
    refuse,
)
from engine.domain.ports import SubmitRequest
from engine.domain.values import (
    AccountId,
    ClientOrderId,
    ConId,
    OrderType,
    Ticket,
    TimeInForce,
)

_LATER_TYPES: Final = (
    "STP", "STOP_LIMIT", "TRAIL", "TRAILLMT", "MIDPRICE", "MOC", "LOC", "MIT", "LIT", "REL",
)  # fmt: skip
_LATER_TIFS: Final = ("OPG", "OVT", "OND", "PAX", "GTD")
_LATER_FIELDS: Final = (
    "cash_quantity", "stop_price", "trailing_type", "trailing_amount", "cap_price", "legs",
    "expiry", "strike", "right", "currency",
)  # fmt: skip


class Strict(BaseModel):
    """A request: frozen, and without fields that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Strict):
    """No field at all."""


class SubmitBody(Strict):
    """One order. `client_order_id` makes it safe to send again: same key, same order."""

    client_order_id: ClientOrderIdText
    conid: ConIdNumber | None = None
    symbol: SymbolText | None = None
    sec_type: StockText | None = None
    exchange: ExchangeText | None = None
    side: SideName
    type: OrderTypeName
    quantity: PositiveDecimal
    limit_price: PositiveDecimal | None = None
    tif: TifName = TimeInForce.DAY
    outside_rth: JsonBoolean = False
    strategy: StrategyText | None = None

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_comes_later(cls, given: object) -> object:
        """Tell what the contract knows and this version cannot do from plain nonsense."""
        if not isinstance(given, Mapping):
            return given
        if given.get("type") in _LATER_TYPES:
            allowed = f"{', '.join(OrderType)} in this version"
            raise refuse(allowed, code="ORDER_TYPE_UNSUPPORTED", field="type", value=given["type"])
        if given.get("tif") in _LATER_TIFS:
            allowed = f"{', '.join(TimeInForce)} in this version"
            raise refuse(allowed, code="TIF_UNSUPPORTED", field="tif", value=given["tif"])
        for name in _LATER_FIELDS:
            if given.get(name) is not None:
                allowed = "nothing, this field is not available in this version"
                raise refuse(allowed, code="FIELD_UNSUPPORTED", field=name, value=given[name])
        return {name: value for name, value in given.items() if name not in _LATER_FIELDS}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Check what one field demands of another."""
        if self.conid is None and self.symbol is None:
            allowed = "a conid, or else a symbol; one of the two must be given"
            raise refuse(allowed, field="conid")
        if self.conid is not None:
            for name in ("symbol", "sec_type", "exchange"):
                value = getattr(self, name)
                if value is not None:
                    allowed = "nothing beside conid, which names the contract alone"
                    raise refuse(allowed, field=name, value=value)
        if self.type is OrderType.LMT and self.limit_price is None:
            allowed = f"{self.type} needs one: a decimal above 0"
            raise refuse(allowed, field="limit_price")
        if self.type is OrderType.MKT and self.limit_price is not None:
            allowed = f"nothing, {self.type} has no price"
            raise refuse(allowed, field="limit_price", value=strict_json.plain(self.limit_price))
        return self

    def request(self, account: AccountId) -> SubmitRequest:
        """Return what the engine is asked to do."""
        ticket = Ticket(
            account=account,
            client_order_id=ClientOrderId(self.client_order_id),
            conid=ConId(self.conid or 0),
            symbol=self.symbol or "",
            side=self.side,
            type=self.type,
            quantity=self.quantity,
            limit_price=self.limit_price,
            tif=self.tif,
            outside_rth=self.outside_rth,
            strategy=self.strategy,
        )
        return SubmitRequest(
            ticket=ticket, exchange=self.exchange, request_sha256=self._digest(account)
        )

    def _digest(self, account: AccountId) -> str:
        """Return what tells a repeat from another order under the same key.

        Two spellings of one order are one: `1.0` and `"1"`, null and absent, a default
        written out. Fields that later versions add must stay out while they are absent.
        """
        fields = self.model_dump(mode="python", exclude_none=True)
        fields.pop("sec_type", None)
        return hashlib.sha256(strict_json.canonical({"account": account, **fields})).hexdigest()


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


class InstrumentsQuery(Strict):
    """Which contract to look up."""

    symbol: SymbolText
    exchange: ExchangeText | None = None


class QuotesQuery(Strict):
    """Whose quotes."""

    conids: QueryConIds


class BarsQuery(Strict):
    """Which bars, and how many of the newest."""

    interval: IntervalName = "1s"
    limit: QueryLimit = 100


class EventsQuery(Strict):
    """The last event that the client has; the stream goes on after it. 0 is all of them."""

    from_seq: Annotated[QuerySequence, Field(description="exclusive")] = 0

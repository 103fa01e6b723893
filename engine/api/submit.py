"""What a client submits: one order, or a group of orders that go out together.

Rule 1: a field that does not go with the others is refused by its name; nothing is left out,
converted or guessed. What a group's other orders do not say, the first one says for them.

Rule 2: names and meanings change only additively; clients rely on them.
"""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from engine.api import strict_json
from engine.api.answers import time_text
from engine.api.fields import (
    ClientOrderIdText,
    ConIdNumber,
    JsonBoolean,
    OrderTypeName,
    PositiveDecimal,
    SecType,
    SideName,
    StrategyText,
    TifName,
    TrailingTypeName,
    refuse,
)
from engine.api.order_fields import (
    AlgoText,
    GroupName,
    Moment,
    ParameterValue,
)
from engine.api.wire import ContractFields, Strict
from engine.domain.ports import SubmitRequest
from engine.domain.values import (
    AccountId,
    Algo,
    AlgoParameter,
    ClientOrderId,
    ConId,
    GroupKind,
    OrderType,
    Side,
    Ticket,
    TimeInForce,
    TrailingType,
)

EXITS_MAX: Final = 2
"""Exits of one bracket: one for the profit, one against the loss."""
MEMBERS_MAX: Final = 5
"""Orders of one group where one cancels all, the first among them."""
_KEY_MAX: Final = 64
_NS_PER_MS: Final = 1_000_000
_PARAMETERS_MAX: Final = 20
_PERCENT_MAX: Final = 100

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
_NO_EXITS: Final = frozenset({OrderType.MKT, OrderType.MIDPRICE, OrderType.REL})
"""Types that fill the moment that their entry has: no exits, but a way out at once."""
_NOT_RESTING: Final = frozenset({TimeInForce.IOC, TimeInForce.OPG})
"""Times in force in which an exit could not wait for its entry."""
_OTHER_SIDE: Final = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


def price_fields(order_type: OrderType) -> frozenset[str]:
    """Return the fields that an order of this type may have beside its quantity."""
    return _NEEDED[order_type] | _OPTIONAL.get(order_type, frozenset())


class PricedFields(Strict):
    """The type of an order, and the prices that go with it."""

    type: OrderTypeName
    limit_price: PositiveDecimal | None = None
    stop_price: PositiveDecimal | None = None
    trailing_type: TrailingTypeName | None = None
    trailing_amount: PositiveDecimal | None = None
    cap_price: PositiveDecimal | None = None

    @model_validator(mode="after")
    def _check_prices(self) -> Self:
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


class LegBody(PricedFields):
    """Another order of a group; what it does not say is as in the first one.

    In a bracket it is an exit: it is on the other side, begins to work when the entry has
    filled, and its `client_order_id` is the entry's with `:1` or `:2`, unless given.
    """

    client_order_id: ClientOrderIdText | None = None
    side: SideName | None = None
    quantity: PositiveDecimal | None = None
    tif: TifName | None = None
    good_till: Moment | None = None
    outside_rth: JsonBoolean | None = None


class AlgoBody(Strict):
    """One of the broker's own algorithms, and its parameters, in the broker's spelling."""

    name: AlgoText
    parameters: Annotated[dict[AlgoText, ParameterValue], Field(max_length=_PARAMETERS_MAX)] = (
        Field(default_factory=dict)
    )

    def algo(self) -> Algo:
        """Return the same in the words of the domain; the order of parameters is no matter."""
        return Algo(
            name=self.name,
            parameters=tuple(
                AlgoParameter(name=name, value=text, kind=kind)
                for name, (kind, text) in sorted(self.parameters.items())
            ),
        )


def _listed(value: object) -> object:
    if isinstance(value, list | tuple) and not 1 <= len(value) < MEMBERS_MAX:
        allowed = f"1 to {EXITS_MAX} exits of a bracket, or 1 to {MEMBERS_MAX - 1} in a group oca"
        raise refuse(allowed)
    if not isinstance(value, list | tuple):
        allowed = "a list of orders"
        raise refuse(allowed)
    return value


class SubmitBody(ContractFields, PricedFields):
    """One order, or with `legs` a group. `client_order_id` makes it safe to send again.

    `quantity` counts units; `cash_quantity` is an amount of money instead, where the
    contract's rules allow that. Which prices go with which type: LMT and LOC take
    `limit_price`; STP and MIT `stop_price`; STOP_LIMIT and LIT both; TRAIL
    `trailing_type`, `trailing_amount` and, when wanted, `stop_price`; TRAILLMT these and
    `limit_price`, all needed; MIDPRICE and REL, when wanted, `cap_price`. GTD goes with
    `good_till`, when the engine cancels what is left.
    """

    client_order_id: ClientOrderIdText
    conid: ConIdNumber | None = None
    side: SideName
    quantity: PositiveDecimal | None = None
    cash_quantity: PositiveDecimal | None = None
    tif: TifName = TimeInForce.DAY
    good_till: Moment | None = None
    outside_rth: JsonBoolean = False
    strategy: StrategyText | None = None
    algo: AlgoBody | None = None
    group: GroupName | None = None
    legs: Annotated[tuple[LegBody, ...], BeforeValidator(_listed)] | None = None

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """Check what one field demands of another."""
        self.check_contract(self.conid, missing="conid")
        self._check_quantity()
        self._check_time("", self.tif, self.good_till)
        if self.legs is None:
            if self.group is not None:
                allowed = "nothing without legs, the other orders of the group"
                raise refuse(allowed, field="group", value=self.group)
            return self
        if self.cash_quantity is not None:
            allowed = "nothing beside legs; the orders of a group are for units"
            raise refuse(allowed, field="cash_quantity", value=self.cash_quantity)
        if self.kind is GroupKind.BRACKET:
            self._check_exits(self.legs)
        keys = {self.client_order_id}
        for index, leg in enumerate(self.legs):
            self._check_time(f"legs.{index}.", *self._time_of(leg))
            key = self._key_of(index, leg)
            if len(key) > _KEY_MAX or key in keys:
                allowed = f"another key for each order of the group, of at most {_KEY_MAX}"
                raise refuse(allowed, field=f"legs.{index}.client_order_id", value=key)
            keys.add(key)
        return self

    @property
    def kind(self) -> GroupKind | None:
        """How the orders hang together; None for one order alone."""
        return None if self.legs is None else self.group or GroupKind.BRACKET

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
            algo=None if self.algo is None else self.algo.algo(),
            good_till_ms=self.good_till,
        )
        followers = tuple(
            self._follower(ticket, index, leg) for index, leg in enumerate(self.legs or ())
        )
        return SubmitRequest(
            ticket=ticket,
            query=self.contract_query(),
            request_sha256=self._digest(account, followers),
            group=self.kind,
            followers=followers,
        )

    def _follower(self, first: Ticket, index: int, leg: LegBody) -> Ticket:
        is_exit = self.kind is GroupKind.BRACKET
        tif, good_till = self._time_of(leg)
        return Ticket(
            account=first.account,
            client_order_id=ClientOrderId(self._key_of(index, leg)),
            conid=first.conid,
            symbol=first.symbol,
            side=_OTHER_SIDE[first.side] if is_exit else leg.side or first.side,
            type=leg.type,
            quantity=leg.quantity or first.quantity,
            limit_price=leg.limit_price,
            tif=tif,
            outside_rth=first.outside_rth if leg.outside_rth is None else leg.outside_rth,
            strategy=first.strategy,
            sec_type=first.sec_type,
            stop_price=leg.stop_price,
            trailing_type=leg.trailing_type,
            trailing_amount=leg.trailing_amount,
            cap_price=leg.cap_price,
            good_till_ms=good_till,
        )

    def _digest(self, account: AccountId, followers: tuple[Ticket, ...]) -> str:
        """Return what tells a repeat from another order under the same key.

        Two spellings of one order are one: `1.0` and `"1"`, null and absent, a default
        written out. Fields that later versions add must stay out while they are absent.
        """
        fields = self.model_dump(mode="python", exclude_none=True, exclude={"legs", "algo"})
        if self.sec_type is SecType.STK:
            del fields["sec_type"]
        if self.algo is not None:
            parameters = {name: text for name, (_, text) in self.algo.parameters.items()}
            fields["algo"] = {"name": self.algo.name, "parameters": parameters}
        if followers:
            fields |= {"group": self.kind, "legs": [_said(follower) for follower in followers]}
        return hashlib.sha256(strict_json.canonical({"account": account, **fields})).hexdigest()

    def _check_quantity(self) -> None:
        if self.quantity is None and self.cash_quantity is None:
            allowed = "a quantity, or else a cash_quantity; one of the two must be given"
            raise refuse(allowed, field="quantity")
        if self.quantity is not None and self.cash_quantity is not None:
            allowed = "nothing beside quantity; an order is for units or for an amount of money"
            raise refuse(allowed, field="cash_quantity", value=self.cash_quantity)

    def _check_time(self, where: str, tif: TimeInForce, good_till: int | None) -> None:
        if tif is TimeInForce.GTD and good_till is None:
            allowed = "GTD needs one: the time at which the engine cancels what is left"
            raise refuse(allowed, field=f"{where}good_till")
        if tif is not TimeInForce.GTD and good_till is not None:
            allowed = f"nothing, {tif} has no good_till; it goes with GTD"
            given = time_text(good_till * _NS_PER_MS)
            raise refuse(allowed, field=f"{where}good_till", value=given)

    def _check_exits(self, legs: tuple[LegBody, ...]) -> None:
        """Refuse what could not wait for its entry, or would close more than that opens."""
        assert self.quantity is not None, "a group is for units"
        if len(legs) > EXITS_MAX:
            allowed = f"1 to {EXITS_MAX} exits of a bracket"
            raise refuse(allowed, field="legs", value=f"{len(legs)} orders")
        exit_side = _OTHER_SIDE[self.side]
        for index, leg in enumerate(legs):
            where = f"legs.{index}."
            if leg.side not in (None, exit_side):
                allowed = f"{exit_side}, as an exit of a {self.side}, or nothing"
                raise refuse(allowed, field=f"{where}side", value=leg.side)
            if leg.type in _NO_EXITS:
                types = ", ".join(kind for kind in OrderType if kind not in _NO_EXITS)
                raise refuse(types, field=f"{where}type", value=leg.type)
            if leg.quantity is not None and leg.quantity > self.quantity:
                allowed = f"at most {strict_json.plain(self.quantity)}, the entry's quantity"
                raise refuse(allowed, field=f"{where}quantity", value=leg.quantity)
            tif, _ = self._time_of(leg)
            if tif in _NOT_RESTING:
                allowed = (
                    f"a time in force in which an exit can wait, such as DAY or GTC; {tif} ends"
                )
                raise refuse(allowed, field=f"{where}tif", value=leg.tif)

    def _time_of(self, leg: LegBody) -> tuple[TimeInForce, int | None]:
        """Return how long a leg stays: as it says, or as the first order does."""
        tif = leg.tif or self.tif
        inherited = self.good_till if tif is self.tif else None
        return tif, leg.good_till if leg.good_till is not None else inherited

    def _key_of(self, index: int, leg: LegBody) -> str:
        return leg.client_order_id or f"{self.client_order_id}:{index + 1}"


def _said(ticket: Ticket) -> dict[str, object]:
    """Return what a group's other order says, whole, for the digest."""
    said = {
        "client_order_id": ticket.client_order_id,
        "side": ticket.side,
        "type": ticket.type,
        "quantity": ticket.quantity,
        "tif": ticket.tif,
        "good_till": ticket.good_till_ms,
        "outside_rth": ticket.outside_rth,
        **{name: getattr(ticket, name) for name in _PRICE_FIELDS},
    }
    return {name: value for name, value in said.items() if value is not None}

"""What can be limited, and the limits in force for one account.

Rule 1: every limit has a value. Where the risk file is silent, the built-in one holds,
and those are meant to be too strict for anything but a first try.

Rule 2: every value can name the place that says so: `risk.yaml:12` or `built-in`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
)
from typing import Final, TypeAlias

from engine.domain.values import AccountId, Answer, MessageId, QuestionPolicy, TradingState
from engine.domain.views import LimitsView, LimitView

BUILT_IN: Final = "built-in"

LARGEST: Final = Decimal(10) ** 15
"""No limit, quantity or price may be larger; also keeps every product exact enough."""

FINEST: Final = Decimal(10) ** -20
"""No step or multiplier of a contract may be smaller; those that are stand for no rules."""

EXACT: Final = Context(
    prec=80,
    Emin=MIN_EMIN,
    Emax=MAX_EMAX,
    traps=[InvalidOperation, DivisionByZero, Overflow],
)
"""Holds every product, sum and count of steps of figures between `FINEST` and `LARGEST`."""

SEC_TYPES: Final = frozenset(
    {
        "BILL", "BOND", "CASH", "CFD", "CMDTY", "CRYPTO", "EVENT", "FOP", "FUND", "FUT",
        "IOPT", "OPT", "STK", "WAR",
    }
)  # fmt: skip
"""The broker's security types. An ETF is a STK there."""

LimitValue: TypeAlias = Decimal | TradingState | Answer | frozenset[str] | str
"""A bare text is a currency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The value of a limit and the place that says so."""

    value: LimitValue
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What a number may be: above 0, up to `maximum` `unit`, and whole if it counts."""

    unit: str
    maximum: Decimal
    whole: bool = False


CURRENCY_UNIT: Final = "notional_ccy"
"""Stands for the policy's `units.notional_ccy` where a range names its unit."""

RANGES: Final[Mapping[str, Range]] = {
    "price.max_age_ms": Range(unit="ms", maximum=Decimal(3_600_000), whole=True),
    "order.max_qty": Range(unit="units", maximum=LARGEST),
    "order.max_notional.abs": Range(unit=CURRENCY_UNIT, maximum=LARGEST),
    "order.market.max_spread_bps": Range(unit="bps", maximum=Decimal(10_000)),
    "position.max_qty": Range(unit="units", maximum=LARGEST),
    "position.max_notional.abs": Range(unit=CURRENCY_UNIT, maximum=LARGEST),
    "working.max_total": Range(unit="orders", maximum=Decimal(100_000), whole=True),
    # The broker takes at most 15 working orders per side, contract and account.
    "working.max_per_conid_side": Range(unit="orders", maximum=Decimal(15), whole=True),
}
"""Every limit that is a number, with what the risk file may say."""

MAX_QTY_OTHER: Final = "order.max_qty.other"
MESSAGES_DEFAULT: Final = "broker_messages.default"
NOTIONAL_CURRENCY: Final = "units.notional_ccy"

FALLBACKS: Final[Mapping[str, str]] = {
    "order.max_qty": MAX_QTY_OTHER,
    "broker_messages": MESSAGES_DEFAULT,
}
"""What holds for a security type or a question that nobody lists."""

_BUILT_IN_VALUES: Final[Mapping[str, LimitValue]] = {
    "trading_state": TradingState.NORMAL,
    "price.max_age_ms": Decimal(3_000),
    "order.max_qty.STK": Decimal(100),
    MAX_QTY_OTHER: Decimal(1),
    "order.max_notional.abs": Decimal(1_000),
    "order.market.max_spread_bps": Decimal(20),
    "position.max_qty": Decimal(100),
    "position.max_notional.abs": Decimal(10_000),
    "working.max_total": Decimal(10),
    "working.max_per_conid_side": Decimal(5),
    "instruments.allow_sec_types": frozenset({"STK"}),
    MESSAGES_DEFAULT: Answer.DECLINE,
    NOTIONAL_CURRENCY: "USD",
}

BUILT_IN_SETTINGS: Final[Mapping[str, Setting]] = {
    name: Setting(value=value, source=BUILT_IN) for name, value in _BUILT_IN_VALUES.items()
}
"""What holds where the risk file's `defaults` are silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """A number that must not be passed, with its unit and its source."""

    name: str
    value: Decimal
    unit: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Everything that limits one account, merged; `policy_hash` names the whole policy.

    `settings` has every value again under its name in the risk file, with its source.
    """

    account: AccountId
    groups: tuple[str, ...]
    version: int
    policy_hash: str
    notional_currency: str
    trading_state: TradingState
    price_max_age_ms: Limit
    order_max_qty: Mapping[str, Limit]
    order_max_qty_other: Limit
    order_max_notional: Limit
    market_max_spread_bps: Limit
    position_max_qty: Limit
    position_max_notional: Limit
    working_max_total: Limit
    working_max_per_conid_side: Limit
    allow_sec_types: frozenset[str]
    questions: QuestionPolicy
    settings: Mapping[str, Setting]

    def max_qty(self, sec_type: str) -> Limit:
        """Return the largest order of that security type."""
        return self.order_max_qty.get(sec_type, self.order_max_qty_other)

    def source(self, name: str) -> str:
        """Return the place that says the value of `name`, such as `trading_state`."""
        return self.settings[name].source


def lookup(settings: Mapping[str, Setting], name: str) -> Setting | None:
    """Return what `settings` say of `name`, by its own entry or by its family's fallback."""
    setting = settings.get(name)
    if setting is None:
        setting = settings.get(FALLBACKS.get(family(name), ""))
    return setting


def family(name: str) -> str:
    """Return what `name` is one of: `order.max_qty` of `order.max_qty.STK`."""
    return name.rpartition(".")[0]


def is_looser(new: LimitValue, old: LimitValue) -> bool:
    """Return whether `new` lets anything pass that `old` does not."""
    match new, old:
        case TradingState(), TradingState():
            return new.strictness < old.strictness
        case Answer(), Answer():
            return new is Answer.ACCEPT and old is Answer.DECLINE
        case Decimal(), Decimal():
            return new > old
        case frozenset(), frozenset():
            return not new <= old
        case str(), str():
            return new != old  # the numbers mean something else now
        case _:
            message = f"{new!r} and {old!r} are not values of the same limit"
            raise AssertionError(message)


def stricter(one: Setting, two: Setting) -> Setting:
    """Return what both allow. Of equals it is `one`; two sets may give a third."""
    if not is_looser(one.value, two.value):
        return one
    if not is_looser(two.value, one.value):
        return two
    assert isinstance(one.value, frozenset), "only sets can each be looser than the other"
    assert isinstance(two.value, frozenset), "only sets can each be looser than the other"
    return Setting(value=one.value & two.value, source=f"{one.source}, {two.source}")


def format_value(value: LimitValue) -> str:
    """Write a value as the risk file would: `40000`, `reduce_only`, `[OPT, STK]`."""
    if isinstance(value, Decimal):
        return format_number(value)
    if isinstance(value, frozenset):
        return f"[{', '.join(sorted(value))}]"
    return str(value)


def format_number(value: Decimal) -> str:
    """Write a number without exponent and without trailing zeros."""
    if not value.is_finite():
        return str(value)
    # A client may send 1E+999999; as plain digits that would be a megabyte.
    if value and abs(value.adjusted()) > len(str(LARGEST)):
        return str(value)
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def make_limits(
    account: AccountId,
    *,
    groups: tuple[str, ...],
    version: int,
    policy_hash: str,
    settings: Mapping[str, Setting],
) -> Limits:
    """Give the merged settings of an account their types; all must be there."""
    currency = str(settings[NOTIONAL_CURRENCY].value)

    def number(name: str) -> Limit:
        setting = settings[name]
        assert isinstance(setting.value, Decimal), name
        unit = (RANGES.get(name) or RANGES[family(name)]).unit
        unit = currency if unit == CURRENCY_UNIT else unit
        return Limit(name=name, value=setting.value, unit=unit, source=setting.source)

    def answer(name: str) -> Answer:
        value = settings[name].value
        assert isinstance(value, Answer), name
        return value

    def members(prefix: str) -> dict[str, str]:
        names = [name for name in settings if family(name) == prefix]
        names.remove(FALLBACKS[prefix])
        return {name.removeprefix(f"{prefix}."): name for name in sorted(names)}

    state = settings["trading_state"].value
    sec_types = settings["instruments.allow_sec_types"].value
    assert isinstance(state, TradingState)
    assert isinstance(sec_types, frozenset)
    return Limits(
        account=account,
        groups=groups,
        version=version,
        policy_hash=policy_hash,
        notional_currency=currency,
        trading_state=state,
        price_max_age_ms=number("price.max_age_ms"),
        order_max_qty={key: number(name) for key, name in members("order.max_qty").items()},
        order_max_qty_other=number(MAX_QTY_OTHER),
        order_max_notional=number("order.max_notional.abs"),
        market_max_spread_bps=number("order.market.max_spread_bps"),
        position_max_qty=number("position.max_qty"),
        position_max_notional=number("position.max_notional.abs"),
        working_max_total=number("working.max_total"),
        working_max_per_conid_side=number("working.max_per_conid_side"),
        allow_sec_types=sec_types,
        questions=QuestionPolicy(
            answers={
                MessageId(key): answer(name) for key, name in members("broker_messages").items()
            },
            default=answer(MESSAGES_DEFAULT),
        ),
        settings=settings,
    )


def limits_view(limits: Limits, file_error: str | None) -> LimitsView:
    """Show the limits in force; `file_error` says why a newer file was refused."""
    return LimitsView(
        account=limits.account,
        groups=limits.groups,
        version=limits.version,
        policy_hash=limits.policy_hash,
        limits=tuple(
            LimitView(name=name, value=format_value(setting.value), source=setting.source)
            for name, setting in sorted(limits.settings.items())
        ),
        file_error=file_error,
    )

"""A contract's trading rules: which orders it takes, when, and in what steps.

Rule 1: a word that nobody here knows allows nothing. It is handed out, to be counted.

Rule 2: what cannot be read of a list allows less, never more; without a price step there
are no rules at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.values import Increment, OrderType, TifRule, TimeInForce
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    loose_number,
    need_number,
    need_positive,
    positive,
    rows_in,
    sentence,
    whole,
)

_TYPES: Final[Mapping[str, OrderType]] = {
    "market": OrderType.MKT,
    "limit": OrderType.LMT,
    "stop": OrderType.STP,
    "stop_limit": OrderType.STOP_LIMIT,
    "trailing_stop": OrderType.TRAIL,
    "trailing_stop_limit": OrderType.TRAILLMT,
    "midprice": OrderType.MIDPRICE,
    "marketonclose": OrderType.MOC,
    "limitonclose": OrderType.LOC,
    "mit": OrderType.MIT,
    "lit": OrderType.LIT,
    "relative": OrderType.REL,
}
_OUTSIDE: Final = "o"
_ANY: Final = "a"
_ONE: Final = Decimal(1)
_CENT: Final = Decimal("0.01")
_FRACTION_DIGITS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingRules:
    """What the broker's rules of a contract say; see `Instrument` for the members.

    `unknown` are the words in them that nobody here knows.
    """

    increments: tuple[Increment, ...]
    size_increment: Decimal
    order_types: tuple[OrderType, ...]
    outside_rth_types: tuple[OrderType, ...]
    fraction_types: tuple[OrderType, ...]
    cash_types: tuple[OrderType, ...]
    cash_increment: Decimal | None
    cash_currency: str | None
    tifs: tuple[TifRule, ...]
    error: str
    unknown: tuple[str, ...]


def trading_rules(rules: Row) -> TradingRules:
    """Return what the rules say.

    They are those for buying. The broker's own page for a contract with its rules takes no
    side at all, so steps, types and TIFs are taken to be the same for selling; where they
    are not, the broker refuses the order.

    Raises `BadAnswer` when there is no price step, or one so small or so wrong that nothing
    can be divided by it.
    """
    unknown: list[str] = []
    order_types = _types(rules.get("orderTypes"), unknown)
    own_step = positive(rules, "sizeIncrement")
    fractions = _types(rules.get("fraqTypes"), unknown)
    fraction = _fraction(rules) if fractions else None
    if own_step is not None and own_step < _ONE:
        fractions = fractions or order_types
    else:
        own_step = None
    cash_types = _types(rules.get("cqtTypes"), unknown)
    if _is_magnified(rules):
        cash_types = ()  # Prices in pence, amounts in pounds: nobody here divides one by the other.
    return TradingRules(
        increments=_increments(rules),
        # `sizeIncrement` is a lot for the arrows of an order form (100 for shares), not the
        # step that the broker takes: that is 1, or less where fractions are allowed.
        size_increment=min(step for step in (own_step, fraction, _ONE) if step is not None),
        order_types=order_types,
        outside_rth_types=_types(rules.get("orderTypesOutside"), unknown),
        fraction_types=fractions if own_step is not None or fraction is not None else (),
        cash_types=cash_types,
        cash_increment=_cash_increment(rules) if cash_types else None,
        cash_currency=sentence(rules.get("cashCcy")) or None,
        tifs=_tifs(rules.get("tifTypes"), unknown),
        error=sentence(rules.get("error")),
        unknown=tuple(dict.fromkeys(unknown)),
    )


def _types(value: object, unknown: list[str]) -> tuple[OrderType, ...]:
    """Return the order types that a list names, in our order."""
    items = value if isinstance(value, list) else []
    names = [item.strip().lower() for item in items if isinstance(item, str)]
    unknown.extend(sentence(name) for name in names if name not in _TYPES)
    return tuple(ours for theirs, ours in _TYPES.items() if theirs in names)


def _tifs(value: object, unknown: list[str]) -> tuple[TifRule, ...]:
    """Return the times in force, as `IOC/MARKET,LIMIT,a` and `GTC/o,a` write them.

    What stands after the slash is not documented. Read here: the names of order types are
    the only ones that this time in force goes with; without any it goes with all (`a`).
    `o` allows it outside regular trading hours. Unknown names allow nothing.
    """
    found: dict[TimeInForce, TifRule] = {}
    for item in value if isinstance(value, list) else []:
        name, _, rest = item.partition("/") if isinstance(item, str) else ("", "", "")
        words = [word for part in rest.split(",") if (word := part.strip())]
        types = [word for word in words if word not in (_OUTSIDE, _ANY)]
        try:
            tif = TimeInForce(name.strip().upper())
        except ValueError:
            unknown.append(sentence(name))
            continue
        found[tif] = TifRule(
            tif=tif,
            order_types=_types(types, unknown) if types else None,
            outside_rth=_OUTSIDE in words,
        )
    return tuple(found.values())


def _increments(rules: Row) -> tuple[Increment, ...]:
    found = [
        Increment(
            lower_edge=need_number(rule, "lowerEdge"), increment=need_positive(rule, "increment")
        )
        for rule in rows_in(rules.get("incrementRules"))
    ]
    if not found:
        found = [Increment(lower_edge=Decimal(0), increment=need_positive(rules, "increment"))]
    return tuple(sorted(found, key=lambda rule: rule.lower_edge))


def _is_magnified(rules: Row) -> bool:
    """Tell whether prices are not in the contract's currency but in a part of it, such as pence."""
    if rules.get("priceMagnifier") in (None, ""):
        return False
    return loose_number(rules, "priceMagnifier") != 1


def _fraction(rules: Row) -> Decimal | None:
    """Return the step of a fractional quantity, None when the rules name none."""
    try:
        digits = whole(rules, "fraqInt")
    except BadAnswer:
        return None
    if digits is None or not 0 < digits <= _FRACTION_DIGITS_MAX:
        return None
    return _ONE.scaleb(-digits)


def _cash_increment(rules: Row) -> Decimal:
    """Return the step of a cash quantity.

    `cashQtyIncr` (500 for shares) is taken to be for the arrows of an order form, as
    `sizeIncrement` is: the broker takes amounts to the cent, or in finer steps that it names.
    """
    step = positive(rules, "cashQtyIncr")
    return _CENT if step is None else min(step, _CENT)

"""Which orders each kind of contract takes, in the words of the contract rules.

Rule: what `rules` publishes and what the venue refuses are read from the same
table; neither can say something the other does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from engine.sim.instruments import Instrument

RULE_WORDS: Final[Mapping[str, str]] = {
    # order type of a ticket: its word in the contract rules
    "LMT": "limit",
    "MIDPRICE": "midprice",
    "MKT": "market",
    "STP": "stop",
    "STOP_LIMIT": "stop_limit",
    "MIT": "mit",
    "LIT": "lit",
    "TRAIL": "trailing_stop",
    "TRAILLMT": "trailing_stop_limit",
    "REL": "relative",
    "MOC": "marketonclose",
    "LOC": "limitonclose",
}
TIFS: Final = frozenset({"DAY", "GTC", "IOC", "OPG", "GTD", "OVT", "OND", "PAX"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingRules:
    """What one contract takes.

    `tifs` are texts as `IOC/MARKET,LIMIT,a`: words in capitals are the only
    order types this time in force takes, without any it takes all; `o` stands
    for outside regular hours.
    """

    order_types: tuple[str, ...]
    outside: tuple[str, ...]
    tifs: tuple[str, ...]
    cash_quantity: tuple[str, ...] = ()
    fractions: tuple[str, ...] = ()

    def refusal(self, order_type: str, tif: str, *, outside_rth: bool) -> str | None:
        """Why this combination is not taken, or None."""
        word = RULE_WORDS.get(order_type)
        if word is None or word not in self.order_types:
            return f"Order type {order_type} is not supported for this contract."
        if tif == "GTD":
            return "Invalid time in force: GTD needs a date, for which this API has no field."
        written = next((text for text in self.tifs if text.partition("/")[0] == tif), None)
        if written is None:
            return f"Invalid time in force: {tif}"
        named = [part for part in written.partition("/")[2].split(",") if part.isupper()]
        if named and word.upper() not in named:
            return (
                f"Invalid time in force: {tif} is for {', '.join(named)} only, "
                f"the order type is {order_type}."
            )
        if outside_rth and word not in self.outside:
            return f"Order type {order_type} is not supported outside regular trading hours."
        return None


_PRICED: Final = (
    "limit",
    "market",
    "stop",
    "stop_limit",
    "mit",
    "lit",
    "trailing_stop",
    "trailing_stop_limit",
)
_STOCK_TYPES: Final = tuple(RULE_WORDS.values())
_OUTSIDE: Final = ("limit", "stop_limit", "lit", "trailing_stop_limit", "relative")
_COMMON_TIFS: Final = ("IOC/MARKET,LIMIT,a", "GTC/o,a", "GTD/o,a", "DAY/o,a")
_STOCK_TIFS: Final = (*_COMMON_TIFS[:2], "OPG/LIMIT,MARKET,a", *_COMMON_TIFS[2:])
_CRYPTO_WORDS: Final = ("limit", "market")

_BY_SEC_TYPE: Final[Mapping[str, TradingRules]] = {
    "STK": TradingRules(order_types=_STOCK_TYPES, outside=_OUTSIDE, tifs=_STOCK_TIFS),
    "OPT": TradingRules(order_types=_PRICED, outside=(), tifs=_COMMON_TIFS),
    "FUT": TradingRules(order_types=_PRICED, outside=_OUTSIDE[:4], tifs=_COMMON_TIFS),
    "CASH": TradingRules(order_types=_PRICED, outside=(), tifs=_COMMON_TIFS),
    "CRYPTO": TradingRules(
        order_types=_CRYPTO_WORDS,
        outside=(),
        tifs=("IOC/MARKET,LIMIT,a", "PAX/MARKET,LIMIT,a"),
        cash_quantity=_CRYPTO_WORDS,
        fractions=_CRYPTO_WORDS,
    ),
    "IND": TradingRules(order_types=(), outside=(), tifs=()),
}
_OVERNIGHT: Final = TradingRules(
    order_types=_STOCK_TYPES,
    outside=_OUTSIDE,
    tifs=(*_STOCK_TIFS, "OVT/LIMIT,a", "OND/LIMIT,a"),
)


def rules_for(instrument: Instrument) -> TradingRules:
    """The rules of a contract."""
    return _OVERNIGHT if instrument.overnight else _BY_SEC_TYPE[instrument.sec_type]

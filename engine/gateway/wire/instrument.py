"""The broker's words for contracts and their trading rules."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.values import ConId, Increment, Instrument, OrderType
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    flag,
    need_conid,
    need_identifier,
    need_number,
    need_positive,
    number,
    positive,
    rows_in,
    sentence,
    text,
)

_ORDER_TYPES: Final = {"market": OrderType.MKT, "limit": OrderType.LMT}
STOCK: Final = "STK"
SEC_TYPES: Final = frozenset({STOCK})
"""Kinds of contracts whose orders need no more than a ticket has. Futures do: the exchange
wants to know who entered them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StockListing:
    """One contract that a symbol may mean."""

    conid: ConId
    symbol: str
    exchange: str
    name: str
    is_us: bool


def instrument(conid: ConId, document: object) -> Instrument:
    """Return a contract with its rules.

    Raises `BadAnswer` when it is another contract's, the rules name no price step, or a step
    is so small or so wrong that nothing can be divided by it.
    """
    row = as_row(document, "the contract")
    found = need_conid(row, "con_id")
    if found != conid:
        message = f"con_id is {found}, asked was {conid}"
        raise BadAnswer(message)
    rules = as_row(row.get("rules"), "rules")
    types = rules.get("orderTypes")
    names = types if isinstance(types, list) else []
    order_types = tuple(ours for theirs, ours in _ORDER_TYPES.items() if theirs in names)
    return Instrument(
        conid=conid,
        symbol=need_identifier(row, "symbol"),
        sec_type=need_identifier(row, "instrument_type"),
        currency=need_identifier(row, "currency"),
        exchange=text(row, "exchange") or "",
        name=sentence(row.get("company_name")),
        multiplier=_multiplier(row),
        increments=_increments(rules),
        size_increment=_size_increment(rules),
        order_types=order_types,
        tradable=bool(order_types) and not sentence(rules.get("error")),
    )


def listings(symbol: str, document: object) -> tuple[StockListing, ...]:
    """Return the contracts of a symbol; none when the broker does not know it."""
    if document == []:
        return ()
    found: list[StockListing] = []
    for company in rows_in(as_row(document, "the stocks").get(symbol, [])):
        name = sentence(company.get("name"))
        found.extend(
            StockListing(
                conid=ConId(need_conid(contract, "conid")),
                symbol=symbol,
                exchange=text(contract, "exchange") or "",
                name=name,
                is_us=flag(contract, "isUS") is True,
            )
            for contract in rows_in(company.get("contracts", []))
        )
    return tuple(found)


def candidate(listing: StockListing) -> Instrument:
    """Return what a listing says of a contract; it cannot be traded before it is looked up."""
    return Instrument(
        conid=listing.conid,
        symbol=listing.symbol,
        sec_type=STOCK,
        currency="",
        exchange=listing.exchange,
        name=listing.name,
        multiplier=Decimal(1),
        increments=(),
        size_increment=Decimal(1),
        order_types=(),
        tradable=False,
    )


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


def _multiplier(row: Row) -> Decimal:
    """Return how many units a contract is for; shares have none, or zero."""
    return (
        Decimal(1) if number(row, "multiplier") == 0 else positive(row, "multiplier") or Decimal(1)
    )


def _size_increment(rules: Row) -> Decimal:
    """Return the smallest step of a quantity.

    `sizeIncrement` is a lot for the arrows of an order form (100 for shares), not the
    step that the broker takes: that is 1, or less where fractions are allowed.
    """
    step = positive(rules, "sizeIncrement")
    return step if step is not None and step < 1 else Decimal(1)

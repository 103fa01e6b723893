"""The broker's words for a contract: what it is, and its trading rules."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from engine.domain.values import ConId, Instrument
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    loose_number,
    need_conid,
    need_identifier,
    number,
    positive,
    sentence,
    text,
)
from engine.gateway.wire.rules import trading_rules

STOCK: Final = "STK"
OPTION: Final = "OPT"
FUTURE: Final = "FUT"
CURRENCY_PAIR: Final = "CASH"
CRYPTO: Final = "CRYPTO"
SEC_TYPES: Final = (STOCK, OPTION, FUTURE, CURRENCY_PAIR, CRYPTO)
"""Kinds of contracts that can be ordered here. The others need what a ticket has not."""

_EXPIRY: Final = re.compile(r"[0-9]{8}")
_RIGHTS: Final = {"C": "C", "CALL": "C", "P": "P", "PUT": "P"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadInstrument:
    """A contract, and the words of its rules that nobody here knows."""

    instrument: Instrument
    unknown: tuple[str, ...]


def instrument(conid: ConId, document: object) -> ReadInstrument:
    """Return a contract with its rules.

    Raises `BadAnswer` when it is another contract's, the rules name no price step, or a step
    is so small or so wrong that nothing can be divided by it.
    """
    row = as_row(document, "the contract")
    found = need_conid(row, "con_id")
    if found != conid:
        message = f"con_id is {found}, asked was {conid}"
        raise BadAnswer(message)
    sec_type = need_identifier(row, "instrument_type").upper()
    if sec_type in (OPTION, FUTURE) and not number(row, "multiplier"):
        message = "multiplier missing, so nobody knows what a contract is worth"
        raise BadAnswer(message)
    rules = trading_rules(as_row(row.get("rules"), "rules"))
    read = Instrument(
        conid=conid,
        symbol=need_identifier(row, "symbol"),
        sec_type=sec_type,
        currency=need_identifier(row, "currency"),
        exchange=text(row, "exchange") or "",
        name=sentence(row.get("company_name")),
        multiplier=multiplier(row),
        increments=rules.increments,
        size_increment=rules.size_increment,
        order_types=rules.order_types,
        tradable=bool(rules.order_types) and not rules.error,
        tifs=rules.tifs,
        outside_rth_types=rules.outside_rth_types,
        fraction_types=rules.fraction_types,
        cash_types=rules.cash_types,
        cash_increment=rules.cash_increment,
        cash_currency=rules.cash_currency if rules.cash_types else None,
        underlying_conid=_underlying(row),
        expiry=expiry(row, "maturity_date", "expiry_full"),
        strike=strike(row),
        right=right(row.get("right")),
        trading_class=sentence(row.get("trading_class")) or None,
        valid_exchanges=exchanges(row.get("valid_exchanges")),
    )
    return ReadInstrument(instrument=read, unknown=rules.unknown)


def multiplier(row: Row) -> Decimal:
    """Return how many units a contract is for; shares have none, or zero."""
    return (
        Decimal(1) if number(row, "multiplier") == 0 else positive(row, "multiplier") or Decimal(1)
    )


def expiry(row: Row, *keys: str) -> str | None:
    """Return the first of these members that is a day as `YYYYMMDD`, None when none is."""
    for key in keys:
        try:
            written = text(row, key) or ""
        except BadAnswer:
            continue
        if _EXPIRY.fullmatch(written):
            return written
    return None


def strike(row: Row) -> Decimal | None:
    """Return an option's strike; what has none says nothing, or zero."""
    found = loose_number(row, "strike")
    return found if found is not None and found > 0 else None


def right(value: object) -> str | None:
    """Return `C` or `P`; None for what is neither, such as the `?` of a share."""
    return _RIGHTS.get(value.strip().upper()) if isinstance(value, str) else None


def exchanges(value: object) -> tuple[str, ...]:
    """Return the names in a list that commas or semicolons part."""
    if not isinstance(value, str):
        return ()
    return tuple(dict.fromkeys(name for part in re.split("[,;]", value) if (name := part.strip())))


def _underlying(row: Row) -> ConId | None:
    found = loose_number(row, "underlying_con_id")
    return ConId(int(found)) if found is not None and found > 0 else None

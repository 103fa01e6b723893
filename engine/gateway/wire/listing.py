"""The broker's words for finding a contract: which ones a symbol may mean.

Rule 1: a listing says what tells one contract from another. What it does not say, such as
the currency of a share, is None, and never a guess.

Rule 2: a row of a search that is no contract (bond issuers are among them) is passed over.
A list that names a contract without an id is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from engine.domain.values import ConId, Instrument
from engine.gateway.wire.instrument import (
    CRYPTO,
    CURRENCY_PAIR,
    FUTURE,
    OPTION,
    STOCK,
    exchanges,
    expiry,
    multiplier,
    right,
    strike,
)
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    flag,
    identifier,
    need_conid,
    rows_in,
    sentence,
    text,
    whole,
)

NO_CONID: Final = ConId(0)
"""What a listing has that is a step towards a contract: a month, a strike."""
_MONTHS: Final = (
    "JAN",
    "FEB",
    "MAR",
    "APR",
    "MAY",
    "JUN",
    "JUL",
    "AUG",
    "SEP",
    "OCT",
    "NOV",
    "DEC",
)
_MONTH_LENGTH: Final = 5
_YEAR: Final = re.compile(r"[0-9]{2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One contract that a query may mean, as far as a list tells."""

    conid: ConId
    symbol: str
    sec_type: str
    exchange: str = ""
    currency: str = ""
    name: str = ""
    is_us: bool = False
    multiplier: Decimal = Decimal(1)
    underlying_conid: ConId | None = None
    expiry: str | None = None
    strike: Decimal | None = None
    right: str | None = None
    trading_class: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One kind of contract that a company or currency has; `months` are as `DEC26`."""

    sec_type: str
    months: tuple[str, ...]
    exchanges: tuple[str, ...]
    conid: ConId | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Underlying:
    """One row of a search: what is traded, and what is written on it."""

    conid: ConId
    symbol: str
    name: str
    exchange: str
    sections: tuple[Section, ...]

    def section(self, sec_type: str) -> Section | None:
        """Return the first section of that kind, None when there is none."""
        return next((one for one in self.sections if one.sec_type == sec_type), None)


def stocks(symbol: str, document: object) -> tuple[Listing, ...]:
    """Return the shares of a symbol; none when the broker does not know it."""
    found: list[Listing] = []
    for company in _rows_of(symbol, document):
        name = sentence(company.get("name"))
        found.extend(
            Listing(
                conid=ConId(need_conid(contract, "conid")),
                symbol=symbol,
                sec_type=STOCK,
                exchange=text(contract, "exchange") or "",
                name=name,
                is_us=flag(contract, "isUS") is True,
            )
            for contract in rows_in(company.get("contracts", []))
        )
    return tuple(found)


def futures(symbol: str, document: object) -> tuple[Listing, ...]:
    """Return the futures of a symbol, the nearest first."""
    found = [
        Listing(
            conid=ConId(need_conid(row, "conid")),
            symbol=symbol,
            sec_type=FUTURE,
            underlying_conid=_conid(row, "underlyingConid"),
            expiry=expiry(row, "expirationDate", "ltd"),
        )
        for row in _rows_of(symbol, document)
    ]
    return tuple(sorted(found, key=lambda listing: listing.expiry or ""))


def pairs(document: object) -> tuple[Listing, ...]:
    """Return the currency pairs of a list, each with its name as symbol: `EUR.USD`."""
    found: list[Listing] = []
    lists = as_row(document, "the pairs") if document != [] else {}
    for rows in lists.values():
        for row in rows_in(rows):
            name = identifier(row, "symbol") or ""
            _, dot, currency = name.upper().partition(".")
            if dot:
                found.append(
                    Listing(
                        conid=ConId(need_conid(row, "conid")),
                        symbol=name.upper(),
                        sec_type=CURRENCY_PAIR,
                        currency=currency,
                    )
                )
    return tuple(found)


def underlyings(symbol: str, document: object) -> tuple[Underlying, ...]:
    """Return the rows of a search with exactly that symbol."""
    return tuple(
        Underlying(
            conid=ConId(need_conid(row, "conid")),
            symbol=symbol,
            name=sentence(row.get("companyName")),
            exchange=sentence(row.get("description")),
            sections=tuple(map(_section, rows_in(row.get("sections", [])))),
        )
        for row in rows_in(document)
        if sentence(row.get("symbol")).upper() == symbol
    )


def coins(found: tuple[Underlying, ...]) -> tuple[Listing, ...]:
    """Return the crypto currencies among the rows of a search."""
    return tuple(
        Listing(
            conid=section.conid or row.conid,
            symbol=row.symbol,
            sec_type=CRYPTO,
            exchange=next(iter(section.exchanges), row.exchange),
            name=row.name,
        )
        for row in found
        for section in row.sections
        if section.sec_type == CRYPTO
    )


def months(found: tuple[Underlying, ...]) -> tuple[Listing, ...]:
    """Return the months that options are listed for, as steps, the nearest first."""
    named = {
        (written, row)
        for row in found
        if (section := row.section(OPTION)) is not None
        for month in section.months
        if (written := year_and_month(month)) is not None
    }
    return tuple(
        _step(row, expiry=written)
        for written, row in sorted(named, key=lambda item: (item[0], item[1].conid))
    )


def strikes(underlying: Underlying, month: str, document: object) -> tuple[Listing, ...]:
    """Return the strikes of a month, as steps, in order."""
    row = as_row(document, "the strikes")
    found = [
        _step(underlying, expiry=year_and_month(month), strike=price, right=side)
        for key, side in (("call", "C"), ("put", "P"))
        for price in _strikes(row.get(key))
    ]
    return tuple(sorted(found, key=lambda listing: (listing.strike or 0, listing.right or "")))


def options(symbol: str, document: object) -> tuple[Listing, ...]:
    """Return the options that a lookup with month, strike and right found."""
    return tuple(
        Listing(
            conid=ConId(need_conid(row, "conid")),
            symbol=symbol,
            sec_type=OPTION,
            exchange=text(row, "exchange") or "",
            currency=text(row, "currency") or "",
            name=sentence(row.get("desc2")),
            multiplier=multiplier(row),
            expiry=expiry(row, "maturityDate"),
            strike=strike(row),
            right=right(row.get("right")),
            trading_class=sentence(row.get("tradingClass")) or None,
        )
        for row in rows_in(document)
        if sentence(row.get("secType")).upper() in ("", OPTION)
    )


def described(listings: tuple[Listing, ...], document: object) -> tuple[Listing, ...]:
    """Return the listings with what a list of definitions says beyond them."""
    rows = rows_in(as_row(document, "the definitions").get("secdef", []))
    found = {conid: row for row in rows if (conid := _conid(row, "conid")) is not None}
    return tuple(
        _described(listing, row) if (row := found.get(listing.conid)) is not None else listing
        for listing in listings
    )


def candidate(listing: Listing) -> Instrument:
    """Return what a listing says of a contract; it cannot be traded before it is looked up."""
    return Instrument(
        conid=listing.conid,
        symbol=listing.symbol,
        sec_type=listing.sec_type,
        currency=listing.currency,
        exchange=listing.exchange,
        name=listing.name,
        multiplier=listing.multiplier,
        increments=(),
        size_increment=Decimal(1),
        order_types=(),
        tradable=False,
        underlying_conid=listing.underlying_conid,
        expiry=listing.expiry,
        strike=listing.strike,
        right=listing.right,
        trading_class=listing.trading_class,
    )


def month_of(written: str) -> str:
    """Return a day or a month, `YYYYMMDD` or `YYYYMM`, as the broker writes months: `DEC26`."""
    return f"{_MONTHS[int(written[4:6]) - 1]}{written[2:4]}"


def year_and_month(month: str) -> str | None:
    """Return the broker's `DEC26` as `202612`, None when it is no month."""
    name, year = month[:3].upper(), month[3:]
    if name not in _MONTHS or len(month) != _MONTH_LENGTH or not _YEAR.fullmatch(year):
        return None
    return f"20{year}{_MONTHS.index(name) + 1:02d}"


def _rows_of(symbol: str, document: object) -> tuple[Row, ...]:
    """Return a symbol's rows; an empty array is what some builds send for no symbol at all."""
    if document == []:
        return ()
    return tuple(rows_in(as_row(document, "the list").get(symbol, [])))


def _section(row: Row) -> Section:
    return Section(
        sec_type=sentence(row.get("secType")).upper(),
        months=exchanges(row.get("months")),
        exchanges=exchanges(row.get("exchange")),
        conid=_conid(row, "conid"),
    )


def _step(
    underlying: Underlying,
    *,
    expiry: str | None,
    strike: Decimal | None = None,
    right: str | None = None,
) -> Listing:
    return Listing(
        conid=NO_CONID,
        symbol=underlying.symbol,
        sec_type=OPTION,
        name=underlying.name,
        underlying_conid=underlying.conid,
        expiry=expiry,
        strike=strike,
        right=right,
    )


def _strikes(value: object) -> tuple[Decimal, ...]:
    rows: list[Mapping[str, object]] = [
        {"strike": item} for item in (value if isinstance(value, list) else [])
    ]
    return tuple(price for row in rows if (price := strike(row)) is not None)


def _described(listing: Listing, row: Row) -> Listing:
    return replace(
        listing,
        currency=listing.currency or text(row, "currency") or "",
        exchange=listing.exchange or text(row, "listingExchange") or "",
        name=listing.name or sentence(row.get("name")),
        multiplier=multiplier(row),
    )


def _conid(row: Row, key: str) -> ConId | None:
    """Return a contract's id that may be absent, zero or unreadable: None then."""
    try:
        found = whole(row, key)
    except BadAnswer:
        return None
    return ConId(found) if found is not None and found > 0 else None

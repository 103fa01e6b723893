"""REST: finding contracts, and when and at what rate they trade.

Rule 1: `conid` is a text in secdef/search and a number everywhere else.

Rule 2: the contracts of an underlying are told only after it was searched for,
in this session.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from engine.sim.accounts import BASE_CURRENCY
from engine.sim.answers import Answer, Call, error, whole_number
from engine.sim.instruments import Instrument
from engine.sim.market import FIXED_RATES
from engine.sim.routes import GET, GET_OR_POST, Route
from engine.sim.session import Brokerage, Tier
from engine.sim.world import World

_OPTION_EXCHANGES: Final = "SMART;AMEX;CBOE"
_SCHEDULE_DAYS: Final = 6
_MONTH_LENGTH: Final = 5


def search(world: World, call: Call) -> Answer:
    """Underlyings by symbol, or by a part of their name; nothing found is an empty list."""
    source = call.body if isinstance(call.body, dict) else call.query
    wanted = str(source.get("symbol", "")).upper()
    if not wanted:
        return error("Bad Request: symbol is missing", 400)
    by_name = str(source.get("name", "")).lower() == "true"
    sec_type = source.get("secType")
    rows: dict[int, dict[str, Any]] = {}
    for instrument in world.market.instruments.values():
        found = wanted in instrument.name.upper() if by_name else instrument.symbol == wanted
        if not found or sec_type not in (None, "", instrument.sec_type):
            continue
        conid = instrument.conid
        if instrument.sec_type in {"FUT", "OPT"}:
            # A derivative is found through what it is written on.
            conid = instrument.underlying_conid
        if conid not in rows:
            rows[conid] = _search_row(world, conid, instrument)
    _brokerage(world).searched.update(rows)
    return Answer(body=list(rows.values()))


def strikes(world: World, call: Call) -> Answer:
    """The strikes of one month; a month without any has empty lists."""
    conid = whole_number(call.query.get("conid", ""))
    found = _contracts(world, conid, call.query.get("sectype", ""), call.query.get("month", ""))
    body = {
        word: sorted({row.strike for row in found if row.right == right and row.strike})
        for word, right in (("call", "C"), ("put", "P"))
    }
    return Answer(body=body)


def definitions_of(world: World, call: Call) -> Answer:
    """The contracts on one underlying: options of a month, futures of a month or of all."""
    query = call.query
    conid, month = whole_number(query.get("conid", "")), query.get("month", "")
    sec_type, strike, right = query.get("sectype", ""), query.get("strike"), query.get("right")
    if conid is None or conid not in _brokerage(world).searched:
        return error("Bad Request: no contracts retrieved", 400)
    if sec_type == "OPT" and not month:
        return error("Bad Request: month is missing", 400)
    if month and len(month) != _MONTH_LENGTH:
        return error(f"Bad Request: month is not valid: {month}", 400)
    number = _decimal(strike)
    if strike not in (None, "", "0") and number is None:
        return error(f"Bad Request: strike is not valid: {strike}", 400)
    rows = [
        _derivative_row(row)
        for row in _contracts(world, conid, sec_type, month)
        if (not number or row.strike == number) and right in (None, "", row.right)
    ]
    if not rows:
        return error("Bad Request: no contracts retrieved", 400)
    return Answer(body=rows)


def currency_pairs(world: World, call: Call) -> Answer:
    """The pairs that a currency is one of."""
    currency = call.query.get("currency", "").upper()
    pairs = [
        {
            "symbol": row.local_symbol,
            "conid": row.conid,
            "ccyPair": row.currency if row.symbol == currency else row.symbol,
        }
        for row in world.market.instruments.values()
        if row.sec_type == "CASH" and currency in (row.symbol, row.currency)
    ]
    return Answer(body={currency: pairs} if pairs else {})


def exchange_rate(world: World, call: Call) -> Answer:
    """How many units of the target one unit of the source is worth."""
    source, target = (call.query.get(name, "").upper() for name in ("source", "target"))
    known = {BASE_CURRENCY, *FIXED_RATES} | {
        row.symbol for row in world.market.instruments.values() if row.sec_type == "CASH"
    }
    for name in (source, target):
        if name not in known:
            return error(f"Bad Request: currency is not valid: {name}", 400)
    rate = world.market.rate(source) / world.market.rate(target)
    return Answer(body={"rate": round(rate, 8)})


def trading_schedule(world: World, call: Call) -> Answer:
    """The hours of the coming days in epoch seconds; the simulated market never closes."""
    conid = whole_number(call.query.get("conid", ""))
    if conid is None or conid not in world.market.instruments:
        return error(f"Bad Request: conid is not valid: {call.query.get('conid')}", 400)
    today = datetime.fromtimestamp(call.now_ms // 1000, UTC).replace(hour=0, minute=0, second=0)
    schedules = {}
    for index in range(_SCHEDULE_DAYS):
        opening, closing = (
            int((today + timedelta(days=index + more)).timestamp()) for more in (0, 1)
        )
        hours = {"opening": opening, "closing": closing}
        schedules[f"{today + timedelta(days=index):%Y%m%d}"] = {
            "liquid_hours": [hours],
            "extended_hours": [{**hours, "cancel_daily_orders": False}],
        }
    return Answer(body={"exchange_time_zone": "UTC", "schedules": schedules})


def venue_schedule(world: World, call: Call) -> Answer:
    """The hours of an ordinary week; its days are the first seven of the year 2000."""
    symbol, sec_type = call.query.get("symbol", ""), call.query.get("assetClass", "")
    exchanges = dict.fromkeys(
        row.exchange
        for row in world.market.instruments.values()
        if row.symbol == symbol and row.sec_type == sec_type
    )
    wanted = call.query.get("exchange")
    hours = {"openingTime": "0000", "closingTime": "2400", "cancelDayOrders": "N"}
    return Answer(
        body=[
            {
                "id": f"p{index}",
                "tradeVenueId": f"v{index}",
                "exchange": exchange,
                "description": exchange,
                "timezone": "UTC",
                "schedules": [
                    {
                        "clearingCycleEndTime": "2400",
                        "tradingScheduleDate": f"200001{day:02d}",
                        "sessions": [
                            {"openingTime": "0000", "closingTime": "2400", "prop": "LIQUID"}
                        ],
                        "tradingtimes": [hours],
                    }
                    for day in range(1, 8)
                ],
            }
            for index, exchange in enumerate(exchanges, start=1)
            if wanted in (None, "", exchange)
        ]
    )


def _brokerage(world: World) -> Brokerage:
    assert world.session.brokerage is not None, "the router checked the brokerage tier"
    return world.session.brokerage


def _decimal(text: str | None) -> Decimal | None:
    """The number in a query, None when it is none or zero, which stands for any."""
    try:
        number = Decimal(text or "0")
    except ArithmeticError:
        return None
    return number if number.is_finite() and number > 0 else None


def _contracts(world: World, conid: int | None, sec_type: str, month: str) -> list[Instrument]:
    if conid is None or conid not in _brokerage(world).searched:
        return []
    return [
        row
        for row in world.market.instruments.values()
        if row.underlying_conid == conid and row.sec_type == sec_type and month in ("", row.month)
    ]


def _search_row(world: World, conid: int, found: Instrument) -> dict[str, Any]:
    """The row of an underlying; that of a future need not be listed itself."""
    own = world.market.instruments.get(conid)
    header = own or found
    sections: list[dict[str, Any]] = [{"secType": own.sec_type if own else "IND"}]
    on_it = [row for row in world.market.instruments.values() if row.underlying_conid == conid]
    for sec_type in ("OPT", "FUT"):
        of_type = [row for row in on_it if row.sec_type == sec_type]
        if of_type:
            exchange = _OPTION_EXCHANGES if sec_type == "OPT" else of_type[0].exchange
            sections.append(
                {"secType": sec_type, "months": ";".join(_months(of_type)), "exchange": exchange}
            )
    return {
        "conid": str(conid),
        "companyHeader": f"{header.name} - {header.exchange}",
        "companyName": header.name,
        "symbol": header.symbol,
        "description": header.exchange,
        "restricted": None,
        "sections": sections,
    }


def _months(instruments: Iterable[Instrument]) -> Iterable[str]:
    ordered = sorted(instruments, key=lambda row: row.expiry or "")
    return dict.fromkeys(row.month for row in ordered if row.month is not None)


def _derivative_row(row: Instrument) -> dict[str, Any]:
    return {
        "conid": row.conid,
        "symbol": row.symbol,
        "secType": row.sec_type,
        "exchange": row.exchange,
        "listingExchange": None,
        "right": row.right or "?",
        "strike": row.strike if row.strike is not None else 0.0,
        "currency": row.currency,
        "cusip": None,
        "coupon": "No Coupon",
        "desc1": row.symbol,
        "desc2": row.terms,
        "maturityDate": row.expiry,
        "multiplier": f"{row.multiplier:f}",
        "tradingClass": row.symbol,
        "validExchanges": _OPTION_EXCHANGES.replace(";", ",")
        if row.sec_type == "OPT"
        else row.exchange,
        "showPrips": True,
    }


ROUTES: Final = (
    Route(
        methods=GET_OR_POST, pattern="/iserver/secdef/search", handler=search, tier=Tier.BROKERAGE
    ),
    Route(methods=GET, pattern="/iserver/secdef/strikes", handler=strikes, tier=Tier.BROKERAGE),
    Route(methods=GET, pattern="/iserver/secdef/info", handler=definitions_of, tier=Tier.BROKERAGE),
    Route(
        methods=GET, pattern="/iserver/currency/pairs", handler=currency_pairs, tier=Tier.BROKERAGE
    ),
    Route(methods=GET, pattern="/iserver/exchangerate", handler=exchange_rate, tier=Tier.BROKERAGE),
    Route(methods=GET, pattern="/contract/trading-schedule", handler=trading_schedule),
    Route(methods=GET, pattern="/trsrv/secdef/schedule", handler=venue_schedule),
)

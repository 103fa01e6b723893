"""REST: contracts and their trading rules.

Rule: `conid` is a text in secdef/search and a number everywhere else; contract
info is snake_case. Both are the broker's.
"""

from typing import Any, Final

from engine.sim.answers import Answer, Call, error, whole_number
from engine.sim.instruments import Instrument
from engine.sim.routes import GET, GET_OR_POST, POST, Route
from engine.sim.session import Tier
from engine.sim.world import World

_CONIDS_MAX: Final = 200


def search(world: World, call: Call) -> Answer:
    """Contracts by symbol; nothing found is an empty list."""
    source = call.body if isinstance(call.body, dict) else call.query
    symbol = str(source.get("symbol", "")).upper()
    if not symbol:
        return error("Bad Request: symbol is missing", 400)
    wanted = source.get("secType")
    found = [
        instrument
        for instrument in world.market.instruments.values()
        if instrument.symbol == symbol and wanted in (None, instrument.sec_type)
    ]
    return Answer(body=[_search_row(instrument) for instrument in found])


def stocks(world: World, call: Call) -> Answer:
    """Stocks by symbols; an unknown symbol has an empty list."""
    body: dict[str, list[dict[str, Any]]] = {}
    for symbol in _list(call, "symbols"):
        body[symbol] = [
            {
                "name": instrument.name,
                "chineseName": None,
                "assetClass": "STK",
                "contracts": [
                    {"conid": instrument.conid, "exchange": instrument.exchange, "isUS": True}
                ],
            }
            for instrument in world.market.instruments.values()
            if instrument.symbol == symbol and instrument.sec_type == "STK"
        ]
    return Answer(body=body)


def futures(world: World, call: Call) -> Answer:
    """Futures by symbols; an unknown symbol has an empty list."""
    body: dict[str, list[dict[str, Any]]] = {}
    for symbol in _list(call, "symbols"):
        body[symbol] = [
            {
                "symbol": symbol,
                "conid": instrument.conid,
                "underlyingConid": instrument.underlying_conid,
                "expirationDate": int(instrument.expiry),
                "ltd": int(instrument.expiry) - 1,
                "shortFuturesCutOff": int(instrument.expiry) - 1,
                "longFuturesCutOff": int(instrument.expiry) - 1,
            }
            for instrument in world.market.instruments.values()
            if instrument.symbol == symbol and instrument.expiry is not None
        ]
    return Answer(body=body)


def definitions(world: World, call: Call) -> Answer:
    """Definitions of up to 200 conids; unknown ones are left out."""
    conids = _list(call, "conids")
    if len(conids) > _CONIDS_MAX:
        return error(f"Bad Request: {len(conids)} conids, at most {_CONIDS_MAX}", 400)
    found = [_instrument(world, conid) for conid in conids]
    return Answer(body={"secdef": [_definition(row) for row in found if row is not None]})


def contract_info(world: World, call: Call) -> Answer:
    """One contract."""
    instrument = _instrument(world, call.parts["conid"])
    if instrument is None:
        return error(f"Bad Request: conid is not valid: {call.parts['conid']}", 400)
    return Answer(body=_info(instrument))


def info_and_rules(world: World, call: Call) -> Answer:
    """One contract with its trading rules."""
    instrument = _instrument(world, call.parts["conid"])
    if instrument is None:
        return error(f"Bad Request: conid is not valid: {call.parts['conid']}", 400)
    return Answer(body={**_info(instrument), "rules": _rules(world, instrument)})


def rules(world: World, call: Call) -> Answer:
    """Tick sizes, order types and sizes of one contract."""
    conid = call.body.get("conid") if isinstance(call.body, dict) else None
    instrument = _instrument(world, str(conid))
    if instrument is None:
        return error(f"Bad Request: conid is not valid: {conid}", 400)
    return Answer(body=_rules(world, instrument))


def _list(call: Call, name: str) -> list[str]:
    return [part.strip() for part in call.query.get(name, "").split(",") if part.strip()]


def _instrument(world: World, text: str) -> Instrument | None:
    conid = whole_number(text)
    return None if conid is None else world.market.instruments.get(conid)


def _search_row(instrument: Instrument) -> dict[str, Any]:
    section: dict[str, Any] = {"secType": instrument.sec_type}
    if instrument.expiry is not None:
        section |= {"months": "DEC26", "exchange": instrument.exchange}
    return {
        "conid": str(instrument.conid),
        "companyHeader": f"{instrument.name} - {instrument.exchange}",
        "companyName": instrument.name,
        "symbol": instrument.symbol,
        "description": instrument.exchange,
        "restricted": None,
        "sections": [section],
    }


def increment_rules(instrument: Instrument) -> list[dict[str, Any]]:
    """The tick sizes by price band."""
    return [{"lowerEdge": 0.0, "increment": instrument.tick}]


def _definition(instrument: Instrument) -> dict[str, Any]:
    return {
        "conid": instrument.conid,
        "currency": instrument.currency,
        "ticker": instrument.symbol,
        "name": instrument.name,
        "assetClass": instrument.sec_type,
        "multiplier": float(instrument.multiplier) if instrument.expiry else 0.0,
        "strike": "0",
        "expiry": instrument.expiry,
        "undConid": instrument.underlying_conid,
        "incrementRules": increment_rules(instrument),
        "listingExchange": instrument.exchange,
        "allExchanges": f"SMART,{instrument.exchange}",
        "type": "COMMON" if instrument.expiry is None else None,
        "hasOptions": False,
        "fullName": instrument.symbol,
        "isUS": True,
    }


def _info(instrument: Instrument) -> dict[str, Any]:
    is_future = instrument.expiry is not None
    return {
        "con_id": instrument.conid,
        "symbol": instrument.symbol,
        "instrument_type": instrument.sec_type,
        "exchange": instrument.exchange if is_future else "SMART",
        "valid_exchanges": f"SMART,{instrument.exchange}",
        "currency": instrument.currency,
        "trading_class": instrument.symbol if is_future else "NMS",
        "local_symbol": instrument.symbol,
        "multiplier": str(instrument.multiplier) if is_future else None,
        "maturity_date": instrument.expiry,
        "expiry_full": instrument.expiry,
        "underlying_con_id": instrument.underlying_conid,
        "r_t_h": True,
        "smart_available": not is_future,
        "company_name": instrument.name,
        "cfi_code": "",
        "cusip": None,
        "industry": None,
        "category": None,
        "has_related_contracts": False,
        "allow_sell_long": False,
        "is_zero_commission_security": False,
    }


def _rules(world: World, instrument: Instrument) -> dict[str, Any]:
    quote = world.market.quote(instrument.conid)
    price = quote.last if quote.last is not None else quote.prior_close
    types = ["limit", "market", "stop", "stop_limit"]
    return {
        "algoEligible": False,
        "allOrNoneEligible": False,
        "costReport": False,
        "canTradeAcctIds": list(world.config.accounts),
        "error": None,
        "orderTypes": types,
        "ibAlgoTypes": [],
        "fraqTypes": [],
        "forceOrderPreview": False,
        "cqtTypes": [],
        "orderDefaults": {"LMT": {"LP": instrument.price_text(price)}},
        "orderTypesOutside": ["limit", "stop_limit"],
        "defaultSize": 1,
        "cashSize": 0.0,
        "sizeIncrement": 1,
        "tifTypes": ["IOC/MARKET,LIMIT,a", "GTC/o,a", "DAY/o,a"],
        "tifDefaults": {"TIF": "DAY", "SIZE": "1.00", "DEFAULT_ACCT": world.config.accounts[0]},
        "limitPrice": price,
        "stopprice": price,
        "preview": True,
        "displaySize": None,
        "fraqInt": 0,
        "cashCcy": instrument.currency,
        "cashQtyIncr": 500,
        "priceMagnifier": None,
        "negativeCapable": False,
        "incrementType": 1,
        "incrementRules": increment_rules(instrument),
        "hasSecondary": False,
        "increment": instrument.tick,
        "incrementDigits": instrument.price_digits,
    }


ROUTES: Final = (
    Route(
        methods=GET_OR_POST, pattern="/iserver/secdef/search", handler=search, tier=Tier.BROKERAGE
    ),
    Route(methods=GET, pattern="/trsrv/stocks", handler=stocks),
    Route(methods=GET, pattern="/trsrv/futures", handler=futures),
    Route(methods=GET, pattern="/trsrv/secdef", handler=definitions),
    Route(
        methods=GET,
        pattern="/iserver/contract/{conid}/info",
        handler=contract_info,
        tier=Tier.BROKERAGE,
    ),
    Route(
        methods=GET,
        pattern="/iserver/contract/{conid}/info-and-rules",
        handler=info_and_rules,
        tier=Tier.BROKERAGE,
    ),
    Route(methods=POST, pattern="/iserver/contract/rules", handler=rules, tier=Tier.BROKERAGE),
)

"""REST: contracts and their trading rules.

Rule: contract info is snake_case and definitions are camelCase, as the broker's are.
"""

from decimal import Decimal
from typing import Any, Final

from engine.sim.algos import algos_for
from engine.sim.answers import Answer, Call, error, unavailable, whole_number
from engine.sim.instruments import Instrument
from engine.sim.routes import GET, POST, Route
from engine.sim.session import Tier
from engine.sim.trading_rules import rules_for
from engine.sim.world import World

_CONIDS_MAX: Final = 200
_CASH_INCREMENT: Final = Decimal("0.01")
_ALGO_WORDS: Final = ("limit", "market")
_SMART: Final = frozenset({"STK", "OPT"})


def stocks(world: World, call: Call) -> Answer:
    """Stocks by symbols, one row for each company; an unknown symbol has an empty list."""
    body: dict[str, list[dict[str, Any]]] = {}
    for symbol in _list(call, "symbols"):
        companies: dict[str, list[dict[str, Any]]] = {}
        for row in world.market.instruments.values():
            if row.symbol == symbol and row.sec_type == "STK":
                listing = {"conid": row.conid, "exchange": row.exchange, "isUS": row.is_us}
                companies.setdefault(row.name, []).append(listing)
        body[symbol] = [
            {"name": name, "chineseName": None, "assetClass": "STK", "contracts": contracts}
            for name, contracts in companies.items()
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
            if instrument.symbol == symbol
            and instrument.sec_type == "FUT"
            and instrument.expiry is not None
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


def algos(world: World, call: Call) -> Answer:
    """The algorithms of one contract; an unknown contract is a 503."""
    instrument = _instrument(world, call.parts["conid"])
    if instrument is None:
        return unavailable()
    wanted = [name for name in call.query.get("algos", "").split(";") if name]
    return Answer(
        body={
            "algos": [
                algo.row(
                    described=call.query.get("addDescription") == "1",
                    with_parameters=call.query.get("addParams") == "1",
                )
                for algo in algos_for(instrument)
                if not wanted or algo.name in wanted
            ]
        }
    )


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


def increment_rules(instrument: Instrument) -> list[dict[str, Any]]:
    """The tick sizes by price band."""
    return [{"lowerEdge": edge, "increment": step} for edge, step in instrument.bands]


def _definition(instrument: Instrument) -> dict[str, Any]:
    is_derivative = instrument.expiry is not None
    return {
        "conid": instrument.conid,
        "currency": instrument.currency,
        "ticker": instrument.symbol,
        "name": instrument.name,
        "assetClass": instrument.sec_type,
        "multiplier": float(instrument.multiplier) if is_derivative else 0.0,
        "strike": "0" if instrument.strike is None else f"{instrument.strike:f}",
        "putOrCall": instrument.right,
        "expiry": instrument.expiry,
        "undConid": instrument.underlying_conid,
        "incrementRules": increment_rules(instrument),
        "listingExchange": instrument.exchange,
        "allExchanges": _exchanges(instrument),
        "type": "COMMON" if instrument.sec_type == "STK" else None,
        "hasOptions": instrument.symbol == "AAPL",
        "fullName": full_name(instrument),
        "isUS": instrument.is_us,
    }


def full_name(instrument: Instrument) -> str:
    """A contract in one line, with its terms when it is a derivative."""
    terms = instrument.terms
    return instrument.symbol if terms is None else f"{instrument.symbol} {terms}"


def _exchanges(instrument: Instrument) -> str:
    smart = instrument.sec_type in _SMART and instrument.exchange != "SMART"
    return f"SMART,{instrument.exchange}" if smart else instrument.exchange


def _info(instrument: Instrument) -> dict[str, Any]:
    is_derivative = instrument.expiry is not None
    is_smart = instrument.sec_type in _SMART
    return {
        "con_id": instrument.conid,
        "symbol": instrument.symbol,
        "instrument_type": instrument.sec_type,
        "exchange": "SMART" if is_smart else instrument.exchange,
        "listing_exchange": instrument.exchange,
        "valid_exchanges": _exchanges(instrument),
        "currency": instrument.currency,
        "trading_class": "NMS" if instrument.sec_type == "STK" else instrument.symbol,
        "local_symbol": instrument.local_symbol,
        "multiplier": str(instrument.multiplier) if is_derivative else None,
        "maturity_date": instrument.expiry,
        "expiry_full": instrument.expiry,
        "contract_month": instrument.expiry[:6] if instrument.expiry else None,
        "strike": None if instrument.strike is None else f"{instrument.strike:f}",
        "right": {"C": "CALL", "P": "PUT"}.get(instrument.right or ""),
        "underlying_con_id": instrument.underlying_conid,
        "r_t_h": True,
        "smart_available": is_smart,
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
    taken = rules_for(instrument)
    tradable = bool(taken.order_types)
    default_tif = "PAX" if instrument.sec_type == "CRYPTO" else "DAY"
    return {
        "algoEligible": bool(algos_for(instrument)),
        "allOrNoneEligible": False,
        "costReport": False,
        "canTradeAcctIds": list(world.config.accounts) if tradable else [],
        "error": None,
        "orderTypes": list(taken.order_types),
        "ibAlgoTypes": sorted({word for _ in algos_for(instrument) for word in _ALGO_WORDS}),
        "fraqTypes": list(taken.fractions),
        "forceOrderPreview": False,
        "cqtTypes": list(taken.cash_quantity),
        "orderDefaults": {"LMT": {"LP": instrument.price_text(price)}},
        "orderTypesOutside": list(taken.outside),
        "defaultSize": 1,
        "cashSize": 0.0,
        "sizeIncrement": _whole_or_exact(instrument.size_increment),
        "tifTypes": list(taken.tifs),
        "tifDefaults": {
            "TIF": default_tif,
            "SIZE": "1.00",
            "DEFAULT_ACCT": world.config.accounts[0],
        },
        "limitPrice": price,
        "stopprice": price,
        "orderOrigination": None,
        "preview": True,
        "displaySize": None,
        "fraqInt": max(0, -int(instrument.size_increment.as_tuple().exponent)),
        "cashCcy": instrument.currency,
        "cashQtyIncr": _CASH_INCREMENT if taken.cash_quantity else None,
        "priceMagnifier": None,
        "negativeCapable": False,
        "incrementType": 1,
        "incrementRules": increment_rules(instrument),
        "hasSecondary": False,
        "increment": instrument.increment(price),
        "incrementDigits": instrument.price_digits,
    }


def _whole_or_exact(number: Decimal) -> int | Decimal:
    return int(number) if number == number.to_integral_value() else number


ROUTES: Final = (
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
    Route(
        methods=GET,
        pattern="/iserver/contract/{conid}/algos",
        handler=algos,
        tier=Tier.BROKERAGE,
    ),
    Route(methods=POST, pattern="/iserver/contract/rules", handler=rules, tier=Tier.BROKERAGE),
)

"""REST: accounts, positions and money as the portfolio service shows them.

Rule 1: until `/portfolio/accounts` was read the other calls answer empty,
without an error.

Rule 2: `/portfolio/{account}/positions` is served from a cache and its first
read is sparse; `/portfolio2` is current.
"""

from decimal import Decimal
from typing import Any, Final

from engine.sim.accounts import BASE_CURRENCY, Position, Valuation
from engine.sim.answers import Answer, Call, text, whole_number
from engine.sim.rest_contracts import full_name, increment_rules
from engine.sim.routes import GET, POST, Route
from engine.sim.session import CachedPositions, Login, Tier
from engine.sim.world import World

PAGE_ROWS: Final = 100
CACHE_MS: Final = 60_000
_PACE_MS: Final = 5000


def portfolio_accounts(world: World, _: Call) -> Answer:
    """All accounts; reading them primes the portfolio calls of this login."""
    _login(world).portfolio_primed = True
    return Answer(body=[_account_row(world, account) for account in world.config.accounts])


def positions(world: World, call: Call) -> Answer:
    """One page of 100 positions, from the cache."""
    account, login = call.parts["account"], _login(world)
    if account not in world.venue.accounts:
        return text("Access Denied", 401)
    if not login.portfolio_primed:
        return Answer(body=[])
    first_read = account not in login.positions_read
    login.positions_read.add(account)
    cached = login.positions_cache.get(account)
    if cached is None or call.now_ms - cached.at_ms > CACHE_MS:
        cached = CachedPositions(at_ms=call.now_ms, rows=_position_rows(world, account, call))
        login.positions_cache[account] = cached
    start = max(0, whole_number(call.parts.get("page", "0")) or 0) * PAGE_ROWS
    rows = cached.rows[start : start + PAGE_ROWS]
    shown = [_sparse(row) if first_read else row for row in rows]
    return Answer(body=world.sight.drifted(shown))


def invalidate(world: World, call: Call) -> Answer:
    """Drop the cached positions of an account."""
    account = call.parts["account"]
    if account not in world.venue.accounts:
        return text("Access Denied", 401)
    _login(world).positions_cache.pop(account, None)
    return Answer(body={"message": "success"})


def positions_now(world: World, call: Call) -> Answer:
    """All positions as they are; `conid` is a text here."""
    account = call.parts["account"]
    if account not in world.venue.accounts:
        return text("Access Denied", 401)
    rows = []
    for conid, position in _held(world, account):
        instrument, price = world.venue.instrument(conid), world.venue.mark(conid)
        rows.append(
            {
                "position": float(position.quantity),
                "conid": str(conid),
                "avgCost": position.average_price * instrument.multiplier,
                "avgPrice": position.average_price,
                "currency": instrument.currency,
                "description": full_name(instrument),
                "isLastToLoq": False,
                "marketPrice": price,
                "marketValue": position.quantity * price * instrument.multiplier,
                "realizedPnl": position.realized,
                "secType": instrument.sec_type,
                "timestamp": call.now_ms // 1000,
                "unrealizedPnl": _unrealized(position, price, instrument.multiplier),
                "assetClass": instrument.sec_type,
                "sector": None,
                "group": None,
                "model": "",
            }
        )
    return Answer(body=world.sight.drifted(rows))


def position_in_account(world: World, call: Call) -> Answer:
    """The position in one contract, as a list; empty when there is none."""
    account = call.parts["account"]
    if account not in world.venue.accounts:
        return text("Access Denied", 401)
    rows = _position_rows(world, account, call)
    return Answer(body=[row for row in rows if str(row["conid"]) == call.parts["conid"]])


def position_everywhere(world: World, call: Call) -> Answer:
    """The position in one contract across accounts; accounts without one are left out."""
    found = {
        account: [
            row
            for row in _position_rows(world, account, call)
            if str(row["conid"]) == call.parts["conid"]
        ]
        for account in world.config.accounts
    }
    return Answer(body={account: rows for account, rows in found.items() if rows})


def summary(world: World, call: Call) -> Answer:
    """An account's values by lower-case key."""
    account = call.parts["account"]
    if account not in world.venue.accounts:
        return text("Access Denied", 401)
    if not _login(world).portfolio_primed:
        return Answer(body={})
    now_ms = call.now_ms
    body: dict[str, Any] = {
        "accountcode": {
            "amount": 0.0,
            "currency": None,
            "isNull": False,
            "timestamp": now_ms,
            "value": account,
            "severity": 0,
        }
    }
    for key, value in _summary_values(world.venue.valuation(account)).items():
        body[key] = {
            "amount": value,
            "currency": "USD",
            "isNull": False,
            "timestamp": now_ms,
            "value": None,
            "severity": 0,
        }
    return Answer(body=body)


def ledger(world: World, call: Call) -> Answer:
    """An account's money by currency, and all of it under `BASE`."""
    account = call.parts["account"]
    if account not in world.venue.accounts:
        return text("Access Denied", 401)
    if not _login(world).portfolio_primed:
        return Answer(body={})
    values, own = world.venue.valuation(account), world.venue.accounts[account]
    # The securities are told under the base currency; others have their cash only.
    balances = {BASE_CURRENCY: own.cash, **own.foreign, "BASE": values.cash}
    body = {}
    for currency, cash in balances.items():
        rate = world.market.rate(currency) if currency in own.foreign else Decimal(1)
        in_base = currency not in own.foreign
        body[currency] = {
            "cashbalance": cash,
            "settledcash": cash,
            "netliquidationvalue": values.net_liquidation if in_base else cash,
            "stockmarketvalue": values.market_value if in_base else Decimal(0),
            "unrealizedpnl": values.unrealized if in_base else Decimal(0),
            "realizedpnl": values.realized if in_base else Decimal(0),
            "exchangerate": rate,
            "timestamp": call.now_ms // 1000,
            "currency": currency,
            "acctcode": account,
            "key": "LedgerList",
            "secondkey": currency,
            "sessionid": 1,
            "severity": 0,
        }
    return Answer(body=body)


def metadata(world: World, call: Call) -> Answer:
    """One account as `/portfolio/accounts` lists it."""
    account = call.parts["account"]
    if account not in world.venue.accounts:
        return text("Access Denied", 401)
    return Answer(body=_account_row(world, account))


def allocation(world: World, call: Call) -> Answer:
    """What an account is worth by kind of asset, long and short apart."""
    account = call.parts["account"]
    if account not in world.venue.accounts:
        return text("Access Denied", 401)
    long: dict[str, Decimal] = {"CASH": world.venue.accounts[account].cash}
    short: dict[str, Decimal] = {}
    for conid, position in _held(world, account):
        instrument = world.venue.instrument(conid)
        rate = world.market.rate(instrument.currency)
        worth = position.quantity * world.venue.mark(conid) * instrument.multiplier * rate
        side = long if worth >= 0 else short
        side[instrument.sec_type] = side.get(instrument.sec_type, Decimal(0)) + worth
    nothing: dict[str, dict[str, Decimal]] = {"long": {}, "short": {}}
    return Answer(
        body={"assetClass": {"long": long, "short": short}, "sector": nothing, "group": nothing}
    )


def profit_and_loss(world: World, _: Call) -> Answer:
    """Profit and loss by account; the first read of a session is empty."""
    brokerage = world.session.brokerage
    assert brokerage is not None, "the router checked the brokerage tier"
    warm, brokerage.pnl_warm = brokerage.pnl_warm, True
    return Answer(body={"upnl": profit_and_loss_rows(world) if warm else {}})


def brokerage_summary(world: World, call: Call) -> Answer:
    """An account's money as flat numbers."""
    account = call.parts["account"]
    if account not in world.venue.accounts:
        body = {"error": f"Bad Request: accountId is not valid: {account}", "statusCode": 400}
        return Answer(body=body, status=400)
    values = world.venue.valuation(account)
    return Answer(
        body={
            "accountType": "",
            "status": "",
            "balance": values.net_liquidation,
            "buyingPower": values.buying_power,
            "availableFunds": values.available_funds,
            "excessLiquidity": values.available_funds,
            "netLiquidationValue": values.net_liquidation,
            "equityWithLoanValue": values.net_liquidation,
            "securitiesGVP": values.gross_position,
            "totalCashValue": values.cash,
            "accruedInterest": 0.0,
            "initialMargin": values.initial_margin,
            "maintenanceMargin": values.initial_margin,
            "cashBalances": [
                {"currency": currency, "balance": cash, "settledCash": cash}
                for currency, cash in (
                    (BASE_CURRENCY, world.venue.accounts[account].cash),
                    *world.venue.accounts[account].foreign.items(),
                )
            ],
        }
    )


def profit_and_loss_rows(world: World) -> dict[str, dict[str, Any]]:
    """The rows of `pnl/partitioned` and of the `spl` topic."""
    rows: dict[str, dict[str, Any]] = {}
    for account in world.config.accounts:
        values = world.venue.valuation(account)
        rows[f"{account}.Core"] = {
            "rowType": 1,
            "dpl": values.daily,
            "nl": values.net_liquidation,
            "upl": values.unrealized,
            "uel": values.available_funds,
            "el": values.available_funds,
            "mv": values.market_value,
        }
    return rows


def _login(world: World) -> Login:
    assert world.session.login is not None, "the router checked the login tier"
    return world.session.login


def _held(world: World, account: str) -> list[tuple[int, Position]]:
    return [
        (conid, position)
        for conid, position in world.sight.positions(account).items()
        if position.quantity or position.realized
    ]


def _unrealized(position: Position, price: Decimal, multiplier: Decimal) -> Decimal:
    return (price - position.average_price) * position.quantity * multiplier


def _position_rows(world: World, account: str, call: Call) -> tuple[dict[str, Any], ...]:
    rows = []
    for conid, position in _held(world, account):
        instrument, price = world.venue.instrument(conid), world.venue.mark(conid)
        rows.append(
            {
                "acctId": account,
                "conid": conid,
                "contractDesc": full_name(instrument),
                "position": float(position.quantity),
                "mktPrice": price,
                "mktValue": position.quantity * price * instrument.multiplier,
                "currency": instrument.currency,
                "avgCost": position.average_price * instrument.multiplier,
                "avgPrice": position.average_price,
                "realizedPnl": position.realized,
                "unrealizedPnl": _unrealized(position, price, instrument.multiplier),
                "exchs": None,
                "expiry": instrument.expiry,
                "putOrCall": instrument.right,
                "multiplier": instrument.multiplier if instrument.expiry else 0.0,
                "strike": "0" if instrument.strike is None else f"{instrument.strike:f}",
                "exerciseStyle": None,
                "conExchMap": [],
                "assetClass": instrument.sec_type,
                "undConid": instrument.underlying_conid,
                "model": "",
                "name": instrument.name,
                "ticker": instrument.symbol,
                "time": call.now_ms,
                "allExchanges": f"SMART,{instrument.exchange}",
                "listingExchange": instrument.exchange,
                "type": "COMMON" if instrument.sec_type == "STK" else None,
                "hasOptions": False,
                "fullName": full_name(instrument),
                "isUS": instrument.is_us,
                "incrementRules": increment_rules(instrument),
                "isEventContract": False,
                "pageSize": PAGE_ROWS,
            }
        )
    return tuple(rows)


_LATE_KEYS: Final = frozenset(
    [
        "name",
        "ticker",
        "time",
        "allExchanges",
        "listingExchange",
        "type",
        "hasOptions",
        "fullName",
        "isUS",
        "incrementRules",
        "isEventContract",
        "pageSize",
    ]
)


def _sparse(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a first read: the definition is missing and the strike is a number."""
    kept = {key: value for key, value in row.items() if key not in _LATE_KEYS}
    return {**kept, "strike": float(row["strike"])}


def _summary_values(values: Valuation) -> dict[str, Decimal]:
    return {
        "netliquidation": values.net_liquidation,
        "equitywithloanvalue": values.net_liquidation,
        "totalcashvalue": values.cash,
        "settledcash": values.cash,
        "buyingpower": values.buying_power,
        "availablefunds": values.available_funds,
        "excessliquidity": values.available_funds,
        "initmarginreq": values.initial_margin,
        "maintmarginreq": values.initial_margin,
        "grosspositionvalue": values.gross_position,
    }


def summary_values(world: World, account: str) -> dict[str, Decimal]:
    """The values of one account by lower-case key, for the summary topic too."""
    return _summary_values(world.venue.valuation(account))


def _account_row(world: World, account: str) -> dict[str, Any]:
    return {
        "id": account,
        "PrepaidCrypto-Z": False,
        "PrepaidCrypto-P": False,
        "brokerageAccess": True,
        "accountId": account,
        "accountVan": account,
        "accountTitle": "Simulated account",
        "displayName": account,
        "accountAlias": None,
        "accountStatus": 1_769_922_000_000,
        "currency": "USD",
        "type": "DEMO" if world.is_paper else "INDIVIDUAL",
        "tradingType": "STKNOPT",
        "businessType": "INDEPENDENT",
        "category": "",
        "ibEntity": "IBLLC-US",
        "faclient": False,
        "clearingStatus": "O",
        "covestor": False,
        "noClientTrading": False,
        "trackVirtualFXPortfolio": False,
        "acctCustType": "INDIVIDUAL",
        "parent": {
            "mmc": [],
            "accountId": "",
            "isMParent": False,
            "isMChild": False,
            "isMultiplex": False,
        },
        "desc": account,
    }


ROUTES: Final = (
    Route(methods=GET, pattern="/portfolio/accounts", handler=portfolio_accounts, per_ms=_PACE_MS),
    Route(
        methods=GET, pattern="/portfolio/subaccounts", handler=portfolio_accounts, per_ms=_PACE_MS
    ),
    Route(methods=GET, pattern="/portfolio/positions/{conid}", handler=position_everywhere),
    Route(methods=GET, pattern="/portfolio/{account}/positions", handler=positions),
    Route(methods=POST, pattern="/portfolio/{account}/positions/invalidate", handler=invalidate),
    Route(methods=GET, pattern="/portfolio/{account}/positions/{page}", handler=positions),
    Route(
        methods=GET, pattern="/portfolio/{account}/position/{conid}", handler=position_in_account
    ),
    Route(methods=GET, pattern="/portfolio2/{account}/positions", handler=positions_now),
    Route(methods=GET, pattern="/portfolio/{account}/summary", handler=summary),
    Route(methods=GET, pattern="/portfolio/{account}/ledger", handler=ledger),
    Route(methods=GET, pattern="/portfolio/{account}/meta", handler=metadata),
    Route(methods=GET, pattern="/portfolio/{account}/allocation", handler=allocation),
    Route(
        methods=GET,
        pattern="/iserver/account/pnl/partitioned",
        handler=profit_and_loss,
        tier=Tier.PRIMED,
        per_ms=_PACE_MS,
    ),
    Route(
        methods=GET,
        pattern="/iserver/account/{account}/summary",
        handler=brokerage_summary,
        tier=Tier.BROKERAGE,
    ),
)

"""The rows of the account summary and ledger topics.

Rule: times are epoch seconds here, unlike everywhere else on the socket.
"""

from collections.abc import Mapping
from typing import Any, Final

from engine.sim.rest_portfolio import summary_values
from engine.sim.world import World

_SUMMARY_NAMES: Final[Mapping[str, str]] = {
    "NetLiquidation": "netliquidation",
    "TotalCashValue": "totalcashvalue",
    "SettledCash": "settledcash",
    "BuyingPower": "buyingpower",
    "AvailableFunds": "availablefunds",
    "ExcessLiquidity": "excessliquidity",
    "InitMarginReq": "initmarginreq",
    "MaintMarginReq": "maintmarginreq",
    "GrossPositionValue": "grosspositionvalue",
}


def summary_rows(
    world: World, account: str, keys: tuple[str, ...], now_s: int
) -> list[dict[str, Any]]:
    """The values of an account; `keys` may carry the broker's segment suffix, as in `X-S`."""
    values = summary_values(world, account)
    wanted = keys or tuple(_SUMMARY_NAMES)
    rows: list[dict[str, Any]] = [
        {"key": "AccountCode", "value": account, "severity": 0, "timestamp": now_s}
    ]
    for key in wanted:
        name = _SUMMARY_NAMES.get(key.partition("-")[0])
        if name is not None:
            rows.append(
                {
                    "key": key,
                    "currency": "USD",
                    "monetaryValue": values[name],
                    "severity": 0,
                    "timestamp": now_s,
                }
            )
    return rows


def ledger_rows(
    world: World, account: str, keys: tuple[str, ...], now_s: int
) -> list[dict[str, Any]]:
    """The money of an account by currency."""
    values = world.venue.valuation(account)
    return [
        {
            "acctCode": account,
            "key": key,
            "secondKey": key.removeprefix("LedgerList"),
            "cashbalance": values.cash,
            "netLiquidationValue": values.net_liquidation,
            "stockMarketValue": values.market_value,
            "unrealizedPnl": values.unrealized,
            "realizedPnl": values.realized,
            "exchangeRate": 1.0,
            "timestamp": now_s,
        }
        for key in ("LedgerListBASE", "LedgerListUSD")
        if not keys or key in keys
    ]

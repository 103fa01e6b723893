"""`engine accounts`: may each account trade, why not, and its money."""

from typing import Annotated, Any

import typer

from engine.cli.api import Api, JsonObject, in_path
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import (
    Column,
    column,
    duration,
    print_fields,
    print_json,
    print_table,
    say,
    shown,
)


def _figure(value: Any) -> str:
    age_ms = value.get("age_ms")
    text = shown(value.get("value"))
    return text if age_ms is None else f"{text} ({duration(age_ms / 1000)})"


def _aged(name: str) -> Column:
    return Column(
        title=name.replace("_", " "), cell=lambda row: _figure(row.get(name) or {}), right=True
    )


COLUMNS = (
    column("account"),
    column("session"),
    column("ready"),
    column("trading", "trading_state"),
    column("reason", wraps=True),
    column("currency"),
    _aged("net_liquidation"),
    _aged("available_funds"),
    _aged("buying_power"),
    _aged("total_cash"),
    _aged("daily_pnl"),
    _aged("unrealized_pnl"),
)
CASH_COLUMNS = (
    column("currency"),
    column("cash", right=True),
    column("settled cash", right=True),
    column("net liquidation", right=True),
    column("exchange rate", right=True),
)


@calls_api
def accounts(
    api: Api,
    *,
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the accounts: may they trade, why not, and their money with its age.

    With ACCOUNT show every figure of that one, and its cash by currency.
    """
    answer = api.get("/v1/accounts" + ("" if account is None else f"/{in_path(account)}"))
    if as_json:
        print_json(answer)
    elif account is None:
        print_table(COLUMNS, answer.part("accounts"), none="no account is configured")
    else:
        _print_account(answer.body)


def _print_account(account: JsonObject) -> None:
    cash, age_ms = account["cash"], account["cash_age_ms"]
    figures = {name: value for name, value in account.items() if not name.startswith("cash")}
    print_fields(
        (name, _figure(value) if isinstance(value, dict) and "age_ms" in value else value)
        for name, value in figures.items()
    )
    if age_ms is not None:
        say(f"\ncash by currency, read {duration(age_ms / 1000)} ago")
    print_table(CASH_COLUMNS, cash, none="its cash by currency was never read")

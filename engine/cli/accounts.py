"""`engine accounts`: may each account trade, why not, and its money."""

from engine.cli.api import Api, JsonObject
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import Column, column, duration, print_json, print_table, shown


def _aged(name: str) -> Column:
    def cell(row: JsonObject) -> str:
        figure = row.get(name) or {}
        age_ms = figure.get("age_ms")
        value = shown(figure.get("value"))
        return value if age_ms is None else f"{value} ({duration(age_ms / 1000)})"

    return Column(title=name.replace("_", " "), cell=cell, right=True)


COLUMNS = (
    column("account"),
    column("session"),
    column("ready"),
    column("trading", "trading_state"),
    column("reason", wraps=True),
    column("currency"),
    _aged("net_liquidation"),
    _aged("available_funds"),
    _aged("daily_pnl"),
    _aged("unrealized_pnl"),
)


@calls_api
def accounts(api: Api, *, as_json: JsonOption = False) -> None:
    """List the accounts: may they trade, why not, and their money with its age."""
    answer = api.get("/v1/accounts")
    if as_json:
        print_json(answer)
    else:
        print_table(COLUMNS, answer.part("accounts"), none="no account is configured")

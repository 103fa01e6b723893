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
from engine.domain.values import Reconciliation


def _figure(value: Any) -> str:
    age_ms = value.get("age_ms")
    text = shown(value.get("value"))
    return text if age_ms is None else f"{text} ({duration(age_ms / 1000)})"


def _aged(name: str) -> Column:
    return Column(
        title=name.replace("_", " "), cell=lambda row: _figure(row.get(name) or {}), right=True
    )


def _reconciled(row: JsonObject) -> str:
    """Write how the account stands against the broker: the step, the breaks, or the age."""
    step = row["reconcile_step"]
    if row["reconciliation"] in {Reconciliation.PENDING, Reconciliation.EXPLAINING}:
        return f"{row['reconciliation']}: {step}" if step else str(row["reconciliation"])
    count = len(row["breaks"])
    found = f"{count} break{'s' if count > 1 else ''}" if count else str(row["reconciliation"])
    age_ms = row["reconciled_age_ms"]
    return found if age_ms is None else f"{found} ({duration(age_ms / 1000)})"


COLUMNS = (
    column("account"),
    column("session"),
    column("ready"),
    column("trading", "trading_state"),
    Column(title="reconciled", cell=_reconciled),
    column("others", "external_orders", right=True),
    column("reason", wraps=True),
    column("currency"),
    _aged("net_liquidation"),
    _aged("available_funds"),
    _aged("buying_power"),
    _aged("total_cash"),
    _aged("daily_pnl"),
    _aged("unrealized_pnl"),
)
BREAK_COLUMNS = (
    column("conid", right=True),
    column("symbol"),
    column("expected", right=True),
    column("found", right=True),
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

    With ACCOUNT show every figure of that one, its cash by currency, and what a comparison
    with the broker found that nothing explains.
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
    apart = ("cash", "reconcil", "breaks")
    figures = {name: value for name, value in account.items() if not name.startswith(apart)}
    figures["reconciled"] = _reconciled(account)
    print_fields(
        (name, _figure(value) if isinstance(value, dict) and "age_ms" in value else value)
        for name, value in figures.items()
    )
    if account["breaks"]:
        say("\nholdings that nothing explains; resume the account once they are understood")
        print_table(BREAK_COLUMNS, account["breaks"], none="")
    if age_ms is not None:
        say(f"\ncash by currency, read {duration(age_ms / 1000)} ago")
    print_table(CASH_COLUMNS, cash, none="its cash by currency was never read")

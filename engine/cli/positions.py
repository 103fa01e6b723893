"""`engine positions`: what an account holds and what its open orders could add."""

from typing import Annotated

import typer

from engine.cli.api import Api, JsonObject, in_path
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import Column, column, duration, print_json, print_table


def _in_doubt(row: JsonObject) -> str:
    """Show between which bounds the quantity is; nothing while it is sure."""
    lowest, highest = row.get("lowest"), row.get("highest")
    return "-" if lowest == highest else f"{lowest} to {highest}"


COLUMNS = (
    column("conid", right=True),
    column("symbol"),
    column("quantity", right=True),
    Column(title="in doubt", cell=_in_doubt, right=True),
    column("working buy", right=True),
    column("working sell", right=True),
    column("average price", right=True),
    column("market price", right=True),
    column("market value", right=True),
    column("unrealized pnl", right=True),
    column("currency"),
    Column(
        title="age",
        cell=lambda row: "-" if row.get("age_ms") is None else duration(row["age_ms"] / 1000),
        right=True,
    ),
)


@calls_api
def positions(
    api: Api,
    *,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    as_json: JsonOption = False,
) -> None:
    """List what an account holds, and what its open orders could add."""
    answer = api.get(f"/v1/accounts/{in_path(account)}/positions")
    if as_json:
        print_json(answer)
    else:
        print_table(COLUMNS, answer.part("positions"), none=f"{account} holds no position")

"""`engine bars`: the newest closed time bars of a contract."""

from typing import Annotated

import typer

from engine.cli.api import Api
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import column, print_json, print_table

COLUMNS = (
    column("start"),
    column("open", right=True),
    column("high", right=True),
    column("low", right=True),
    column("close", right=True),
    column("volume", right=True),
    column("vwap", right=True),
    column("trades", right=True),
)


@calls_api
def bars(
    api: Api,
    *,
    conid: Annotated[int, typer.Argument(metavar="CONID", min=1)],
    interval: Annotated[str, typer.Option(help="The length of a bar: 1s, 1m.")] = "1s",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the newest closed bars of a contract, the oldest first."""
    answer = api.get(f"/v1/bars/{conid}", {"interval": interval, "limit": limit})
    if as_json:
        print_json(answer)
    else:
        print_table(COLUMNS, answer.part("bars"), none=f"no {interval} bar of {conid} has closed")

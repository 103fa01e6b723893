"""`engine bars`: closed time bars of a contract, streamed ones or the broker's history."""

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
    interval: Annotated[
        str | None, typer.Option(help="The length of a streamed bar: 1s (unless given), 1m.")
    ] = None,
    period: Annotated[
        str | None, typer.Option(help="From the broker's history: how far back, such as 1d, 3m.")
    ] = None,
    bar: Annotated[
        str | None, typer.Option(help="With --period: the length of a bar, such as 5min, 1d.")
    ] = None,
    outside_rth: Annotated[
        bool, typer.Option("--outside-rth", help="With --period: outside regular hours, too.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, max=1000, help="At most so many; 20 streamed ones.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the newest closed bars of a contract, the oldest first."""
    if period is None and bar is None:
        interval, limit = interval or "1s", limit or 20
    query = {
        "interval": interval,
        "period": period,
        "bar": bar,
        "outside_rth": "true" if outside_rth else None,
        "limit": limit,
    }
    answer = api.get(f"/v1/bars/{conid}", query)
    if as_json:
        print_json(answer)
    else:
        length = bar or interval
        print_table(COLUMNS, answer.part("bars"), none=f"no {length} bar of {conid} has closed")

"""`engine quotes`: the last known market of contracts."""

from typing import Annotated, Final

import typer

from engine.cli.api import Api
from engine.cli.options import JsonOption, calls_api
from engine.cli.output import Column, column, duration, fail, print_json, print_table, shown

UNTOLD: Final = (
    "the broker told none: is there such a contract (`engine instruments --conid`), and may the "
    "login see its market?"
)

COLUMNS = (
    column("conid", right=True),
    column("bid size", right=True),
    column("bid", right=True),
    column("ask", right=True),
    column("ask size", right=True),
    column("last", right=True),
    column("last size", right=True),
    column("volume", right=True),
    column("halted"),
    column("availability"),
    Column(
        title="age",
        cell=lambda row: "-" if row.get("age_ms") is None else duration(row["age_ms"] / 1000),
        right=True,
    ),
    column("source"),
)


@calls_api
def quotes(
    api: Api,
    *,
    conids: Annotated[list[int], typer.Argument(metavar="CONID", min=1)],
    as_json: JsonOption = False,
) -> None:
    """Show the last quotes of contracts; one that is not streamed is read from the broker.

    Exit code 1 when one of them has no quote.
    """
    answer = api.get("/v1/quotes", {"conids": ",".join(map(str, conids))})
    if as_json:
        print_json(answer)
    else:
        print_table(COLUMNS, answer.part("quotes"), none="no quote is known of these contracts")
    if answer.part("missing"):
        why = answer.part("reason")
        rest = UNTOLD if why is None else shown(why)
        fail(f"no quote is known of {shown(answer.part('missing'))}; {rest}")

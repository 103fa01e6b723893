"""`engine instruments`: which contracts a symbol means, and what may be done with one."""

from typing import Annotated, Any

import typer

from engine.cli.api import Api, JsonObject
from engine.cli.options import JsonOption, calls_api, check_contract, takes_contract
from engine.cli.output import (
    column,
    duration,
    note,
    print_fields,
    print_json,
    print_table,
    shown,
)

COLUMNS = (
    column("conid", right=True),
    column("symbol"),
    column("sec type"),
    column("expiry"),
    column("strike", right=True),
    column("right"),
    column("exchange"),
    column("currency"),
    column("multiplier", right=True),
    column("name", wraps=True),
)


@calls_api
@takes_contract
def instruments(
    api: Api,
    *,
    symbol: Annotated[str | None, typer.Argument(metavar="SYMBOL")] = None,
    contract: JsonObject,
    as_json: JsonOption = False,
) -> None:
    """Look a contract up: one is shown with its trading rules, several are listed."""
    check_contract(symbol, contract)
    answer = api.get("/v1/instruments", {"symbol": symbol, **contract})
    if as_json:
        print_json(answer)
        return
    found = answer.part("instruments")
    if len(found) == 1 and found[0]["conid"] is not None:
        print_fields((name, _worded(name, value)) for name, value in found[0].items())
        return
    print_table(COLUMNS, found, none="no contract fits")
    if answer.part("count") > len(found):
        note(f"{answer.part('count')} contracts fit; say more of the one that is meant")


def _worded(name: str, value: Any) -> str:
    match name:
        case "increments":
            return ", ".join(f"{each['increment']} from {each['lower_edge']}" for each in value)
        case "tifs":
            return ", ".join(map(_tif, value))
        case "age_ms" if value is not None:
            return duration(value / 1000)
        case _:
            return shown(value)


def _tif(rule: JsonObject) -> str:
    types = rule["order_types"]
    notes = [
        *(["outside RTH, too"] if rule["outside_rth"] else []),
        *([] if types is None else [f"only {' '.join(types)}"]),
    ]
    return f"{rule['tif']} ({'; '.join(notes)})" if notes else str(rule["tif"])

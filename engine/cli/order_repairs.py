"""`engine orders resolve` and `adopt`: what a person decides where the engine cannot know.

Rule: both say why, in words that the journal keeps.
"""

from typing import Annotated

import typer

from engine.cli.api import Api, JsonObject, in_path
from engine.cli.options import Amount, JsonOption, Price, Reason, calls_api
from engine.cli.order_rows import sentence
from engine.cli.output import print_json, say
from engine.domain.values import Resolution


@calls_api
def resolve_order(
    api: Api,
    *,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID")],
    resolution: Annotated[
        Resolution,
        typer.Option("--as", case_sensitive=False, help="What the broker's own records show."),
    ],
    reason: Reason,
    broker_order_id: Annotated[
        str | None, typer.Option(metavar="ID", help="The broker's order; live needs it.")
    ] = None,
    quantity: Amount = None,
    price: Price = None,
    approved_by: Annotated[
        str | None, typer.Option(metavar="NAME", help="The second person, where there is one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what became of an order that is in doubt or parked.

    Look at the broker first: `engine orders show` tells what the engine has seen.
    Exit code 1 when the order is not in doubt.
    """
    given: JsonObject = {
        "as": resolution,
        "reason": reason,
        "broker_order_id": broker_order_id,
        "quantity": quantity,
        "price": price,
        "approved_by": approved_by,
    }
    body = {name: value for name, value in given.items() if value is not None}
    answer = api.request("POST", f"/v1/orders/{in_path(order_id)}/resolve", body=body)
    if as_json:
        print_json(answer)
    else:
        say(sentence(answer.body))


@calls_api
def adopt_order(
    api: Api,
    *,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    broker_order_id: Annotated[str, typer.Argument(metavar="BROKER_ORDER_ID")],
    reason: Reason,
    cancel: Annotated[bool, typer.Option("--cancel", help="And cancel it at once.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make an order that others sent one of the engine's; see `engine orders list --external`."""
    path = f"/v1/accounts/{in_path(account)}/external/{in_path(broker_order_id)}/adopt"
    body: JsonObject = {"reason": reason, "cancel": True} if cancel else {"reason": reason}
    answer = api.request("POST", path, body=body)
    if as_json:
        print_json(answer)
    else:
        say(sentence(answer.body))

"""`engine orders`: list, show, cancel and modify.

Rule: what is a good price or a good quantity, the engine says; a second table of that here
would only go stale.
"""

from decimal import Decimal
from typing import Annotated

import typer

from engine.cli.api import Api, JsonObject, in_path
from engine.cli.options import (
    NEGATIVE,
    WAIT_GRACE_S,
    Amount,
    JsonOption,
    Price,
    Seconds,
    calls_api,
)
from engine.cli.order_rows import (
    COLUMNS,
    EXTERNAL_COLUMNS,
    STORY_COLUMNS,
    algo_text,
    evidence_text,
    sentence,
    state_text,
    terms_text,
)
from engine.cli.output import fail, note, print_fields, print_json, print_table, say, shown
from engine.domain.values import OrderState, Pending

commands = typer.Typer(
    no_args_is_help=True,
    help="List, show, submit, modify and cancel orders; settle what nobody can find.",
)


@commands.command("list")
@calls_api
def list_orders(
    api: Api,
    *,
    account: Annotated[str | None, typer.Option(help="Only this account's.")] = None,
    state: Annotated[
        OrderState | None, typer.Option(help="Only in this state.", case_sensitive=False)
    ] = None,
    open_only: Annotated[bool, typer.Option("--open", help="Only orders that can fill.")] = False,
    client_order_id: Annotated[str | None, typer.Option(help="Only with this key.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1000, help="At most so many.")] = None,
    external: Annotated[
        bool, typer.Option("--external", help="Those that others sent for --account.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List orders, the newest first."""
    if external:
        filters = (state, client_order_id, limit)
        _list_external(api, account, others=open_only or filters != (None,) * 3, as_json=as_json)
        return
    query = {
        "account": account,
        "state": state,
        "open": "true" if open_only else None,
        "client_order_id": client_order_id,
        "limit": limit,
    }
    answer = api.get("/v1/orders", query)
    if as_json:
        print_json(answer)
    else:
        print_table(COLUMNS, answer.part("orders"), none="no order fits")
        if answer.part("truncated"):
            note("there are more orders; narrow the listing or raise --limit")


def _list_external(api: Api, account: str | None, *, others: bool, as_json: bool) -> None:
    if account is None or others:
        message = "--external goes with --account, and with no other filter"
        raise typer.BadParameter(message)
    answer = api.get(f"/v1/accounts/{in_path(account)}/external_orders")
    if as_json:
        print_json(answer)
    else:
        none = f"no order of others is known for {account}"
        print_table(EXTERNAL_COLUMNS, answer.part("orders"), none=none)


@commands.command("show")
@calls_api
def show_order(
    api: Api,
    *,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID")],
    as_json: JsonOption = False,
) -> None:
    """Show everything about one order, and its whole story from the journal.

    With --json the order as it is; `engine journal show --order` has its records.
    """
    path = f"/v1/orders/{in_path(order_id)}"
    answer = api.get(path)
    if as_json:
        print_json(answer)
        return
    order = answer.body
    print_fields(_fields(order))
    if order["legs"]:
        say("\nthe other orders of its group")
        print_table(COLUMNS, order["legs"], none="")
    say("\nits story")
    story = api.get(f"{path}/events").part("story")
    print_table(STORY_COLUMNS, story, none="the journal has no record of it")


def _fields(order: JsonObject) -> list[tuple[str, object]]:
    in_words = {
        "wanted": terms_text(order["wanted"]),
        "algo": algo_text(order["algo"]),
        "evidence": evidence_text(order["evidence"]),
    }
    return [(name, in_words.get(name, value)) for name, value in order.items() if name != "legs"]


@commands.command("cancel")
@calls_api
def cancel_order(
    api: Api,
    *,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID")],
    as_json: JsonOption = False,
) -> None:
    """Ask for an order's cancel. The order may fill before the broker sees it."""
    answer = api.request("DELETE", f"/v1/orders/{in_path(order_id)}")
    if as_json:
        print_json(answer)
    else:
        say(sentence(answer.body))
    if answer.body["warning"] is not None:
        note(f"warning: {shown(answer.body['warning'])}")


@commands.command("modify", context_settings=NEGATIVE)
@calls_api
def modify_order(
    api: Api,
    *,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID")],
    quantity: Amount = None,
    limit_price: Price = None,
    stop_price: Price = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the broker took it, or not.")] = False,
    timeout: Seconds = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Ask for new terms of an order at the broker; what is not named stays as it is.

    Exit code 1 when it is refused or, with --wait, when the order does not have them then.
    """
    given = {"quantity": quantity, "limit_price": limit_price, "stop_price": stop_price}
    body: JsonObject = {name: value for name, value in given.items() if value is not None}
    if not body or order_id.startswith("-"):
        message = "name an order, and --quantity, --limit-price or --stop-price"
        raise typer.BadParameter(message)
    answer = api.request(
        "PATCH",
        f"/v1/orders/{in_path(order_id)}",
        query={"wait": "settled", "timeout": f"{timeout:g}"} if wait else None,
        body=body,
        timeout_s=timeout + WAIT_GRACE_S,
    )
    if as_json:
        print_json(answer)
    else:
        say(sentence(answer.body))
    if wait:
        _fail_unless_changed(answer.body, body, timeout)


def _fail_unless_changed(order: JsonObject, asked: JsonObject, timeout: float) -> None:
    name = f"order {order['order_id']}"
    if order["pending"] == Pending.REPLACE:
        fail(f"the change of {name} is still pending after {timeout:g} s; see `engine orders show`")
    if any(
        order[field] is None or Decimal(order[field]) != Decimal(asked[field]) for field in asked
    ):
        fail(f"{name} was not changed: it is {state_text(order)}, {shown(order['reason'])}")

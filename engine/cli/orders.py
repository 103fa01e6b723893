"""`engine orders`: list, show, submit and cancel.

Rule: a submit always has a key (`--client-order-id`, made up when it is not given) that is
printed before anything is sent. Whatever happens after that, the same command with the
same key cannot become a second order.
"""

from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final
from uuid import uuid4

import typer

from engine.cli.api import Answer, Api, ApiFailure, JsonObject, in_path
from engine.cli.options import JsonOption, calls_api, decimal_text
from engine.cli.output import (
    Column,
    age,
    column,
    fail,
    note,
    print_fields,
    print_json,
    print_table,
    say,
    shown,
)
from engine.domain.values import TERMINAL, OrderState, OrderType, Side, TimeInForce

commands = typer.Typer(no_args_is_help=True, help="List, show, submit and cancel orders.")

FAILED: Final = frozenset({OrderState.DENIED, OrderState.REJECTED, OrderState.EXPIRED})
"""States in which a submitted order did not do what was asked: exit code 1."""

WAIT_GRACE_S: Final = 5.0
"""How much longer than the engine's own wait a submit waits for the answer."""


def _filled(row: JsonObject) -> str:
    return f"{shown(row.get('filled_quantity'))}/{shown(row.get('quantity'))}"


def _state(row: JsonObject) -> str:
    state, pending = shown(row.get("state")), row.get("pending", "none")
    confidence = row.get("confidence", "confirmed")
    extras = [
        text
        for text in (
            "" if pending == "none" else f"{pending} pending",
            "" if confidence == "confirmed" else str(confidence),
        )
        if text
    ]
    return f"{state} ({', '.join(extras)})" if extras else state


COLUMNS = (
    column("order id"),
    column("account"),
    column("side"),
    Column(title="filled/quantity", cell=_filled, right=True),
    column("symbol"),
    column("type"),
    column("price", "limit_price", right=True),
    Column(title="state", cell=_state),
    column("avg price", "average_price", right=True),
    column("reason", wraps=True),
    Column(title="age", cell=age, right=True),
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
    as_json: JsonOption = False,
) -> None:
    """List orders, the newest first."""
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


@commands.command("show")
@calls_api
def show_order(
    api: Api,
    *,
    order_id: Annotated[str, typer.Argument(metavar="ORDER_ID")],
    as_json: JsonOption = False,
) -> None:
    """Show everything about one order."""
    answer = api.get(f"/v1/orders/{in_path(order_id)}")
    if as_json:
        print_json(answer)
    else:
        print_fields(answer.body.items())


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
        say(_sentence(answer.body))


class Wait(StrEnum):
    """What a submit waits for."""

    ACK = "ack"
    TERMINAL = "terminal"


@commands.command("submit")
@calls_api
def submit_order(
    api: Api,
    *,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    side: Annotated[Side, typer.Argument(metavar="BUY|SELL", case_sensitive=False)],
    quantity: Annotated[str, typer.Argument(metavar="QUANTITY", parser=decimal_text)],
    symbol: Annotated[str | None, typer.Argument(metavar="SYMBOL")] = None,
    conid: Annotated[int | None, typer.Option(min=1, help="Instead of SYMBOL.")] = None,
    exchange: Annotated[str | None, typer.Option(help="Makes SYMBOL unique.")] = None,
    order_type: Annotated[OrderType, typer.Option("--type", case_sensitive=False)] = OrderType.MKT,
    limit_price: Annotated[str | None, typer.Option(parser=decimal_text, metavar="PRICE")] = None,
    tif: Annotated[TimeInForce, typer.Option(case_sensitive=False)] = TimeInForce.DAY,
    strategy: Annotated[str | None, typer.Option(help="For limits and reports.")] = None,
    client_order_id: Annotated[
        str | None, typer.Option(metavar="KEY", help="Same key, same order, never a second one.")
    ] = None,
    wait: Annotated[Wait | None, typer.Option(help="Wait for the broker, or the end.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=300, metavar="SECONDS", help="With --wait: how long.")
    ] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Submit an order. Exit code 1 when it is denied, rejected or never sent."""
    _check_usage(symbol, conid, exchange, order_type, limit_price)
    key = client_order_id or f"cli-{uuid4().hex}"
    note(f"client order id {key}")
    body: JsonObject = {
        "client_order_id": key,
        "conid": conid,
        "symbol": symbol,
        "exchange": exchange,
        "side": side,
        "type": order_type,
        "quantity": quantity,
        "limit_price": limit_price,
        "tif": tif,
        "strategy": strategy,
    }
    body = {name: value for name, value in body.items() if value is not None}
    answer = _submitted(api, account, body, wait, timeout)
    if as_json:
        print_json(answer)
    if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
        error = answer.part("error")
        order = answer.part("order")
        fail(f"order {order['order_id']} is {order['state']}: {shown(error)}")
    order = answer.body
    if not as_json:
        say(_sentence(order))
    if order["state"] in FAILED:
        fail(f"order {order['order_id']} is {order['state']}: {shown(order['reason'])}")
    if wait is Wait.TERMINAL and order["state"] not in TERMINAL:
        note(f"not terminal after {timeout:g} s; see `engine orders show {order['order_id']}`")


def _check_usage(
    symbol: str | None,
    conid: int | None,
    exchange: str | None,
    order_type: OrderType,
    limit_price: str | None,
) -> None:
    if (symbol is None) == (conid is None):
        message = "name the contract by SYMBOL or by --conid, by exactly one of them"
        raise typer.BadParameter(message)
    if exchange is not None and symbol is None:
        message = "--exchange goes with SYMBOL; a conid is unique"
        raise typer.BadParameter(message)
    if (order_type is OrderType.LMT) != (limit_price is not None):
        message = "--limit-price goes with --type LMT, and --type LMT needs it"
        raise typer.BadParameter(message)


def _submitted(
    api: Api, account: str, body: JsonObject, wait: Wait | None, timeout_s: float
) -> Answer:
    path = f"/v1/accounts/{in_path(account)}/orders"
    query = {"wait": wait, "timeout": f"{timeout_s:g}"} if wait else None
    try:
        return api.request("POST", path, query=query, body=body, timeout_s=timeout_s + WAIT_GRACE_S)
    except ApiFailure as failure:
        answer = failure.answer
        if answer is not None and answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            return answer
        if failure.was_sent and (
            answer is None or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            key = body["client_order_id"]
            text = (
                f"{failure}\nthe order may have been taken: see `engine orders list "
                f"--client-order-id {key}`, or repeat with `--client-order-id {key}`; "
                "the same key never makes a second order"
            )
            raise ApiFailure(text, was_sent=True, answer=answer) from failure
        raise


def _sentence(order: JsonObject) -> str:
    price = "" if order.get("limit_price") is None else f" at {order['limit_price']}"
    text = (
        f"order {order['order_id']}: {order['side']} {order['quantity']} {order['symbol']} "
        f"{order['type']}{price} for {order['account']} is {_state(order)}"
    )
    if order.get("average_price") is not None:
        text += f", {order['filled_quantity']} filled at {order['average_price']}"
    if order.get("reason") is not None:
        text += f", {shown(order['reason'])}"
    return text

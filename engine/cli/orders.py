"""`engine orders`: list, show, submit, modify and cancel.

Rule 1: a submit always has a key (`--client-order-id`, made up when it is not given) that
is printed before anything is sent. Whatever happens after that, the same command with the
same key cannot become a second order.

Rule 2: which prices go with which type, and what is a good quantity, the engine says; a
second table of that here would only go stale.
"""

from decimal import Decimal
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Final
from uuid import uuid4

import typer

from engine.cli.api import Answer, Api, ApiFailure, JsonObject, in_path
from engine.cli.options import (
    JsonOption,
    calls_api,
    check_contract,
    decimal_text,
    takes_contract,
)
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
from engine.domain.values import (
    TERMINAL,
    OrderState,
    OrderType,
    Pending,
    Side,
    TimeInForce,
    TrailingType,
)

commands = typer.Typer(no_args_is_help=True, help="List, show, submit, modify and cancel orders.")

FAILED: Final = frozenset({OrderState.DENIED, OrderState.REJECTED, OrderState.EXPIRED})
"""States in which a submitted order did not do what was asked: exit code 1."""

WAIT_GRACE_S: Final = 5.0
"""How much longer than the engine's own wait a submit waits for the answer."""


Price = Annotated[str | None, typer.Option(parser=decimal_text, metavar="PRICE")]
Amount = Annotated[str | None, typer.Option(parser=decimal_text, metavar="AMOUNT")]
Seconds = Annotated[
    float, typer.Option(min=0.1, max=300, metavar="SECONDS", help="With --wait: how long.")
]
NEGATIVE: Final = {"ignore_unknown_options": True}
"""Lets -5 be a value, not an option, so that the engine says what is allowed."""


def _quantity(row: JsonObject) -> str:
    if row.get("cash_quantity") is not None:
        return f"{row['cash_quantity']} (cash)"
    return shown(row.get("quantity"))


def _filled(row: JsonObject) -> str:
    return f"{shown(row.get('filled_quantity'))}/{_quantity(row)}"


def _prices(row: JsonObject) -> str:
    percent = "%" if row.get("trailing_type") == TrailingType.PERCENT else ""
    found = [
        f"{word}{row[name]}{unit}"
        for word, name, unit in (
            ("", "limit_price", ""),
            ("stop ", "stop_price", ""),
            ("trail ", "trailing_amount", percent),
            ("cap ", "cap_price", ""),
        )
        if row.get(name) is not None
    ]
    return ", ".join(found) or "-"


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
    column("sec type"),
    column("conid", right=True),
    column("type"),
    Column(title="price", cell=_prices, right=True),
    column("tif"),
    Column(title="state", cell=_state),
    column("avg price", "average_price", right=True),
    column("reason", wraps=True),
    Column(title="age", cell=age, right=True),
)
EXTERNAL_COLUMNS = (
    column("broker order id"),
    column("session"),
    column("side"),
    Column(title="filled/quantity", cell=_filled, right=True),
    column("symbol"),
    column("conid", right=True),
    column("type"),
    Column(title="price", cell=_prices, right=True),
    column("tif"),
    column("status"),
    column("reference", "order_ref"),
    Column(title="seen", cell=lambda row: age(row, "seen_at"), right=True),
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
    """Show everything about one order."""
    answer = api.get(f"/v1/orders/{in_path(order_id)}")
    if as_json:
        print_json(answer)
    else:
        fields = answer.body | {"wanted": _terms(answer.body.get("wanted"))}
        print_fields(fields.items())


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
        say(_sentence(answer.body))
    if wait:
        _fail_unless_changed(answer.body, body, timeout)


def _fail_unless_changed(order: JsonObject, asked: JsonObject, timeout: float) -> None:
    name = f"order {order['order_id']}"
    if order["pending"] == Pending.REPLACE:
        fail(f"the change of {name} is still pending after {timeout:g} s; see `engine orders show`")
    if any(
        order[field] is None or Decimal(order[field]) != Decimal(asked[field]) for field in asked
    ):
        fail(f"{name} was not changed: it is {_state(order)}, {shown(order['reason'])}")


class Wait(StrEnum):
    """What a submit waits for."""

    ACK = "ack"
    TERMINAL = "terminal"


@commands.command("submit", context_settings=NEGATIVE)
@calls_api
@takes_contract
def submit_order(
    api: Api,
    *,
    account: Annotated[str, typer.Argument(metavar="ACCOUNT")],
    side: Annotated[Side, typer.Argument(metavar="BUY|SELL", case_sensitive=False)],
    quantity: Annotated[str | None, typer.Argument(metavar="QUANTITY")] = None,
    symbol: Annotated[str | None, typer.Argument(metavar="SYMBOL")] = None,
    contract: JsonObject,
    cash_quantity: Annotated[
        str | None,
        typer.Option(
            parser=decimal_text, metavar="AMOUNT", help="So much money, instead of QUANTITY."
        ),
    ] = None,
    order_type: Annotated[OrderType, typer.Option("--type", case_sensitive=False)] = OrderType.MKT,
    limit_price: Price = None,
    stop_price: Price = None,
    trailing_type: Annotated[TrailingType | None, typer.Option()] = None,
    trailing_amount: Amount = None,
    cap_price: Price = None,
    tif: Annotated[TimeInForce, typer.Option(case_sensitive=False)] = TimeInForce.DAY,
    outside_rth: Annotated[
        bool, typer.Option("--outside-rth", help="Also outside regular trading hours.")
    ] = False,
    strategy: Annotated[str | None, typer.Option(help="For limits and reports.")] = None,
    client_order_id: Annotated[
        str | None, typer.Option(metavar="KEY", help="Same key, same order, never a second one.")
    ] = None,
    wait: Annotated[Wait | None, typer.Option(help="Wait for the broker, or the end.")] = None,
    timeout: Seconds = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Submit an order. Exit code 1 when it is denied, rejected or never sent."""
    body: JsonObject = {
        "client_order_id": client_order_id or f"cli-{uuid4().hex}",
        **_contract_and_quantity(quantity, symbol, contract, cash_quantity),
        "side": side,
        "type": order_type,
        "limit_price": limit_price,
        "stop_price": stop_price,
        "trailing_type": trailing_type,
        "trailing_amount": trailing_amount,
        "cap_price": cap_price,
        "tif": tif,
        "outside_rth": outside_rth or None,
        "strategy": strategy,
    }
    _submit(api, account, body, wait, timeout, as_json=as_json)


def _submit(
    api: Api, account: str, given: JsonObject, wait: Wait | None, timeout: float, *, as_json: bool
) -> None:
    body = {name: value for name, value in given.items() if value is not None}
    note(f"client order id {body['client_order_id']}")
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


def _contract_and_quantity(
    quantity: str | None, symbol: str | None, contract: JsonObject, cash_quantity: str | None
) -> JsonObject:
    """Read the two positions: with an amount of money the first one is the SYMBOL."""
    if cash_quantity is not None:
        if symbol is not None:
            message = "give QUANTITY or --cash-quantity, not both"
            raise typer.BadParameter(message)
        quantity, symbol = None, quantity
    elif quantity is None:
        message = "give a QUANTITY, or --cash-quantity"
        raise typer.BadParameter(message)
    else:
        quantity = decimal_text(quantity)
    check_contract(symbol, contract)
    return {
        **contract,
        "symbol": symbol,
        "quantity": quantity,
        "cash_quantity": cash_quantity,
    }


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


def _terms(terms: JsonObject | None) -> str:
    given = (terms or {}).items()
    return ", ".join(f"{name} {value}" for name, value in given if value is not None)


def _contract(order: JsonObject) -> str:
    """Name the contract; two options on a share have the same symbol, but no two a conid."""
    contract = f"{order['symbol']} {order['sec_type']}"
    return contract if order["sec_type"] == "STK" else f"{contract} (conid {order['conid']})"


def _sentence(order: JsonObject) -> str:
    at = "" if order.get("limit_price") is None else "at "
    prices = "" if _prices(order) == "-" else f" {at}{_prices(order)}"
    text = (
        f"order {order['order_id']}: {order['side']} {_quantity(order)} {_contract(order)} "
        f"{order['type']}{prices} {order['tif']} for {order['account']} is {_state(order)}"
    )
    if order.get("wanted") is not None:
        text += f", wanted: {_terms(order['wanted'])}"
    if order.get("average_price") is not None:
        text += f", {order['filled_quantity']} filled at {order['average_price']}"
    if order.get("reason") is not None:
        text += f", {shown(order['reason'])}"
    return text

"""`engine orders submit`: an order, a bracket of an entry and its exits, or a group.

Rule 1: a submit always has a key (`--client-order-id`, made up when it is not given) that
is printed before anything is sent. Whatever happens after that, the same command with the
same key cannot become a second order.

Rule 2: which prices go with which type, and what an algorithm takes, the engine says; a
second table of that here would only go stale.
"""

from collections.abc import Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import uuid4

import typer

from engine.cli.api import Answer, Api, ApiFailure, JsonObject, in_path
from engine.cli.options import (
    WAIT_GRACE_S,
    Amount,
    JsonOption,
    Price,
    Seconds,
    calls_api,
    check_contract,
    decimal_text,
    takes_contract,
)
from engine.cli.order_rows import sentence
from engine.cli.output import fail, note, print_json, say, shown
from engine.domain.values import (
    TERMINAL,
    GroupKind,
    OrderState,
    OrderType,
    Side,
    TimeInForce,
    TrailingType,
)

FAILED: Final = frozenset(
    {OrderState.DENIED, OrderState.REJECTED, OrderState.EXPIRED, OrderState.NOT_PLACED}
)
"""States in which a submitted order did not do what was asked: exit code 1."""
_NOT_TAKEN: Final = frozenset({"DRAINING", "JOURNAL_FULL", "JOURNAL_UNAVAILABLE"})
"""The engine's own word that it took nothing; any other failure leaves that open."""
_FLAGS: Final = {"true": True, "false": False}
_EXITS: Final = "A bracket: exits that work once the order has filled"
_OCA: Final = "One cancels all: the first of the group that fills ends the others"
_ALGO: Final = "One of the broker's algorithms"
_NUMBERS: Final = frozenset(
    {"quantity", "limit_price", "stop_price", "trailing_amount", "cap_price"}
)
_WORDS: Final = frozenset(
    {"side", "trailing_type", "tif", "good_till", "outside_rth", "client_order_id"}
)
_MEMBER: Final = _NUMBERS | _WORDS
"""What another order of a group may say of itself beside its type."""


class Wait(StrEnum):
    """What a submit waits for."""

    ACK = "ack"
    TERMINAL = "terminal"


def _exit_price(text: str) -> Any:
    return typer.Option(parser=decimal_text, metavar="PRICE", help=text, rich_help_panel=_EXITS)


Account = Annotated[str, typer.Argument(metavar="ACCOUNT")]
SideName = Annotated[Side, typer.Argument(metavar="BUY|SELL", case_sensitive=False)]
Quantity = Annotated[str | None, typer.Argument(metavar="QUANTITY")]
Symbol = Annotated[str | None, typer.Argument(metavar="SYMBOL")]
Cash = Annotated[
    str | None,
    typer.Option(parser=decimal_text, metavar="AMOUNT", help="So much money, instead of QUANTITY."),
]
TypeName = Annotated[OrderType, typer.Option("--type", case_sensitive=False)]
Tif = Annotated[TimeInForce | None, typer.Option(case_sensitive=False, help="DAY unless given.")]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", help="GTD until then, such as 2026-12-18T21:00:00Z.")
]
Outside = Annotated[bool, typer.Option("--outside-rth", help="Also outside regular trading hours.")]
Strategy = Annotated[str | None, typer.Option(help="For limits and reports.")]
Profit = Annotated[str | None, _exit_price("A limit order.")]
Loss = Annotated[str | None, _exit_price("A stop order.")]
ExitTif = Annotated[
    TimeInForce | None,
    typer.Option(case_sensitive=False, help="As --tif unless given.", rich_help_panel=_EXITS),
]
Members = Annotated[
    list[str] | None,
    typer.Option(
        "--oca",
        metavar="TYPE,NAME=VALUE,…",
        help="Another order, such as LMT,limit-price=199,side=SELL; again for each. "
        "What it does not say is as in the first one.",
        rich_help_panel=_OCA,
    ),
]
AlgoName = Annotated[
    str | None, typer.Option(metavar="NAME", help="Such as Adaptive.", rich_help_panel=_ALGO)
]
AlgoParameters = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="Such as adaptivePriority=Urgent; again for each.",
        rich_help_panel=_ALGO,
    ),
]
Key = Annotated[
    str | None, typer.Option(metavar="KEY", help="Same key, same order, never a second one.")
]


@calls_api
@takes_contract
def submit_order(
    api: Api,
    *,
    account: Account,
    side: SideName,
    quantity: Quantity = None,
    symbol: Symbol = None,
    contract: JsonObject,
    cash_quantity: Cash = None,
    order_type: TypeName = OrderType.MKT,
    limit_price: Price = None,
    stop_price: Price = None,
    trailing_type: Annotated[TrailingType | None, typer.Option()] = None,
    trailing_amount: Amount = None,
    cap_price: Price = None,
    tif: Tif = None,
    good_till: Until = None,
    outside_rth: Outside = False,
    strategy: Strategy = None,
    take_profit: Profit = None,
    stop_loss: Loss = None,
    exit_tif: ExitTif = None,
    oca: Members = None,
    algo: AlgoName = None,
    algo_param: AlgoParameters = None,
    client_order_id: Key = None,
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
        **_time(tif, good_till),
        "outside_rth": outside_rth or None,
        "strategy": strategy,
        "algo": _algo(algo, algo_param or ()),
        **_group(_exits(take_profit, stop_loss, exit_tif), list(map(_member, oca or ()))),
    }
    _submit(api, account, body, wait, timeout, as_json=as_json)


def _time(tif: TimeInForce | None, good_till: str | None) -> JsonObject:
    """Return how long the order stays; a time without a --tif means GTD."""
    unsaid = TimeInForce.DAY if good_till is None else TimeInForce.GTD
    return {"tif": tif or unsaid, "good_till": good_till}


def _exits(
    take_profit: str | None, stop_loss: str | None, tif: TimeInForce | None
) -> list[JsonObject] | None:
    legs: list[JsonObject] = []
    if take_profit is not None:
        legs.append({"type": OrderType.LMT, "limit_price": take_profit})
    if stop_loss is not None:
        legs.append({"type": OrderType.STP, "stop_price": stop_loss})
    if tif is not None and not legs:
        message = "--exit-tif goes with --take-profit or --stop-loss"
        raise typer.BadParameter(message)
    if tif is not None:
        legs = [{**leg, "tif": tif} for leg in legs]
    return legs or None


def _member(text: str) -> JsonObject:
    """Return another order of a group: `LMT,limit-price=199`."""
    kind, *parts = text.split(",")
    leg: JsonObject = {"type": kind.strip().upper()}
    if leg["type"] not in tuple(OrderType):
        message = f"{kind!r} in --oca {text!r} is none of {', '.join(OrderType)}"
        raise typer.BadParameter(message)
    for part in parts:
        key, _, value = part.partition("=")
        name, value = key.strip().replace("-", "_"), value.strip()
        if name not in _MEMBER or not value or name in leg:
            allowed = ", ".join(sorted(each.replace("_", "-") for each in _MEMBER))
            message = f"{part!r} in --oca {text!r} is not NAME=VALUE, once each, of {allowed}"
            raise typer.BadParameter(message)
        leg[name] = decimal_text(value) if name in _NUMBERS else _word(name, value)
    return leg


def _word(name: str, value: str) -> str | bool:
    if name == "outside_rth":
        return _FLAGS.get(value, value)
    return value.upper() if name in {"side", "tif"} else value


def _group(exits: list[JsonObject] | None, members: list[JsonObject]) -> JsonObject:
    """Return the other orders and how they hang together."""
    if not members:
        return {"legs": exits}
    if exits is not None:
        message = "--oca does not go with --take-profit or --stop-loss: that is a bracket"
        raise typer.BadParameter(message)
    return {"legs": members, "group": GroupKind.OCA}


def _algo(name: str | None, parameters: Sequence[str]) -> JsonObject | None:
    """Return the algorithm; what type a parameter is, the engine knows from the broker."""
    if name is None:
        if parameters:
            message = "--algo-param goes with --algo"
            raise typer.BadParameter(message)
        return None
    given: JsonObject = {}
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if not (key and equals and value) or key in given:
            message = f"{parameter!r} is no NAME=VALUE, or its name was given before"
            raise typer.BadParameter(message)
        given[key] = _FLAGS.get(value, value)
    return {"name": name, "parameters": given}


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
        for each in (order, *order["legs"]):
            say(sentence(each))
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


def _leaves_open(answer: Answer) -> bool:
    """Tell whether the order may have been taken in spite of this answer."""
    if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return False
    try:
        error = answer.part("error")
    except ApiFailure:
        return True
    return not isinstance(error, dict) or error.get("code") not in _NOT_TAKEN


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
        if failure.was_sent and (answer is None or _leaves_open(answer)):
            key = body["client_order_id"]
            text = (
                f"{failure}\nthe order may have been taken: see `engine orders list "
                f"--client-order-id {key}`, or repeat with `--client-order-id {key}`; "
                "the same key never makes a second order"
            )
            raise ApiFailure(text, was_sent=True, answer=answer) from failure
        raise

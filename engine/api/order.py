"""Orders: submit, list, show, modify, cancel, adopt, and say what became of one in doubt.

Rule 1: what is answered is durable. A submit is 202 with the order once the journal holds
it, 422 when the engine refused it, and an error only when nothing was journaled; so a
client that got no answer sends the same again, under the same `client_order_id`.

Rule 2: a cancel is the exception. It is sent from memory when nothing can be written, and
its answer says so.
"""

from decimal import Decimal
from http import HTTPStatus
from typing import Final

from aiohttp import web

from engine.api.answers import ErrorBody, ReasonBody
from engine.api.errors import ApiError, ambiguous, bad_field, detail, shown, unknown_order
from engine.api.fields import Wait
from engine.api.guard import ORDER_ID
from engine.api.order_answers import (
    CancelAnswer,
    DeniedAnswer,
    OrderBody,
    OrderEventsAnswer,
    OrdersAnswer,
    RefusedChangeAnswer,
)
from engine.api.order_fields import BROKER_ORDER_ID_ALLOWED, is_broker_order_id
from engine.api.route import AnyRoute, Call, Route, answer, known_account
from engine.api.submit import SubmitBody, price_fields
from engine.api.wire import (
    AdoptBody,
    ModifyBody,
    ModifyQuery,
    Nothing,
    OrdersQuery,
    ResolveBody,
    SubmitQuery,
)
from engine.domain.messages import RequestVerdict
from engine.domain.ports import (
    AmbiguousSymbol,
    ChangeRefused,
    Engine,
    JournalUnavailable,
    OrderFilter,
    Submitted,
    UnknownExternalOrder,
    UnknownOrder,
)
from engine.domain.risk.verdict import figures_of
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ClientOrderId,
    GroupPlace,
    OrderId,
    OrderState,
    Reason,
    Resolution,
)
from engine.domain.views import OrderView

_WAIT_SECONDS: Final = Decimal(10)
_MS_PER_SECOND: Final = 1000
_UNWRITTEN: Final = "CANCEL_NOT_JOURNALED"
"""The reason of an order whose cancel goes on from memory alone."""


async def _submit(call: Call[SubmitQuery, SubmitBody]) -> web.Response:
    account = call.account()
    request = call.body.request(account)
    match await call.engine.submit(request):
        case AmbiguousSymbol() as symbol:
            raise ambiguous(symbol)
        case Submitted(answer=answered, order=order, followers=followers):
            call.request[ORDER_ID] = order.order_id
            if answered.verdict is RequestVerdict.CONFLICT:
                raise _conflict(call.body.client_order_id, order)
            if call.query.wait is not None and order.state is not OrderState.DENIED:
                order = await call.engine.wait(
                    order.order_id,
                    terminal=call.query.wait is Wait.TERMINAL,
                    timeout_ms=_wait_ms(call.query.timeout),
                )
                followers = tuple(call.engine.order(each.order_id) for each in followers)
            return _submitted(order, followers)


def _wait_ms(timeout: Decimal | None) -> int:
    return max(1, int((timeout or _WAIT_SECONDS) * _MS_PER_SECOND))


def _submitted(order: OrderView, followers: tuple[OrderView, ...]) -> web.Response:
    body = OrderBody.of(order, followers)
    if order.state is not OrderState.DENIED:
        return answer(body, HTTPStatus.ACCEPTED)
    assert order.reason is not None, "a denied order says why"
    return answer(
        DeniedAnswer(order=body, error=_refusal(order.reason)), HTTPStatus.UNPROCESSABLE_ENTITY
    )


def _refusal(reason: Reason) -> ErrorBody:
    """Return an error with the figures that the check compared; none where it was no check."""
    details = dict(figures_of(reason))
    return ErrorBody(code=reason.code, message=reason.message, details=details)


def _conflict(client_order_id: str, order: OrderView) -> ApiError:
    return ApiError(
        HTTPStatus.CONFLICT,
        "CLIENT_ORDER_ID_CONFLICT",
        f"client_order_id is {shown(client_order_id)}, which already names order "
        f"{order.order_id} with another body; send that body again, or use a new one",
        details={
            "field": "client_order_id",
            "value": detail(client_order_id),
            "order_id": order.order_id,
        },
    )


async def _list(call: Call[OrdersQuery, Nothing]) -> web.Response:
    query = call.query
    account = None if query.account is None else AccountId(query.account)
    if account is not None:
        known_account(call.engine, account)
    key = None if query.client_order_id is None else ClientOrderId(query.client_order_id)
    views = call.engine.orders(
        OrderFilter(
            account=account,
            state=query.state,
            open_only=query.open,
            client_order_id=key,
            limit=query.limit + 1,  # One more tells that there are more.
        )
    )
    orders = tuple(OrderBody.of(view) for view in views[: query.limit])
    return answer(OrdersAnswer(orders=orders, truncated=len(views) > query.limit))


async def _show(call: Call[Nothing, Nothing]) -> web.Response:
    order = _known_order(call.engine, call.path("order_id"))
    return answer(OrderBody.of(order, _legs(call.engine, order)))


def _legs(engine: Engine, leader: OrderView) -> list[OrderView]:
    """Return the other orders of a group that this order leads, none for any other order."""
    if leader.group is None or not leader.group.leads:
        return []
    found: list[tuple[GroupPlace, OrderView]] = [
        (view.group, view)
        for view in engine.orders(OrderFilter(account=leader.account))
        if view.group is not None
        and view.group.leader == leader.order_id
        and view.order_id != leader.order_id
    ]
    return [view for _, view in sorted(found, key=lambda each: each[0].index)]


async def _events(call: Call[Nothing, Nothing]) -> web.Response:
    order_id = _known_order(call.engine, call.path("order_id")).order_id
    return answer(OrderEventsAnswer.of(order_id, await call.engine.story(order_id)))


async def _resolve(call: Call[Nothing, ResolveBody]) -> web.Response:
    order = _known_order(call.engine, call.path("order_id"))
    body = call.body
    if body.resolution is Resolution.FILLED and body.price is None and order.limit_price is None:
        raise bad_field(
            field="price",
            value=None,
            allowed=f"the price that it filled at; order {order.order_id} has no limit price",
        )
    resolved = await call.engine.resolve(order.order_id, body.request(), by=call.caller)
    return answer(OrderBody.of(resolved), HTTPStatus.ACCEPTED)


async def _adopt(call: Call[Nothing, AdoptBody]) -> web.Response:
    account = call.account()
    broker_order_id = call.path("broker_order_id")
    if not is_broker_order_id(broker_order_id):
        raise bad_field(
            field="broker_order_id", value=broker_order_id, allowed=BROKER_ORDER_ID_ALLOWED
        )
    try:
        order = await call.engine.adopt(
            account,
            BrokerOrderId(broker_order_id),
            cancel=call.body.cancel,
            by=f"{call.caller}: {call.body.reason}",
        )
    except UnknownExternalOrder:
        raise ApiError(
            HTTPStatus.NOT_FOUND,
            "UNKNOWN_EXTERNAL_ORDER",
            f"broker_order_id is {shown(broker_order_id)}; account {account} has no such order "
            "of others that still works",
            details={"field": "broker_order_id", "value": detail(broker_order_id)},
        ) from None
    call.request[ORDER_ID] = order.order_id
    return answer(OrderBody.of(order), HTTPStatus.ACCEPTED)


async def _modify(call: Call[ModifyQuery, ModifyBody]) -> web.Response:
    order = _known_order(call.engine, call.path("order_id"))
    _refuse_foreign_terms(order, call.body)
    try:
        order = await call.engine.modify(order.order_id, call.body.change(), by=call.caller)
    except ChangeRefused as refused:
        unchanged = OrderBody.of(call.engine.order(order.order_id))
        body = RefusedChangeAnswer(order=unchanged, error=_refusal(refused.reason))
        return answer(body, HTTPStatus.UNPROCESSABLE_ENTITY)
    if call.query.wait is not None:
        timeout_ms = _wait_ms(call.query.timeout)
        order = await call.engine.wait_settled(order.order_id, timeout_ms=timeout_ms)
    return answer(OrderBody.of(order), HTTPStatus.ACCEPTED)


def _refuse_foreign_terms(order: OrderView, body: ModifyBody) -> None:
    """Refuse terms that an order of this kind does not have."""
    if body.quantity is not None and order.cash_quantity is not None:
        raise bad_field(
            field="quantity",
            value=body.quantity,
            allowed=f"nothing, order {order.order_id} is for an amount of money",
        )
    for field, value in (("limit_price", body.limit_price), ("stop_price", body.stop_price)):
        if value is not None and field not in price_fields(order.type):
            raise bad_field(
                field=field, value=value, allowed=f"nothing, {order.type} has no {field}"
            )


async def _cancel(call: Call[Nothing, Nothing]) -> web.Response:
    order_id = _known_order(call.engine, call.path("order_id")).order_id
    try:
        order = await call.engine.cancel(order_id, by=call.caller)
        reason = order.reason
    except JournalUnavailable:
        order = call.engine.order(order_id)
        message = (
            f"the journal cannot be written, so the cancel of order {order_id} has no record; "
            "the cancel itself is sent all the same, from memory"
        )
        reason = Reason(code=_UNWRITTEN, message=message)
    is_unwritten = reason is not None and reason.code == _UNWRITTEN
    warning = ReasonBody.of(reason) if is_unwritten else None
    return answer(CancelAnswer.with_warning(order, warning), HTTPStatus.ACCEPTED)


def _known_order(engine: Engine, order_id: str) -> OrderView:
    try:
        return engine.order(OrderId(order_id))
    except UnknownOrder:
        raise unknown_order(order_id) from None


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="POST",
        path="/v1/accounts/{account}/orders",
        summary="Submit an order, or a group of them with legs; the same client_order_id and body "
        "give the same order, always",
        query=SubmitQuery,
        body=SubmitBody,
        answers={202: OrderBody, 422: DeniedAnswer},
        handler=_submit,
        errors=(404, 409, 503),
    ),
    Route(
        method="GET",
        path="/v1/orders",
        summary="Orders, newest first",
        query=OrdersQuery,
        body=Nothing,
        answers={200: OrdersAnswer},
        handler=_list,
        errors=(404,),
    ),
    Route(
        method="GET",
        path="/v1/orders/{order_id}",
        summary="One order",
        query=Nothing,
        body=Nothing,
        answers={200: OrderBody},
        handler=_show,
        errors=(404,),
    ),
    Route(
        method="PATCH",
        path="/v1/orders/{order_id}",
        summary="Ask for new terms of an order at the broker; what is not named stays as it is",
        query=ModifyQuery,
        body=ModifyBody,
        answers={202: OrderBody, 422: RefusedChangeAnswer},
        handler=_modify,
        errors=(404, 409, 503),
    ),
    Route(
        method="DELETE",
        path="/v1/orders/{order_id}",
        summary="Ask for the cancel of an order; a terminal one is shown as it is",
        query=Nothing,
        body=Nothing,
        answers={202: CancelAnswer},
        handler=_cancel,
        errors=(404,),
    ),
    Route(
        method="GET",
        path="/v1/orders/{order_id}/events",
        summary="The whole story of an order: every record of it, and each in words",
        query=Nothing,
        body=Nothing,
        answers={200: OrderEventsAnswer},
        handler=_events,
        errors=(404,),
    ),
    Route(
        method="POST",
        path="/v1/orders/{order_id}/resolve",
        summary="Say what became of an order that the engine could not find",
        query=Nothing,
        body=ResolveBody,
        answers={202: OrderBody},
        handler=_resolve,
        errors=(404, 409, 503),
    ),
    Route(
        method="POST",
        path="/v1/accounts/{account}/external/{broker_order_id}/adopt",
        summary="Make somebody else's order one of ours, and cancel it if wanted",
        query=Nothing,
        body=AdoptBody,
        answers={202: OrderBody},
        handler=_adopt,
        errors=(404, 409, 503),
    ),
)

"""Accounts, what they hold, what they may do, and the halt of a part of the firm.

Rule: a halt that would halt nothing is an error. Whoever mistypes an account must not
believe that it is stopped.
"""

from typing import Final

from aiohttp import web

from engine.api.answers import (
    AccountBody,
    AccountsAnswer,
    HaltAnswer,
    LimitsAnswer,
    PositionBody,
    PositionsAnswer,
    ResumeAnswer,
)
from engine.api.errors import bad_field
from engine.api.order_answers import ExternalOrderBody, ExternalOrdersAnswer
from engine.api.route import AnyRoute, Call, Route, answer, known_account
from engine.api.wire import HaltBody, LimitsQuery, Nothing, ResumeBody
from engine.domain.messages import HaltScope, ResumeScope
from engine.domain.ports import Engine
from engine.domain.values import AccountId, Scope, ScopeKind


async def _list(call: Call[Nothing, Nothing]) -> web.Response:
    accounts = tuple(AccountBody.of(view) for view in call.engine.accounts())
    return answer(AccountsAnswer(accounts=accounts))


async def _show(call: Call[Nothing, Nothing]) -> web.Response:
    return answer(AccountBody.of(call.engine.account(call.account())))


async def _positions(call: Call[Nothing, Nothing]) -> web.Response:
    account = call.account()
    positions = tuple(PositionBody.of(view) for view in call.engine.positions(account))
    return answer(PositionsAnswer(account=account, positions=positions))


async def _external_orders(call: Call[Nothing, Nothing]) -> web.Response:
    account = call.account()
    orders = tuple(map(ExternalOrderBody.of, call.engine.external_orders(account)))
    return answer(ExternalOrdersAnswer(account=account, orders=orders))


async def _limits(call: Call[LimitsQuery, Nothing]) -> web.Response:
    view = call.engine.limits(call.account())
    return answer(LimitsAnswer.of(view, explain=call.query.explain))


async def _halt(call: Call[Nothing, HaltBody]) -> web.Response:
    body = call.body
    _refuse_empty(call.engine, body.scope)
    halt = HaltScope(scope=body.scope, level=body.level, reason=body.reason, by=call.caller)
    cancels = await call.engine.halt(halt, cancel_working=body.cancel_working)
    return answer(
        HaltAnswer(
            scope=str(body.scope),
            level=body.level,
            reason=body.reason,
            cancels_requested=cancels,
        )
    )


async def _resume(call: Call[Nothing, ResumeBody]) -> web.Response:
    body = call.body
    resume = ResumeScope(scope=body.scope, reason=body.reason, by=call.caller)
    resumed = await call.engine.resume(resume)
    return answer(ResumeAnswer(scope=str(body.scope), resumed=resumed, reason=body.reason))


def _refuse_empty(engine: Engine, scope: Scope) -> None:
    """Refuse an account or a group that does not exist.

    Strategies and instruments are not listed anywhere: theirs hold for orders to come.
    """
    if scope.kind is ScopeKind.ACCOUNT:
        known_account(engine, AccountId(scope.key))
    elif scope.kind is ScopeKind.GROUP:
        views = (engine.limits(view.account) for view in engine.accounts())
        groups = sorted({group for view in views for group in view.groups})
        if scope.key not in groups:
            names = ", ".join(groups) or "no account is in a group"
            raise bad_field(
                field="scope",
                value=str(scope),
                allowed=f"group:NAME of a group with accounts ({names})",
            )


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/accounts",
        summary="Every configured account",
        query=Nothing,
        body=Nothing,
        answers={200: AccountsAnswer},
        handler=_list,
    ),
    Route(
        method="GET",
        path="/v1/accounts/{account}",
        summary="One account: may it trade, why not, and its money",
        query=Nothing,
        body=Nothing,
        answers={200: AccountBody},
        handler=_show,
        errors=(404,),
    ),
    Route(
        method="GET",
        path="/v1/accounts/{account}/positions",
        summary="What the account holds",
        query=Nothing,
        body=Nothing,
        answers={200: PositionsAnswer},
        handler=_positions,
        errors=(404,),
    ),
    Route(
        method="GET",
        path="/v1/accounts/{account}/external_orders",
        summary="Orders of the account at the broker that this engine did not send",
        query=Nothing,
        body=Nothing,
        answers={200: ExternalOrdersAnswer},
        handler=_external_orders,
        errors=(404,),
    ),
    Route(
        method="GET",
        path="/v1/accounts/{account}/limits",
        summary="The limits in force, with explain=true each with its file and line",
        query=LimitsQuery,
        body=Nothing,
        answers={200: LimitsAnswer},
        handler=_limits,
        errors=(404,),
    ),
    Route(
        method="POST",
        path="/v1/halt",
        summary="Restrict a part of the firm until it is resumed",
        query=Nothing,
        body=HaltBody,
        answers={200: HaltAnswer},
        handler=_halt,
        errors=(404, 503),
    ),
    Route(
        method="POST",
        path="/v1/resume",
        summary="Lift the restriction of exactly this scope",
        query=Nothing,
        body=ResumeBody,
        answers={200: ResumeAnswer},
        handler=_resume,
        errors=(503,),
    ),
)

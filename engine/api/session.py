"""The gateway sessions, as clients see them, and letting a locked one try again."""

from http import HTTPStatus
from typing import Final

from aiohttp import web

from engine.api.answers import SessionBody, SessionsAnswer
from engine.api.errors import unknown_session
from engine.api.route import AnyRoute, Call, Route, answer
from engine.api.wire import LoginBody, Nothing
from engine.domain.values import SessionName


async def _list(call: Call[Nothing, Nothing]) -> web.Response:
    sessions = tuple(SessionBody.of(view) for view in call.engine.sessions())
    return answer(SessionsAnswer(sessions=sessions))


async def _login(call: Call[Nothing, LoginBody]) -> web.Response:
    name = SessionName(call.path("name"))
    known = [session.name for session in call.engine.sessions()]
    if name not in known:
        raise unknown_session(name, known)
    view = await call.engine.retry_login(name, reason=call.body.reason, by=call.caller)
    return answer(SessionBody.of(view), HTTPStatus.ACCEPTED)


ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/v1/sessions",
        summary="Every configured gateway session",
        query=Nothing,
        body=Nothing,
        answers={200: SessionsAnswer},
        handler=_list,
    ),
    Route(
        method="POST",
        path="/v1/sessions/{name}/login",
        summary="Let a session that was locked out of its login try again, and take over once more",
        query=Nothing,
        body=LoginBody,
        answers={202: SessionBody},
        handler=_login,
        errors=(404, 503),
    ),
)

"""The gateway sessions, as clients see them."""

from typing import Final

from aiohttp import web

from engine.api.answers import SessionBody, SessionsAnswer
from engine.api.route import AnyRoute, Call, Route, answer
from engine.api.wire import Nothing


async def _list(call: Call[Nothing, Nothing]) -> web.Response:
    sessions = tuple(SessionBody.of(view) for view in call.engine.sessions())
    return answer(SessionsAnswer(sessions=sessions))


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
)

"""Is it started, is it alive, is it ready; and the metrics.

Rule: health answers from memory, at once, and asks nobody, so that a busy engine is not
taken for a dead one. It needs no token and tells no secret.
"""

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from engine import metrics
from engine.api.answers import DrainAnswer, LiveAnswer, ReadyAnswer, StartedAnswer
from engine.api.route import AnyRoute, Call, Route, answer
from engine.api.wire import Nothing


def _status(good: bool) -> int:  # noqa: FBT001 - one word, one meaning
    return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE


async def _live(call: Call[Nothing, Nothing]) -> web.Response:
    alive = call.engine.health().alive
    return answer(LiveAnswer(alive=alive), _status(alive))


async def _ready(call: Call[Nothing, Nothing]) -> web.Response:
    health = call.engine.health()
    return answer(ReadyAnswer.of(health), _status(health.ready))


async def _started(call: Call[Nothing, Nothing]) -> web.Response:
    started = call.engine.health().started
    return answer(StartedAnswer(started=started), _status(started))


async def _drain(call: Call[Nothing, Nothing]) -> web.Response:
    call.engine.drain()
    return answer(DrainAnswer(draining=True), HTTPStatus.ACCEPTED)


class Exposition:
    """The metrics as text. Written in a thread, one scrape at a time: it takes a while."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def metrics(self, _call: Call[Nothing, Nothing]) -> web.Response:
        """Answer a scrape."""
        async with self._turn:
            text = await asyncio.to_thread(generate_latest, metrics.REGISTRY)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})


HEALTH_ROUTES: Final[tuple[AnyRoute, ...]] = (
    Route(
        method="GET",
        path="/livez",
        summary="Is the engine worth keeping? When not, restart it",
        query=Nothing,
        body=Nothing,
        answers={200: LiveAnswer, 503: LiveAnswer},
        handler=_live,
        public=True,
    ),
    Route(
        method="GET",
        path="/readyz",
        summary="Does the engine take orders? When not, why",
        query=Nothing,
        body=Nothing,
        answers={200: ReadyAnswer, 503: ReadyAnswer},
        handler=_ready,
        public=True,
    ),
    Route(
        method="GET",
        path="/startupz",
        summary="Has the engine replayed its journal and begun?",
        query=Nothing,
        body=Nothing,
        answers={200: StartedAnswer, 503: StartedAnswer},
        handler=_started,
        public=True,
    ),
)
"""On both listeners."""

ROUTES: Final[tuple[AnyRoute, ...]] = (
    *HEALTH_ROUTES,
    Route(
        method="POST",
        path="/v1/drain",
        summary="Take no new orders, finish what is under way, then stop",
        query=Nothing,
        body=Nothing,
        answers={202: DrainAnswer},
        handler=_drain,
    ),
)


def metrics_routes() -> tuple[AnyRoute, ...]:
    """Return the routes of the metrics listener."""
    scrape: AnyRoute = Route(
        method="GET",
        path="/metrics",
        summary="Metrics for Prometheus",
        query=Nothing,
        body=Nothing,
        answers={200: "text/plain"},
        handler=Exposition().metrics,
        public=True,
    )
    return (*HEALTH_ROUTES, scrape)

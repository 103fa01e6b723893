import asyncio
from dataclasses import replace
from typing import Any

import pytest

from engine import metrics
from engine.domain.values import Reason, SessionState
from engine.domain.views import HealthView
from tests.api.fake_engine import SESSION, Client, FakeEngine, serving

NO_TOKEN = {"Authorization": ""}
DOWN = replace(
    SESSION,
    state=SessionState.DOWN,
    reason=Reason(code="UNREACHABLE", message="connection refused"),
)
UNWELL = HealthView(
    started=False,
    alive=False,
    ready=False,
    draining=True,
    sessions=(DOWN,),
    problems=(Reason(code="JOURNAL_FAILED", message="disk full"),),
)
NOT_READY = {
    "ready": False,
    "draining": True,
    "sessions": [
        {
            "name": "main",
            "ready": False,
            "state": "DOWN",
            "reason": {"code": "UNREACHABLE", "message": "connection refused"},
        }
    ],
    "problems": [{"code": "JOURNAL_FAILED", "message": "disk full"}],
}
READY = {
    "ready": True,
    "draining": False,
    "sessions": [{"name": "main", "ready": True, "state": "READY", "reason": None}],
    "problems": [],
}


async def ask_metrics(client: Client, path: str) -> tuple[int, Any]:
    # A probe of Kubernetes names the pod's address, a scrape the service's name.
    headers = {"Host": "engine-0.engine.svc:9700"}
    async with client.http.get(client.server.metrics_url + path, headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize(
    ("path", "well", "unwell"),
    [
        ("/livez", {"alive": True}, {"alive": False}),
        ("/readyz", READY, NOT_READY),
        ("/startupz", {"started": True}, {"started": False}),
    ],
)
def test_health_needs_no_token_and_says_why_it_is_bad(
    path: str, well: dict[str, Any], unwell: dict[str, Any]
) -> None:
    async def scene() -> None:
        async with serving() as client:
            assert await client.ask("GET", path, headers=NO_TOKEN) == (200, well)
            client.engine.health_view = UNWELL
            assert await client.ask("GET", path, headers=NO_TOKEN) == (503, unwell)
            assert (await ask_metrics(client, path))[0] == 503

    asyncio.run(scene())


def test_metrics_are_on_their_own_listener_only() -> None:
    async def scene() -> None:
        metrics.SESSION_EPOCH.labels("health-test").set(7)
        async with serving() as client:
            status, text = await ask_metrics(client, "/metrics")

            assert status == 200
            assert 'engine_session_epoch{session="health-test"} 7.0' in text
            assert (await client.ask("GET", "/metrics"))[0] == 404
            assert (await ask_metrics(client, "/v1/sessions"))[0] == 404

    asyncio.run(scene())


def test_draining_is_asked_of_the_engine() -> None:
    async def scene() -> None:
        async with serving(FakeEngine()) as client:
            assert await client.ask("POST", "/v1/drain") == (202, {"draining": True})
            assert client.engine.drained

    asyncio.run(scene())

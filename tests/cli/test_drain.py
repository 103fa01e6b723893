"""`engine drain`."""

import json

from tests.cli.bodies import DRAINING
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal


def test_an_engine_is_told_to_drain(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", "/v1/drain", DRAINING, status=202)

    ended = terminal.types("drain")

    assert [(request.method, request.path) for request in api.requests] == [("POST", "/v1/drain")]
    assert (ended.code, ended.stdout) == (0, "the engine is draining: it takes no new orders\n")


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("POST", "/v1/drain", DRAINING, status=202)

    ended = terminal.types("drain", "--json")

    assert (ended.code, json.loads(ended.stdout)) == (0, DRAINING)

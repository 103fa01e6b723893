"""`engine events`."""

import json
from collections.abc import Iterable, Iterator

import pytest

from engine.cli import events
from engine.cli.events import read_events
from tests.cli.bodies import EVENT
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

ONE = f"id: 12\nevent: journal\ndata: {json.dumps(EVENT)}\n\n"


def test_an_event_is_a_line(api: FakeApi, terminal: Terminal) -> None:
    api.streams("/v1/events", ONE)

    ended = terminal.types("events", "--from-seq", "11")

    assert api.requests[0].query == {"from_seq": "11"}
    assert (ended.code, ended.stdout) == (
        0,
        '12  2020-01-06T15:00:00.000000Z  SubmitOrder  DU1111111  1-7  {"price":"189.30"}\n',
    )


def test_json_is_one_event_a_line(api: FakeApi, terminal: Terminal) -> None:
    api.streams("/v1/events", ONE + ONE)

    ended = terminal.types("events", "--json")

    assert [json.loads(line) for line in ended.stdout.splitlines()] == [EVENT, EVENT]


def test_without_follow_it_ends_when_the_past_is_shown(
    api: FakeApi, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CAUGHT_UP_S", 0.1)
    api.streams("/v1/events", ONE, holds=True)

    ended = terminal.types("events", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, EVENT, "")


def test_without_follow_it_ends_at_the_first_event_that_came_later(
    api: FakeApi, terminal: Terminal
) -> None:
    later = f"data: {json.dumps(EVENT | {'at': '2999-01-01T00:00:00.000000Z'})}\n\n"
    api.streams("/v1/events", ONE + later, holds=True)

    past = terminal.types("events", "--json")

    assert (past.code, json.loads(past.stdout)) == (0, EVENT)


def test_following_shows_what_came_later_too(api: FakeApi, terminal: Terminal) -> None:
    later = EVENT | {"at": "2999-01-01T00:00:00.000000Z"}
    api.streams("/v1/events", f"{ONE}data: {json.dumps(later)}\n\n")

    ended = terminal.types("events", "--json", "--follow")

    assert [json.loads(line) for line in ended.stdout.splitlines()] == [EVENT, later]


def test_something_else_than_an_event_is_recognised(api: FakeApi, terminal: Terminal) -> None:
    api.streams("/v1/events", "data: hello\n\n")

    ended = terminal.types("events")

    assert (ended.code, ended.stdout) == (1, "")
    assert "is that an engine?" in ended.stderr


def test_following_an_engine_that_went_silent_is_a_failure(
    api: FakeApi, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "SILENCE_S_MAX", 0.1)
    api.streams("/v1/events", ONE, holds=True)

    ended = terminal.types("events", "--follow")

    assert ended.code == 1
    assert ended.stderr == f"engine: the engine at {api.url} has been silent for 0.1 s\n"


def test_a_refused_stream_is_a_failure(api: FakeApi, terminal: Terminal) -> None:
    api.refuses("GET", "/v1/events", 403, "FORBIDDEN", "no")

    ended = terminal.types("events")

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == "engine: FORBIDDEN: no\n"


def test_data_of_several_lines_is_one_event_and_comments_are_none() -> None:
    lines = [": still here", "", "data: a", "data:b", "", "id: 3", "", "data: cut off"]

    assert list(read_events(lines)) == ["a\nb"]


def test_ctrl_c_is_the_way_to_stop_following(
    api: FakeApi, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_lines: Iterable[str]) -> Iterator[str]:
        yield json.dumps(EVENT)
        raise KeyboardInterrupt

    monkeypatch.setattr(events, "read_events", interrupted)

    ended = terminal.types("events", "--follow", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, EVENT, "")

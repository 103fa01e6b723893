"""`engine risk`."""

import json
from pathlib import Path

import pytest

from tests.cli.bodies import LIMITS
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

PATH = "/v1/accounts/DU1111111/limits"
RISK = """\
version: 7
defaults:
  order:
    max_qty: {STK: 200}
accounts:
  DU1111111:
    order:
      max_qty: {STK: 150}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "risk.yaml"
    file.write_text(RISK)
    return file


def test_limits_in_force_are_shown_with_their_sources(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", PATH, LIMITS)

    ended = terminal.types("risk", "show", "DU1111111")

    assert (ended.code, ended.stderr) == (0, "")
    assert api.requests[0].query == {"explain": "true"}
    assert ended.lines == [
        ["account", "DU1111111"],
        ["groups", "desk"],
        ["version", "4"],
        ["policy_hash", "abc123"],
        [],
        ["limit", "value", "source"],
        ["order.max_qty.STK", "100", "risk.yaml:12"],
        ["working.max_total", "10", "built-in"],
    ]


def test_a_refused_newer_file_is_named(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", PATH, LIMITS | {"file_error": "risk.yaml:3: found -5"})

    ended = terminal.types("risk", "show", "DU1111111")

    assert ended.code == 0
    assert ended.stderr == (
        "the file on disk is refused, these limits are older: risk.yaml:3: found -5\n"
    )


def test_json_is_what_the_api_sent(api: FakeApi, terminal: Terminal) -> None:
    api.answers("GET", PATH, LIMITS)

    ended = terminal.types("risk", "show", "DU1111111", "--json")

    assert (ended.code, json.loads(ended.stdout), ended.stderr) == (0, LIMITS, "")


def test_the_limits_of_a_file_are_shown_without_an_engine(
    file: Path, api: FakeApi, terminal: Terminal
) -> None:
    ended = terminal.types("risk", "show", "DU1111111", "--file", str(file))

    assert (ended.code, ended.stderr, api.requests) == (0, "", [])
    assert ["order.max_qty.STK", "150", "risk.yaml:8"] in ended.lines
    assert ["version", "7"] in ended.lines


def test_the_limits_of_a_file_have_the_same_json(file: Path, terminal: Terminal) -> None:
    ended = terminal.types("risk", "show", "DU2222222", "--file", str(file), "--json")

    limits = json.loads(ended.stdout)
    assert set(limits) == set(LIMITS)
    assert {"name": "order.max_qty.STK", "value": "200", "source": "risk.yaml:4"} in limits[
        "limits"
    ]


def test_a_good_file_is_good(file: Path, terminal: Terminal) -> None:
    ended = terminal.types("risk", "lint", str(file))

    assert (ended.code, ended.stdout, ended.stderr) == (0, f"{file} is good: version 7\n", "")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("STK: 200", "STK: -200"), ("risk.yaml:4", "-200")),
        (("STK: 200", "STK: .nan"), ("risk.yaml:4", ".nan")),
        (("STK: 200", "STK: 200, STK: 300"), ("risk.yaml:4", "appears twice")),
        (("defaults", "defalts"), ("risk.yaml:2", "defalts")),
        (("STK: 150", "STK: 250"), ("risk.yaml:8", "250")),
    ],
)
@pytest.mark.parametrize("command", [("lint",), ("show", "DU1111111", "--file")])
def test_a_bad_file_is_explained(
    change: tuple[str, str],
    problem: tuple[str, str],
    command: tuple[str, ...],
    file: Path,
    terminal: Terminal,
) -> None:
    file.write_text(RISK.replace(*change))

    ended = terminal.types("risk", *command, str(file))

    assert (ended.code, ended.stdout) == (1, "")
    explanation, _, rest = ended.stderr.partition("\n")
    place, found = problem
    assert explanation.startswith(place)
    assert found in explanation
    assert rest == f"engine: {file} cannot be used\n"


def test_the_schema_is_one_json_document(terminal: Terminal) -> None:
    ended = terminal.types("risk", "schema")

    assert ended.code == 0
    assert {"defaults", "groups", "accounts"} <= set(json.loads(ended.stdout)["properties"])

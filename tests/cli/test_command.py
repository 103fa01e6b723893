"""The `engine` command as a whole."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from engine.cli import main
from engine.cli.command import application, version
from tests.cli.fake_api import FakeApi
from tests.cli.terminal import Terminal

ROOT = Path(__file__).parents[2]
COMMANDS = [
    "run", "demo", "sim", "accounts", "positions", "instruments", "quotes", "bars", "events",
    "sessions", "halt", "resume", "drain", "orders", "journal", "gateway", "config", "risk",
]  # fmt: skip


def test_help_lists_every_command(terminal: Terminal) -> None:
    ended = terminal.types("--help")

    assert ended.code == 0
    assert re.findall(r"^│ ([a-z]+) ", ended.stdout, re.MULTILINE) == COMMANDS


@pytest.mark.parametrize(
    ("noun", "verbs"),
    [
        ("orders", ["list", "show", "cancel", "modify", "submit", "resolve", "adopt"]),
        ("sessions", ["retry"]),
        ("config", ["check", "schema"]),
        ("risk", ["lint", "show", "schema"]),
    ],
)
def test_help_lists_what_a_noun_can_do(noun: str, verbs: list[str], terminal: Terminal) -> None:
    ended = terminal.types(noun, "--help")

    assert ended.code == 0
    assert re.findall(r"^│ ([a-z]+) ", ended.stdout, re.MULTILINE) == verbs


def test_every_command_that_calls_the_api_says_where_it_is(terminal: Terminal) -> None:
    ended = terminal.types("orders", "submit", "--help")

    for option in ("--api", "--token-file", "--state-dir", "--ca-file", "ENGINE_API"):
        assert option in ended.stdout


def test_the_version_is_the_one_of_the_crate(terminal: Terminal) -> None:
    manifest = tomllib.loads((ROOT / "rust_core" / "Cargo.toml").read_text())

    ended = terminal.types("--version")

    assert (ended.code, ended.stdout) == (0, f"engine {manifest['package']['version']}\n")
    assert version() == manifest["package"]["version"]


@pytest.mark.parametrize("words", [("nonsense",), ("orders", "nonsense"), ("sessions", "--no")])
def test_what_is_not_a_command_is_a_usage_error(
    words: tuple[str, ...], terminal: Terminal, api: FakeApi
) -> None:
    ended = terminal.types(*words)

    assert (ended.code, ended.stdout, api.requests) == (2, "", [])


def test_an_unexpected_exception_shows_no_local_variables() -> None:
    assert application.pretty_exceptions_enable is False


def test_the_entry_point_leaves_with_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["engine", "--version"])

    with pytest.raises(SystemExit) as caught:
        main()

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"engine {version()}\n"


def test_asking_for_help_loads_no_server_and_no_models() -> None:
    script = (
        "import sys, engine.cli\n"
        "print(sorted({'aiohttp', 'pydantic', 'pykka', 'sqlite3'} & set(sys.modules)))"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert loaded.stdout == "[]\n"

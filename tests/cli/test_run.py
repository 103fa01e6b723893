"""`engine run` and `engine demo` hand over what was typed and leave with what comes back."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import engine
from tests.cli.terminal import Terminal


def _replace(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> list[Any]:
    """Put a module in place of the engine's, and return what its `run` is called with."""
    calls: list[Any] = []

    def run(*arguments: object, **options: object) -> int:
        calls.append(options or arguments)
        return code

    module = ModuleType(f"engine.{name}")
    module.run = run  # type: ignore[attr-defined] # a module takes any attribute
    monkeypatch.setitem(sys.modules, f"engine.{name}", module)
    monkeypatch.setattr(engine, name, module, raising=False)
    return calls


@pytest.mark.parametrize("code", [0, 1])
def test_run_takes_a_file_and_leaves_with_the_engines_code(
    code: int, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _replace(monkeypatch, "app", code)

    ended = terminal.types("run", "--config", "some/engine.yaml")

    assert (ended.code, calls) == (code, [(Path("some/engine.yaml"),)])


def test_run_looks_for_engine_yaml_by_itself(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _replace(monkeypatch, "app", 0)

    terminal.types("run")

    assert calls == [(Path("engine.yaml"),)]


def test_demo_hands_over_its_options(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _replace(monkeypatch, "demo", 0)

    plain = terminal.types("demo")
    chosen = terminal.types(
        "demo", "--sessions", "2", "--accounts", "3", "--seed", "9", "--for", "20"
    )

    assert (plain.code, chosen.code) == (0, 0)
    assert calls == [
        {"sessions": 1, "accounts": 2, "seed": 1, "seconds": None},
        {"sessions": 2, "accounts": 3, "seed": 9, "seconds": 20.0},
    ]


@pytest.mark.parametrize("words", [("--sessions", "0"), ("--accounts", "x"), ("--for", "-1")])
def test_a_demo_of_nothing_is_a_usage_error(words: tuple[str, ...], terminal: Terminal) -> None:
    assert terminal.types("demo", *words).code == 2

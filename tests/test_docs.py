"""The documents, checked against the code that they describe."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import typer
from pydantic import BaseModel

from engine.cli.command import application
from engine.config.engine import EngineConfig, load_engine_config
from engine.config.risk import load_risk_policy
from engine.domain.risk import Check, Code
from engine.domain.risk.limits import (
    BUILT_IN_SETTINGS,
    FALLBACKS,
    RANGES,
    format_value,
)
from engine.domain.values import AccountId, SessionState
from engine.sim import faults
from engine.sim.certificate import load_or_make_certificate

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
PAGES: Final = tuple(
    sorted(
        [
            *ROOT.glob("*.md"),
            *DOCS.rglob("*.md"),
            *ROOT.glob("grafana/*.md"),
            *ROOT.glob("k8s/*.md"),
        ]
    )
)

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
_CODE: Final = re.compile(r"`([^`]+)`")


def fences(page: Path, language: str) -> list[str]:
    return [text for name, text in _FENCE.findall(page.read_text("utf-8")) if name == language]


def rows(page: Path, title: str, table: int = 0) -> list[list[str]]:
    """The rows of a table whose first column has this title; `table` counts from 0."""
    lines = page.read_text("utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith(f"| {title} |")]
    found = []
    for line in lines[starts[table] + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def codes(rows_: list[list[str]], column: int = 0) -> list[str]:
    return [code for row in rows_ for code in _CODE.findall(row[column])]


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


# --- Links and commands --------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    broken = []

    for target in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if target.startswith(("https://", "http://")):
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            broken.append(target)
        elif fragment:
            headings = _HEADING.findall(_FENCE.sub("", file.read_text("utf-8")))
            if fragment not in {anchor(heading) for heading in headings}:
                broken.append(target)

    assert broken == []


def shown_commands() -> Iterator[tuple[str, list[str]]]:
    """Every `engine …` of the documents' shell blocks, with the page that it is on."""
    for page in PAGES:
        for block in fences(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                for position, word in enumerate(words):
                    at_start = position == 0 or words[position - 1] == "--"
                    if at_start and word in {"engine", ".venv/bin/engine"}:
                        yield page.name, words[position + 1 :]


@pytest.mark.parametrize(("page", "words"), [*shown_commands()], ids=str)
def test_every_command_line_that_is_shown_is_one(
    page: str, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words, page
    monkeypatch.setenv("ENGINE_SIM_CONTROL", "http://127.0.0.1:1")
    command = typer.main.get_command(application)
    name = "engine"

    while words and words[0] in getattr(command, "commands", {}):
        name, *words = words
        command = command.commands[name]  # type: ignore[attr-defined]  # it has them: see above

    alone = getattr(command, "invoke_without_command", True)
    assert alone, f"{page}: {name} is no whole command"
    # Parses all options and arguments, and raises when one is unknown or missing.
    with command.make_context(name, words):
        pass


# --- Configuration -------------------------------------------------------------------------


def config_keys(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        parts = [field.annotation, *getattr(field.annotation, "__args__", ())]
        section = next(
            (part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)),
            None,
        )
        if section is None:
            yield f"{prefix}{name}"
        else:
            yield from config_keys(section, f"{prefix}{name}.")


def test_every_key_of_the_configuration_is_explained() -> None:
    page = DOCS / "configuration.md"

    of_a_session = [f"sessions.{key}" for key in codes(rows(page, "Key", 1))]
    keys = codes(rows(page, "Key")) + of_a_session

    expected = {*config_keys(EngineConfig), "sessions"}
    assert sorted(keys) == sorted(expected)


def test_the_example_configuration_works(tmp_path: Path) -> None:
    [example] = fences(DOCS / "configuration.md", "yaml")
    [limits] = fences(DOCS / "risk.md", "yaml")
    (tmp_path / "engine.yaml").write_text(example, encoding="utf-8")
    (tmp_path / "risk.yaml").write_text(limits, encoding="utf-8")
    load_or_make_certificate(tmp_path / "state" / "gateway")

    config = load_engine_config(tmp_path / "engine.yaml", {})
    policy = load_risk_policy(config.risk.file)

    assert [session.accounts for session in config.sessions] == [("DU1111111", "DU2222222")]
    assert policy.problems() == ()
    assert policy.limits_for(AccountId("DU1111111")).order_max_notional.value == 10_000
    assert policy.limits_for(AccountId("DU2222222")).trading_state == "reduce_only"


# --- Limits --------------------------------------------------------------------------------


def test_every_limit_is_explained_with_its_built_in_value() -> None:
    table = {row[0].strip("`"): row[2] for row in rows(DOCS / "risk.md", "Key")}

    names = {
        "order.max_qty.<security type>": "order.max_qty.STK",
        "broker_messages.<message id>": "broker_messages",
    }
    explained = {names.get(name, name) for name in table}
    assert explained == {*BUILT_IN_SETTINGS, *(RANGES.keys() - FALLBACKS), "broker_messages"}
    for name, setting in BUILT_IN_SETTINGS.items():
        shown = next(text for key, text in table.items() if names.get(key, key) == name)
        assert shown.split(" for ")[0].strip("`") == format_value(setting.value), name


def test_every_check_and_every_code_is_explained() -> None:
    table = rows(DOCS / "risk.md", "Check")

    assert sorted(row[0] for row in table) == sorted(Check)
    of_modifies = {Code.NOT_MODIFIABLE, Code.REPLACE_PENDING}
    assert sorted(codes(table, 2)) == sorted(set(Code) - of_modifies)
    assert all(f"`{code}`" in (DOCS / "risk.md").read_text("utf-8") for code in of_modifies)


# --- Sessions and the simulator ------------------------------------------------------------


def test_the_runbook_explains_every_state_but_ready() -> None:
    explained = [
        state.strip() for row in rows(DOCS / "runbook.md", "State") for state in row[0].split(",")
    ]

    assert sorted(explained) == sorted(set(SessionState) - {SessionState.READY})


def test_every_fault_of_the_simulator_is_explained() -> None:
    page = DOCS / "simulator.md"
    tables = page.read_text("utf-8").count("\n| Fault |")
    explained = [name for table in range(tables) for name in codes(rows(page, "Fault", table))]

    assert sorted(explained) == sorted(faults.FAULTS)


def test_the_example_faults_are_faults(tmp_path: Path) -> None:
    [example] = fences(DOCS / "simulator.md", "yaml")
    file = tmp_path / "faults.yaml"
    file.write_text(example, encoding="utf-8")

    loaded = faults.load_faults(file)

    assert (loaded.status_503_with_accept, loaded.split_frames) == (1, True)


def test_every_option_of_the_simulator_is_explained() -> None:
    command = typer.main.get_command(application).commands["sim"]  # type: ignore[attr-defined]  # a group

    explained = {code.split()[0] for code in codes(rows(DOCS / "simulator.md", "Option"))}

    assert explained == {option for parameter in command.params for option in parameter.opts}


_FOLDERS: Final = (
    "benchmarks",
    "docs",
    "engine",
    "examples",
    "grafana",
    "k8s",
    "rust_core",
    "tests",
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_paths_that_there_are(page: Path) -> None:
    named = {
        text.split("::")[0].rstrip("/")
        for text in _CODE.findall(page.read_text("utf-8"))
        if text.split("/")[0] in _FOLDERS
        and re.fullmatch(r"[\w./-]+(::\w+)?", text)
        and "/" in text
    }

    assert sorted(path for path in named if not (ROOT / path).exists()) == []

"""The house rules that no other tool checks: sizes, mirrors, boundaries, generated pages."""

import ast
import dataclasses
import inspect
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine import metrics
from engine.domain import messages
from engine.domain.order import TRANSITIONS
from engine.domain.values import TERMINAL

ROOT = Path(__file__).parent.parent
LINES_MAX = 500
FUNCTION_LINES_MAX = 60

SOURCES = sorted(file for file in (ROOT / "engine").rglob("*.py") if not file.name.startswith("__"))
PYTHON = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]
RUST = sorted((ROOT / "rust_core" / "src").glob("*.rs"))

# Files whose tests bear another name, with the reason.
MIRRORED_ELSEWHERE = {
    "engine/domain/messages": "declarations; test_tidy checks that they are frozen and documented",
    "engine/domain/ports": "protocols",
    "engine/sim/faults": "tests/sim/test_faults.py; most are declarations",
    "engine/config/section.py": "tests/config/test_engine.py drives it",
    "engine/config/orders.py": "tests/config/test_engine.py drives it",
    "engine/domain/values": "tests/domain/test_values.py; most are declarations",
    "engine/domain/views.py": "declarations",
    "engine/domain/order/history.py": "tests/domain/order/test_machine.py drives it",
    "engine/domain/order/transitions.py": "a table; tests/domain/order/test_machine.py walks it",
    "engine/domain/session/settings.py": "declarations; tests/domain/session/test_machine.py",
    "engine/domain/session/orders.py": "tests/domain/session/test_machine.py drives it",
    "engine/domain/risk/effects.py": "declarations",
    "engine/domain/session/effects.py": "declarations",
    "engine/journal/batch.py": "tests/journal/contract.py drives it",
    "engine/demo.py": "tests/scenarios/test_demo.py runs it",
    "engine/config/loading.py": "tests/config/test_engine.py and test_risk.py drive it",
    "engine/domain/order/merge.py": "tests/domain/order/test_machine.py drives it",
    "engine/journal/errors.py": "declarations",
    "engine/journal/postgres_server.py": "tests/journal/test_postgres.py drives it",
    "engine/journal/postgres_shard.py": "tests/journal/test_postgres.py drives it",
    "engine/cli/journal_work.py": "tests/cli/test_journal.py drives it",
    "engine/journal/verify.py": "tests/journal/test_sqlite.py drives it",
    "engine/sim/account_topics.py": "tests/sim/test_stream.py and test_topics.py drive it",
    "engine/sim/orders.py": "tests/sim/test_venue.py drives it",
    "engine/sim/world.py": "the parts of a gateway, wired; every test of tests/sim drives it",
    "engine/cli/files.py": "tests/cli/test_config.py and test_risk.py drive it",
}


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("file", [*PYTHON, *RUST], ids=relative)
def test_no_file_is_longer_than_a_person_reads(file: Path) -> None:
    lines = len(file.read_text().splitlines())
    is_test = relative(file).startswith("tests/")

    assert lines <= (LINES_MAX * 2 if is_test else LINES_MAX), f"{lines} lines"


@pytest.mark.parametrize("file", SOURCES, ids=relative)
def test_no_function_is_longer_than_a_screen(file: Path) -> None:
    too_long = [
        f"{node.name}: {length} lines"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]

    assert too_long == []


@pytest.mark.parametrize("file", SOURCES, ids=relative)
def test_every_source_has_its_mirrored_test(file: Path) -> None:
    path = relative(file)
    if any(path.startswith(known) for known in MIRRORED_ELSEWHERE):
        return
    mirror = ROOT / "tests" / file.relative_to(ROOT / "engine").with_name(f"test_{file.name}")

    assert mirror.exists(), f"{relative(mirror)} is missing"


def message_classes() -> Iterator[type]:
    for name in messages.__all__:
        found = getattr(messages, name)
        if inspect.isclass(found) and dataclasses.is_dataclass(found):
            yield found


@pytest.mark.parametrize("message", list(message_classes()), ids=lambda found: found.__name__)
def test_every_message_is_frozen_slotted_and_documented(message: type) -> None:
    assert message.__dataclass_params__.frozen  # type: ignore[attr-defined] # a dataclass's own
    assert "__slots__" in vars(message)
    assert message.__doc__
    assert not message.__doc__.startswith(f"{message.__name__}("), "the generated docstring"


def test_every_message_is_exported_and_journaled_ones_are_known() -> None:
    exported = set(messages.__all__)

    assert {found.__name__ for found in messages.JOURNALED} <= exported


def holding(text: str, files: list[Path]) -> set[str]:
    return {relative(file) for file in files if text in file.read_text()}


def test_only_risk_approves_a_ticket() -> None:
    makers = {
        path
        for path in holding("ApprovedTicket(", SOURCES)
        if re.search(r"(?<!class )ApprovedTicket\(", (ROOT / path).read_text())
    }

    assert makers == {"engine/domain/risk/approvals.py"}


def test_only_python_rs_knows_python() -> None:
    assert holding("pyo3", RUST) <= {"rust_core/src/python.rs", "rust_core/src/lib.rs"}


def test_only_the_bridge_asks() -> None:
    asking = {
        path
        for path in holding(".ask(", SOURCES)
        if path.startswith("engine/actors/")
        and path not in {"engine/actors/bridge.py", "engine/actors/mailbox.py"}
    }

    assert asking == set()


def test_the_domain_reads_no_clock_and_no_chance() -> None:
    forbidden = {"now", "utcnow", "today", "uuid4", "getenv", "environ"}
    guilty = {
        f"{relative(file)}: {node.attr}"
        for file in SOURCES
        if relative(file).startswith("engine/domain/")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in forbidden
    }

    assert guilty == set()


def test_no_test_is_skipped_in_silence() -> None:
    marks = [
        f"{relative(file)}: {line.strip()}"
        for file in PYTHON
        if file != Path(__file__)
        for line in file.read_text().splitlines()
        if re.search(r"pytest\.(skip|mark\.skip)\(\s*\)|pytest\.mark\.skip\b(?!if)", line)
    ]

    assert marks == []


# --- generated pages ---------------------------------------------------------------------


def draw_states() -> str:
    """Draw the table of the order's states as a Mermaid diagram."""
    lines = [
        "# States of an order",
        "",
        "Drawn from `engine/domain/order/transitions.py` by `make docs`. A way that is not in",
        "this picture is never taken. Ways out of FILLED, CANCELLED, EXPIRED and REJECTED are",
        "taken on new evidence only: a fill, a correction, or the broker showing the order.",
        "",
        "```mermaid",
        "stateDiagram-v2",
    ]
    for state, targets in TRANSITIONS.items():
        source = "[*]" if state is None else state.value
        lines += [f"    {source} --> {target.value}" for target in sorted(targets)]
        if state in TERMINAL:
            lines.append(f"    {source} --> [*]")
    return "\n".join([*lines, "```", ""])


def list_metrics() -> str:
    """List every metric with its help text and labels."""
    lines = [
        "# Metrics",
        "",
        "Listed from `engine/metrics.py` by `make docs`. Counters end in `_total`; a histogram",
        "has the usual `_bucket`, `_sum` and `_count`.",
        "",
        "| name | type | labels | meaning |",
        "|---|---|---|---|",
    ]
    collectors = [found for found in vars(metrics).values() if hasattr(found, "_labelnames")]
    for found in sorted(collectors, key=lambda collector: str(collector._name)):
        name = found._name + ("_total" if found._type == "counter" else "")
        labels = ", ".join(found._labelnames) or "none"
        lines.append(f"| `{name}` | {found._type} | {labels} | {found._documentation} |")
    return "\n".join([*lines, ""])


@pytest.mark.parametrize(
    ("page", "draw"), [("order-states.md", draw_states), ("metrics.md", list_metrics)]
)
def test_generated_pages_are_fresh(page: str, draw: Callable[[], str]) -> None:
    file = ROOT / "docs" / page
    wanted = draw()
    if os.environ.get("UPDATE_DOCS"):
        file.write_text(wanted)

    assert file.exists(), "run `make docs`"
    assert file.read_text() == wanted, "run `make docs`"

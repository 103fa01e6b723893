"""`engine sim` as people run it: a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.terminal import Terminal

ROOT = Path(__file__).parents[2]


@contextmanager
def _simulator(*options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "engine", "sim", "--port", "0", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _announcement(process: subprocess.Popen[str], sessions: int = 1) -> list[str]:
    """Read until the entries for engine.yaml are complete."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if sum(row.startswith("    accounts:") for row in lines) == sessions:
            return lines
    pytest.fail(f"the simulator ended after {lines}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_how_to_connect_and_stops_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    with _simulator("--cert-dir", str(tmp_path), "--accounts", "DU777, DU888") as process:
        lines = _announcement(process)
        url = lines[0].split()[-1]
        os.kill(process.pid, number)
        process.communicate(timeout=20)

    assert process.returncode == 0
    assert url.startswith("https://127.0.0.1:")
    assert lines[1] == f"CA file            {tmp_path / 'cert.pem'}"
    assert len(lines[2].split()[-1]) == 64
    assert lines[3] == "accounts           DU777, DU888"
    assert lines[4].startswith("control port       http://127.0.0.1:")
    assert lines[5:] == [
        "",
        "for engine.yaml:",
        "",
        "sessions:",
        "  - name: sim",
        f"    gateway: {url}",
        "    calendar: none",
        f'    tls: {{verify: ca, ca_file: "{tmp_path / "cert.pem"}"}}',
        '    accounts: ["DU777", "DU888"]',
    ]


def test_a_certificate_that_is_not_kept_is_pinned() -> None:
    with _simulator() as process:
        lines = _announcement(process)

    pin = lines[2].split()[-1]
    assert f'    tls: {{verify: pin, pin_sha256: "{pin}"}}' in lines


def test_a_taken_port_is_named(terminal: Terminal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        ended = terminal.types("sim", "--port", str(port))

    assert (ended.code, ended.stdout) == (1, "")
    assert f"port {port} on 127.0.0.1 is taken; choose another with --port" in ended.stderr


def test_a_bad_faults_file_is_explained(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "faults.yaml"
    file.write_text("competing: true\nhang_nex_order: 1\n")

    ended = terminal.types("sim", "--port", "0", "--faults", str(file))

    assert (ended.code, ended.stdout) == (1, "")
    assert f"{file}, line 2: hang_nex_order is no fault" in ended.stderr


def test_several_logins_have_gateways_and_accounts_of_their_own_and_live_on(
    tmp_path: Path, terminal: Terminal
) -> None:
    options = ("--sessions", "2", "--accounts", "3", "--state", str(tmp_path / "venue.json"))
    with _simulator(*options) as process:
        first = _announcement(process, sessions=2)
        control = next(line for line in first if line.startswith("control")).split()[-1]
        placed = terminal.types(
            "sim", "faults", "external", "conid=265598", "--control", control, "--session",
            "simuser2",
        )  # fmt: skip
        process.terminate()
        process.communicate(timeout=20)
    with _simulator(*options) as process:
        second = _announcement(process, sessions=2)

    order_id = json.loads(placed.stdout.partition("external")[2])["order"]
    kept = json.loads((tmp_path / "venue.json").read_text())["sessions"]
    assert [line for line in first if line.startswith("accounts")] == [
        "accounts           DU1000001, DU1000002, DU1000003",
        "accounts           DU2000001, DU2000002, DU2000003",
    ]
    assert [line for line in second if line.startswith("  - name")] == [
        "  - name: sim1",
        "  - name: sim2",
    ]
    assert [row["order_id"] for row in kept["simuser2"]["orders"]] == [order_id]
    assert kept["simuser1"]["orders"] == []


def test_a_state_file_that_is_none_is_named(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "venue.json"
    file.write_text("{}")

    ended = terminal.types("sim", "--port", "0", "--state", str(file))

    assert (ended.code, ended.stdout) == (1, "")
    assert f"{file}: is no state of format 1 of a simulated venue" in ended.stderr


@pytest.mark.parametrize("options", [("--sessions", "0"), ("--accounts", "0")])
def test_no_logins_and_no_accounts_are_a_usage_error(
    options: tuple[str, str], terminal: Terminal
) -> None:
    assert terminal.types("sim", "--port", "0", *options).code == 2


@pytest.mark.parametrize("accounts", ["", "DU111,", "DU111,DU111", "du111", "DU111;DU222"])
def test_accounts_that_are_none_or_the_same_are_a_usage_error(
    accounts: str, terminal: Terminal
) -> None:
    ended = terminal.types("sim", "--port", "0", "--accounts", accounts)

    assert (ended.code, ended.stdout) == (2, "")


def test_a_port_out_of_range_is_a_usage_error(terminal: Terminal) -> None:
    assert terminal.types("sim", "--port", "65536").code == 2

"""`engine config`."""

import json
import socket
from pathlib import Path

import pytest

from engine.gateway import reach
from tests.cli.terminal import Terminal

RISK = """\
version: 7
defaults: {order: {max_qty: {STK: 200}}}
"""
ENGINE = """\
mode: paper
risk: {file: risk.yaml}
sessions:
  - name: main
    gateway: https://127.0.0.1:5000
    tls: {verify: insecure_loopback}
    accounts: [DU1111111]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "risk.yaml").write_text(RISK)
    file = tmp_path / "engine.yaml"
    file.write_text(ENGINE)
    return file


def test_good_files_are_named_with_what_they_are_for(
    file: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "addresses_of_this_machine", tuple)

    ended = terminal.types("config", "check", str(file))

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == (
        f"{file} is good: paper mode, sessions main\n"
        f"{file.parent / 'risk.yaml'} is good: version 7\n"
    )


def test_an_unchecked_gateway_of_real_money_is_warned_about(
    file: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "addresses_of_this_machine", tuple)
    file.write_text(ENGINE.replace("paper", "live").replace("DU1111111", "U1111111"))

    ended = terminal.types("config", "check", str(file))

    assert ended.code == 0
    assert ended.stderr == (
        "warning: session main takes any program on this machine for its gateway "
        "(tls.verify: insecure_loopback), and trades real money; use pin or ca\n"
    )


def test_a_gateway_that_others_can_reach_is_warned_about(
    file: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "addresses_of_this_machine", lambda: ("127.0.0.2", "127.0.0.3"))
    with socket.create_server(("127.0.0.3", 0)) as listening:
        port = listening.getsockname()[1]
        file.write_text(ENGINE.replace("5000", str(port)))

        ended = terminal.types("config", "check", str(file))

    assert ended.code == 0
    assert f"session main also answers at 127.0.0.3 port {port}" in ended.stderr


def test_a_gateway_on_another_machine_is_warned_about(file: Path, terminal: Terminal) -> None:
    file.write_text(
        ENGINE.replace("127.0.0.1", "gateway.invalid").replace(
            "insecure_loopback", f"pin, pin_sha256: {'ab' * 32}"
        )
    )

    ended = terminal.types("config", "check", str(file))

    assert ended.code == 0
    assert "session main is at https://gateway.invalid:5000, not on this machine" in ended.stderr


def test_every_problem_is_named_with_its_line(file: Path, terminal: Terminal) -> None:
    file.write_text(ENGINE.replace("paper", "papier").replace("name:", "nmae:"))

    ended = terminal.types("config", "check", str(file))

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.endswith(f"engine: {file} cannot be used\n")
    for place in ("engine.yaml:1", "engine.yaml:4", "papier", "nmae"):
        assert place in ended.stderr


def test_an_override_of_the_environment_is_checked_too(file: Path, terminal: Terminal) -> None:
    terminal.environment["ENGINE__API__PORT"] = "70000"

    ended = terminal.types("config", "check", str(file))

    assert (ended.code, ended.stdout) == (1, "")
    assert "70000" in ended.stderr


def test_the_limits_file_that_it_names_is_checked_too(file: Path, terminal: Terminal) -> None:
    (file.parent / "risk.yaml").write_text(RISK.replace("200", "-5"))

    ended = terminal.types("config", "check", str(file))

    assert (ended.code, ended.stdout) == (1, "")
    assert "-5" in ended.stderr
    assert ended.stderr.endswith(f"engine: {file.parent / 'risk.yaml'} cannot be used\n")


def test_a_file_that_is_not_there_is_a_failure(tmp_path: Path, terminal: Terminal) -> None:
    ended = terminal.types("config", "check", str(tmp_path / "absent.yaml"))

    assert (ended.code, ended.stdout) == (1, "")
    assert "absent.yaml: cannot be read: No such file or directory" in ended.stderr


def test_the_schema_is_one_json_document(terminal: Terminal) -> None:
    ended = terminal.types("config", "schema")

    assert ended.code == 0
    assert {"mode", "sessions", "risk"} <= set(json.loads(ended.stdout)["properties"])

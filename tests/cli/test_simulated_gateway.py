"""What `engine sim` does when it cannot start."""

from pathlib import Path

import pytest

from engine.cli import simulated_gateway


def test_a_certificate_folder_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")

    code = simulated_gateway.run(
        host="127.0.0.1",
        port=0,
        accounts=("DU111",),
        seed=1,
        faults_file=None,
        cert_dir=occupied / "folder",
        logged_in=True,
    )

    printed = capsys.readouterr()
    assert (code, printed.out) == (1, "")
    assert f"cannot start at {occupied / 'folder'}: Not a directory" in printed.err


def test_a_configuration_that_nobody_could_serve_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = simulated_gateway.run(
        host="127.0.0.1",
        port=0,
        accounts=("DU111", "DU111"),
        seed=1,
        faults_file=None,
        cert_dir=None,
        logged_in=True,
    )

    printed = capsys.readouterr()
    assert (code, printed.out) == (1, "")
    assert "engine: accounts is ('DU111', 'DU111')" in printed.err

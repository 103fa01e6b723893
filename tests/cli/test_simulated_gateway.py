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
        accounts="DU111",
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
        accounts="DU111,DU111",
        seed=1,
        faults_file=None,
        cert_dir=None,
        logged_in=True,
    )

    printed = capsys.readouterr()
    assert (code, printed.out) == (1, "")
    assert "engine: accounts is ('DU111', 'DU111')" in printed.err


@pytest.mark.parametrize(
    ("accounts", "sessions", "expected"),
    [
        (None, 1, (("DU1111111", "DU2222222"),)),
        (None, 2, (("DU1000001", "DU1000002"), ("DU2000001", "DU2000002"))),
        ("1", 2, (("DU1000001",), ("DU2000001",))),
        ("DU1,DU2,DU3", 1, (("DU1", "DU2", "DU3"),)),
        ("DU1,DU2,DU3", 2, (("DU1",), ("DU2", "DU3"))),
    ],
)
def test_accounts_are_shared_out_among_the_logins(
    accounts: str | None, sessions: int, expected: tuple[tuple[str, ...], ...]
) -> None:
    assert simulated_gateway.shares(accounts, sessions) == expected


def test_a_login_without_an_account_is_refused() -> None:
    with pytest.raises(ValueError, match="there are 1 accounts for 2 logins, each needs one"):
        simulated_gateway.shares("DU1", 2)


@pytest.mark.parametrize(
    ("text", "second"), [(None, None), ("00:00", 0), ("22:00", 79_200), ("23:59", 86_340)]
)
def test_the_end_of_the_day_is_a_time(text: str | None, second: int | None) -> None:
    assert simulated_gateway.second_of_day(text) == second


@pytest.mark.parametrize("text", ["24:00", "noon", "22", "22:60"])
def test_what_is_no_time_of_the_day_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=f"the day's end is '{text}', needed is a time as 22:00"):
        simulated_gateway.second_of_day(text)

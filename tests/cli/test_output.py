"""What the commands print."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from engine.cli.output import age, column, duration, print_fields, print_table, printable, shown

NOW = datetime(2026, 1, 5, 15, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.85, "850 ms"),
        (1, "1 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
    ],
)
def test_a_duration_has_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_age_is_counted_from_the_row_and_never_negative() -> None:
    created = {"created_at": "2026-01-05T14:59:30.500000Z"}

    ages = [
        age(created, now=NOW),
        age(created, now=NOW - timedelta(hours=1)),
        age({"created_at": None}, now=NOW),
    ]

    assert ages == ["29 s", "0 ms", "-"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        ("", "-"),
        ([], "-"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        ("1.10", "1.10"),
        (["a", "b"], "a, b"),
        ({"code": "LATE", "message": "too late"}, "LATE: too late"),
        ({"code": "LATE", "message": "LATE: by 3 ms"}, "LATE: by 3 ms"),
    ],
)
def test_values_are_shown_for_people(value: object, text: str) -> None:
    assert shown(value) == text


def test_what_a_terminal_would_obey_is_a_question_mark() -> None:
    assert printable("a\x1b[31mb\x07\r\nc\u202ed é") == "a?[31mb??\nc?d é"


def test_a_cell_is_never_cut_when_piped(capsys: pytest.CaptureFixture[str]) -> None:
    long = "9" * 300

    print_table([column("price"), column("side")], [{"price": long, "side": "BUY"}], none="")

    assert capsys.readouterr().out.split() == ["price", "side", long, "BUY"]


def test_a_narrow_terminal_wraps_between_words_and_breaks_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")

    print_fields([("price", "1234567890" * 3), ("reason", "much too far from the market")])

    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.rstrip() for line in printed.splitlines()] == [
        "price   123456789012345678901234567890",
        "reason  much too far from the market",
    ]


def test_a_long_reason_takes_more_lines_of_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")

    print_fields([("reason", "much too far from the market")])

    printed = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert [line.rstrip() for line in printed.splitlines()] == [
        "reason  much too far",
        "        from the",
        "        market",
    ]

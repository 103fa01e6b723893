import errno
import io
import json
from typing import Any

import pytest
import structlog

from engine import log


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("DU1234567", "DU***4567"),
        ("U12345678 and DF7654321", "U***5678 and DF***4321"),
        ("F1234567", "F***4567"),
        ("order 1-1 of DU1234567: no", "order 1-1 of DU***4567: no"),
        ("EX0001-1-1-F0 at 1234567.89", "EX0001-1-1-F0 at 1234567.89"),
        ("XU1234567", "XU1234567"),
        ("acct_DU1234567_x", "acct_DU***4567_x"),
    ],
)
def test_the_middle_of_an_account_number_is_masked(text: str, masked: str) -> None:
    assert log.mask_account(text) == masked


def test_a_line_is_json_with_its_part_level_time_and_values() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    log.get("actors/order").info("order_filled", order_id="1-1", filled_quantity="10")

    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "order_filled",
        "level": "info",
        "part": "actors/order",
        "order_id": "1-1",
        "filled_quantity": "10",
    }


def test_no_secret_and_no_whole_account_number_is_written() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    log.get("api").info(
        "token_shown",
        token="hunter2",
        authorization="Bearer hunter2",
        password="hunter2",
        cookie="hunter2",
        session_id="hunter2",
        account="DU1234567",
        why="DU1234567 is halted",
    )

    (line,) = lines(stream)
    assert "hunter2" not in stream.getvalue()
    assert (line["account"], line["why"], line["token"]) == (
        "DU***4567",
        "DU***4567 is halted",
        "***",
    )


def test_an_error_is_one_line_too_and_masked() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    error = ValueError("no limits for DU1234567")

    log.get("app").error("limits_missed", exc_info=error)

    (line,) = lines(stream)
    assert line["level"] == "error"
    assert line["exception"].endswith("ValueError: no limits for DU***4567")


def test_what_is_inside_of_values_is_masked_too() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    log.get("app").info(
        "limits_applied",
        changes=("accounts.DU1234567: 1 to 2", ["U12345678"]),
        members={"DU1234567": {"why": "DU1234567 is halted", "Authorization": "Bearer hunter2"}},
        error=ValueError("no limits for DU1234567"),
        numbers={1, "DU1234567"},
        count=1234567,
    )

    (line,) = lines(stream)
    assert line["changes"] == ["accounts.DU***4567: 1 to 2", ["U***5678"]]
    assert line["members"] == {"DU***4567": {"why": "DU***4567 is halted", "Authorization": "***"}}
    assert line["error"] == "ValueError: no limits for DU***4567"
    assert line["count"] == 1234567
    assert "DU1234567" not in stream.getvalue()


def test_a_value_that_contains_itself_is_written_as_far_as_a_person_reads() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    endless: list[object] = ["DU1234567"]
    endless.append(endless)

    log.get("app").info("seen", what=endless)

    (line,) = lines(stream)
    assert json.dumps(line["what"]) == '["DU***4567", ' * 8 + '"..."' + "]" * 8


def test_values_that_are_not_json_are_written_as_text() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    log.get("app").info("seen", what={1}, nothing=None, many=(1, 2))

    (line,) = lines(stream)
    assert (line["what"], line["nothing"], line["many"]) == ("{1}", None, [1, 2])


def test_lines_below_the_level_are_not_written() -> None:
    stream = io.StringIO()
    log.configure(level="WARNING", stream=stream)

    log.get("app").info("quiet")
    log.get("app").warning("loud")

    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_a_logger_that_was_made_before_follows_the_configuration() -> None:
    early = log.get("app")
    stream = io.StringIO()

    log.configure(stream=stream)
    early.info("heard")

    assert [line["event"] for line in lines(stream)] == ["heard"]


def test_what_is_bound_to_the_context_is_in_every_line() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)

    with structlog.contextvars.bound_contextvars(request="r-1"):
        log.get("api").info("answered")

    assert lines(stream)[0]["request"] == "r-1"


def test_without_a_stream_lines_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()

    log.get("app").info("started")

    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "started"


class FullDisk(io.StringIO):
    """A stream that takes nothing while it is full, as a log file on a full disk."""

    full = True

    def flush(self) -> None:
        if self.full:
            self.seek(0)
            self.truncate()
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_cannot_be_written_stops_nobody_and_is_told_later() -> None:
    stream = FullDisk()
    log.configure(stream=stream)
    logger = log.get("journal")

    logger.critical("journal_full")
    logger.info("order_changed")
    stream.full = False
    logger.info("journal_opened")
    logger.info("engine_started")

    assert [(line["event"], line.get("lines")) for line in lines(stream)] == [
        ("log_lines_lost", 2),
        ("journal_opened", None),
        ("engine_started", None),
    ]


def test_a_stream_that_was_closed_stops_nobody_either() -> None:
    stream = io.StringIO()
    log.configure(stream=stream)
    stream.close()

    log.get("app").info("engine_stopped")

    assert stream.closed

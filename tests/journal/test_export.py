import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.ports import Entry
from engine.domain.values import SessionName
from engine.journal import JournalCorrupt
from engine.journal.batch import Row, Waiting, chain_rows, prepare
from engine.journal.export import export_chain, line_of, time_ns, time_text, verify_lines
from engine.journal.verify import EMPTY, Chain, Head
from tests.journal.samples import acknowledged, attempt, entry, submit


def waiting(one: Entry) -> Waiting:
    found = prepare(one, lambda _answer: None)
    assert isinstance(found, Waiting)
    return found


@pytest.fixture
def rows() -> list[Row]:
    return made()[0]


def made() -> tuple[list[Row], Head]:
    entries = [
        replace(entry(submit(1), at_ns=1_750_000_000_123_456_789), session=SessionName("main")),
        entry(attempt(1)),
        entry(acknowledged(1)),
    ]
    return chain_rows([waiting(one) for one in entries], Head(seq=0, hash=EMPTY.hash, epoch=3))


def test_a_line_tells_all_of_a_record(rows: list[Row]) -> None:
    line = json.loads(line_of(rows[1]))

    assert line == {
        "seq": 2,
        "at": "2025-06-15T15:06:40.000000000Z",
        "epoch": 3,
        "type": "ATTEMPT",
        "session": None,
        "account": "DU1111111",
        "order_id": "1-1",
        "body": {"number": 1, "order_id": "1-1", "session_epoch": 1},
        "hash": rows[1][9].hex(),
    }


def test_an_export_can_be_verified_without_the_journal(rows: list[Row]) -> None:
    lines = list(export_chain(rows, Chain("journal")))

    assert verify_lines(lines, "export") == made()[1]
    assert verify_lines([], "export") == EMPTY


def test_a_damaged_record_is_not_exported(rows: list[Row]) -> None:
    rows[1] = (*rows[1][:7], b"{}", *rows[1][8:])
    lines = export_chain(rows, Chain("journal"))

    next(lines)
    with pytest.raises(JournalCorrupt, match="journal: record 2 is damaged: its hash does not"):
        next(lines)


@pytest.mark.parametrize(
    ("found", "put", "problem"),
    [
        (b'"number":1', b'"number":2', "record 2 is damaged: its hash does not match"),
        (b"06:40.0000", b"06:41.0000", "record 2 is damaged: its hash does not match"),
        (b'{"number":1', b'{"number": 1', "record 2 is damaged: its hash does not match"),
        (b'"seq":2', b'"seq":4', "record 2 is damaged: it is missing, the next is 4"),
        (b'"epoch":3', b'"epoch":"3"', "record 2 is damaged: its line is none: Expected `int`"),
        (b"40.000000000Z", b"40.0Z", "record 2 is damaged: its line is none: '2025-06-15T15:06"),
        (b"40.000000000Z", b"yesterday", "record 2 is damaged: its line is none: Invalid isof"),
    ],
)
def test_a_changed_line_is_named(rows: list[Row], found: bytes, put: bytes, problem: str) -> None:
    lines = list(export_chain(rows, Chain("journal")))
    assert found in lines[1]
    lines[1] = lines[1].replace(found, put)

    with pytest.raises(JournalCorrupt, match=problem):
        verify_lines(lines, "export")


@given(st.integers(0, 2**62))
def test_a_time_keeps_its_last_nanosecond(at_ns: int) -> None:
    assert time_ns(time_text(at_ns)) == at_ns

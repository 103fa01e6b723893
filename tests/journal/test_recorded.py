from typing import Any, Final

import pytest

from engine.domain.history import History, replay
from engine.journal.codec import RECORD_TYPES
from engine.journal.export import verify_lines
from engine.journal.snapshot_body import PACKING, read_slices, slices_of
from tests.journal import recorded

THROUGH_A_SNAPSHOT: Final = (0.25, 0.5, 0.9)
"""Where, as a part of the records, a snapshot is made in between."""


def same(was: Any, now: Any) -> Any:
    """Leave out what `now` knows beyond what `was` had: a later version may know more."""
    if isinstance(was, dict) and isinstance(now, dict):
        return {key: same(value, now.get(key)) for key, value in was.items()}
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        return [same(one, other) for one, other in zip(was, now, strict=True)]
    return now


@pytest.mark.parametrize("name", recorded.NAMES)
def test_an_old_export_is_still_whole(name: str) -> None:
    with recorded.export_of(name).open("rb") as lines:
        head = verify_lines(lines, name)

    assert head.seq == len(list(recorded.records_of(name)))


@pytest.mark.parametrize("name", recorded.NAMES)
def test_old_records_make_what_they_made_when_they_were_written(name: str) -> None:
    was = recorded.outcome_of(name)

    now = recorded.outcome(replay(recorded.records_of(name)))

    assert same(was, now) == was


@pytest.mark.parametrize("part", THROUGH_A_SNAPSHOT)
@pytest.mark.parametrize("name", recorded.NAMES)
def test_they_make_the_same_through_a_snapshot(name: str, part: float) -> None:
    records = list(recorded.records_of(name))
    first = History(PACKING)
    for one in records[: int(len(records) * part)]:
        first.apply(one)

    *_, history = read_slices(b"".join(slices_of(first)))
    history.wake()
    for one in records[int(len(records) * part) :]:
        history.apply(one)

    assert history.digest() == replay(records).digest()


def test_between_them_they_have_every_type_of_record() -> None:
    types = {
        line.split(b'"type":"', 1)[1].split(b'"', 1)[0].decode()
        for name in recorded.NAMES
        for line in recorded.export_of(name).read_bytes().splitlines()
    }

    assert types | {"LIMITS"} == set(RECORD_TYPES)  # Limits are loaded once, and never change.

import errno
import stat
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engine.journal import JournalError, snapshot_files
from engine.journal.snapshot import Sealed
from engine.journal.snapshot_files import SnapshotFiles

HASH = bytes(range(32))


def files(folder: Path) -> SnapshotFiles:
    return SnapshotFiles(folder / "journal.db", room_bytes=0)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def any_hash(_seq: int) -> bytes:
    return HASH


def test_two_are_kept_beside_the_journal_and_are_private(tmp_path: Path) -> None:
    kept = files(tmp_path)

    for seq in (9, 10, 11):
        kept.save(seq, HASH, b"%d" % seq)

    assert names(tmp_path) == [f"journal.db.snapshot-{seq:020d}" for seq in (10, 11)]
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    assert kept.take() == Sealed(seq=11, hash=HASH, body=b"11")


def test_a_start_takes_the_newest_and_half_of_one_is_none(tmp_path: Path) -> None:
    files(tmp_path).save(3, HASH, b"3")
    (tmp_path / "journal.db.snapshot.draft").write_bytes(b"half")

    again = files(tmp_path)

    assert again.settle(any_hash) == Sealed(seq=3, hash=HASH, body=b"3")
    assert again.take() == Sealed(seq=3, hash=HASH, body=b"3")
    assert again.take() == Sealed(seq=3, hash=HASH, body=b"3")
    again.save(4, HASH, b"4")
    assert names(tmp_path) == [f"journal.db.snapshot-{seq:020d}" for seq in (3, 4)]


def test_a_disk_that_is_full_before_it_is_whole_keeps_no_half_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = files(tmp_path)
    kept.save(3, HASH, b"3")

    def fail(_path: Path) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(snapshot_files, "sync_file", fail)
    with pytest.raises(OSError, match="no space left"):
        kept.save(4, HASH, b"4")

    assert names(tmp_path) == [f"journal.db.snapshot-{3:020d}"]
    assert kept.take() == Sealed(seq=3, hash=HASH, body=b"3")


def test_one_that_is_spoilt_while_it_is_kept_is_none(tmp_path: Path) -> None:
    kept = files(tmp_path)
    kept.save(3, HASH, b"3")
    (tmp_path / f"journal.db.snapshot-{3:020d}").write_bytes(b"spoilt")

    with capture_logs() as logs:
        found = kept.take()

    assert found is None
    assert [line["event"] for line in logs] == ["snapshot_passed_over"]
    assert files(tmp_path).take() is None


def test_it_never_takes_the_room_that_records_need(tmp_path: Path) -> None:
    kept = SnapshotFiles(tmp_path / "journal.db", room_bytes=1 << 62)

    with pytest.raises(JournalError, match=r"has 90 bytes and must leave \d+ for records, the dis"):
        kept.save(3, HASH, b"body")

    assert names(tmp_path) == []

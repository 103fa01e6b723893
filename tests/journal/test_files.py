import os
import stat
from pathlib import Path

import pytest

from engine.journal import JournalLocked, JournalUnsupported
from engine.journal.files import (
    FileLock,
    Reserve,
    create_private,
    refuse_network_file_system,
    sync_file,
)


def test_a_lock_is_held_once_and_can_be_had_after_its_release(tmp_path: Path) -> None:
    file = tmp_path / "journal.db.lock"
    first = FileLock(file)

    with pytest.raises(JournalLocked, match=f"is locked by process {os.getpid()};"):
        FileLock(file)
    first.release()

    second = FileLock(file)
    second.release()
    assert file.read_text(encoding="ascii") == f"{os.getpid()}\n"


def test_a_new_file_is_private_and_an_existing_one_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "journal.db"

    assert create_private(file) is True
    file.write_bytes(b"content")
    assert create_private(file) is False
    assert file.read_bytes() == b"content"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_directory_is_synced_before_a_new_file_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", fsync)
    create_private(tmp_path / "journal.db")
    create_private(tmp_path / "journal.db")

    assert synced == [str(tmp_path)]


@pytest.mark.parametrize(
    ("kind", "refused"),
    [("nfs4", True), ("cifs", True), ("fuse.sshfs", True), ("ext4", False), ("tmpfs", False)],
)
def test_a_network_file_system_is_refused(
    tmp_path: Path,
    kind: str,
    refused: bool,  # noqa: FBT001 - a table
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    escaped = str(folder).replace(" ", r"\040")
    mounts = tmp_path / "mounts"
    mounts.write_text(
        f"/dev/vda / ext4 rw 0 0\nserver:/x /elsewhere nfs rw 0 0\nfrom {escaped} {kind} rw 0 0\n",
        encoding="utf-8",
    )

    if refused:
        with pytest.raises(JournalUnsupported, match=f"is on the network file system {kind}, "):
            refuse_network_file_system(folder, mounts=mounts)
    else:
        refuse_network_file_system(folder, mounts=mounts)


def test_of_two_mounts_on_one_place_the_later_counts(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("a / nfs rw 0 0\nb / ext4 rw 0 0\n", encoding="utf-8")

    refuse_network_file_system(tmp_path, mounts=mounts)

    mounts.write_text("b / ext4 rw 0 0\na / nfs rw 0 0\n", encoding="utf-8")
    with pytest.raises(JournalUnsupported):
        refuse_network_file_system(tmp_path, mounts=mounts)


def test_a_system_without_a_table_of_mounts_is_not_checked(tmp_path: Path) -> None:
    refuse_network_file_system(tmp_path, mounts=tmp_path / "none")


def test_a_reserve_is_real_room_and_is_given_once(tmp_path: Path) -> None:
    file = tmp_path / "journal.db.reserve"
    reserve = Reserve(file, 3 << 20)

    assert reserve.make() is True
    assert file.stat().st_blocks * 512 >= 3 << 20, "it is written, not only promised"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert reserve.make() is True
    assert (reserve.give(), reserve.give()) == (True, False)
    assert not file.exists()


def test_a_reserve_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    file = tmp_path / "journal.db.reserve"
    file.write_bytes(b"half")

    assert Reserve(file, 5000).make() is True
    assert file.stat().st_size == 5000


def test_room_that_is_not_there_is_not_kept_in_part(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "none" / "journal.db.reserve", 5000)

    assert reserve.make() is False


def test_the_content_of_a_file_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, synced = tmp_path / "content", list[str]()
    file.write_bytes(b"content")

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))

    monkeypatch.setattr(os, "fsync", fsync)
    sync_file(file)

    assert synced == [str(file)]

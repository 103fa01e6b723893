"""How a change of a file on disk is noticed."""

import os
from pathlib import Path

import pytest

from engine.config.watch import FileWatch


def mount(folder: Path, name: str, text: str) -> None:
    """Do what a kubelet does for a ConfigMap: a new folder, then one swap of a link."""
    version = folder / name
    version.mkdir()
    (version / "risk.yaml").write_text(text)
    (folder / "..data_tmp").symlink_to(name)
    (folder / "..data_tmp").replace(folder / "..data")
    if not (folder / "risk.yaml").is_symlink():
        (folder / "risk.yaml").symlink_to("..data/risk.yaml")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "risk.yaml"
    file.write_text("version: 1\n")
    return file


def test_a_file_that_nobody_touches_never_changes(file: Path) -> None:
    watch = FileWatch(file)

    assert [watch.changed() for _ in range(3)] == [False, False, False]


def test_a_swap_of_the_config_maps_link_is_one_change(tmp_path: Path) -> None:
    mount(tmp_path, "..2026_01", "version: 1\n")
    watch = FileWatch(tmp_path / "risk.yaml")

    before = watch.changed()
    mount(tmp_path, "..2026_02", "version: 2\n")
    after = [watch.changed(), watch.changed()]

    assert (before, after) == (False, [True, False])
    assert (tmp_path / "risk.yaml").read_text() == "version: 2\n"


def test_a_swap_is_seen_even_if_the_files_look_the_same(tmp_path: Path) -> None:
    mount(tmp_path, "..2026_01", "version: 1\n")
    os.link(tmp_path / "..2026_01" / "risk.yaml", tmp_path / "kept")
    watch = FileWatch(tmp_path / "risk.yaml")

    (tmp_path / "..2026_02").mkdir()
    os.link(tmp_path / "kept", tmp_path / "..2026_02" / "risk.yaml")
    (tmp_path / "..data_tmp").symlink_to("..2026_02")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    assert watch.changed()


def test_an_editor_that_renames_a_new_file_over_the_old_is_seen(file: Path) -> None:
    watch = FileWatch(file)

    same_size = file.with_suffix(".tmp")
    same_size.write_text("version: 2\n")
    same_size.replace(file)

    assert [watch.changed(), watch.changed()] == [True, False]


def test_a_write_in_place_is_seen_by_its_size_or_its_time(file: Path) -> None:
    watch = FileWatch(file)

    file.write_text("version: 10\n")
    longer = watch.changed()
    status = file.stat()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))

    assert (longer, watch.changed(), watch.changed()) == (True, True, False)


def test_a_half_written_file_is_seen_again_when_it_is_whole(file: Path) -> None:
    watch = FileWatch(file)

    file.write_text("versi")
    half = watch.changed()
    file.write_text("version: 2\ndefaults: {}\n")

    assert (half, watch.changed(), watch.changed()) == (True, True, False)


def test_a_file_that_is_gone_for_a_moment_is_no_change(file: Path) -> None:
    watch = FileWatch(file)
    aside = file.with_suffix(".bak")

    file.rename(aside)
    gone = watch.changed()
    aside.rename(file)

    assert (gone, watch.changed()) == (False, False)


def test_a_file_that_stays_away_is_told_once_and_its_return_too(file: Path) -> None:
    watch = FileWatch(file)
    aside = file.with_suffix(".bak")

    file.rename(aside)
    gone = [watch.changed() for _ in range(4)]
    aside.rename(file)
    back = [watch.changed() for _ in range(2)]

    assert (gone, back) == ([False, True, False, False], [True, False])


def test_a_file_that_comes_later_is_a_change(tmp_path: Path) -> None:
    watch = FileWatch(tmp_path / "risk.yaml")

    (tmp_path / "risk.yaml").write_text("version: 1\n")

    assert [watch.changed(), watch.changed()] == [True, False]


def test_a_broken_link_counts_as_missing(tmp_path: Path) -> None:
    mount(tmp_path, "..2026_01", "version: 1\n")
    watch = FileWatch(tmp_path / "risk.yaml")

    (tmp_path / "..2026_01" / "risk.yaml").unlink()

    assert [watch.changed(), watch.changed(), watch.changed()] == [False, True, False]

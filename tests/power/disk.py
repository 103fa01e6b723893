"""The disk as it may be after a power failure: what was synced, and some of what was not.

Rule 1: of a file, all that was written before its last sync is there. Of what was written
since, any part may be there: whole writes or single sectors, in any order.

Rule 2: a name is durable once its directory was synced. Until then a file may be missing,
and one that was removed may be back.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.power.recording import ACKS, Change

SECTOR: Final = 512
_WAYS: Final = ("nothing", "all", "some writes", "some sectors")


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def sync(self) -> None:
        _apply(self.durable, self.pending)
        self.pending.clear()

    def torn(self, way: str, chance: random.Random) -> bytes:
        content = bytearray(self.durable)
        if way == "nothing":
            kept: list[Change] = []
        elif way == "all":
            kept = self.pending
        else:
            kept = [one for one in self.pending if chance.random() < 0.5]
        for change in kept:
            if way == "some sectors" and change.kind == "w":
                for part in _sectors(change):
                    if chance.random() < 0.7:
                        _apply(content, (part,))
            else:
                _apply(content, (change,))
        return bytes(content)


def _sectors(change: Change) -> Iterable[Change]:
    """Cut a write where the disk's sectors end."""
    at, end = change.offset, change.offset + len(change.data)
    while at < end:
        until = min((at // SECTOR + 1) * SECTOR, end)
        data = change.data[at - change.offset : until - change.offset]
        yield Change(kind="w", file=change.file, offset=at, data=data)
        at = until


def _apply(content: bytearray, changes: Iterable[Change]) -> None:
    for change in changes:
        if change.kind == "t":
            if change.offset < len(content):
                del content[change.offset :]
            else:
                content.extend(bytes(change.offset - len(content)))
            continue
        gap = change.offset - len(content)
        if gap > 0:
            content.extend(bytes(gap))
        content[change.offset : change.offset + len(change.data)] = change.data


class Disk:
    """Takes changes one by one; `fail` writes what a failure right now could leave."""

    def __init__(self) -> None:
        self.acknowledged = 0
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._durable_names: dict[str, int] = {}
        self._folder: int | None = None
        self._ack_file: int | None = None

    def take(self, change: Change) -> None:
        """Let the change happen."""
        match change.kind:
            case "c" | "o":
                self._open(change)
            case "w" if change.file == self._ack_file:
                self.acknowledged = int.from_bytes(change.data, "little")
            case "w" | "t":
                self._file(change.file).pending.append(change)
            case "s" if change.file == self._folder:
                self._durable_names = dict(self._names)
            case "s":
                self._file(change.file).sync()
            case "u":
                self._names = {
                    name: file for name, file in self._names.items() if file != change.file
                }
            case "r":
                self._rename(change)
            case _:
                message = f"a change of the unknown kind {change.kind!r}"
                raise AssertionError(message)

    def _open(self, change: Change) -> None:
        name = change.data.decode()
        if not name:
            self._folder = change.file
        elif name == ACKS:
            self._ack_file = change.file
        elif change.kind == "c":
            # The recorder gives a name one number for ever: what is made anew is empty.
            self._files[change.file] = _File()
            self._names[name] = change.file

    def _rename(self, change: Change) -> None:
        target = change.data.decode()
        self._names = {name: file for name, file in self._names.items() if file != change.file}
        self._names[target] = change.file

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())

    def fail(self, folder: Path, chance: random.Random) -> str:
        """Write a disk that a power failure could leave into `folder`; say which one."""
        way = chance.choice(_WAYS)
        names = chance.choice((self._durable_names, self._names))
        for name, number in names.items():
            if name.endswith("-shm"):
                continue  # Shared memory, made anew by whoever opens the file.
            (folder / name).write_bytes(self._file(number).torn(way, chance))
        return f"{way}, {'durable' if names is self._durable_names else 'all'} names"


def each_failure(
    changes: Iterable[Change], failed: Callable[[Disk, int], None], *, every: int
) -> int:
    """Call `failed` after every so many changes of the disk; return how many there were."""
    disk, count = Disk(), 0
    for number, change in enumerate(changes):
        disk.take(change)
        if number % every == 0:
            failed(disk, number)
            count += 1
    return count

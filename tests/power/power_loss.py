"""Cuts the power of a recorded disk again and again, and opens what is left."""

import asyncio
import contextlib
import random
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.domain.views import EventView
from engine.journal import JournalError, SqliteJournal
from engine.journal.codec import encode
from tests.power.disk import Disk, each_failure
from tests.power.recording import Change
from tests.power.victim import JOURNAL, RESERVE_BYTES, entry

RECORDS_MAX: Final = 10_000
"""No recording has more; a journal reads so many at once."""


@dataclass(slots=True)
class Verdict:
    """What became of the journal over many failures."""

    states: int = 0
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    # In memory where there is such a place: what is tested is the content, not this disk.
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def cut(changes: tuple[Change, ...], *, every: int = 1, draws: int = 1, seed: int = 0) -> Verdict:
    """Cut the power after every so many changes, `draws` times each."""
    verdict, chance = Verdict(), random.Random(seed)

    def failed(disk: Disk, number: int) -> None:
        for _ in range(draws):
            verdict.states += 1
            with _scratch() as folder:
                how = f"after change {number}: {disk.fail(folder, chance)}"
                _inspect(folder, disk.acknowledged, how, verdict)

    each_failure(changes, failed, every=every)
    return verdict


def _inspect(folder: Path, acknowledged: int, how: str, verdict: Verdict) -> None:
    try:
        found = asyncio.run(_read(folder / JOURNAL))
    except JournalError as error:
        verdict.damaged.append(f"{how}: {error}")
        return
    if len(found) < acknowledged:
        verdict.lost.append(f"{how}: {len(found)} of {acknowledged} acknowledged records")
    for number, event in enumerate(found, start=1):
        if (event.seq, event.body) != (number, encode(entry(number).message)):
            verdict.damaged.append(f"{how}: record {number} is {event}")
            return


async def _read(file: Path) -> tuple[EventView, ...]:
    journal = SqliteJournal.open(file, reserve_bytes=RESERVE_BYTES)
    try:
        return await journal.read(after_seq=0, limit=RECORDS_MAX)
    finally:
        await journal.close()

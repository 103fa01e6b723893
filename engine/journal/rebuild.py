"""From a journal to the history that its records make, and to the next snapshot of it.

Rule 1: a start reads the newest snapshot and the records after it; without a snapshot that
can be read, all records.

Rule 2: a snapshot is made of what the journal has, never of what the engine holds in
memory: what is wrong there must not become what is true. It is made in slices, with pauses,
and the chain of what it is made of is followed: after it, only what comes later is checked.
"""

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from typing import Final

from engine import log
from engine.domain.history import History
from engine.domain.ports import Journal, Snapshot
from engine.journal.errors import JournalCorrupt, JournalUnsupported
from engine.journal.snapshot import pass_over
from engine.journal.snapshot_body import PACKING, read_slices, slices_of

REST_RECORDS: Final = 50_000
"""So often, orders that are over are laid to rest while records are read."""

LOOK_S: Final = 10.0
PAUSE_S: Final = 0.005
"""What others have between two slices, of which each takes a millisecond or two."""

_LOG: Final = log.get("journal")


class Snapshots:
    """Starts from the newest snapshot, and makes one for every `records` that follow it."""

    def __init__(self, journal: Journal, *, records: int, pause_s: float = PAUSE_S) -> None:
        self._journal = journal
        self._records = records
        self._pause_s = pause_s
        self._last_seq = 0

    async def rebuild(self) -> History:
        """Return what the records of before this start make: who must act is awake.

        Raises `JournalUnsupported` when a newer version wrote one of the records.
        """
        with without_collector():
            history = await self._from_snapshot(None)
            self._last_seq = history.seq
            await self._follow(history, None, None)
            history.rest()
            history.wake()
        return history

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            if self._journal.last_seq - self._last_seq >= self._records:
                await self.take()

    async def take(self) -> None:
        """Make a snapshot of all that is durable now; what fails is logged, and tried later."""
        until_seq = self._last_seq = self._journal.last_seq
        try:
            history = await self._from_snapshot(self._pause_s)
            await self._follow(history, until_seq, self._pause_s)
            parts = []
            for part in slices_of(history):
                parts.append(part)
                await asyncio.sleep(self._pause_s)
            await self._journal.save_snapshot(Snapshot(seq=history.seq, body=b"".join(parts)))
        except JournalCorrupt as error:
            # What was written is not what is there: a person must look, before a restart does.
            _LOG.critical("journal_damaged", reason=str(error))
        except Exception as error:  # noqa: BLE001 - orders go on without a snapshot
            _LOG.error("snapshot_not_made", seq=until_seq, reason=f"{error!r}")

    async def _from_snapshot(self, pause_s: float | None) -> History:
        snapshot = await self._journal.snapshot()
        history = History(PACKING)
        if snapshot is not None:
            try:
                for history in read_slices(snapshot.body):  # noqa: B007 - the last is whole
                    await _pause(pause_s)
            except JournalUnsupported as error:
                pass_over(snapshot.seq, error)
                history = History(PACKING)
        return history

    async def _follow(self, history: History, until_seq: int | None, pause_s: float | None) -> None:
        """Apply the records after a history's, with a pause after every slice."""
        applied = 0
        async for page in self._journal.replay(after_seq=history.seq, until_seq=until_seq):
            for recorded in page:
                history.apply(recorded)
            applied += len(page)
            if applied >= REST_RECORDS:
                history.rest()
                applied = 0
            await _pause(pause_s)


@contextlib.contextmanager
def without_collector() -> Iterator[None]:
    """Make many objects that all stay: looking for garbage among them takes half the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _pause(pause_s: float | None) -> None:
    if pause_s is not None:
        await asyncio.sleep(pause_s)

from engine.actors.passing_journal import PassingJournal
from engine.domain.messages import EngineStarted
from engine.domain.ports import Committed, Entry, Journal, NotCommitted, Recorded, Snapshot
from engine.domain.views import EventView
from engine.journal import codec
from tests.actors.house import ACCOUNT
from tests.fakes import NOON_NS, FakeJournal, quiet, run

STARTED = EngineStarted(version="1.0", mode="paper")
ENTRY = Entry(at_ns=NOON_NS, account=ACCOUNT, order_id=None, message=STARTED)


def test_everything_is_the_inner_journal() -> None:
    async def scene() -> None:
        before = Recorded(seq=1, entry=ENTRY)
        inner = FakeJournal([before], epoch=7)
        journal: Journal = PassingJournal(inner)
        heard: list[Committed | NotCommitted] = []

        journal.append(ENTRY, heard.append)
        await quiet()
        await journal.save_snapshot(Snapshot(seq=1, body=b"whole"))

        assert heard == [Committed(seq=2)]
        assert (journal.epoch, journal.last_seq) == (7, 2)
        assert [page async for page in journal.replay()] == [(before,)]
        assert [page async for page in journal.replay(after_seq=1, until_seq=2)] == [
            (Recorded(seq=2, entry=ENTRY),)
        ]
        assert await journal.snapshot() == Snapshot(seq=1, body=b"whole")
        assert inner.snapshots == [Snapshot(seq=1, body=b"whole")]
        assert len(await journal.records(account=ACCOUNT)) == 2
        assert await journal.read(after_seq=1, limit=10) == (
            EventView(
                seq=2,
                at_ns=NOON_NS,
                type="START",
                account=ACCOUNT,
                order_id=None,
                body=codec.encode(STARTED),
            ),
        )

    run(scene())

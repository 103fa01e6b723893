import asyncio
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engine import metrics
from engine.domain.messages import CancelOrder, EngineStarted, HaltScope, NoticeSeen
from engine.domain.ports import Committed, Entry, Journal, NotCommitted, Recorded
from engine.domain.values import (
    AccountId,
    OrderId,
    Scope,
    ScopeKind,
    SessionName,
    TradingState,
    make_order_id,
)
from engine.domain.views import EventView
from engine.journal import JournalCorrupt, JournalError, JournalLocked, JournalUnsupported
from engine.journal.codec import encode
from engine.journal.sqlite import SqliteJournal
from tests.journal.samples import ACCOUNT, acknowledged, append, attempt, entry, questioned, submit

REPOSITORY = Path(__file__).parents[2]


def using(path: Path, work: Callable[[SqliteJournal], Awaitable[None]]) -> None:
    """Open the journal, work with it on a loop, and close it."""

    async def run() -> None:
        journal = SqliteJournal.open(path)
        try:
            await work(journal)
        finally:
            await journal.close()

    asyncio.run(run())


def fill(path: Path, records: int) -> None:
    async def work(journal: SqliteJournal) -> None:
        await append(journal, *(entry(attempt(number)) for number in range(1, records + 1)))

    using(path, work)


@contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def sample(name: str) -> float:
    value = metrics.REGISTRY.get_sample_value(name)
    assert value is not None
    return value


def test_entries_are_committed_in_order_and_come_back_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    start = entry(EngineStarted(version="1.0", mode="paper"))
    entries = [start, *(entry(make(1)) for make in (submit, attempt, questioned, acknowledged))]

    async def first(journal: SqliteJournal) -> None:
        assert journal.replay() == ()
        assert journal.last_seq == 0
        assert await append(journal, *entries) == [Committed(seq=seq) for seq in range(1, 6)]
        assert journal.last_seq == 5
        assert journal.replay() == ()  # only what was there before this start

    async def second(journal: SqliteJournal) -> None:
        assert journal.last_seq == 5
        assert await append(journal, entry(attempt(2))) == [Committed(seq=6)]
        assert journal.replay() == tuple(
            Recorded(seq=seq, entry=one) for seq, one in enumerate(entries, start=1)
        )

    using(path, first)
    using(path, second)


def test_records_of_an_order_or_an_account_are_found_while_running(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 2)
    other = AccountId("DU2222222")
    halt = HaltScope(
        scope=Scope(kind=ScopeKind.ACCOUNT, key=other),
        level=TradingState.HALT,
        reason="drill",
        by="ops",
    )
    entries = [
        entry(submit(1)),
        replace(entry(halt), account=other),
        replace(entry(attempt(1)), account=other),
        entry(EngineStarted(version="1.0", mode="paper")),
        entry(acknowledged(1)),
    ]

    async def work(journal: SqliteJournal) -> None:
        await append(journal, *entries)
        order_id = make_order_id(1, 1)

        of_order = await journal.records(order_id=order_id)
        of_account = await journal.records(account=other)
        of_both = await journal.records(account=other, order_id=order_id)

        assert [one.seq for one in of_order] == [1, 3, 5, 7]
        assert [one.entry for one in of_order][1:] == [entries[0], entries[2], entries[4]]
        assert [(one.seq, one.entry) for one in of_account] == [(4, entries[1]), (5, entries[2])]
        assert of_both == (of_account[1],)
        assert await journal.records(order_id=OrderId("1-99")) == ()

    using(path, work)


def test_a_record_is_read_back_as_soon_as_it_is_durable(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        found: list[Recorded] = []
        answered = asyncio.Event()

        async def read() -> None:
            found.extend(await journal.records(order_id=make_order_id(1, 1)))
            answered.set()

        tasks = []
        journal.append(entry(submit(1)), lambda _result: tasks.append(asyncio.create_task(read())))
        await answered.wait()

        assert [one.entry for one in found] == [entry(submit(1))]

    using(tmp_path / "journal.db", work)


def test_a_journal_of_an_older_version_gets_the_indexes_that_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 1)
    with database(path) as connection:
        connection.execute("DROP INDEX records_of_order")
        connection.execute("DROP INDEX records_of_account")

    fill(path, 1)

    with database(path) as connection:
        plans = [
            connection.execute(
                f"EXPLAIN QUERY PLAN SELECT * FROM records WHERE {column} = 'x'"
            ).fetchone()[3]
            for column in ("order_id", "account")
        ]
    assert [plan.split("INDEX ")[1].split()[0] for plan in plans] == [
        "records_of_order",
        "records_of_account",
    ]


def test_the_journal_is_the_port_that_the_domain_asks_for(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        port: Journal = journal
        assert port.epoch == 1

    using(tmp_path / "journal.db", work)


def test_every_start_begins_a_new_epoch(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    epochs = []

    async def work(journal: SqliteJournal) -> None:
        epochs.append(journal.epoch)
        await append(journal, entry(attempt(1)))

    for _ in range(3):
        using(path, work)

    with database(path) as connection:
        rows = connection.execute("SELECT seq, epoch FROM records").fetchall()
    assert epochs == [1, 2, 3]
    assert rows == [(1, 1), (2, 2), (3, 3)]


def test_what_waits_is_committed_in_one_transaction(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    statements: list[str] = []
    began = threading.Event()

    def trace(statement: str) -> None:
        statements.append(statement.split(" ", maxsplit=1)[0])
        began.set()

    async def work(journal: SqliteJournal) -> None:
        journal._connection.set_trace_callback(trace)
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")  # the writer waits here with the first entry
            first = asyncio.create_task(append(journal, entry(attempt(1))))
            await asyncio.to_thread(began.wait)
            rest = asyncio.create_task(
                append(journal, *(entry(attempt(number)) for number in range(2, 101)))
            )
            await asyncio.sleep(0)
            assert sample("engine_journal_queue_records") == 99
            other.execute("ROLLBACK")
            assert await first == [Committed(seq=1)]
            assert await rest == [Committed(seq=seq) for seq in range(2, 101)]
        journal._connection.set_trace_callback(None)

    commits = sample("engine_journal_commit_seconds_count")
    records = sample("engine_journal_records_total")
    using(path, work)

    assert statements.count("BEGIN") == statements.count("COMMIT") == 2
    assert sample("engine_journal_commit_seconds_count") == commits + 2
    assert sample("engine_journal_records_total") == records + 100


def test_every_commit_is_synced(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        def pragma(name: str) -> object:
            return journal._connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert (pragma("journal_mode"), pragma("synchronous")) == ("wal", 2)

    using(tmp_path / "journal.db", work)


def test_events_are_read_without_gaps_while_others_are_written(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        writing = asyncio.create_task(
            append(journal, *(entry(attempt(number)) for number in range(1, 501)))
        )
        seen: list[EventView] = []
        while len(seen) < 500:
            page = await journal.read(after_seq=len(seen), limit=7)
            assert len(page) <= 7
            seen += page
            await asyncio.sleep(0)
        await writing

        assert [event.seq for event in seen] == list(range(1, 501))
        assert seen[41] == EventView(
            seq=42,
            at_ns=1_750_000_000_000_000_000,
            type="ATTEMPT",
            account=ACCOUNT,
            order_id=OrderId("1-1A"),
            body=encode(attempt(42)),
        )
        assert await journal.read(after_seq=500, limit=7) == ()
        assert await journal.read(after_seq=9000, limit=7) == ()

    using(tmp_path / "journal.db", work)


CHILD = textwrap.dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from engine import log
    from engine.journal.sqlite import SqliteJournal
    from tests.journal.samples import append, attempt, entry

    log.configure()

    async def run():
        journal = SqliteJournal.open(Path(sys.argv[1]))
        def done(answer):
            sys.stdout.write(f"{answer.seq}\\n")
            sys.stdout.flush()
        number = 0
        while True:
            for _ in range(3):
                number += 1
                journal.append(entry(attempt(number)), done)
            await append(journal, entry(attempt(number := number + 1)))

    asyncio.run(run())
    """
)


def test_what_was_acknowledged_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    acknowledgements: list[list[int]] = []

    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, cwd=REPOSITORY
        ) as child:
            assert child.stdout is not None
            try:
                seen = [int(child.stdout.readline()) for _ in range(60)]
                with pytest.raises(JournalLocked, match=f"is locked by process {child.pid}; one"):
                    SqliteJournal.open(path)
            finally:
                os.kill(child.pid, signal.SIGKILL)
            rest = child.stdout.read().splitlines(keepends=True)
            acknowledgements.append(seen + [int(line) for line in rest if line.endswith(b"\n")])

    async def work(journal: SqliteJournal) -> None:
        replayed = journal.replay()
        assert journal.epoch == 4
        assert [one.seq for one in replayed] == list(range(1, len(replayed) + 1))
        found = {one.seq for one in replayed}
        for acknowledged_seqs in acknowledgements:
            assert len(acknowledged_seqs) >= 60
            assert found.issuperset(acknowledged_seqs)

    using(path, work)


def test_a_journal_is_open_once(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def work(_journal: SqliteJournal) -> None:
        with pytest.raises(JournalLocked) as caught:
            SqliteJournal.open(path)
        assert str(caught.value) == (
            f"{path}.lock: is locked by process {os.getpid()}; one journal serves one engine"
        )

    using(path, work)
    fill(path, 1)  # closed, it can be opened again


def test_files_are_private(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    names = ("journal.db", "journal.db-shm", "journal.db-wal", "journal.db.lock")
    modes: dict[str, int] = {}

    async def work(journal: SqliteJournal) -> None:
        await append(journal, entry(attempt(1)))
        modes.update((name, stat.S_IMODE((tmp_path / name).stat().st_mode)) for name in names)

    before = os.umask(0o022)
    try:
        using(path, work)
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(names, 0o600)


DAMAGES = [
    ("UPDATE records SET body = cast(replace(body, '3', '4') AS BLOB) WHERE seq = 3", 3,
     "its hash does not match its content"),
    ("UPDATE records SET order_id = 'other' WHERE seq = 2", 2,
     "its hash does not match its content"),
    ("UPDATE records SET at_ns = at_ns + 1 WHERE seq = 5", 5,
     "its hash does not match its content"),
    ("UPDATE records SET body = 'text' WHERE seq = 1", 1, "its hash does not match its content"),
    ("DELETE FROM records WHERE seq = 1", 1, "it is missing, the next is 2"),
    ("DELETE FROM records WHERE seq = 4", 4, "it is missing, the next is 5"),
    ("DELETE FROM records WHERE seq >= 4", 4,
     "the journal ended with record 5 when it was last written"),
    ("UPDATE records SET prev_hash = zeroblob(32) WHERE seq = 4", 4,
     "it does not follow the record before"),
    ("DELETE FROM meta", 5, "the table meta has 0 rows and needs 1"),
    ("UPDATE meta SET epoch = 0", 5, "its epoch 1 is newer than the journal's"),
    ("DROP TABLE meta", 6, "the database cannot be read: no such table: meta"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "seq", "problem"), DAMAGES)
def test_damage_is_refused_by_the_first_wrong_record(
    tmp_path: Path, damage: str, seq: int, problem: str
) -> None:
    path = tmp_path / "journal.db"
    fill(path, 5)
    with database(path) as connection:
        connection.execute(damage)

    with pytest.raises(JournalCorrupt) as caught:
        SqliteJournal.open(path)

    assert str(caught.value).startswith(f"{path}: record {seq} is damaged: {problem}. ")
    assert caught.value.seq == seq


def test_one_flipped_byte_of_a_body_on_the_disk_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 50)
    content = bytearray(path.read_bytes())
    place = content.index(b'{"number":1,"order_id":"1-Z"')  # base 32, so number 31
    content[place + 10] ^= 1
    path.write_bytes(content)

    with pytest.raises(JournalCorrupt, match="record 31 is damaged: its hash does not match"):
        SqliteJournal.open(path)


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 20)
    good = path.read_bytes()
    draw = random.Random(1)
    outcomes: Counter[str] = Counter()

    async def work(journal: SqliteJournal) -> None:
        assert [one.entry for one in journal.replay()] == [
            entry(attempt(number)) for number in range(1, 21)
        ]

    for place in draw.sample(range(len(good)), 80):
        content = bytearray(good)
        content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        try:
            using(path, work)
        except JournalError:
            outcomes["refused"] += 1
        else:
            outcomes["unused space"] += 1

    assert outcomes.total() == 80
    assert outcomes["refused"] > 10


def test_a_damaged_journal_can_be_opened_again_once_restored(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(path, 5)
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"number":1', b'"number":2', 1))
    with pytest.raises(JournalCorrupt):
        SqliteJournal.open(path)

    path.write_bytes(good)

    async def work(journal: SqliteJournal) -> None:
        assert journal.last_seq == 5

    using(path, work)


def test_a_full_disk_fails_the_journal_for_good(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    expected = NotCommitted.__name__
    large = b"x" * 100_000

    async def work(journal: SqliteJournal) -> None:
        assert await append(journal, entry(attempt(1))) == [Committed(seq=1)]
        connection = journal._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

        failed = await append(journal, entry(submit(2, body=large)), entry(attempt(2)))
        connection.execute("PRAGMA max_page_count = 1000000")  # room again is no cure
        later = await append(journal, entry(attempt(3)))

        reasons = {(one.reason.code, one.reason.message) for one in failed + later
                   if isinstance(one, NotCommitted)}  # fmt: skip
        assert [type(one).__name__ for one in failed + later] == [expected] * 3
        assert reasons == {
            (
                "JOURNAL_UNAVAILABLE",
                "the journal cannot be written: database or disk is full",
            )
        }
        assert journal.last_seq == 1
        assert sample("engine_journal_failed") == 1
        assert len(await journal.read(after_seq=0, limit=10)) == 1

    async def after(journal: SqliteJournal) -> None:
        assert sample("engine_journal_failed") == 0
        assert await append(journal, entry(attempt(3))) == [Committed(seq=2)]

    using(path, work)
    using(path, after)


def test_a_writer_whose_epoch_is_over_cannot_commit(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def work(journal: SqliteJournal) -> None:
        await append(journal, entry(attempt(1)))
        with database(path) as other:
            other.execute("UPDATE meta SET epoch = 2")

        (answer,) = await append(journal, entry(attempt(2)))

        assert isinstance(answer, NotCommitted)
        assert answer.reason.message == (
            "the journal cannot be written: epoch 1 is over, another writer has the journal"
        )

    using(path, work)

    with database(path) as connection:
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (1,)


def test_a_backlog_refuses_new_orders_and_keeps_the_story_of_old_ones(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    began = threading.Event()

    async def work(journal: SqliteJournal) -> None:
        journal._queue_records_max = 4
        journal._connection.set_trace_callback(lambda _statement: began.set())
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(append(journal, entry(attempt(1))))
            await asyncio.to_thread(began.wait)
            full = asyncio.create_task(
                append(journal, *(entry(submit(number)) for number in range(2, 6)))
            )
            await asyncio.sleep(0)
            refused = await append(journal, entry(submit(6)))
            cancel = CancelOrder(order_id=OrderId("1-1"), cause="client")
            taken = asyncio.create_task(append(journal, entry(cancel)))
            await asyncio.sleep(0)
            other.execute("ROLLBACK")

            assert [one.reason.code for one in refused if isinstance(one, NotCommitted)] == [
                "JOURNAL_BACKLOG"
            ]
            assert await first + await full + await taken == [
                Committed(seq=seq) for seq in range(1, 7)
            ]
        journal._connection.set_trace_callback(None)
        assert await append(journal, entry(submit(7))) == [Committed(seq=7)]

    using(path, work)


def test_a_backlog_leaves_out_what_was_only_observed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    began = threading.Event()
    notice = NoticeSeen(session=SessionName("main"), kind="bulletin", notice_id="7", text="Closed")

    async def work(journal: SqliteJournal) -> None:
        journal._queue_records_max = 2
        journal._connection.set_trace_callback(lambda _statement: began.set())
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(append(journal, entry(attempt(1))))
            await asyncio.to_thread(began.wait)
            full = asyncio.create_task(append(journal, entry(attempt(2)), entry(attempt(3))))
            await asyncio.sleep(0)
            observed = Entry(at_ns=1, account=None, order_id=None, message=notice)
            left_out = await append(journal, *[observed] * 100)
            taken = asyncio.create_task(append(journal, entry(attempt(4))))
            await asyncio.sleep(0)
            other.execute("ROLLBACK")

            codes = {one.reason.code for one in left_out if isinstance(one, NotCommitted)}
            assert (codes, len(left_out)) == ({"JOURNAL_BACKLOG"}, 100)
            assert await first + await full + await taken == [
                Committed(seq=seq) for seq in range(1, 5)
            ]
        journal._connection.set_trace_callback(None)

    using(path, work)


def test_a_backlog_without_end_fails_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    began = threading.Event()

    async def work(journal: SqliteJournal) -> None:
        journal._queue_records_max = 2
        journal._connection.set_trace_callback(lambda _statement: began.set())
        with database(path) as other:
            other.execute("BEGIN IMMEDIATE")
            first = asyncio.create_task(append(journal, entry(attempt(1))))
            await asyncio.to_thread(began.wait)
            queued = asyncio.create_task(
                append(journal, *(entry(attempt(number)) for number in range(2, 22)))
            )
            await asyncio.sleep(0)
            refused = await append(journal, entry(attempt(22)), entry(attempt(23)))
            other.execute("ROLLBACK")
            await first
            await queued

        assert refused == [refused[0]] * 2
        assert isinstance(refused[0], NotCommitted)
        assert refused[0].reason.message == "20 records wait for the disk, the limit is 2"
        journal._connection.set_trace_callback(None)
        assert await append(journal, entry(attempt(24))) == [refused[0]]

    using(path, work)


def test_a_record_that_cannot_be_written_fails_alone(tmp_path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        broken = CancelOrder(order_id=OrderId("1-1"), cause="\ud800")

        (answer,) = await append(journal, entry(broken))

        assert isinstance(answer, NotCommitted)
        assert answer.reason.code == "JOURNAL_BAD_RECORD"
        assert await append(journal, entry(attempt(1))) == [Committed(seq=1)]

    using(tmp_path / "journal.db", work)


def test_one_failing_callback_does_not_keep_the_next_from_its_answer(tmp_path: Path) -> None:
    problems: list[object] = []

    def fail(_answer: Committed | NotCommitted) -> None:
        message = "an actor's bug"
        raise ValueError(message)

    async def work(journal: SqliteJournal) -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: problems.append(str(context["exception"]))
        )
        journal.append(entry(attempt(1)), fail)

        assert await append(journal, entry(attempt(2))) == [Committed(seq=2)]

    using(tmp_path / "journal.db", work)

    assert problems == ["an actor's bug"]


def test_closing_commits_what_waits_and_then_takes_no_more(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    async def run() -> None:
        journal = SqliteJournal.open(path)
        answers: list[Committed | NotCommitted] = []
        for number in range(1, 2501):
            journal.append(entry(attempt(number)), answers.append)
        await journal.close()
        assert answers == [Committed(seq=seq) for seq in range(1, 2501)]

        (late,) = await append(journal, entry(attempt(2501)))
        assert isinstance(late, NotCommitted)
        assert late.reason.message == "the journal is closed"
        await journal.close()  # once more does nothing

    asyncio.run(run())

    assert sorted(file.name for file in tmp_path.iterdir()) == ["journal.db", "journal.db.lock"]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("PRAGMA user_version = 2", "has the schema 2, this version of the engine reads 1"),
        ("PRAGMA application_id = 7", "is a database, but no journal of this engine"),
    ],
)
def test_a_file_of_another_version_or_program_is_refused(
    tmp_path: Path, statement: str, problem: str
) -> None:
    path = tmp_path / "journal.db"
    fill(path, 1)
    with database(path) as connection:
        connection.execute(statement)

    with pytest.raises(JournalUnsupported) as caught:
        SqliteJournal.open(path)

    assert str(caught.value) == f"{path}: {problem}"


def test_a_file_that_is_no_database_and_a_missing_folder_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("not a database " * 100, encoding="utf-8")

    with pytest.raises(JournalError, match=r"cannot be opened as a journal: file is not a data"):
        SqliteJournal.open(path)
    with pytest.raises(JournalError, match="No such file or directory"):
        SqliteJournal.open(tmp_path / "none" / "journal.db")

    assert path.read_text(encoding="utf-8") == "not a database " * 100


def test_a_record_of_a_newer_version_is_named_at_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    with monkeypatch.context() as newer:
        newer.setattr("engine.journal.codec.record_type", lambda _message: "SPLIT")
        fill(path, 2)

    async def work(journal: SqliteJournal) -> None:
        with pytest.raises(JournalUnsupported) as caught:
            journal.replay()
        assert str(caught.value).startswith(
            f"{path}: record 1 is a record of the type 'SPLIT', this version knows INTENT, "
        )

    using(path, work)

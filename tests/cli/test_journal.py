"""`engine journal`."""

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from engine.domain.history import History
from engine.domain.messages import (
    EngineStarted,
    ExecutionSeen,
    HaltScope,
    JournalMessage,
    OrderRowSeen,
    ReplyDecided,
)
from engine.domain.ports import Entry, Snapshot
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    ConId,
    Execution,
    ExecutionId,
    OrderRow,
    QuestionId,
    Scope,
    ScopeKind,
    Side,
    Source,
    TradingState,
    make_order_id,
)
from engine.journal import SqliteJournal
from engine.journal.rebuild import Snapshots
from engine.journal.snapshot_body import PACKING, slices_of
from tests.cli.terminal import Terminal
from tests.journal.samples import ACCOUNT, acknowledged, append, attempt, entry, questioned, submit

ORDER = make_order_id(1, 1)
START_NS = 1_750_000_000_000_000_000


def story() -> list[Entry]:
    """An order that is asked about, acknowledged and filled, a second apart."""
    row = OrderRow(
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("7"),
        total_quantity=Decimal(100),
        filled_quantity=Decimal(100),
        average_price=Decimal("189.40"),
        status=BrokerStatus.FILLED,
    )
    fill = Execution(
        execution_id=ExecutionId("0001.01"),
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("7"),
        coid=None,
        conid=ConId(265598),
        side=Side.BUY,
        quantity=Decimal(100),
        price=Decimal("189.40"),
        commission=Decimal("1.05"),
        at_ms=1_750_000_005_000,
    )
    messages: list[JournalMessage] = [
        EngineStarted(version="0.4.0", mode="paper"),
        submit(1),
        attempt(1),
        questioned(1),
        ReplyDecided(order_id=ORDER, question_id=QuestionId("q-1"), confirmed=True, round=1),
        acknowledged(1),
        ExecutionSeen(order_id=ORDER, execution=fill, source=Source.STREAM),
        OrderRowSeen(order_id=ORDER, row=row, source=Source.POLL),
        HaltScope(
            scope=Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT),
            level=TradingState.CANCEL_ONLY,
            reason="lunch",
            by="ops",
        ),
    ]
    second_ns = 1_000_000_000
    return [
        replace(entry(message), at_ns=START_NS + number * second_ns)
        for number, message in enumerate(messages)
    ]


async def write(file: Path, *, snapshot_after: int | None = None) -> None:
    journal = await asyncio.to_thread(SqliteJournal.open, file, reserve_bytes=4096)
    try:
        entries = story()
        await append(journal, *entries[:snapshot_after])
        if snapshot_after is not None:
            await Snapshots(journal, records=1).take()
            await append(journal, *entries[snapshot_after:])
    finally:
        await journal.close()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "journal.db"
    asyncio.run(write(file))
    return file


@pytest.fixture
def url(file: Path) -> str:
    return f"sqlite:///{file}"


def damage(file: Path, statement: str) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(statement)


# --- verify --------------------------------------------------------------------------------------


def test_an_intact_journal_is_told_with_its_head(terminal: Terminal, file: Path, url: str) -> None:
    ended = terminal.types("journal", "verify", "--url", url)
    head = json.loads(terminal.types("journal", "verify", "--url", url, "--json").stdout)

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.lines == [
        ["journal", str(file)],
        ["records", "9"],
        ["epoch", "1"],
        ["head_hash", head["head_hash"]],
        ["every record is what was written"],
    ]
    assert (head["journal"], head["records"], head["epoch"]) == (str(file), 9, 1)
    assert len(bytes.fromhex(head["head_hash"])) == 32


def test_the_first_damaged_record_is_named_and_the_exit_code_is_1(
    terminal: Terminal, file: Path, url: str
) -> None:
    damage(file, "UPDATE records SET account = 'DU9999999' WHERE seq >= 4")

    ended = terminal.types("journal", "verify", "--url", url)

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(
        f"engine: {file}: record 4 is damaged: its hash does not match its content. "
    )


def test_the_journal_of_a_configuration_is_found(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "risk.yaml").write_text("version: 1\n")
    config = tmp_path / "engine.yaml"
    config.write_text(
        "mode: paper\nstate_dir: kept\nrisk: {file: risk.yaml}\nsessions:\n"
        "  - {name: main, gateway: 'https://127.0.0.1:5000', accounts: all,\n"
        "     tls: {verify: insecure_loopback}}\n"
    )
    (tmp_path / "kept").mkdir()
    asyncio.run(write(tmp_path / "kept" / "journal.db"))

    ended = terminal.types("journal", "verify", "--config", str(config))

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.lines[0] == ["journal", str(tmp_path / "kept" / "journal.db")]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("sqlite:///{folder}/none.db", "engine: {folder}/none.db: there is no journal\n"),
        (
            "mysql://me:secret@host/x",
            (
                "engine: engine.yaml: journal.url: found 'mysql://me@host/x', needs sqlite:/// "
                "and a path, or postgresql://user@host/database\n"
            ),
        ),
    ],
)
@pytest.mark.parametrize("command", ["verify", "show", "export", "replay"])
def test_a_journal_that_cannot_be_read_is_told(
    terminal: Terminal, tmp_path: Path, given: str, problem: str, command: str
) -> None:
    ended = terminal.types("journal", command, "--url", given.format(folder=tmp_path))

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr == problem.format(folder=tmp_path)


# --- show ----------------------------------------------------------------------------------------


def test_the_whole_story_of_an_order_is_read_from_top_to_bottom(
    terminal: Terminal, url: str
) -> None:
    ended = terminal.types("journal", "show", "--url", url, "--order", ORDER)

    assert (ended.code, ended.stderr) == (0, "")
    bought = "BUY 100 AAPL LMT, at 189.50, DAY, key mine-1"
    sent = "attempt 1 to send it, in login 1; from here on it may be at the broker"
    traded = "BUY 100 at 189.40, commission 1.05, traded at 2025-06-15T15:06:45.000000Z"
    shown = "Filled, filled 100 of 100, at 189.40 on average, as its order 7"
    rows = [
        (":41", "INTENT", f"{bought}, sent as EX0001-1-1-F0, in session main"),
        (":42", "ATTEMPT", sent),
        (":43", "QUESTION", "the broker asks in answer to the order (o354): Sure?"),
        (":44", "REPLY", "the policy answers yes to question q-1, in round 1 of its questions"),
        (":45", "OUTCOME",
         "the answer to the order: the broker has it, as its order 7, PreSubmitted"),
        (":46", "EXECUTION", f"execution 0001.01 (stream), {traded}"),
        (":47", "ROW", f"the broker shows it (poll), {shown}"),
    ]  # fmt: skip
    assert ended.lines == [
        ["seq", "time (UTC)", "type", "story"],
        *(
            [str(seq), f"2025-06-15 15:06{time}.000", kind, told]
            for seq, (time, kind, told) in enumerate(rows, start=2)
        ),
    ]


def test_the_newest_records_are_shown_and_that_there_are_more(terminal: Terminal, url: str) -> None:
    ended = terminal.types("journal", "show", "--url", url, "--limit", "2")

    assert ended.code == 0
    assert ended.stderr == "there may be more than these 2; see --limit and --from-seq\n"
    assert [line[:4] for line in ended.lines] == [
        ["seq", "time (UTC)", "type", "account"],
        ["8", "2025-06-15 15:06:47.000", "ROW", "DU1111111"],
        ["9", "2025-06-15 15:06:48.000", "HALT", "DU1111111"],
    ]
    assert ended.lines[2][5:] == ["account:DU1111111 is at cancel_only, by ops: lunch"]


@pytest.mark.parametrize(
    ("options", "seqs"),
    [
        (["--type", "intent", "--type", "HALT"], [2, 9]),
        (["--account", "DU1111111", "--from-seq", "7"], [7, 8, 9]),
        (["--account", "DU9999999"], []),
        (["--from-seq", "3", "--limit", "2"], [3, 4]),
        (["--order", ORDER, "--type", "REPLY"], [5]),
    ],
)
def test_records_are_chosen_by_options(
    terminal: Terminal, url: str, options: list[str], seqs: list[int]
) -> None:
    ended = terminal.types("journal", "show", "--url", url, *options, "--json")

    assert ended.code == 0
    assert [record["seq"] for record in json.loads(ended.stdout)] == seqs


def test_json_has_the_bodies_as_they_were_written(terminal: Terminal, url: str) -> None:
    ended = terminal.types("journal", "show", "--url", url, "--type", "ATTEMPT", "--json")

    [record] = json.loads(ended.stdout)
    assert record.pop("hash")
    assert record == {
        "seq": 3,
        "at": "2025-06-15T15:06:42.000000000Z",
        "epoch": 1,
        "type": "ATTEMPT",
        "session": None,
        "account": "DU1111111",
        "order_id": ORDER,
        "body": {"number": 1, "order_id": ORDER, "session_epoch": 1},
    }


def test_an_order_that_is_not_there_and_a_type_that_is_none_are_refused(
    terminal: Terminal, url: str
) -> None:
    order = terminal.types("journal", "show", "--url", url, "--order", "1-99")
    as_json = terminal.types("journal", "show", "--url", url, "--order", "1-99", "--json")
    kind = terminal.types("journal", "show", "--url", url, "--type", "SPLIT")

    assert (order.code, order.stdout) == (1, "")
    assert order.stderr == "engine: no such record of the order 1-99\n"
    assert as_json == order
    assert kind.code == 2
    assert "'SPLIT' is no type of a record; there are INTENT, DENIED" in kind.stderr


@pytest.mark.parametrize("change", ["type = 'SPLIT'", "body = x'5b5d'", "body = x'7b'"])
def test_a_record_that_cannot_be_read_is_shown_as_one(
    terminal: Terminal, file: Path, url: str, change: str
) -> None:
    damage(file, f"UPDATE records SET {change} WHERE seq = 9")

    ended = terminal.types("journal", "show", "--url", url, "--limit", "1")

    assert ended.code == 0
    assert ended.lines[1][5] == "this version has no words for it; see --json"


# --- export --------------------------------------------------------------------------------------


def test_an_export_is_verified_again(terminal: Terminal, tmp_path: Path, url: str) -> None:
    output = tmp_path / "export.jsonl"

    exported = terminal.types("journal", "export", "--url", url, "--output", str(output))
    verified = terminal.types("journal", "verify", "--export", str(output), "--json")
    head = json.loads(terminal.types("journal", "verify", "--url", url, "--json").stdout)

    assert (exported.code, exported.stdout) == (0, "")
    assert exported.stderr == f"9 records, the hash of the last is {head['head_hash']}\n"
    assert json.loads(verified.stdout) == {**head, "journal": str(output)}
    assert output.stat().st_mode & 0o777 == 0o600


def test_an_export_may_end_early_and_go_to_standard_output(terminal: Terminal, url: str) -> None:
    ended = terminal.types("journal", "export", "--url", url, "--until-seq", "3")

    assert ended.code == 0
    assert [json.loads(line)["type"] for line in ended.stdout.splitlines()] == [
        "START",
        "INTENT",
        "ATTEMPT",
    ]


def test_a_changed_export_is_refused_by_its_line(
    terminal: Terminal, tmp_path: Path, url: str
) -> None:
    output = tmp_path / "export.jsonl"
    terminal.types("journal", "export", "--url", url, "--output", str(output))
    output.write_bytes(output.read_bytes().replace(b"189.50", b"189.60"))

    ended = terminal.types("journal", "verify", "--export", str(output))

    assert (ended.code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"engine: {output}: record 2 is damaged: its hash does not")


def test_a_damaged_journal_leaves_no_export(
    terminal: Terminal, tmp_path: Path, file: Path, url: str
) -> None:
    damage(file, "UPDATE records SET at_ns = 1 WHERE seq = 5")
    output = tmp_path / "export.jsonl"

    ended = terminal.types("journal", "export", "--url", url, "--output", str(output))

    assert ended.code == 1
    assert "record 5 is damaged" in ended.stderr
    assert [path.name for path in tmp_path.glob("export*")] == []


# --- replay --------------------------------------------------------------------------------------


def test_a_replay_tells_what_the_records_make(terminal: Terminal, file: Path, url: str) -> None:
    ended = terminal.types("journal", "replay", "--url", url)
    found = json.loads(terminal.types("journal", "replay", "--url", url, "--json").stdout)

    assert (ended.code, ended.stderr) == (0, "")
    assert ended.lines == [
        ["journal", str(file)],
        ["records", "9"],
        ["epoch", "1"],
        ["skipped", "0"],
        ["snapshot_seq", "-"],
        ["snapshot_agrees", "-"],
        ["digest", found["digest"]],
        [],
        ["state", "orders"],
        ["FILLED", "1"],
        [],
        ["halted", "level", "by", "reason"],
        ["account:DU1111111", "cancel_only", "ops", "lunch"],
    ]
    assert found["orders"] == {"FILLED": 1}


def test_a_digest_can_be_expected(terminal: Terminal, url: str) -> None:
    digest = json.loads(terminal.types("journal", "replay", "--url", url, "--json").stdout)[
        "digest"
    ]

    same = terminal.types("journal", "replay", "--url", url, "--expect", digest)
    other = terminal.types("journal", "replay", "--url", url, "--expect", "ab12")

    assert (same.code, same.stderr) == (0, "")
    assert other.code == 1
    assert other.stderr == f"engine: the digest is {digest}, expected is ab12\n"


def test_a_snapshot_and_what_follows_it_must_make_the_same(
    terminal: Terminal, tmp_path: Path
) -> None:
    asyncio.run(write(tmp_path / "with.db", snapshot_after=5))
    url = f"sqlite:///{tmp_path}/with.db"

    found = json.loads(terminal.types("journal", "replay", "--url", url, "--json").stdout)
    without = terminal.types("journal", "replay", "--url", url, "--json", "--no-snapshot")

    assert (found["snapshot_seq"], found["snapshot_agrees"]) == (5, True)
    assert json.loads(without.stdout) == {
        **found,
        "snapshot_seq": None,
        "snapshot_agrees": None,
    }


def test_a_snapshot_that_makes_something_else_is_told(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "wrong.db"
    empty = History(PACKING)
    empty.seq = 5

    async def spoil() -> None:
        journal = await asyncio.to_thread(SqliteJournal.open, file, reserve_bytes=4096)
        try:
            await journal.save_snapshot(Snapshot(seq=5, body=b"".join(slices_of(empty))))
        finally:
            await journal.close()

    asyncio.run(write(file, snapshot_after=5))
    asyncio.run(spoil())

    ended = terminal.types("journal", "replay", "--url", f"sqlite:///{file}")

    assert ended.code == 1
    assert ["snapshot_agrees", "no"] in ended.lines
    assert "the snapshot of record 5 and the records after it make" in ended.stderr

"""What the commands of `engine journal` do; loaded only by them.

Rule: damage, and whatever else keeps a journal from being read, is told on stderr, and the
exit code is 1.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import msgspec
import typer

from engine import log
from engine.api import story
from engine.cli import files
from engine.cli.api import JsonObject
from engine.cli.output import column, fail, note, print_fields, print_table, say
from engine.config.strict_yaml import ConfigError
from engine.domain.history import History, LiveOrder
from engine.domain.values import AccountId, OrderId, OrderState
from engine.journal.batch import Row, recorded
from engine.journal.codec import RECORD_TYPES
from engine.journal.errors import JournalError
from engine.journal.export import export_chain, exported, time_text, verify_lines
from engine.journal.reading import JournalReader, Wanted, open_reader
from engine.journal.snapshot_body import PACKING, read_slices
from engine.journal.verify import Chain, Head

T = TypeVar("T")

LIMIT: Final = 100
MILLISECONDS: Final = len("2026-01-31 09:30:00.000")
REST_RECORDS: Final = 50_000
"""So often, orders that are over are laid to rest, to spare memory."""

_SEQ: Final = column("seq", right=True)
_ORDER_COLUMNS: Final = (
    _SEQ, column("time (UTC)", "time"), column("type"), column("story", wraps=True),
)  # fmt: skip
_COLUMNS: Final = (
    *_ORDER_COLUMNS[:3], column("account"), column("order_id"), _ORDER_COLUMNS[3],
)  # fmt: skip
_STATES: Final = (column("state"), column("orders", right=True))
_HALTS: Final = (
    column("halted", "scope"), column("level"), column("by"), column("reason", wraps=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a journal is: at the URL, or else where the configuration says."""

    config: Path
    url: str | None
    shard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What all records make, and what the records after the newest snapshot make of it.

    `snapshot_seq` and `again` are None when there is none, or none was wanted.
    """

    head: Head
    history: History
    digest: str
    snapshot_seq: int | None
    again: str | None


def wanted(
    *,
    order: str | None,
    account: str | None,
    kinds: Sequence[str],
    from_seq: int | None,
    limit: int | None,
) -> Wanted:
    """Make a search of the options; all records of an order are wanted, else not too many."""
    names = tuple(kind.upper() for kind in kinds)
    for name in names:
        if name not in RECORD_TYPES:
            message = f"{name!r} is no type of a record; there are {', '.join(RECORD_TYPES)}"
            raise typer.BadParameter(message, param_hint="--type")
    return Wanted(
        order_id=None if order is None else OrderId(order),
        account=None if account is None else AccountId(account),
        types=names,
        from_seq=from_seq,
        limit=LIMIT if limit is None and order is None else limit,
    )


def verify(place: Place, *, as_json: bool) -> None:
    """Check a whole journal."""

    async def work(reader: JournalReader) -> None:
        _print_head(reader.where, await reader.verify(), as_json=as_json)

    _read(place, work)


def verify_export(file: Path, *, as_json: bool) -> None:
    """Check a whole export."""
    with _failures_told(), file.open("rb") as lines:
        _print_head(str(file), verify_lines(lines, file), as_json=as_json)


def show(place: Place, search: Wanted, *, as_json: bool) -> None:
    """Print records in words, or as JSON with their bodies."""

    async def work(reader: JournalReader) -> Sequence[Row]:
        return await reader.find(search)

    rows = _read(place, work)
    if search.order_id is not None and not rows:
        fail(f"no such record of the order {search.order_id}")
    if as_json:
        typer.echo(msgspec.json.encode([exported(row) for row in rows]))
        return
    columns = _COLUMNS if search.order_id is None else _ORDER_COLUMNS
    print_table(columns, map(_told, rows), none="no such record")
    if search.limit is not None and len(rows) == search.limit:
        note(f"there may be more than these {search.limit}; see --limit and --from-seq")


def export(place: Place, *, until_seq: int | None, output: Path | None) -> None:
    """Write records as lines of JSON."""

    async def work(reader: JournalReader) -> Head:
        with _writing(output) as target:
            chain = Chain(reader.where)
            async for rows in _until(reader, chain, until_seq):
                target.writelines(export_chain(rows, chain))
        return chain.head

    head = _read(place, work)
    note(f"{head.seq} records, the hash of the last is {head.hash.hex()}")


def replay(place: Place, *, expect: str | None, with_snapshot: bool, as_json: bool) -> None:
    """Apply all records, and again from the newest snapshot on."""

    async def work(reader: JournalReader) -> tuple[str, Replayed]:
        return reader.where, await _replay(reader, with_snapshot=with_snapshot)

    where, found = _read(place, work)
    if as_json:
        typer.echo(json.dumps(_replayed(where, found)))
    else:
        _print_replayed(_replayed(where, found))
    if found.again not in {None, found.digest}:
        fail(
            f"the snapshot of record {found.snapshot_seq} and the records after it make "
            f"{found.again}; do not start from it, remove it"
        )
    if expect not in {None, found.digest}:
        fail(f"the digest is {found.digest}, expected is {expect}")


# --- reading -----------------------------------------------------------------------------------


def _read(place: Place, work: Callable[[JournalReader], Coroutine[Any, Any, T]]) -> T:
    """Open the journal, do the work, and close it, on a loop of its own."""
    log.configure(level="ERROR")
    if place.url is not None:
        opening = open_reader(place.url, state_dir=Path(), shard=place.shard)
    else:
        config = files.read_config(place.config)
        opening = open_reader(config.journal.url, state_dir=config.state_dir, shard=config.shard)

    async def run() -> T:
        reader = await opening
        try:
            return await work(reader)
        finally:
            await reader.close()

    with _failures_told():
        return asyncio.run(run())


@contextmanager
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (ConfigError, JournalError, OSError) as error:
        fail(str(error))


async def _until(
    reader: JournalReader, chain: Chain, until_seq: int | None
) -> AsyncIterator[Sequence[Row]]:
    """Yield the records that are there now; whoever takes them follows the chain."""
    head = await reader.head()
    last = head.seq if until_seq is None else min(until_seq, head.seq)
    async for rows in reader.pages(after_seq=0, until_seq=last):
        yield rows
    if last == head.seq or chain.seq < last:
        chain.end(head)


@contextmanager
def _writing(output: Path | None) -> Iterator[BinaryIO]:
    """Write to standard output, or to a private file that has its name once it is whole."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = output.with_name(output.name + ".draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as target:
            yield target
        draft.replace(output)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


async def _replay(reader: JournalReader, *, with_snapshot: bool) -> Replayed:
    sealed = await reader.snapshot() if with_snapshot else None
    history, chain = History(PACKING), Chain(reader.where)
    again = None if sealed is None else _unpacked(sealed.body)
    async for rows in _until(reader, chain, None):
        for row in rows:
            chain.follow(row)
            _apply(reader, history, row)
            if again is not None and row[0] > again.seq:
                _apply(reader, again, row)
    return Replayed(
        head=chain.head,
        history=history,
        digest=history.digest(),
        snapshot_seq=None if sealed is None else sealed.seq,
        again=None if again is None else again.digest(),
    )


def _apply(reader: JournalReader, history: History, row: Row) -> None:
    seq, at_ns, _, name, account, order_id, session, body, _, _ = row
    history.apply(recorded(reader.where, (seq, at_ns, name, account, order_id, session, body)))
    if seq % REST_RECORDS == 0:
        history.rest()


def _unpacked(body: bytes) -> History:
    *_, history = read_slices(body)
    return history


# --- printing ----------------------------------------------------------------------------------


def _print_head(where: str, head: Head, *, as_json: bool) -> None:
    found = {
        "journal": where,
        "records": head.seq,
        "epoch": head.epoch,
        "head_hash": head.hash.hex(),
    }
    if as_json:
        typer.echo(json.dumps(found))
        return
    print_fields(found.items())
    say("every record is what was written")


def _told(row: Row) -> JsonObject:
    seq, at_ns, _, name, account, order_id, _, body, _, _ = row
    at = time_text(at_ns).replace("T", " ")
    return {
        "seq": seq,
        "time": at[:MILLISECONDS],
        "type": name,
        "account": account,
        "order_id": order_id,
        "story": _words(name, body) or "this version has no words for it; see --json",
    }


def _words(name: str, body: bytes) -> str:
    """Return a record in words; a body that is no object of JSON has none."""
    try:
        return story.words(name, msgspec.json.decode(body, type=dict[str, object]))
    except msgspec.DecodeError:
        return ""


def _replayed(where: str, found: Replayed) -> JsonObject:
    history = found.history
    states = Counter(
        one.order.state if isinstance(one, LiveOrder) else one.state
        for one in history.orders.values()
    )
    return {
        "journal": where,
        "records": found.head.seq,
        "epoch": found.head.epoch,
        "skipped": history.skipped,
        "snapshot_seq": found.snapshot_seq,
        "snapshot_agrees": None if found.again is None else found.again == found.digest,
        "digest": found.digest,
        "orders": {state: states[state] for state in OrderState if states[state]},
        "halts": [
            {"scope": str(halt.scope), "level": halt.level, "by": halt.by, "reason": halt.reason}
            for halt in history.halts.values()
        ],
    }


def _print_replayed(found: JsonObject) -> None:
    names = (
        "journal", "records", "epoch", "skipped", "snapshot_seq", "snapshot_agrees", "digest",
    )  # fmt: skip
    print_fields((name, found[name]) for name in names)
    say("")
    rows = [{"state": state, "orders": count} for state, count in found["orders"].items()]
    print_table(_STATES, rows, none="no orders")
    say("")
    print_table(_HALTS, found["halts"], none="no halts")

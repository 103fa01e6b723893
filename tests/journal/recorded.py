"""Journals that were recorded once, and what they made then: each as two files in `golden/`.

`<name>.jsonl` is an export, `<name>.json` what its records made on the day they were recorded,
which the venue's own books had confirmed. Rule: neither is ever drawn anew. A version that reads
other orders from old records has forgotten something that somebody was promised.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from engine.domain.history import History, replay
from engine.domain.ports import Entry, Recorded
from engine.domain.views import OrderView
from engine.journal import codec
from engine.journal.export import ExportedRecord, time_ns

FOLDER: Final = Path(__file__).with_name("golden")

NAMES: Final = tuple(sorted(file.stem for file in FOLDER.glob("*.json")))


def export_of(name: str) -> Path:
    """Return the file with the records."""
    return FOLDER / f"{name}.jsonl"


def outcome_of(name: str) -> dict[str, Any]:
    """Return what the records made when they were recorded."""
    outcome: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return outcome


def records_of(name: str) -> Iterator[Recorded]:
    """Read the records again, each through the journal's own codec."""
    decoder = msgspec.json.Decoder(ExportedRecord)
    with export_of(name).open("rb") as lines:
        for line in lines:
            read = decoder.decode(line)
            entry = Entry(
                at_ns=time_ns(read.at),
                account=read.account,
                order_id=read.order_id,
                session=read.session,
                message=codec.decode(read.type, bytes(read.body)),
            )
            yield Recorded(seq=read.seq, entry=entry)


def outcome(history: History) -> dict[str, Any]:
    """Return what records made, in words that outlive the types that they are kept in."""
    views: list[OrderView] = [order.view(seq) for order, seq in history.live()]
    made = {
        "orders": views,
        "halts": sorted(map(str, history.halts)),
        "externals": sorted("/".join(key) for key in history.externals),
        "compared": {account: one.seq for account, one in history.reconciled.items()},
    }
    as_json: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(made))
    return as_json


def keep(name: str, lines: bytes) -> None:
    """Keep an export and what it makes, as a golden one from now on."""
    export_of(name).write_bytes(lines)
    made = outcome(replay(records_of(name)))
    text = json.dumps(made, indent=1, sort_keys=True)
    (FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")

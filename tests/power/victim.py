"""Writes a journal and notes what the journal calls durable; its disk is being recorded."""

import argparse
import asyncio
import os
import random
import sqlite3
from pathlib import Path
from typing import Any, Final

from engine.domain.messages import NoticeSeen
from engine.domain.ports import Committed, Entry, NotCommitted
from engine.domain.values import SessionName
from engine.journal import SqliteJournal
from tests.power.recording import ACKS

JOURNAL: Final = "journal.db"
RESERVE_BYTES: Final = 4_096
"""A small reserve: it is not what is tested here, and would be most of the writes."""


def entry(number: int) -> Entry:
    """Return the entry of a number: what it says can be told from the number alone."""
    chance = random.Random(number)
    notice = NoticeSeen(
        session=SessionName("s"),
        kind="ntf",
        notice_id=str(number),
        text="x" * chance.choice((1, 40, 400, 5_000)),
    )
    return Entry(at_ns=number, account=None, order_id=None, message=notice)


def weaken(level: str) -> None:
    """Let every connection that SQLite opens be less careful than the journal asks for."""

    class Weaker(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
            if sql == "PRAGMA synchronous = FULL":
                super().execute(f"PRAGMA synchronous = {level}")
                return super().execute("SELECT 2")
            if sql == "PRAGMA synchronous":
                return super().execute("SELECT 2")
            return super().execute(sql, *rest)

    plain = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> Any:
        return plain(*arguments, **{"factory": Weaker, **options})

    sqlite3.connect = connect


async def write(folder: Path, commits: int, seed: int) -> None:
    """Commit single records and groups of them, closing and opening the journal meanwhile."""
    chance = random.Random(seed)
    acks = os.open(folder / ACKS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    number, journal = 0, SqliteJournal.open(folder / JOURNAL, reserve_bytes=RESERVE_BYTES)
    for commit in range(commits):
        answers: asyncio.Queue[Committed | NotCommitted] = asyncio.Queue()
        group = chance.choice((1, 1, 1, 2, 5, 20))
        for _ in range(group):
            number += 1
            journal.append(entry(number), answers.put_nowait)
        for _ in range(group):
            answer = await answers.get()
            assert isinstance(answer, Committed), answer
            os.write(acks, answer.seq.to_bytes(8, "little"))
        if commit % 25 == 24:
            await journal.close()
            journal = SqliteJournal.open(folder / JOURNAL, reserve_bytes=RESERVE_BYTES)
    await journal.close()
    os.close(acks)


def main() -> None:
    """Read the arguments and write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--commits", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sync", default="FULL")
    wanted = parser.parse_args()
    if wanted.sync != "FULL":
        weaken(wanted.sync)
    asyncio.run(write(wanted.folder, wanted.commits, wanted.seed))


if __name__ == "__main__":
    main()

import hashlib

import pytest

from engine.domain.values import AccountId, OrderId, SessionName
from engine.journal import JournalCorrupt
from engine.journal.verify import EMPTY, GENESIS, Chain, Chained, Head, Header, chain_hash

ACCOUNT, ORDER, MAIN = AccountId("DU1"), OrderId("1-1"), SessionName("main")


def rows(*epochs: int) -> list[Chained]:
    found: list[Chained] = []
    before = GENESIS
    for seq, epoch in enumerate(epochs, start=1):
        header: Header = (seq, 7, epoch, "ATTEMPT", ACCOUNT, ORDER, MAIN)
        after = chain_hash(before, header, b"{}")
        found.append((*header, b"{}", before, after))
        before = after
    return found


def test_a_record_without_a_session_is_hashed_as_before_there_were_any() -> None:
    header = '[1,7,1,"ATTEMPT","DU1","1-1"]'

    found = chain_hash(GENESIS, (1, 7, 1, "ATTEMPT", ACCOUNT, ORDER, None), b"{}")

    assert found == hashlib.sha256(GENESIS + header.encode() + b"{}").digest()


def test_a_session_is_covered() -> None:
    header = '[1,7,1,"ATTEMPT",null,null,"main"]'

    found = chain_hash(GENESIS, (1, 7, 1, "ATTEMPT", None, None, MAIN), b"{}")

    assert found == hashlib.sha256(GENESIS + header.encode() + b"{}").digest()


def test_a_chain_is_followed_to_its_end() -> None:
    chain = Chain("here")

    for row in rows(1, 1, 2):
        chain.follow(row)

    assert chain.head == Head(seq=3, hash=rows(1, 1, 2)[-1][-1], epoch=2)  # type: ignore[arg-type] # a row's hash is bytes
    chain.end(Head(seq=3, hash=chain.hash, epoch=5))


def test_an_older_epoch_and_an_older_journal_break_it() -> None:
    chain = Chain("here")
    chain.follow(rows(2, 1)[0])

    with pytest.raises(JournalCorrupt, match="here: record 2 is damaged: its epoch 1 is older"):
        chain.follow(rows(2, 1)[1])
    with pytest.raises(JournalCorrupt, match="record 1 is damaged: its epoch 2 is newer than"):
        chain.end(Head(seq=1, hash=chain.hash, epoch=1))
    with pytest.raises(JournalCorrupt, match="record 1 is damaged: the journal ended with"):
        chain.end(EMPTY)

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine import metrics
from engine.domain.messages import AdoptOrder, CancelOrder, JournalMessage, NoticeSeen, SubmitOrder
from engine.domain.ports import Committed, NotCommitted, Recorded
from engine.domain.values import (
    BrokerOrderId,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderRow,
    Reason,
    SessionName,
    make_order_id,
)
from engine.journal import JournalUnsupported
from engine.journal.batch import (
    _REFUSED_ORDERS_MAX,
    TRANSACTION_RECORDS_MAX,
    Backlog,
    Waiting,
    chain_rows,
    committed,
    deliver,
    is_dispensable,
    prepare,
    recorded,
)
from engine.journal.verify import EMPTY, Chain, Head
from tests.journal.samples import ACCOUNT, acknowledged, attempt, entry, submit

MAIN = SessionName("main")
NOTICE = NoticeSeen(session=MAIN, kind="bulletin", notice_id="7", text="Closed")
ROW = OrderRow(account=ACCOUNT, broker_order_id=BrokerOrderId("7"))
ADOPTED = AdoptOrder(order_id=OrderId("1-9"), session=MAIN, row=ROW, by="ops")


def ignore(_answer: Committed | NotCommitted) -> None:
    pass


def waiting(message: JournalMessage) -> Waiting:
    found = prepare(entry(message), ignore)
    assert isinstance(found, Waiting)
    return found


def member(index: int) -> SubmitOrder:
    place = GroupPlace(kind=GroupKind.BRACKET, leader=make_order_id(1, 1), index=index, size=3)
    message = submit(1)
    ticket = replace(message.approved.ticket, group=place)
    return replace(message, approved=replace(message.approved, ticket=ticket))


def codes(answers: Sequence[tuple[object, Committed | NotCommitted]]) -> list[str]:
    return [one.reason.code for _, one in answers if isinstance(one, NotCommitted)]


def sample(name: str) -> float:
    value = metrics.REGISTRY.get_sample_value(name)
    assert value is not None
    return value


def test_a_record_without_bytes_is_refused_before_it_waits() -> None:
    broken = entry(CancelOrder(order_id=OrderId("1-1"), cause="\ud800"))
    nameless = replace(entry(attempt(1)), session=SessionName("\ud800"))

    for one in (broken, nameless):
        found = prepare(one, ignore)

        assert isinstance(found, NotCommitted)
        assert found.reason.code == "JOURNAL_BAD_RECORD"


def test_the_rows_of_a_batch_are_a_chain() -> None:
    before = Head(seq=7, hash=bytes(range(32)), epoch=3)
    batch = [waiting(submit(1)), waiting(attempt(1)), waiting(NOTICE)]

    rows, after = chain_rows(batch, before)

    chain = Chain("here", before)
    for row in rows:
        chain.follow(row)
    assert (chain.head, after.seq, after.epoch) == (after, 10, 3)
    assert rows[0][:7] == (
        8, 1_750_000_000_000_000_000, 3, "INTENT", ACCOUNT, make_order_id(1, 1), None
    )  # fmt: skip
    assert [one for _, one in committed(batch, before)] == [
        Committed(seq=8),
        Committed(seq=9),
        Committed(seq=10),
    ]


def test_a_row_is_read_back_as_it_was_written() -> None:
    one = replace(entry(attempt(1)), session=MAIN)
    found = prepare(one, ignore)
    assert isinstance(found, Waiting)
    (row,), _ = chain_rows([found], EMPTY)
    seq, at_ns, _, name, account, order_id, session, body, *_ = row

    back = recorded("here", (seq, at_ns, name, account, order_id, session, body))

    assert back == Recorded(seq=1, entry=one)
    with pytest.raises(JournalUnsupported, match="here: record 1 is a record of the type 'SPLIT'"):
        recorded("here", (seq, at_ns, "SPLIT", account, order_id, session, body))


@pytest.mark.parametrize(
    ("message", "dispensable"),
    [
        (submit(1), True),
        (member(0), True),
        (member(1), False),
        (ADOPTED, True),
        (NOTICE, True),
        (attempt(1), False),
        (acknowledged(1), False),
        (CancelOrder(order_id=OrderId("1-1"), cause="client"), False),
    ],
)
def test_what_begins_something_is_dispensable_and_what_goes_on_is_not(
    message: JournalMessage, *, dispensable: bool
) -> None:
    assert is_dispensable(message) is dispensable


def test_what_waits_is_taken_in_order_and_not_too_much_at_once() -> None:
    backlog = Backlog()
    all_ = [waiting(attempt(number)) for number in range(TRANSACTION_RECORDS_MAX + 1)]
    for one in all_:
        assert backlog.offer(one) is None

    assert len(backlog) == sample("engine_journal_queue_records") == len(all_)
    assert backlog.take() == all_[:-1]
    assert backlog.take() == all_[-1:]
    assert backlog.take() == []


def test_a_full_disk_drops_what_is_new_and_keeps_the_rest() -> None:
    backlog = Backlog()
    batch = [waiting(one) for one in (submit(9), attempt(1), member(1))]
    for one in (acknowledged(1), NOTICE, ADOPTED):
        backlog.offer(waiting(one))

    kept, answers = backlog.fill_up("the disk is full", batch)

    assert kept == batch[1:]
    assert codes(answers) == ["JOURNAL_FULL"] * 3
    assert [one.entry.message for one in backlog.take()] == [acknowledged(1)]
    refused = backlog.offer(waiting(submit(2)))
    assert refused == backlog.full
    assert refused is not None
    assert refused.reason.message == "the journal takes no new orders: the disk is full"
    assert backlog.offer(waiting(attempt(1))) is None
    assert sample("engine_journal_full") == 1


def test_a_full_disk_drops_an_attempt_with_its_intent() -> None:
    backlog = Backlog()
    batch = [waiting(one) for one in (submit(1), attempt(1), attempt(2))]
    backlog.offer(waiting(acknowledged(1)))

    kept, answers = backlog.fill_up("the disk is full", batch)
    later = backlog.offer(waiting(acknowledged(1)))

    assert kept == batch[2:]
    assert codes(answers) == ["JOURNAL_FULL"] * 3
    assert (later, backlog.take()) == (backlog.full, [])


def test_nothing_is_taken_of_an_order_whose_intent_was_refused() -> None:
    backlog = Backlog()
    refused = NotCommitted(reason=Reason(code="JOURNAL_BAD_RECORD", message="no such letter"))

    backlog.remember_refused(entry(submit(1)), refused)
    backlog.remember_refused(entry(attempt(2)), refused)

    assert backlog.offer(waiting(attempt(1))) == refused
    assert backlog.offer(waiting(attempt(2))) is None


def test_of_refused_orders_only_so_many_are_known() -> None:
    backlog = Backlog()
    refused = NotCommitted(reason=Reason(code="JOURNAL_BACKLOG", message="too much waits"))

    for number in range(1, _REFUSED_ORDERS_MAX + 2):
        backlog.remember_refused(entry(submit(number)), refused)

    assert backlog.offer(waiting(attempt(1))) is None
    assert backlog.offer(waiting(attempt(2))) == refused


def test_a_failure_is_the_answer_to_all_and_for_good() -> None:
    backlog = Backlog()
    backlog.offer(waiting(attempt(2)))

    answers = backlog.fail("disk I/O error", [waiting(attempt(1))])
    refused = backlog.offer(waiting(attempt(3)))
    backlog.close()

    assert codes(answers) == ["JOURNAL_UNAVAILABLE"] * 2
    assert refused is backlog.refused is answers[0][1]
    assert refused is not None
    assert refused.reason.message == "the journal cannot be written: disk I/O error"
    assert sample("engine_journal_failed") == 1


def test_a_new_backlog_has_neither_failed_nor_is_it_full() -> None:
    Backlog().fail("disk I/O error")

    backlog = Backlog()

    assert (backlog.refused, backlog.full) == (None, None)
    assert (sample("engine_journal_failed"), sample("engine_journal_full")) == (0, 0)


def test_a_closed_one_takes_nothing_and_gives_what_waits() -> None:
    backlog = Backlog()
    backlog.offer(waiting(attempt(1)))

    backlog.close()

    refused = backlog.offer(waiting(attempt(2)))
    assert refused is not None
    assert refused.reason.message == "the journal is closed"
    assert len(backlog.take()) == 1


def test_while_too_much_waits_only_the_story_of_what_exists_is_taken() -> None:
    backlog = Backlog()
    backlog.records_max = 2
    taken = [backlog.offer(waiting(one)) for one in (submit(1), attempt(1))]

    refused = [backlog.offer(waiting(one)) for one in (submit(2), NOTICE)]
    more = [backlog.offer(waiting(attempt(1))) for _ in range(18)]
    last = backlog.offer(waiting(attempt(1)))

    assert taken == [None, None]
    assert [one.reason.code for one in refused if one] == ["JOURNAL_BACKLOG"] * 2
    assert more == [None] * 18
    assert last is not None
    assert last.reason.code == "JOURNAL_UNAVAILABLE"
    assert last.reason.message == "20 records wait for the disk, the limit is 2"
    assert backlog.offer(waiting(attempt(1))) is last


def test_answers_are_told_in_order_and_each_whatever_the_others_do() -> None:
    heard: list[object] = []
    problems: list[object] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _loop, context: problems.append(context["message"]))

    def broken(_answer: Committed | NotCommitted) -> None:
        raise ValueError

    refused = NotCommitted(reason=Reason(code="JOURNAL_FULL", message="no room"))
    deliver(
        loop,
        [
            (heard.append, Committed(seq=1)),
            (broken, Committed(seq=2)),
            (heard.append, refused),
            (heard.append, Committed(seq=3)),
        ],
        heard.append,
    )
    loop.close()

    assert heard == [1, Committed(seq=1), 2, refused, 3, Committed(seq=3)]
    assert problems == ["journal entry's callback failed"]

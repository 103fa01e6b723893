"""A proof of absence: what makes one, and that each part of it is needed."""

from dataclasses import replace
from typing import Any

import pytest

from engine.domain.session import SEND_WINDOW_MS
from engine.domain.session.absence import (
    GAP_MS_MIN,
    HORIZON_MS_MIN,
    LIST_READS_MIN,
    SPAN_MS_MIN,
    TRADE_READS_MIN,
    Absence,
    Circumstances,
    ListRead,
    Read,
)
from engine.domain.values import BrokerOrderId, Evidence
from engine.gateway import client
from engine.gateway.client import Lane, Request

MS = 1_000_000
CANARY = BrokerOrderId("77")
SENT_NS = -44_000 * MS
KNOWN = Circumstances(
    sent_ns=SENT_NS,
    sought_ns=SENT_NS,
    now_ns=SENT_NS + 75_000 * MS,
    healthy_ms=60_000,
    lag_ms_max=0,
    provable=True,
    positions_agree=True,
    positions_due=False,
)


def sent_before(lead_ns: int) -> Circumstances:
    """The same, of an order that was sent, and looked for, that much earlier."""
    return replace(KNOWN, sent_ns=SENT_NS - lead_ns, sought_ns=SENT_NS - lead_ns)


def trade_read(at_ms: int, **changed: Any) -> Read:
    read = Read(
        asked_ns=at_ms * MS,
        ended_ns=at_ms * MS + 1,
        complete=True,
        ready=True,
        streaming=True,
        calm=True,
        same_login=True,
        behind=False,
    )
    return replace(read, **changed)


def list_read(at_ms: int, **changed: Any) -> ListRead:
    read = ListRead(
        asked_ns=at_ms * MS,
        ended_ns=at_ms * MS + 1,
        complete=True,
        ready=True,
        streaming=True,
        calm=True,
        same_login=True,
        behind=False,
        refreshed=True,
        nameless=False,
        canaries=(CANARY,),
    )
    return replace(read, **changed)


def absence(*reads: Read) -> Absence:
    """The reads, each with a keep-alive after it."""
    found = Absence()
    for read in reads:
        found.add(read)
        found.confirm(read.ended_ns)
    return found


UNDATED = (
    "it shows no order of the account that changed since it was sent, so nobody knows how old it is"
)
LISTS = (list_read(0), list_read(15_000), list_read(30_000))
TRADES = (trade_read(5_000), trade_read(20_000))
PROOF = Evidence(
    elapsed_ms=75_000,
    healthy_ms=60_000,
    horizon_ms=74_000,
    list_reads=3,
    trade_reads=2,
    canaries=(CANARY,),
    same_login=True,
    positions_agree=True,
    missing=(),
)


def test_all_of_it_together_is_a_proof() -> None:
    assert absence(*LISTS, *TRADES).weigh(KNOWN) == PROOF


def test_the_limits_are_those_of_the_promise() -> None:
    limits = (LIST_READS_MIN, TRADE_READS_MIN, GAP_MS_MIN, SPAN_MS_MIN, HORIZON_MS_MIN)

    assert limits == (3, 2, 5_000, 30_000, 74_000)


def test_no_proof_comes_before_the_last_moment_at_which_an_answer_may() -> None:
    order = Request(method="POST", path="/x", endpoint="/x", lane=Lane.ORDER)
    last_byte_ms = SEND_WINDOW_MS
    given_up_ms = last_byte_ms + order.deadline_ms
    last_answer_ms = given_up_ms + client.LATE_ANSWER_MS_MAX

    assert last_answer_ms <= HORIZON_MS_MIN


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"complete": False}, "a row of it could not be read, or it was cut off"),
        ({"ready": False}, "the session was not ready"),
        ({"streaming": False}, "the stream was away, or may have been mute"),
        ({"calm": False}, "the broker resets or maintains its systems within 10 minutes"),
        ({"same_login": False}, "it is of another login than the one that it was sent in"),
        ({"behind": True}, "it lacked what was told before, so it is late or frozen"),
        ({"refreshed": False}, "the broker's cache was not cleared right before it"),
        ({"nameless": True}, "it shows an order without a reference that may be it"),
        ({"canaries": ()}, UNDATED),
    ],
)
def test_a_list_with_one_flaw_does_not_count(changed: dict[str, Any], why: str) -> None:
    flawed = [replace(read, **changed) for read in LISTS]

    evidence = absence(*flawed, *TRADES).weigh(KNOWN)

    assert evidence.list_reads == 0
    assert evidence.missing == (f"0 of 3 reads of the order list count; the last does not: {why}",)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"complete": False}, "a row of it could not be read, or it was cut off"),
        ({"ready": False}, "the session was not ready"),
        ({"streaming": False}, "the stream was away, or may have been mute"),
        ({"calm": False}, "the broker resets or maintains its systems within 10 minutes"),
        ({"behind": True}, "it lacked what was told before, so it is late or frozen"),
    ],
)
def test_trades_with_one_flaw_do_not_count(changed: dict[str, Any], why: str) -> None:
    flawed = [replace(read, **changed) for read in TRADES]

    evidence = absence(*LISTS, *flawed).weigh(KNOWN)

    assert evidence.missing == (f"0 of 2 reads of the trades count; the last does not: {why}",)


def test_a_flawed_list_after_those_that_count_prevents_it() -> None:
    evidence = absence(*LISTS, *TRADES, list_read(35_000, behind=True)).weigh(KNOWN)

    why = "it lacked what was told before, so it is late or frozen"
    assert evidence.missing == (f"the newest read of the order list does not count: {why}",)


def test_flawed_trades_after_those_that_count_prevent_it() -> None:
    evidence = absence(*LISTS, *TRADES, trade_read(35_000, complete=False)).weigh(KNOWN)

    why = "a row of it could not be read, or it was cut off"
    assert evidence.missing == (f"the newest read of the trades does not count: {why}",)


def test_one_flawed_list_among_three_is_one_too_few() -> None:
    one = list_read(15_000, canaries=())

    evidence = absence(LISTS[0], one, LISTS[2], *TRADES).weigh(KNOWN)

    assert evidence.list_reads == 2
    assert evidence.missing == ("2 of 3 reads of the order list count",)


def test_two_lists_are_not_enough() -> None:
    evidence = absence(LISTS[0], LISTS[2], *TRADES).weigh(KNOWN)

    assert evidence.missing == ("2 of 3 reads of the order list count",)


def test_one_read_of_the_trades_is_not_enough() -> None:
    evidence = absence(*LISTS, TRADES[0]).weigh(KNOWN)

    assert evidence.missing == ("1 of 2 reads of the trades count",)


def test_lists_that_are_too_close_to_each_other_count_once() -> None:
    close = [list_read(at_ms) for at_ms in (0, 4_999, 30_000, 34_999)]

    evidence = absence(*close, *TRADES).weigh(KNOWN)

    assert evidence.list_reads == 2


def test_three_lists_have_to_span_half_a_minute() -> None:
    quick = [list_read(at_ms) for at_ms in (0, 10_000, 29_999)]

    evidence = absence(*quick, *TRADES).weigh(sent_before(MS))

    assert evidence.missing == ("the reads of the order list span 29999 of 30000 ms",)


def test_a_list_counts_only_with_a_keep_alive_after_it() -> None:
    found = absence(*LISTS[:2], *TRADES)
    found.add(LISTS[2])

    known = sent_before(15_000 * MS)
    before = found.weigh(known)
    found.confirm(LISTS[2].ended_ns - 1)
    too_old = found.weigh(known)
    waits = found.waits_for_keep_alive
    found.confirm(LISTS[2].ended_ns)

    lacks = (
        "2 of 3 reads of the order list count; "
        "the last does not: no keep-alive was answered after it"
    )
    assert before.missing == too_old.missing == (lacks,)
    assert (waits, found.waits_for_keep_alive) == (True, False)
    assert found.weigh(KNOWN) == PROOF


def test_what_no_keep_alive_confirmed_before_the_login_was_doubted_is_void() -> None:
    found = absence(*LISTS[:2], *TRADES)
    found.add(LISTS[2])

    found.doubt()
    found.confirm(LISTS[2].ended_ns)

    assert found.weigh(KNOWN).list_reads == 2


def test_a_new_login_begins_with_nothing() -> None:
    found = absence(*LISTS, *TRADES)

    found.begin_login()

    evidence = found.weigh(KNOWN)
    assert (evidence.list_reads, evidence.trade_reads) == (0, 0)
    assert len(evidence.missing) == 2


@pytest.mark.parametrize(
    ("changed", "lacks"),
    [
        ({"provable": False}, "it was seen before, or a change of it is open"),
        (
            {"positions_agree": None, "positions_due": True},
            "the positions of the account were not read since",
        ),
        (
            {"positions_agree": False},
            "the positions of the account moved by more than the executions known",
        ),
        (
            {"sent_ns": SENT_NS + MS, "sought_ns": SENT_NS + MS},
            "the last list that counts was read 73999 of 74000 ms after it was sent",
        ),
        (
            {"sought_ns": SENT_NS + MS},
            "the last list that counts was read 74000 of 74001 ms after it was sent",
        ),
        (
            {"lag_ms_max": 24_667},
            "the last list that counts was read 74000 of 74001 ms after it was sent",
        ),
    ],
)
def test_circumstances_that_speak_against_it_prevent_it(
    changed: dict[str, Any], lacks: str
) -> None:
    evidence = absence(*LISTS, *TRADES).weigh(replace(KNOWN, **changed))

    assert evidence.missing == (lacks,)


def test_without_a_read_of_positions_before_it_was_sent_they_are_not_needed() -> None:
    evidence = absence(*LISTS, *TRADES).weigh(replace(KNOWN, positions_agree=None))

    assert evidence == replace(PROOF, positions_agree=None)


def test_whatever_shows_it_prevents_it_for_good() -> None:
    found = absence(*LISTS, *TRADES)

    found.seen = True

    assert found.weigh(KNOWN).missing == ("the broker showed it",)

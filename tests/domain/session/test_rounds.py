"""The rounds of account reads: one at a time, spread, and nobody waits for another."""

import pytest

from engine.domain.messages import CallGateway, SessionCall
from engine.domain.session.rounds import TRIES_MAX, AccountRounds
from engine.domain.values import AccountId

ONE, TWO = AccountId("DU1"), AccountId("DU2")
POSITIONS, FUNDS, LEDGER = SessionCall.POSITIONS, SessionCall.FUNDS, SessionCall.LEDGER


def begun(*accounts: AccountId) -> AccountRounds:
    rounds = AccountRounds()
    rounds.begin(accounts)
    return rounds


def go(rounds: AccountRounds, count: int) -> list[tuple[SessionCall, AccountId | None]]:
    """Take so many reads, each answered, and return them."""
    reads: list[tuple[SessionCall, AccountId | None]] = []
    for _ in range(count):
        read = rounds.take()
        assert read is not None
        assert rounds.finish(read.call, read.account)
        reads.append((read.call, read.account))
    return reads


def test_the_first_pass_reads_the_positions_of_all_accounts_and_then_their_funds() -> None:
    rounds = begun(ONE, TWO)

    first = go(rounds, 3)
    still = rounds.is_first_pass
    last = go(rounds, 1)

    assert [*first, *last] == [(POSITIONS, ONE), (POSITIONS, TWO), (FUNDS, ONE), (FUNDS, TWO)]
    assert (still, rounds.is_first_pass) == (True, False)


def test_later_rounds_read_ledgers_too_and_all_results_once() -> None:
    rounds = begun(ONE, TWO)
    go(rounds, 4)

    assert go(rounds, 8) == [
        (SessionCall.PROFIT, None),
        (POSITIONS, ONE),
        (FUNDS, ONE),
        (LEDGER, ONE),
        (POSITIONS, TWO),
        (FUNDS, TWO),
        (LEDGER, TWO),
        (SessionCall.PROFIT, None),
    ]


@pytest.mark.parametrize(("accounts", "gap_ms"), [(1, 7_500), (10, 967), (39, 254), (50, 250)])
def test_rounds_are_spread_over_half_a_minute_and_never_faster_than_four_a_second(
    accounts: int, gap_ms: int
) -> None:
    rounds = begun(*(AccountId(f"DU{number}") for number in range(accounts)))
    first = rounds.gap_ms

    go(rounds, 2 * accounts)

    assert (first, rounds.gap_ms) == (0, gap_ms)


def test_one_read_is_on_its_way_at_a_time() -> None:
    rounds = begun(ONE)

    assert rounds.take() is not None
    assert rounds.take() is None
    assert not rounds.finish(FUNDS, ONE), "an answer to something else"
    assert rounds.is_in_hand(POSITIONS)


def test_an_account_that_cannot_be_read_comes_last_and_is_given_up_at_last() -> None:
    rounds = begun(ONE, TWO)
    given_up: list[CallGateway | None] = []
    reads = []

    while rounds.is_first_pass:
        read = rounds.take()
        assert read is not None
        reads.append((read.call, read.account))
        if read.account == ONE and read.call is POSITIONS:
            given_up.append(rounds.fail())
        else:
            rounds.finish(read.call, read.account)

    assert reads == [
        (POSITIONS, ONE),
        (POSITIONS, TWO),
        (FUNDS, ONE),
        (FUNDS, TWO),
        (POSITIONS, ONE),
        (POSITIONS, ONE),
    ]
    last = CallGateway(call=POSITIONS, account=ONE)
    assert given_up == [*[None] * (TRIES_MAX - 1), last]


def test_a_read_that_was_not_made_comes_first_again() -> None:
    rounds = begun(ONE)
    rounds.put_back()
    read = rounds.take()

    rounds.put_back()

    assert rounds.take() == read


def test_an_account_can_be_read_before_all_others() -> None:
    rounds = begun(ONE, TWO)

    rounds.read_soon(TWO)

    assert go(rounds, 3) == [(POSITIONS, TWO), (FUNDS, TWO), (POSITIONS, ONE)]


def test_a_session_without_accounts_has_read_them_all() -> None:
    rounds = begun()

    assert (rounds.tried_all, rounds.is_first_pass, rounds.take()) == (True, False, None)


def test_positions_that_cannot_be_read_were_tried_all_the_same() -> None:
    rounds = begun(ONE, TWO)
    rounds.take()

    rounds.fail()
    tried_one = rounds.tried_all
    go(rounds, 1)

    assert (tried_one, rounds.tried_all) == (False, True)


def test_after_a_stop_nothing_is_read() -> None:
    rounds = begun(ONE)
    rounds.take()

    rounds.stop()

    assert (rounds.tried_all, rounds.take(), rounds.finish(POSITIONS, ONE)) == (False, None, False)

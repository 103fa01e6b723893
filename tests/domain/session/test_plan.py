"""The plan of a session: which answer belongs to which step."""

from engine.domain.messages import CallGateway, OpenStream, SessionCall
from engine.domain.session.plan import Plan
from engine.domain.values import AccountId

ACCOUNTS = CallGateway(call=SessionCall.ACCOUNTS)
ONE = CallGateway(call=SessionCall.FUNDS, account=AccountId("DU1"))


def test_steps_go_one_after_the_other() -> None:
    plan = Plan()

    first = plan.begin(ACCOUNTS, OpenStream(), ONE)
    call = plan.call
    second = plan.finish()
    stream_call = plan.call
    third = plan.finish()
    last = plan.finish()

    assert (first, call) == (ACCOUNTS, SessionCall.ACCOUNTS)
    assert (second, stream_call) == (OpenStream(), None)
    assert (third, last, bool(plan)) == (ONE, None, False)


def test_an_answer_to_a_call_of_before_the_plan_is_stale_once() -> None:
    plan = Plan()
    plan.note_call(SessionCall.FUNDS)
    plan.begin(ONE)
    plan.note_call(SessionCall.FUNDS)

    assert [plan.note_answer(SessionCall.FUNDS) for _ in range(2)] == [False, True]


def test_a_call_is_in_hand_only_for_its_account() -> None:
    plan = Plan()
    plan.begin(ONE)

    assert plan.is_in_hand(SessionCall.FUNDS, AccountId("DU1"))
    assert not plan.is_in_hand(SessionCall.FUNDS, AccountId("DU2"))
    assert not plan.is_in_hand(SessionCall.POSITIONS, AccountId("DU1"))


def test_tries_begin_anew_with_each_step() -> None:
    plan = Plan()
    plan.begin(ACCOUNTS, ONE)
    plan.tries = 2

    plan.finish()

    assert plan.tries == 0

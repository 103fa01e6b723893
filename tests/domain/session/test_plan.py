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


def test_a_call_is_out_until_it_is_answered() -> None:
    plan = Plan()
    plan.note_call(SessionCall.FUNDS)

    asked = plan.is_out(SessionCall.FUNDS, SessionCall.TRADES)
    plan.note_answer(SessionCall.FUNDS)

    assert (asked, plan.is_out(SessionCall.FUNDS, SessionCall.TRADES)) == (True, False)

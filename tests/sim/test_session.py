from decimal import Decimal

from engine.sim.session import MarketDataLine, Session, Tier
from engine.sim.tickets import Batch, Refusal, Ticket

TICKET = Ticket(
    account="DU1", conid=265598, order_type="MKT", side="BUY", quantity=Decimal(1), tif="DAY"
)


def session(*, logged_in: bool = True) -> Session:
    made = Session(accounts=("DU1",), seed=1, established_delay_ms=1000, idle_ms=360_000)
    if logged_in:
        made.log_in(0)
    return made


def test_before_the_login_everything_is_denied() -> None:
    assert session(logged_in=False).missing(Tier.LOGIN, 0) == Refusal(
        text="Access Denied", status=401
    )


def test_a_login_opens_no_brokerage_session() -> None:
    fresh = session()

    assert fresh.missing(Tier.LOGIN, 0) is None
    assert fresh.missing(Tier.BROKERAGE, 0) == Refusal(text="Bad Request: no bridge", status=400)


def test_the_brokerage_session_needs_time_to_be_established() -> None:
    opening = session()

    opening.open_brokerage(0)

    assert opening.missing(Tier.BROKERAGE, 999) is not None
    assert opening.missing(Tier.BROKERAGE, 1000) is None


def test_orders_need_the_accounts_to_have_been_read() -> None:
    ready = session()
    ready.open_brokerage(0)
    assert ready.brokerage is not None

    before = ready.missing(Tier.PRIMED, 1000)
    ready.brokerage.primed = True

    assert before == Refusal(text="Bad Request: Please query /accounts first", status=400)
    assert ready.missing(Tier.PRIMED, 1000) is None


def test_everything_the_brokerage_session_remembers_dies_with_it() -> None:
    ready = session()
    ready.open_brokerage(0)
    assert ready.brokerage is not None
    ready.brokerage.primed = True
    ready.brokerage.suppressed = frozenset({"o163"})
    ready.brokerage.lines[1] = MarketDataLine()
    ready.ask(Batch(tickets=(TICKET,)), (("o163",),))

    ready.reset_brokerage()
    ready.open_brokerage(5000)

    again = ready.brokerage
    assert (again.primed, again.suppressed, again.lines) == (False, frozenset(), {})
    assert again.question is None


def test_opening_an_open_session_changes_nothing() -> None:
    ready = session()
    ready.open_brokerage(0)
    first = ready.brokerage

    ready.open_brokerage(500)

    assert ready.brokerage is first


def test_a_long_silence_times_the_brokerage_session_out() -> None:
    silent = session()
    silent.open_brokerage(0)

    silent.touch(360_000)
    assert silent.brokerage is not None
    silent.touch(720_001)

    assert silent.brokerage is None
    assert silent.login is not None


def test_the_session_id_is_stable_within_a_login_and_new_with_the_next() -> None:
    first = session()
    assert first.login is not None
    session_id = first.login.session_id

    first.open_brokerage(0)
    assert first.login.session_id == session_id
    first.log_in(10)

    assert first.login.session_id != session_id


def test_only_one_question_is_open_and_another_request_invalidates_it() -> None:
    asking = session()
    asking.open_brokerage(0)
    assert asking.brokerage is not None

    question = asking.ask(Batch(tickets=(TICKET,)), (("o163",), ("o354",)))
    asking.invalidate_question()

    assert question.remaining == (("o354",),)
    assert asking.brokerage.question is None
    assert asking.brokerage.invalidated == {question.question_id: question}


def test_a_login_ends_after_a_day() -> None:
    fresh = session()
    for hour in range(24):
        fresh.touch(hour * 3_600_000)
    assert fresh.login is not None

    fresh.touch(24 * 3_600_000)

    assert fresh.login is None

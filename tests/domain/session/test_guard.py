"""The guard of logins: counts to five, takes over once, and says what to write down."""

from engine.domain.messages import LoginGuarded, RetryLogin
from engine.domain.session.guard import LOGIN_FAILURES_MAX, LoginGuard
from engine.domain.values import SessionName

MAIN = SessionName("main")


def guarded(
    *, failures: int = 0, taken_over: bool = False, latched: bool = False, reason: str
) -> LoginGuarded:
    return LoginGuarded(
        session=MAIN, failures=failures, taken_over=taken_over, latched=latched, reason=reason
    )


def test_refused_logins_are_counted_and_the_fifth_latches() -> None:
    guard = LoginGuard(MAIN)

    written = [guard.refuse("wrong password") for _ in range(LOGIN_FAILURES_MAX)]

    text = "the broker refused {} logins in a row, limit is 5: wrong password"
    assert written == [
        guarded(failures=number, latched=number == 5, reason=text.format(number))
        for number in range(1, 6)
    ]
    assert (guard.failures, guard.latched) == (5, True)


def test_a_login_that_works_is_written_only_where_it_changes_something() -> None:
    guard = LoginGuard(MAIN)
    before = guard.succeed()
    guard.take_over()
    guard.refuse("")

    after = guard.succeed()

    assert before is None
    assert after == guarded(taken_over=True, reason="a login worked")


def test_what_was_written_is_gone_on_from() -> None:
    guard = LoginGuard(MAIN)

    guard.restore(guarded(failures=4, taken_over=True, reason="before"))
    guard.refuse("again")

    assert (guard.failures, guard.taken_over, guard.latched) == (5, True, True)


def test_a_person_begins_anew() -> None:
    guard = LoginGuard(MAIN)
    guard.restore(guarded(failures=5, taken_over=True, latched=True, reason="before"))

    written = guard.retry(RetryLogin(session=MAIN, reason="new password", by="anna"))

    assert written == guarded(reason="anna lets it log in again: new password")
    assert guard.reason == written.reason

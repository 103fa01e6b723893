"""By when a person has to log in, and when a login ends."""

from engine.domain.messages import StartTimer, StopTimer
from engine.domain.session.calendar import Hours, Window
from engine.domain.session.deadline import LoginDeadline
from engine.domain.values import SessionState

MS = 1_000_000
HOURS = Hours(since_ns=0, until_ns=9_000 * MS, window=None, login_ends_ns=8_000 * MS)
IN_WINDOW = Hours(
    since_ns=0,
    until_ns=500 * MS,
    window=Window(name="reset", begins_ns=0, ends_ns=500 * MS),
    login_ends_ns=8_000 * MS,
)


def test_a_login_is_due_after_its_grace_and_once_only() -> None:
    deadline = LoginDeadline(grace_ms=100)

    first = list(deadline.follow(SessionState.LOGIN_REQUIRED, HOURS, 7 * MS))
    again = list(deadline.follow(SessionState.DOWN, HOURS, 50 * MS))

    assert first == [StartTimer(name="login", delay_ms=100)]
    assert again == []
    assert (deadline.by_ns, deadline.overdue) == (107 * MS, False)


def test_in_a_window_the_grace_begins_with_its_end() -> None:
    deadline = LoginDeadline(grace_ms=100)

    effects = list(deadline.follow(SessionState.LOCKED_OUT, IN_WINDOW, 200 * MS))

    assert effects == [StartTimer(name="login", delay_ms=400)]
    assert deadline.by_ns == 600 * MS


def test_a_login_in_time_is_never_overdue() -> None:
    deadline = LoginDeadline(grace_ms=100)
    list(deadline.follow(SessionState.LOGIN_REQUIRED, None, 0))

    effects = list(deadline.follow(SessionState.BROKERAGE_INIT, None, 50 * MS))
    deadline.pass_by()

    assert effects == [StopTimer(name="login")]
    assert (deadline.by_ns, deadline.overdue) == (None, False)


def test_the_earlier_end_of_a_login_counts() -> None:
    deadline = LoginDeadline(grace_ms=100)

    ends = []
    for expires_ms in (None, 9_000, 7_000):
        deadline.tell_expiry(0, expires_ms)
        list(deadline.follow(SessionState.READY, HOURS, 0))
        ends.append(deadline.by_ns)

    assert ends == [8_000 * MS, 8_000 * MS, 7_000 * MS]


def test_an_expiry_that_keep_alives_put_off_is_not_the_logins() -> None:
    deadline = LoginDeadline(grace_ms=100)

    for wall_ms in (0, 60_000):
        deadline.tell_expiry(wall_ms * MS, 400_000)
    list(deadline.follow(SessionState.READY, None, 60_000 * MS))

    assert deadline.by_ns is None


def test_what_was_told_of_a_login_ends_with_it() -> None:
    deadline = LoginDeadline(grace_ms=100)
    deadline.tell_expiry(0, 1_000)
    list(deadline.follow(SessionState.LOGIN_REQUIRED, None, 0))

    list(deadline.follow(SessionState.READY, None, 0))

    assert deadline.by_ns is None


def test_a_new_login_tells_its_end_although_the_one_before_moved_it() -> None:
    deadline = LoginDeadline(grace_ms=100)
    deadline.tell_expiry(0, 9_000)
    deadline.tell_expiry(60_000 * MS, 9_000)
    list(deadline.follow(SessionState.READY, None, 0))
    moved = deadline.by_ns

    deadline.begin_login()
    deadline.tell_expiry(70_000 * MS, 9_000)
    list(deadline.follow(SessionState.READY, None, 0))

    assert moved is None
    assert deadline.by_ns == 79_000 * MS

"""One topic held against the polls, whatever it tells of."""

from engine.domain.session.watch import UNTOLD_MS_MAX, TopicWatch

S = 1_000_000_000
LATE = UNTOLD_MS_MAX // 1_000


def watched() -> TopicWatch[str]:
    watch: TopicWatch[str] = TopicWatch()
    assert watch.poll({"a": 1}, 0) == 0
    return watch


def test_a_change_must_be_untold_for_its_time_in_two_polls() -> None:
    watch = watched()

    found = [watch.poll({"a": 2, "b": 1}, at * S) for at in (10, 10 + LATE - 1, 10 + LATE, 30)]

    assert found == [0, 0, 0, 2]


def test_it_stays_doubtful_until_something_is_told() -> None:
    watch = watched()
    for at in (10, 30, 35):
        watch.poll({"a": 2}, at * S)

    silent = watch.doubtful
    watch.begin()
    connected = watch.doubtful
    watch.tell(["z"], 40 * S)

    assert (silent, connected, watch.doubtful) == (True, True, False)


def test_what_was_told_shortly_before_the_last_poll_counts() -> None:
    watch = watched()
    watch.tell(["a"], 5 * S)
    watch.poll({"a": 1}, 10 * S)

    watch.poll({"a": 2}, 20 * S)

    assert not watch.doubtful


def test_what_was_told_long_before_does_not() -> None:
    watch = watched()
    watch.tell(["a"], 5 * S)
    watch.poll({"a": 1}, 60 * S)

    watch.poll({"a": 2}, 120 * S)

    assert watch.doubtful


def test_news_of_another_does_not_excuse_it() -> None:
    watch = watched()
    watch.poll({"a": 2}, 10 * S)

    watch.tell(["b"], 12 * S)

    assert watch.doubtful


def test_what_is_gone_from_the_polls_is_no_change() -> None:
    watch = watched()

    watch.poll({}, 10 * S)

    assert not watch.doubtful

"""One topic held against the polls, whatever it tells of."""

import pytest

from engine.domain.session.watch import UNTOLD_MS_MAX, TopicWatch

S = 1_000_000_000
LATE = UNTOLD_MS_MAX // 1_000


def watched() -> TopicWatch[str, int]:
    watch: TopicWatch[str, int] = TopicWatch()
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
    watch.tell({"z": 1}, 40 * S)

    assert (silent, connected, watch.doubtful) == (True, True, False)


def test_what_was_told_shortly_before_the_last_poll_counts() -> None:
    watch = watched()
    watch.tell({"a": 1}, 5 * S)
    watch.poll({"a": 1}, 10 * S)

    watch.poll({"a": 2}, 20 * S)

    assert not watch.doubtful


def test_what_was_told_long_before_does_not() -> None:
    watch = watched()
    watch.tell({"a": 1}, 5 * S)
    watch.poll({"a": 1}, 60 * S)

    watch.poll({"a": 2}, 120 * S)

    assert watch.doubtful


def test_news_of_another_does_not_excuse_it() -> None:
    watch = watched()
    watch.poll({"a": 2}, 10 * S)

    watch.tell({"b": 1}, 12 * S)

    assert watch.doubtful


def test_what_is_gone_from_the_polls_is_no_change() -> None:
    watch = watched()

    watch.poll({}, 10 * S)

    assert not watch.doubtful


def test_what_is_missing_in_one_poll_and_back_in_the_next_is_no_change() -> None:
    watch = watched()

    for at, polled in ((10, {}), (20, {"a": 1}), (40, {"a": 1}), (60, {"a": 1})):
        watch.poll(polled, at * S)

    assert not watch.doubtful


@pytest.mark.parametrize("before", [{"a": 1}, {}])
def test_a_stream_that_is_ahead_of_a_list_that_stands_still_is_not_mute(
    before: dict[str, int],
) -> None:
    watch: TopicWatch[str, int] = TopicWatch()
    watch.poll(before, 0)
    watch.tell({"a": 2}, 5 * S)

    for at in range(10, 300, 10):
        watch.poll(before, at * S)
    watch.poll({"a": 2}, 300 * S)

    assert not watch.doubtful


def test_what_was_told_is_forgotten_once_the_polls_show_it() -> None:
    watch = watched()
    watch.tell({"a": 2}, 5 * S)
    for at in (10, 60, 120):
        watch.poll({"a": 2}, at * S)
    watch.poll({"a": 1}, 180 * S)

    watch.poll({"a": 2}, 240 * S)

    assert watch.doubtful, "it was told once, and has come twice"

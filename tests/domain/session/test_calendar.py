"""The broker's calendar: pure, in its region's time, and right on nights that are odd."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.session import Calendar, calendar_of
from engine.domain.session.calendar import RESET, Closing, Region, Window

S = 1_000_000_000
MINUTE = 60 * S
HOUR = 60 * MINUTE
EVERY_DAY = frozenset(range(7))
NIGHTLY = Closing(name="nightly reset", weekdays=EVERY_DAY, begins=time(1), lasts_ms=600_000)

REGIONS: tuple[Region, ...] = ("america", "europe", "asia")
HOSTILE_ZONES = (
    "America/New_York",  # 01:00 comes twice
    "Europe/London",  # 01:00 is skipped in spring, and comes twice in autumn
    "Atlantic/Azores",  # midnight is skipped, and comes twice
    "Africa/Cairo",  # midnight is skipped on a Friday
    "Australia/Lord_Howe",  # the clocks change by half an hour
    "Pacific/Apia",
    "Asia/Hong_Kong",
)
instants = st.integers(
    min_value=int(datetime(2020, 1, 1, tzinfo=UTC).timestamp()),
    max_value=int(datetime(2040, 12, 31, tzinfo=UTC).timestamp()),
).map(lambda seconds: seconds * S)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * S


def local(zone: str, wall_ns: int) -> datetime:
    return datetime.fromtimestamp(wall_ns // S, tz=ZoneInfo(zone))


def odd_days() -> list[tuple[str, int]]:
    """Return the starts of all days, in UTC, within which some zone changes its clocks."""
    first, last = at("2020-01-01T00:00+00:00"), at("2040-12-31T00:00+00:00")
    return [
        (zone, day)
        for zone in HOSTILE_ZONES
        for day in range(first, last, 24 * HOUR)
        if local(zone, day).utcoffset() != local(zone, day + 24 * HOUR).utcoffset()
    ]


moments = st.one_of(
    st.tuples(st.sampled_from(HOSTILE_ZONES), instants),
    st.tuples(st.sampled_from(odd_days()), st.integers(min_value=-24 * 60, max_value=48 * 60)).map(
        lambda pair: (pair[0][0], pair[0][1] + pair[1] * MINUTE)
    ),
)


@pytest.mark.parametrize(
    ("region", "before", "opens", "closes"),
    [
        ("america", "2026-11-23T00:57:59-05:00", "2026-11-23T00:58-05:00", "01:10 EST"),
        ("america", "2026-07-07T00:57:59-04:00", "2026-07-07T00:58-04:00", "01:10 EDT"),
        ("europe", "2026-11-23T00:57:59+01:00", "2026-11-23T00:58+01:00", "01:10 CET"),
        ("asia", "2026-11-23T00:57:59+08:00", "2026-11-23T00:58+08:00", "01:10 HKT"),
    ],
)
def test_no_order_is_sent_from_two_minutes_before_the_reset_until_it_is_over(
    region: Region, before: str, opens: str, closes: str
) -> None:
    calendar = calendar_of(region)

    window = calendar.hours(at(opens)).window

    assert calendar.hours(at(before)).window is None
    assert window == Window(
        name="nightly reset", begins_ns=at(opens), ends_ns=at(opens) + 12 * MINUTE
    )
    assert calendar.shown(window.ends_ns) == closes
    assert calendar.hours(window.ends_ns).window is None


def test_the_night_to_sunday_has_no_reset_and_saturday_evening_has_maintenance() -> None:
    calendar = calendar_of("america")

    saturday, sunday = at("2026-11-21T18:00-05:00"), at("2026-11-22T01:00-05:00")

    window = calendar.hours(saturday).window
    assert window is not None
    assert (window.name, calendar.shown(window.ends_ns)) == ("weekend maintenance", "00:00 EST")
    assert calendar.hours(sunday).window is None


def test_a_login_ends_at_the_next_midnight_of_its_region() -> None:
    noon = at("2026-11-22T12:00+00:00")

    ends = {region: calendar_of(region).hours(noon).login_ends_ns for region in REGIONS}

    assert ends == {
        "america": at("2026-11-23T00:00-05:00"),
        "europe": at("2026-11-23T00:00+01:00"),
        "asia": at("2026-11-23T00:00+08:00"),
    }


def test_a_maintenance_over_a_change_of_the_clocks_lasts_as_long_as_ever() -> None:
    # The clocks of New York go back on Sunday at 02:00.
    closing = Closing(
        name="maintenance", weekdays=frozenset({5}), begins=time(23), lasts_ms=4 * 3_600_000
    )
    calendar = Calendar(zone=ZoneInfo("America/New_York"), closings=(closing,))

    window = calendar.hours(at("2026-10-31T23:30-04:00")).window

    assert window is not None
    assert window.ends_ns - window.begins_ns == (4 * 60 + 2) * MINUTE
    assert calendar.shown(window.ends_ns) == "02:00 EST"


def test_an_hour_that_comes_twice_has_two_resets() -> None:
    calendar = Calendar(zone=ZoneInfo("America/New_York"), closings=(NIGHTLY,))
    first, second = at("2026-11-01T01:00-04:00"), at("2026-11-01T01:00-05:00")

    resets = [
        window.begins_ns + 2 * MINUTE
        for window in calendar.windows(first)
        if local("America/New_York", window.ends_ns).day == 1
    ]

    assert resets == [first, second]
    assert calendar.hours(first + 30 * MINUTE).window is None


def test_an_hour_that_never_comes_has_its_reset_when_the_clocks_jump() -> None:
    calendar = Calendar(zone=ZoneInfo("Europe/London"), closings=(NIGHTLY,))
    jump = at("2026-03-29T01:00+00:00")

    window = calendar.hours(jump).window

    assert window == Window(
        name="nightly reset", begins_ns=jump - 2 * MINUTE, ends_ns=jump + 10 * MINUTE
    )


@given(moment=moments)
def test_hours_hold_for_all_of_the_time_that_they_name(moment: tuple[str, int]) -> None:
    zone, wall_ns = moment
    calendar = Calendar(zone=ZoneInfo(zone), closings=(NIGHTLY,))

    hours = calendar.hours(wall_ns)

    assert hours.since_ns <= wall_ns < hours.until_ns
    for inside_ns in (hours.since_ns, (hours.since_ns + hours.until_ns) // 2, hours.until_ns - S):
        assert calendar.hours(inside_ns) == hours
    assert hours.until_ns - hours.since_ns <= 26 * HOUR


@given(moment=moments)
def test_every_night_has_as_many_resets_as_its_clock_shows_one_oclock(
    moment: tuple[str, int],
) -> None:
    zone, wall_ns = moment
    calendar = Calendar(zone=ZoneInfo(zone), closings=(NIGHTLY,))
    day = local(zone, wall_ns).date()
    quarters = range(at(f"{day}T00:00+00:00") - 15 * HOUR, at(f"{day}T00:00+00:00") + 15 * HOUR)
    shown = {
        quarter_ns
        for quarter_ns in quarters[:: 15 * MINUTE]
        if local(zone, quarter_ns).replace(tzinfo=None) == datetime.combine(day, time(1))
    }

    resets = {
        window.begins_ns + 2 * MINUTE
        for window in calendar.windows(wall_ns)
        if local(zone, window.ends_ns).date() == day
    }

    assert resets == shown or (shown == set() and len(resets) == 1)


@given(region=st.sampled_from(REGIONS), wall_ns=instants)
def test_a_regions_window_is_where_its_own_clock_says(region: Region, wall_ns: int) -> None:
    calendar = calendar_of(region)

    window = calendar.hours(wall_ns).window

    shown = datetime.fromtimestamp(wall_ns // S, tz=calendar.zone)
    minute = shown.hour * 60 + shown.minute
    at_reset = shown.weekday() < 5 and 58 <= minute < 70
    at_maintenance = shown.weekday() == 5 and minute >= 18 * 60 - 2
    assert (window is not None) == (at_reset or at_maintenance)


@given(moment=moments)
def test_a_login_ends_with_the_first_moment_of_the_next_day(moment: tuple[str, int]) -> None:
    zone, wall_ns = moment
    ends_ns = Calendar(zone=ZoneInfo(zone)).hours(wall_ns).login_ends_ns

    before, after = local(zone, ends_ns - S), local(zone, ends_ns)
    assert wall_ns < ends_ns <= wall_ns + 25 * HOUR
    # Where midnight comes twice, the first one ends the day, and the second one again.
    assert (after.date() > before.date()) or (after.hour, after.minute) == (0, 0)
    assert before.date() >= local(zone, wall_ns).date()


def test_two_windows_that_overlap_are_one() -> None:
    late = Closing(name="long", weekdays=EVERY_DAY, begins=time(1, 5), lasts_ms=3_600_000)
    calendar = Calendar(zone=ZoneInfo("Asia/Hong_Kong"), closings=(RESET, late))

    window = calendar.hours(at("2026-11-23T01:05+08:00")).window

    assert window is not None
    assert (window.name, calendar.shown(window.ends_ns)) == ("long", "02:05 HKT")

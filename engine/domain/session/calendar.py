"""When the broker ends sessions by itself: nightly resets, maintenance, the end of a login.

Rule 1: all of it happens at wall-clock times of the region that a login connects to, and
is reckoned with that region's time zone, never with this machine's.

Rule 2: nights on which the clocks change are no exception. A time that comes twice counts
both times; one that is skipped counts at the moment when the clocks jump over it.

The broker's times: the brokerage session is reset each weekday at about 01:00, there is
maintenance on Saturday evenings, and no login outlives midnight. It names no hours for the
maintenance, so the whole evening counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo

Region: TypeAlias = Literal["america", "europe", "asia"]

NO_SUBMIT_LEAD_MS: Final = 120_000
"""So long before a reset or a maintenance no order is sent any more."""

RESET_MS: Final = 600_000
"""How long a nightly reset takes, with what comes after it, at most."""

_S: Final = 1_000_000_000
_MS: Final = 1_000_000
_DAY: Final = timedelta(days=1)
_MONDAY_TO_FRIDAY: Final = frozenset(range(5))
_SATURDAY: Final = frozenset({5})
_ZONES: Final[dict[Region, str]] = {
    "america": "America/New_York",
    "europe": "Europe/Zurich",
    "asia": "Asia/Hong_Kong",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Something that ends sessions on these weekdays (Monday is 0), at a local time."""

    name: str
    weekdays: frozenset[int]
    begins: time
    lasts_ms: int


RESET: Final = Closing(
    name="nightly reset", weekdays=_MONDAY_TO_FRIDAY, begins=time(1), lasts_ms=RESET_MS
)
MAINTENANCE: Final = Closing(
    name="weekend maintenance", weekdays=_SATURDAY, begins=time(18), lasts_ms=6 * 3_600_000
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A time in which no order is sent and a lost session is no surprise. Wall time.

    It holds from `begins_ns` up to, but without, `ends_ns`.
    """

    name: str
    begins_ns: int
    ends_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """What the calendar says from `since_ns` up to, but without, `until_ns`. Wall time."""

    since_ns: int
    until_ns: int
    window: Window | None
    login_ends_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The times of one region. Pure: the time comes in, epoch nanoseconds."""

    zone: ZoneInfo
    closings: tuple[Closing, ...] = (RESET, MAINTENANCE)

    def hours(self, wall_ns: int) -> Hours:
        """Return what holds now, and from when until when it does."""
        windows = self.windows(wall_ns)
        midnights = self._midnights(wall_ns)
        open_ = [one for one in windows if one.begins_ns <= wall_ns < one.ends_ns]
        edges = [edge for one in windows for edge in (one.begins_ns, one.ends_ns)]
        edges += midnights
        return Hours(
            since_ns=max(edge for edge in edges if edge <= wall_ns),
            until_ns=min(edge for edge in edges if edge > wall_ns),
            # Two that overlap are one: the later end counts.
            window=max(open_, key=lambda one: one.ends_ns, default=None),
            login_ends_ns=min(edge for edge in midnights if edge > wall_ns),
        )

    def windows(self, wall_ns: int) -> tuple[Window, ...]:
        """Return the windows that begin on the local day of `wall_ns` or next to it."""
        today = self._local(wall_ns).date()
        return tuple(
            Window(
                name=closing.name,
                begins_ns=at_ns - NO_SUBMIT_LEAD_MS * _MS,
                ends_ns=at_ns + closing.lasts_ms * _MS,
            )
            for day in (today - _DAY, today, today + _DAY)
            for closing in self.closings
            if day.weekday() in closing.weekdays
            for at_ns in self._instants(day, closing.begins)
        )

    def is_near_window(self, wall_ns: int, margin_ms: int) -> bool:
        """Say whether a window is open, or was or will be so within `margin_ms`."""
        margin_ns = margin_ms * _MS
        return any(
            one.begins_ns - margin_ns <= wall_ns < one.ends_ns + margin_ns
            for one in self.windows(wall_ns)
        )

    def shown(self, wall_ns: int) -> str:
        """Return the local time as people say it, with its zone."""
        return f"{self._local(wall_ns):%H:%M %Z}"

    def _midnights(self, wall_ns: int) -> list[int]:
        today = self._local(wall_ns).date()
        days = (today - _DAY, today, today + _DAY, today + 2 * _DAY)
        return [at_ns for day in days for at_ns in self._instants(day, time(0))]

    def _local(self, wall_ns: int) -> datetime:
        return datetime.fromtimestamp(wall_ns // _S, tz=self.zone)

    def _instants(self, day: date, at: time) -> Iterator[int]:
        """Return when it is `at` on that day: once; twice where the clocks are put back."""
        local = datetime.combine(day, at, tzinfo=self.zone)
        first, second = (
            round(local.replace(fold=fold).astimezone(UTC).timestamp()) * _S for fold in (0, 1)
        )
        yield first
        # Where the clocks are put forward over this time, the second is before the first:
        # it counts once, as long after midnight as ever.
        if second > first:
            yield second


def calendar_of(region: Region) -> Calendar:
    """Return the calendar of the region that a login connects to."""
    return Calendar(zone=ZoneInfo(_ZONES[region]))

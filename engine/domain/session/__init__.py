"""A gateway session: its machine, its calendar, its submit lane, its search for orders."""

from engine.domain.session.calendar import Calendar, calendar_of
from engine.domain.session.effects import Effect, MissOrder, ObserveVisibility
from engine.domain.session.lane import SEND_WINDOW_MS, SubmitLane
from engine.domain.session.lookups import LOOKUP_HEALTHY_MS_MAX, Lookups
from engine.domain.session.machine import Session
from engine.domain.session.settings import SessionSettings

__all__ = [
    "LOOKUP_HEALTHY_MS_MAX",
    "SEND_WINDOW_MS",
    "Calendar",
    "Effect",
    "Lookups",
    "MissOrder",
    "ObserveVisibility",
    "Session",
    "SessionSettings",
    "SubmitLane",
    "calendar_of",
]

"""What several machines hear and ask for."""

from dataclasses import dataclass

from engine.domain.values import (
    Reason,
    SessionName,
    SessionState,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    """The time that a machine asked for is over."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionChanged:
    """The account's session moved. Orders and risk hear it; `ready` opens the gate."""

    session: SessionName
    state: SessionState
    ready: bool
    epoch: int
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimer:
    """Tell `TimerFired(name)` after `delay_ms`; a timer of the same name is replaced."""

    name: str
    delay_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTimer:
    """Forget the timer, if it runs."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAnomaly:
    """Something came that should not; it is counted and logged, and changed nothing."""

    machine: str
    kind: str
    detail: str

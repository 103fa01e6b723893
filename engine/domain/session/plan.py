"""The steps that a session takes one after the other, and which answers belong to them.

An answer to a call of an older plan is news all the same, but it does not mean that the
step in hand is done: what it reports may be older than the plan.
"""

from collections import Counter, deque
from typing import TypeAlias

from engine.domain.messages import CallGateway, OpenStream, SessionCall

PlannedStep: TypeAlias = CallGateway | OpenStream


class Plan:
    """What is left to do. False when there is nothing."""

    def __init__(self) -> None:
        self._steps: deque[PlannedStep] = deque()
        self._outstanding: Counter[SessionCall] = Counter()
        self._stale: Counter[SessionCall] = Counter()

    def __bool__(self) -> bool:
        return bool(self._steps)

    def begin(self, *steps: PlannedStep) -> PlannedStep:
        """Begin a new way, and return its first step; what is on the wire is of the old one."""
        self._steps = deque(steps)
        self._stale = Counter(self._outstanding)
        return steps[0]

    def clear(self) -> None:
        """Take no step any more."""
        self._steps.clear()

    @property
    def step(self) -> PlannedStep | None:
        """The step in hand."""
        return self._steps[0] if self._steps else None

    @property
    def call(self) -> SessionCall | None:
        """The call in hand, None when the step is none."""
        return self.step.call if isinstance(self.step, CallGateway) else None

    def finish(self) -> PlannedStep | None:
        """The step in hand is done; return the next one, None when that was the last."""
        self._steps.popleft()
        return self.step

    def note_call(self, call: SessionCall) -> None:
        """A call goes out."""
        self._outstanding[call] += 1

    def is_out(self, *calls: SessionCall) -> bool:
        """True while one of these calls has not been answered."""
        return any(self._outstanding[call] for call in calls)

    def note_answer(self, call: SessionCall) -> bool:
        """An answer came in; False when it is to a call of an older plan."""
        self._outstanding[call] = max(self._outstanding[call] - 1, 0)
        stale = self._stale[call] > 0
        self._stale[call] -= stale
        return not stale

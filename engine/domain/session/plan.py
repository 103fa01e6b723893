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
        self.asked_ns = 0
        """When the call went out, at the earliest, whose answer was noted last."""
        self._asked: dict[SessionCall, deque[int]] = {}
        self._outstanding: Counter[SessionCall] = Counter()
        self._stale: Counter[SessionCall] = Counter()

    def __bool__(self) -> bool:
        return bool(self._steps)

    def begin(self, *steps: PlannedStep) -> PlannedStep:
        """Begin a new way, and return its first step; what is on the wire is of the old one."""
        self.renew()
        return self.go(*steps)

    def renew(self) -> None:
        """Begin a new way whose steps come later; what is on the wire is of the old one."""
        self._steps.clear()
        self._stale = Counter(self._outstanding)

    def go(self, *steps: PlannedStep) -> PlannedStep:
        """Take these steps, and return the first."""
        self._steps = deque(steps)
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

    def note_call(self, call: SessionCall, now_ns: int = 0) -> None:
        """A call goes out; it is written then, or later."""
        self._outstanding[call] += 1
        self._asked.setdefault(call, deque()).append(now_ns)

    def is_out(self, *calls: SessionCall) -> bool:
        """True while one of these calls has not been answered."""
        return any(self._outstanding[call] for call in calls)

    def note_answer(self, call: SessionCall) -> bool:
        """An answer came in; False when it is to a call of an older plan."""
        self._outstanding[call] = max(self._outstanding[call] - 1, 0)
        if asked := self._asked.get(call):
            self.asked_ns = asked.popleft()
        stale = self._stale[call] > 0
        self._stale[call] -= stale
        return not stale

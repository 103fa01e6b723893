"""The steps that a session takes one after the other, and which answers belong to them.

An answer to a call of an older plan is news all the same, but it does not mean that the
step in hand is done: what it reports may be older than the plan.
"""

from collections import Counter, deque
from typing import TypeAlias

from engine.domain.messages import CallGateway, OpenStream, SessionCall
from engine.domain.values import AccountId

PlannedStep: TypeAlias = CallGateway | OpenStream


class Plan:
    """What is left to do. False when there is nothing."""

    def __init__(self) -> None:
        self.tries = 0
        self._steps: deque[PlannedStep] = deque()
        self._outstanding: Counter[SessionCall] = Counter()
        self._stale: Counter[SessionCall] = Counter()

    def __bool__(self) -> bool:
        return bool(self._steps)

    def begin(self, *steps: PlannedStep) -> PlannedStep:
        """Begin a new way, and return its first step; what is on the wire is of the old one."""
        self.extend(*steps)
        self._stale = Counter(self._outstanding)
        return steps[0]

    def extend(self, *steps: PlannedStep) -> None:
        """Take these steps from now on; nothing that is on the wire is void by it."""
        self._steps = deque(steps)
        self.tries = 0

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

    def is_in_hand(self, call: SessionCall, account: AccountId | None) -> bool:
        """True when exactly this call is the step in hand."""
        step = self.step
        return isinstance(step, CallGateway) and (step.call, step.account) == (call, account)

    def finish(self) -> PlannedStep | None:
        """The step in hand is done; return the next one, None when that was the last."""
        self._steps.popleft()
        self.tries = 0
        return self.step

    def note_call(self, call: SessionCall) -> None:
        """A call goes out."""
        self._outstanding[call] += 1

    def note_answer(self, call: SessionCall) -> bool:
        """An answer came in; False when it is to a call of an older plan."""
        self._outstanding[call] = max(self._outstanding[call] - 1, 0)
        stale = self._stale[call] > 0
        self._stale[call] -= stale
        return not stale

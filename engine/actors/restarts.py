"""How often a failed actor is rebuilt, how soon, and when it is given up."""

import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Rebuild up to `tries` times within `within_s`, each time after a longer wait.

    The first wait is `delay_ms`; each failure within `within_s` doubles it, up to `cap_ms`.
    `jitter` is the share by which a wait may be shorter or longer, so that actors that
    failed of one cause do not all come back at once.
    """

    tries: int = 5
    within_s: float = 60.0
    delay_ms: int = 100
    cap_ms: int = 30_000
    jitter: float = 0.2


class Restarts:
    """Counts the failures of each actor."""

    def __init__(self, policy: Restart, chance: random.Random) -> None:
        self._policy = policy
        self._chance = chance
        self._failures: dict[str, deque[float]] = {}

    def next_wait_s(self, name: str, now_s: float) -> float | None:
        """Count a failure; return how long to wait with the rebuild, None to give up."""
        policy = self._policy
        failures = self._failures.setdefault(name, deque())
        failures.append(now_s)
        while failures[0] < now_s - policy.within_s:
            failures.popleft()
        if len(failures) > policy.tries:
            return None
        wait_ms = min(policy.delay_ms << (len(failures) - 1), policy.cap_ms)
        return wait_ms * (1 + self._chance.uniform(-policy.jitter, policy.jitter)) / 1_000

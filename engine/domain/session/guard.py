"""What keeps a session from being locked out, and from fighting another login.

Rule 1: five refused logins in a row are enough. The broker locks a username that fails
more often, for a day; so then nothing is tried before a person says so.

Rule 2: another login is displaced once. Two engines that both may would otherwise take the
session from each other for ever; so the second time a person decides.

Rule 3: a restart forgets nothing of it: every change is journaled.
"""

from dataclasses import replace
from typing import Final

from engine.domain.messages import LoginGuarded, RetryLogin
from engine.domain.values import SessionName

LOGIN_FAILURES_MAX: Final = 5


class LoginGuard:
    """Counts refused logins and take-overs. What changes it returns what to journal."""

    def __init__(self, session: SessionName) -> None:
        self._guarded = LoginGuarded(
            session=session, failures=0, taken_over=False, latched=False, reason=""
        )

    @property
    def failures(self) -> int:
        """How many logins were refused in a row."""
        return self._guarded.failures

    @property
    def taken_over(self) -> bool:
        """True once another login was displaced, until a person allows it again."""
        return self._guarded.taken_over

    @property
    def latched(self) -> bool:
        """True when nothing more may be tried before a person says so."""
        return self._guarded.latched

    @property
    def reason(self) -> str:
        """Why the guard is as it is, for people."""
        return self._guarded.reason

    def restore(self, guarded: LoginGuarded) -> None:
        """Go on from what the journal says."""
        self._guarded = guarded

    def refuse(self, why: str) -> LoginGuarded:
        """Count a login that the broker refused."""
        failures = self.failures + 1
        latched = failures >= LOGIN_FAILURES_MAX
        reason = f"the broker refused {failures} logins in a row, limit is {LOGIN_FAILURES_MAX}"
        if why:
            reason = f"{reason}: {why}"
        return self._change(failures=failures, latched=latched, reason=reason)

    def succeed(self) -> LoginGuarded | None:
        """Forget refused logins, as one worked; None when there were none."""
        if not self.failures:
            return None
        return self._change(failures=0, latched=False, reason="a login worked")

    def take_over(self) -> LoginGuarded:
        """Note that another login is displaced now."""
        return self._change(taken_over=True, reason="the session is taken from another login")

    def retry(self, message: RetryLogin) -> LoginGuarded:
        """Begin anew, because a person says so."""
        reason = f"{message.by} lets it log in again: {message.reason}"
        return self._change(failures=0, taken_over=False, latched=False, reason=reason)

    def _change(
        self,
        *,
        reason: str,
        failures: int | None = None,
        taken_over: bool | None = None,
        latched: bool | None = None,
    ) -> LoginGuarded:
        known = self._guarded
        self._guarded = replace(
            known,
            failures=known.failures if failures is None else failures,
            taken_over=known.taken_over if taken_over is None else taken_over,
            latched=known.latched if latched is None else latched,
            reason=reason,
        )
        return self._guarded

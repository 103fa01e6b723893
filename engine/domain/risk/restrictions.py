"""What an account may do at all: its limits and the halts of all that it is part of.

Rule: the strictest wins. Only a resume lifts a halt, and exactly the one that it names.
"""

from collections.abc import Iterator

from engine.domain.messages import HaltScope, ReportAnomaly
from engine.domain.risk.limits import Limits
from engine.domain.values import Scope, ScopeKind, Ticket, TradingState


class Restrictions:
    """The limits in force and the halts that may concern the account."""

    def __init__(self, limits: Limits, file_error: str | None) -> None:
        self.limits = limits
        self.file_error = file_error
        self._halts: dict[Scope, HaltScope] = {}

    @property
    def mine(self) -> Scope:
        """The scope that is just this account."""
        return Scope(kind=ScopeKind.ACCOUNT, key=self.limits.account)

    def is_halted(self, scope: Scope) -> bool:
        """True while exactly this scope is halted, by a person or by the engine."""
        return scope in self._halts

    def halt(self, message: HaltScope) -> tuple[ReportAnomaly, ...]:
        """Put a halt in force; a milder one never replaces a stricter one, a newer one does."""
        if message.level is TradingState.NORMAL:
            detail = f"a halt of {message.scope} to normal, only a resume lifts one"
            return (ReportAnomaly(machine="risk", kind="halt_to_normal", detail=detail),)
        latched = self._halts.get(message.scope)
        if latched is None or message.level.strictness >= latched.level.strictness:
            self._halts[message.scope] = message
        return ()

    def resume(self, scope: Scope) -> None:
        """Lift the halt of exactly this scope."""
        self._halts.pop(scope, None)

    def strictest(self, ticket: Ticket | None) -> tuple[TradingState, str]:
        """Return the state that applies, and who or what says so.

        Without a ticket, what holds for all of the account.
        """
        limits = self.limits
        found = (limits.trading_state, f"trading_state, {limits.source('trading_state')}")
        for scope in self._scopes(ticket) if self._halts else ():
            halt = self._halts.get(scope)
            if halt is not None and halt.level.strictness > found[0].strictness:
                found = (halt.level, f"{scope} halted by {halt.by}: {halt.reason}")
        return found

    def _scopes(self, ticket: Ticket | None) -> Iterator[Scope]:
        yield Scope(kind=ScopeKind.FIRM)
        for group in self.limits.groups:
            yield Scope(kind=ScopeKind.GROUP, key=group)
        yield self.mine
        if ticket is not None:
            yield Scope(kind=ScopeKind.INSTRUMENT, key=str(ticket.conid))
            if ticket.strategy is not None:
                yield Scope(kind=ScopeKind.STRATEGY, key=ticket.strategy)

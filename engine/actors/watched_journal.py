"""A journal that says when it advanced, or that it can keep no more, or nothing any more."""

from collections.abc import Callable
from typing import Final

from engine.actors.passing_journal import PassingJournal
from engine.domain.ports import Committed, Entry, Journal, NotCommitted
from engine.domain.values import Reason

UNAVAILABLE: Final = "JOURNAL_UNAVAILABLE"
"""The one refusal that is for good; a backlog passes, and a bad record is its own fault."""

FULL: Final = "JOURNAL_FULL"
"""The refusal of all that is new, until a person has made room and started the engine anew."""


class WatchedJournal(PassingJournal):
    """Tells about each result."""

    def __init__(self, inner: Journal) -> None:
        super().__init__(inner)
        self.on_commit: Callable[[], None] = lambda: None
        self.on_failure: Callable[[Reason], None] = lambda _reason: None
        """Hears of a refusal with `UNAVAILABLE` or `FULL`."""

    def append(self, entry: Entry, done: Callable[[Committed | NotCommitted], None]) -> None:
        """Queue the entry; `done` is called first, then who watches."""

        def tell(result: Committed | NotCommitted) -> None:
            done(result)
            if isinstance(result, Committed):
                self.on_commit()
            elif result.reason.code in {UNAVAILABLE, FULL}:
                self.on_failure(result.reason)

        super().append(entry, tell)

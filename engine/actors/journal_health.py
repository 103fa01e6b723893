"""What the journal can still write, as those need to know who answer clients.

Rule: a full disk refuses what would begin; what exists goes on. A journal that cannot write
at all refuses everything that must be durable before it is answered, and stays so.
"""

from engine.actors.watched_journal import FULL
from engine.domain.ports import JournalFull, JournalUnavailable
from engine.domain.values import Reason


class JournalHealth:
    """The journal's problem, if it has one."""

    def __init__(self) -> None:
        self.problem: Reason | None = None
        """Why not everything can be written; None while all can."""

    def note(self, problem: Reason) -> None:
        """Take a problem. What cannot write at all is not merely full again."""
        if self.problem is None or self.problem.code == FULL:
            self.problem = problem

    @property
    def failed(self) -> Reason | None:
        """Why nothing can be written any more, None while something can."""
        problem = self.problem
        return None if problem is None or problem.code == FULL else problem

    def refuse_new(self) -> None:
        """Raise `JournalUnavailable` unless a new order can be written."""
        if self.problem is not None:
            raise self.error(self.problem.message)

    def error(self, message: str) -> JournalUnavailable:
        """Return what to raise where something could not be made durable."""
        full = self.problem is not None and self.problem.code == FULL
        return JournalFull(message) if full else JournalUnavailable(message)

    def refuse_all(self) -> None:
        """Raise `JournalUnavailable` unless records of orders that exist can be written."""
        if self.failed is not None:
            raise JournalUnavailable(self.failed.message)

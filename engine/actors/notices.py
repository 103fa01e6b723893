"""What the broker tells people, and asks about orders that are not ours: it is written down.

Rule: a flood of it must not displace what orders write, so only so much is written.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from engine import log, metrics
from engine.actors.shell import Clock
from engine.domain.messages import NoticeSeen, PromptStreamed
from engine.domain.values import QuestionId, SessionName

_LOG = log.get("actors/switchboard")

PROMPTS_MAX: Final = 1_000
"""So many prompts of others are remembered, so as not to note them again."""

NOTICES_MAX: Final = 100
"""So many notices of a session are written down in `NOTICES_NS`; more are only counted."""

NOTICES_NS: Final = 60_000_000_000


class Notices:
    """Counts and writes notices; `write` appends one to the journal."""

    def __init__(self, *, clock: Clock, write: Callable[[NoticeSeen], None]) -> None:
        self._clock = clock
        self._write = write
        self._noted_prompts: OrderedDict[tuple[SessionName, QuestionId], None] = OrderedDict()
        self._counts: dict[SessionName, tuple[int, int]] = {}

    def take(self, notice: NoticeSeen) -> None:
        """Write down what the broker told people, and count it."""
        metrics.NOTICES.labels(notice.session, notice.kind).inc()
        if not self._has_room(notice.session):
            return
        _LOG.info(
            "broker_notice",
            session=notice.session,
            kind=notice.kind,
            notice_id=notice.notice_id,
            text=notice.text,
        )
        self._write(notice)

    def take_prompt(self, session: SessionName, prompt: PromptStreamed) -> None:
        """Note a prompt about somebody else's order; it is left alone."""
        # The broker asks again until somebody answers; it is news once.
        key = (session, prompt.question.question_id)
        if key in self._noted_prompts:
            return
        self._noted_prompts[key] = None
        if len(self._noted_prompts) > PROMPTS_MAX:
            self._noted_prompts.popitem(last=False)
        text = f"about order {prompt.broker_order_id}, which is not ours: "
        notice = NoticeSeen(
            session=session,
            kind="prompt",
            notice_id=prompt.question.question_id,
            text=text + " / ".join(prompt.question.texts),
        )
        self.take(notice)

    def _has_room(self, session: SessionName) -> bool:
        """Say whether another notice of the session may be written; it must not flood the rest."""
        now_ns = self._clock.monotonic_ns()
        since_ns, count = self._counts.get(session, (now_ns, 0))
        if now_ns - since_ns >= NOTICES_NS:
            since_ns, count = now_ns, 0
        self._counts[session] = (since_ns, count + 1)
        if count == NOTICES_MAX:
            metrics.ANOMALIES.labels("switchboard", "notice_flood").inc()
            _LOG.warning("notices_left_out", session=session, limit=NOTICES_MAX)
        return count < NOTICES_MAX

"""Notices and prompts of others: written, but never so many that orders have to wait."""

import pytest

from engine.actors import notices
from engine.actors.notices import Notices
from engine.domain.messages import NoticeSeen, PromptStreamed
from engine.domain.values import BrokerOrderId, Question, QuestionId, SessionName
from tests.fakes import HandClock

MAIN = SessionName("main")


class Desk:
    def __init__(self) -> None:
        self.clock = HandClock()
        self.written: list[NoticeSeen] = []
        self.notices = Notices(clock=self.clock.clock, write=self.written.append)

    def ask(self, name: str) -> None:
        question = Question(
            question_id=QuestionId(name), message_ids=(), texts=("Sure?", "Really?")
        )
        prompt = PromptStreamed(broker_order_id=BrokerOrderId("9"), question=question)
        self.notices.take_prompt(MAIN, prompt)


def notice(name: str, session: SessionName = MAIN) -> NoticeSeen:
    return NoticeSeen(session=session, kind="bulletin", notice_id=name, text="Closed")


def test_a_prompt_about_somebody_elses_order_is_noted_once() -> None:
    desk = Desk()

    for name in ("p-1", "p-1", "p-2"):
        desk.ask(name)

    assert [(one.notice_id, one.text) for one in desk.written] == [
        ("p-1", "about order 9, which is not ours: Sure? / Really?"),
        ("p-2", "about order 9, which is not ours: Sure? / Really?"),
    ]


def test_only_so_many_prompts_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "PROMPTS_MAX", 1)
    desk = Desk()

    for name in ("p-1", "p-2", "p-1"):
        desk.ask(name)

    assert [one.notice_id for one in desk.written] == ["p-1", "p-2", "p-1"]


def test_a_flood_of_one_session_is_written_in_part_and_takes_no_others_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notices, "NOTICES_MAX", 1)
    desk = Desk()

    for one in (notice("1"), notice("2"), notice("3", SessionName("second"))):
        desk.notices.take(one)
    desk.clock.advance(60_000)
    desk.notices.take(notice("4"))

    assert [one.notice_id for one in desk.written] == ["1", "3", "4"]

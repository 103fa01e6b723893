from decimal import Decimal
from typing import Any

from engine.sim.config import DEFAULT_QUESTIONS
from engine.sim.questions import UNKNOWN_MESSAGE_ID, question_body, questions_for, with_faults
from engine.sim.session import Question
from engine.sim.tickets import Batch, Ticket


def ticket(order_type: str, limit_price: str | None = None) -> Ticket:
    return Ticket(
        account="DU1",
        conid=265598,
        order_type=order_type,
        side="BUY",
        quantity=Decimal(1),
        tif="DAY",
        limit_price=None if limit_price is None else Decimal(limit_price),
    )


def asked(of: Ticket, **changes: Any) -> tuple[str, ...]:
    options: dict[str, Any] = {
        "rules": DEFAULT_QUESTIONS,
        "touch": Decimal(100),
        "has_market_data": True,
        "suppressed": frozenset(),
    }
    return questions_for(of, **(options | changes))


def test_a_market_order_is_asked_about_and_a_near_limit_is_not() -> None:
    assert asked(ticket("MKT")) == ("o10151",)
    assert asked(ticket("LMT", "97.00")) == ()


def test_a_limit_more_than_three_percent_away_is_asked_about() -> None:
    assert asked(ticket("LMT", "96.99")) == ("o163",)
    assert asked(ticket("LMT", "103.01")) == ("o163",)


def test_without_market_data_every_type_is_asked_about() -> None:
    assert asked(ticket("MKT"), has_market_data=False) == ("o10151", "o354")
    assert asked(ticket("LMT", "100.00"), has_market_data=False) == ("o354",)


def test_suppressed_questions_are_not_asked() -> None:
    suppressed = frozenset({"o10151", "o354"})

    assert asked(ticket("MKT"), has_market_data=False, suppressed=suppressed) == ()


def test_a_modify_has_rules_of_its_own() -> None:
    rules = {"MKT": ("o10151",), "MODIFY": ("o10138",)}

    assert asked(ticket("MKT"), rules=rules, modifies=True) == ("o10138",)


def test_faults_put_an_unknown_question_first_and_make_the_chain_longer() -> None:
    assert with_faults(("o163",), unknown=True, rounds_min=0) == (UNKNOWN_MESSAGE_ID, "o163")
    assert with_faults(("o163",), unknown=False, rounds_min=3) == ("o163",) * 3
    assert len(with_faults((), unknown=False, rounds_min=2)) == 2


def test_a_question_is_one_element_with_message_and_id_side_by_side() -> None:
    question = Question(question_id="q-1", batch=Batch(tickets=(ticket("MKT"),)), asked=("o10151",))

    body = question_body(question)

    assert len(body) == 1
    assert body[0]["id"] == "q-1"
    assert body[0]["messageIds"] == ["o10151"]
    assert "A Market Order is an instruction to trade" in body[0]["message"][0]

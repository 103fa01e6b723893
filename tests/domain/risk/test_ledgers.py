"""What an account should hold, and what an answer of the broker proves of it."""

from decimal import Decimal

import pytest

from engine.domain.messages import PositionFilled
from engine.domain.risk.ledgers import Between, Ledgers
from engine.domain.risk.moves import Executions, Span
from engine.domain.values import ConId, Side
from tests.domain.risk.samples import CONID, NOW_NS, SECOND, filled

OTHER = ConId(8314)


def span(second: int) -> Span:
    """Return an answer that was asked for in `second` and complete a second later."""
    return Span(started_ns=NOW_NS + second * SECOND, ended_ns=NOW_NS + (second + 1) * SECOND)


def exactly(quantity: int) -> Between:
    return Between(lowest=Decimal(quantity), highest=Decimal(quantity))


class Scene:
    """Ledgers that agreed on 100 in second 100, and are told of fills."""

    def __init__(self, quantity: int = 100) -> None:
        self.ledgers = Ledgers()
        self.ledgers.begin({CONID: Decimal(quantity)}, span(100))
        self.executions = Executions()

    def fill(self, message: PositionFilled) -> None:
        taken = self.executions.take(message)
        assert taken is not None
        self.ledgers.move(taken.moves)

    def read(
        self, quantity: int, second: int, conid: ConId = CONID
    ) -> dict[ConId, tuple[int, int]]:
        quantities = {CONID: Decimal(100), conid: Decimal(quantity)}
        differing = self.ledgers.differences(quantities, span(second))
        return {conid: (int(should), int(found)) for conid, (should, found) in differing.items()}


def test_an_answer_that_has_what_was_agreed_differs_in_nothing() -> None:
    assert Scene().read(100, 200) == {}


@pytest.mark.parametrize("found", [99, 101, 0, -100])
def test_a_quantity_that_nothing_explains_differs(found: int) -> None:
    assert Scene().read(found, 200) == {CONID: (100, found)}


def test_a_contract_that_nobody_agreed_on_should_be_flat() -> None:
    assert Scene().read(5, 200, OTHER) == {OTHER: (0, 5)}


def test_a_contract_that_the_answer_does_not_list_is_found_flat() -> None:
    scene = Scene()

    assert scene.ledgers.differences({}, span(200)) == {CONID: (Decimal(100), Decimal(0))}


def test_a_settled_fill_must_be_in_the_answer() -> None:
    scene = Scene()
    scene.fill(filled("a", 30, second=150))

    assert scene.read(100, 200) == {CONID: (130, 100)}
    assert scene.read(130, 201) == {}


def test_a_fill_of_just_before_may_be_in_the_answer_or_not() -> None:
    for found in (100, 130):
        scene = Scene()
        scene.fill(filled("a", 30, second=198))
        assert scene.read(found, 200) == {}

    scene = Scene()
    scene.fill(filled("a", 30, second=198))
    assert scene.read(131, 200) == {CONID: (130, 131)}, "told is what is nearest"


def test_a_fill_of_long_after_is_not_in_the_answer_yet() -> None:
    scene = Scene()
    scene.fill(filled("a", 30, second=250))

    assert scene.read(100, 200) == {}
    assert scene.ledgers.expected(CONID) == exactly(130)


def test_a_fill_of_long_before_what_was_agreed_is_in_it_already() -> None:
    scene = Scene()
    scene.fill(filled("a", 30, second=50, seen=150))

    assert scene.read(100, 200) == {}
    assert scene.read(130, 300) == {CONID: (100, 130)}


def test_a_fill_of_around_what_was_agreed_explains_a_difference_once() -> None:
    scene = Scene()
    scene.fill(filled("a", 30, second=99, seen=150))

    assert scene.read(130, 200) == {}, "it was not in what was agreed"
    assert scene.read(100, 300) == {CONID: (130, 100)}, "now it is"


def test_doubt_does_not_let_a_difference_creep_in() -> None:
    """Each answer is within the doubt of the one before, but not of what was agreed."""
    scene = Scene()
    differing = []
    for second in range(200, 260, 10):
        scene.fill(filled(f"buy-{second}", 10, second=second))
        scene.fill(filled(f"sell-{second}", 10, second=second, side=Side.SELL))
        differing.append(scene.read(100 + (second - 190), second))

    assert differing[0] == {}
    assert differing[-1] == {CONID: (110, 160)}


def test_a_correction_is_explained_by_its_newer_revision() -> None:
    scene = Scene()
    scene.fill(filled("a.01", 30, second=150))
    scene.read(130, 200)
    scene.fill(filled("a.02", 20, second=150, seen=210))

    assert scene.read(120, 300) == {}


def test_accepting_takes_the_brokers_word_for_one_contract_only() -> None:
    scene = Scene()
    quantities = {CONID: Decimal(90), OTHER: Decimal(5)}
    scene.ledgers.differences(quantities, span(200))

    scene.ledgers.accept(CONID, Decimal(90), span(200))

    differing = scene.ledgers.differences(quantities, span(300))
    assert differing == {OTHER: (Decimal(0), Decimal(5))}


def test_fills_that_came_first_count_once_there_is_something_to_count_from() -> None:
    ledgers, executions = Ledgers(), Executions()
    for message in (filled("old", 5, second=50), filled("new", 7, second=150)):
        taken = executions.take(message)
        assert taken is not None
        ledgers.move(taken.moves)
    assert not ledgers.based

    ledgers.begin({CONID: Decimal(100)}, span(100))

    assert ledgers.expected(CONID) == exactly(107)


def test_no_answer_moves_what_should_be() -> None:
    scene = Scene()
    scene.fill(filled("a", 30, second=150))

    for second, found in ((200, 17), (260, 17), (320, 4_000)):
        scene.read(found, second)

    assert scene.ledgers.expected(CONID) == exactly(130)
